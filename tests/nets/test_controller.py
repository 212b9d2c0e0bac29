"""The simulated controller: steps by hand, exact solutions of linear loops, where it comes to rest, noise."""

import math
from dataclasses import replace

import numpy as np
import pytest

from dfc import simulation as module
from dfc.controller import Controller
from dfc.functions import ACTIVATIONS, SQUARED_ERROR
from dfc.network import FeedbackNetwork
from dfc.simulation import NOISE_BLOCK, record, simulate
from dfc.steady_state import analytical_steady_state
from tests.feedback_nets_for_tests import STABLE, draw_noise, make_batch, make_net, weight_products
from tests.nets_for_tests import difference

pytestmark = pytest.mark.usefixtures("form")

# Ways to travel that end in the same place.
WAYS = {
    "as it is": STABLE,
    "delayed": replace(STABLE, proactive=False),
    "blockwise": replace(STABLE, inst_transmission=False),
    "blockwise, delayed": replace(STABLE, inst_transmission=False, proactive=False),
    "instantaneous somata": replace(STABLE, inst_transmission=False, inst_system_dynamics=True),
    "integral only": replace(STABLE, k_p=0.0),
    "slow apical compartment": replace(STABLE, tau_a=0.15),
    "slow somata": replace(STABLE, tau_v=0.3),
    "short steps": replace(STABLE, dt=0.025, tau_a=0.025, steps=2 * STABLE.steps),
}


def one_unit(w=2.0, b=1.0, q=0.5):
    """r = v = w x + b."""
    return FeedbackNetwork(
        [np.array([[w]])], [np.array([b])], [np.array([[q]])], [ACTIVATIONS["linear"]], SQUARED_ERROR
    )


def problem(net, samples=5, size=0.3):
    """(activities, output target) with nudges of order `size`."""
    activities = net.forward(make_batch(net, samples)[0])
    nudge = size * np.random.default_rng(8).standard_normal(activities.r[-1].shape)
    return activities, activities.r[-1] + nudge.astype(activities.x.dtype)


# ---- steps by hand ----

BY_HAND = Controller(alpha=0.5, dt=0.1, steps=3, k_p=2.0, tau_v=0.2, tau_a=0.4)


@pytest.mark.parametrize(
    "controller, u, va, vs",
    (
        (BY_HAND, [0.0, 2.1, 2.095], [0.0, 0.0, 0.2625], [3.0, 3.0, 3.13125]),
        (
            replace(BY_HAND, proactive=True),
            [0.0, 2.1, 1.819375],
            [0.0, 0.2625, 0.424296875],
            [3.0, 3.13125, 3.2777734375],
        ),
        # k_p = 0, u[1] = 0.1 e, u[2] = 0.1 + 0.1 (1 - 0.05); tau_a = dt: va[t+1] = q u[t]
        (replace(BY_HAND, k_p=0.0, tau_a=0.1), [0.0, 0.1, 0.195], [0.0, 0.0, 0.05], [3.0, 3.0, 3.025]),
        (replace(BY_HAND, inst_system_dynamics=True), [0.0, 2.1, 2.095], [0.0, 0.0, 0.2625], [3.0, 3.0, 3.2625]),
    ),
    ids=("delayed", "proactive", "integral only", "instantaneous"),
)
def test_two_steps_of_one_unit(controller, u, va, vs):
    """x = 1, v = 2 * 1 + 1 = 3, target 4.  e = 1: I = 0.1, u = 0.1 + 2 * 1 = 2.1; then I = 0.1 + 0.1
    (1 - 0.5 * 2.1) = 0.095."""
    net = one_unit()
    found = record(net, net.forward(np.ones((1, 1))), np.full((1, 1), 4.0), controller)
    np.testing.assert_allclose(found.u.ravel(), u, rtol=1e-14)
    np.testing.assert_allclose(found.va[0].ravel(), va, rtol=1e-14)
    np.testing.assert_allclose(found.vs[0].ravel(), vs, rtol=1e-14)
    np.testing.assert_array_equal(found.vb[0].ravel(), 3.0)
    np.testing.assert_array_equal(found.r[0], found.vs[0])
    np.testing.assert_allclose(found.errors.ravel(), 4.0 - np.array(vs), rtol=1e-14)


