"""The rules for networks with feedback weights: what all promise, and what theory says of DFC, DFC-SS, DFC-SSA and DFA."""

from dataclasses import fields, replace

import numpy as np
import pytest

from dfc.controller import record
from dfc.jacobian import output_jacobian
from rules import FEEDBACK_RULES, backprop, dfc, dfc_ss, dfc_ssa, direct_feedback
from rules._dfc import LEARNING_RULES
from rules._rule import NoOptions
from tests.feedback_nets_for_tests import STABLE, draw_noise, gradients_of, make_batch, make_net, teach, weight_products
from tests.nets_for_tests import difference

SHORT = replace(STABLE, steps=40)
EVERY_LEARNING_RULE = pytest.mark.parametrize("learning_rule", LEARNING_RULES)


def variants():
    """{name: (rule, options)}: every rule, once for each way to learn and to simulate; nudges of order 0.1."""
    found = {}
    for name, rule in FEEDBACK_RULES.items():
        known = {field.name for field in fields(rule.Options)}
        shared = {"target_stepsize": 1.0} if "target_stepsize" in known else {}
        if "controller" in known:
            shared |= {"controller": SHORT, "include_non_converged_samples": True}
        changes = {"": {}}
        if "learning_rule" in known:
            changes |= {f" {each}": {"learning_rule": each} for each in LEARNING_RULES[:2]}
        if "use_initial_activations" in known:
            changes[" initial activations"] = {"use_initial_activations": True}
        if "efficient" in known:
            changes[" memory-saving"] = {"efficient": True, "sample0_error": True, "clip_grad_norm": -1.0}
            changes[" converged only"] = {"include_non_converged_samples": False}
            changes[" blockwise"] = {"controller": replace(SHORT, inst_transmission=False, proactive=False)}
            changes[" noisy"] = {"controller": replace(SHORT, sigma=0.02, sigma_output=0.01)}
        found |= {name + change: (rule, rule.Options(**(shared | given))) for change, given in changes.items()}
    return found


VARIANTS = variants()
EVERY_VARIANT = pytest.mark.parametrize("rule, options", VARIANTS.values(), ids=VARIANTS)


def gradients(rule, net, activities, target, options, noise=None):
    if rule.teach:
        return teach(rule, net, activities, target, options, noise).gradients
    return gradients_of(net, activities, rule.layer_errors(net, activities, target, options))


def problem(net, samples=6):
    inputs, target = make_batch(net, samples)
    return net.forward(inputs), target


def assert_all_close(found, expected, tolerance):
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        assert one.shape == other.shape
        assert difference(one, other) < tolerance


# ---- what every rule promises ----


def test_every_rule_is_here():
    assert {rule.name for rule, _ in VARIANTS.values()} == {"BP", "DFA", "DFC", "DFC-SS", "DFC-SSA"}


@pytest.mark.parametrize("loss, bias", (("mse", True), ("ce", True), ("mse", False)))
@EVERY_VARIANT
def test_a_rule_is_pure(rule, options, loss, bias):
    net = make_net(loss=loss, bias=bias)
    activities, target = problem(net)
    owned = (*activities.v, *activities.r, activities.x, target, *net.named_arrays.values())
    kept = [array.copy() for array in owned]
    first, again = (gradients(rule, net, activities, target, options, draw_noise(net, 39, 6)) for _ in range(2))
    for before, array in zip(kept, owned, strict=True):
        np.testing.assert_array_equal(before, array)
    for one, two, parameter in zip(first, again, net.parameters, strict=True):
        assert one.shape == parameter.shape
        np.testing.assert_array_equal(one, two)
        assert not any(np.shares_memory(one, array) for array in owned)


