"""DFC-SS and DFC against the recordings of the published program: state at the end, convergence, gradients."""

import numpy as np
import pytest

from core.clipping import clip_each
from dfc.gradients import nudge
from dfc.simulated import first_error
from dfc.simulation import simulate
from dfc.steady_state import analytical_steady_state
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
    update_options,
)

pytestmark = pytest.mark.usefixtures("form")

CASES = read("dfc_update.npz")
EXTRA = read("extra.npz", "update")
STORED = [case for case in (*CASES, *EXTRA) if "u_ss" in case]
WITH_LAST = [case for case in CASES if "converged_last" in case]
TOY = [case for case in CASES if "rel_dist_to_ndi" in case]
# In float32 the test of convergence (1e-5 of the output) decides by rounding, so that only those can be
# compared that include all.
ROUNDABLE = [case for case in CASES if case.meta["include_non_converged_samples"]]


def taught(case):
    """(RuleResult, the network, its feedforward pass); gradients are clipped as asked."""
    net, activities = start(case)
    rule, options = update_options(case.meta)
    # Training does so, too; the nan_ cases blow up on purpose.
    with np.errstate(over="ignore", invalid="ignore"):
        result = result_of(rule, net, activities, case["target"], options)
    if options.clip_grad_norm > 0.0 and not result.clipped:
        clip_each(result.gradients, options.clip_grad_norm)
    return result, net, activities


def test_all_recordings_are_here():
    assert (len(CASES), len(EXTRA)) == (50, 18)
    assert (len(STORED), len(WITH_LAST), len(TOY)) == (50, 50, 2)


@every(*CASES, *EXTRA)
def test_gradients_counts_and_flags(case):
    result, *_ = taught(case)
    assert_gradients_close(case, result.gradients)
    recorded = [case[f"count_{name}"] for name in ("converged", "diverged", "not_converged")]
    np.testing.assert_array_equal(result.counts, recorded)
    suffix = "_last" if case in WITH_LAST else ""
    np.testing.assert_array_equal(result.converged, case[f"converged{suffix}"])
    np.testing.assert_array_equal(result.diverged, case[f"diverged{suffix}"])


@every(*STORED)
def test_state_at_the_end(case):
    result, *_ = taught(case)
    steady = result.steady
    assert_close(steady.u, case["u_ss"])
    assert_layers_close(steady.v, case.layers("v_ss"))
    assert_layers_close(steady.r, case.layers("r_ss"))
    assert_layers_close(steady.delta_v, case.layers("delta_v"))
    np.testing.assert_array_equal(result.converged, case["converged"])
    np.testing.assert_array_equal(result.diverged, case["diverged"])


@every(*CASES, *EXTRA)
def test_loss_and_output_target(case):
    net, activities = start(case)
    assert_close(net.loss.value(activities.r[-1], case["target"]), case["loss"])
    assert_close(output_target(case, net, activities), case["output_target"])


@every(*EXTRA)
def test_errors_of_the_convergence_test(case):
    net, activities = start(case)
    _, options = update_options(case.meta)
    # The errors are differences of these.
    outputs = np.abs(case["output_target"]).max()
    with np.errstate(over="ignore", invalid="ignore"):
        state = simulate(net, activities, case["output_target"], options.controller)
        assert_close(state.output_distance(), case["error_last"], scale=outputs)
    assert_close(first_error(activities, state, options), case["error_first"])


@every(*TOY)
def test_distance_to_the_analytical_steady_state(case):
    result, net, activities = taught(case)
    difference = nudge(net, activities, case["target"], case.meta["target_stepsize"])
    analytical = analytical_steady_state(net, activities, difference, case.meta["alpha"])

    def distance(output):
        return np.linalg.norm(output - analytical.r[-1], axis=-1)

    assert_close((distance(result.steady.r[-1]) / distance(activities.r[-1])).mean(), case["rel_dist_to_ndi"])


@every(*ROUNDABLE)
def test_float32(case):
    result, *_ = taught(case.rounded("float32"))
    steady = result.steady
    assert_float_type([*result.gradients, steady.u, *steady.delta_v, *steady.v, *steady.r], "float32")
    assert_gradients_close(case, result.gradients, ROUNDED, scale=1.0)
    if case in STORED:
        assert_layers_close(steady.v, case.layers("v_ss"), ROUNDED, scale=1.0)


@pytest.mark.parametrize("name", ("partial_ss_full", "partial_cont_full", "clause_ss_full", "nan_cont_full"))
def test_recordings_in_which_only_some_samples_converge(name):
    (case,) = [case for case in STORED if case.name == name]
    assert 0 < case["converged"].sum() < len(case["converged"])
