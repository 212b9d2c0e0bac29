"""Defines the learner of a rule that teaches forward and feedback weights by one simulation."""

from core.learner import BaseLearner
from dfc.learners import ForwardLearner


class JointLearner(ForwardLearner):
    """Trains W and Q by a rule that finds both gradients: both follow from the old weights, then W moves, then Q.

    feedback  FeedbackLearner whose optimiser and clipping move Q; its own passes, if there are any, share them
    """

    def __init__(self, *parts, feedback, **settings):
        super().__init__(*parts, **settings)
        self.feedback = feedback

    def _begin(self, learners):
        super()._begin(learners)
        self.feedback = self.feedback.together([learner.feedback for learner in learners], self.net)

    def _move(self, report):
        super()._move(report)
        gradients = report.results[0].feedback
        for result in report.results[1:]:
            for total, part in zip(gradients, result.feedback, strict=True):
                total += part
        self.feedback.update(gradients)

    def state(self):
        return super().state() | BaseLearner.state(self.feedback)

    def restore(self, named):
        super().restore(named)
        BaseLearner.restore(self.feedback, named)
