"""Initial weights of Deep Feedback Control against their definition (dfc.md A.3)."""

import math

import numpy as np
import pytest

from core.streams import PUBLISHED_INITIALISERS, orthogonal_scaled, teacher, xavier_normal, xavier_uniform


class Fixed:
    """Stands for a generator that draws one known matrix."""

    def __init__(self, matrix):
        self.matrix = matrix

    def standard_normal(self, shape):
        assert shape == self.matrix.shape
        return self.matrix


@pytest.mark.parametrize("name", PUBLISHED_INITIALISERS)
def test_shape_type_and_seed(name):
    make = PUBLISHED_INITIALISERS[name]
    w = make(np.random.default_rng(1), 7, 5)
    assert w.shape == (7, 5) and w.dtype == np.float64 and w.flags.c_contiguous
    assert make(np.random.default_rng(1), 5, 7).flags.c_contiguous
    np.testing.assert_array_equal(w, make(np.random.default_rng(1), 7, 5))
    assert (w != make(np.random.default_rng(2), 7, 5)).all()


def test_the_published_names():
    assert list(PUBLISHED_INITIALISERS) == ["orthogonal", "xavier", "xavier_normal", "teacher"]


@pytest.mark.parametrize("n_out, n_in", ((7, 5), (5, 7), (6, 6), (1, 4), (4, 1)))
def test_orthogonal_is_the_signed_factor_of_the_drawn_matrix(n_out, n_in):
    """W = g Q with G = Q R, Q orthonormal, R upper triangular with a positive diagonal, g = sqrt(6
    / F): so is Q^T G = R."""
    gaussian = np.random.default_rng(3).standard_normal((n_out, n_in))
    q = orthogonal_scaled(Fixed(gaussian), n_out, n_in) / math.sqrt(6 / (n_out + n_in))
    if n_out < n_in:
        q, gaussian = q.T, gaussian.T
    np.testing.assert_allclose(q.T @ q, np.eye(min(n_out, n_in)), atol=1e-14)
    r = q.T @ gaussian
    np.testing.assert_allclose(np.tril(r, -1), 0, atol=1e-14)
    assert (np.diag(r) > 0).all()


def test_xavier_uniform():
    """Within a = sqrt(6 / F), near to it at both ends, of variance a^2 / 3 up to 5 standard errors (4 a^4 / 45 n)."""
    w = xavier_uniform(np.random.default_rng(4), 300, 100)
    bound = math.sqrt(6 / 400)
    assert -bound <= w.min() < -0.999 * bound and 0.999 * bound < w.max() <= bound
    assert abs(w.mean()) < 5 * bound / math.sqrt(3 * w.size)
    assert abs((w**2).mean() - bound**2 / 3) < 5 * bound**2 * math.sqrt(4 / 45 / w.size)


@pytest.mark.parametrize("make, deviation", ((xavier_normal, 1.0), (teacher, 3.0)))
def test_gaussian_ones(make, deviation):
    """Deviation sqrt(2 / F), three times as much for the teacher, drawn row by row of the (n_out, n_in) matrix."""
    w = make(np.random.default_rng(5), 30, 10)
    expected = deviation * math.sqrt(2 / 40) * np.random.default_rng(5).standard_normal((30, 10))
    np.testing.assert_allclose(w, expected, rtol=1e-14)
