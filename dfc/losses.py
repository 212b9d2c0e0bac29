"""Losses of system 2 as functions of the network's output (n, n_L) and the target, means over the batch."""

from collections.abc import Callable
from dataclasses import dataclass

from core.backend import array_module


@dataclass(frozen=True)
class Loss:
    """A loss, and what descends it.

    value  (output, target) -> the mean over the samples, a 0-d array
    error  (output, target) -> n dLoss/dr_L (n, n_L): the gradient of each sample's own loss, not divided by the samples n
    """

    value: Callable
    error: Callable


def _log_softmax(output):
    xp = array_module(output)
    shifted = output - output.max(axis=-1, keepdims=True)
    return shifted - xp.log(xp.exp(shifted).sum(axis=-1, keepdims=True))


def _cross_entropy(output, labels):
    """Mean of -log softmax(output) at the label."""
    rows = array_module(output).arange(len(labels))
    return -_log_softmax(output)[rows, labels].mean()


def _cross_entropy_error(output, labels):
    """softmax(output) - onehot(label)."""
    xp = array_module(output)
    error = xp.exp(_log_softmax(output))
    error[xp.arange(len(labels)), labels] -= 1.0
    return error


def _squared_error(output, target):
    """sum (r_L - y)^2 / (n n_L)."""
    difference = output - target
    return (difference * difference).mean()


def _squared_error_error(output, target):
    """2 (r_L - y) / n_L."""
    return (output - target) * (2.0 / output.shape[-1])


CROSS_ENTROPY = Loss(_cross_entropy, _cross_entropy_error)  # labels (n,) of integers; the output is the logits
SQUARED_ERROR = Loss(_squared_error, _squared_error_error)  # targets (n, n_L)
