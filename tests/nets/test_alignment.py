"""Angles between the updates of two rules: by hand, by the rules' theorems, and without any trace
in the network measured."""

import math

import numpy as np
import pytest

from core.backend import select_backend
from core.roles import Watcher
from datasets.samples import Images, divided_table
from gait.alignment import Alignment, alignment, batch_update
from inv_net import TowerInvNet
from rules import RULES
from tests.nets_for_tests import SQUARE, TOWER, make_batch, make_learner, make_net
from utils import LEAKY_RELU, LINEAR

BP = RULES["BP"], RULES["BP"].Options()


def chosen(name, **options):
    return RULES[name], RULES[name].Options(**options)


def degrees(net, rule, batch):
    return [float(each) for each in alignment(net, rule, BP, *batch)]


def samples_for(net, count=7):
    random = np.random.default_rng(2)
    images = random.integers(0, 256, (count, net.layers[0].size)).astype(np.uint8)
    labels, backend = random.integers(0, net.classes, count), select_backend("numpy")
    return Images(images, labels, divided_table(255, backend.dtype), backend, "one_hot", net.classes)


@pytest.mark.parametrize("rule", RULES)
def test_two_layers_worked_out_by_hand(rule):
    """h = (1, 2), then (1, 2), then (2, 2); target (1, 1).  The error (1, 1) goes down by W^T = diag(2, 1) to (2,
    1) in BP, by W^-1 to (1/2, 1) in TP and GAIT: their cosine is 2 / (sqrt(5/4) sqrt(5)) = 0.8.  Weights and
    biases together multiply the products of both layers by |h|^2 + 1 = 6, so that of the network is (2 + 2) /
    sqrt((5/4 + 2) (5 + 2))."""
    net = TowerInvNet([np.eye(2), np.diag([2.0, 1.0])], [np.zeros(2), np.zeros(2)], LINEAR, 2)
    batch = np.array([[1.0, 2.0]]), np.array([[1.0, 1.0]])
    cosines = [1.0, 1.0, 1.0] if rule == "BP" else [0.8, 1.0, 4 / math.sqrt(3.25 * 7)]
    expected = [math.degrees(math.acos(cosine)) for cosine in cosines]
    np.testing.assert_allclose(degrees(net, chosen(rule), batch), expected, atol=1e-12)


@pytest.mark.parametrize("sizes", [SQUARE, TOWER])
@pytest.mark.parametrize("rule", RULES)
def test_the_update_is_the_one_that_the_learner_follows(rule, sizes):
    net = make_net(sizes)
    inputs, target = make_batch(net)
    expected = make_learner(net, RULES[rule]).compute_gradients(inputs, target)
    found = batch_update(net, *chosen(rule), net.forward(inputs, auxiliary=False), target)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("sizes", [SQUARE, TOWER])
def test_where_the_rules_are_backpropagation(sizes):
    """BP always; GAIT with orthogonal weights; TP with orthogonal weights and linear units; each in its last layer."""
    net, linear, skewed = make_net(sizes), make_net(sizes, LINEAR), make_net(sizes, init="xavier")
    batch = make_batch(net)
    assert degrees(net, BP, batch) == [0.0] * 4
    assert max(degrees(net, chosen("GAIT", gamma=1e-9), batch)) < 1e-10
    assert max(degrees(linear, chosen("TP"), batch)) < 1e-10
    for rule in ("GAIT", "TP"):
        *below, last, _ = degrees(skewed, chosen(rule), batch)
        assert min(below) > 1.0 and last < 1e-10


def test_the_columns_name_every_layer_and_looks_at_the_first_samples():
    net = make_net(init="xavier")
    samples = samples_for(net)
    row = Alignment(chosen("TP"), BP, samples, 4).row(net, 0)
    assert list(row) == ["bp_angle_0", "bp_angle_1", "bp_angle_2", "bp_angle"]
    assert list(row.values()) == degrees(net, chosen("TP"), samples.batch(slice(4)))
    assert all(type(value) is float for value in row.values())


@pytest.mark.parametrize("rule", RULES)
def test_a_measured_learner_learns_the_same(rule):
    """Bit for bit, the Gram matrix that the regulariser leaves with the layers included."""
    nets = [make_net(), make_net()]
    batch = make_batch(nets[0])
    for net, measured in zip(nets, (True, False), strict=True):
        learner = make_learner(net, RULES[rule], strength=0.1, learning_rate=0.01)
        watcher = Alignment(chosen(rule), BP, samples_for(net), 5) if measured else Watcher()
        for _ in range(3):
            watcher.row(net, 0)
            learner.step(*batch)
            watcher.row(net, 0)
    for one, other in zip(*(net.parameters for net in nets), strict=True):
        np.testing.assert_array_equal(one, other)


def test_without_an_inverse_there_is_no_angle_and_no_mark_is_left():
    """The run stops by itself if it needs the inverse; after its last batch it does not."""
    net = make_net()
    net.layers[-1].weights[...] = 0.0
    net.weights_changed()
    assert all(math.isnan(value) for value in Alignment(chosen("TP"), BP, samples_for(net), 4).row(net, 0).values())
    net.check_solved()


def test_an_update_of_zero_has_no_direction():
    """Perfect outputs: rows of zeros but for the last layer's biases, which are the one-hot target."""
    net = make_net(classes=2)
    for p in net.parameters:
        p[...] = 0.0
    net.layers[-1].biases[0] = 1.0
    net.weights_changed()
    samples = samples_for(net)
    samples.labels[:] = 0
    assert all(math.isnan(value) for value in Alignment(BP, BP, samples, 4).row(net, 0).values())


@pytest.mark.parametrize("rule", RULES)
def test_the_float_type_is_the_networks(rule):
    net = make_net(transfer=LEAKY_RELU, dtype="float32")
    inputs, target = make_batch(net)
    found = [
        *batch_update(net, *chosen(rule), net.forward(inputs), target),
        *alignment(net, chosen(rule), BP, inputs, target),
    ]
    assert {each.dtype.name for each in found} == {"float32"}
