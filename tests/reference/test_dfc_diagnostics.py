"""Angles, reference updates, fit of the feedback weights and stability against the recordings of
the published program."""

from functools import cache

import numpy as np
import pytest

from core.angles import angle, joint_angle
from dfc.feedback_learning import squared_norm
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
from dfc.measures.feedback_diagnostics import feedback_fit
from dfc.measures.least_squares import damped_pseudo_inverse
from dfc.measures.stability import (
    MATRICES,
    activity_norms,
    deviation_of_norms,
    distance_to_ssa,
    largest_eigenvalues,
    norm_names,
    stability_matrices,
)
from rules import dfc_ssa
from tests.feedback_nets_for_tests import result_of
from tests.reference.dfc_cases import (
    assert_close,
    assert_float_type,
    assert_gradients_close,
    assert_layers_close,
    every,
    read,
    start,
    update_options,
)

CASES = read("gn_diagnostics.npz")
DFA = read("dfa.npz")
FORWARD = read("forward.npz")
AT_KINKS = read("extra.npz", "zero")
TOY = [case for case in read("dfc_update.npz") if "rel_dist_to_ndi" in case]
MISC = {case.name: case for case in read("misc.npz")}
# An angle of zero is recorded with the error of an arccosine, some 1e-6.
DEGREES, RATIO = 2.5e-6, 1e-10
RECORDED_MATRICES = dict(zip(MATRICES, ("Atilde_I", "A_I", "A_inst_I", "A_PI"), strict=True))
COMPARED = {"gnt_vs_bp": ("gnt", "bp"), "gnt_vs_gn": ("gnt", "gn"), "gnt_ss_vs_ff": ("gnt_ss", "gnt_ff")}


def test_all_recordings_are_here():
    assert (len(CASES), len(DFA), len(FORWARD), len(AT_KINKS), len(TOY)) == (10, 6, 11, 4, 2)
    assert {case.meta["method"] for case in CASES} == {"ssa", "ss", "cont"}
    assert [case.name for case in CASES if "angle_gnt_ss_vs_ff_W0" not in case] == ["cont_mse_d01"]


@cache
def problem(case):
    """(network, feedforward pass, the recorded gradients like net.parameters, voltages and rates at
    rest, updates by name)."""
    net, activities = start(case)
    gradients = as_parameters(case, case.layers("dW"), case.layers("db"))
    meta, target = case.meta, case["target"]
    options = dfc_ssa.Options(
        meta["target_stepsize"], meta["alpha"], meta["learning_rule"], meta["use_initial_activations"]
    )
    rule, own = (dfc_ssa, options) if meta["method"] == "ssa" else update_options(meta)
    rest = result_of(rule, net, activities, target, own).steady
    gamma, nonlinear = meta["gn_damping"], meta["use_nonlinear_gnt"]
    updates = {
        "bp": bp_update(net, activities, target),
        "gn": gn_update(net, activities, target, gamma),
        "gnt_ff": gnt_update(net, activities, target, gamma, nonlinear),
        "gnt_ss": gnt_update(net, activities, target, gamma, nonlinear, rest.r),
        "ndi": ssa_update(net, activities, target, options, rest.r),
    }
    updates["gnt"] = updates["gnt_ss" if meta["use_ss_gnt"] else "gnt_ff"]
    return net, activities, gradients, rest, updates


def as_parameters(case, weights, biases):
    return [array for pair in zip(weights, biases, strict=True) for array in pair] if case.meta["bias"] else weights


def assert_angles(case, name, one, other):
    """Angles between two updates, layer by layer."""
    kinds = ("W", "b") if case.meta["bias"] else ("W",)
    keys = [f"angle_{name}_{kind}{l}" for l in range(4) for kind in kinds]
    for key, a, b in zip(keys, one, other, strict=True):
        assert abs(angle(a, b) - case[key]) < DEGREES, key


# ---- updates and angles


@every(*CASES)
def test_loss_gradient_and_minimum_norm_voltages(case):
    net, activities, *_ = problem(case)
    assert_close(loss_gradient(net, activities, case["target"]), case["output_error"])
    assert_layers_close(gnt_voltages(net, activities, case["target"], case.meta["gn_damping"]), case.layers("gnt_v"))


