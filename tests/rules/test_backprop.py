"""BP against the definition: central differences of the loss that it claims to descend."""

import numpy as np
import pytest

from gait.gradients import OrthogonalRegulariser
from rules.backprop import RULE
from tests.nets_for_tests import SQUARE, TOWER, difference, make_batch, make_learner, make_net
from utils import LEAKY_RELU, LINEAR, squared_error

STEP = 1e-6


def loss(net, inputs, target, regulariser):
    """Mean over the samples of 0.5 |output - target|^2, plus the penalty."""
    net.weights_changed()
    output = net.forward(inputs)[-1][:, : net.classes]
    return squared_error(output, target) / len(inputs) + sum(regulariser.penalty(layer) for layer in net.layers)


@pytest.mark.parametrize("strength", (0.0, 0.3))
@pytest.mark.parametrize("transfer", (LEAKY_RELU, LINEAR), ids=lambda t: t.name)
@pytest.mark.parametrize("sizes", (SQUARE, TOWER))
def test_gradients_are_central_differences_of_the_loss(sizes, transfer, strength):
    net = make_net(sizes, transfer, init="xavier")
    inputs, target = make_batch(net)
    found = [g.copy() for g in make_learner(net, RULE, strength=strength).compute_gradients(inputs, target)]
    regulariser = OrthogonalRegulariser(strength)
    for parameter, gradient in zip(net.parameters, found, strict=True):
        expected = np.empty_like(parameter)
        for entry in np.ndindex(parameter.shape):
            kept = parameter[entry]
            parameter[entry] = kept + STEP
            above = loss(net, inputs, target, regulariser)
            parameter[entry] = kept - STEP
            below = loss(net, inputs, target, regulariser)
            parameter[entry] = kept
            expected[entry] = (above - below) / (2 * STEP)
        assert difference(gradient, expected) < 1e-7


def test_one_unit_worked_by_hand():
    """One layer of one unit: z = 2 * -3 + 1 = -5, h = -0.5, delta = 0.1 * (-0.5 - 1) = -0.15, gradient -0.15 * 2."""
    net = make_net((1,), classes=1)
    net.layers[0].weights[:], net.layers[0].biases[:] = -3.0, 1.0
    weights, biases = make_learner(net, RULE).compute_gradients(np.array([[2.0]]), np.array([[1.0]]))
    assert weights.item() == pytest.approx(-0.3, rel=1e-14)
    assert biases.item() == pytest.approx(-0.15, rel=1e-14)
