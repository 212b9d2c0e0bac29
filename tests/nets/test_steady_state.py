"""Control in closed form: the linear system it solves, its limits, and the way round through fewer units."""

import numpy as np
import pytest

import main
from core.backend import Workers, select_backend
from dfc import steady_state
from dfc.build import build_system
from dfc.draws import Draws
from dfc.jacobian import output_jacobian, stacked_feedback
from dfc.network import load_weights
from dfc.steady_state import analytical_steady_state, control
from tests.feedback_nets_for_tests import make_batch, make_net
from tests.nets_for_tests import difference

DEPTHS = pytest.mark.parametrize(
    "sizes", ((4, 3), (5, 4, 3), (7, 6, 5, 4, 3)), ids=lambda sizes: f"{len(sizes) - 1} layers"
)


def problem(net, samples=5):
    """(activities, a nudge of order 1)."""
    activities = net.forward(make_batch(net, samples)[0])
    return activities, np.random.default_rng(8).standard_normal(activities.r[-1].shape).astype(activities.x.dtype)


def loops(net, activities):
    """Jbar Qbar of every sample, (n, n_L, n_L)."""
    return output_jacobian(net, activities.v) @ stacked_feedback(net)


@DEPTHS
@pytest.mark.parametrize("output", ("linear", "tanh", "sigmoid"))
@pytest.mark.parametrize("hidden", ("tanh", "relu", "leakyrelu", "sigmoid"))
def test_control_solves_its_equation(sizes, hidden, output):
    """(Jbar Qbar + alpha I) u = nudge."""
    net = make_net(sizes, hidden, output)
    activities, nudge = problem(net)
    u = control(net, activities, nudge, 0.3)
    assert difference((loops(net, activities) @ u[..., None])[..., 0] + 0.3 * u, nudge) < 1e-12


def test_voltages_are_those_of_a_pass_with_feedback():
    net = make_net()
    activities, nudge = problem(net)
    steady = analytical_steady_state(net, activities, nudge, 0.3)
    np.testing.assert_array_equal(steady.u, control(net, activities, nudge, 0.3))
    below = activities.x
    for l, (w, b, q) in enumerate(zip(net.weights, net.biases, net.feedback, strict=True)):
        assert difference(steady.delta_v[l], steady.u @ q.T) < 1e-14
        assert difference(steady.v[l], below @ w.T + b + steady.u @ q.T) < 1e-14
        below = net.activations[l].apply(steady.v[l])
        np.testing.assert_array_equal(steady.r[l], below)


@DEPTHS
def test_in_a_linear_network_the_output_moves_by_what_the_leak_leaves(sizes):
    """r_L - r_L^- = Jbar Qbar u = nudge - alpha u, exactly."""
    net = make_net(sizes, "linear")
    activities, nudge = problem(net)
    steady = analytical_steady_state(net, activities, nudge, 0.3)
    assert difference(steady.r[-1] - activities.r[-1], nudge - 0.3 * steady.u) < 1e-12


@pytest.mark.parametrize("alpha", (1e4, 1e6, 1e8))
def test_a_strong_leak_leaves_the_nudge_alone(alpha):
    """alpha u = (I + Jbar Qbar / alpha)^-1 nudge -> nudge, with an error of |Jbar Qbar| / alpha."""
    net = make_net()
    activities, nudge = problem(net)
    bound = np.linalg.norm(loops(net, activities), axis=(-2, -1)).max() / alpha
    distance = difference(alpha * control(net, activities, nudge, alpha), nudge)
    assert 1e-3 * bound < distance < 5.0 * bound


def test_each_sample_has_its_own_control():
    net = make_net()
    activities, nudge = problem(net)
    whole = control(net, activities, nudge, 0.3)
    for row in range(5):
        alone = slice(row, row + 1)
        assert difference(control(net, activities.part(alone), nudge[alone], 0.3), whole[alone]) < 1e-12


@pytest.mark.parametrize("block", (1, 30, 70, 10**6))
@pytest.mark.parametrize("sizes, identity", (((5, 4, 3), False), ((5, 4, 6, 3, 5), True), ((4, 3), False)))
def test_samples_are_worked_on_in_blocks_that_change_nothing(sizes, identity, block):
    net = make_net(sizes)
    activities, nudge = problem(net, 7)
    expected = control(net, activities, nudge, 0.3)
    net.identity, net.block = identity, block
    assert difference(control(net, activities, nudge, 0.3), expected) < 1e-13


