"""What theory says of angles, minimum-norm updates, the fit of the feedback weights and stability."""

import math
from dataclasses import replace

import numpy as np
import pytest

from core.angles import angle, joint_angle
from core.options import UsageError
from dfc.functions import ACTIVATIONS, SQUARED_ERROR
from dfc.gradients import BatchReport, RuleResult, output_target
from dfc.jacobian import jacobian_blocks, output_jacobian, stacked_feedback
from dfc.measures.angles import (
    bp_update,
    gn_update,
    gnt_update,
    gnt_voltages,
    loss_gradient,
    nullspace_ratio,
    nullspace_ratios,
    ssa_update,
)
from dfc.measures.damping import DAMPINGS, search_damping
from dfc.measures.feedback_diagnostics import MEASURES, feedback_fit
from dfc.measures.least_squares import damped_pseudo_inverse, reachable_outputs
from dfc.measures.observation import low_passed_rates
from dfc.measures.stability import MATRICES, activity_norms, deviation_of_norms, largest_eigenvalues, stability_matrices
from dfc.network import Activities, FeedbackNetwork
from dfc.simulation import record
from rules import FEEDBACK_NET_RULES, dfc_ssa, strong_dfc
from tests.feedback_nets_for_tests import STABLE, draw_noise, gradients_from, make_batch, make_net, result_of
from tests.nets_for_tests import difference

RANDOM = np.random.default_rng(7)
# There are fewer units below the output than outputs, as in an autoencoder.
NARROW_BELOW_THE_OUTPUT = (5, 6, 3, 8)
NETS = {
    "tanh": {},
    "no bias": {"bias": False},
    "cross-entropy": {"loss": "ce", "hidden": "leakyrelu"},
    "sigmoid output": {"output": "sigmoid", "hidden": ["sigmoid", "relu"]},
    "autoencoder": {"sizes": NARROW_BELOW_THE_OUTPUT},
    "autoencoder without bias": {"sizes": NARROW_BELOW_THE_OUTPUT, "bias": False},
    "autoencoder with tanh output": {"sizes": NARROW_BELOW_THE_OUTPUT, "output": "tanh"},
    "one layer": {"sizes": (4, 3)},
}
every_net = pytest.mark.parametrize("net", [make_net(**options) for options in NETS.values()], ids=NETS)
every_damping = pytest.mark.parametrize("gamma", (0.0, 0.1, 5.0))


def problem(net, samples=6):
    inputs, target = make_batch(net, samples)
    return net.forward(inputs), target


def parameter_jacobian(net, activities):
    """Jt (n, n_L, P), written out."""
    columns = []
    for l, block in enumerate(jacobian_blocks(net, activities.v, automatic=True)):
        columns.append((block[..., None] * activities.presynaptic(l)[:, None, None, :]).reshape(*block.shape[:2], -1))
        columns += [block] if net.biases else []
    return np.concatenate(columns, axis=-1)


def flat(update):
    return np.concatenate([each.ravel() for each in update])


# ---- angles


def test_angle_of_an_array_with_itself_its_negative_and_its_multiples():
    """At 0 and 180 degrees rounding may push a cosine beyond 1, where the published program has NaN."""
    for _ in range(20):
        a = RANDOM.standard_normal((5, 4))
        assert angle(a, a) == 0.0
        assert angle(a, -a) == 180.0
        assert 0.0 <= angle(a, 3.7 * a) < 1e-13
        assert 180.0 - 1e-13 < angle(a, -0.3 * a) <= 180.0


@pytest.mark.parametrize("degrees", (1e-9, 1e-3, 45.0, 90.0, 179.999))
def test_angle_in_a_plane(degrees):
    turned = np.array([math.cos(math.radians(degrees)), math.sin(math.radians(degrees))])
    assert abs(angle(np.array([[2.0, 0.0]]), turned[None]) - degrees) < 1e-12


def test_joint_angle_is_that_of_the_long_vectors():
    first, second = ([RANDOM.standard_normal(shape) for shape in ((3, 2), (4,))] for _ in range(2))
    cosine = flat(first) @ flat(second) / np.linalg.norm(flat(first)) / np.linalg.norm(flat(second))
    assert abs(joint_angle(first, second) - math.degrees(math.acos(cosine))) < 1e-12


def test_angle_with_nothing_is_not_a_number():
    with np.errstate(invalid="ignore"):
        assert np.isnan(angle(np.zeros(3), np.ones(3)))


# ---- minimum-norm updates