def test_rates_reach_the_next_layer_at_once_or_a_step_later():
    """A change of layer 0 at step 1 is in the drive of layer 1 at step 1 with inst_transmission, at step 2 without."""
    net = make_net((2, 2, 2), "linear")
    activities, target = problem(net)
    for instant, first in ((True, 1), (False, 2)):
        found = record(net, activities, target, replace(STABLE, steps=4, inst_transmission=instant))
        moved = (found.vb[1] != activities.v[1]).any(axis=(1, 2))
        np.testing.assert_array_equal(moved, np.arange(4) >= first)


# ---- exact solutions ----


def test_a_linear_instantaneous_loop_has_a_solution_in_closed_form():
    """u[t+1] = u[t] + dt (nudge - M u[t]), M = J Q + alpha I:  u[t] = (I - (I - dt M)^t) M^-1 nudge."""
    net = make_net(hidden="linear")
    activities, target = problem(net)
    c = Controller(alpha=0.2, dt=0.05, steps=40, tau_a=0.05, inst_system_dynamics=True, proactive=True)
    loop = np.concatenate(weight_products(net.weights)).T @ np.concatenate(net.feedback) + 0.2 * np.eye(3)
    rest = np.linalg.solve(loop, (target - activities.r[-1]).T)
    found = record(net, activities, target, c).u
    for t in (0, 1, 2, 17, 39):
        expected = (np.eye(3) - np.linalg.matrix_power(np.eye(3) - 0.05 * loop, t)) @ rest
        np.testing.assert_allclose(found[t], expected.T, rtol=0.0, atol=1e-13)


def test_halving_the_step_halves_the_distance_to_continuous_time():
    """Euler's method is of first order: tau_a va' = -va + q u, tau_v s' = -s + va, I' = e - alpha u, u
    = I + k_p (nudge - s)."""
    q, alpha, k_p, tau_a, tau_v, nudge, end = 1.5, 0.3, 0.8, 0.4, 0.25, 1.0, 2.0
    system = np.array(
        [
            [-1.0 / tau_a, -q * k_p / tau_a, q / tau_a],
            [1.0 / tau_v, -1.0 / tau_v, 0.0],
            [0.0, alpha * k_p - 1.0, -alpha],
        ]
    )
    drive = np.array([q * k_p * nudge / tau_a, 0.0, (1.0 - alpha * k_p) * nudge])
    rest = np.linalg.solve(system, -drive)
    values, vectors = np.linalg.eig(system)
    exact = (rest - vectors @ (np.exp(values * end) * np.linalg.solve(vectors, rest))).real
    net, distances = one_unit(q=q), []
    for steps in (1000, 2000, 4000):
        c = Controller(alpha, end / steps, steps + 1, k_p, tau_v, tau_a)
        state = simulate(net, net.forward(np.ones((1, 1))), np.full((1, 1), 3.0 + nudge), c)
        found = np.array([state.va[0].item(), state.vs[0].item() - 3.0, state.u_int.item()])
        distances.append(np.abs(found - exact).max())
    assert distances[0] < 2e-3
    assert 1.95 < distances[0] / distances[1] < 2.05
    assert 1.95 < distances[1] / distances[2] < 2.05


