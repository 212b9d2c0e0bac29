"""Defines the functions of a network of system 2, activations and losses, with their derivatives.

A loss is a mean over the batch, a function of the output (n, n_L) and the target.
"""

from collections.abc import Callable
from dataclasses import dataclass

from core.backend import array_module
from utils import one_hot


@dataclass(frozen=True)
class Activation:
    """Holds one activation function, which works on each entry of an array of any shape.

    Its two derivatives differ only at a kink.

    name        as on the command line
    apply       (v, out=None) -> phi(v)
    slope       (v, r=None) -> phi'(v) as in the hand-written formulas of the published program: 1 at the kink of relu
                and leakyrelu; r is phi(v), if it is known already
    derivative  (v, r=None) -> phi'(v) as automatic differentiation gives it: 0 (relu) or 0.2 (leakyrelu) at the kink
    formula     phi(v) as an expression of core/device_kernels.py
    """

    name: str
    apply: Callable
    slope: Callable
    derivative: Callable
    formula: str


LEAK = 0.2


def _tanh(v, out=None):
    return array_module(v).tanh(v, out=out)


def _tanh_slope(v, r=None):
    r = _tanh(v) if r is None else r
    slope = r * r
    return array_module(v).subtract(1.0, slope, out=slope)


def _relu(v, out=None):
    return array_module(v).maximum(v, 0.0, out=out)


def _leaky_relu(v, out=None):
    return array_module(v).maximum(v, LEAK * v, out=out)


def _identity(v, out=None):
    if out is None:
        return v.copy()
    out[...] = v
    return out


def _sigmoid(v, out=None):
    # The function tanh saturates where exp(-v) would overflow.
    out = array_module(v).tanh(0.5 * v, out=out)
    out += 1.0
    out *= 0.5
    return out


def _sigmoid_slope(v, r=None):
    r = _sigmoid(v) if r is None else r
    return r * (1.0 - r)


def _ones(v, r=None):
    return array_module(v).ones_like(v)


def _step(below, at_zero):
    """Returns the derivative of a function with a kink at zero: 1 above, `below` below, 1 or `below` at zero."""

    def derivative(v, r=None):
        above = v >= 0.0 if at_zero else v > 0.0
        return array_module(v).maximum(above.astype(v.dtype), below)

    return derivative


ACTIVATIONS = {
    activation.name: activation
    for activation in (
        Activation("tanh", _tanh, _tanh_slope, _tanh_slope, "tanh(v)"),
        Activation("relu", _relu, _step(0.0, at_zero=True), _step(0.0, at_zero=False), "larger(v, T(0))"),
        Activation("linear", _identity, _ones, _ones, "v"),
        Activation(
            "leakyrelu", _leaky_relu, _step(LEAK, at_zero=True), _step(LEAK, at_zero=False), f"larger(v, T({LEAK}) * v)"
        ),
        Activation("sigmoid", _sigmoid, _sigmoid_slope, _sigmoid_slope, "(tanh(T(0.5) * v) + T(1)) * T(0.5)"),
    )
}


@dataclass(frozen=True)
class Loss:
    """Holds a loss and its gradient.

    value  (output, target) -> the mean over the samples, a number per seed
    error  (output, target) -> n dLoss/dr_L (n, n_L): the gradient of each sample's own loss, not divided by the samples
           n
    goal   (output, target) -> the target as an array like the output (n, n_L)
    logits whether the output stands for probabilities, softmax(output)
    """

    value: Callable
    error: Callable
    goal: Callable
    logits: bool = False


def softmax(output):
    """Returns the probabilities (n, n_L) that logits (n, n_L) stand for."""
    return array_module(output).exp(log_softmax(output))


def log_softmax(output):
    """Returns the logarithm of `softmax`, (n, n_L)."""
    xp = array_module(output)
    shifted = output - output.max(axis=-1, keepdims=True)
    return shifted - xp.log(xp.exp(shifted).sum(axis=-1, keepdims=True))


def _cross_entropy(output, labels):
    """Returns the mean of -log softmax(output) at the label."""
    rows = log_softmax(output).reshape(-1, output.shape[-1])
    right = rows[array_module(output).arange(len(rows)), labels.reshape(-1)]
    return -right.reshape(labels.shape).mean(axis=-1)


def _cross_entropy_error(output, labels):
    """Returns softmax(output) - onehot(label), (n, n_L)."""
    error = softmax(output)
    error -= one_hot(labels, output.shape[-1], output.dtype)
    return error


def _one_hot(output, labels, value=1.0):
    """Returns (n, n_L) with `value` for the class that the label names, and equal shares of the rest."""
    classes = output.shape[-1]
    right = one_hot(labels, classes, output.dtype)
    xp = array_module(output)
    return xp.where(right > 0.0, xp.full_like(right, value), (1.0 - value) / (classes - 1))


def soft_cross_entropy(value):
    """Returns the Loss of labels that stand for soft vectors (docs/published/strong_dfc.md 2).

        -sum_c y_c log softmax(r_L)_c,   y = `value` for the right class, (1 - value) / (n_L - 1) for the others

    value  in (0, 1)
    """

    def goal(output, labels):
        return _one_hot(output, labels, value)

    def mean(output, labels):
        return -(goal(output, labels) * log_softmax(output)).sum(axis=-1).mean(axis=-1)

    def error(output, labels):
        return softmax(output) - goal(output, labels)

    return Loss(mean, error, goal, logits=True)


def _squared_error(output, target):
    """Returns sum (r_L - y)^2 / (n n_L)."""
    difference = output - target
    return (difference * difference).mean(axis=(-2, -1))


def _squared_error_error(output, target):
    """Returns 2 (r_L - y) / n_L, (n, n_L)."""
    return (output - target) * (2.0 / output.shape[-1])


# Its labels are integers (n,), and the output is the logits.
CROSS_ENTROPY = Loss(_cross_entropy, _cross_entropy_error, _one_hot, logits=True)
# Its targets are (n, n_L).
SQUARED_ERROR = Loss(_squared_error, _squared_error_error, lambda output, target: target)
