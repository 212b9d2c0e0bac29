"""Optimisers: they know lists of arrays and nothing else, and update them in place."""

import math

from core.backend import array_module


class Adam:
    """Adam (Kingma and Ba 2015), by default without bias correction, as in gait.md 2.

        m <- beta1 m + (1 - beta1) g,   v <- beta2 v + (1 - beta2) g^2,   p <- p - lr m / (sqrt(v) + eps)

    with lr and eps rescaled at step k if `bias_correction`: lr sqrt(1 - beta2^k) / (1 - beta1^k), eps sqrt(1 - beta2^k).
    The moments start at zero.  They are kept divided by (1 - beta1) and (1 - beta2), which saves two passes over memory.

    parameters  list of C-contiguous arrays, updated in place
    """

    def __init__(self, parameters, learning_rate, beta1=0.9, beta2=0.99, epsilon=1e-8, bias_correction=False):
        xp = array_module(*parameters)
        self.parameters = parameters
        self.learning_rate = learning_rate
        self.beta1, self.beta2, self.epsilon = beta1, beta2, epsilon
        self.bias_correction = bias_correction
        self.steps = 0
        self._m = [xp.zeros_like(p) for p in parameters]
        self._v = [xp.zeros_like(p) for p in parameters]

    def step(self, gradients):
        """Update every parameter by its gradient, arrays like the parameters."""
        self.advance()
        for index, gradient in enumerate(gradients):
            self.update(index, slice(None), gradient)

    def advance(self):
        """Begin the next step: from here on `update` is called once for every part of every parameter, from any thread."""
        self.steps += 1

    def update(self, index, rows, gradient):
        """Update the rows `rows` (a slice) of parameter `index` by those of its gradient, an array like the parameter."""
        p, g, m, v = (array[rows] for array in (self.parameters[index], gradient, self._m[index], self._v[index]))
        xp = array_module(p)
        rate, epsilon = self._constants()
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

    def _constants(self):
        """(lr, eps) for moments kept divided by 1 - beta1 and 1 - beta2."""
        v_root = math.sqrt(1.0 - self.beta2)
        rate, epsilon = self.learning_rate * (1.0 - self.beta1) / v_root, self.epsilon / v_root
        if self.bias_correction:
            root = math.sqrt(1.0 - self.beta2**self.steps)
            rate, epsilon = rate * root / (1.0 - self.beta1**self.steps), epsilon * root
        return rate, epsilon

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

