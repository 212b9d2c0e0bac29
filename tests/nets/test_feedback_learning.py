"""How feedback weights learn: expectations over the noise, and where learning leads."""

from dataclasses import replace

import numpy as np
import pytest

from dfc.controller import Controller
from dfc.feedback_learning import Q_RULES, FeedbackSettings, homeostatic_decay, squared_norm
from dfc.jacobian import output_jacobian, stacked_feedback
from dfc.simulation import NOISE_BLOCK, record
from tests.feedback_nets_for_tests import central_differences, draw_noise, make_batch, make_net, weight_products
from tests.nets_for_tests import difference

normal_controller, special_controller, old_learning_rule = Q_RULES.values()
SIGMA = 0.05
CONTROLLER = Controller(
    alpha=0.5,
    dt=0.02,
    steps=40,
    k_p=0.1,
    tau_v=0.04,
    tau_a=0.3,
    inst_transmission=True,
    sigma=SIGMA,
    sigma_output=SIGMA,
)

pytestmark = pytest.mark.usefixtures("form")
SETTINGS = FeedbackSettings(CONTROLLER, SIGMA, alpha_di=0.2)
EVERY_RULE = pytest.mark.parametrize("rule", Q_RULES.values(), ids=Q_RULES)


def with_sigma(sigma):
    return FeedbackSettings(replace(CONTROLLER, sigma=sigma, sigma_output=sigma), sigma, SETTINGS.alpha_di)


def gradients(rule, net, samples=6, settings=SETTINGS, seed=9):
    activities = net.forward(make_batch(net, samples)[0])
    steps = CONTROLLER.steps - 1 if rule is normal_controller else 1
    return rule(net, activities, settings, draw_noise(net, steps, samples, seed))


def test_the_published_names():
    assert list(Q_RULES) == ["normal_controller", "special_controller", "old_learning_rule"]


# ---- expectations ----

# One batch has so many rows, all of the same input.
DRAWS = 20_000


def many_draws(rule, net):
    """(gradients from many draws of noise for one input, the Jacobian (n_L, N) there)."""
    inputs = np.repeat(make_batch(net, 1)[0], DRAWS, axis=0)
    activities = net.forward(inputs)
    found = rule(net, activities, with_sigma(0.02), draw_noise(net, 1, DRAWS))
    return np.concatenate(found), output_jacobian(net, activities.part(slice(0, 1)).v)[0]


@pytest.mark.parametrize("hidden", ("linear", "tanh"))
def test_the_special_rule_is_minus_the_transposed_jacobian_on_average(hidden):
    """E[-xi_a sum_b J_ob xi_b] = -J_oa, with variance |J_o|^2 + J_oa^2; curvature adds 4e-4, a tenth
    of the standard errors."""
    found, jacobian = many_draws(special_controller, make_net(hidden=hidden))
    variances = np.square(jacobian).sum(axis=1, keepdims=True) + np.square(jacobian)
    assert (np.abs(found + jacobian.T) < 4.0 * np.sqrt(variances.T / DRAWS)).all()


def test_the_old_rule_on_average():
    """u = M^-1 J xi, M = J Qbar + alpha I:  E[dQ_l] = Q_l C, C = M^-1 J J^T M^-T.

    The variance of u_a u_b is C_aa C_bb + C_ab^2.
    """
    net = make_net(hidden="linear")
    found, jacobian = many_draws(old_learning_rule, net)
    moved = np.linalg.solve(jacobian @ stacked_feedback(net) + SETTINGS.alpha_di * np.eye(3), jacobian)
    expected = moved @ moved.T
    variances = np.outer(np.diag(expected), np.diag(expected)) + np.square(expected)
    # Q_{L-1} is the identity.
    assert (np.abs(found[-3:] - expected) < 4.0 * np.sqrt(variances / DRAWS)).all()
    assert difference(found, stacked_feedback(net) @ found[-3:]) < 1e-12


# ---- what the equation says ----


@pytest.mark.parametrize("steps", (2, NOISE_BLOCK + 1, NOISE_BLOCK + 2, 40))
@pytest.mark.parametrize("instant", (True, False))
def test_the_normal_rule_pairs_the_apical_voltage_with_the_control_that_follows(instant, steps):
    net = make_net()
    activities = net.forward(make_batch(net)[0])
    controller = replace(CONTROLLER, steps=steps, inst_transmission=instant)
    found = normal_controller(net, activities, FeedbackSettings(controller, SIGMA), draw_noise(net, steps - 1, 6))
    seen = record(net, activities, activities.r[-1], controller, draw_noise(net, steps - 1, 6))
    for gradient, va in zip(found, seen.va, strict=True):
        expected = sum(va[t].T @ seen.u[t + 1] for t in range(steps - 1)) / (SIGMA**2 * (steps - 1) * 6)
        np.testing.assert_allclose(gradient, expected, rtol=0.0, atol=1e-13 * max(1.0, np.abs(expected).max()))


