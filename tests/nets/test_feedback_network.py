"""The network of system 2: its derivatives are those of its functions, and it owns what it says."""

import math

import numpy as np
import pytest

from dfc.functions import ACTIVATIONS, CROSS_ENTROPY, SQUARED_ERROR
from dfc.jacobian import jacobian_blocks, output_jacobian, stacked_feedback
from rules import backprop
from rules._rule import NoOptions
from tests.feedback_nets_for_tests import (
    SIZES,
    central_differences,
    gradients_of,
    make_batch,
    make_net,
    weight_products,
)
from tests.nets_for_tests import difference

STEP = 1e-5
EVERY_ACTIVATION = pytest.mark.parametrize("name", ACTIVATIONS)
ENDS = pytest.mark.parametrize(
    "output, loss", (("linear", "ce"), ("linear", "mse"), ("tanh", "mse"), ("sigmoid", "mse"))
)


# ---- activations ----


@EVERY_ACTIVATION
def test_slopes_are_central_differences(name):
    activation = ACTIVATIONS[name]
    # There is no zero among them.
    v = np.linspace(-2.0, 2.0, 16)
    expected = (activation.apply(v + STEP) - activation.apply(v - STEP)) / (2.0 * STEP)
    np.testing.assert_allclose(activation.slope(v), expected, rtol=0.0, atol=1e-9)
    np.testing.assert_array_equal(activation.slope(v), activation.derivative(v))
    np.testing.assert_array_equal(activation.slope(v, activation.apply(v)), activation.slope(v))


@pytest.mark.parametrize("name, below", (("relu", 0.0), ("leakyrelu", 0.2)))
def test_at_a_kink_the_two_derivatives_are_those_of_the_two_sides(name, below):
    at_kink = np.array([0.0, -0.0])
    for r in (None, ACTIVATIONS[name].apply(at_kink)):
        np.testing.assert_array_equal(ACTIVATIONS[name].slope(at_kink, r), 1.0)
        np.testing.assert_array_equal(ACTIVATIONS[name].derivative(at_kink, r), below)


def test_values_by_hand():
    v = np.array([-2.0, 0.0, 3.0])
    expected = {
        "tanh": [-math.tanh(2.0), 0.0, math.tanh(3.0)],
        "relu": [0.0, 0.0, 3.0],
        "leakyrelu": [-0.4, 0.0, 3.0],
        "linear": [-2.0, 0.0, 3.0],
        "sigmoid": [1.0 / (1.0 + math.exp(2.0)), 0.5, 1.0 / (1.0 + math.exp(-3.0))],
    }
    assert set(expected) == set(ACTIVATIONS)
    for name, values in expected.items():
        np.testing.assert_allclose(ACTIVATIONS[name].apply(v), values, rtol=1e-15, atol=1e-16)


@pytest.mark.parametrize("dtype", ("float32", "float64"))
@EVERY_ACTIVATION
def test_an_activation_writes_where_it_is_told_to_and_nowhere_else(name, dtype):
    # At the ends exp(-v) overflows.
    v = np.linspace(-900.0, 900.0, 7, dtype=dtype)
    kept, out = v.copy(), np.full_like(v, np.nan)
    activation = ACTIVATIONS[name]
    assert activation.apply(v, out=out) is out
    fresh = activation.apply(v)
    assert not np.shares_memory(fresh, v)
    np.testing.assert_array_equal(out, fresh)
    np.testing.assert_array_equal(v, kept)
    for array in (out, activation.slope(v), activation.derivative(v)):
        assert np.isfinite(array).all()
        assert array.dtype == dtype


@EVERY_ACTIVATION
def test_what_is_not_a_number_stays_so(name):
    """Else a run that blew up would look healthy."""
    assert np.isnan(ACTIVATIONS[name].apply(np.array([np.nan]))).all()


# ---- losses ----


def test_losses_by_hand():
    """Three equal logits: ln 3 a sample, softmax 1/3.  Squared error: (1 + 4 + 0 + 16) / 4, gradient
    2 / n_L the difference."""
    assert float(CROSS_ENTROPY.value(np.full((2, 3), 7.0), np.array([0, 2]))) == pytest.approx(math.log(3.0), rel=1e-15)
    expected = [[-2 / 3, 1 / 3, 1 / 3], [1 / 3, 1 / 3, -2 / 3]]
    np.testing.assert_allclose(CROSS_ENTROPY.error(np.full((2, 3), 7.0), np.array([0, 2])), expected, rtol=1e-14)
    output, target = np.array([[1.0, 2.0], [3.0, -4.0]]), np.array([[0.0, 4.0], [3.0, 0.0]])
    assert float(SQUARED_ERROR.value(output, target)) == 21.0 / 4.0
    np.testing.assert_array_equal(SQUARED_ERROR.error(output, target), [[1.0, -2.0], [0.0, -4.0]])


def test_the_cross_entropy_of_large_logits_is_finite():
    logits, labels = np.array([[1e4, 0.0, -1e4]]), np.array([2])
    assert float(CROSS_ENTROPY.value(logits, labels)) == pytest.approx(2e4, rel=1e-15)
    np.testing.assert_array_equal(CROSS_ENTROPY.error(logits, labels), [[1.0, 0.0, -1.0]])


@pytest.mark.parametrize("loss", ("ce", "mse"))
def test_the_error_is_that_of_each_samples_own_loss(loss):
    """n dLoss/dr_L, where the loss is the mean over the n samples."""
    net = make_net(loss=loss)
    output, target = np.random.default_rng(2).standard_normal((4, 3)), make_batch(net, 4)[1]
    found = net.loss.error(output, target)
    expected = 4.0 * central_differences(lambda: net.loss.value(output, target), output, STEP)
    assert difference(found, expected) < 1e-8


