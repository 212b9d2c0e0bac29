"""Losses of system 2 as functions of the network's output (n, n_L) and the target, means over the batch."""

from collections.abc import Callable
from dataclasses import dataclass

from core.backend import array_module


@dataclass(frozen=True)
class Loss:
    """A loss, and what descends it.

    value  (output, target) -> the mean over the samples, a 0-d array
    error  (output, target) -> n dLoss/dr_L (n, n_L): the gradient of each sample's own loss, not divided by the samples n
    goal   (output, target) -> the target as an array like the output (n, n_L)
    logits whether the output stands for probabilities, softmax(output)
    """

    value: Callable
    error: Callable
    goal: Callable
    logits: bool = False


def softmax(output):
    """The probabilities that logits (n, n_L) stand for."""
    return array_module(output).exp(log_softmax(output))


def log_softmax(output):
    """The logarithm of `softmax`."""
    xp = array_module(output)
    shifted = output - output.max(axis=-1, keepdims=True)
    return shifted - xp.log(xp.exp(shifted).sum(axis=-1, keepdims=True))


def _cross_entropy(output, labels):
    """Mean of -log softmax(output) at the label."""
    rows = array_module(output).arange(len(labels))
    return -log_softmax(output)[rows, labels].mean()


def _cross_entropy_error(output, labels):
    """softmax(output) - onehot(label)."""
    xp = array_module(output)
    error = softmax(output)
    error[xp.arange(len(labels)), labels] -= 1.0
    return error


def _one_hot(output, labels, value=1.0):
    """`value` for the class that the label names, the rest shared by the other classes."""
    xp = array_module(output)
    goal = xp.full_like(output, (1.0 - value) / (output.shape[-1] - 1))
    goal[xp.arange(len(labels)), labels] = value
    return goal


def soft_cross_entropy(value):
    """The Loss of labels that stand for vectors (strong_dfc.md 2): `value` in (0, 1) for the right class, the rest for the others.

        -sum_c y_c log softmax(r_L)_c,   y as `goal` returns it
    """

    def goal(output, labels):
        return _one_hot(output, labels, value)

    def mean(output, labels):
        return -(goal(output, labels) * log_softmax(output)).sum(axis=-1).mean()

    def error(output, labels):
        return softmax(output) - goal(output, labels)

    return Loss(mean, error, goal, logits=True)


def _squared_error(output, target):
    """sum (r_L - y)^2 / (n n_L)."""
    difference = output - target
    return (difference * difference).mean()


def _squared_error_error(output, target):
    """2 (r_L - y) / n_L."""
    return (output - target) * (2.0 / output.shape[-1])


# labels (n,) of integers; the output is the logits
CROSS_ENTROPY = Loss(_cross_entropy, _cross_entropy_error, _one_hot, logits=True)
SQUARED_ERROR = Loss(_squared_error, _squared_error_error, lambda output, target: target)  # targets (n, n_L)
