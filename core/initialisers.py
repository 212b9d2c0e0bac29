"""Initial weight matrices, drawn on the host in float64."""

import math

import numpy as np


def xavier_normal(random, n_in, n_out):
    """Gaussian entries of variance 2 / (n_in + n_out) (Glorot and Bengio 2010): an (n_in, n_out) matrix."""
    return random.standard_normal((n_in, n_out)) * math.sqrt(2.0 / (n_in + n_out))


def haar_orthogonal(random, n_in, n_out):
    """A random orthogonal matrix, uniform in Haar's measure: QR of a Gaussian, columns signed by the diagonal of R.

    Without the signs the distribution depends on the QR routine (Mezzadri 2007, arXiv:math-ph/0609050).
    """
    if n_in != n_out:
        raise ValueError(f"an orthogonal matrix is square, not {n_in} x {n_out}")
    q, r = np.linalg.qr(random.standard_normal((n_in, n_out)))
    return q * np.where(np.diag(r) < 0, -1.0, 1.0)


INITIALISERS = {"xavier": xavier_normal, "orthogonal": haar_orthogonal}
