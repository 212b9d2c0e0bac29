"""Chooses what a run computes with: numpy on the CPU or cupy on a GPU, and the threads that divide the work.

This is the only module that imports cupy, and it does so only when a GPU is asked for.
"""

import contextvars
import functools
import importlib.util
import itertools
import sys
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from core.cublas import blas_of
from core.errors import UserError

PRECISIONS = ("float64", "float32")
BACKENDS = ("auto", "numpy", "cupy")
# Entries that an elementwise pass on a CPU handles at a time, see block_size.
BLOCK = 150_000
# A pass of fewer multiplications and additions is over sooner in one thread: handing parts to another takes 40 us, and
# where two cores share no cache, an update of weights that both have read takes 1 ms per million bytes.
LEAST_OPERATIONS = 100_000_000


class BackendError(UserError):
    """Says that a device which was asked for by name cannot be used; the text gives the reason."""


def array_module(*arrays):
    """Returns the module numpy, or cupy if one of `arrays` lives on a GPU; it never imports cupy itself."""
    # No cupy array can exist before somebody has imported cupy.
    cupy = sys.modules.get("cupy")
    return cupy.get_array_module(*arrays) if cupy else np


def on_device(array):
    """Returns whether an array lives on a GPU."""
    return array_module(array) is not np


def block_size(xp):
    """Returns how many entries an elementwise pass over arrays of the module `xp` should handle at a time.

    On a CPU a block is small enough for its operands to stay in a core's cache, and large enough for the cost of
    the calls to be negligible. A GPU takes the whole array at once.
    """
    return BLOCK if xp is np else 1 << 62


def is_turned(array):
    """Returns whether the rows of an array (…, n, k) are columns in memory."""
    return array.strides[-1] != array.itemsize and array.shape[-1] > 1


def to_host(array):
    """Returns a numpy array with the values of a device array, a host array or a number.

    A device array is copied; a host array is returned itself. All transfers from a GPU go through this function.
    """
    return array.get() if hasattr(array, "get") else np.asarray(array)


def matmul(a, b, out=None, add=False):
    """Returns the products a b of matrices: (…, m, k), (…, k, n) -> (…, m, n).

    out  where they are written; None: a new array
    add  whether they are added to `out`
    """
    xp = array_module(a)
    if xp is np:
        if add:
            out += a @ b
            return out
        return np.matmul(a, b, out=out)
    return blas_of(xp).product(a, b, out, add)


def solve(matrices, right):
    """Returns the solutions x of A x = right, for stacks of matrices: (…, n, n), (…, n) -> (…, n).

    Raises  numpy.linalg.LinAlgError for a singular matrix on a CPU; on a GPU its solution is not finite
    """
    xp = array_module(matrices)
    if xp is np:
        return np.linalg.solve(matrices, right[..., None])[..., 0]
    return blas_of(xp).solve(matrices, right)


def diagonals(matrices):
    """Returns a view (…, n) of the diagonals of matrices (…, n, n), to be read and written.

    No index has to be sent to a GPU.
    """
    return np.einsum("...ii->...i", matrices) if array_module(matrices) is np else matrices.diagonal(0, -2, -1)


@dataclass(frozen=True)
class Backend:
    """Holds the array module, the float type and the device of a run.

    xp      numpy or cupy
    dtype   the run's only float type
    device  index of the GPU; None on the CPU
    note    why a GPU that `auto` looked for is not used; empty otherwise
    """

    xp: Any
    dtype: np.dtype
    device: int | None = None
    note: str = field(default="", compare=False)

    @property
    def name(self):
        """Returns the name of the array module, "numpy" or "cupy"."""
        return self.xp.__name__

    @property
    def block(self):
        """Returns how many entries an elementwise pass should handle at a time, see `block_size`."""
        return block_size(self.xp)

    def floats(self, host_array):
        """Returns a copy of `host_array` on the device, in the run's float type."""
        return self.xp.array(host_array, dtype=self.dtype)

    def bytes(self, host_array):
        """Returns `host_array` on the device in its own type: images stay bytes and labels integers.

        There is no copy on the CPU.
        """
        return self.xp.asarray(host_array)

    def free_memory(self):
        """Returns the free memory of the device or of the host in bytes; None if it is unknown.

        On the host it is Linux's estimate (MemAvailable).
        """
        if self.device is not None:
            return int(self.xp.cuda.runtime.memGetInfo()[0])
        try:
            lines = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
            return 1024 * int(lines["MemAvailable"].split()[0])
        except (OSError, ValueError, KeyError):
            return None

    def describe(self):
        """Returns the device, the library and the float type in a few words, for people and for config.json."""
        if self.device is None:
            return f"CPU, numpy {np.__version__}, {self.dtype.name}"
        name = self.xp.cuda.runtime.getDeviceProperties(self.device)["name"].decode()
        return f"GPU {self.device} ({name}), cupy {self.xp.__version__}, {self.dtype.name}"


