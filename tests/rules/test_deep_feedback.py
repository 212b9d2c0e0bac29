"""What theory says of DFC, DFC-SS and DFC-SSA: limits, sums over time, samples that do not converge."""

from dataclasses import replace

import numpy as np
import pytest

from dfc.controller import ControlledNetwork
from dfc.gradients import LEARNING_RULES
from dfc.jacobian import output_jacobian
from dfc.simulated import first_error
from dfc.simulation import record
from dfc.time_block import TIME_BLOCK
from rules import backprop, dfc, dfc_ss, dfc_ssa
from rules._rule import NoOptions
from tests.feedback_nets_for_tests import (
    STABLE,
    draw_noise,
    gradients_from,
    make_batch,
    make_net,
    result_of,
    weight_products,
)
from tests.nets_for_tests import difference

pytestmark = pytest.mark.usefixtures("form")

SHORT = replace(STABLE, steps=40)
EVERY_LEARNING_RULE = pytest.mark.parametrize("learning_rule", LEARNING_RULES)


def problem(net, samples=6):
    inputs, target = make_batch(net, samples)
    return net.forward(inputs), target


def assert_all_close(found, expected, tolerance):
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        assert one.shape == other.shape
        assert difference(one, other) < tolerance


# ---- DFC-SS and DFC-SSA ----


@pytest.mark.parametrize("initial", (False, True), ids=("", "initial activations"))
@EVERY_LEARNING_RULE
@pytest.mark.parametrize("bias", (True, False), ids=("bias", "no bias"))
def test_in_a_linear_network_the_simulation_ends_at_the_closed_form(bias, learning_rule, initial):
    net = make_net(hidden="linear", bias=bias)
    activities, target = problem(net)
    shared = {"target_stepsize": 1.0, "learning_rule": learning_rule, "use_initial_activations": initial}
    closed = result_of(dfc_ssa, net, activities, target, dfc_ssa.Options(alpha_di=STABLE.alpha, **shared))
    simulated = result_of(dfc_ss, net, activities, target, dfc_ss.Options(STABLE, **shared))
    assert simulated.converged.all()
    np.testing.assert_array_equal(simulated.counts, [6, 0, 0])
    assert difference(simulated.steady.u, closed.steady.u) < 1e-8
    for name in ("delta_v", "v", "r"):
        assert_all_close(getattr(simulated.steady, name), getattr(closed.steady, name), 1e-8)
    assert_all_close(simulated.gradients, closed.gradients, 1e-8)


def test_a_small_nudge_makes_every_network_linear():
    """DFC-SS and DFC-SSA differ by the square of the nudge."""
    distances = []
    for size in (1e-2, 1e-3):
        net = make_net()
        activities, target = problem(net)
        shared = {"target_stepsize": size, "learning_rule": "voltage_difference"}
        closed = result_of(dfc_ssa, net, activities, target, dfc_ssa.Options(alpha_di=STABLE.alpha, **shared))
        options = dfc_ss.Options(STABLE, include_non_converged_samples=True, **shared)
        simulated = result_of(dfc_ss, net, activities, target, options)
        distances.append(max(map(difference, simulated.gradients, closed.gradients)))
    assert 8.0 < distances[0] / distances[1] < 12.0


def test_with_feedback_in_the_row_space_and_rates_of_one_length_dfc_ssa_is_gauss_newton():
    """Theorem 2 of the paper, one sample: dW = -2 (J_W^dagger nudge), J_W the Jacobian of the output by all weights."""
    net = make_net(hidden="linear", bias=False)
    inputs, target = make_batch(net, 1)
    inputs /= np.linalg.norm(inputs)
    # Condition 1 asks for presynaptic rates of equal length.
    for l in range(2):
        net.weights[l] /= np.linalg.norm(net.forward(inputs).r[l])
    activities = net.forward(inputs)
    jacobian = np.concatenate(weight_products(net.weights)).T
    mixture = np.random.default_rng(4).standard_normal((3, 3)) + 2.0 * np.eye(3)
    # This is condition 2.
    net.feedback[:] = np.split(jacobian.T @ mixture, np.cumsum(net.sizes)[:-1])
    options = dfc_ssa.Options(1.0, 0.0, "voltage_difference", use_initial_activations=True)
    found = result_of(dfc_ssa, net, activities, target, options).gradients
    blocks = np.split(jacobian, np.cumsum(net.sizes)[:-1], axis=1)
    by_weights = np.concatenate([np.kron(block, activities.presynaptic(l)) for l, block in enumerate(blocks)], axis=1)
    nudge = -net.output_error(activities, target)[0]
    expected = -2.0 * np.linalg.pinv(by_weights) @ nudge
    assert difference(np.concatenate([gradient.ravel() for gradient in found]), expected) < 1e-12


