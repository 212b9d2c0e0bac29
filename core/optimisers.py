"""Optimisers: they know lists of arrays and nothing else, and update them in place."""

import math

from core.backend import array_module
from core.workers import Workers, shares


class Adam:
    """Adam (Kingma and Ba 2015), by default without bias correction, as in gait.md 2.

        m <- beta1 m + (1 - beta1) g,   v <- beta2 v + (1 - beta2) g^2,   p <- p - lr m / (sqrt(v) + eps)

    with lr and eps rescaled at step k if `bias_correction`: lr sqrt(1 - beta2^k) / (1 - beta1^k), eps sqrt(1 - beta2^k).
    The moments start at zero.  They are kept divided by (1 - beta1) and (1 - beta2), which saves two passes over memory.

    parameters  list of C-contiguous arrays, updated in place
    block       entries in one pass (core/backend.py)
    """

    def __init__(self, parameters, learning_rate, beta1=0.9, beta2=0.99, epsilon=1e-8, bias_correction=False, block=150_000):
        xp = array_module(*parameters)
        self.parameters = parameters
        self.learning_rate = learning_rate
        self.beta1, self.beta2, self.epsilon = beta1, beta2, epsilon
        self.bias_correction, self.block = bias_correction, block
        self.steps = 0
        self._m = [xp.zeros_like(p) for p in parameters]
        self._v = [xp.zeros_like(p) for p in parameters]

    def step(self, gradients, workers=None):
        """Update every parameter by its gradient, arrays like the parameters; `workers` share blocks of entries."""
        workers = workers or Workers()
        self.steps += 1
        rate, epsilon = self._constants()
        flat = [
            tuple(array.reshape(-1) for array in arrays)
            for arrays in zip(self.parameters, gradients, self._m, self._v, strict=True)
        ]
        jobs = [(arrays, block) for arrays in flat for block in self._blocks(arrays[0].size, workers.count)]
        workers.map(lambda job: self._update(*(array[job[1]] for array in job[0]), rate, epsilon), jobs)

    def _constants(self):
        """(lr, eps) for moments kept divided by 1 - beta1 and 1 - beta2."""
        v_root = math.sqrt(1.0 - self.beta2)
        rate, epsilon = self.learning_rate * (1.0 - self.beta1) / v_root, self.epsilon / v_root
        if self.bias_correction:
            root = math.sqrt(1.0 - self.beta2**self.steps)
            rate, epsilon = rate * root / (1.0 - self.beta1**self.steps), epsilon * root
        return rate, epsilon

    def _update(self, p, g, m, v, rate, epsilon):
        xp = array_module(p)
        m *= self.beta1
        m += g
        change = g * g
        v *= self.beta2
        v += change
        xp.sqrt(v, out=change)
        change += epsilon
        xp.divide(m, change, out=change)
        change *= rate
        p -= change

    def _blocks(self, size, count):
        """Slices of about `block` entries, their number a multiple of `count` so that no worker waits."""
        return shares(size, count * max(1, round(size / (self.block * count)))) if size > self.block else [slice(0, size)]

    def state(self):
        """{name: array} of all that the next step depends on beside the parameters; the moments by reference."""
        named = {"steps": self.steps}
        for index, (m, v) in enumerate(zip(self._m, self._v, strict=True)):
            named[f"m{index}"], named[f"v{index}"] = m, v
        return named

    def restore(self, named):
        """Take over a `state` of an optimiser of the same arrays."""
        self.steps = int(named["steps"])
        for index, (m, v) in enumerate(zip(self._m, self._v, strict=True)):
            m[...], v[...] = named[f"m{index}"], named[f"v{index}"]

