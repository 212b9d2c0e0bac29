"""Learning of the feedback weights against the recordings of the published DFC program."""

import numpy as np
import pytest

from core.clipping import clip_together
from dfc import feedback_learning
from dfc.feedback_learning import Q_RULES, FeedbackSettings, homeostatic_decay, squared_norm
from dfc.simulation import record
from tests.reference.dfc_cases import (
    assert_close,
    assert_float_type,
    assert_layers_close,
    every,
    feedback_controller,
    noise,
    read,
    start,
)

pytestmark = pytest.mark.usefixtures("form")

CASES = read("feedback.npz")
SIMULATED = [case for case in CASES if case.meta["fb_learning_rule"] == "normal_controller"]
ONE_PASS = [case for case in CASES if case.meta["fb_learning_rule"] != "normal_controller"]


def settings(case):
    controller = feedback_controller(case.meta) if case in SIMULATED else None
    return FeedbackSettings(controller, case.meta["sigma_fb"], case.meta.get("alpha", 0.0))


def feedback_gradients(case, settings):
    """The gradient of the rule, and of the homeostatic term where there is one."""
    net, activities = start(case)
    gradients = Q_RULES[case.meta["fb_learning_rule"]](net, activities, settings, noise(case))
    strength = case.meta["homeostatic_wd_fb"]
    if strength > 0.0:
        beta = homeostatic_decay(net, strength, case.meta["homeostatic_constant"])
        for gradient, q in zip(gradients, net.feedback, strict=True):
            gradient += beta * q
    return gradients


def test_all_recordings_are_here():
    assert (len(SIMULATED), len(ONE_PASS)) == (9, 5)


@pytest.mark.parametrize("dtype, tolerance", (("float64", 1e-11), ("float32", 1e-4)))
@every(*CASES)
def test_gradients(case, dtype, tolerance):
    found = feedback_gradients(case.rounded(dtype), settings(case))
    assert_layers_close(found, case.layers("dQ"), tolerance)
    assert_float_type(found, dtype)


@every(*SIMULATED)
def test_gradients_clipped_together(case):
    gradients = feedback_gradients(case, settings(case))
    assert_close(np.sqrt(squared_norm(gradients)), case["total_grad_norm"])
    clip_together(gradients, 1.0)
    assert_layers_close(gradients, case.layers("dQ_clipped"))


def test_the_clip_bites_in_some_recordings_and_not_in_others():
    assert {bool(case["total_grad_norm"] > 1.0) for case in SIMULATED} == {True, False}


@every(*SIMULATED)
def test_trajectories(case):
    net, activities = start(case)
    found = record(net, activities, activities.r[-1], feedback_controller(case.meta), noise(case))
    assert_close(found.u, case["u"])
    assert_layers_close(found.va, case.layers("va"))
    assert_layers_close([r[-1] for r in found.r], case.layers("r_last"))


@every(*ONE_PASS)
def test_outputs_of_noisy_passes(case):
    net, activities = start(case)
    _, output = feedback_learning._noisy_pass(net, activities, settings(case), noise(case))
    assert_close(output, case["noisy_output"])
