"""Defines the two learners of system 2, which make one update of forward or of feedback weights per batch."""

import copy
from itertools import product

from core.backend import array_module, shares, to_host
from core.clipping import clip_each, clip_together, fix_norm
from core.roles import BaseLearner
from dfc.draws import noise_of_seeds
from dfc.feedback_learning import homeostatic_decay
from dfc.gradients import (
    BatchReport,
    RuleResult,
    empty_gradients,
    layer_gradients,
    of_seeds,
    stacked_lists,
    write_loss_gradients,
)
from dfc.network import forward, of_seed

# Rows that share their noise, and are simulated together where there is noise.
PART = 64
# The same number for networks so small that more rows cost little.
SMALL_PART = 256


class DfcLearner(BaseLearner):
    """Holds what both learners have in common: it is the base class of learners of system 2.

    net        FeedbackNetwork
    optimiser  core.optimisers.Optimiser
    workers    core.backend.Workers
    noise      function (place, part) -> noise for dfc.simulation.simulate; None: none is needed. `place` is that of the
               batch, (passes before, batches before in this pass), and `part` 0, 1, … one of its parts
    name       distinguishes the learners in a checkpoint and in reports
    part       rows of a batch that share one source of noise; None: all
    """

    def __init__(self, net, optimiser, workers, noise=None, name="", part=PART):
        super().__init__(net, optimiser, name)
        self.workers, self.noise, self.name, self.part = workers, noise, name, part
        # A controller makes many passes for each update, but small ones, so that they count as two.
        self._passes = 2

    @classmethod
    def together(cls, learners, net=None):
        """Returns one learner for the networks of `learners`, without their states: see `take`.

        net  the joint network, if it exists already
        """
        whole, noises = copy.copy(learners[0]), [learner.noise for learner in learners]
        whole.net = net or whole.net.together([learner.net for learner in learners])
        whole.noise = noises[0] and (lambda place, part: noise_of_seeds([noise(place, part) for noise in noises]))
        whole._noises = noises
        whole._begin(learners)
        return whole

    def _begin(self, learners):
        """Makes the arrays that are as large as the network, for a learner that `together` made."""
        raise NotImplementedError

    def parts(self, batch_size, noisy):
        """Returns [(number, rows)] of a batch's parts; if noisy, independent of the number of threads."""
        pieces = -(-batch_size // (self.part or batch_size)) if noisy else self.pieces(batch_size)
        return list(enumerate(shares(batch_size, pieces)))

    def pieces(self, batch_size):
        """Returns the number of threads that share a batch: see `Workers.pieces`."""
        return self.workers.pieces(self._passes * self.net.operations(batch_size))

    def _each(self, work, activities, target, parts, join):
        """Returns [work(number, seed, net, activities, target)] for the parts of a batch.

        The seeds (0,), (1,), … may be computed one after the other, each with its own part of net, activities and
        target; else `seed` is ().

        join  function (number, results of the seeds) -> result of the part
        """
        # Single passes gain nothing when seeds are apart.
        seeds = self.net.apart(activities.batch_size) if self._passes > 1 else []

        def work_on(job):
            (number, rows), seed = job
            net = self.net.of(seed)
            return work(number, seed, net, activities.of(seed).part(rows), net.of_samples(of_seed(target, seed), rows))

        found = self.workers.map(work_on, product(parts, seeds or [()]), self.pieces(activities.batch_size))
        if not seeds:
            return found
        return [join(number, found[number * len(seeds) : (number + 1) * len(seeds)]) for number, _ in parts]

    def _noise(self, place, part, seed):
        source = self._noises[seed[0]] if seed else self.noise
        return source and source(place, part)


class ForwardLearner(DfcLearner):
    """Trains the forward weights by a rule.

    rule     rules._rule.Rule;  options are the rule's Options
    owned    indices of net.parameters that the optimiser updates
    clip     bound on the norm of every gradient array, or of the groups that `clip_by` clips; <= 0: none
    clip_by  function (gradients, bound, seeds), see core.clipping
    fixed    the joint norm to which the owned gradients are scaled; <= 0: they are not scaled
    frozen   whether everything is computed but nothing is updated
    by_bp    whether the gradient of the loss, not clipped, finally replaces the rule's gradient of W
    correct  function (output, labels) -> number of right answers; None where there are no labels
    """

    def __init__(
        self, net, rule, options, optimiser, workers, *, owned, clip=-1.0, clip_by=clip_each, fixed=-1.0, frozen=False,
        by_bp=False, correct=None, **shared,
    ):  # fmt: skip
        super().__init__(net, optimiser, workers, **shared)
        self.rule, self.options, self.owned = rule, options, owned
        self.recordable = rule.recordable
        self._noisy, self._whole = rule.noisy(options), rule.whole_batch(options)
        self._passes = 2 if rule.gradients else 1
        self.clip = {"asked": clip, "never": -1.0, "always": 1.0}[rule.clips]
        self.clip_by, self.fixed, self.frozen, self.correct = clip_by, fixed, frozen, correct
        self.by_bp, self._totals, self._batches = by_bp, None, 0
        # One list for each part of a batch.
        self._gradients = []

    def _begin(self, learners):
        self.optimiser = self.optimiser.like([self.net.parameters[index] for index in self.owned])
        self._gradients = []

    def step(self, inputs, target, place, watch=None):
        """Makes one update with one batch.

        inputs  (n, units)
        target  labels (n,) or targets (n, n_L), as the network's loss wants them
        place   (passes before, batches before in this pass)
        watch   function (BatchReport, moved=False), called before the update, and with moved=True after it
        """
        report = self.compute(inputs, target, place)
        self._count(report)
        if watch:
            watch(report)
        self._move(report)
        if watch:
            watch(report, moved=True)

    def _move(self, report):
        """Updates the weights, unless they are frozen."""
        if not self.frozen:
            self.optimiser.step([report.gradients[index] for index in self.owned])

    def compute(self, inputs, target, place):
        """Returns the BatchReport of one batch, with its gradients but without an update; see `step`."""
        activities = forward(self.net, inputs, self.workers, self._passes)
        results = self.results(activities, target, place)
        gradients = self._sum(results)
        if self.fixed > 0.0:
            fix_norm([gradients[index] for index in self.owned], self.fixed, self.net.seeds)
        if self.by_bp:
            write_loss_gradients(self.net, activities, target, gradients)
        return BatchReport(self.name, place, target, activities, gradients, results)

    def results(self, activities, target, place):
        """Returns the RuleResult of every part of the batch."""
        parts = [(0, slice(None))] if self._whole else self.parts(activities.batch_size, self._noisy)

        def work(number, seed, *batch):
            noise = self._noise(place, number, seed) if self._noisy else None
            return self._result(*batch, of_seed(self._gradients[number], seed), noise)

        while len(self._gradients) < len(parts):
            self._gradients.append(empty_gradients(self.net))
        return self._each(
            work, activities, target, parts, lambda number, found: of_seeds(found, self._gradients[number])
        )

    def _result(self, net, activities, target, gradients, noise):
        if self.rule.gradients:
            return self.rule.gradients(net, activities, target, self.options, gradients, noise)
        errors = self.rule.layer_errors(net, activities, target, self.options)
        for l, delta in enumerate(errors):
            layer_gradients(activities.presynaptic(l), delta, 1.0 / activities.batch_size, *net.of_layer(gradients, l))
        return RuleResult(gradients)

    def _sum(self, results):
        gradients = results[0].gradients
        for result in results[1:]:
            for total, gradient in zip(gradients, result.gradients, strict=True):
                total += gradient
        if self.clip > 0.0 and not results[0].clipped:
            self.clip_by(gradients, self.clip, self.net.seeds)
        return gradients

    def _count(self, report):
        """Adds a batch to the epoch's totals on the device: loss, accuracy, converged, diverged, others."""
        output = report.activities.r[-1]
        loss = self.net.loss.value(output, report.target)
        xp = array_module(output)
        if self._totals is None:
            self._totals = xp.zeros((*self.net.seeds, 5), dtype=loss.dtype)
        losses, right, kinds = self._totals[..., 0], self._totals[..., 1], self._totals[..., 2:]
        losses += loss
        if self.correct:
            right += self.correct(output, report.target).astype(loss.dtype) / output.shape[-2]
        for result in report.results:
            if result.counts is not None:
                kinds += result.counts.astype(loss.dtype)
        self._batches += 1

    @property
    def counters(self):
        """Returns those of BaseLearner, and that of the batches."""
        return [(self, "_batches"), *super().counters]

    def end_epoch(self):
        """Returns {column: number}: means over the batches before each update, and numbers of samples."""
        loss, right, *counted = to_host(self._totals).tolist()
        row = {"loss_train": loss / self._batches}
        if self.correct:
            row["acc_train"] = right / self._batches
        if self.rule.simulates:
            row |= dict(zip(("converged", "diverged", "not_converged"), map(int, counted), strict=True))
        self._totals, self._batches = None, 0
        return row

    def state(self):
        """Returns {name: array} of everything that the next step and the columns depend on."""
        totals, first = self._totals, self.net.weights[0]
        if totals is None:
            totals = array_module(first).zeros((*self.net.seeds, 5), first.dtype)
        return super().state() | {"totals": totals, "batches": self._batches}

    def restore(self, named):
        """Continues from a `state` of host arrays."""
        super().restore(named)
        self._batches = int(named["batches"])
        # The totals are copied, because batches are added to them in place.
        self._totals = array_module(*self.net.arrays).array(named["totals"]) if self._batches else None


class FeedbackLearner(DfcLearner):
    """Trains the feedback weights by a rule for them.

    rule         one of dfc.feedback_learning.Q_RULES;  settings are its FeedbackSettings
    owned        indices of net.feedback that the optimiser updates
    clip         bound on the joint norm of all gradients, including those of weights that are not owned; <= 0: none
    clip_by      function (gradients, bound, seeds) that clips, see core.clipping
    homeostatic  (strength, constant) of the homeostatic decay; None: none
    """

    def __init__(
        self, net, rule, settings, optimiser, workers, *, owned, clip=-1.0, clip_by=clip_together, homeostatic=None,
        **shared,
    ):  # fmt: skip
        super().__init__(net, optimiser, workers, **shared)
        self.rule, self.settings, self.owned, self.homeostatic = rule, settings, owned, homeostatic
        self.clip, self.clip_by = clip, clip_by

    def _begin(self, learners):
        self.optimiser = self.optimiser.like([self.net.feedback[index] for index in self.owned])
        if self.homeostatic:
            strength, first = self.homeostatic[0], self.net.feedback[0]
            constants = [learner.homeostatic[1] for learner in learners]
            self.homeostatic = strength, array_module(first).asarray(constants, dtype=first.dtype)

    def step(self, inputs, target, place, watch=None):
        """Makes one update with one batch, see ForwardLearner.step; `watch` is called after it."""
        activities = forward(self.net, inputs, self.workers, self._passes)
        gradients = self.gradients(activities, place, target)
        self.update(gradients)
        if watch:
            watch(BatchReport(self.name, place, target, activities, gradients, []))

    def update(self, gradients):
        """Clips the gradients, arrays like net.feedback, in place and moves the weights that are owned."""
        if self.clip > 0.0:
            self.clip_by(gradients, self.clip, self.net.seeds)
        self.optimiser.step([gradients[index] for index in self.owned])

    def gradients(self, activities, place, target):
        """Returns [dQ_0 …], arrays like net.feedback: the batch's mean, and the homeostatic term."""

        def work(number, seed, net, some, wanted):
            return self.rule(net, some, self.settings, self._noise(place, number, seed), wanted)

        parts = self.parts(activities.batch_size, noisy=True)
        found = self._each(work, activities, target, parts, lambda _, of_each: stacked_lists(of_each))
        gradients = [sum(each[1:], start=each[0]) for each in zip(*found, strict=True)]
        if self.homeostatic:
            decay = homeostatic_decay(self.net, *self.homeostatic)
            for gradient, q in zip(gradients, self.net.feedback, strict=True):
                gradient += decay[..., None, None] * q
        return gradients