@every_damping
@every_net
def test_gauss_newton_is_that_of_the_jacobian_of_the_parameters(net, gamma):
    activities, target = problem(net)
    jacobian, error = parameter_jacobian(net, activities), loss_gradient(net, activities, target)
    expected = (damped_pseudo_inverse(jacobian, gamma) @ error[..., None])[..., 0].mean(axis=0)
    assert difference(flat(gn_update(net, activities, target, gamma)), expected) < 1e-11


@every_damping
@every_net
def test_minimum_norm_voltages_are_those_of_the_jacobian_of_the_voltages(net, gamma):
    activities, target = problem(net)
    jacobian, error = output_jacobian(net, activities.v), loss_gradient(net, activities, target)
    expected = (damped_pseudo_inverse(jacobian, gamma) @ error[..., None])[..., 0]
    assert difference(np.concatenate(gnt_voltages(net, activities, target, gamma), axis=-1), expected) < 1e-11


def test_reachable_outputs_are_used_where_there_are_fewer():
    found = [name for name, options in NETS.items() if reachable_outputs(make_net(**options)) is not None]
    assert found == ["autoencoder", "autoencoder without bias"]


@every_net
def test_no_number_of_samples_at_a_time_changes_them(net):
    activities, target = problem(net, 7)
    results = []
    for net.block in (1, 400, 1 << 62):
        fit = np.array(list(feedback_fit(net, activities, 0.1).values()))
        results.append([*gn_update(net, activities, target, 0.0), *gnt_voltages(net, activities, target, 0.1), fit])
    for one, other in zip(results[0] * 2, results[1] + results[2], strict=True):
        assert difference(one, other) < 1e-12


def test_minimum_norm_change_of_the_voltages_changes_a_linear_output_by_the_error():
    net = make_net(hidden="linear")
    activities, target = problem(net)
    changes = gnt_voltages(net, activities, target, 0.0)
    moved = activities.x
    for l, change in enumerate(changes):
        moved = net.drive(l, moved) + change
    assert difference(moved - activities.r[-1], loss_gradient(net, activities, target)) < 1e-12


def test_large_damping_turns_minimum_norm_updates_into_backpropagation():
    """M(J, e, gamma) -> J^T e / gamma; the mean over the batch is another 1/n."""
    net = make_net()
    activities, target = problem(net)
    for update in (gn_update, gnt_update):
        found = flat(update(net, activities, target, 1e9)) * 1e9 * activities.batch_size
        assert difference(found, flat(bp_update(net, activities, target))) < 1e-7


@pytest.mark.parametrize("parameters", (False, True), ids=("voltages", "parameters"))
def test_dead_outputs_take_no_part_without_damping(parameters):
    """A slope of zero is a row of zeros in J, which pinv ignores; of sample 1 all outputs are dead, of
    sample 0 one at least."""
    net = make_net(output="relu", bias=not parameters)
    activities, target = problem(net)
    activities.v[-1][0, 1] = activities.v[-1][1, :] = -1.0
    blocks = parameter_jacobian(net, activities) if parameters else output_jacobian(net, activities.v)
    assert not blocks[1].any()
    update = gn_update if parameters else gnt_voltages
    error = loss_gradient(net, activities, target)
    expected = (np.linalg.pinv(blocks) @ error[..., None])[..., 0]
    found = update(net, activities, target, 0.0)
    if parameters:
        assert difference(flat(found), expected.mean(axis=0)) < 1e-11
    else:
        assert difference(np.concatenate(found, axis=-1), expected) < 1e-11


@pytest.mark.parametrize("sizes", ((4, 5, 3), NARROW_BELOW_THE_OUTPUT))
def test_jacobians_of_lower_rank_without_biases(sizes):
    """No rate reaches the output layer of sample 0, so that its J has the rank of the hidden layers;
    sample 1 has no J at all."""
    net = make_net(sizes=sizes, bias=False)
    activities, target = problem(net)
    activities.r[-2][0] = 0.0
    activities.x[1] = 0.0
    for r in activities.r:
        r[1] = 0.0
    jacobian, error = parameter_jacobian(net, activities), loss_gradient(net, activities, target)
    expected = (np.linalg.pinv(jacobian, rcond=1e-12) @ error[..., None])[..., 0].mean(axis=0)
    assert difference(flat(gn_update(net, activities, target, 0.0)), expected) < 1e-10