# ---- at rest ----


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize("hidden", ("tanh", "sigmoid", "linear"))
def test_every_way_ends_at_the_same_rest(hidden, way):
    """Where nothing moves: e = alpha u, vs = vb + Q u.  No time constant, gain, delay or step is in that."""
    net = make_net(hidden=hidden)
    activities, target = problem(net)
    state = simulate(net, activities, target, way)
    assert difference(state.output_distance(), way.alpha * np.linalg.norm(state.u, axis=-1)) < 1e-8
    below = activities.x
    for l, q in enumerate(net.feedback):
        assert difference(state.vb[l], net.drive(l, below)) < 1e-9
        assert difference(state.va[l], state.u @ q.T) < 1e-9
        assert difference(state.vs[l], state.vb[l] + state.va[l]) < 1e-9
        below = state.r[l]
    assert difference(state.u, simulate(net, activities, target, STABLE).u) < 1e-8


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_a_linear_network_rests_where_the_closed_form_says(way):
    net = make_net(hidden="linear")
    activities, target = problem(net)
    state = simulate(net, activities, target, way)
    steady = analytical_steady_state(net, activities, target - activities.r[-1], way.alpha)
    assert difference(state.u, steady.u) < 1e-8
    for l in range(3):
        assert difference(state.va[l], steady.delta_v[l]) < 1e-8
        assert difference(state.vs[l], steady.v[l]) < 1e-9


def test_the_error_falls_and_ends_within_the_leak():
    """Q = J^T, integral control, lambda the eigenvalues of J J^T: each part of the error falls to
    alpha / (lambda + alpha)."""
    net = make_net(hidden="linear", noise=0.0)
    activities, target = problem(net)
    stacked = np.concatenate(net.feedback)
    eigenvalues = np.linalg.eigvalsh(stacked.T @ stacked)
    c = Controller(alpha=0.1, dt=0.05, steps=600, tau_a=0.05, inst_system_dynamics=True, proactive=True)
    errors = record(net, activities, target, c).errors
    assert (np.diff(errors, axis=0) <= 1e-14).all()
    shares = errors[-1] / errors[0]
    assert (shares > 0.1 / (eigenvalues.max() + 0.1) - 1e-12).all()
    assert (shares < 0.1 / (eigenvalues.min() + 0.1) + 1e-12).all()


@pytest.mark.parametrize("hidden", ("tanh", "relu", "leakyrelu", "sigmoid"))
def test_control_brings_the_output_to_its_target(hidden):
    net = make_net(hidden=hidden)
    activities, target = problem(net)
    errors = record(net, activities, target, replace(STABLE, alpha=1e-4)).errors
    assert (errors[-1] < 1e-3 * errors[0]).all()


# ---- a recording, and what is left alone ----


def test_a_recording_starts_with_the_feedforward_pass():
    net = make_net()
    activities, target = problem(net)
    found = record(net, activities, target, replace(STABLE, steps=5))
    assert found.u.shape == (5, *target.shape)
    assert (found.u[0] == 0.0).all()
    for l, n in enumerate(net.sizes):
        assert found.va[l].shape == found.vb[l].shape == found.vs[l].shape == found.r[l].shape == (5, 5, n)
        assert (found.va[l][0] == 0.0).all()
        np.testing.assert_array_equal(found.vb[l][0], activities.v[l])
        np.testing.assert_array_equal(found.vs[l][0], activities.v[l])
        np.testing.assert_array_equal(found.r[l][0], activities.r[l])


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_the_feedforward_pass_is_never_overwritten(way):
    net = make_net()
    activities, target = problem(net)
    owned = (activities.x, *activities.v, *activities.r, target, *net.named_arrays.values())
    kept = [array.copy() for array in owned]
    simulate(net, activities, target, replace(way, steps=20))
    for before, array in zip(kept, owned, strict=True):
        np.testing.assert_array_equal(before, array)


def test_one_time_point_is_the_feedforward_pass():
    net = make_net()
    activities, target = problem(net)
    state = simulate(net, activities, target, replace(STABLE, steps=1))
    assert (state.u == 0.0).all()
    np.testing.assert_array_equal(state.r[-1], activities.r[-1])


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_float32_stays_float32(way):
    """And is near float64: the loop is a contraction, so that errors of rounding do not add up."""
    way, found = replace(way, sigma=0.05, sigma_output=0.02, steps=200), {}
    for dtype in ("float64", "float32"):
        net = make_net(dtype=dtype)
        activities, target = problem(net)
        trajectory = record(net, activities, target, way, draw_noise(net, 199, 5))
        found[dtype] = [trajectory.u, trajectory.errors, *trajectory.va, *trajectory.vb, *trajectory.vs, *trajectory.r]
        assert {array.dtype for array in found[dtype]} == {np.dtype(dtype)}
    for rounded, exact in zip(*found.values(), strict=True):
        assert difference(exact, rounded) < 1e-4