@EVERY_RULE
def test_the_scale_of_the_noise_cancels_down_to_a_hundredth(rule):
    """In a linear network both factors are proportional to sigma; below 0.01 the divisor stays 1e-4."""
    net = make_net(hidden="linear")
    expected = gradients(rule, net)
    for sigma, share in ((0.4, 1.0), (0.01, 1.0), (0.001, 0.01)):
        for found, other in zip(gradients(rule, net, settings=with_sigma(sigma)), expected, strict=True):
            assert difference(found, share * other) < 1e-9


@EVERY_RULE
def test_parts_of_a_batch_add_up(rule):
    net = make_net()
    activities = net.forward(make_batch(net, 7)[0])
    noise = draw_noise(net, CONTROLLER.steps - 1, 7)
    whole = rule(net, activities, SETTINGS, noise.again(slice(None)))
    parts = [rule(net, activities.part(rows), SETTINGS, noise.again(rows)) for rows in (slice(0, 3), slice(3, 7))]
    for expected, *shares in zip(whole, *parts, strict=True):
        assert difference(sum(shares), expected) < 1e-12


@EVERY_RULE
def test_a_rule_changes_nothing_that_it_is_given(rule):
    net = make_net()
    activities = net.forward(make_batch(net)[0])
    owned = (*activities.v, *activities.r, activities.x, *net.named_arrays.values())
    kept = [array.copy() for array in owned]
    found = rule(net, activities, SETTINGS, draw_noise(net, CONTROLLER.steps - 1, 6))
    for before, array in zip(kept, owned, strict=True):
        np.testing.assert_array_equal(before, array)
    assert not any(np.shares_memory(gradient, array) for gradient in found for array in owned)


@EVERY_RULE
def test_float32(rule):
    exact, rounded = (gradients(rule, make_net(dtype=dtype)) for dtype in ("float64", "float32"))
    for one, other in zip(rounded, exact, strict=True):
        assert one.dtype == np.float32
        assert difference(one, other) < 1e-4


# ---- where it leads ----


def cosine(a, b):
    return float((a * b).sum() / np.sqrt((a * a).sum() * (b * b).sum()))


def alignment(net):
    """Of Qbar in a linear network: share in the row space of J, cosines with J^T, J^dagger and the
    best J^T (J J^T + c I)^-1."""
    transposed, q = np.concatenate(weight_products(net.weights)), stacked_feedback(net)
    gram, pinv = transposed.T @ transposed, np.linalg.pinv(transposed.T)
    damped = [transposed @ np.linalg.inv(gram + c * np.eye(len(gram))) for c in np.logspace(-1, 2, 13)]
    share = np.linalg.norm(pinv @ (transposed.T @ q)) / np.linalg.norm(q)
    return share, cosine(q, transposed), cosine(q, pinv), max(cosine(q, each) for each in damped)


def test_the_normal_rule_with_decay_leads_to_the_damped_pseudo_inverse():
    """Theorem of the paper on feedback learning: Qbar -> J^T (J J^T + c I)^-1 up to its length,
    neither J^T nor J^dagger."""
    net = make_net((4, 8, 6, 3), "linear", noise=0.6, bias=False, seed=3)
    share, *_, damped = alignment(net)
    assert share < 0.8
    assert damped < 0.75
    for step in range(60):
        found = gradients(normal_controller, net, 64, seed=100 + step)
        for q, gradient in zip(net.feedback, found, strict=True):
            q -= 0.5 * (gradient + 0.1 * q)
    share, transposed, pseudo_inverse, damped = alignment(net)
    assert share > 0.99
    assert damped > 0.985
    assert damped > transposed + 0.01
    assert damped > pseudo_inverse + 0.01


def test_the_special_rule_with_decay_leads_to_the_transposed_jacobian():
    """-J^T + decay Q = 0 at Q = J^T / decay."""
    net = make_net(hidden="linear", noise=0.6)
    assert alignment(net)[1] < 0.95
    for step in range(150):
        found = gradients(special_controller, net, 512, seed=100 + step)
        for q, gradient in zip(net.feedback, found, strict=True):
            q -= 0.05 * (gradient + 2.0 * q)
    assert alignment(net)[1] > 0.995
    assert np.linalg.norm(stacked_feedback(net)) == pytest.approx(
        0.5 * np.linalg.norm(np.concatenate(weight_products(net.weights))), rel=0.05
    )


def test_the_homeostatic_decay_descends_the_distance_from_its_constant():
    """beta Q = d/dQ b/4 (|Qbar|^2 - c)^2."""
    net = make_net()
    beta = homeostatic_decay(net, 0.3, 5.0)
    assert float(squared_norm(net.feedback)) == pytest.approx(np.square(stacked_feedback(net)).sum(), rel=1e-14)
    for q in net.feedback:
        expected = central_differences(lambda: 0.3 / 4.0 * (squared_norm(net.feedback) - 5.0) ** 2, q, 1e-5)
        assert difference(beta * q, expected) < 1e-7
