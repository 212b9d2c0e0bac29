"""Draws random numbers and initial weights on the host, from independent streams: one per purpose and layer.

The noise of simulations takes millions of standard normals, which `fill_normals` draws faster than numpy's own
generator.
"""

import math

import numpy as np

# Append only: the position of a purpose is part of the key of its stream.
PURPOSES = ("init", "feedback", "data", "shuffle", "noise", "device noise")
# Pairs in a block: few enough for the block to stay in a core's cache, enough for the cost of the calls not to matter.
PAIRS = 8192
# For arrays with fewer entries the fixed cost of the calls, about 10 us, makes the ziggurat the faster way.
SHORT = 4096


def stream(seed, purpose, *index):
    """Returns the random generator of one purpose and layer of a run.

    Streams with different (seed, purpose, index) are independent. So a new layer or purpose changes no other
    draw, and neighbouring seeds have no numbers in common. The numbers are drawn on the host: CPU and GPU start
    from the same ones.

    seed     whole number >= 0
    purpose  one of PURPOSES
    index    layer, or other counters, each >= 0; 0 if left out
    Returns  numpy.random.Generator
    """
    return np.random.default_rng(_sequence(seed, purpose, index))


def noise_stream(seed, *index):
    """Returns the random generator of a run's noise at one place.

    It is quick to create, and the fastest one for `fill_normals`.
    """
    return noise_generator(_sequence(seed, "noise", index))


def noise_key(seed):
    """Returns the key, a numpy.uint64, that replaces a run's seed where a GPU draws the noise.

    The generator is core.device_kernels.NORMALS.
    """
    return _sequence(seed, "device noise", ()).generate_state(1, np.uint64)[0]


def _sequence(seed, purpose, index):
    return np.random.SeedSequence(seed, spawn_key=(PURPOSES.index(purpose), *(index or (0,))))


def noise_generator(seed_sequence):
    """Returns the generator with the fastest uniform numbers, for `fill_normals`.

    It is SFC64, which needs 10 % less time per normal than PCG64.
    """
    return np.random.Generator(np.random.SFC64(seed_sequence))


def fill_normals(generator, out):
    """Overwrites `out` with independent standard normals by the transformation of Box and Muller (1958).

        rho = sqrt(-2 ln u),   (z, z') = (rho cos theta, rho sin theta),   u uniform in (0, 1], theta in [-pi, pi]

    It is about twice as fast as the ziggurat of Generator.standard_normal, because all of it runs as numpy's
    vector code.

    Rounding: theta has 32 random bits and is symmetric about zero. Theta, its sine and its cosine are float32
    even if `out` is float64, since numpy has no vector code for them in float64. Their errors of 1e-7 are
    relative to rho, so that the distribution is continuous to 1e-7, far below what any sample can reveal. rho
    decides the tails and is computed in the type of `out`. For float64 it comes from u = 1 - k 2^-53 with a
    53-bit k, so that |z| reaches 8.57; for float32 from u = |k + 1/2| 2^-31 with a 32-bit k, so that |z| reaches
    6.66 (a normal lies beyond with probability 3e-11).

    generator  numpy.random.Generator; equal generators give equal bits for an `out` of equal size and type
    out        C-contiguous host array of float64 or float32, of any shape
    Raises     ValueError for any other array
    """
    if not out.flags.c_contiguous or out.dtype not in (np.float64, np.float32):
        raise ValueError(
            f"normals are written to C-contiguous arrays of float64 or float32, not {out.dtype} {out.strides}"
        )
    flat = out.reshape(-1)
    if flat.size < SHORT:
        generator.standard_normal(out=flat, dtype=flat.dtype)
        return
    if flat.size % 2:
        flat[-1] = generator.standard_normal()
        flat = flat[:-1]
    scratch = np.empty(PAIRS, dtype=np.float32)
    for start in range(0, flat.size, 2 * PAIRS):
        block = flat[start : start + 2 * PAIRS]
        count = len(block) // 2
        _fill_pairs(generator, block[:count], block[count:], scratch[:count])


