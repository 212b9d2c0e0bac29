"""Normals against their distribution: moments, distribution function, tails, independence at every distance."""

import math

import numpy as np
import pytest

from core.streams import PAIRS, SHORT, fill_normals, noise_generator

both_types = pytest.mark.parametrize("dtype", (np.float64, np.float32))


def normals(shape, seed=0, dtype=np.float64):
    out = np.full(shape, np.nan, dtype=dtype)
    fill_normals(noise_generator(np.random.SeedSequence(seed)), out)
    return out


@both_types
def test_moments(dtype):
    """Means of z^k within 5 standard errors; E z^2k = (2k - 1)!!, so the variance of z^k is (2k - 1)!! - (E z^k)^2."""
    z = normals(1_000_000, 1, dtype).astype(np.float64)
    for k, mean, square in ((1, 0, 1), (2, 1, 3), (3, 0, 15), (4, 3, 105), (5, 0, 945), (6, 15, 10395)):
        assert abs((z**k).mean() - mean) < 5 * math.sqrt((square - mean**2) / z.size)


@both_types
def test_distribution_function(dtype):
    """Kolmogorov and Smirnov: sqrt(n) times the largest distance exceeds 1.95 with probability 0.001."""
    z = np.sort(normals(1_000_000, 2, dtype).astype(np.float64))
    expected = np.array([0.5 * math.erfc(-x) for x in (z * math.sqrt(0.5)).tolist()])
    steps = np.arange(z.size + 1) / z.size
    distance = max((steps[1:] - expected).max(), (expected - steps[:-1]).max())
    assert distance * math.sqrt(z.size) < 1.95


@both_types
def test_tails(dtype):
    """Counts beyond 3, 4 and 4.5 on either side within 5 standard deviations of a Poisson count."""
    z = normals(4_000_000, 3, dtype)
    for bound in (3.0, 4.0, 4.5):
        expected = z.size * 0.5 * math.erfc(bound * math.sqrt(0.5))
        for count in ((z > bound).sum(), (z < -bound).sum()):
            assert abs(count - expected) < 5 * math.sqrt(expected)


@both_types
def test_no_correlation_at_any_distance(dtype):
    """Products z_i z_{i+d} and those of the squares, summed for every d: the two normals of a pair,
    the neighbours, the blocks.

    Each mean is a normal number of deviation 1 / sqrt(n); the largest of n of them exceeds 6 deviations
    with probability 2e-4.
    """
    n = 100_000
    z = normals(n, 4, dtype).astype(np.float64)
    for x in (z, (z**2 - 1) / math.sqrt(2)):
        spectrum = np.fft.rfft(x)
        sums = np.fft.irfft(spectrum * spectrum.conj(), n)[1 : n // 2]
        assert np.abs(sums).max() < 6 * math.sqrt(n)
        assert abs(x[:-1] @ x[1:]) < 4 * math.sqrt(n)


SIZES = (0, 1, SHORT - 1, SHORT, SHORT + 1, 2 * PAIRS, 2 * PAIRS + 1, 2 * PAIRS + 2)


@both_types
@pytest.mark.parametrize("shape", (*SIZES, (3, 11_111), (2, 3, 5000)))
def test_every_entry_is_written_and_nothing_beside(dtype, shape):
    size = math.prod(shape if isinstance(shape, tuple) else (shape,))
    memory = np.full(size + 2, np.nan, dtype=dtype)
    fill_normals(noise_generator(np.random.SeedSequence(5)), memory[1:-1].reshape(shape))
    assert np.isnan(memory[[0, -1]]).all()
    assert np.isfinite(memory[1:-1]).all()
    if dtype == np.float64:
        assert len(np.unique(memory[1:-1])) == size


@both_types
def test_the_same_seed_gives_the_same_bits(dtype):
    np.testing.assert_array_equal(normals(50_001, 6, dtype), normals(50_001, 6, dtype))
    assert (normals(50_001, 6, dtype) != normals(50_001, 7, dtype)).mean() > 0.99


def test_a_generator_goes_on():
    generator = noise_generator(np.random.SeedSequence(8))
    one, two = np.empty(20_000), np.empty(20_000)
    fill_normals(generator, one)
    fill_normals(generator, two)
    assert (one != two).all()


class Extreme:
    """A generator whose words are all the smallest or all the largest there are."""

    def __init__(self, largest):
        self.uniform, self.word = (1.0 - 2.0**-53, 2**64 - 1) if largest else (0.0, 0)
        self.bit_generator = self

    def random(self, out):
        out[...] = self.uniform

    def random_raw(self, count):
        return np.full(count, self.word, dtype=np.uint64)


@pytest.mark.parametrize("dtype, bits", ((np.float64, 53), (np.float32, 32)))
def test_the_rarest_words_give_finite_numbers(dtype, bits):
    """The largest radius is sqrt(2 ln 2^bits)."""
    radii = []
    for largest in (False, True):
        z = np.empty(2 * SHORT, dtype=dtype)
        fill_normals(Extreme(largest), z)
        radii.append(np.hypot(*np.split(z, 2)).max())
    assert max(radii) == pytest.approx(math.sqrt(2 * bits * math.log(2)), rel=1e-6)


@pytest.mark.parametrize(
    "out", (np.ones((90, 90))[:, ::2], np.ones((90, 90)).T, np.ones(9000, dtype=int), np.ones(9, dtype="f2"))
)
def test_other_arrays_are_refused(out):
    with pytest.raises(ValueError, match="C-contiguous arrays of float64 or float32"):
        fill_normals(np.random.default_rng(0), out)
