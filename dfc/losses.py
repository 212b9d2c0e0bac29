"""Defines the losses of system 2: means over the batch, functions of the output (n, n_L) and the target."""

from collections.abc import Callable
from dataclasses import dataclass

from core.backend import array_module
from utils import one_hot


@dataclass(frozen=True)
class Loss:
    """Holds a loss and its gradient.

    value  (output, target) -> the mean over the samples, a number per seed
    error  (output, target) -> n dLoss/dr_L (n, n_L): the gradient of each sample's own loss, not divided by the samples n
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
