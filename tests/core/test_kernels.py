"""Compiled passes against the numpy forms that they stand for: the same bits, whatever the numbers."""

import sys

import numpy as np
import pytest

from core import kernels
from core.optimisers import Adam

ODD = (np.inf, -np.inf, np.nan, 0.0, -0.0, 1e-42, 1e-320, 1e30)


def arrays(dtype, count, seed=0):
    """`count` arrays (200, 150), large enough for `fuses`, with odd numbers at places of their own."""
    random = np.random.default_rng(seed)
    made = [random.standard_normal((200, 150)).astype(dtype) for _ in range(count)]
    with np.errstate(over="ignore"):
        for each in made:
            each.reshape(-1)[random.choice(each.size, len(ODD), replace=False)] = np.array(ODD, dtype=dtype)
    return made


def steps_of_adam(dtype, decay):
    start, *gradients = arrays(dtype, 5)
    optimiser = Adam([start], 0.01, bias_correction=True, weight_decay=decay)
    with np.errstate(all="ignore"):
        for gradient in gradients:
            optimiser.step([gradient])
    return [start, *(optimiser.state()[name] for name in ("m0", "v0"))]


@pytest.mark.parametrize("decay", (0.0, 0.02))
@pytest.mark.parametrize("dtype", ("float32", "float64"))
def test_adam_has_the_same_bits_compiled_or_not(monkeypatch, dtype, decay):
    pytest.importorskip("numba")
    compiled = steps_of_adam(dtype, decay)
    monkeypatch.setattr(kernels, "SMALLEST", 1 << 62)
    for one, other in zip(compiled, steps_of_adam(dtype, decay), strict=True):
        assert one.tobytes() == other.tobytes()


def test_small_strided_and_foreign_arrays_are_left_to_numpy():
    large = np.zeros((200, 150))
    assert not kernels.fuses(np.zeros(100))
    assert not kernels.fuses(large[:, ::2])
    assert not kernels.fuses(type("Device", (), {"size": 1 << 20})())


def test_without_numba_nothing_is_compiled(monkeypatch):
    monkeypatch.setitem(sys.modules, "numba", None)
    kernels._numba.cache_clear()
    try:
        assert not kernels.fuses(np.zeros((200, 150)))
        assert len(steps_of_adam("float64", 0.0)) == 3
    finally:
        kernels._numba.cache_clear()


def test_a_machine_without_a_place_for_compiled_code_compiles_anew(monkeypatch):
    numba = pytest.importorskip("numba")
    plain = numba.njit

    def njit(cache=False, **options):
        if cache:
            raise RuntimeError("cannot cache function: no locator available")
        return plain(**options)

    monkeypatch.setattr(numba, "njit", njit)
    p, g, m = (np.ones(4) for _ in range(3))
    v = np.full(4, 3.0)
    kernels._compiled.__wrapped__(kernels._adam)(p, g, m, v, 0.5, 1.0, 2.0, 1.0, 0.0)
    # m = 1.5, v = 4, so p = 1 - 1.5 / (2 + 2)
    assert p.tolist() == [0.625] * 4
