"""What every rule for networks with feedback weights promises, old or new; and direct feedback alignment."""

from dataclasses import fields, replace

import numpy as np
import pytest

from dfc.feedback_learning import FeedbackSettings
from dfc.gradients import LEARNING_RULES
from rules import FEEDBACK_NET_RULES, backprop, direct_feedback
from rules._rule import NoOptions
from tests.feedback_nets_for_tests import STABLE, draw_noise, gradients_from, make_batch, make_net
from tests.nets_for_tests import difference

SHORT = replace(STABLE, steps=40)


def variants():
    """{name: (rule, options)}: every rule, once for each way to learn and to simulate; nudges of order 0.1."""
    found = {}
    for name, rule in FEEDBACK_NET_RULES.items():
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
            changes[" converged only"] = {
                "include_non_converged_samples": False,
                "controller": replace(STABLE, steps=150),
            }
            changes[" blockwise"] = {"controller": replace(SHORT, inst_transmission=False, proactive=False)}
            changes[" noisy"] = {"controller": replace(SHORT, sigma=0.02, sigma_output=0.01)}
        if "feedback" in known:
            changes[" teaching Q"] = {
                "feedback": FeedbackSettings(SHORT, 0.02, sigma_output=0.01, growth=1.5, rate=0.1)
            }
        found |= {name + change: (rule, rule.Options(**(shared | given))) for change, given in changes.items()}
    return found


VARIANTS = variants()
EVERY_VARIANT = pytest.mark.parametrize("rule, options", VARIANTS.values(), ids=VARIANTS)


def problem(net, samples=6):
    inputs, target = make_batch(net, samples)
    return net.forward(inputs), target


def assert_all_close(found, expected, tolerance):
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        assert one.shape == other.shape
        assert difference(one, other) < tolerance


def test_every_rule_is_here():
    names = {rule.name for rule, _ in VARIANTS.values()}
    assert names == {"BP", "DFA", "DFC", "DFC-SS", "DFC-SSA", "Strong-DFC", "Strong-DFC-2phase"}


@pytest.mark.parametrize("loss, bias", (("mse", True), ("ce", True), ("mse", False)))
@EVERY_VARIANT
def test_a_rule_is_pure(rule, options, loss, bias):
    net = make_net(loss=loss, bias=bias)
    activities, target = problem(net)
    owned = (*activities.v, *activities.r, activities.x, target, *net.named_arrays.values())
    kept = [array.copy() for array in owned]
    first, again = (gradients_from(rule, net, activities, target, options, draw_noise(net, 39, 6)) for _ in range(2))
    for before, array in zip(kept, owned, strict=True):
        np.testing.assert_array_equal(before, array)
    for one, two, parameter in zip(first, again, net.parameters, strict=True):
        assert one.shape == parameter.shape
        assert np.isfinite(one).all()
        assert (one != 0.0).any()
        np.testing.assert_array_equal(one, two)
        assert not any(np.shares_memory(one, array) for array in owned)


@EVERY_VARIANT
def test_parts_of_a_batch_add_up(rule, options):
    """What workers do side by side is the work on the whole batch."""
    net = make_net()
    activities, target = problem(net, 7)
    noise = draw_noise(net, 39, 7)
    whole = gradients_from(rule, net, activities, target, options, noise.again(slice(None)))
    parts = [
        gradients_from(rule, net, activities.part(rows), target[rows], options, noise.again(rows))
        for rows in (slice(0, 3), slice(3, 4), slice(4, 7))
    ]
    for expected, *shares in zip(whole, *parts, strict=True):
        np.testing.assert_allclose(sum(shares), expected, rtol=0.0, atol=1e-12 * np.abs(expected).max())


@EVERY_VARIANT
def test_a_rule_tells_whether_it_draws_noise(rule, options):
    """Noise belongs to a part of a batch of fixed size; other work is shared out as there are threads."""
    net = make_net()
    activities, target = problem(net)
    noise = draw_noise(net, 39, 6)
    gradients_from(rule, net, activities, target, options, noise)
    assert bool(noise.position) == rule.noisy(options)


@EVERY_VARIANT
def test_float32(rule, options):
    found = {}
    for dtype in ("float64", "float32"):
        net = make_net(dtype=dtype)
        activities, target = problem(net)
        found[dtype] = gradients_from(rule, net, activities, target, options, draw_noise(net, 39, 6))
        assert {gradient.dtype for gradient in found[dtype]} == {np.dtype(dtype)}
    for rounded, exact in zip(found["float32"], found["float64"], strict=True):
        np.testing.assert_allclose(rounded, exact, rtol=0.0, atol=1e-4 * np.abs(exact).max())


@EVERY_VARIANT
def test_the_loss_falls_when_the_rule_is_followed(rule, options):
    """With nudges of 0.1, feedback near J^T and steps that keep to first order."""
    net = make_net()
    inputs, target = make_batch(net)
    losses = []
    for step in range(40):
        activities = net.forward(inputs)
        losses.append(float(net.loss.value(activities.r[-1], target)))
        found = gradients_from(rule, net, activities, target, options, draw_noise(net, 39, 6, seed=step))
        length = np.sqrt(sum((gradient * gradient).sum() for gradient in found))
        for parameter, gradient in zip(net.parameters, found, strict=True):
            parameter -= 0.03 / length * gradient
    assert losses[-1] < 0.5 * losses[0]


# ---- DFA ----


@pytest.mark.parametrize("loss", ("mse", "ce"))
@pytest.mark.parametrize("hidden", ("linear", "tanh", "sigmoid"))
def test_with_one_hidden_layer_and_transposed_feedback_dfa_is_backpropagation(hidden, loss):
    """Q_0 = W_1^T: each error is 2 lambda / n times that of BP."""
    net = make_net((5, 4, 3), hidden, loss=loss, noise=0.0)
    activities, target = problem(net, 4)
    found = gradients_from(direct_feedback.RULE, net, activities, target, direct_feedback.Options(0.6))
    expected = gradients_from(backprop.RULE, net, activities, target, NoOptions())
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
