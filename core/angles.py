"""Measures how far two updates point apart."""

import math

from core.backend import array_module
from core.clipping import joint_norm


def angle(a, b):
    """Returns the angle between two arrays of one shape, flattened, in degrees: a 0-d array; NaN if one of them is zero
    (dfc.md G.2).

        arccos(<a, b> / (|a| |b|)) = 2 atan2(|a' - b'|, |a' + b'|),   a' = a / |a|, b' = b / |b|

    The second form loses no digits at 0 and 180 degrees, where an arccosine is wrong by 1e-6 degrees in float64, 0.03 in float32.
    """
    return joint_angle([a], [b])


def joint_angle(first, second):
    """Returns the angle between two lists of arrays, all entries of a list in one vector: see `angle`."""
    xp = array_module(*first)
    one, other = joint_norm(first), joint_norm(second)
    pairs = [(a / one, b / other) for a, b in zip(first, second, strict=True)]
    apart, together = joint_norm([a - b for a, b in pairs]), joint_norm([a + b for a, b in pairs])
    return xp.arctan2(apart, together) * (360.0 / math.pi)