def select_backend(request="auto", device=0, precision="float64"):
    """Returns the backend that `--backend`, `--device` and `--precision` ask for.

    request    "numpy", "cupy", or "auto": cupy if it works, else numpy with a note
    device     index of the GPU; an index other than 0 asks for that GPU by name, so that "auto" does not fall back
    precision  "float64" or "float32"
    Raises     BackendError if a GPU asked for by name is not usable
    """
    dtype = np.dtype(precision)
    if request == "numpy":
        return Backend(np, dtype)
    try:
        return Backend(_usable_cupy(device, dtype), dtype, device)
    except BackendError as error:
        if request == "cupy" or device != 0:
            raise BackendError(f"--backend={request} --device={device}: GPU {device} cannot be used: {error}") from None
        return Backend(np, dtype, note=str(error))


def _usable_cupy(device, dtype):
    """Returns the module cupy with GPU `device` current, after a small calculation on it has worked."""
    try:
        import cupy
    except ModuleNotFoundError as error:
        broken = f"cupy cannot be imported ({_lines(error)[-1]})"
        raise BackendError("cupy is not installed" if error.name == "cupy" else broken) from None
    except Exception as error:
        # An installation that does not fit this machine may raise any error.
        # The last line of the text has the reason.
        raise BackendError(f"cupy cannot be imported ({_lines(error)[-1]})") from None
    try:
        count = cupy.cuda.runtime.getDeviceCount()
        if device >= count:
            raise BackendError(f"there are {count} GPUs, numbered from 0")
        cupy.cuda.Device(device).use()
        # Steps are recorded on a stream (core/replay.py), which the default one cannot be.
        _stream(cupy, device).use()
        # This needs a kernel, cuBLAS and cuSOLVER; each of these libraries may be missing.
        unit = cupy.eye(2, dtype=dtype)
        if float(cupy.linalg.solve(unit, unit @ unit).sum()) != 2.0:
            raise BackendError("its results are wrong")
    except BackendError:
        raise
    except Exception as error:
        # Cupy raises a different class for each CUDA library, and OSError where a library is missing.
        raise BackendError(f"cupy is installed, but no GPU works ({_lines(error)[0]})") from None
    return cupy


@functools.cache
def _stream(cupy, device):
    return cupy.cuda.Stream()


def _lines(error):
    """Returns the lines of an error's text without ornaments: at least one line."""
    return [line for line in (line.strip(" =") for line in str(error).splitlines()) if line] or [type(error).__name__]


class Workers:
    """Holds `count` threads, including the calling one; while they exist, BLAS uses one thread per call.

    Array libraries release the interpreter lock while they compute, so plain threads keep several cores busy. Sharing
    out whole products, each computed by one thread, is faster than a BLAS that splits every product among the cores.
    It also divides memory-bound passes, such as an optimiser's, which BLAS does not divide at all.

    count  number of threads, >= 1; 1 computes everything in the calling thread, and leaves BLAS as it is without
           threadpoolctl
    least  multiplications and additions of the smallest pass that is divided, see `pieces`
    """

    def __init__(self, count=1, least=LEAST_OPERATIONS):
        self.count, self.least = count, least
        self._pool = ThreadPoolExecutor(count - 1) if count > 1 else None
        known = count > 1 or importlib.util.find_spec("threadpoolctl")
        self._limit = None
        if known:
            from threadpoolctl import threadpool_limits

            self._limit = threadpool_limits(1, user_api="blas")

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        if self._pool:
            self._pool.shutdown()
        if self._limit:
            self._limit.restore_original_limits()

    def pieces(self, operations):
        """Returns into how many parts to divide the rows of a pass of so many multiplications and additions.

        Small passes stay whole. A simulation counts one time point, as its threads would wait for each other at every
        one.
        """
        return self.count if operations >= self.least else 1

    def map(self, function, items, threads=None):
        """Returns [function(item) for item in items], computed by several threads.

        threads  number of threads, the calling one included; None: all

        Each thread takes the next item when it is free. An error in one of them is raised after all have ended.
        """
        items = list(items)
        threads = min(threads or self.count, self.count, len(items))
        if threads <= 1:
            return [function(item) for item in items]
        results = [None] * len(items)
        waiting = deque(range(len(items)))

        def work():
            while True:
                try:
                    i = waiting.popleft()
                except IndexError:
                    return
                results[i] = function(items[i])

        # Threads work in a copy of this context, so that the caller's numpy errstate holds in them.
        helpers = [self._pool.submit(contextvars.copy_context().run, work) for _ in range(threads - 1)]
        try:
            work()
        finally:
            failures = [helper.exception() for helper in helpers]
        for failure in failures:
            if failure is not None:
                raise failure
        return results


def shares(total, count):
    """Returns `count` slices of nearly equal length that cover range(total); fewer where `total` is smaller."""
    count = max(1, min(count, total))
    edges = [total * i // count for i in range(count + 1)]
    return [slice(start, stop) for start, stop in itertools.pairwise(edges)]
