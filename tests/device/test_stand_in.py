"""The stand-in for cupy refuses what it is there to refuse; otherwise every other test of this
folder proves nothing."""

import operator

import numpy as np
import pytest

from tests.device import cupy_names
from tests.device.strict_cupy import StandIn, Synchronised, WrongFloatType


@pytest.fixture
def stand_in():
    return StandIn("float32")


@pytest.fixture
def array(stand_in):
    return stand_in.cupy.asarray(np.arange(6, dtype=np.float32).reshape(2, 3))


HOST = np.ones(3, dtype=np.float32)
MIXTURES = {
    "device + host": lambda xp, a: a + HOST,
    "host + device": lambda xp, a: HOST + a,
    "device += host": lambda xp, a: a.__iadd__(HOST),
    "host += device": lambda xp, a: HOST.copy().__iadd__(a),
    "device @ host": lambda xp, a: a @ HOST,
    "device == host": lambda xp, a: a == HOST,
    "device * host number": lambda xp, a: a * np.float32(2.0),
    "host number * device": lambda xp, a: np.float32(2.0) * a,
    "ufunc": lambda xp, a: xp.maximum(a, HOST),
    "out": lambda xp, a: xp.sqrt(a[0], out=HOST.copy()),
    "list": lambda xp, a: xp.concatenate([a[0], HOST]),
    "assignment": lambda xp, a: a.__setitem__(0, HOST),
    "index": lambda xp, a: a[np.array([0, 1])],
    "solve": lambda xp, a: xp.linalg.solve(a[:, :2], HOST[:2]),
    "reduction": lambda xp, a: xp.sum(HOST),
}


@pytest.mark.parametrize("mixture", MIXTURES.values(), ids=MIXTURES)
def test_host_and_device_arrays_do_not_mix(stand_in, array, mixture):
    """Else a host array that slips into a formula would only be noticed on a machine with a GPU."""
    with pytest.raises(TypeError):
        mixture(stand_in.cupy, array)


CONVERSIONS = {
    "asarray": np.asarray,
    "array": lambda a: np.array(a, dtype=np.float32),
    "function": np.concatenate,
    "sum": np.sum,
    "ufunc": np.sqrt,
    "linalg": lambda a: np.linalg.norm(a),
    "out": lambda a: np.add(HOST, HOST, out=a),
    "host assignment": lambda a: HOST.copy().__setitem__(slice(None), a[0]),
    "memory": memoryview,
    "index of a list": lambda a: [0][a[0, 0].astype(int)],
    "range": lambda a: range(a[0, 1].astype(int)),
}


@pytest.mark.parametrize("conversion", CONVERSIONS.values(), ids=CONVERSIONS)
def test_nothing_becomes_a_host_array_by_itself(array, conversion):
    """Else numpy would fetch device arrays unseen, and the same line would raise with the real cupy."""
    with pytest.raises(TypeError):
        conversion(array)


@pytest.mark.parametrize("name", cupy_names.ABSENT)
def test_a_name_that_cupy_lacks_does_not_exist(stand_in, name):
    """Else code that works with numpy would end in an AttributeError on the GPU."""
    with pytest.raises(AttributeError):
        operator.attrgetter(name)(stand_in.cupy)
    last = name.rpartition(".")[2]
    if name.startswith("ndarray."):
        assert not hasattr(stand_in.cupy.asarray([1]), last)


def test_a_device_array_takes_no_new_attributes(array):
    """As in cupy: a note hung on an array would work on the CPU neither."""
    with pytest.raises(AttributeError):
        array.note = "weights"


UNKNOWN_KEYWORDS = {
    "function": lambda xp, a: xp.where(a > 0, a, a, out=a),
    "sum": lambda xp, a: xp.sum(a, where=a > 0),
    "ufunc": lambda xp, a: xp.maximum(a, a, where=a > 0),
    "method": lambda xp, a: a.sum(initial=0.0),
    "new in cupy 14": lambda xp, a: xp.asarray(a, copy=True),
    "too many": lambda xp, a: xp.stack([a, a], 0, None, None),
}


@pytest.mark.parametrize("call", UNKNOWN_KEYWORDS.values(), ids=UNKNOWN_KEYWORDS)
def test_a_keyword_that_cupy_lacks_is_refused(stand_in, array, call):
    """Else a keyword that only numpy knows would end in a TypeError on the GPU."""
    with pytest.raises(TypeError):
        call(stand_in.cupy, array)


