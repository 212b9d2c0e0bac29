"""A model of the functions of cuBLAS that core/cublas.py calls, made from their documentation, on memory of the host.

Matrices are stored column by column, and every one has a leading dimension: the entries from a column to the next.
"""

import ctypes
from types import SimpleNamespace

import numpy as np

KINDS = {"S": np.float32, "D": np.float64}


class HostArray(np.ndarray):
    """An array of numpy with the address that an array of cupy has."""

    @property
    def data(self):
        return SimpleNamespace(ptr=self.ctypes.data)


def _host(function):
    return lambda *args, **keywords: np.asarray(function(*args, **keywords)).view(HostArray)


# What core/cublas.py uses of cupy.
XP = SimpleNamespace(
    **{name: _host(getattr(np, name)) for name in ("empty", "arange", "ascontiguousarray")},
    **{name: getattr(np, name) for name in ("matmul", "uint8", "uint64", "int32")},
    linalg=SimpleNamespace(solve=_host(np.linalg.solve)),
)


def at(address, kind, rows, columns, leading):
    """The matrix (rows, columns) that begins at an address, stored column by column."""
    if leading < max(1, rows):
        raise ValueError(f"a leading dimension of {leading} for columns of {rows} entries")
    count = leading * (columns - 1) + rows
    memory = np.ctypeslib.as_array((np.ctypeslib.as_ctypes_type(kind) * count).from_address(address))
    size = memory.itemsize
    return np.lib.stride_tricks.as_strided(memory, (rows, columns), (size, size * leading))


def number(pointer, kind):
    return np.ctypeslib.as_ctypes_type(kind).from_address(ctypes.cast(pointer, ctypes.c_void_p).value).value


class Library:
    """Takes the place of the loaded library; every call is noted in `calls`."""

    def __init__(self):
        self.calls = []
        for prefix, kind in KINDS.items():
            for name in ("gemmStridedBatched", "getrfBatched", "getrsBatched"):
                setattr(self, f"cublas{prefix}{name}", self._function(name, kind))
        for name in ("cublasCreate_v2", "cublasSetStream_v2", "cublasSetWorkspace_v2"):
            setattr(self, name, lambda *_, name=name: self.calls.append(name))

    def _function(self, name, kind):
        def function(*arguments):
            self.calls.append(name)
            return getattr(self, f"_{name}")(kind, *arguments[1:])

        return function

    def _gemmStridedBatched(
        self, kind, of_a, of_b, m, n, k, alpha, a, lda, to_a, b, ldb, to_b, beta, c, ldc, to_c, count
    ):
        """C = alpha op(A) op(B) + beta C for each of `count` matrices, C (m, n)."""
        size, alpha, beta = np.dtype(kind).itemsize, number(alpha, kind), number(beta, kind)
        for index in range(count):
            left = at(a + index * to_a * size, kind, *((m, k), (k, m))[of_a], lda)
            right = at(b + index * to_b * size, kind, *((k, n), (n, k))[of_b], ldb)
            result = at(c + index * to_c * size, kind, m, n, ldc)
            found = alpha * ((left.T if of_a else left) @ (right.T if of_b else right))
            result[...] = found + beta * result if beta else found
        return 0

    def _getrfBatched(self, kind, n, pointers, leading, pivots, info, count):
        """A stays as it is in place of its factors; its address is kept in their stead."""
        return 0

    def _getrsBatched(self, kind, transposed, n, columns, a, lda, pivots, b, ldb, info, count):
        """Solves op(A) X = B, which X overwrites."""
        for place in range(count):
            matrix, right = (ctypes.c_uint64.from_address(pointers + 8 * place).value for pointers in (a, b))
            matrix, right = at(matrix, kind, n, n, lda), at(right, kind, n, columns, ldb)
            right[...] = np.linalg.solve(matrix.T if transposed else matrix, right)
        return 0


def layouts(array, layout, xp=XP):
    """The same matrices as a view of the given layout: "T" a transposed view, "rows" with gaps, "copy" neither, "back"
    with rows that run backwards."""
    *stack, rows, columns = array.shape
    gap = 3 * ("rows" in layout)
    if layout == "copy":
        view = xp.empty((*stack, 2 * rows, 2 * columns), dtype=array.dtype)[..., ::2, ::2]
    elif layout == "back":
        view = xp.empty((*stack, rows, columns), dtype=array.dtype)[..., ::-1, :]
    elif "T" in layout:
        view = xp.empty((*stack, columns, rows + gap), dtype=array.dtype)[..., :rows].swapaxes(-1, -2)
    else:
        view = xp.empty((*stack, rows, columns + gap), dtype=array.dtype)[..., :columns]
    view[...] = array if xp is XP else xp.asarray(array)
    return view


# Shapes of a and b, and how each is laid out.
PRODUCTS = {
    "plain": ((5, 7), (7, 3), "", ""),
    "both transposed": ((5, 7), (7, 3), "T", "T"),
    "rows with gaps": ((5, 7), (7, 3), "rows", "rows"),
    "columns with gaps": ((5, 7), (7, 3), "T rows", "T rows"),
    "neither": ((5, 7), (7, 3), "copy", "copy"),
    "backwards": ((5, 7), (7, 3), "back", "back"),
    "a row and a column": ((1, 7), (7, 1), "", "T"),
    "a column and a row": ((6, 1), (1, 4), "T", ""),
    "a row": ((1, 7), (7, 4), "rows", "T"),
    "a column": ((6, 7), (7, 1), "T", "rows"),
    "seeds": ((2, 5, 7), (2, 7, 3), "T", "rows"),
    "one seed": ((1, 5, 7), (1, 7, 3), "rows", "T rows"),
    "one matrix for all seeds": ((2, 5, 7), (7, 3), "", ""),
    "all seeds for one matrix": ((5, 7), (2, 7, 3), "T", ""),
    "one seed for one matrix": ((1, 5, 7), (7, 3), "", "T"),
    "one matrix for one seed": ((5, 7), (1, 7, 3), "rows", ""),
    "large": ((3, 128, 257), (3, 257, 256), "T", ""),
    "seeds of samples": ((2, 4, 5, 7), (2, 4, 7, 3), "", ""),
    "nothing": ((2, 0, 7), (2, 7, 3), "", ""),
    "sums of nothing": ((5, 0), (0, 3), "", ""),
}
OUTPUTS = (None, "", "T", "rows", "T rows", "copy", "back")