@EVERY_VARIANT
def test_parts_of_a_batch_add_up(rule, options):
    """What workers do side by side is the work on the whole batch."""
    net = make_net()
    activities, target = problem(net, 7)
    noise = draw_noise(net, 39, 7)
    whole = gradients(rule, net, activities, target, options, noise.again(slice(None)))
    parts = [
        gradients(rule, net, activities.part(rows), target[rows], options, noise.again(rows))
        for rows in (slice(0, 3), slice(3, 4), slice(4, 7))
    ]
    for expected, *shares in zip(whole, *parts, strict=True):
        np.testing.assert_allclose(sum(shares), expected, rtol=0.0, atol=1e-12 * np.abs(expected).max())


@EVERY_VARIANT
def test_float32(rule, options):
    found = {}
    for dtype in ("float64", "float32"):
        net = make_net(dtype=dtype)
        activities, target = problem(net)
        found[dtype] = gradients(rule, net, activities, target, options, draw_noise(net, 39, 6))
        assert {gradient.dtype for gradient in found[dtype]} == {np.dtype(dtype)}
    for rounded, exact in zip(found["float32"], found["float64"], strict=True):
        np.testing.assert_allclose(rounded, exact, rtol=0.0, atol=1e-4 * np.abs(exact).max())


@EVERY_VARIANT
def test_the_loss_falls_when_the_rule_is_followed(rule, options):
    """With nudges of 0.1, feedback near J^T and steps that keep to first order."""
    if rule is dfc.RULE or rule is dfc_ss.RULE:
        options = replace(options, include_non_converged_samples=True)
    net = make_net()
    inputs, target = make_batch(net)
    losses = []
    for step in range(40):
        activities = net.forward(inputs)
        losses.append(float(net.loss.value(activities.r[-1], target)))
        found = gradients(rule, net, activities, target, options, draw_noise(net, 39, 6, seed=step))
        length = np.sqrt(sum((gradient * gradient).sum() for gradient in found))
        for parameter, gradient in zip(net.parameters, found, strict=True):
            parameter -= 0.03 / length * gradient
    assert losses[-1] < 0.5 * losses[0]


# ---- DFC-SS and DFC-SSA ----


@pytest.mark.parametrize("initial", (False, True), ids=("", "initial activations"))
@EVERY_LEARNING_RULE
@pytest.mark.parametrize("bias", (True, False), ids=("bias", "no bias"))
def test_in_a_linear_network_the_simulation_ends_at_the_closed_form(bias, learning_rule, initial):
    net = make_net(hidden="linear", bias=bias)
    activities, target = problem(net)
    shared = {"target_stepsize": 1.0, "learning_rule": learning_rule, "use_initial_activations": initial}
    closed = teach(dfc_ssa, net, activities, target, dfc_ssa.Options(alpha_di=STABLE.alpha, **shared))
    simulated = teach(dfc_ss, net, activities, target, dfc_ss.Options(STABLE, **shared))
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
        closed = teach(dfc_ssa, net, activities, target, dfc_ssa.Options(alpha_di=STABLE.alpha, **shared))
        options = dfc_ss.Options(STABLE, include_non_converged_samples=True, **shared)
        simulated = teach(dfc_ss, net, activities, target, options)
        distances.append(max(map(difference, simulated.gradients, closed.gradients)))
    assert 8.0 < distances[0] / distances[1] < 12.0


def test_with_feedback_in_the_row_space_and_rates_of_one_length_dfc_ssa_is_gauss_newton():
    """Theorem 2 of the paper, one sample: dW = -2 (J_W^dagger nudge), J_W the Jacobian of the output by all weights."""
    net = make_net(hidden="linear", bias=False)
    inputs, target = make_batch(net, 1)
    inputs /= np.linalg.norm(inputs)
    for l in range(2):  # condition 1: presynaptic rates of equal length
        net.weights[l] /= np.linalg.norm(net.forward(inputs).r[l])
    activities = net.forward(inputs)
    jacobian = np.concatenate(weight_products(net.weights)).T
    mixture = np.random.default_rng(4).standard_normal((3, 3)) + 2.0 * np.eye(3)
    net.feedback[:] = np.split(jacobian.T @ mixture, np.cumsum(net.sizes)[:-1])  # condition 2
    options = dfc_ssa.Options(1.0, 0.0, "voltage_difference", use_initial_activations=True)
    found = teach(dfc_ssa, net, activities, target, options).gradients
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
    found = teach(dfc_ssa, net, activities, target, options).gradients
    expected = gradients(backprop.RULE, net, activities, target, NoOptions())
    assert_all_close([alpha / 1.4 * gradient for gradient in found], expected, 20.0 / alpha)