# ---- noise ----

NOISY = replace(STABLE, sigma=0.3, sigma_output=0.1, steps=20)


@pytest.mark.parametrize("way", ("as it is", "blockwise", "slow apical compartment"))
def test_noise_of_zeros_is_no_noise(way):
    net = make_net()
    activities, target = problem(net)
    noise = draw_noise(net, 19, 5)
    zeros = type(noise)([0.0 * layer for layer in noise.layers])
    quiet = record(net, activities, target, replace(WAYS[way], steps=20))
    found = record(net, activities, target, replace(WAYS[way], steps=20, sigma=0.3, sigma_output=0.1), zeros)
    for one, other in zip((found.u, *found.vs), (quiet.u, *quiet.vs), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("steps", (1, 2, NOISE_BLOCK, NOISE_BLOCK + 1, NOISE_BLOCK + 2, 40))
def test_noise_drawn_in_blocks_is_noise_drawn_step_by_step(steps, monkeypatch):
    """T time points are T - 1 steps, and as many draws: no more, or the noise of what follows
    would depend on the block."""
    net = make_net()
    activities, target = problem(net)
    way = replace(NOISY, steps=steps)
    blocks, single = draw_noise(net, steps + 30, 5), draw_noise(net, steps + 30, 5)
    found = record(net, activities, target, way, blocks)
    assert max(blocks.asked, default=0) <= NOISE_BLOCK
    assert blocks.position == sum(blocks.asked) == steps - 1
    monkeypatch.setattr(module, "NOISE_BLOCK", 1)
    expected = record(net, activities, target, way, single)
    assert single.asked == [1] * (steps - 1)
    for one, other in zip((found.u, *found.va, *found.vs), (expected.u, *expected.va, *expected.vs), strict=True):
        np.testing.assert_array_equal(one, other)


def test_noise_enters_the_apical_compartment_scaled_and_through_its_own_layers():
    """Without feedback va[t+1] = (1 - dt/tau_a) va[t] + s sqrt(dt)/tau_a xi[t]: layer by layer,
    output with its own s."""
    net = make_net()
    for q in net.feedback:
        q[:] = 0.0
    activities, target = problem(net)
    way = replace(NOISY, tau_a=0.2)
    noise = draw_noise(net, 19, 5)
    found = record(net, activities, target, way, noise)
    for l, sigma in enumerate((0.3, 0.3, 0.1)):
        expected = np.zeros_like(activities.v[l])
        for t in range(19):
            expected = 0.75 * expected + sigma * math.sqrt(0.05) / 0.2 * noise.layers[l][t]
            np.testing.assert_allclose(found.va[l][t + 1], expected, rtol=0.0, atol=1e-14)


def test_noise_has_the_variance_of_the_continuous_process():
    """tau_a dva = -va dt + sigma dW has variance sigma^2 / (2 tau_a); Euler's is 1 / (1 - dt /
    (2 tau_a)) times that."""
    net = make_net((1, 40, 1))
    for q in net.feedback:
        q[:] = 0.0
    activities, target = problem(net, 100)
    way = Controller(alpha=0.1, dt=0.02, steps=120, tau_a=0.2, sigma=0.5, sigma_output=0.5)
    state = simulate(net, activities, target, way, draw_noise(net, 119, 100))
    expected = 0.5**2 / 0.4 / (1.0 - 0.05)
    assert abs(np.square(state.va[0]).mean() / expected - 1.0) < 4.0 * math.sqrt(2.0 / 4000)
