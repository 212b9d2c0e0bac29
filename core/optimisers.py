"""Defines optimisers, which update lists of arrays in place and know nothing of networks."""

import copy
import math

import numpy as np

from core import device_kernels, kernels
from core.backend import array_module, block_size, on_device, shares


class Optimiser:
    """Updates arrays by p <- p - change(g): the base of all optimisers.

    With the coupled weight decay, g is replaced by g + wd p. The source of all optimisers is
    docs/published/dfc.md E. A gradient is never modified. Moments have the float type of their parameter and are
    on the same device.

    parameters     list of C-contiguous arrays, at least one, updated in place
    learning_rate  a number, or a list with one number per array
    weight_decay   wd
    moments        names of the arrays that it remembers per parameter, zero at the start
    Raises         ValueError for a list of another length

    held  None, or device arrays from which the GPU's kernels read `numbers` (core/replay.py)
    """

    # Kernel of a GPU that updates an array at once (core/device_kernels.py); None: the passes of `_change`, there too.
    _kernel = None

    def __init__(self, parameters, learning_rate, weight_decay, moments):
        self.learning_rate = per_array(learning_rate, parameters, "learning rates")
        self.weight_decay = weight_decay
        self._names = moments
        self._begin(parameters)

    def _begin(self, parameters):
        xp = array_module(*parameters)
        self.parameters, self.steps, self.held = parameters, 0, None
        self._moments = [[xp.zeros_like(p) for _ in self._names] for p in parameters]
        blocks = [_parts(p.shape, block_size(xp)) for p in parameters]
        # A GPU needs no scratch where it takes an array in one kernel, and otherwise gets it anew.
        scratch = []
        if not on_device(parameters[0]):
            largest = max(p[part].size for p, parts in zip(parameters, blocks, strict=True) for part in parts)
            scratch = [xp.empty(largest, dtype=parameters[0].dtype) for _ in range(1 + bool(self.weight_decay))]
        # This list has for every parameter its parts, each with scratch arrays of its shape.
        self._blocks = [
            [(part, [each[: p[part].size].reshape(p[part].shape) for each in scratch]) for part in parts]
            for p, parts in zip(parameters, blocks, strict=True)
        ]

    def like(self, parameters):
        """Returns a new optimiser with the same settings for other parameters, equal in number."""
        other = copy.copy(self)
        other._begin(parameters)
        return other

    def step(self, gradients):
        """Updates every parameter by its gradient; `gradients` is a list of arrays like the parameters."""
        self.advance()
        for index, (gradient, blocks) in enumerate(zip(gradients, self._blocks, strict=True)):
            for part, scratch in blocks:
                self.update(index, part, gradient, scratch)

    def advance(self):
        """Begins the next step.

        Afterwards `update` must be called once for every part of every parameter; it may be called from any
        thread.
        """
        self.steps += 1

    def update(self, index, part, gradient, scratch=None):
        """Updates one part of parameter `index` by the same part of its gradient.

        part      a slice, or a tuple of slices
        gradient  array like the whole parameter
        scratch   arrays like the part, which are overwritten: one, and a second one with weight decay; None: new ones
        """
        p, g = self.parameters[index][part], gradient[part]
        xp, moments = array_module(p), [moment[part] for moment in self._moments[index]]
        if self._kernel and on_device(p):
            numbers = self._numbers(index) if self.held is None else self.held[index]
            self._kernel(g, *numbers, self.weight_decay, p, *moments)
            return
        if self.held is not None:
            raise NotImplementedError("an optimiser without a kernel cannot be recorded")
        scratch = scratch or [xp.empty_like(p) for _ in range(1 + bool(self.weight_decay))]
        out = scratch[0]
        if self.weight_decay:
            g = xp.multiply(p, self.weight_decay, out=scratch[1])
            g += gradient[part]
        self._change(xp, index, g, moments, out)
        p -= out

    @property
    def numbers(self):
        """Returns the numbers that the GPU's kernel takes, per parameter; they may change with each step."""
        return [self._numbers(index) for index in range(len(self.parameters))] if self._kernel else []

    def _change(self, xp, index, g, moments, out):
        """Adds the gradient `g` to `moments`, and writes into `out` what is subtracted from the parameter."""
        raise NotImplementedError

    def _numbers(self, index):
        """Returns the numbers that the GPU's kernel takes for parameter `index`, without the weight decay."""
        raise NotImplementedError

    def state(self):
        """Returns {name: array} of everything that the next step depends on, except for the parameters.

        The moments are not copied.
        """
        named = {"steps": self.steps}
        for index, moments in enumerate(self._moments):
            named |= {f"{name}{index}": moment for name, moment in zip(self._names, moments, strict=True)}
        return named

    def restore(self, named):
        """Continues from a `state` of an optimiser of the same kind and arrays."""
        self.steps = int(named["steps"])
        for index, moments in enumerate(self._moments):
            for name, moment in zip(self._names, moments, strict=True):
                moment[...] = named[f"{name}{index}"]