# ---- DFC ----


def plain_gradients(net, activities, seen, learning_rule, rows=slice(None)):
    """dfc.md C.3 as it stands, one time point after the other, of some rows of a Trajectory."""
    scale = -2.0 / (activities.count * len(seen.u))
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


@pytest.mark.parametrize("steps", (2, 3, dfc.TIME_BLOCK, dfc.TIME_BLOCK + 1, dfc.TIME_BLOCK + 2, 40))
@pytest.mark.parametrize("instant, bias", ((True, True), (True, False), (False, True)))
@EVERY_LEARNING_RULE
def test_sums_over_blocks_of_time_are_plain_sums(learning_rule, instant, bias, steps):
    net = make_net(bias=bias, hidden=("tanh", "sigmoid"))
    activities, target = problem(net)
    controller = replace(STABLE, steps=steps, inst_transmission=instant, proactive=True)
    options = dfc.Options(controller, 1.0, learning_rule, include_non_converged_samples=True)
    seen = record(net, activities, activities.r[-1] - net.output_error(activities, target) / 6, controller)
    expected = plain_gradients(net, activities, seen, learning_rule)
    found = teach(dfc, net, activities, target, options).gradients
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
    """Their somatic and basal voltages are equal at every time point: they add zero, but stay in the batch; noise is replayed."""
    net = make_net()
    activities, target = unequal_problem(net)
    controller = replace(STABLE, steps=100, sigma=sigma, sigma_output=sigma)
    noise = draw_noise(net, 99, 6) if sigma else None
    teaching = teach(dfc, net, activities, target, dfc.Options(controller, 1.0, learning_rule), noise and noise.again(slice(None)))
    kept = teaching.converged
    assert 1 < kept.sum() < 5
    np.testing.assert_array_equal(teaching.counts, [kept.sum(), 0, 6 - kept.sum()])
    seen = record(net, activities, activities.r[-1] - net.output_error(activities, target) / 6, controller, noise)
    assert_all_close(teaching.gradients, plain_gradients(net, activities, seen, learning_rule, kept), 1e-10)
    assert (teaching.steady.u[~kept] == 0.0).all()
    for l in range(3):
        assert (teaching.steady.delta_v[l][~kept] == 0.0).all()
        np.testing.assert_array_equal(teaching.steady.v[l][~kept], activities.v[l][~kept])
        np.testing.assert_array_equal(teaching.steady.r[l][~kept], activities.r[l][~kept])
        np.testing.assert_array_equal(teaching.steady.v[l][kept], seen.vs[l][-1][kept])


@pytest.mark.parametrize("rule", (dfc.RULE, dfc_ss.RULE), ids=lambda rule: rule.name)
def test_where_none_or_all_converge(rule):
    net = make_net()
    activities, target = problem(net)
    nothing = teach(rule, net, activities, target, rule.Options(replace(STABLE, steps=20), 1.0))
    np.testing.assert_array_equal(nothing.counts, [0, 0, 6])
    assert all((gradient == 0.0).all() for gradient in nothing.gradients)
    some, every = (teach(rule, net, activities, target, rule.Options(STABLE, 1.0, include_non_converged_samples=i)) for i in (0, 1))
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
        whole = teach(rule, net, activities, target, options)
        parts = [teach(rule, net, activities.part(rows), target[rows], options) for rows in (slice(0, 2), slice(2, 6))]
        np.testing.assert_array_equal(np.concatenate([part.converged for part in parts]), whole.converged)
        np.testing.assert_array_equal(sum(part.counts for part in parts), whole.counts)
        for expected, *shares in zip(whole.gradients, *(part.gradients for part in parts), strict=True):
            np.testing.assert_allclose(sum(shares), expected, rtol=0.0, atol=1e-12 * np.abs(expected).max())
        seen.append(whole.converged)
    assert (seen[0] != seen[1]).any()