@pytest.mark.parametrize("alpha", (1e5, 1e7))
def test_with_transposed_feedback_and_a_strong_leak_dfc_ssa_is_backpropagation(alpha):
    """u -> nudge / alpha and delta_v_l = J_l^T u: 2 lambda / alpha times the BP gradient of one sample."""
    net = make_net()
    activities, target = problem(net, 1)
    net.feedback[:] = np.split(output_jacobian(net, activities.v)[0].T, np.cumsum(net.sizes)[:-1])
    options = dfc_ssa.Options(0.7, alpha, "voltage_difference", use_initial_activations=True)
    found = result_of(dfc_ssa, net, activities, target, options).gradients
    expected = gradients_from(backprop.RULE, net, activities, target, NoOptions())
    assert_all_close([alpha / 1.4 * gradient for gradient in found], expected, 20.0 / alpha)


# ---- DFC ----


def plain_gradients(net, activities, seen, learning_rule, rows=slice(None)):
    """dfc.md C.3 as it stands, one time point after the other, of some rows of a Trajectory."""
    scale = -2.0 / (activities.batch_size * len(seen.u))
    found = []
    for l, activation in enumerate(net.activations):
        weights, biases = np.zeros_like(net.weights[l]), np.zeros(net.sizes[l])
        for t in range(len(seen.u)):
            vs, vb = seen.vs[l][t][rows], seen.vb[l][t][rows]
            change = vs - vb
            if learning_rule == "derivative_matrix":
                change = net.slope(activities, l)[rows] * change
            if learning_rule == "nonlinear_difference":
                change = activation.apply(vs) - activation.apply(vb)
            rates = seen.r[l - 1][t][rows] if l else activities.x[rows]
            weights += scale * change.T @ rates
            biases += scale * change.sum(axis=0)
        found += [weights, biases] if net.biases else [weights]
    return found


@pytest.mark.parametrize("steps", (2, 3, TIME_BLOCK, TIME_BLOCK + 1, TIME_BLOCK + 2, 40))
@pytest.mark.parametrize("instant, bias", ((True, True), (True, False), (False, True)))
@EVERY_LEARNING_RULE
def test_sums_over_blocks_of_time_are_plain_sums(learning_rule, instant, bias, steps):
    net = make_net(bias=bias, hidden=("tanh", "sigmoid"))
    activities, target = problem(net)
    controller = replace(STABLE, steps=steps, inst_transmission=instant, proactive=True)
    options = dfc.Options(controller, 1.0, learning_rule, include_non_converged_samples=True)
    seen = record(net, activities, activities.r[-1] - net.output_error(activities, target) / 6, controller)
    expected = plain_gradients(net, activities, seen, learning_rule)
    found = result_of(dfc, net, activities, target, options).gradients
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=0.0, atol=1e-13 * max(np.abs(g).max() for g in expected))


def unequal_problem(net):
    """(activities, targets) with nudges of such different sizes that some samples are at rest when others are not."""
    activities, _ = problem(net, 6)
    offsets = np.logspace(-3, 1, 6)[:, None] * np.random.default_rng(3).choice((-1.0, 1.0), (6, 3))
    return activities, activities.r[-1] - offsets


@pytest.mark.parametrize("sigma", (None, 1e-6), ids=("quiet", "noisy"))
@EVERY_LEARNING_RULE
def test_samples_that_did_not_converge_count_as_if_they_had_stayed(learning_rule, sigma):
    """Their somatic and basal voltages are equal at every time point: they add zero, but stay in the
    batch; noise is replayed."""
    net = make_net()
    activities, target = unequal_problem(net)
    controller = replace(STABLE, steps=100, sigma=sigma, sigma_output=sigma)
    noise = draw_noise(net, 99, 6) if sigma else None
    options, again = dfc.Options(controller, 1.0, learning_rule), noise and noise.again(slice(None))
    result = result_of(dfc, net, activities, target, options, again)
    kept = result.converged
    assert 1 < kept.sum() < 5
    np.testing.assert_array_equal(result.counts, [kept.sum(), 0, 6 - kept.sum()])
    seen = record(net, activities, activities.r[-1] - net.output_error(activities, target) / 6, controller, noise)
    assert_all_close(result.gradients, plain_gradients(net, activities, seen, learning_rule, kept), 1e-10)
    assert (result.steady.u[~kept] == 0.0).all()
    for l in range(3):
        assert (result.steady.delta_v[l][~kept] == 0.0).all()
        np.testing.assert_array_equal(result.steady.v[l][~kept], activities.v[l][~kept])
        np.testing.assert_array_equal(result.steady.r[l][~kept], activities.r[l][~kept])
        np.testing.assert_array_equal(result.steady.v[l][kept], seen.vs[l][-1][kept])