def test_nearly_dead_outputs_are_not_mistaken_for_dead_ones():
    """Singular values of 1e-10 are far above the cut-off of pinv, though their squares drown in the rounding of J J^T.

    J = D J' with full row rank, hence pinv(J) = pinv(J') D^-1, which is well-conditioned.
    """
    net = make_net(output="sigmoid")
    activities, target = problem(net)
    # The slope is 1e-10 there.
    activities.v[-1][:, 0] = -23.0
    activities.r[-1][:, 0] = 1e-10
    error, slope = loss_gradient(net, activities, target), ACTIVATIONS["sigmoid"].slope(activities.v[-1])
    jacobian = output_jacobian(net, activities.v) / slope[..., None]
    expected = (np.linalg.pinv(jacobian) @ (error / slope)[..., None])[..., 0]
    assert np.abs(expected).min(axis=0).max() > 1e6
    assert difference(np.concatenate(gnt_voltages(net, activities, target, 0.0), axis=-1), expected) < 1e-11


@pytest.mark.parametrize("gamma", (-0.1, float("nan")))
def test_negative_damping_is_refused(gamma):
    net = make_net()
    activities, target = problem(net)
    for call in (
        lambda: damped_pseudo_inverse(np.eye(2), gamma),
        lambda: gn_update(net, activities, target, gamma),
        lambda: feedback_fit(net, activities, gamma),
    ):
        with pytest.raises(UsageError, match=rf"--gn_damping={gamma}: must be in \[0, inf\)"):
            call()


@pytest.mark.parametrize("shape", ((3, 8), (8, 3), (4, 4)))
def test_damped_pseudo_inverse_of_stacks(shape):
    """By the singular values s: s / (s^2 + gamma) in place of s."""
    matrices = RANDOM.standard_normal((5, *shape))
    u, s, v = np.linalg.svd(matrices, full_matrices=False)
    for gamma in (0.0, 0.3):
        expected = (v.swapaxes(-1, -2) * (s / (s * s + gamma))[:, None, :]) @ u.swapaxes(-1, -2)
        assert difference(damped_pseudo_inverse(matrices, gamma), expected) < 1e-11


def test_nonlinear_update_and_steady_rates():
    net = make_net()
    activities, target = problem(net)
    changes = gnt_voltages(net, activities, target, 0.1)
    rates = [RANDOM.standard_normal(r.shape) for r in activities.r]
    found = gnt_update(net, activities, target, 0.1, nonlinear=True, rates=rates)
    for l, (v, change, below) in enumerate(zip(activities.v, changes, (activities.x, *rates), strict=False)):
        phi = net.activations[l].apply
        expected = phi(v + change) - phi(v)
        assert difference(found[2 * l], expected.T @ below / 6) < 1e-12
        assert difference(found[2 * l + 1], expected.mean(axis=0)) < 1e-12


@pytest.mark.parametrize("initial", (False, True), ids=("", "initial activations"))
@pytest.mark.parametrize("learning_rule", ("voltage_difference", "nonlinear_difference"))
def test_update_of_the_analytical_steady_state_is_the_rules_own_with_its_own_rates(learning_rule, initial):
    net = make_net()
    activities, target = problem(net)
    options = dfc_ssa.Options(0.1, 0.01, learning_rule, initial)
    result = result_of(dfc_ssa, net, activities, target, options)
    found = ssa_update(net, activities, target, options, result.steady.r)
    for one, other in zip(found, result.gradients, strict=True):
        assert difference(one, other) < 1e-10


# ---- null space


def explicit_ratio(jacobian, rates, matrix):
    rows = np.einsum("boi,bj->boij", jacobian, rates).reshape(-1, matrix.size)
    _, s, v = np.linalg.svd(rows)
    null = v[(s >= 1e-12).sum() :]
    return np.linalg.norm(null @ matrix.ravel()) / np.linalg.norm(matrix)


@pytest.mark.parametrize("shape", ((3, 2, 6, 7), (6, 3, 3, 4), (4, 4, 4, 4)), ids=("wide", "tall", "square"))
def test_null_space_ratio_is_that_of_all_singular_vectors(shape):
    """(samples, outputs, units, inputs); a wide A has fewer rows than the layer has weights."""
    n, k, units, inputs = shape
    jacobian, rates = RANDOM.standard_normal((n, k, units)), RANDOM.standard_normal((n, inputs))
    matrix = RANDOM.standard_normal((units, inputs))
    assert abs(nullspace_ratio(jacobian, rates, matrix) - explicit_ratio(jacobian, rates, matrix)) < 1e-9


