"""Direct feedback alignment against the recordings of the published DFC program."""

import numpy as np

from core.clipping import clip_each
from rules import direct_feedback
from tests.feedback_nets_for_tests import gradients_of, weight_products
from tests.reference.dfc_cases import (
    assert_close,
    assert_float_type,
    assert_gradients_close,
    assert_layers_close,
    every,
    output_target,
    read,
    start,
)

CASES = read("dfa.npz")
EXTRA = read("extra.npz", "dfa")


def teach(case):
    """(errors of all layers, the gradients that follow, not clipped)."""
    net, activities = start(case, "B")
    options = direct_feedback.Options(case.meta["target_stepsize"])
    errors = direct_feedback.layer_errors(net, activities, case["target"], options)
    return errors, gradients_of(net, activities, errors)


def test_all_recordings_are_here():
    assert (len(CASES), len(EXTRA)) == (6, 2)


@every(*CASES, *EXTRA)
def test_gradients_clipped_one_by_one(case):
    _, gradients = teach(case)
    assert case.meta["clip_grad_norm"] == 1.0
    clip_each(gradients, 1.0)
    assert_gradients_close(case, gradients)


def test_the_clip_bites_in_some_recordings():
    norms = [np.linalg.norm(gradient) for case in (*CASES, *EXTRA) for gradient in teach(case)[1]]
    assert 1 < sum(norm > 1.0 for norm in norms) < len(norms)


@every(*CASES, *EXTRA)
def test_errors_point_to_the_targets_of_the_layers(case):
    """s_l = 2 phi'_l (r_l - target_l); the recorded targets hold a bias c, which cancels."""
    net, activities = start(case, "B")
    errors, _ = teach(case)
    targets = case.layers("layer_target")
    for l, target in enumerate(targets):
        assert_close(errors[l], 2.0 * net.slope(activities, l) * (activities.r[l] - target))


@every(*CASES, *EXTRA)
def test_loss_and_output_target(case):
    net, activities = start(case, "B")
    assert_close(net.loss.value(activities.r[-1], case["target"]), case["loss"])
    assert_close(output_target(case, net, activities), case["output_target"])


def test_the_weight_product():
    (case,) = [case for case in CASES if case.meta["fb_weight_initialization"] == "weight_product"]
    assert_layers_close(weight_products(case.layers("W"))[:-1], case.layers("B"))


@every(*CASES, *EXTRA)
def test_float32(case):
    errors, gradients = teach(case.rounded("float32"))
    assert_float_type([*errors, *gradients], "float32")
    clip_each(gradients, 1.0)
    assert_gradients_close(case, gradients, 1e-4)
    assert_float_type(gradients, "float32")