@pytest.mark.parametrize("hidden", ("linear", "tanh"))
def test_feedback_in_the_row_space_of_the_jacobian_gives_the_change_of_minimum_norm(hidden):
    """Theorem 3 of the paper: Qbar = J^T P with any invertible P, and alpha -> 0, give delta_v = J^dagger e."""
    net = make_net(hidden=hidden)
    activities, nudge = problem(net, 1)
    jacobian = output_jacobian(net, activities.v)[0]
    mixture = np.random.default_rng(4).standard_normal((3, 3)) + 2.0 * np.eye(3)
    stacked = jacobian.T @ mixture
    net.feedback[:] = np.split(stacked, np.cumsum(net.sizes)[:-1])
    expected = nudge @ np.linalg.pinv(jacobian).T
    loop = np.linalg.norm(np.linalg.inv(jacobian @ stacked), 2)
    for alpha, limit in ((0.0, 1e-12), (1e-8, 2e-8 * loop)):
        found = np.concatenate(analytical_steady_state(net, activities, nudge, alpha).delta_v, axis=-1)
        assert difference(found, expected) < limit
    # It is no longer in the row space: another solution of the same equation, hence a longer one.
    net.feedback[0][:] += 0.5
    found = np.concatenate(analytical_steady_state(net, activities, nudge, 0.0).delta_v, axis=-1)
    assert difference(found @ jacobian.T, nudge) < 1e-11
    assert np.linalg.norm(found) > 1.001 * np.linalg.norm(expected)


# ---- Woodbury's identity ----


@pytest.fixture
def solved_sizes(monkeypatch):
    """The sizes of the linear systems that are solved."""
    sizes, solve = [], np.linalg.solve

    def watched(matrices, rows):
        sizes.append(matrices.shape[-1])
        return solve(matrices, rows)

    monkeypatch.setattr(steady_state.array_module(np.ones(1)).linalg, "solve", watched)
    return sizes


@pytest.mark.parametrize("alpha", (0.0, 1e-3, 0.5))
@pytest.mark.parametrize("hidden", ("tanh", "relu", "leakyrelu", "sigmoid", "linear"))
@pytest.mark.parametrize("widths", ((2,), (6, 2), (6, 5, 2), (3, 8, 4, 3), (6, 11, 10)), ids=str)
def test_through_fewer_units_the_control_is_the_same(widths, hidden, alpha, solved_sizes):
    """(c I + W A)^-1 by a system of the size of the last hidden layer, where the output layer is wider."""
    net = make_net((6, *widths, 11), hidden)
    activities, nudge = problem(net)
    plain = control(net, activities, nudge, alpha)
    net.identity = True
    assert difference(control(net, activities, nudge, alpha), plain) < 1e-12
    assert solved_sizes == [11, widths[-1]]


@pytest.mark.parametrize(
    "sizes, output", (((6, 5, 4), "linear"), ((6, 4, 4), "linear"), ((6, 3, 4), "tanh"), ((3, 4), "linear"))
)
def test_the_way_round_is_taken_where_it_holds_and_is_shorter(sizes, output, solved_sizes):
    net = make_net(sizes, output=output)
    activities, nudge = problem(net)
    plain = control(net, activities, nudge, 0.1)
    net.identity = True
    np.testing.assert_array_equal(control(net, activities, nudge, 0.1), plain)
    assert solved_sizes == [4, 4]


@pytest.mark.parametrize("identity", (False, True))
def test_control_in_float32(identity):
    """Stays float32, and is as near as the condition of a tame system allows."""
    exact, rounded = (make_net((6, 5, 3, 8), dtype=dtype) for dtype in ("float64", "float32"))
    exact.identity = rounded.identity = identity
    activities, nudge = problem(exact)
    expected = analytical_steady_state(exact, activities, nudge, 0.1)
    again = rounded.forward(activities.x.astype("float32"))
    found = analytical_steady_state(rounded, again, nudge.astype("float32"), 0.1)
    for name in ("delta_v", "v", "r"):
        for one, other in zip(getattr(found, name), getattr(expected, name), strict=True):
            assert one.dtype == np.float32
            assert difference(one, other) < 1e-5
    assert found.u.dtype == np.float32
    assert difference(found.u, expected.u) < 1e-5


@pytest.mark.parametrize("trained", (False, True))
def test_weights_that_are_read_decide_whether_control_passes_through_fewer_units(trained, tmp_path):
    """A run may start from one whose Q of the output layer was trained, and freeze it."""
    source, net = (make_net((5, 6, 3, 8)) for _ in range(2))
    source.feedback[-1][:] = np.eye(8) + 0.3 * trained * np.random.default_rng(4).standard_normal((8, 8))
    for name, array in source.named_arrays.items():
        np.save(tmp_path / f"{name}.npy", array)
    net.identity = True
    load_weights(net, tmp_path)
    assert net.identity != trained
    activities, nudge = problem(net)
    u = control(net, activities, nudge, 0.3)
    assert difference((loops(net, activities) @ u[..., None])[..., 0] + 0.3 * u, nudge) < 1e-12


def test_the_homeostatic_constant_is_that_of_the_q_from_which_a_run_starts(tmp_path):
    """docs/published/dfc.md D.2: by default it is |Qbar|^2 at the start."""
    settings = main.parse(["--use_homeostatic_wd_fb", "--size_hidden=4", "--num_hidden=1"]).system
    backend = select_backend("numpy")
    with Workers() as workers:
        source = build_system(settings, backend, workers, Draws(1, backend)).learner.net
        for q in source.feedback:
            q *= 3.0
        for name, array in source.named_arrays.items():
            np.save(tmp_path / f"{name}.npy", array)
        learner = build_system(settings, backend, workers, Draws(2, backend), start_from=tmp_path).feedback
    assert learner.homeostatic[1] == pytest.approx(sum((q**2).sum() for q in source.feedback), rel=1e-12)