class SGD(Optimiser):
    """Descends along the gradient with momentum (docs/published/dfc.md E).

        b <- momentum b + g,   p <- p - lr b;   without momentum p <- p - lr g

    The arguments are those of Optimiser, and momentum in [0, 1).
    """

    def __init__(self, parameters, learning_rate, momentum=0.0, weight_decay=0.0):
        super().__init__(parameters, learning_rate, weight_decay, ("b",) if momentum else ())
        self.momentum = momentum
        self._kernel = device_kernels.SGD_MOMENTUM if momentum else device_kernels.SGD

    def _numbers(self, index):
        return *([self.momentum] if self.momentum else []), self.learning_rate[index]

    def _change(self, xp, index, g, moments, out):
        for b in moments:
            b *= self.momentum
            b += g
            g = b
        xp.multiply(g, self.learning_rate[index], out=out)


class RMSprop(Optimiser):
    """Makes steps of centred RMSprop (Graves 2013, arXiv:1308.0850, eq. 38-41; docs/published/dfc.md E).

        s <- alpha s + (1 - alpha) g^2,   a <- alpha a + (1 - alpha) g,   d = sqrt(s - a^2) + epsilon
        b <- momentum b + g / d,   p <- p - lr b;   without momentum p <- p - lr g / d

    Graves adds epsilon under the root. s - a^2 is a variance; where rounding makes it negative (a gradient that
    is constant over hundreds of steps) it counts as zero. s and a are kept divided by 1 - alpha, and b divided by
    its root, which saves passes over memory.

    The arguments are those of Optimiser; momentum and alpha in [0, 1), epsilon > 0: a number, or a list with one
    number per array.
    """

    def __init__(self, parameters, learning_rate, momentum=0.0, weight_decay=0.0, alpha=0.95, epsilon=0.03):
        super().__init__(parameters, learning_rate, weight_decay, ("s", "a", "b") if momentum else ("s", "a"))
        self.momentum, self.alpha = momentum, alpha
        self.epsilon = per_array(epsilon, parameters, "epsilons")
        self._kernel = device_kernels.RMSPROP_MOMENTUM if momentum else device_kernels.RMSPROP

    def _numbers(self, index):
        root = math.sqrt(1.0 - self.alpha)
        momentum = [self.momentum] if self.momentum else []
        return self.alpha, self.epsilon[index] / root, *momentum, self.learning_rate[index] / root

    def _change(self, xp, index, g, moments, out):
        s, a, *rest = moments
        root = math.sqrt(1.0 - self.alpha)
        s *= self.alpha
        xp.multiply(g, g, out=out)
        s += out
        a *= self.alpha
        a += g
        xp.multiply(a, a, out=out)
        out *= self.alpha - 1.0
        out += s
        xp.maximum(out, 0.0, out=out)
        xp.sqrt(out, out=out)
        out += self.epsilon[index] / root
        xp.divide(g, out, out=out)
        change = out
        for b in rest:
            b *= self.momentum
            b += out
            change = b
        xp.multiply(change, self.learning_rate[index] / root, out=out)


