"""Multiplies matrices and solves linear systems on a GPU by calls of cuBLAS itself.

cupy refuses to call cuBLAS while a CUDA graph is recorded (cupy issue 6290), although cuBLAS allows it. So the products
of a step are computed here, recorded or not, by the same calls and thus with the same bits.
"""

import ctypes
import functools
import math

# Bytes that cuBLAS may use for intermediate results: what it recommends for Hopper, and more than others need.
WORKSPACE = 32 << 20
NO_TRANSPOSE, TRANSPOSE = 0, 1
# Larger systems are solved by cuSOLVER one after the other, which is faster (784 x 784, five systems: 10 ms, not 47).
LARGEST_SYSTEM = 256
_P, _I, _L = ctypes.c_void_p, ctypes.c_int, ctypes.c_longlong
# Prefix of the functions of a float type, and its C type.
TYPES = {"float32": ("S", ctypes.c_float), "float64": ("D", ctypes.c_double)}


def blas_of(xp):
    """Returns the Cublas of the current device and stream, or a CupyBlas where the library cannot be called.

    xp  the module cupy
    """
    return _blas(xp, xp.cuda.Device().id, xp.cuda.get_current_stream().ptr)


@functools.cache
def _blas(xp, device, stream):
    try:
        # cupy has loaded the library already; the loader finds it by its name.
        major = xp.cuda.runtime.runtimeGetVersion() // 1000
        return Cublas(xp, ctypes.CDLL(f"libcublas.so.{major}"), stream)
    except (OSError, CublasError):
        return CupyBlas(xp)


class CublasError(RuntimeError):
    """Says that a call of cuBLAS failed."""


class CupyBlas:
    """Multiplies matrices and solves systems by cupy, which does neither while a CUDA graph is recorded."""

    def __init__(self, xp):
        self._xp = xp

    def product(self, a, b, out=None, add=False):
        """Returns the products a b of matrices, see Cublas.product."""
        if not add:
            return self._xp.matmul(a, b, out=out)
        out += self._xp.matmul(a, b)
        return out

    def solve(self, matrices, right):
        """Returns the solutions of linear systems of any size, see Cublas.solve."""
        return self._xp.linalg.solve(matrices, right[..., None])[..., 0]


