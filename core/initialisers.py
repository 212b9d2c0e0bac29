"""Draws initial weight matrices, on the host in float64."""

import math

import numpy as np


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

# (random, rows, columns) -> matrix.  Those of Deep Feedback Control are (n_out, n_in), and xavier_normal makes no difference
# between the two; `random` needs no more than standard_normal(shape) and uniform(low, high, shape).
PUBLISHED_INITIALISERS = {
    "orthogonal": orthogonal_scaled,
    "xavier": xavier_uniform,
    "xavier_normal": xavier_normal,
    "teacher": teacher,
}
