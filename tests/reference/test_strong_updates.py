"""One minibatch of Strong-DFC, case by case: trajectories, convergence, gradients of W and Q,
before and after clipping."""

import numpy as np
import pytest

from core.clipping import clip_each, clip_together
from dfc.feedback_learning import normal_controller
from dfc.gradients import output_target
from dfc.measures.angles import ssa_update
from dfc.simulation import record
from rules import dfc, dfc_ss, dfc_ssa, strong_dfc
from tests.feedback_nets_for_tests import result_of
from tests.reference.dfc_cases import assert_close, assert_float_type, assert_layers_close, every, noise
from tests.reference.strong_cases import (
    EXACT,
    aim,
    assert_feedback_close,
    assert_gradients_close,
    assert_trajectories_close,
    controller,
    feedback_settings,
    in_float32,
    low_passed,
    read,
    rule_options,
    start,
)

pytestmark = pytest.mark.usefixtures("form")

CASES = [*read("single_phase.npz"), *read("two_phase.npz"), *read("diagnostics.npz")]
FORWARD = [case for case in CASES if case.meta["phase"] == "forward"]
FEEDBACK = [case for case in CASES if case.meta["phase"] != "forward"]
SIMULATED = [case for case in CASES if "u" in case]
WITH_ANALYTICAL = [case for case in CASES if "ndi_dW0" in case]
CLIPPED = [case for case in FORWARD if case.meta["clip_grad_norm"] > 0.0]
# This defect is mended here: the published step goes up, and twice as far.
ASCENDING = "tp_ss_voltage_published_sign"


def given(case):
    """The recorded noise; nothing where the case has none."""
    return noise(case) if "noise0" in case else None


def taught(case):
    """(RuleResult, network) of a forward phase."""
    meta, (net, activities, target) = case.meta, start(case)
    if meta["ssa"]:
        rule = dfc_ssa
    elif meta["network_type"] == "DFC_single_phase":
        rule = strong_dfc
    else:
        rule = dfc_ss if meta["ss"] else dfc
    return result_of(rule, net, activities, target, rule_options(case), given(case)), net


def test_all_recordings_are_here():
    assert (len(CASES), len(FORWARD), len(FEEDBACK), len(SIMULATED), len(CLIPPED)) == (61, 48, 13, 59, 5)
    assert len(WITH_ANALYTICAL) == 3


@every(*CASES)
def test_feedforward_pass(case):
    net, activities, target = start(case)
    assert_layers_close(activities.v, case.layers("v"), EXACT)
    assert_layers_close(activities.r, case.layers("r"), EXACT)
    assert_close(net.loss.value(activities.r[-1], target), case["loss"], EXACT)
    if case.meta["task"] == "ce_soft":
        assert_close(net.loss.goal(activities.r[-1], target), case["target"], EXACT)


@every(*SIMULATED)
def test_trajectories(case):
    net, activities, target = start(case)
    wanted = output_target(net, activities, target, feedback_settings(case))
    assert_close(wanted, case["output_target"], EXACT)
    found = record(net, activities, wanted, controller(case.meta), given(case))
    assert_trajectories_close(case, found)
    assert_close(published_mean(found.u, case.meta["controller"]["noisy_dynamics"]), case["u_mean"], EXACT)


def published_mean(u, noisy):
    """The last control signal; with noise the sum over a quarter of the time but for one point,
    divided by the whole quarter."""
    quarter = len(u) // 4
    return u[-quarter:-1].sum(axis=0) / quarter if noisy else u[-1]


@every(*WITH_ANALYTICAL)
def test_analytical_update(case):
    """The update of the analytical steady state, with the final rates; the single phase filters
    them (strong_dfc.md 4)."""
    net, activities, target = start(case)
    rates = [layer[-1] for layer in case.layers("rt")]
    if case.meta["network_type"] == "DFC_single_phase":
        rates = [low_passed(layer, case.meta["dt_di"] / case.meta["tau_f"]) for layer in case.layers("rt")]
    meta = case.meta
    options = dfc_ssa.Options(meta["target_stepsize"], meta["alpha_di"], meta["learning_rule"], aim=aim(meta, case))
    assert_gradients_close(case, ssa_update(net, activities, target, options, rates), prefix="ndi_d")


@every(*FORWARD)
def test_gradients(case):
    result, _ = taught(case)
    assert_gradients_close(case, result.gradients, sign=-0.5 if case.name == ASCENDING else 1.0)
    assert_close(result.steady.u, case["u_ss"], EXACT)
    if "counts" in case:
        np.testing.assert_array_equal(result.counts, case["counts"])
        np.testing.assert_array_equal(result.converged, case["converged"])
        np.testing.assert_array_equal(result.diverged, case["diverged"])
    assert (result.feedback is not None) == ("dQ0" in case)
    if result.feedback:
        assert_feedback_close(case, result.feedback)


@every(*FEEDBACK)
def test_gradients_of_passes_that_teach_feedback_alone(case):
    net, activities, target = start(case)
    gradients = normal_controller(net, activities, feedback_settings(case), given(case), target)
    assert_feedback_close(case, gradients)
    if "dQ0_clipped" in case:
        clip_each(gradients, case.meta["clip_grad_norm"])
        assert_feedback_close(case, gradients, "_clipped")


@every(*CLIPPED)
def test_clipping(case):
    """W_l and b_l of a layer are clipped by their joint norm, every Q_l by its own; one that
    is frozen is left alone."""
    result, net = taught(case)
    bound = case.meta["clip_grad_norm"]
    for l in range(len(net.weights)):
        clip_together(net.of_layer(result.gradients, l), bound)
    assert_gradients_close(case, result.gradients, suffix="_clipped")
    if result.feedback:
        frozen = "--freeze_fb_weights_output" in case.meta["flags"]
        clip_each(result.feedback[: len(result.feedback) - frozen], bound)
        assert_feedback_close(case, result.feedback, "_clipped")


# Whether a sample converged is decided by differences of 1e-5, which float32 rounds.
@every(*(case for case in FORWARD if case.name != ASCENDING and not case.meta["include_only_converged_samples"]))
def test_gradients_in_float32(case):
    rounded, tolerance = in_float32(case)
    result, _ = taught(rounded)
    assert_float_type([*result.gradients, *(result.feedback or [])], np.float32)
    step = 2 if case.meta["bias"] else 1
    # gradients are sums of small differences of rates of order one
    assert_layers_close(result.gradients[::step], case.layers("dW"), 10 * tolerance)
    if result.feedback:
        assert_layers_close(result.feedback, case.layers("dQ"), 10 * tolerance)
