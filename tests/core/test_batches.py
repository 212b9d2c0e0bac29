"""What a training pass reads: look-up tables from float32 arithmetic written out, batches picked out by hand."""

import struct
import sys

import numpy as np
import pytest

from core.backend import Backend, to_host
from core.batches import Arrays, Images, published_table
from tests.device.strict_cupy import StandIn

RNG = np.random.default_rng(4)
PIXELS = RNG.integers(0, 256, (50, 12), dtype=np.uint8)
LABELS = RNG.integers(0, 10, 50)
NUMBERS = RNG.standard_normal((50, 5)), RNG.standard_normal((50, 3))
CHOICES = {
    "first": slice(0, 8),
    "last, short": slice(48, 60),
    "all": slice(None),
    "every third, backwards": slice(40, 3, -3),
    "shuffled": RNG.permutation(50)[:16],
    "repeated": np.array([7, 7, 0, 49]),
    "one": np.array([3]),
}


@pytest.fixture(params=("numpy float64", "numpy float32", "cupy float64", "cupy float32"))
def backend(request, monkeypatch):
    module, dtype = request.param.split()
    if module == "numpy":
        return Backend(np, np.dtype(dtype))
    gpu = StandIn(dtype)
    monkeypatch.setitem(sys.modules, "cupy", gpu.cupy)
    return Backend(gpu.cupy, np.dtype(dtype), 0)


def single(number):
    """The float32 nearest to a float64: of a quotient or difference of float32s, what float32 arithmetic gives."""
    return struct.unpack("f", struct.pack("f", number))[0]


@pytest.mark.parametrize(
    "dataset, mean, spread",
    [("mnist", 0.1307, 0.3081), ("mnist_autoencoder", 0.1307, 0.3081), ("fashion_mnist", None, None), ("cifar10", 0.5, 0.5)],
)
def test_published_tables_are_float32_arithmetic(dataset, mean, spread):
    table = published_table(dataset)
    assert table.dtype == np.float32 and table.shape == (256,)
    for pixel in range(256):
        expected = single(pixel / 255)
        if mean is not None:
            expected = single(single(expected - single(mean)) / single(spread))
        assert float(table[pixel]) == expected


def test_black_and_white_of_the_published_tables():
    # The extremes of standardised MNIST as printed everywhere.
    assert str(published_table("mnist")[0]) == "-0.42421296" and str(published_table("mnist")[255]) == "2.8214867"
    assert published_table("fashion_mnist")[[0, 255]].tolist() == [0, 1]
    assert published_table("cifar10")[[0, 255]].tolist() == [-1, 1]


@pytest.mark.parametrize("reconstruct", [False, True])
def test_a_batch_by_hand(reconstruct):
    table = np.arange(256) / 8
    pixels = np.array([[0, 8, 16], [255, 1, 2], [24, 32, 40]], dtype=np.uint8)
    images = Images(pixels, np.array([5, 6, 7]), table, Backend(np, np.dtype("float64")), reconstruct)
    inputs, targets = images.batch(np.array([2, 0]))
    assert len(images) == 3
    assert inputs.tolist() == [[3, 4, 5], [0, 1, 2]]
    assert targets.tolist() == ([[3, 4, 5], [0, 1, 2]] if reconstruct else [7, 5])


def assert_is(found, expected, dtype):
    assert found.dtype == dtype and np.array_equal(to_host(found), expected)


@pytest.mark.parametrize("choice", CHOICES)
def test_batches_of_images(choice, backend):
    chosen, table = CHOICES[choice], published_table("mnist")
    images = Images(PIXELS, LABELS, table, backend)
    inputs, targets = images.batch(chosen)
    # float32 to float64 changes no value, so that both float types see the same inputs.
    assert_is(inputs, table[PIXELS[chosen]], backend.dtype)
    assert inputs.flags.c_contiguous
    assert_is(targets, LABELS[chosen], np.int64)


@pytest.mark.parametrize("choice", CHOICES)
def test_batches_of_numbers(choice, backend):
    chosen = CHOICES[choice]
    # Stored column by column, as an npy file may be.
    arrays = Arrays(*map(np.asfortranarray, NUMBERS), backend)
    assert len(arrays) == 50
    for found, numbers in zip(arrays.batch(chosen), NUMBERS, strict=True):
        assert found.flags.c_contiguous
        assert_is(found, numbers.astype(backend.dtype)[chosen], backend.dtype)


def test_rebuilt_images_are_their_own_targets(backend):
    inputs, targets = Images(PIXELS, LABELS, published_table("mnist"), backend, reconstruct=True).batch(slice(0, 5))
    assert targets is inputs


def test_batches_do_not_share_memory(backend):
    images = Images(PIXELS, LABELS, published_table("cifar10"), backend)
    first = images.batch(slice(0, 8))[0]
    before = to_host(first).copy()
    first_of_next = to_host(images.batch(slice(8, 16))[0])[0]
    assert np.array_equal(to_host(first), before) and not np.array_equal(before[0], first_of_next)


def test_the_host_waits_for_no_batch(monkeypatch):
    gpu = StandIn()
    monkeypatch.setitem(sys.modules, "cupy", gpu.cupy)
    backend = Backend(gpu.cupy, np.dtype("float64"), 0)
    order = backend.bytes(CHOICES["shuffled"])  # the order of a whole pass, moved once
    for samples in (Images(PIXELS, LABELS, published_table("mnist"), backend), Arrays(*NUMBERS, backend)):
        uploads = gpu.uploads
        with gpu.no_synchronisation():
            found = samples.batch(order[2:7]) + samples.batch(slice(3, 9))
        assert gpu.uploads == uploads
        assert all(isinstance(array, gpu.cupy.ndarray) for array in found)
        assert np.array_equal(to_host(found[0]), to_host(samples.batch(CHOICES["shuffled"][2:7])[0]))