@pytest.mark.parametrize("smallest", (1e-3, 1e-8, 1e-11, 1e-13, 0.0))
def test_null_space_ratio_where_rows_are_nearly_dependent(smallest):
    """Row 1 is `smallest` away from row 0: a direction of its own above 1e-12, none below."""
    jacobian, matrix = RANDOM.standard_normal((4, 1, 6)), RANDOM.standard_normal((6, 5))
    rates = RANDOM.standard_normal((4, 5))
    jacobian[1], rates[1] = jacobian[0], rates[0] * (1.0 + 0.0)
    jacobian[1, 0, 0] += smallest
    expected = explicit_ratio(jacobian, rates, matrix)
    assert abs(nullspace_ratio(jacobian, rates, matrix) - expected) < 1e-3 * expected


@pytest.mark.parametrize("samples", (2, 30))
def test_backpropagation_has_nothing_in_the_null_space(samples):
    """dW_l is a sum of rows of A; and what is orthogonal to all of them is all there."""
    net = make_net(hidden="leakyrelu")
    activities, target = problem(net, samples)
    assert max(nullspace_ratios(net, activities, bp_update(net, activities, target))) < 1e-10
    if samples == 2:
        jacobian, rates = jacobian_blocks(net, activities.v, automatic=True)[0], activities.x
        rows = np.einsum("boi,bj->boij", jacobian, rates).reshape(-1, net.weights[0].size)
        orthogonal = np.linalg.svd(rows)[2][-1].reshape(net.weights[0].shape)
        assert abs(nullspace_ratio(jacobian, rates, orthogonal) - 1.0) < 1e-12


def test_null_space_ratio_of_numbers_that_blew_up():
    jacobian, rates, matrix = np.ones((2, 1, 3)), np.ones((2, 3)), np.ones((3, 3))
    jacobian[0, 0, 0] = np.nan
    assert np.isnan(nullspace_ratio(jacobian, rates, matrix))
    assert np.isnan(nullspace_ratio(jacobian[:, [0] * 6], rates, matrix))


# ---- feedback weights


def set_feedback(net, stacked):
    """A network with Qbar `stacked`."""
    edges = np.cumsum(net.sizes)[:-1]
    return FeedbackNetwork(net.weights, net.biases, np.split(stacked, edges), net.activations, net.loss)


@every_damping
@every_net
def test_fit_is_that_of_the_written_out_matrices(net, gamma):
    activities, _ = problem(net)
    q = stacked_feedback(net)
    expected = dict.fromkeys(MEASURES, 0.0)
    for j in output_jacobian(net, activities.v):
        inverse = damped_pseudo_inverse(j, gamma)
        expected["condition_gn"] += np.linalg.norm(np.linalg.pinv(j) @ j @ q) / np.linalg.norm(q) / 6
        expected["jac_transpose"] += angle(j.T, q) / 6
        expected["jac_pinv"] += angle(inverse, q) / 6
    for name, value in feedback_fit(net, activities, gamma).items():
        assert abs(value - expected[name]) < 1e-9, name


@pytest.mark.parametrize("sizes", ((7, 6, 5, 3), NARROW_BELOW_THE_OUTPUT))
def test_feedback_in_the_row_space_of_the_jacobian(sizes):
    # There is one Jacobian for all samples.
    net = make_net(sizes=sizes, hidden="linear")
    activities, _ = problem(net)
    j = output_jacobian(net, activities.v)[0]
    outputs = sizes[-1]
    random = RANDOM.standard_normal((outputs, outputs))
    assert abs(feedback_fit(set_feedback(net, j.T @ random), activities)["condition_gn"] - 1.0) < 1e-12
    null = np.linalg.svd(j)[2][outputs:]
    across = set_feedback(net, null.T @ RANDOM.standard_normal((len(null), outputs)))
    assert feedback_fit(across, activities)["condition_gn"] < 1e-7
    fit = feedback_fit(set_feedback(net, 2.0 * j.T), activities)
    assert fit["jac_transpose"] < 1e-5
    assert feedback_fit(set_feedback(net, 3.0 * np.linalg.pinv(j)), activities)["jac_pinv"] < 1e-5
    assert (
        abs(feedback_fit(set_feedback(net, -damped_pseudo_inverse(j, 0.5)), activities, 0.5)["jac_pinv"] - 180.0) < 1e-5
    )