class Cublas(CupyBlas):
    """Calls cuBLAS on one stream of one device.

    Products are those of float32 or float64; TF32 is not used.

    xp       the module cupy
    library  the loaded library
    stream   pointer of the stream
    """

    def __init__(self, xp, library, stream):
        super().__init__(xp)
        self._handle = _P()
        self._workspace = xp.empty(WORKSPACE, dtype=xp.uint8)
        _check(library.cublasCreate_v2(ctypes.byref(self._handle)))
        _check(library.cublasSetStream_v2(self._handle, _P(stream)))
        # A change of the stream resets the workspace. Without one, a graph would allocate its own.
        workspace = _P(self._workspace.data.ptr), ctypes.c_size_t(WORKSPACE)
        _check(library.cublasSetWorkspace_v2(self._handle, *workspace))
        self._calls = {name: self._declared(library, *kind) for name, kind in TYPES.items()}

    def _declared(self, library, prefix, kind):
        """Returns (product, factorisation, solution, one, zero) of a float type."""
        product = getattr(library, f"cublas{prefix}gemmStridedBatched")
        product.argtypes = [_P, _I, _I, _I, _I, _I, _P, _P, _I, _L, _P, _I, _L, _P, _P, _I, _L, _I]
        factorise = getattr(library, f"cublas{prefix}getrfBatched")
        factorise.argtypes = [_P, _I, _P, _I, _P, _P, _I]
        solve = getattr(library, f"cublas{prefix}getrsBatched")
        solve.argtypes = [_P, _I, _I, _I, _P, _I, _P, _P, _I, _P, _I]
        return product, factorise, solve, ctypes.byref(kind(1.0)), ctypes.byref(kind(0.0))

    def product(self, a, b, out=None, add=False):
        """Returns the products a b of matrices: (…, m, k), (…, k, n) -> (…, m, n).

        out  where they are written, with any layout of the last two axes in which one of them has no gaps
        add  whether they are added to `out`
        """
        (m, k), n = a.shape[-2:], b.shape[-1]
        if out is None:
            stack = max(a.shape[:-2], b.shape[:-2], key=lambda axes: (len(axes), math.prod(axes)))
            out = self._xp.empty((*stack, m, n), dtype=a.dtype)
        if out.ndim > 3 or not out.size or not k or not a.dtype == b.dtype == out.dtype or a.dtype.name not in TYPES:
            return super().product(a, b, out, add)
        if out.strides[-1] != out.itemsize and n > 1:
            # cuBLAS writes rows without gaps, or columns: then (a b)^T = b^T a^T.
            if out.strides[-2] != out.itemsize and m > 1:
                return super().product(a, b, out, add)
            self.product(b.swapaxes(-1, -2), a.swapaxes(-1, -2), out.swapaxes(-1, -2), add)
            return out
        (a, *of_a), (b, *of_b), (laid, _, row, step) = self._laid(a), self._laid(b), self._laid(out)
        if laid is not out:
            # Its rows run backwards.
            return super().product(a, b, out, add)
        multiply, _, _, one, zero = self._calls[a.dtype.name]
        # cuBLAS counts along columns, so that it sees the transposes: out^T = b^T a^T.
        right, left = (b.data.ptr, *of_b[1:]), (a.data.ptr, *of_a[1:])
        count, begin = (out.shape[0] if out.ndim > 2 else 1), one if add else zero
        place = out.data.ptr, row, step, count
        _check(multiply(self._handle, of_b[0], of_a[0], n, m, k, one, *right, *left, begin, *place))
        return out

    def _laid(self, array):
        """Returns (matrices, copied if necessary, operation, leading dimension, entries between matrices)."""
        rows, columns = array.shape[-2:]
        size, (down, along) = array.itemsize, array.strides[-2:]
        step = array.strides[0] // size if array.ndim > 2 and array.shape[0] > 1 else 0
        if (along == size or columns == 1) and (down >= columns * size or rows == 1):
            return array, NO_TRANSPOSE, max(down // size, columns) if rows > 1 else columns, step
        if (down == size or rows == 1) and (along >= rows * size or columns == 1):
            return array, TRANSPOSE, max(along // size, rows) if columns > 1 else rows, step
        return self._laid(self._xp.ascontiguousarray(array))

    def solve(self, matrices, right):
        """Returns the solutions x of A x = right: (…, n, n), (…, n) -> (…, n).

        Where a matrix is singular, its numbers are not finite.
        """
        xp, n = self._xp, right.shape[-1]
        if n > LARGEST_SYSTEM:
            return super().solve(matrices, right)
        # cuBLAS overwrites both sides.
        a, x = matrices.reshape(-1, n, n).copy(), xp.ascontiguousarray(right).copy()
        count = len(a)
        pivots, state = (xp.empty(shape, dtype=xp.int32) for shape in ((count, n), count))
        of_a, of_x = (self._pointers(each, count) for each in (a, x))
        _, factorise, substitute, *_ = self._calls[a.dtype.name]
        _check(factorise(self._handle, n, of_a.data.ptr, n, pivots.data.ptr, state.data.ptr, count))
        # The factors are those of the transposes.
        systems, told = (of_a.data.ptr, n, pivots.data.ptr, of_x.data.ptr, n), ctypes.byref(_I())
        _check(substitute(self._handle, TRANSPOSE, n, 1, *systems, told, count))
        return x

    def _pointers(self, array, count):
        """Returns the addresses (count,) of the parts of an array without gaps, on the device."""
        start = array.data.ptr
        return self._xp.arange(start, start + array.nbytes, array.nbytes // count, dtype=self._xp.uint64)


def _check(status):
    if status:
        raise CublasError(f"cuBLAS reports error {status}")