def _fill_pairs(generator, first, second, scratch):
    """Fills two halves of a block with normals.

    The radius needs the output's precision, the angle only float32: for float64 `first` holds the radius, for float32
    the angle.
    """
    if first.dtype == np.float64:
        radius, angle = first, scratch
        words = _words(generator, len(first))
        generator.random(out=radius)
        np.subtract(1.0, radius, out=radius)
    else:
        radius, angle = scratch, first
        words = _words(generator, 2 * len(first))
        np.copyto(radius, words[len(first) :])
        words = words[: len(first)]
        # Exact for the small numbers, where it matters.
        radius += 0.5
        np.abs(radius, out=radius)
        radius *= 2.0**-31
    np.log(radius, out=radius)
    radius *= -2.0
    np.sqrt(radius, out=radius)
    np.copyto(angle, words)
    angle *= math.pi / 2**31
    np.sin(angle, out=second)
    second *= radius
    np.cos(angle, out=angle)
    np.multiply(radius, angle, out=first)


def _words(generator, count):
    """Returns `count` uniform 32-bit integers, two from each word of the generator."""
    return generator.bit_generator.random_raw((count + 1) // 2).view(np.int32)[:count]


def xavier_normal(random, n_in, n_out):
    """Returns a matrix (n_in, n_out) of Gaussian entries of variance 2 / (n_in + n_out).

    The source is Glorot and Bengio 2010.
    """
    return random.standard_normal((n_in, n_out)) * math.sqrt(2.0 / (n_in + n_out))


def haar_orthogonal(random, n_in, n_out):
    """Returns a random orthogonal matrix (n_in, n_in), uniform in Haar's measure.

    It is the Q of a QR decomposition of a Gaussian matrix, with columns signed by the diagonal of R. Without the
    signs its distribution would depend on the QR routine (Mezzadri 2007, arXiv:math-ph/0609050).
    Raises  ValueError if n_in and n_out differ
    """
    if n_in != n_out:
        raise ValueError(f"an orthogonal matrix is square, not {n_in} x {n_out}")
    return _signed_basis(random.standard_normal((n_in, n_out)))


def orthogonal_scaled(random, n_out, n_in):
    """Returns a matrix (n_out, n_in) with orthonormal columns, or rows if these are fewer, times a factor.

    The factor is sqrt(6 / (n_out + n_in)) (docs/published/dfc.md A.3).
    """
    gaussian = random.standard_normal((n_out, n_in))
    basis = _signed_basis(gaussian) if n_out >= n_in else _signed_basis(gaussian.T).T
    return np.ascontiguousarray(basis) * math.sqrt(6.0 / (n_out + n_in))


def xavier_uniform(random, n_out, n_in):
    """Returns a matrix (n_out, n_in) of uniform entries in (-a, a), a = sqrt(6 / (n_out + n_in)).

    The sources are Glorot and Bengio 2010 and docs/published/dfc.md A.3.
    """
    bound = math.sqrt(6.0 / (n_out + n_in))
    return random.uniform(-bound, bound, (n_out, n_in))


def teacher(random, n_out, n_in):
    """Returns a matrix (n_out, n_in) of Gaussian entries of standard deviation 3 sqrt(2 / (n_out + n_in)).

    It is the initialisation of the teacher network (docs/published/dfc.md A.3).
    """
    return 3.0 * xavier_normal(random, n_out, n_in)


def _signed_basis(matrix):
    """Returns the orthonormal factor of the thin QR decomposition whose R has a positive diagonal.

    matrix  (m, k) with m >= k
    """
    q, r = np.linalg.qr(matrix)
    return q * np.where(np.diag(r) < 0, -1.0, 1.0)


INITIALISERS = {"xavier": xavier_normal, "orthogonal": haar_orthogonal}

# (random, rows, columns) -> matrix.  Those of Deep Feedback Control are (n_out, n_in), and xavier_normal makes no
# difference between the two; `random` needs no more than standard_normal(shape) and uniform(low, high, shape).
PUBLISHED_INITIALISERS = {
    "orthogonal": orthogonal_scaled,
    "xavier": xavier_uniform,
    "xavier_normal": xavier_normal,
    "teacher": teacher,
}


def place_number(place):
    """Returns a batch's place (passes before, batches before in this pass), each below 2^24, as one number."""
    passes, batches = place
    return (passes << 40) + (batches << 16)
