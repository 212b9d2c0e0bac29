"""TP against BP where they must agree, and against the definition of its targets."""

import numpy as np
import pytest

from rules import backprop, target_prop
from rules._rule import NoOptions
from tests.nets_for_tests import SQUARE, TOWER, difference, make_batch, make_net
from utils import LINEAR


@pytest.mark.parametrize("sizes", (SQUARE, TOWER, (16,) * 8))
def test_equals_backprop_for_linear_orthogonal_networks(sizes):
    net = make_net(sizes, LINEAR)
    inputs, target = make_batch(net)
    trace = net.forward(inputs, auxiliary=False)
    expected = backprop.layer_errors(net, trace, target, NoOptions())
    for found, bp in zip(target_prop.layer_errors(net, trace, target, NoOptions()), expected, strict=True):
        assert difference(found, bp) < 1e-12


@pytest.mark.parametrize("sizes", (SQUARE, TOWER))
def test_each_target_is_mapped_onto_the_target_above(sizes):
    """forward_l(t_{l-1}) = t_l, wherever t_{l-1} came from."""
    net = make_net(sizes, init="xavier")
    inputs, target = make_batch(net)
    found = target_prop.targets(net, net.forward(inputs), target)
    for layer, below, above in zip(net.layers[1:], found[:-1], found[1:], strict=True):
        np.testing.assert_allclose(layer.forward(below), above, rtol=1e-10, atol=1e-10)
    np.testing.assert_array_equal(found[-1][:, : net.classes], target)


def test_the_right_output_has_no_error():
    net = make_net(init="xavier")
    inputs, _ = make_batch(net)
    trace = net.forward(inputs)
    for delta in target_prop.layer_errors(net, trace, trace[-1][:, : net.classes], NoOptions()):
        assert np.abs(delta).max() < 1e-12
