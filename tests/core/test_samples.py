"""What a training pass reads: look-up tables from float32 arithmetic written out, batches picked out by hand."""

import struct
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from core.backend import Backend, to_host
from datasets.catalogue import BY_FLAG
from datasets.samples import Arrays, Images, divided_table, published_table
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
    [
        ("mnist", 0.1307, 0.3081),
        ("mnist_autoencoder", 0.1307, 0.3081),
        ("fashion_mnist", None, None),
        ("cifar10", 0.5, 0.5),
    ],
)
def test_published_tables_are_float32_arithmetic(dataset, mean, spread):
    table = published_table(BY_FLAG[dataset].mean, BY_FLAG[dataset].spread)
    assert table.dtype == np.float32 and table.shape == (256,)
    for pixel in range(256):
        expected = single(pixel / 255)
        if mean is not None:
            expected = single(single(expected - single(mean)) / single(spread))
        assert float(table[pixel]) == expected


def test_black_and_white_of_the_published_tables():
    # The extremes of standardised MNIST as printed everywhere.
    assert (
        str(published_table(0.1307, 0.3081)[0]) == "-0.42421296"
        and str(published_table(0.1307, 0.3081)[255]) == "2.8214867"
    )
    assert published_table(0, 1)[[0, 255]].tolist() == [0, 1]
    assert published_table(0.5, 0.5)[[0, 255]].tolist() == [-1, 1]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("largest", [*range(1, 256)])
def test_divided_tables_hold_the_quotient_of_every_pixel_bit_for_bit(dtype, largest):
    """A batch divided as a whole, by a largest pixel as numpy finds it, comes to the same bits as
    the tabulated quotients."""
    pixels = np.arange(256, dtype=np.uint8)
    divided = pixels.astype(dtype)
    divided /= float(np.uint8(largest))
    table = divided_table(np.uint8(largest), np.dtype(dtype))
    assert table.dtype == dtype and table.tobytes() == divided.tobytes()
    if dtype == "float32":
        assert [float(each) for each in table] == [single(p / largest) for p in range(256)]
    else:
        assert table.tolist() == [p / largest for p in range(256)]


TARGETS = {"labels": [7, 5], "one_hot": [[0] * 7 + [1], [0] * 5 + [1, 0, 0]], "inputs": [[3, 4, 5], [0, 1, 2]]}


@pytest.mark.parametrize("targets", TARGETS)
def test_a_batch_by_hand(targets):
    table = np.arange(256) / 8
    pixels = np.array([[0, 8, 16], [255, 1, 2], [24, 32, 40]], dtype=np.uint8)
    images = Images(pixels, np.array([5, 6, 7]), table, Backend(np, np.dtype("float64")), targets, 8)
    inputs, found = images.batch(np.array([2, 0]))
    assert len(images) == 3
    assert inputs.tolist() == [[3, 4, 5], [0, 1, 2]]
    assert found.tolist() == TARGETS[targets]


def test_threads_do_not_share_the_scratch():
    """Two threads look up batches of one set at once, as the workers of an evaluation do."""
    pixels = np.arange(256, dtype=np.uint8).repeat(4000).reshape(256, 4000)
    images = Images(pixels, np.zeros(256, int), np.arange(256.0), Backend(np, np.dtype("float64")))
    with ThreadPoolExecutor(2) as threads:
        found = list(threads.map(lambda i: images.inputs(slice(i, i + 1)), [*range(256)] * 4))
    assert all((inputs == i % 256).all() for i, inputs in enumerate(found))


def assert_is(found, expected, dtype):
    assert found.dtype == dtype and np.array_equal(to_host(found), expected)


@pytest.mark.parametrize("choice", CHOICES)
def test_batches_of_images(choice, backend):
    chosen, table = CHOICES[choice], published_table(0.1307, 0.3081)
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
    inputs, targets = Images(PIXELS, LABELS, published_table(0.1307, 0.3081), backend, "inputs").batch(slice(0, 5))
    assert targets is inputs


def test_batches_do_not_share_memory(backend):
    images = Images(PIXELS, LABELS, published_table(0.5, 0.5), backend)
    first = images.batch(slice(0, 8))[0]
    before = to_host(first).copy()
    first_of_next = to_host(images.batch(slice(8, 16))[0])[0]
    assert np.array_equal(to_host(first), before) and not np.array_equal(before[0], first_of_next)


def test_the_host_waits_for_no_batch(monkeypatch):
    gpu = StandIn()
    monkeypatch.setitem(sys.modules, "cupy", gpu.cupy)
    backend = Backend(gpu.cupy, np.dtype("float64"), 0)
    # The order of a whole pass is moved once.
    order = backend.bytes(CHOICES["shuffled"])
    for samples in (Images(PIXELS, LABELS, published_table(0.1307, 0.3081), backend), Arrays(*NUMBERS, backend)):
        uploads = gpu.uploads
        with gpu.no_synchronisation():
            found = samples.batch(order[2:7]) + samples.batch(slice(3, 9))
        assert gpu.uploads == uploads
        assert all(isinstance(array, gpu.cupy.ndarray) for array in found)
        assert np.array_equal(to_host(found[0]), to_host(samples.batch(CHOICES["shuffled"][2:7])[0]))
