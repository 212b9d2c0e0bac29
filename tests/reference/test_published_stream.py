"""The replayed random numbers of the published program against recorded ones (tests/reference/dfc/replay.npz)."""

from pathlib import Path

import numpy as np
import pytest

from core.streams import PUBLISHED_INITIALISERS
from tests.reference.published_stream import PublishedStream

with np.load(Path(__file__).parent / "dfc" / "replay.npz") as archive:
    RECORDED = {name: archive[name] for name in archive.files if name.startswith(("rng_seed", "mnist_split"))}
SEEDS = (0, 42)


def matrix(name, n_out, n_in):
    return lambda stream: PUBLISHED_INITIALISERS[name](stream, n_out, n_in)


def two_passes(stream):
    return np.stack([stream.begin_pass(20, True) for _ in range(2)])


def normals_after_two_passes(stream):
    two_passes(stream)
    return stream.standard_normal(16)


# Key: (what is drawn right after seeding, largest difference).
DRAWS = {
    "normal5": (lambda stream: stream.standard_normal(5), 1e-15),
    "normal16": (lambda stream: stream.standard_normal(16), 1e-15),
    "normal20": (lambda stream: stream.standard_normal(20), 1e-15),
    "mixed_normals": (lambda stream: np.concatenate([stream.standard_normal(n) for n in (5, 20, 4, 3)]), 1e-15),
    "uniform6": (lambda stream: stream.uniform(0.0, 1.0, 6), 1e-16),
    "xavier_normal_7x5": (matrix("xavier_normal", 7, 5), 1e-15),
    # The last digit of d (b - a) + a may differ.
    "xavier_uniform_7x5": (matrix("xavier", 7, 5), 4e-16),
    # Two QR routines round differently.
    "orthogonal_7x5": (matrix("orthogonal", 7, 5), 2e-15),
    "orthogonal_5x7": (matrix("orthogonal", 5, 7), 2e-15),
    "randperm20": (lambda stream: stream.permutation(20), 0),
    "loader_order": (two_passes, 0),
    "normal_after_loader": (normals_after_two_passes, 1e-15),
}


@pytest.mark.parametrize("seed", SEEDS)
def test_every_recording_has_its_draw(seed):
    prefix = f"rng_seed{seed}__"
    assert {name.removeprefix(prefix) for name in RECORDED if name.startswith(prefix)} == {*DRAWS, "meta"}


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("key", DRAWS)
def test_draws(seed, key):
    draw, tolerance = DRAWS[key]
    found, expected = draw(PublishedStream(seed)), RECORDED[f"rng_seed{seed}__{key}"]
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() <= tolerance


def test_split_of_mnist():
    """The fixed validation split comes from the default seed of a fresh generator; the seed counts modulo 2^32."""
    order = PublishedStream(67280421310721).permutation(60_000)
    np.testing.assert_array_equal(order[:20], RECORDED["mnist_split__train_first20"])
    np.testing.assert_array_equal(order[55_000:55_020], RECORDED["mnist_split__val_first20"])
    np.testing.assert_array_equal(order, PublishedStream(4053586177).permutation(60_000))


def test_an_unshuffled_pass_draws_its_base_seed_alone():
    one, two = PublishedStream(3), PublishedStream(3)
    np.testing.assert_array_equal(one.begin_pass(5, False), np.arange(5))
    two.random64(1)
    np.testing.assert_array_equal(one.random(4), two.random(4))


def test_shapes_do_not_change_the_draws():
    np.testing.assert_array_equal(
        PublishedStream(1).standard_normal((4, 3, 5)).ravel(), PublishedStream(1).standard_normal(60)
    )
    np.testing.assert_array_equal(
        PublishedStream(1).standard_normal((4, 3)).ravel(), PublishedStream(1).standard_normal(12)
    )
    np.testing.assert_array_equal(
        PublishedStream(1).uniform(-1, 3, (2, 3)).ravel(), PublishedStream(1).random(6) * 4 - 1
    )
