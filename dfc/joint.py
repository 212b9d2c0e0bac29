"""Defines the learner of a rule that finds the gradients of forward and feedback weights in one simulation."""

from core.roles import BaseLearner
from dfc.learners import ForwardLearner


class JointLearner(ForwardLearner):
    """Trains W and Q by a rule that finds both gradients at once: first W moves, then Q.

    Both gradients are those at the old weights.

    feedback  FeedbackLearner whose optimiser and clipping move Q; if it has passes of its own, these use the same
              optimiser
    """

    def __init__(self, *parts, feedback, **settings):
        super().__init__(*parts, **settings)
        self.feedback = feedback

    def _begin(self, learners):
        super()._begin(learners)
        self.feedback = self.feedback.together([learner.feedback for learner in learners], self.net)

    @property
    def optimisers(self):
        """Returns those of W, if it learns, and of Q."""
        return [*super().optimisers, self.feedback.optimiser]

    def _move(self, report):
        super()._move(report)
        gradients = report.results[0].feedback
        for result in report.results[1:]:
            for total, part in zip(gradients, result.feedback, strict=True):
                total += part
        self.feedback.update(gradients)

    def state(self):
        """Returns {name: array} of everything that the next step of W and Q depends on."""
        return super().state() | BaseLearner.state(self.feedback)

    def restore(self, named):
        """Continues from a `state` of host arrays."""
        super().restore(named)
        BaseLearner.restore(self.feedback, named)