OTHER_FLOATS = {
    "default of ones": lambda xp, a: xp.ones(3),
    "default of eye": lambda xp, a: xp.eye(3),
    "mean of bools": lambda xp, a: (a > 0).mean(),
    "quotient of integers": lambda xp, a: xp.arange(3) / 2,
    "integers times a number": lambda xp, a: xp.arange(3) * 0.5,
    "product with integers": lambda xp, a: a * xp.arange(3),
    "upload": lambda xp, a: xp.asarray(np.ones(3)),
    "astype": lambda xp, a: a.astype("float64"),
    "float16": lambda xp, a: a.astype("float16"),
}


@pytest.mark.parametrize("operation", OTHER_FLOATS.values(), ids=OTHER_FLOATS)
def test_only_the_float_type_of_the_run_is_allowed(stand_in, array, operation):
    """Else one float64 constant would make a float32 run compute in float64, at a fraction of the speed."""
    with pytest.raises(WrongFloatType):
        operation(stand_in.cupy, array)


def test_integers_and_bools_are_allowed_beside_the_float_type(stand_in, array):
    """Labels, masks and images are no floats; a stand-in that refused them could not run anything."""
    xp = stand_in.cupy
    assert xp.asarray(np.zeros(3, dtype=np.uint8)).dtype == np.uint8
    assert (array > 0).sum().dtype.kind == "i"
    assert (2.0 * array + True).dtype == np.float32


WAITS = {
    "float": lambda xp, a: float(a[0, 0]),
    "int": lambda xp, a: int(a[0, 0]),
    "bool": lambda xp, a: bool(a[0, 0]),
    "if": lambda xp, a: 1 if (a > 0).any() else 0,
    "get": lambda xp, a: a.get(),
    "item": lambda xp, a: a[0, 0].item(),
    "tolist": lambda xp, a: a.tolist(),
    "iteration": lambda xp, a: list(a),
    "max of a list": lambda xp, a: max([a[0, 0], a[0, 1]]),
    "print": lambda xp, a: f"{a}",
    "asnumpy": lambda xp, a: xp.asnumpy(a),
    "selection by a mask": lambda xp, a: a[a > 0],
    "assignment by a mask": lambda xp, a: a.__setitem__(a > 0, 1.0),
    "deviceSynchronize": lambda xp, a: xp.cuda.runtime.deviceSynchronize(),
}


@pytest.mark.parametrize("operation", WAITS.values(), ids=WAITS)
def test_waiting_for_the_device_is_recorded_and_refused_where_forbidden(stand_in, array, operation):
    """Else a float() in the batch loop would go unnoticed and cost most of a GPU's speed."""
    operation(stand_in.cupy, array)
    assert len(stand_in.synchronisations) >= 1
    with stand_in.no_synchronisation(), pytest.raises(Synchronised):
        operation(stand_in.cupy, array)


def test_uploads_are_refused_where_waiting_is(stand_in):
    """A copy from ordinary host memory waits too: batches must be cut from what already lies on the device."""
    with stand_in.no_synchronisation(), pytest.raises(Synchronised):
        stand_in.cupy.asarray(HOST)


def test_arithmetic_does_not_wait(stand_in, array):
    """Reductions and single entries stay on the device, as arrays without axes."""
    xp = stand_in.cupy
    with stand_in.no_synchronisation():
        total = (array.sum() + array[0, 0]) * 2.0
        array[...] = xp.sqrt(array) @ array.T @ array
        array[0, :2] += total
        assert len(array) == 2
    assert isinstance(total, xp.ndarray)
    assert total.shape == ()
    assert stand_in.synchronisations == []


def test_a_single_entry_is_a_view_as_in_cupy(stand_in, array):
    """`x = a[0]; x += 1` changes a numpy array never and a cupy array always: agreement with numpy must notice."""
    entry = array[0, 0]
    entry += 5.0
    assert float(array[0, 0]) == 5.0


def test_a_singular_matrix_gives_numbers_that_are_not_finite(stand_in):
    """cupy raises nothing there; a stand-in that raised would hide a missing check."""
    xp = stand_in.cupy
    singular = xp.asarray(np.float32([[1, 2], [2, 4]]))
    assert not np.isfinite(xp.linalg.solve(singular, xp.ones((2, 3), dtype="float32")).get()).all()


