"""Holds pure array functions: transfer functions, one-hot targets, loss, accuracy, and how arrays are joined.

Rows are samples, and a leading axis of seeds may precede them. Every function takes its array module and its
float type from its arguments.
"""

from dataclasses import dataclass

import numpy as np

from core.backend import array_module, on_device
from core.device_kernels import INVERSE_CHANGE, SLOPE, TRANSFER


@dataclass(frozen=True)
class Transfer:
    """Computes an invertible, piecewise linear transfer function f with one kink, at zero.

    f(z) = z for z >= 0 and `negative_slope` z below; the slope at zero is 1. As f keeps the sign of its argument,
    the slope follows from the activity h = f(z) (docs/published/gait.md 1: "by the sign of y"). `negative_slope`
    = 1 is the identity.
    """

    name: str
    negative_slope: float

    def apply(self, z):
        """Returns f(z), an array of any shape, computed in place of the pre-activation `z`.

        `z` is overwritten, so no other reference to it may exist.
        """
        if self.negative_slope == 1.0:
            return z
        if on_device(z):
            TRANSFER(self.negative_slope, z)
            return z
        # max(z, a z) equals f for 0 < a < 1 and needs no mask.
        return array_module(z).maximum(z, self.negative_slope * z, out=z)

    def slope(self, h):
        """Returns f'(f^-1(h)), an array like `h`: 1 where h >= 0, `negative_slope` elsewhere."""
        xp = array_module(h)
        if on_device(h):
            result = xp.empty_like(h)
            SLOPE(h, self.negative_slope, result)
            return result
        positive = (h >= 0).astype(h.dtype)
        return xp.maximum(positive, self.negative_slope)

    def inverse(self, h):
        """Returns f^-1(h), a new array like `h`."""
        return h / self.slope(h)

    def inverse_change(self, h, move, step):
        """Returns the change of f^-1 per step: (f^-1(h) - f^-1(h - step move)) / step, an array like `h`.

        Away from the kink this is move / f'(h) for any step. If the sign of a unit changes, the part of the
        move beyond the kink has the other slope: with w = h - step move beyond the kink, the exact result in both
        directions is move / f'(h) + (1/a - 1) |w| / step, a = negative_slope. No difference of nearly equal
        numbers is taken, so the result is exact to rounding for any step.

        h      activities, any shape
        move   direction of the move, like `h`
        step   scalar > 0, length of the move; raised to the smallest number with which h / step stays exact, which
               changes the result only for |h| below that number times |move|
        """
        if self.negative_slope == 1.0:
            return move / self.slope(h)
        xp = array_module(h)
        info = xp.finfo(h.dtype)
        step = max(step, float(info.tiny) / float(info.eps))
        if on_device(h):
            change = xp.empty_like(h)
            INVERSE_CHANGE(h, move, step, self.negative_slope, change)
            return change
        change = move / self.slope(h)
        w = h - step * move
        beyond = abs(w) * (1.0 / step)
        crossed = (h >= 0) != (w >= 0)
        return change + (1.0 / self.negative_slope - 1.0) * xp.where(crossed, beyond, xp.zeros_like(beyond))


LEAKY_RELU = Transfer("leaky_relu", 0.1)
LINEAR = Transfer("linear", 1.0)


def one_hot(labels, classes, dtype):
    """Returns rows of zeros with a one at each label: labels (n,) of integers -> (n, classes) of `dtype`."""
    xp = array_module(labels)
    return (labels[..., None] == xp.arange(classes)).astype(dtype)


def squared_error(output, target):
    """Returns the sum over the samples of 0.5 |output - target|^2, a scalar of the float type of `output`.

    output, target  (n, classes)
    """
    difference = output - target
    return 0.5 * (difference * difference).sum(axis=(-2, -1))


def count_correct(output, labels):
    """Returns the number of rows of `output` (n, classes) whose largest entry is at the label (n,).

    Of equal entries the first counts.
    """
    return (output.argmax(axis=-1) == labels).sum(axis=-1)


def join(arrays, axis):
    """Returns arrays joined along an axis that they have, -1, -2 and so on from the last.

    For more than eight arrays cupy.concatenate would copy a list of pointers to the device; this function does not.
    """
    if not on_device(arrays[0]):
        return np.concatenate(arrays, axis=axis)
    shape = list(arrays[0].shape)
    shape[axis] = sum(array.shape[axis] for array in arrays)
    whole, begin = array_module(*arrays).empty(shape, dtype=arrays[0].dtype), 0
    for array in arrays:
        end = begin + array.shape[axis]
        whole[(..., slice(begin, end), *[slice(None)] * (-1 - axis))] = array
        begin = end
    return whole


def stack(arrays):
    """Joins arrays of one shape (…) and one type along a new first axis: returns (number of arrays, …).

    For more than eight arrays cupy.stack would copy a list of pointers to the device; this function does not.
    """
    whole = array_module(*arrays).empty((len(arrays), *arrays[0].shape), dtype=arrays[0].dtype)
    for place, array in enumerate(arrays):
        whole[place] = array
    return whole
