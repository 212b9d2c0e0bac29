"""Defines the activation functions phi of system 2, each with two derivatives that differ only at a kink."""

from collections.abc import Callable
from dataclasses import dataclass

from core.backend import array_module


@dataclass(frozen=True)
class Activation:
    """Holds one activation function, which works on each entry of an array of any shape.

    name        as on the command line
    apply       (v, out=None) -> phi(v)
    slope       (v, r=None) -> phi'(v) as in the hand-written formulas of the published program: 1 at the kink of relu and
                leakyrelu; r is phi(v), if it is known already
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
        Activation("leakyrelu", _leaky_relu, _step(LEAK, at_zero=True), _step(LEAK, at_zero=False), f"larger(v, T({LEAK}) * v)"),
        Activation("sigmoid", _sigmoid, _sigmoid_slope, _sigmoid_slope, "(tanh(T(0.5) * v) + T(1)) * T(0.5)"),
    )
}