class Adam(Optimiser):
    """Makes steps of Adam (Kingma and Ba 2015), by default without bias correction.

        m <- beta1 m + (1 - beta1) g,   v <- beta2 v + (1 - beta2) g^2,   p <- p - lr m / (sqrt(v) + eps)

    and with `bias_correction`, at step k = 1, 2, …,   p <- p - lr / (1 - beta1^k) m / (sqrt(v) / sqrt(1 - beta2^k) +
                                                       eps).
    The first is that of docs/published/gait.md 2, the second that of docs/published/dfc.md E. The moments are kept
    divided by 1 - beta1 and 1 - beta2, which saves two passes over memory.

    The arguments are those of Optimiser; beta1 and beta2 in [0, 1), epsilon > 0: a number, or a list with one
    number per array.
    """

    def __init__(
        self, parameters, learning_rate, beta1=0.9, beta2=0.99, epsilon=1e-8, bias_correction=False, weight_decay=0.0
    ):
        super().__init__(parameters, learning_rate, weight_decay, ("m", "v"))
        self.beta1, self.beta2 = beta1, beta2
        self.epsilon = per_array(epsilon, parameters, "epsilons")
        self.bias_correction = bias_correction
        self._kernel = device_kernels.ADAM

    def _numbers(self, index):
        rate, epsilon = self._constants(index)
        return self.beta1, self.beta2, epsilon, rate

    def _change(self, xp, index, g, moments, out):
        m, v = moments
        rate, epsilon = self._constants(index)
        m *= self.beta1
        m += g
        xp.multiply(g, g, out=out)
        v *= self.beta2
        v += out
        xp.sqrt(v, out=out)
        out += epsilon
        xp.divide(m, out, out=out)
        out *= rate

    def update(self, index, part, gradient, scratch=None):
        """Updates one part of a parameter, in a compiled loop where core.kernels can; see Optimiser.update."""
        p, g, (m, v) = self.parameters[index][part], gradient[part], (moment[part] for moment in self._moments[index])
        if kernels.fuses(p) and g.flags.c_contiguous:
            rate, epsilon = self._constants(index)
            kernels.adam(p, g, m, v, self.beta1, self.beta2, epsilon, rate, self.weight_decay)
        else:
            super().update(index, part, gradient, scratch)

    def _constants(self, index):
        """Returns (lr, eps) for moments kept divided by 1 - beta1 and 1 - beta2."""
        v_root = math.sqrt(1.0 - self.beta2)
        rate, epsilon = self.learning_rate[index] * (1.0 - self.beta1) / v_root, self.epsilon[index] / v_root
        if self.bias_correction:
            root = math.sqrt(1.0 - self.beta2**self.steps)
            rate, epsilon = rate * root / (1.0 - self.beta1**self.steps), epsilon * root
        return rate, epsilon


# Maps a name to (class, the arguments that flags of main.py set, the other arguments of main.py); run.py takes the
# defaults.
OPTIMISERS = {
    "SGD": (SGD, ("momentum",), {}),
    "RMSprop": (RMSprop, ("momentum",), {}),
    "Adam": (Adam, ("beta1", "beta2", "epsilon"), {"bias_correction": True}),
}


def _parts(shape, block):
    """Returns the indices of contiguous parts of an array, each of about `block` entries at most.

    A part consists of rows, or of some seeds' rows where the array has an axis of seeds.
    """
    if len(shape) < 3 or math.prod(shape) <= block:
        return [(rows,) for rows in shares(shape[0], -(-math.prod(shape) // block))]
    return [(np.s_[s : s + 1], *part) for s in range(shape[0]) for part in _parts(shape[1:], block)]


def per_array(value, arrays, what):
    """Returns a list with one number per array, made of such a list or of one number for all.

    what    names the numbers in an error
    Raises  ValueError for a list of another length
    """
    values = list(value) if isinstance(value, (list, tuple)) else [value] * len(arrays)
    if len(values) != len(arrays):
        raise ValueError(f"{len(values)} {what} for {len(arrays)} arrays")
    return values
