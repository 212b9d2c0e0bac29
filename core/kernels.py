"""Computes elementwise passes over large arrays in one compiled loop where numba is installed.

A numpy expression of nine operations reads and writes its arrays nine times; compiled, they are read and written
once. The loops contain only sums, products, quotients and square roots, which IEEE 754 rounds to the same bits in
any form, and the compiler is not allowed to reorder or contract them. So numpy gives the same bits without numba.
"""

import functools
import math
from itertools import product

import numpy as np

# Below so many entries the operands stay in the cache anyway, and small runs need not wait for the compiler.
SMALLEST = 8_000


def fuses(array, smallest=None):
    """Returns whether passes over `array` are compiled: it is large, contiguous, on the host; numba works.

    smallest  number of entries from which an array is large; None: SMALLEST
    """
    large = type(array) is np.ndarray and array.size >= (smallest or SMALLEST) and array.flags.c_contiguous
    return large and _numba() is not None


def adam(p, g, m, v, beta1, beta2, epsilon, rate, decay):
    """Makes one step of Adam in place, for arrays of one shape that satisfy `fuses`.

        g' = g + decay p,   m <- beta1 m + g',   v <- beta2 v + g'^2,   p <- p - rate m / (sqrt(v) + epsilon)

    p, g, m, v  parameters, gradient and moments, arrays of one shape and type
    """
    numbers = map(p.dtype.type, (beta1, beta2, epsilon, rate, decay))
    _compiled(_adam)(p.reshape(-1), g.reshape(-1), m.reshape(-1), v.reshape(-1), *numbers)


def _adam(p, g, m, v, beta1, beta2, epsilon, rate, decay):
    for i in range(p.size):
        gradient = g[i]
        if decay != 0.0:
            gradient += p[i] * decay
        moment = m[i] * beta1 + gradient
        square = v[i] * beta2 + gradient * gradient
        m[i], v[i] = moment, square
        p[i] -= moment / (math.sqrt(square) + epsilon) * rate


def leak(voltages, rate, apical, basal, biases, noise=None):
    """Makes one Euler step of a leaky integrator in place, for contiguous arrays.

        coloured <- decay coloured + scale normals,   apical <- apical + coloured
        basal <- basal + biases,   voltages <- voltages + rate ((apical + basal) - voltages)

    voltages, apical, basal  (n, units), or with leading axes of seeds
    biases                   (1, units), with the same leading axes; None: there are no biases
    noise                    (normals, scale, coloured, decay), two arrays like the voltages and two numbers; where
                             `coloured` is None the noise is white, scale normals; None: there is no noise
    """
    real = voltages.dtype.type
    normals, scale, coloured, decay = noise or (None, 0.0, None, 0.0)
    numbers, flags = map(real, (rate, scale, decay)), (biases is not None, noise is not None, coloured is not None)
    arrays = voltages, apical, basal, basal if normals is None else normals, basal if coloured is None else coloured
    step = _compiled(_leak)
    if voltages.ndim == 2:
        step(*arrays, basal[0] if biases is None else biases[0], *numbers, *flags)
        return
    numbers = tuple(numbers)
    for seed in product(*map(range, voltages.shape[:-2])):
        row = basal[seed] if biases is None else biases[seed]
        step(*(each[seed] for each in arrays), row[0], *numbers, *flags)


def _leak(voltages, apical, basal, normals, coloured, biases, rate, scale, decay, biased, noisy, remembered):
    for i in range(voltages.shape[0]):
        if noisy:
            for j in range(voltages.shape[1]):
                fresh = normals[i, j] * scale
                if remembered:
                    fresh += coloured[i, j] * decay
                    coloured[i, j] = fresh
                apical[i, j] += fresh
        for j in range(voltages.shape[1]):
            drive = basal[i, j]
            if biased:
                drive += biases[j]
                basal[i, j] = drive
            voltages[i, j] += ((apical[i, j] + drive) - voltages[i, j]) * rate


def relaxing(voltages, apical, basal, rows, rate):
    """Returns a function that makes one Euler step of some units in place.

        voltages <- (voltages + rate (apical - voltages)) + rate basal

    Its arguments are bound to it: in a small network, passing them takes longer than the step.

    voltages, apical, basal  contiguous arrays (S, units of all layers, n)
    rows                     the slice of those units
    """
    step, rate = _compiled(_relax), voltages.dtype.type(rate)
    return functools.partial(step, voltages, apical, basal, rows.start, rows.stop, rate)


def _relax(voltages, apical, basal, start, stop, rate):
    for seed in range(voltages.shape[0]):
        for i in range(start, stop):
            for j in range(voltages.shape[2]):
                v = voltages[seed, i, j]
                v += (apical[seed, i, j] - v) * rate
                voltages[seed, i, j] = v + basal[seed, i, j] * rate


def controlling(target, output, u_int, alpha, dt, k_p):
    """Returns a function (before, u) that makes one Euler step of the controller in place.

        error = target - output,   change = dt (error - alpha before)
        u_int <- u_int + change,   u <- u_int + k_p error

    Without k_p the step is u <- before + change, and u_int stays as it is. All arrays are contiguous (S, outputs, n);
    `output` may have further rows.
    """
    return functools.partial(_compiled(_control), target, output, u_int, *map(u_int.dtype.type, (-alpha, dt, k_p)))


def _control(target, output, u_int, leak, dt, k_p, before, u):
    for seed in range(u.shape[0]):
        for i in range(u.shape[1]):
            for j in range(u.shape[2]):
                error = target[seed, i, j] - output[seed, i, j]
                change = (before[seed, i, j] * leak + error) * dt
                if k_p > 0.0:
                    u_int[seed, i, j] += change
                    u[seed, i, j] = u_int[seed, i, j] + error * k_p
                else:
                    u[seed, i, j] = before[seed, i, j] + change


@functools.cache
def _numba():
    """Returns the module numba; None where it is not installed or refuses the installed numpy."""
    try:
        import numba
    except Exception:
        # Numba raises ImportError, and errors of several kinds about versions.
        return None
    return numba


@functools.cache
def _compiled(function):
    """Returns `function`, which is compiled at its first call for each float type.

    The compiled code is cached on disk for later processes if a folder is writable.
    """
    # The error model of numpy is set because a loop that must raise ZeroDivisionError is not vectorised.
    options = {"nogil": True, "error_model": "numpy"}
    try:
        return _numba().njit(cache=True, **options)(function)
    except RuntimeError:
        # There is no folder that numba could write to.
        return _numba().njit(**options)(function)
