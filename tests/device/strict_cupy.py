"""A stand-in for cupy that computes with numpy and refuses whatever a GPU would refuse, wait
for, or silently get wrong.

    gpu = StandIn("float32")
    sys.modules["cupy"] = gpu.cupy          # what core/backend.py then imports
    with gpu.no_synchronisation(): ...      # from here on reading a value back to the host raises Synchronised

Stricter than cupy on purpose: host scalars (np.float64(2)) are refused like host arrays, functions of numpy never
dispatch to device arrays, a name outside tests/device/cupy_names.py does not exist, and floats of another type than
the run's are refused.
"""

import contextlib
import functools
import math
import threading
import types
from collections import Counter

import numpy as np

from tests.device import cupy_names
from tests.device.device_array import DeviceArray
from tests.device.elementwise import ElementwiseKernel
from tests.device.recording import Recorder, Unrecordable, arrays_in, cuda_parts

# More arrays than FEW are joined by one kernel, if they have less than LARGE bytes on average.
FEW, LARGE = 8, 2 * 1024 * 1024
# Cupy hands no larger matrices to cuBLAS together to be solved.
BATCHED = 256
# What cupy computes by cuBLAS and cuSOLVER.
LIBRARIES = ("matmul", "dot", "tensordot", "linalg.solve", "linalg.eigh", "linalg.qr", "linalg.svd", "linalg.pinv")
# Each GPU has so many bytes, and all of them are free.
MEMORY = 1 << 36


class Synchronised(RuntimeError):
    """The host waited for the device where it must not."""


class WrongFloatType(TypeError):
    """An array of floats of another type than the run's."""


class StandIn:
    """One pretended installation of cupy.

    float_type        the only type that floating arrays may have
    devices           number of GPUs
    cupy              the module
    synchronisations  what made the host wait for the device so far: names of operations
    uploads           number of host arrays moved to the device so far
    launches          Counter {name of an operation: kernels and library calls that it has started so far}, see `count`
    broken            {name of an operation: exception that it raises}: libraries that are missing
    shortages         how many of the next requests for memory of the device fail
    """

    def __init__(self, float_type="float64", devices=1):
        self.float_type = np.dtype(float_type)
        self.devices = devices
        self.synchronisations = []
        self.uploads = 0
        self.launches = Counter()
        self.broken = {}
        self.shortages = 0
        self._may_wait = True
        self.recorder, self._recordable = Recorder(), False
        self._thread = threading.local()
        self.cupy = _module(self)

    @contextlib.contextmanager
    def no_synchronisation(self):
        """Refuse, until the block ends, whatever makes the host wait for the device."""
        before, self._may_wait = self._may_wait, False
        try:
            yield
        finally:
            self._may_wait = before

    def synchronise(self, operation):
        self.synchronisations.append(operation)
        if self.recorder.recording is not None:
            raise RuntimeError("cudaErrorStreamCaptureUnsupported: operation not permitted when stream is capturing")
        if not self._may_wait:
            raise Synchronised(f"{operation} makes the host wait for the device")

    def count(self, operation, times=1):
        """Count what an operation starts on the device, at most; a call of cuBLAS or cuSOLVER counts as one."""
        if self.recorder.recording is None:
            self.launches[operation] += times

    @contextlib.contextmanager
    def recordable(self):
        """Allow products and solutions, until the block ends, while a stream records: cupy itself refuses them."""
        before, self._recordable = self._recordable, True
        try:
            yield
        finally:
            self._recordable = before

    @property
    def current_device(self):
        """As in CUDA, every thread has its own and starts with GPU 0."""
        return getattr(self._thread, "device", 0)

    def use(self, device):
        if not 0 <= device < self.devices:
            raise RuntimeError("cudaErrorInvalidDevice: invalid device ordinal")
        self._thread.device = device

    def host(self, argument):
        """What numpy computes with in place of an argument of a device operation; host arrays are refused."""
        if isinstance(argument, DeviceArray):
            if argument._device != self.current_device:
                raise ValueError(
                    f"an array of GPU {argument._device} in a thread that computes on GPU {self.current_device}"
                )
            return argument._host
        if isinstance(argument, np.ndarray | np.generic):
            raise TypeError(f"Unsupported type {type(argument)}: host and device do not mix")
        if isinstance(argument, tuple | list):
            return type(argument)(self.host(each) for each in argument)
        if isinstance(argument, slice):
            return slice(*(self.host(each) for each in (argument.start, argument.stop, argument.step)))
        if argument is None or argument is Ellipsis or isinstance(argument, bool | int | float | str | type | np.dtype):
            return argument
        raise TypeError(f"Unsupported type {type(argument)}")

    def device(self, result):
        """The device array of a numpy result; reductions to one number become arrays without axes."""
        host = np.asarray(result)
        if host.dtype.kind not in "biuf":
            raise TypeError(f"Unsupported dtype {host.dtype}")
        if host.dtype.kind == "f" and host.dtype != self.float_type:
            raise WrongFloatType(f"an array of {host.dtype} in a run of {self.float_type}")
        return DeviceArray(host, self, self.current_device)

    def call(self, name, parameters, function, args, keywords, owner=None):
        """The result of a numpy function, ufunc or method of `owner` that stands for the cupy one
        with these parameters."""
        if name in self.broken:
            raise self.broken[name]
        if self.recorder.recording is not None and not self._recordable and name in LIBRARIES:
            raise NotImplementedError("calling cuBLAS API during stream capture is currently unsupported")
        out = cupy_names.check_arguments(name, parameters, args, keywords).get("out")
        args = [self.host(each) for each in args]
        keywords = {key: self.host(value) for key, value in keywords.items()}
        arrays = args if owner is None else [owner, *args]
        result = self._carry_out(name, function, arrays, args, keywords)
        self.count(name, _launches(name, arrays, keywords, result))
        self.uploads += _lists_of_pointers(name, args)
        if isinstance(result, tuple):
            return tuple(self.device(each) for each in result)
        return self.device(result) if out is None and result is not None else out

    def _carry_out(self, name, function, arrays, args, keywords):
        def compute():
            # A GPU does not warn.
            with np.errstate(all="ignore"):
                return function(*args, **keywords)

        if self.recorder.recording is None or name in ("empty", "empty_like"):
            return compute()
        used = arrays_in([*arrays, *keywords.values()])
        if keywords.get("out") is not None or name == "fill":
            return self.recorder.perform(compute, True, used)
        found = compute()
        if isinstance(found, np.ndarray) and any(np.may_share_memory(found, each) for each in used):
            # A view is no operation on the device.
            return found
        return self.recorder.perform(compute, False, used)

    def upload(self, name, content, **keywords):
        """cupy.array and cupy.asarray: the only way from the host to the device."""
        cupy_names.check_arguments(name, cupy_names.FUNCTIONS[name], (content,), keywords)
        keywords.pop("blocking", None)
        if isinstance(content, DeviceArray):
            host = self.host(content)
            result = self._carry_out(name, getattr(np, name), [host], [host], keywords)
            self.count(name, not np.may_share_memory(host, result))
            return self.device(result)
        self.uploads += 1
        if self.recorder.recording is not None:
            raise Unrecordable(f"{name} of a host array while a stream records")
        if not self._may_wait:
            raise Synchronised("a copy from pageable host memory makes the host wait")
        return self.device(np.array(content, **keywords | {"copy": True}))


