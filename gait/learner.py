"""Defines the learner of run.py, which trains one network by one learning rule."""

from functools import partial

from core.backend import BLOCK, array_module, shares
from core.roles import BaseLearner
from gait.gradients import add_weight_gradient, bias_gradient
from utils import join


class Learner(BaseLearner):
    """Trains a network by a rule and an optimiser, with one update per batch.

        grad W_l = h_{l-1}^T delta_l / n + lambda R(W_l),     grad b_l = mean over the samples of delta_l

    with the errors delta_l of the rule (docs/published/gait.md 2). The workers compute independent parts at the
    same time: Gram matrices during the forward pass, and the regulariser during the rule.

    net          InvNet
    rule         rules._rule.Rule
    options      the rule's Options
    regulariser  anything with `prepare(layer)` and `gradient(layer, rows, out)` that is false where there is nothing to
                 add
    optimiser    of net.parameters
    workers      core.backend.Workers
    block        entries of a matrix that one pass should handle (core/backend.py)
    """

    def __init__(self, net, rule, options, regulariser, optimiser, workers, block=BLOCK):
        super().__init__(net, optimiser)
        self.rule, self.options = rule, options
        # cupy refuses to call cuSOLVER, which inverts, while a graph is recorded.
        self.recordable = rule.recordable and not rule.inverts
        self.regulariser, self.workers = regulariser, workers
        self.gradients = [array_module(p).zeros_like(p) for p in net.parameters]
        places = range(len(net.parameters))
        self._weights, self._biases = net.weights_of(places), net.biases_of(places)
        self.block = block
        self._blocks = {}

    @classmethod
    def together(cls, learners):
        """Returns one learner for the networks of `learners`, which have the same settings.

        Their states are not copied: see `take`.
        """
        first = learners[0]
        net = first.net.together([learner.net for learner in learners])
        return cls(
            net,
            first.rule,
            first.options,
            first.regulariser,
            first.optimiser.like(net.parameters),
            first.workers,
            first.block,
        )

    def pieces(self, samples):
        """Returns the number of threads that share a step with so many samples: see `Workers.pieces`.

        A Gram matrix counts as a pass through its layer.
        """
        rows = [samples + (layer.size if self.regulariser else 0) for layer in self.net.layers]
        return self.workers.pieces(sum(2 * n * layer.size**2 for n, layer in zip(rows, self.net.layers, strict=True)))

    def blocks(self, pieces):
        """Returns [(layer, part)] of the parts of all matrices, divided among `pieces` threads."""
        if pieces not in self._blocks:
            sizes = [layer.size for layer in self.net.layers]
            self._blocks[pieces] = [(l, part) for l, size in enumerate(sizes) for part in self._parts(size, pieces)]
        return self._blocks[pieces]

    def _parts(self, size, count):
        """Returns the indices (rows,), or (seeds, rows), of the parts of a matrix for `count` threads.

        The rows of a part do not depend on the number of seeds, and neither do the bits of its products.
        """
        rows = shares(size, count * max(1, round(size**2 / (self.block * count))))
        seeds = [()]
        for total in self.net.seeds:
            seeds = [(some,) for some in shares(total, -(-total * size**2 // (len(rows) * self.block)))]
        return [(*some, each) for some in seeds for each in rows]

    def step(self, inputs, target, place=None, watch=None):
        """Makes one update with one batch.

        inputs  (n, units)
        target  (n, classes)
        place   the batch's place in the schedule, which has no effect
        watch   never called: no watcher of system 1 needs single batches
        """
        trace, errors = self.propagate(inputs, target)
        pieces = self.pieces(inputs.shape[-2])
        self.optimiser.advance()

        def finish(block):
            # The optimiser reads each block of the gradient while it is still in the cache.
            self._finish_gradient(trace, errors, *block)
            layer, part = block
            self.optimiser.update(self._weights[layer], part, self.gradients[self._weights[layer]])

        self.workers.map(finish, self.blocks(pieces), pieces)
        self._finish_biases(errors)
        for index in self._biases:
            self.optimiser.update(index, slice(None), self.gradients[index])
        self.net.weights_changed()

    def compute_gradients(self, inputs, target):
        """Returns the gradients of one batch, arrays like net.parameters, without an update.

        The next call overwrites them.
        """
        trace, errors = self.propagate(inputs, target)
        for block in self.blocks(self.pieces(inputs.shape[-2])):
            self._finish_gradient(trace, errors, *block)
        self._finish_biases(errors)
        return self.gradients

    def propagate(self, inputs, target):
        """Returns (trace [h_0 … h_L], errors [delta_0 …]) of one batch.

        Meanwhile the regulariser's part is written to `gradients`.

        inputs  (n, units)
        target  (n, classes)
        """
        pieces = self.pieces(inputs.shape[-2])
        if self.regulariser:
            return self._propagate_with_the_regulariser(inputs, target, pieces)

        def share(part):
            trace = self._forward(inputs[..., part, :])
            return trace, self._errors(trace, target[..., part, :])

        traces, errors = zip(*self.workers.map(share, shares(inputs.shape[-2], pieces)), strict=True)
        return _join(traces), _join(errors)

    def _propagate_with_the_regulariser(self, inputs, target, pieces):
        """Does the same, and computes the regulariser, which costs more, in parallel with the rule."""
        jobs = [partial(self.regulariser.prepare, layer) for layer in self.net.layers]
        trace = self.workers.map(_call, [partial(self._forward, inputs), *jobs], pieces)[0]
        jobs = [partial(self._regularise, *block) for block in self.blocks(pieces)]
        return trace, self.workers.map(_call, [partial(self._errors, trace, target), *jobs], pieces)[0]

    def _forward(self, inputs):
        return self.net.forward(inputs, auxiliary=False)

    def _errors(self, trace, target):
        return self.rule.layer_errors(self.net, trace, target, self.options)

    def _regularise(self, layer, part):
        self.regulariser.gradient(self.net.layers[layer], part, self.gradients[self._weights[layer]][part])

    def _finish_gradient(self, trace, errors, layer, part):
        *seeds, rows = part
        out, seeds = self.gradients[self._weights[layer]][part], tuple(seeds)
        add_weight_gradient(trace[layer][seeds], errors[layer][seeds], rows, out, start_from_zero=not self.regulariser)

    def _finish_biases(self, errors):
        for delta, out in zip(errors, self.net.biases_of(self.gradients), strict=True):
            bias_gradient(delta, out)


def _call(job):
    return job()


def _join(parts):
    """Joins lists of arrays (n_i, k), each with some of the samples, into one list of arrays (n, k)."""
    if len(parts) == 1:
        return parts[0]
    return [join(arrays, axis=-2) for arrays in zip(*parts, strict=True)]
