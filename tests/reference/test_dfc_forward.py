"""Feedforward pass, backpropagation and Jacobians against the recordings of the published DFC program."""

import numpy as np
import pytest

from dfc.jacobian import jacobian_blocks, output_jacobian, stacked_feedback
from rules import backprop
from rules._rule import NoOptions
from tests.feedback_nets_for_tests import gradients_of
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

CASES = read("forward.npz")
# Some pre-activations are exactly zero.
AT_KINKS = read("extra.npz", "zero")


def test_all_recordings_are_here():
    assert (len(CASES), len(AT_KINKS)) == (11, 4)
    assert all((case[f"v{l}"] == 0.0).any() for case in AT_KINKS for l in (0, 1))


@every(*CASES, *AT_KINKS)
def test_feedforward_pass(case):
    net, activities = start(case)
    assert_layers_close(activities.v, case.layers("v"))
    assert_layers_close(activities.r, case.layers("r"))
    assert_layers_close([net.slope(activities, l) for l in range(len(net.weights))], case.layers("dphi"))
    assert_close(net.loss.value(activities.r[-1], case["target"]), case["loss"])
    assert_close(output_target(case, net, activities), case["output_target"])
    if "accuracy" in case:
        assert (activities.r[-1].argmax(axis=-1) == case["target"]).mean() == case["accuracy"]


@every(*CASES, *AT_KINKS)
def test_backpropagation(case):
    net, activities = start(case)
    errors = backprop.layer_errors(net, activities, case["target"], NoOptions())
    # The recorded errors contain the 1/n of the mean.
    if "bp_dv0" in case:
        assert_layers_close([delta / activities.batch_size for delta in errors], case.layers("bp_dv"))
    assert_gradients_close(case, gradients_of(net, activities, errors), prefix="bp_d")


@every(*CASES, *AT_KINKS)
def test_jacobian_of_the_pre_activations(case):
    net, activities = start(case)
    assert_close(output_jacobian(net, activities.v), case["J_pre"])


@every(*CASES)
def test_jacobian_of_the_rates(case):
    """dr_L/dr_l = dr_L/dv_{l+1} W_{l+1}; of the output itself the identity."""
    net, activities = start(case)
    above = jacobian_blocks(net, activities.v)[1:]
    blocks = [block @ w for block, w in zip(above, net.weights[1:], strict=True)]
    outputs = net.sizes[-1]
    blocks.append(np.broadcast_to(np.eye(outputs), (activities.batch_size, outputs, outputs)))
    assert_close(np.concatenate(blocks, axis=-1), case["J_post"])


@every(*CASES, *AT_KINKS)
def test_jacobian_of_the_parameters(case):
    """dr_L/dW_l[k, j] = dr_L/dv_l[k] r_{l-1}[j] and dr_L/db_l = dr_L/dv_l, which automatic differentiation recorded."""
    net, activities = start(case)
    columns = []
    for l, block in enumerate(jacobian_blocks(net, activities.v, automatic=True)):
        rates = activities.presynaptic(l)
        columns.append((block[..., None] * rates[:, None, None, :]).reshape(*block.shape[:2], -1))
        columns += [block] if net.biases else []
    assert_close(np.concatenate(columns, axis=-1), case["J_params"])


@every(*CASES)
def test_share_of_the_feedback_weights_in_the_row_space_of_the_jacobian(case):
    net, activities = start(case)
    j, q = output_jacobian(net, activities.v), stacked_feedback(net)
    projected = np.linalg.pinv(j) @ (j @ q)
    shares = np.linalg.norm(projected, axis=(-2, -1)) / np.linalg.norm(q)
    assert_close(shares.mean(), case["condition_two"])


@pytest.mark.parametrize("dtype, tolerance", (("float64", 1e-11), ("float32", 1e-5)))
@every(*CASES)
def test_a_pass_keeps_the_float_type(case, dtype, tolerance):
    net, activities = start(case.rounded(dtype))
    errors = backprop.layer_errors(net, activities, case.rounded(dtype)["target"], NoOptions())
    gradients = gradients_of(net, activities, errors)
    blocks = jacobian_blocks(net, activities.v)
    assert_float_type([*activities.v, *activities.r, activities.first_output, *errors, *gradients, *blocks], dtype)
    assert_float_type([net.loss.value(activities.r[-1], case.rounded(dtype)["target"])], dtype)
    assert_layers_close(activities.r, case.layers("r"), tolerance)
    assert_gradients_close(case, gradients, tolerance, prefix="bp_d")
