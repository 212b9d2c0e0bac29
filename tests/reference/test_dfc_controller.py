"""Simulated controllers against the recordings of the published DFC program, time point by time point."""

import numpy as np
import pytest

from dfc.simulated import Options, first_error
from dfc.simulation import record, simulate
from tests.reference.dfc_cases import (
    assert_close,
    assert_float_type,
    assert_layers_close,
    every,
    forward_controller,
    noise,
    output_target,
    read,
    start,
)

pytestmark = pytest.mark.usefixtures("form")

CASES = read("controller.npz")
NOISY = [case for case in CASES if case.meta["noisy_dynamics"]]
QUIET = [case for case in CASES if not case.meta["noisy_dynamics"]]
FLOATS = pytest.mark.parametrize("dtype, tolerance", (("float64", 1e-11), ("float32", 1e-4)))


def trajectory(case):
    net, activities = start(case)
    draws = noise(case) if case.meta["noisy_dynamics"] else None
    return record(net, activities, case["output_target"], forward_controller(case.meta), draws)


def test_all_recordings_are_here():
    assert (len(QUIET), len(NOISY)) == (10, 2)


@every(*CASES)
def test_feedforward_state_and_target(case):
    net, activities = start(case)
    assert_layers_close(activities.v, case.layers("v_ff"))
    assert_layers_close(activities.r, case.layers("r_ff"))
    assert_close(net.loss.value(activities.r[-1], case["target"]), case["loss"])
    assert_close(output_target(case, net, activities), case["output_target"])


@FLOATS
@every(*CASES)
def test_trajectories(case, dtype, tolerance):
    found = trajectory(case.rounded(dtype))
    assert_close(found.u, case["u"], tolerance)
    assert_close(found.errors, case["sample_error"], tolerance)
    for name in ("va", "vb", "vs", "r"):
        layers = getattr(found, name)
        assert_layers_close(layers, case.layers(name), tolerance)
        assert_float_type([*layers, found.u, found.errors], dtype)


@every(*CASES)
def test_a_simulation_ends_where_its_recording_does(case):
    net, activities = start(case)
    draws = noise(case) if case.meta["noisy_dynamics"] else None
    seen = []

    def observe(t, state):
        seen.append(t)
        assert_close(state.u, case["u"][t])
        assert_layers_close(state.r, [r[t] for r in case.layers("r")])

    state = simulate(net, activities, case["output_target"], forward_controller(case.meta), draws, observe)
    assert seen == list(range(case.meta["tmax"]))
    assert_close(state.output_distance(), case["sample_error"][-1])
    # There is no recording of the memory-saving variant for noisy cases.
    prefix = "eff_" if case in QUIET else ""
    assert_close(state.u, case["eff_u"] if prefix else case["u"][-1])
    for name in ("va", "vb", "vs", "r"):
        expected = case.layers(prefix + name)
        assert_layers_close(getattr(state, name), expected if prefix else [layer[-1] for layer in expected])


@every(*QUIET)
def test_errors_of_the_memory_saving_variant(case):
    """Layer by layer, the published variant compares the target of every sample with the output of sample 0."""
    net, activities = start(case)
    controller = forward_controller(case.meta)
    layerwise = controller.layerwise or case.meta["mode"] == "layerwise"
    state = simulate(net, activities, case["output_target"], controller)
    first = first_error(activities, state, Options(controller, sample0_error=layerwise))
    assert_close(np.stack([first, state.output_distance()]), case["eff_sample_error"])
