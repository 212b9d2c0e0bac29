"""Defines elementwise passes on a GPU, each as one kernel: small steps cost what their launches cost.

A body consists of assignments that are both CUDA C++ and Python, so that tests can compute it with numpy. It may
use arguments by their names, + - * / %, sqrt, tanh, the functions of PREAMBLE, i for the index of an entry (from
0, in C order), and T(number) for a number of the arrays' float type.
"""

import functools
from dataclasses import dataclass

from core.backend import array_module

# larger(a, b) is the larger number, and NaN where a or b is NaN.  fraction(k) is k if k < 1, else 1, also where k is
# NaN. slope(h, below) is the slope of a function with a kink at zero, told by the sign of h.  crossed(h, w, x) is x
# where h and w lie on different sides of that kink, else 0.  chosen(kept, x) is x where kept is 1, else 0, also where x
# is NaN.  normal is explained at NORMALS.
PREAMBLE = """
template <typename A> __device__ A larger(A a, A b) { return a < b || b != b ? b : a; }
template <typename A> __device__ A fraction(A k) { return k < A(1) ? k : A(1); }
template <typename A> __device__ A slope(A h, A below) { return h >= A(0) ? A(1) : below; }
template <typename A> __device__ A crossed(A h, A w, A x) { return (h >= A(0)) != (w >= A(0)) ? x : A(0); }
template <typename A> __device__ A chosen(A kept, A x) { return kept > A(0) ? x : A(0); }
template <typename A>
__device__ A normal(A, unsigned long long key, unsigned long long place, unsigned long long index) {
    unsigned int k = key, l = key >> 32, a = index, b = index >> 32, c = place, d = place >> 32;
    for (int round = 0; round < 10; ++round) {
        unsigned long long p = 0xD2511F53ull * a, q = 0xCD9E8D57ull * c;
        a = (unsigned int)(q >> 32) ^ b ^ k;
        b = q;
        c = (unsigned int)(p >> 32) ^ d ^ l;
        d = p;
        k += 0x9E3779B9u;
        l += 0xBB67AE85u;
    }
    unsigned long long bits = ((unsigned long long)a << 32 | b) >> 11;
    A u = sizeof(A) == 8 ? A(bits + 1) * A(1.1102230246251565e-16) : (A(a) + A(0.5)) * A(2.3283064365386963e-10);
    return sqrt(A(-2) * log(u)) * cos(A(int(c)) * A(1.4629180792671596e-09));
}
"""


@dataclass(frozen=True)
class Kernel:
    """Holds one elementwise calculation.

    name     as profilers print it
    inputs   names of arrays or numbers, separated by blanks; an input that has a type of its own is written name:type
    outputs  names of arrays, which may be read before they are written
    body     assignments to the outputs
    """

    name: str
    inputs: str
    outputs: str
    body: str

    def __call__(self, *arguments):
        """Computes on device arrays: first the inputs, then the outputs.

        All have one float type T, except inputs with a type of their own. Inputs are broadcast to the shape of
        the outputs.
        """
        _compiled(array_module(arguments[-1]), self)(*arguments)


@functools.cache
def _compiled(xp, kernel):
    inputs, outputs = (", ".join(map(_declared, names.split())) for names in (kernel.inputs, kernel.outputs))
    return xp.ElementwiseKernel(inputs, outputs, kernel.body, kernel.name, preamble=PREAMBLE, no_return=True)


def _declared(name):
    """Returns the declaration of an argument: "T name" of "name", and "type name" of "name:type"."""
    name, _, kind = name.partition(":")
    return f"{kind or 'T'} {name}"


# The optimisers (core/optimisers.py): g + decay p is the gradient with the coupled weight decay.
_G = "(g + p * decay)"
_CENTRED = f"{_G} / (sqrt(larger(s + a * a * (alpha - T(1)), T(0))) + epsilon)"
SGD = Kernel("sgd", "g rate decay", "p", f"p = p - {_G} * rate;")
SGD_MOMENTUM = Kernel("sgd_momentum", "g momentum rate decay", "p b", f"b = b * momentum + {_G}; p = p - b * rate;")
ADAM = Kernel(
    "adam",
    "g beta1 beta2 epsilon rate decay",
    "p m v",
    f"m = m * beta1 + {_G}; v = v * beta2 + {_G} * {_G}; p = p - m / (sqrt(v) + epsilon) * rate;",
)
RMSPROP = Kernel(
    "rmsprop",
    "g alpha epsilon rate decay",
    "p s a",
    f"s = s * alpha + {_G} * {_G}; a = a * alpha + {_G}; p = p - {_CENTRED} * rate;",
)
RMSPROP_MOMENTUM = Kernel(
    "rmsprop_momentum",
    "g alpha epsilon momentum rate decay",
    "p s a b",
    f"s = s * alpha + {_G} * {_G}; a = a * alpha + {_G}; b = b * momentum + {_CENTRED}; p = p - b * rate;",
)

# The controller (dfc/controller.py): u and its integral part, and filters of u.
CONTROL = Kernel(
    "control",
    "target output before alpha dt gain",
    "control integral",
    "integral = integral + ((target - output) - before * alpha) * dt; control = integral + (target - output) * gain;",
)
LOW_PASS = Kernel("low_pass", "before u rate", "now", "now = before * (T(1) - rate) + u * rate;")
HIGH_PASS = Kernel("high_pass", "u rate", "slow fast", "slow = slow * (T(1) - rate) + u * rate; fast = u - slow;")

# The transfer functions of invertible networks (utils.py); `below` is the slope below zero.
TRANSFER = Kernel("transfer", "below", "z", "z = larger(z, below * z);")
SLOPE = Kernel("slope", "h below", "result", "result = slope(h, below);")
_BEYOND = "(T(1) / below - T(1)) * larger(h - step * move, step * move - h) * (T(1) / step)"
INVERSE_CHANGE = Kernel(
    "inverse_change",
    "h move step below",
    "change",
    f"change = move / slope(h, below) + crossed(h, h - step * move, {_BEYOND});",
)

# Noise (dfc/draws.py): independent standard normals, each a function of key, place and index alone, so that there is no
# state, and the same noise can be drawn again anywhere.  Ten rounds of Philox4x32 (Salmon, Moraes, Dror, Shaw 2011)
# make of the key and the counter (index, place) 128 bits; Box and Muller's transformation makes of these one normal, as
# core.streams.fill_normals does. `size` entries share a key, and `first` is the index of the first of them.
NORMALS = Kernel(
    "normals",
    "key:uint64 place:uint64 first:uint64 size:uint64",
    "z",
    "z = normal(T(0), key, place, first + i % size);",
)

# Sums over time (dfc/time_sums.py).
ADD_DIFFERENCE = Kernel("add_difference", "a b", "total", "total = total + (a - b);")
KEEP = Kernel("keep", "kept", "x", "x = chosen(kept, x);")


@functools.cache
def rate_difference(formula):
    """Returns the Kernel that writes phi(v) - r; `formula` is phi(v)."""
    return Kernel("rate_difference", "v r", "difference", f"difference = {formula} - r;")


# Clipping (core/clipping.py): a gradient times bound / norm where that is below 1; a norm of NaN counts as short.
SHORTEN = Kernel("shorten", "norm bound small", "g", "g = g * fraction(bound / (norm + small));")