# ---- derivatives of the network ----


@ENDS
@pytest.mark.parametrize("bias", (True, False), ids=("bias", "no bias"))
@EVERY_ACTIVATION
def test_backpropagation_is_central_differences_of_the_loss(name, bias, output, loss):
    net = make_net((4, 5, 4, 3), name, output, loss, bias)
    inputs, target = make_batch(net, 4)
    activities = net.forward(inputs)
    errors = backprop.layer_errors(net, activities, target, NoOptions())
    gradients = gradients_of(net, activities, errors)
    assert len(gradients) == len(net.parameters) == (6 if bias else 3)
    for parameter, gradient in zip(net.parameters, gradients, strict=True):
        expected = central_differences(lambda: net.loss.value(net.forward(inputs).r[-1], target), parameter, STEP)
        assert difference(gradient, expected) < 1e-7


def output_from(net, l, v):
    """The output of the network when layer l has the pre-activations v."""
    r = net.activations[l].apply(v)
    for above in range(l + 1, len(net.weights)):
        r = net.activations[above].apply(net.drive(above, r))
    return r


@pytest.mark.parametrize("output", ("linear", "tanh", "sigmoid"))
@EVERY_ACTIVATION
def test_the_jacobian_is_central_differences_of_the_output(name, output):
    net = make_net((4, 5, 4, 3), ("tanh", name), output)
    activities = net.forward(make_batch(net, 3)[0])
    blocks = jacobian_blocks(net, activities.v)
    for l, block in enumerate(blocks):
        v = activities.v[l].copy()
        # (output of sample, by sample).
        slopes = central_differences(lambda l=l, v=v: output_from(net, l, v), v, STEP)
        for one in range(3):
            for other in range(3):
                expected = block[one] if one == other else 0.0 * block[one]
                np.testing.assert_allclose(slopes[one, :, other], expected, rtol=0.0, atol=1e-8)
    np.testing.assert_array_equal(output_jacobian(net, activities.v), np.concatenate(blocks, axis=-1))


def test_at_a_kink_the_jacobian_has_the_slopes_that_are_asked_for():
    """v_0 = 0 exactly: dr_L/dv_0 = W_1 times 1 or 0."""
    net = make_net((4, 5, 3), "relu", bias=False)
    v = net.forward(np.zeros((1, 4))).v
    np.testing.assert_array_equal(jacobian_blocks(net, v)[0][0], net.weights[1])
    np.testing.assert_array_equal(jacobian_blocks(net, v, automatic=True)[0][0], 0.0)


def test_in_a_linear_network_the_jacobian_is_the_product_of_the_weights():
    net = make_net(hidden="linear", noise=0.0)
    activities = net.forward(make_batch(net)[0])
    expected = np.concatenate(weight_products(net.weights))
    for one in output_jacobian(net, activities.v):
        assert difference(one.T, expected) < 1e-14
    np.testing.assert_array_equal(stacked_feedback(net), np.concatenate(net.feedback))


# ---- what it owns ----


@pytest.mark.parametrize("bias", (True, False), ids=("bias", "no bias"))
def test_parameters_are_the_arrays_themselves(bias):
    net = make_net(bias=bias)
    order = [array for pair in zip(net.weights, net.biases, strict=True) for array in pair] if bias else net.weights
    assert [id(array) for array in net.parameters] == [id(array) for array in order]
    everything = [*order, *net.feedback]
    assert {id(array) for array in net.named_arrays.values()} == {id(array) for array in everything}
    assert len(net.named_arrays) == len(everything)
    assert net.sizes == list(SIZES[1:])


def test_a_pass_changes_nothing_and_keeps_what_rules_ask_for():
    net = make_net()
    inputs, target = make_batch(net)
    before = [array.copy() for array in (inputs, *net.named_arrays.values())]
    activities = net.forward(inputs)
    for kept, array in zip(before, (inputs, *net.named_arrays.values()), strict=True):
        np.testing.assert_array_equal(kept, array)
    assert activities.presynaptic(0) is inputs
    assert activities.presynaptic(2) is activities.r[1]
    assert activities.batch_size == len(inputs)
    np.testing.assert_array_equal(activities.first_output, activities.r[-1][0])
    np.testing.assert_array_equal(net.output_error(activities, target), net.loss.error(activities.r[-1], target))


def test_a_part_knows_the_whole():
    net = make_net()
    inputs, _ = make_batch(net, 7)
    whole = net.forward(inputs)
    part = whole.part(slice(4, 7))
    assert part.batch_size == 7
    np.testing.assert_array_equal(part.first_output, whole.r[-1][0])
    assert np.shares_memory(part.x, inputs)
    for l in range(3):
        np.testing.assert_array_equal(part.v[l], whole.v[l][4:])
        np.testing.assert_array_equal(part.r[l], whole.r[l][4:])


@pytest.mark.parametrize("bias", (True, False))
def test_parameters_are_handed_out_by_layer(bias):
    net = make_net(bias=bias)
    for l, w in enumerate(net.weights):
        expected = [w, net.biases[l]] if bias else [w]
        found = net.of_layer(net.parameters, l)
        assert len(found) == len(expected) and all(one is other for one, other in zip(found, expected, strict=True))
        assert net.layers_of_parameters.count(l) == len(found)
