"""Compiled passes against the numpy forms that they stand for: the same bits, whatever the numbers."""

import sys

import numpy as np
import pytest

from core import kernels
from core.optimisers import Adam
from dfc import stacked
from dfc.controller import Controller
from dfc.feedback_learning import FeedbackSettings
from dfc.functions import ACTIVATIONS, SQUARED_ERROR, soft_cross_entropy
from dfc.network import FeedbackNetwork
from dfc.simulation import simulate
from rules import strong_dfc
from tests.feedback_nets_for_tests import GivenNoise, result_of

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


def simulated(dtype, controller, biases, sizes=(5, 100, 100, 3), samples=100, seeds=()):
    """Voltages of all layers of a network after ten time points."""
    random = np.random.default_rng(1)
    shapes = list(zip(sizes[1:], sizes[:-1], strict=True))
    weights = [random.standard_normal((*seeds, *s)).astype(dtype) for s in shapes]
    feedback = [random.standard_normal((*seeds, n, 3)).astype(dtype) for n in sizes[1:]]
    net = FeedbackNetwork(
        weights,
        [random.standard_normal((*seeds, n)).astype(dtype) for n in sizes[1:]] if biases else [],
        feedback,
        [ACTIVATIONS["tanh"]] * 3,
        SQUARED_ERROR,
    )
    activities = net.forward(random.standard_normal((*seeds, samples, 5)).astype(dtype))
    target = activities.r[-1] + random.standard_normal((*seeds, samples, 3)).astype(dtype)
    state = simulate(net, activities, target, controller)
    return [state.u, state.u_int, *(array for arrays in (state.va, state.vb, state.vs, state.r) for array in arrays)]


@pytest.mark.parametrize("biases", (True, False))
@pytest.mark.parametrize("dtype", ("float32", "float64"))
@pytest.mark.parametrize("tau_a, transmission", ((0.1, True), (0.3, False)))
def test_a_controlled_network_has_the_same_bits_compiled_or_not(monkeypatch, dtype, biases, tau_a, transmission):
    pytest.importorskip("numba")
    controller = Controller(
        alpha=0.1, dt=0.1, steps=10, k_p=0.7, tau_v=0.4, tau_a=tau_a, inst_transmission=transmission
    )
    compiled = simulated(dtype, controller, biases)
    monkeypatch.setattr(kernels, "SMALLEST", 1 << 62)
    for one, other in zip(compiled, simulated(dtype, controller, biases), strict=True):
        assert one.tobytes() == other.tobytes()


@pytest.mark.parametrize("samples, seeds", ((600, ()), (9, (5,)), (9, ())))
@pytest.mark.parametrize("dtype", ("float32", "float64"))
@pytest.mark.parametrize("k_p, transmission", ((0.7, True), (0.0, False)))
def test_a_stacked_network_has_the_same_bits_compiled_or_not(monkeypatch, dtype, k_p, transmission, samples, seeds):
    """A single small network is compiled where its simulation is long."""
    pytest.importorskip("numba")
    if samples * 16 < kernels.SMALLEST and not seeds:
        monkeypatch.setattr(stacked, "LONG", 9 * 16 * 10)
    controller = Controller(alpha=0.1, dt=0.1, steps=10, k_p=k_p, tau_v=0.4, tau_a=0.3, inst_transmission=transmission)
    small, called = (dtype, controller, transmission, (5, 7, 6, 3), samples, seeds), []
    for name in ("relaxing", "controlling"):
        bind = getattr(kernels, name)

        def bound(*numbers, name=name, bind=bind):
            step = bind(*numbers)
            return lambda *signals: (called.append(name), step(*signals))

        monkeypatch.setattr(kernels, name, bound)
    compiled = simulated(*small)
    # This is a step of three layers.
    assert [called.count(name) for name in ("controlling", "relaxing")] == [9, 27]
    monkeypatch.setattr(kernels, "fuses", lambda *_: False)
    for one, other in zip(compiled, simulated(*small), strict=True):
        assert one.tobytes() == other.tobytes()
    assert len(called) == 36


def test_short_simulations_of_small_networks_do_not_wait_for_the_compiler(monkeypatch):
    asked = []
    monkeypatch.setattr(kernels, "fuses", lambda array, smallest=None: asked.append(smallest))
    for steps in (10, 11):
        monkeypatch.setattr(stacked, "LONG", 9 * 16 * 11)
        simulated("float32", Controller(alpha=0.1, dt=0.1, steps=steps), True, (5, 7, 6, 3), 9)
    assert asked[-1] == 1 and asked[0] is None



def taught(dtype, activation, biases, sizes=(5, 100, 70, 3), seed=2):
    """Gradients of W and Q by Strong-DFC in a network of large layers, 100 samples, 20 time
    points with coloured noise."""
    random = np.random.default_rng(seed)
    shapes = list(zip(sizes[1:], sizes[:-1], strict=True))
    net = FeedbackNetwork(
        [random.standard_normal(s).astype(dtype) for s in shapes],
        [random.standard_normal(n).astype(dtype) for n in sizes[1:]] if biases else [],
        [random.standard_normal((n, 3)).astype(dtype) for n in sizes[1:]],
        [ACTIVATIONS[activation]] * 2 + [ACTIVATIONS["linear"]],
        soft_cross_entropy(0.99),
    )
    activities = net.forward(random.standard_normal((100, 5)).astype(dtype))
    controller = Controller(
        alpha=0.1, dt=0.1, steps=20, k_p=0.7, tau_v=0.4, tau_a=0.1, inst_transmission=True, proactive=True, sigma=0.1,
        sigma_output=0.2, error="ce", tau_noise=0.3,
    )  # fmt: skip
    settings = FeedbackSettings(controller, 0.1, sigma_output=0.2, rate=0.2)
    options = strong_dfc.Options(controller, include_non_converged_samples=True, aim="label", feedback=settings)
    noise = [random.standard_normal((19, 100, n)).astype(dtype) for n in sizes[1:]]
    result = result_of(strong_dfc, net, activities, random.integers(0, 3, 100), options, GivenNoise(noise))
    return [*result.gradients, *result.feedback]


@pytest.mark.parametrize("biases", (True, False))
@pytest.mark.parametrize("activation", ("tanh", "relu"))
@pytest.mark.parametrize("dtype", ("float32", "float64"))
def test_strong_dfc_with_coloured_noise_has_the_same_bits_compiled_or_not(monkeypatch, dtype, activation, biases):
    pytest.importorskip("numba")
    compiled = taught(dtype, activation, biases)
    monkeypatch.setattr(kernels, "SMALLEST", 1 << 62)
    for one, other in zip(compiled, taught(dtype, activation, biases), strict=True):
        assert one.tobytes() == other.tobytes()
