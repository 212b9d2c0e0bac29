"""One learning rule at work on one network."""

from core.backend import array_module
from core.gradients import gradients
from core.workers import shares


class Learner:
    """A network, the rule that teaches it and the optimiser that follows: one batch in, one update out.

    net           InvNet
    rule          rules.Rule
    options       the rule's Options
    regulariser   see core.gradients
    optimiser     of net.parameters
    workers       core.workers.Workers: in the passes over activities each takes a share of the samples, in the passes over
                  weights a share of their rows
    """

    def __init__(self, net, rule, options, regulariser, optimiser, workers):
        self.net, self.rule, self.options = net, rule, options
        self.regulariser, self.optimiser, self.workers = regulariser, optimiser, workers
        self.gradients = [p * 0.0 for p in net.parameters]

    def step(self, inputs, target):
        """One update by one batch: inputs (n, units), target (n, classes)."""
        trace, errors = self.propagate(inputs, target)
        gradients(self.net, trace, errors, self.regulariser, self.gradients, self.workers)
        self.optimiser.step(self.gradients, self.workers)
        self.net.weights_changed()

    def propagate(self, inputs, target):
        """(trace [h_0 … h_L], errors [delta_0 …]) of one batch; the regulariser's Gram matrices on the way."""
        parts = shares(len(inputs), self.workers.count)
        jobs = [layer.gram for layer in self.net.layers] if self.regulariser else []
        jobs += [lambda part=part: self.net.forward(inputs[part], auxiliary=False) for part in parts]
        traces = self.workers.map(lambda job: job(), jobs)[-len(parts) :]
        errors = self.workers.map(
            lambda i: self.rule.layer_errors(self.net, traces[i], target[parts[i]], self.options), range(len(parts))
        )
        return self._join(traces), self._join(errors)

    def _join(self, parts):
        """Lists of arrays of some of the samples each -> one list of arrays of all samples."""
        if len(parts) == 1:
            return parts[0]
        return [array_module(*arrays).concatenate(arrays) for arrays in zip(*parts, strict=True)]

    def state(self):
        """{name: array} of all that the next step depends on."""
        named = {f"p{index}": p for index, p in enumerate(self.net.parameters)}
        return named | {f"optimiser_{name}": array for name, array in self.optimiser.state().items()}

    def restore(self, named):
        """Continue from a `state`, host arrays."""
        xp = array_module(*self.net.parameters)
        for index, p in enumerate(self.net.parameters):
            p[...] = xp.asarray(named[f"p{index}"])
        prefix = "optimiser_"
        self.optimiser.restore({name[len(prefix) :]: xp.asarray(a) for name, a in named.items() if name.startswith(prefix)})
        self.net.weights_changed()

    def finite(self):
        """Whether every parameter is a finite number; waits for the device."""
        xp = array_module(*self.net.parameters)
        return bool(xp.stack([xp.isfinite(p).all() for p in self.net.parameters]).all())