@EVERY_LEARNING_RULE
def test_the_late_part_of_the_mean_over_time_is_the_steady_state(learning_rule):
    """T g(T) sums over all time points; those from T to 2 T are all at rest: 2 g(2T) - g(T) is the gradient of DFC-SS."""
    net = make_net()
    activities, target = problem(net)
    options = dfc.Options(STABLE, 1.0, learning_rule)
    once, twice = (
        teach(dfc, net, activities, target, replace(options, controller=replace(STABLE, steps=steps)))
        for steps in (STABLE.steps, 2 * STABLE.steps)
    )
    at_rest = teach(dfc_ss, net, activities, target, options)
    found = [2.0 * late - early for late, early in zip(twice.gradients, once.gradients, strict=True)]
    assert_all_close(found, at_rest.gradients, 1e-8)


@EVERY_LEARNING_RULE
def test_the_memory_saving_variant_leaves_the_first_time_point_out_of_the_mean(learning_rule):
    """T / (T - 1) times the other, as long as nothing diverges or is clipped; flags are counted at every step and at the end."""
    net = make_net()
    activities, target = problem(net)
    options = dfc.Options(SHORT, 1.0, learning_rule, include_non_converged_samples=True)
    stored = teach(dfc, net, activities, target, options)
    saving = teach(dfc, net, activities, target, replace(options, efficient=True))
    assert_all_close(saving.gradients, [40.0 / 39.0 * gradient for gradient in stored.gradients], 1e-12)
    assert saving.counts.sum() == 6 * 40
    assert saving.clipped
    assert not stored.clipped


def test_rules_that_clip_their_running_sum_must_see_the_batch_as_one():
    options = dfc.Options(SHORT)
    assert dfc.RULE.whole_batch(replace(options, efficient=True))
    assert not dfc.RULE.whole_batch(options)
    assert not dfc_ss.RULE.whole_batch(replace(options, efficient=True))


# ---- DFA ----


@pytest.mark.parametrize("loss", ("mse", "ce"))
@pytest.mark.parametrize("hidden", ("linear", "tanh", "sigmoid"))
def test_with_one_hidden_layer_and_transposed_feedback_dfa_is_backpropagation(hidden, loss):
    """Q_0 = W_1^T: each error is 2 lambda / n times that of BP."""
    net = make_net((5, 4, 3), hidden, loss=loss, noise=0.0)
    activities, target = problem(net, 4)
    found = gradients(direct_feedback.RULE, net, activities, target, direct_feedback.Options(0.6))
    expected = gradients(backprop.RULE, net, activities, target, NoOptions())
    assert_all_close(found, [2.0 * 0.6 / 4.0 * gradient for gradient in expected], 1e-13)


def test_a_sigmoid_output_is_inverted_for_the_hidden_layers():
    """logit(r*) - v_L -> (r* - r_L) / phi'_L for small nudges, while the output layer has phi'_L (r_L - r*)."""
    net = make_net((5, 4, 3), output="sigmoid", noise=0.0)
    activities, target = problem(net, 4)
    hidden, output = direct_feedback.layer_errors(net, activities, target, direct_feedback.Options(1e-6))
    nudge = -1e-6 / 4.0 * net.output_error(activities, target)
    r = activities.r[-1]
    assert difference(output, -2.0 * r * (1.0 - r) * nudge) < 1e-12
    slope = 1.0 - activities.r[0] ** 2
    assert difference(hidden, -2.0 * slope * (nudge / (r * (1.0 - r)) @ net.weights[1])) < 1e-5