@pytest.mark.parametrize("name", ("gn", "gnt", "ndi"))
@every(*CASES)
def test_reference_update(case, name):
    assert_gradients_close(case, problem(case)[-1][name], prefix=f"{name}_")


@pytest.mark.parametrize("name", ("bp", "gn", "gnt", "ndi"))
@every(*CASES)
def test_angle_with_the_gradient(case, name):
    _, _, gradients, _, updates = problem(case)
    assert_angles(case, name, gradients, updates[name])
    if name != "bp":
        assert abs(joint_angle(gradients, updates[name]) - case[f"angle_{name}_total"]) < DEGREES


@pytest.mark.parametrize("name", COMPARED)
@every(*CASES)
def test_angle_between_reference_updates(case, name):
    updates = problem(case)[-1]
    # One case alone has none, see above.
    if f"angle_{name}_W0" in case:
        assert_angles(case, name, *(updates[which] for which in COMPARED[name]))


@every(*CASES)
def test_null_space_ratios(case):
    net, activities, gradients, *_ = problem(case)
    for l, ratio in enumerate(nullspace_ratios(net, activities, gradients)):
        assert abs(ratio - case[f"nullspace_ratio{l}"]) < RATIO


@every(*DFA)
def test_direct_feedback_alignment(case):
    """Damping 0, linear GNT, rates of the feedforward pass."""
    net, activities = start(case, "B")
    gradients = as_parameters(case, case.layers("dW"), case.layers("db"))
    for name, update in (("bp", bp_update), ("gn", gn_update), ("gnt", gnt_update)):
        other = update(net, activities, case["target"], *([] if name == "bp" else [0.0]))
        assert_angles(case, name, gradients, other)
        if name != "bp":
            assert abs(joint_angle(gradients, other) - case[f"angle_{name}_total"]) < DEGREES
    for l, ratio in enumerate(nullspace_ratios(net, activities, gradients)):
        assert abs(ratio - case[f"nullspace_ratio{l}"]) < RATIO


@pytest.mark.parametrize("gamma", (0.0, 0.1, 5.0))
@every(*FORWARD, *AT_KINKS)
def test_minimum_norm_updates_are_those_of_the_recorded_jacobians(case, gamma):
    """J_params has the slopes of automatic differentiation, J_pre the hand-written ones."""
    net, activities = start(case)
    target = case["target"]
    error = loss_gradient(net, activities, target)
    by_parameters = (damped_pseudo_inverse(case["J_params"], gamma) @ error[..., None])[..., 0].mean(axis=0)
    assert_close(np.concatenate([each.ravel() for each in gn_update(net, activities, target, gamma)]), by_parameters)
    by_voltages = (damped_pseudo_inverse(case["J_pre"], gamma) @ error[..., None])[..., 0]
    assert_close(np.concatenate(gnt_voltages(net, activities, target, gamma), axis=-1), by_voltages)


@every(*FORWARD, *AT_KINKS)
def test_backpropagation(case):
    net, activities = start(case)
    assert_gradients_close(case, bp_update(net, activities, case["target"]), prefix="bp_d")


# ---- feedback weights


@every(*CASES)
def test_fit_of_the_feedback_weights(case):
    net, activities, *_ = problem(case)
    found = feedback_fit(net, activities, case.meta["gn_damping"])
    assert abs(found["condition_gn"] - case["condition_two"]) < RATIO
    assert abs(found["jac_transpose"] - case["angle_Q_Jtranspose"]) < DEGREES
    assert abs(found["jac_pinv"] - case["angle_Q_Jpinv"]) < DEGREES
    for l, q in enumerate(net.feedback):
        assert_close(np.sqrt(squared_norm([q])), case[f"Q_norm{l}"])


@every(*FORWARD)
def test_condition_two_of_the_forward_cases(case):
    net, activities = start(case)
    assert (
        abs(feedback_fit(net, activities, measures=("condition_gn",))["condition_gn"] - case["condition_two"]) < RATIO
    )


# ---- dynamics


def controller(case):
    """alpha, tau_v, k_p: the analytical steady state is recorded with the defaults of the other two."""
    return case.meta["alpha"], case.meta.get("time_constant_ratio", 1.0), case.meta.get("k_p", 0.0)