def test_dead_outputs_do_not_break_the_fit():
    net = make_net(output="relu")
    activities, _ = problem(net)
    activities.v[-1][:] = [1.0, -1.0, 1.0]
    q = stacked_feedback(net)
    expected = np.mean([np.linalg.norm(np.linalg.pinv(j) @ j @ q) for j in output_jacobian(net, activities.v)])
    fit = feedback_fit(net, activities)
    assert abs(fit["condition_gn"] - expected / np.linalg.norm(q)) < 1e-12
    assert np.isfinite(list(fit.values())).all()


# ---- stability


def two_unit_net(w, q):
    """x -> w_0 x -> w_1 w_0 x, linear, feedback q to the hidden unit and 1 to the output."""
    weights = [np.array([[each]]) for each in w]
    return FeedbackNetwork(weights, [], [np.array([[q]]), np.ones((1, 1))], [ACTIVATIONS["linear"]] * 2, SQUARED_ERROR)


def test_stability_of_two_units_by_hand():
    """a = [[1, 0], [-w, 1]] / tau, Jbar = [w, 1], Qbar = [q, 1]; the eigenvalues of A_tildeI solve a cubic equation:
    (1/tau + x)^2 (alpha + x) + (w q / tau + 1/tau + x) / tau = 0, by expanding the determinant along the last row."""
    w, q, alpha, tau, k_p = -1.5, 0.4, 0.3, 0.5, 2.0
    net, v = two_unit_net((0.7, w), q), [np.ones((2, 1))] * 2
    matrices = stability_matrices(net, v, alpha, tau, k_p)
    a = np.array([[1.0, 0.0], [-w, 1.0]]) / tau
    aq = a @ [[q], [1.0]]
    np.testing.assert_allclose(
        matrices["A_tildeI"][1], np.block([[-a, np.array([[q], [1.0]]) / tau], [0.0, -1.0, -alpha]])
    )
    np.testing.assert_allclose(matrices["A_I"][1], np.block([[-a, aq], [-w, -1.0, -alpha]]))
    np.testing.assert_allclose(matrices["A_PI"][1], np.block([[-a, aq], [-w, k_p / tau - 1.0, -(alpha + k_p / tau)]]))
    np.testing.assert_allclose(matrices["A_instI"][1], [[-(w * q + 1.0 + alpha)]])
    found = largest_eigenvalues(net, v, alpha, tau, k_p)
    np.testing.assert_allclose(found["A_instI"], -(w * q + 1.0 + alpha))
    speed = np.poly1d([1.0, 1.0 / tau])
    cubic = speed * speed * np.poly1d([1.0, alpha]) + (speed + w * q / tau) / tau
    np.testing.assert_allclose(found["A_tildeI"], cubic.roots.real.max())


def test_eigenvalues_of_a_network_without_hidden_layers():
    """One linear unit: A_I = A_tildeI = [[-1/tau, 1/tau], [-1, -alpha]]."""
    net = FeedbackNetwork([np.array([[2.0]])], [], [np.ones((1, 1))], [ACTIVATIONS["linear"]], SQUARED_ERROR)
    found = largest_eigenvalues(net, [np.zeros((3, 1))], 0.1, 0.2, 0.0)
    expected = np.roots([1.0, 0.1 + 5.0, 0.1 * 5.0 + 5.0]).real.max()
    for name in ("A_tildeI", "A_I", "A_PI"):
        np.testing.assert_allclose(found[name], [expected] * 3)
    np.testing.assert_allclose(found["A_instI"], [-1.1] * 3)


def test_eigenvalues_of_numbers_that_blew_up_are_not_numbers():
    net = make_net()
    activities, _ = problem(net)
    activities.v[0][2, 0] = np.nan
    for values in largest_eigenvalues(net, activities.v, 0.1, 0.2, 1.0).values():
        np.testing.assert_array_equal(np.isnan(values), [False, False, True, False, False, False])
    assert tuple(largest_eigenvalues(net, activities.v, 0.1, 0.2, 1.0)) == MATRICES


def test_norms_of_activities_by_hand():
    """Norms 5 and 1: m = 3, deviations 2/3; squared deviations 4 each, 4 / 3 below the root, or sqrt(4) / 3."""
    activities = Activities(np.array([[3.0, 4.0]]), [None] * 2, [np.array([[1.0, 0.0]]), np.array([[9.0]])], 1, None)
    found = activity_norms(activities)
    expected = {"mean": 3.0, "input": 2.0 / 3.0, "layer 1": -2.0 / 3.0}
    assert {name: float(value[0]) for name, value in found.items()} == pytest.approx(expected)
    assert float(deviation_of_norms(activities)[0]) == pytest.approx(math.sqrt(4.0 / 3.0))
    assert float(deviation_of_norms(activities, relative=True)[0]) == pytest.approx(2.0 / 3.0)