def test_the_array_module_is_found_from_the_arrays(stand_in, array):
    """core.backend.array_module asks get_array_module; it must not take a run on the CPU for one on the GPU."""
    xp = stand_in.cupy
    assert xp.get_array_module(HOST, array) is xp
    assert xp.get_array_module(HOST) is np
    assert xp.get_array_module() is np


def test_an_array_belongs_to_the_device_that_was_current(array):
    """CUDA's current device is per thread; an array used under another one is copied between GPUs or refused."""
    stand_in = StandIn("float64", devices=2)
    xp = stand_in.cupy
    first = xp.zeros(2)
    xp.cuda.Device(1).use()
    with pytest.raises(ValueError, match="GPU 0"):
        first + 1.0
    with pytest.raises(RuntimeError, match="invalid device"):
        xp.cuda.Device(2).use()


def test_hidden_copies_from_the_host_are_counted(stand_in, array):
    """cupy joins more than eight small arrays by a list of pointers, and makes an array of a number that
    it assigns by an index."""
    xp = stand_in.cupy
    before = stand_in.uploads
    xp.stack([array] * 8)
    assert stand_in.uploads == before
    xp.stack([array] * 9)
    assert stand_in.uploads == before + 1
    xp.concatenate([array.T] * 9)
    assert stand_in.uploads == before + 4
    array[:, xp.arange(2)] = 1.0
    assert stand_in.uploads == before + 5
    array[:, xp.arange(2)] = array[:, :2]
    array[:, :2] = 1.0
    assert stand_in.uploads == before + 5


BODIES = {
    "power": "b = a ** a;",
    "double": "b = a * 2.0;",
    "comparison": "b = a > a;",
    "unknown function": "b = arctan(a);",
    "input": "a = b;",
    "temporary": "c = a; b = c;",
    "without a semicolon": "b = a",
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_a_kernel_that_would_be_other_code_on_a_gpu_is_refused(stand_in, body):
    """Its body is compiled as CUDA C++ there: what Python alone understands, or what computes in
    float64, must not pass here."""
    with pytest.raises(ValueError, match=r"in |output|semicolon|names"):
        stand_in.cupy.ElementwiseKernel("T a", "T b", body, "made_up", no_return=True)


def test_a_kernel_computes_in_the_float_type_and_counts_as_one_launch(stand_in, array):
    xp = stand_in.cupy
    kernel = xp.ElementwiseKernel("T a, T c", "T b", "b = b + a * c - T(0.1);", "made_up", no_return=True)
    b = xp.ones((2, 3), dtype="float32")
    stand_in.launches.clear()
    kernel(array[0], 0.1, b)
    expected = np.float32(1) + np.arange(3, dtype=np.float32) * np.float32(0.1) - np.float32(0.1)
    assert (b.get() == expected).all() and +stand_in.launches == {"made_up": 1}
    with pytest.raises(TypeError):
        kernel(HOST, 0.1, b)
    with pytest.raises(ValueError, match="outputs"):
        kernel(b, 0.1, array[0])


def test_launches_are_counted_as_cupy_starts_them(stand_in, array):
    """Views start nothing; joined arrays are copied one by one; a stack of products copies what is transposed."""
    xp = stand_in.cupy
    stack = xp.ones((2, 3, 3), dtype="float32")
    stand_in.launches.clear()
    array.T.reshape(3, 2).swapaxes(0, 1)[:1]
    assert stand_in.launches.total() == 0
    array.diagonal()[...] = 0.0
    assert (array.get()[[0, 1], [0, 1]] == 0.0).all() and stand_in.launches.total() == 1
    array[:, xp.arange(2)]
    array[xp.arange(2), xp.arange(2)]
    assert stand_in.launches["getitem"] == 1 + 4
    stand_in.launches.clear()
    xp.concatenate([array, array, array])
    assert stand_in.launches.total() == 3
    array @ array.T
    assert stand_in.launches["matmul"] == 1
    stack @ stack.swapaxes(-1, -2)
    assert stand_in.launches["matmul"] == 3
    xp.matmul(stack, stack, out=xp.ones((2, 4, 3), dtype="float32")[:, :3])
    assert stand_in.launches["matmul"] == 5