@every(*CASES)
def test_stability_matrices(case):
    net, activities, _, rest, _ = problem(case)
    at = case.layers("A_eval_v")
    assert_layers_close(activities.v if case.meta["method"] == "cont" else rest.v, at)
    matrices, values = stability_matrices(net, at, *controller(case)), largest_eigenvalues(net, at, *controller(case))
    assert list(matrices) == list(values) == list(MATRICES)
    for name, recorded in RECORDED_MATRICES.items():
        assert_close(matrices[name], case[f"mat_{recorded}"])
        assert_close(values[name], case[f"mat_max_eig_{recorded}"])


@every(*CASES)
def test_eigenvalues_at_rest(case):
    net, _, _, rest, _ = problem(case)
    if "v_ss0" in case:
        assert_layers_close(rest.v, case.layers("v_ss"))
    for name, values in largest_eigenvalues(net, rest.v, *controller(case)).items():
        assert_close(values, case[f"max_eig_{RECORDED_MATRICES[name]}"])


@every(*CASES)
def test_norms_of_the_activities(case):
    _, activities, *_ = problem(case)
    found = activity_norms(activities)
    assert list(found) == list(norm_names(4)) == ["mean", "input", "layer 1", "layer 2", "layer 3"]
    for name, values in found.items():
        assert_close(values, case[f"norm_r_{name.replace(' ', '_')}"])
    assert_close(deviation_of_norms(activities), case["dev_r"])


@every(*TOY)
def test_distance_to_the_analytical_steady_state(case):
    net, activities = start(case)
    options = dfc_ssa.Options(case.meta["target_stepsize"])
    found = distance_to_ssa(net, activities, case["target"], case["r_ss3"], options, case.meta["alpha"])
    assert_close(found, case["rel_dist_to_ndi"])


# ---- small problems


def test_angle_of_two_arrays():
    case = MISC["angle"]
    assert abs(angle(case["a"], case["b"]) - case["angle_deg"]) < 1e-11


@pytest.mark.parametrize("damping", ("0", "0.1", "5"))
@pytest.mark.parametrize("shape", ("wide", "tall"))
def test_damped_solution(shape, damping):
    case = MISC["damped_gn"]
    found = damped_pseudo_inverse(case[f"J_{shape}"], float(damping)) @ case[f"e_{shape}"][:, None]
    assert_close(found, case[f"{shape}_d{damping}"])


def test_null_space_of_a_matrix():
    """A layer of one unit with J = 1 has its input rates as the rows of A."""
    case = MISC["nullspace"]
    found = nullspace_ratio(np.ones((len(case["A"]), 1, 1)), case["A"], case["x"][None])
    assert abs(found - case["ratio"]) < RATIO


# ---- float type


@every(CASES[0], CASES[4], CASES[7])
def test_measurements_keep_float32_and_are_rounded_little(case):
    net, activities = start(case.rounded("float32"))
    _, _, gradients, rest, updates = problem(case)
    target, gamma, meta = case.rounded("float32")["target"], case.meta["gn_damping"], case.meta
    rounded = [each.astype("float32") for each in gradients]
    options = dfc_ssa.Options(meta["target_stepsize"], meta["alpha"], meta["learning_rule"])
    found = {
        "bp": bp_update(net, activities, target),
        "gn": gn_update(net, activities, target, gamma),
        "gnt_ff": gnt_update(net, activities, target, gamma, meta["use_nonlinear_gnt"]),
        "ndi": ssa_update(net, activities, target, options, [r.astype("float32") for r in rest.r]),
    }
    for name, update in found.items():
        assert_float_type([*update, angle(update[0], rounded[0]), joint_angle(update, rounded)], "float32")
        assert abs(joint_angle(update, rounded) - joint_angle(updates[name], gradients)) < 1e-2
    fit = feedback_fit(net, activities, gamma)
    at_rest = [v.astype("float32") for v in rest.v]
    arrays = [*fit.values(), *nullspace_ratios(net, activities, rounded), *activity_norms(activities).values()]
    arrays += stability_matrices(net, at_rest, *controller(case)).values()
    assert_float_type([*arrays, *largest_eigenvalues(net, at_rest, *controller(case)).values()], "float32")
    assert abs(fit["condition_gn"] - case["condition_two"]) < 1e-4
    assert abs(fit["jac_pinv"] - case["angle_Q_Jpinv"]) < 1e-2