# ---- search of the damping


def batches_with(net, gamma_of_layer):
    """Batches whose gradients are, layer by layer, minimum-norm updates with the damping of
    this layer, of any length."""
    for seed in (1, 2, 3):
        inputs, target = make_batch(net, 6, seed)
        activities = net.forward(inputs)
        gradients = []
        for l in range(len(net.weights)):
            gradients += [
                (1.0 + l) * each for each in gnt_update(net, activities, target, gamma_of_layer[l])[2 * l : 2 * l + 2]
            ]
        yield BatchReport("forward", (0, seed), target, activities, gradients, [])


def test_search_finds_the_damping_that_made_the_updates():
    net = make_net()
    for gamma in DAMPINGS:
        found = search_damping(net, batches_with(net, [gamma] * 3))
        assert found.best == gamma
        assert found.by_layer == (gamma,) * 3
        assert found.angles.shape == (8, 3)
        assert found.angles[DAMPINGS.index(gamma)].max() < 1e-5


def test_layers_may_have_different_best_dampings_and_the_mean_decides():
    net = make_net()
    found = search_damping(net, batches_with(net, [0.0, 0.1, 10.0]))
    assert found.by_layer == (0.0, 0.1, 10.0)
    assert found.best == DAMPINGS[found.angles.mean(axis=1).argmin()]
    lines = found.text.splitlines()
    assert len(lines) == 11 and lines[0].split() == ["damping", "layer_0", "layer_1", "layer_2"]
    assert lines[1].split()[0] == "0" and lines[6].split()[0] == "0.1"
    assert lines[9] == f"best {found.best:g}" and lines[10] == "best_by_layer 0 0.1 10"


def test_updates_of_zero_do_not_decide():
    net = make_net()
    batches = list(batches_with(net, [0.1] * 3))
    for gradient in batches[1].gradients:
        gradient[...] = 0.0
    for batch in batches:
        batch.gradients[0][...] = 0.0
    with np.errstate(invalid="ignore"):
        found = search_damping(net, batches)
    assert found.best == 0.1
    assert np.isnan(found.angles[:, 0]).all()


def test_any_rules_updates_can_be_compared():
    """Gradients of every rule are lists like net.parameters."""
    net = make_net()
    activities, target = problem(net)
    for name in ("BP", "DFA", "DFC-SSA"):
        rule = FEEDBACK_NET_RULES[name]
        update = gradients_from(rule, net, activities, target, rule.Options())
        assert 0.0 <= joint_angle(update, gn_update(net, activities, target, 0.1)) < 90.0
        assert all(0.0 <= ratio <= 1.0 for ratio in nullspace_ratios(net, activities, update))


@pytest.mark.parametrize("all_samples", (True, False))
def test_low_passed_rates(all_samples):
    """A weighted mean of all time points, the first one included; samples that fell back have only the first one."""
    net, share, steps = make_net(), 0.2, 20
    controller = replace(STABLE, steps=steps, tau_a=STABLE.dt, sigma=0.1, sigma_output=0.2, tau_noise=0.1)
    options = strong_dfc.Options(controller, include_non_converged_samples=all_samples)
    inputs, target = make_batch(net)
    activities, converged = net.forward(inputs), np.array([True, False, True])
    results = [RuleResult([], converged=converged), RuleResult([], converged=~converged)]
    report, seeds = BatchReport("forward", (0, 0), target, activities, [], results), (11, 12)
    found = low_passed_rates(net, report, options, lambda place, part: draw_noise(net, steps, 3, seeds[part]), share)
    weights = share * (1.0 - share) ** np.arange(steps)[::-1]
    weights[0] /= share
    assert abs(weights.sum() - 1.0) < 1e-12
    for number, rows in enumerate((slice(0, 3), slice(3, 6))):
        part = activities.part(rows)
        wanted = output_target(net, part, target[rows], options)
        r = record(net, part, wanted, controller, draw_noise(net, steps, 3, seeds[number])).r
        stays = all_samples | results[number].converged[:, None]
        for one, series in zip(found, r, strict=True):
            expected = np.where(stays, np.tensordot(weights, series, 1), series[0])
            np.testing.assert_allclose(one[rows], expected, rtol=0.0, atol=1e-12)
