"""The calls of cuBLAS (core/cublas.py) against a model of its documentation: what reaches the library are addresses and
leading dimensions, of which a wrong one multiplies other numbers without a word."""

import numpy as np
import pytest

from core.cublas import LARGEST_SYSTEM, Cublas, CublasError, CupyBlas
from tests.device.model_cublas import OUTPUTS, PRODUCTS, XP, HostArray, Library, layouts

precisions = pytest.mark.parametrize("precision", ("float64", "float32"))


@pytest.fixture
def library():
    return Library()


@pytest.fixture
def blas(library):
    return Cublas(XP, library, 1)


@precisions
@pytest.mark.parametrize("out", OUTPUTS)
@pytest.mark.parametrize("case", PRODUCTS)
def test_products_of_any_layout_are_those_of_numpy(blas, library, precision, case, out):
    random = np.random.default_rng(2)
    shapes, how = PRODUCTS[case][:2], PRODUCTS[case][2:]
    host = [random.standard_normal(shape).astype(precision) for shape in shapes]
    a, b = (layouts(array, layout) for array, layout in zip(host, how, strict=True))
    expected, close = host[0] @ host[1], {"rtol": 0, "atol": {"float64": 1e-12, "float32": 1e-4}[precision]}
    if out is None:
        np.testing.assert_allclose(blas.product(a, b), expected, **close)
        return
    before = random.standard_normal(expected.shape).astype(precision)
    found = layouts(before, out)
    assert blas.product(a, b, out=found) is found
    np.testing.assert_allclose(found, expected, **close)
    found[...] = before
    blas.product(a, b, out=found, add=True)
    np.testing.assert_allclose(found, before + expected, **close)
    if len(shapes[0]) < 4 and expected.size and shapes[0][-1] and out not in ("copy", "back"):
        assert library.calls.count("gemmStridedBatched") == 2


@precisions
@pytest.mark.parametrize("size", (1, 3, 10))
def test_linear_systems_have_the_solutions_of_numpy(blas, library, precision, size):
    random = np.random.default_rng(2)
    matrices = (random.standard_normal((2, 6, size, size)) + 4 * np.eye(size)).astype(precision).view(HostArray)
    right = random.standard_normal((2, 6, size)).astype(precision).view(HostArray)
    kept = matrices.copy(), right.copy()
    found = blas.solve(matrices, right)
    np.testing.assert_allclose(found, np.linalg.solve(matrices, right[..., None])[..., 0], rtol=1e-4)
    assert library.calls[-2:] == ["getrfBatched", "getrsBatched"]
    assert all((now == then).all() for now, then in zip((matrices, right), kept, strict=True))


def test_large_systems_are_left_to_cupy(blas, library):
    size = LARGEST_SYSTEM + 1
    matrices, right = (4 * np.eye(size))[None].view(HostArray), np.ones((1, size)).view(HostArray)
    np.testing.assert_allclose(blas.solve(matrices, right), 0.25)
    assert "getrfBatched" not in library.calls


def test_a_failed_call_is_an_error(blas, library):
    library.cublasSgemmStridedBatched = blas._calls["float32"][0]
    blas._calls["float32"] = (lambda *_: 14, *blas._calls["float32"][1:])
    a = np.ones((2, 2), "float32").view(HostArray)
    with pytest.raises(CublasError, match="14"):
        blas.product(a, a)


def test_without_the_library_cupy_multiplies(gpu):
    """The installed cupy may bring a library under another name."""
    from core.cublas import blas_of

    assert type(blas_of(gpu.cupy)) is CupyBlas