def _launches(name, args, keywords, result):
    """How many kernels and library calls an operation of cupy 13 or 14 starts, at most: none for
    views, one per array joined."""
    if name in ("empty", "empty_like"):
        return 0
    arrays = [each for each in args if isinstance(each, np.ndarray)]
    out = keywords.get("out")
    if out is None and isinstance(result, np.ndarray) and any(np.may_share_memory(result, each) for each in arrays):
        return 0
    if name in ("concatenate", "stack"):
        return 1 if _lists_of_pointers(name, args) else len(args[0])
    if name == "linalg.solve":
        return _launches_of_solve(*args)
    if name == "matmul":
        return 1 + _copies_of_matmul(*args[:2], out)
    # Cupy 13 copies the condition.
    return 2 if name == "where" else 1


def _launches_of_solve(a, b):
    """What cupy starts to solve linear systems: for many small matrices copies of both sides, two lists of pointers,
    factorisation, solution, and its copy; large ones one after the other."""
    if a.ndim == 2:
        return 5
    return 7 if a.shape[-1] <= BATCHED else 2 + 5 * math.prod(a.shape[:-2])


def _lists_of_pointers(name, args):
    """How many arrays of pointers and sizes cupy copies from the host to join many small arrays by one kernel."""
    if (
        name not in ("concatenate", "stack")
        or len(args[0]) <= FEW
        or sum(each.nbytes for each in args[0]) >= LARGE * len(args[0])
    ):
        return 0
    alike = len({each.shape for each in args[0]}) == 1 and all(each.flags.c_contiguous for each in args[0])
    return 1 if alike else 3


