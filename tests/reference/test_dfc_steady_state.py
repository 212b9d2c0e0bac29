"""DFC-SSA against the recordings of the published program: control, voltages at rest, gradients."""

import numpy as np

from core.clipping import clip_each
from dfc.jacobian import output_jacobian, stacked_feedback
from rules import dfc_ssa
from tests.feedback_nets_for_tests import result_of
from tests.reference.dfc_cases import (
    ROUNDED,
    assert_close,
    assert_float_type,
    assert_gradients_close,
    assert_layers_close,
    every,
    output_target,
    read,
    start,
)

CASES = read("ssa.npz")
AT_KINKS = read("extra.npz", "zero")


def taught(case):
    """The RuleResult of a case, gradients clipped as asked."""
    net, activities = start(case)
    meta = case.meta
    options = dfc_ssa.Options(
        meta["target_stepsize"], meta["alpha"], meta["learning_rule"], meta["use_initial_activations"]
    )
    result = result_of(dfc_ssa, net, activities, case["target"], options)
    if meta["clip_grad_norm"] > 0.0:
        clip_each(result.gradients, meta["clip_grad_norm"])
    return result


def test_all_recordings_are_here():
    assert (len(CASES), len(AT_KINKS)) == (19, 4)


@every(*CASES, *AT_KINKS)
def test_loss_and_output_target(case):
    net, activities = start(case)
    assert_close(net.loss.value(activities.r[-1], case["target"]), case["loss"])
    assert_close(output_target(case, net, activities), case["output_target"])


@every(*CASES, *AT_KINKS)
def test_steady_state_and_gradients(case):
    result = taught(case)
    assert_close(result.steady.u, case["u_ndi"])
    assert_layers_close(result.steady.delta_v, case.layers("delta_v"))
    assert_layers_close(result.steady.v, case.layers("v_target"))
    assert_layers_close(result.steady.r, case.layers("r_target"))
    assert_gradients_close(case, result.gradients)
    assert not result.clipped
    assert result.counts is result.converged is result.diverged is None


def test_the_clip_of_the_recordings_bites_in_some_and_not_in_others():
    lengths = [np.linalg.norm(g) for case in CASES if case.meta["clip_grad_norm"] == 1.0 for g in case.layers("dW")]
    assert 0.999998 < max(lengths) < 1.0
    assert min(lengths) < 0.9


def amplification(case):
    """The largest condition number of the linear systems, by which u may enlarge the rounding of their entries."""
    net, activities = start(case)
    loops = output_jacobian(net, activities.v) @ stacked_feedback(net) + case.meta["alpha"] * np.eye(net.sizes[-1])
    return np.linalg.cond(loops).max()


@every(*CASES, *AT_KINKS)
def test_float32(case):
    result = taught(case.rounded("float32"))
    steady = result.steady
    assert_float_type([*result.gradients, steady.u, *steady.delta_v, *steady.v, *steady.r], "float32")
    limit = ROUNDED * amplification(case)
    assert_close(steady.u, case["u_ndi"], limit)
    assert_layers_close(steady.v, case.layers("v_target"), limit, scale=1.0)
    assert_gradients_close(case, result.gradients, limit, scale=1.0)