@pytest.mark.parametrize("rule", (dfc.RULE, dfc_ss.RULE), ids=lambda rule: rule.name)
def test_where_none_or_all_converge(rule):
    net = make_net()
    activities, target = problem(net)
    nothing = result_of(rule, net, activities, target, rule.Options(replace(STABLE, steps=20), 1.0))
    np.testing.assert_array_equal(nothing.counts, [0, 0, 6])
    assert all((gradient == 0.0).all() for gradient in nothing.gradients)
    both = (rule.Options(STABLE, 1.0, include_non_converged_samples=included) for included in (False, True))
    some, every = (result_of(rule, net, activities, target, options) for options in both)
    np.testing.assert_array_equal(some.counts, [6, 0, 0])
    assert_all_close(some.gradients, every.gradients, 1e-14)


@pytest.mark.parametrize("rule", (dfc.RULE, dfc_ss.RULE), ids=lambda rule: rule.name)
def test_the_parts_of_a_batch_converge_as_the_batch_does(rule):
    """Also where the first error is taken from the first sample of the whole batch, which only one part has."""
    net = make_net()
    activities, target = unequal_problem(net)
    # an epsilon that lets one comparison of errors decide otherwise than the other
    options = rule.Options(replace(STABLE, steps=150), 1.0, epsilon=0.2)
    seen = []
    for sample0 in (False, True):
        options = replace(options, sample0_error=sample0)
        whole = result_of(rule, net, activities, target, options)
        parts = [
            result_of(rule, net, activities.part(rows), target[rows], options) for rows in (slice(0, 2), slice(2, 6))
        ]
        np.testing.assert_array_equal(np.concatenate([part.converged for part in parts]), whole.converged)
        np.testing.assert_array_equal(sum(part.counts for part in parts), whole.counts)
        for expected, *shares in zip(whole.gradients, *(part.gradients for part in parts), strict=True):
            np.testing.assert_allclose(sum(shares), expected, rtol=0.0, atol=1e-12 * np.abs(expected).max())
        seen.append(whole.converged)
    assert (seen[0] != seen[1]).any()


def test_the_first_error_of_a_part():
    """The target against a sample's own output, or against that of the first sample of the whole batch,
    in whichever part it is."""
    net = make_net()
    activities, target = unequal_problem(net)
    own, first = (np.linalg.norm(target - output, axis=-1) for output in (activities.r[-1], activities.r[-1][0]))
    for rows in (slice(0, 6), slice(0, 2), slice(2, 6)):
        part = activities.part(rows)
        state = ControlledNetwork(net, part, target[rows], SHORT)
        for sample0, expected in ((False, own), (True, first)):
            found = first_error(part, state, dfc_ss.Options(SHORT, sample0_error=sample0))
            np.testing.assert_allclose(found, expected[rows], rtol=1e-14)


@EVERY_LEARNING_RULE
def test_the_late_part_of_the_mean_over_time_is_the_steady_state(learning_rule):
    """T g(T) sums over all time points; those from T to 2 T are all at rest: 2 g(2T) - g(T) is
    the gradient of DFC-SS."""
    net = make_net()
    activities, target = problem(net)
    options = dfc.Options(STABLE, 1.0, learning_rule)
    once, twice = (
        result_of(dfc, net, activities, target, replace(options, controller=replace(STABLE, steps=steps)))
        for steps in (STABLE.steps, 2 * STABLE.steps)
    )
    at_rest = result_of(dfc_ss, net, activities, target, options)
    found = [2.0 * late - early for late, early in zip(twice.gradients, once.gradients, strict=True)]
    assert_all_close(found, at_rest.gradients, 1e-8)


@EVERY_LEARNING_RULE
def test_the_memory_saving_variant_leaves_the_first_time_point_out_of_the_mean(learning_rule):
    """T / (T - 1) times the other, as long as nothing diverges or is clipped; flags are counted at
    every step and at the end."""
    net = make_net()
    activities, target = problem(net)
    options = dfc.Options(SHORT, 1.0, learning_rule, include_non_converged_samples=True)
    stored = result_of(dfc, net, activities, target, options)
    saving = result_of(dfc, net, activities, target, replace(options, efficient=True))
    assert_all_close(saving.gradients, [40.0 / 39.0 * gradient for gradient in stored.gradients], 1e-12)
    assert saving.counts.sum() == 6 * 40
    assert saving.clipped
    assert not stored.clipped


def test_rules_that_clip_their_running_sum_must_see_the_batch_as_one():
    options = dfc.Options(SHORT)
    assert dfc.RULE.whole_batch(replace(options, efficient=True))
    assert not dfc.RULE.whole_batch(options)
    assert not dfc_ss.RULE.whole_batch(replace(options, efficient=True))