def _copies_of_matmul(a, b, out=None):
    """What cupy launches besides the product.

    cuBLAS takes a matrix, or its transpose, without gaps; cupy copies every other one, in a stack also the transposes,
    and writes to rows without gaps.  Where stacks are broadcast, three kernels make lists of pointers.
    """
    copied_out = out is not None and not out.flags.c_contiguous
    if max(a.ndim, b.ndim) <= 2 and a.shape[0] == b.shape[-1] == 1:
        # There are a product of entries, and two kernels that sum.
        return 2
    if max(a.ndim, b.ndim) <= 2:
        return copied_out + sum(not (each.flags.c_contiguous or each.flags.f_contiguous) for each in (a, b))
    broadcast = 3 * (a.shape[:-2] != b.shape[:-2])
    return copied_out + broadcast + sum(not each.flags.c_contiguous for each in (a, b))


def _module(gpu):
    """The module `cupy` of a stand-in."""
    module = types.ModuleType("cupy", "a stand-in for cupy (tests/device/strict_cupy.py)")
    module.linalg = types.SimpleNamespace()
    for name, parameters in cupy_names.FUNCTIONS.items():
        owner, _, last = name.rpartition(".")
        setattr(module.linalg if owner else module, last, _function(gpu, name, parameters))
    for name in cupy_names.UFUNCS:
        setattr(module, name, _ufunc(gpu, name))
    for name in cupy_names.CONSTANTS:
        setattr(module, name, getattr(np, name))
    module.array = lambda obj, dtype=None, **keywords: gpu.upload("array", obj, dtype=dtype, **keywords)
    module.asarray = lambda a, dtype=None, **keywords: gpu.upload("asarray", a, dtype=dtype, **keywords)
    module.asnumpy = lambda a: a.get() if isinstance(a, DeviceArray) else np.asarray(a)
    module.finfo = np.finfo
    module.ElementwiseKernel = functools.partial(ElementwiseKernel, gpu)
    module.get_array_module = lambda *args: module if any(isinstance(each, DeviceArray) for each in args) else np
    module.linalg.solve = lambda a, b: _solve(gpu, a, b)
    module.cuda = _cuda(gpu)
    module.ndarray = DeviceArray
    module.__version__ = f"{cupy_names.CUPY_MAJOR}.0.0"
    return module


def _function(gpu, name, parameters):
    function = np
    for part in name.split("."):
        function = getattr(function, part, None)
    return lambda *args, **keywords: gpu.call(name, parameters, function, args, keywords)


def _ufunc(gpu, name):
    ufunc = getattr(np, name)
    parameters = " ".join([*"abc"[: ufunc.nin], "*", *cupy_names.UFUNC_KEYWORDS])
    return lambda *args, **keywords: gpu.call(name, parameters, ufunc, args, keywords)


def _solve(gpu, a, b):
    """As cuSOLVER: a singular matrix gives numbers that are not finite, without a word."""
    if not (isinstance(a, DeviceArray) and isinstance(b, DeviceArray)):
        raise TypeError("cupy.linalg.solve takes cupy.ndarray only")
    if a.shape[-1] != b.size if b.ndim == 1 else a.shape[:-1] != b.shape[:-1]:
        raise ValueError(f"a {a.shape} and b {b.shape} do not fit")
    try:
        return gpu.call("linalg.solve", "a b", np.linalg.solve, (a, b), {})
    except np.linalg.LinAlgError:
        garbage = np.full(b.shape, np.nan, dtype=b.dtype)
        garbage[..., 0] = np.inf
        return gpu.device(garbage)


def _cuda(gpu):
    """cupy.cuda, as far as a choice of the device needs it."""

    class Device:
        def __init__(self, device=None):
            self.id = gpu.current_device if device is None else device

        def use(self):
            gpu.use(self.id)

        def synchronize(self):
            gpu.synchronise("Device.synchronize")

    def properties(device):
        if not 0 <= device < gpu.devices:
            raise RuntimeError("cudaErrorInvalidDevice: invalid device ordinal")
        return {"name": b"Stand-in GPU"}

    runtime = types.SimpleNamespace(
        getDeviceCount=lambda: gpu.devices,
        getDeviceProperties=properties,
        memGetInfo=lambda: (MEMORY, MEMORY),
        # There is no library of such a version, so that core/cublas.py multiplies by cupy.
        runtimeGetVersion=lambda: 0,
        streamCaptureModeRelaxed=2,
        deviceSynchronize=lambda: gpu.synchronise("deviceSynchronize"),
    )
    return types.SimpleNamespace(Device=Device, runtime=runtime, **cuda_parts(gpu))
