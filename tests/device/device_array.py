"""The array of the stand-in for cupy (strict_cupy.py): values that the host can only ask for."""

import functools

import numpy as np

from tests.device import cupy_names
from tests.device.recording import Unrecordable, arrays_in

# Bytes that CUDA copies from the host before the call returns, without waiting for the device.
STAGED = 64 * 1024


class DeviceArray:
    """Stands for cupy.ndarray: no numpy array, no view of one, and nothing that numpy would convert by itself."""

    __slots__ = ("_device", "_gpu", "_host")
    __hash__ = None

    def __init__(self, host, gpu, device):
        self._host = host
        self._gpu = gpu
        self._device = device
        gpu.recorder.born(host)

    def __del__(self):
        self._gpu.recorder.gone(self._host)

    def __getattr__(self, name):
        if name in cupy_names.METHODS:
            return functools.partial(self._method, name)
        if name == "T":
            return self._gpu.device(self._host.T)
        if name in cupy_names.ATTRIBUTES:
            return getattr(self._host, name)
        raise AttributeError(f"'cupy.ndarray' object has no attribute {name!r} (see tests/device/cupy_names.py)")

    def _method(self, name, *args, **keywords):
        parameters = cupy_names.METHODS[name]
        if name == "set":
            return self._set(*args)
        if name == "nonzero":
            # The number of entries it finds decides a shape.
            self._gpu.synchronise(name)
        if name not in ("get", "item", "tolist"):
            host = self._gpu.host(self)
            found = self._gpu.call(name, parameters, getattr(host, name), args, keywords, owner=host)
            if name == "diagonal":
                # Cupy's view can be written to.
                found._host.setflags(write=True)
            return found
        cupy_names.check_arguments(name, parameters, args, keywords)
        self._gpu.synchronise(name)
        return self._host.copy() if name == "get" else getattr(self._host, name)()

    def _set(self, values):
        if values.nbytes > STAGED or values.dtype != self._host.dtype or values.shape != self._host.shape:
            raise TypeError(f"set of {values.dtype} {values.shape}: more than CUDA copies without waiting, or unlike")
        if self._gpu.recorder.recording is not None:
            raise Unrecordable("set while a stream records")
        self._gpu.uploads += 1
        self._host[...] = values

    def _operate(self, ufunc, *operands, **keywords):
        return self._gpu.call(ufunc, "a b * out", getattr(np, ufunc), operands, keywords)

    def __array__(self, dtype=None, copy=None):
        raise TypeError("Implicit conversion to a NumPy array is not allowed")

    def __array_ufunc__(self, ufunc, method, *inputs, **keywords):
        raise TypeError(f"numpy.{ufunc.__name__} of a device array: take the array module from the argument")

    def __array_function__(self, function, types, args, keywords):
        raise TypeError(f"numpy.{function.__name__} of a device array: take the array module from the argument")

    def __len__(self):
        return len(self._host)

    def __repr__(self):
        return (
            # Shows no values, so that reports of pytest do not synchronise.
            f"<device array {self.shape} {self.dtype}>"
        )

    def __str__(self):
        self._gpu.synchronise("str")
        return str(self._host)

    def __iter__(self):
        self._gpu.synchronise("iter")
        return (self[i] for i in range(len(self)))

    def __bool__(self):
        self._gpu.synchronise("bool")
        return bool(self._host)

    def __int__(self):
        self._gpu.synchronise("int")
        return int(self._host)

    def __float__(self):
        self._gpu.synchronise("float")
        return float(self._host)

    def __getitem__(self, key):
        arrays = self._index_arrays(key, "selection by a mask")
        host, key = self._gpu.host(self), self._gpu.host(key)
        found = host[key]
        if arrays:
            found = self._gpu.recorder.perform(lambda: host[key], False, arrays_in([host, key]))
        # Numpy hands out one number, cupy a view of one entry.
        if not isinstance(found, np.ndarray):
            found = host[(*(key if isinstance(key, tuple) else (key,)), ...)]
        self._gpu.count("getitem", _launches(arrays) if arrays else not np.may_share_memory(host, found))
        return self._gpu.device(found)

    def __setitem__(self, key, value):
        arrays = self._index_arrays(key, "assignment by a mask")
        if arrays and not isinstance(value, DeviceArray):
            # Cupy makes an array of the number where an array is the index.
            self._gpu.uploads += 1
        host, key = self._gpu.host(self), self._gpu.host(key)
        value = self._gpu.host(value)
        self._gpu.recorder.perform(lambda: host.__setitem__(key, value), True, arrays_in([host, key, value]))
        self._gpu.count("setitem", _launches(arrays) if arrays else host[key].size > 0)

    def _index_arrays(self, key, operation):
        """The device arrays in an index; a mask makes the host wait, as the number of its entries decides a shape."""
        arrays = [part for part in (key if isinstance(key, tuple) else (key,)) if isinstance(part, DeviceArray)]
        if any(part.dtype == bool for part in arrays):
            self._gpu.synchronise(operation)
        return arrays


def _launches(arrays):
    """What indexing by arrays starts: of several, cupy first makes one."""
    return 1 if len(arrays) == 1 else len(arrays) + 2


def _add_operators():
    """The special methods of cupy.ndarray that are ufuncs."""

    def unary(ufunc):
        return lambda self: self._gpu.call(ufunc, "a", getattr(np, ufunc), (self,), {})

    def binary(ufunc):
        return lambda self, other: self._operate(ufunc, self, other)

    def reflected(ufunc):
        return lambda self, other: self._operate(ufunc, other, self)

    def in_place(ufunc):
        return lambda self, other: self._operate(ufunc, self, other, out=self)

    for name, ufunc in cupy_names.UNARY_OPERATORS.items():
        setattr(DeviceArray, f"__{name}__", unary(ufunc))
    for name, ufunc in (cupy_names.BINARY_OPERATORS | cupy_names.COMPARISONS).items():
        setattr(DeviceArray, f"__{name}__", binary(ufunc))
    for name, ufunc in cupy_names.BINARY_OPERATORS.items():
        setattr(DeviceArray, f"__r{name}__", reflected(ufunc))
    for name in cupy_names.IN_PLACE_OPERATORS:
        setattr(DeviceArray, f"__i{name}__", in_place(cupy_names.BINARY_OPERATORS[name]))


_add_operators()
