"""GAIT-prop against its theorem (equal to BP for orthogonal weights) and against exact rational arithmetic."""

from fractions import Fraction

import numpy as np
import pytest

from rules import backprop, gait
from tests.nets_for_tests import difference, make_batch, make_net
from utils import LEAKY_RELU, LINEAR

HIDDEN = 20


def errors(module, net, inputs, target, **options):
    trace = net.forward(inputs, auxiliary=False)
    return module.layer_errors(net, trace, target, module.RULE.Options(**options))


def assert_no_unit_near_its_kink(net, inputs, target, gamma):
    """The theorem needs it: the move of a unit, gamma^(L-l+1) f'^2 |d|, must not reach across zero."""
    trace = net.forward(inputs, auxiliary=False)
    bp = backprop.layer_errors(net, trace, target, None)
    for distance, (h, delta) in enumerate(zip(trace[:0:-1], bp[::-1], strict=True)):
        assert (np.abs(h[:, : delta.shape[1]]) > 2 * gamma ** (distance + 1) * np.abs(delta)).all()


@pytest.mark.parametrize("gram_known", (False, True), ids=("direct", "gram"))
@pytest.mark.parametrize("dtype, tolerance", (("float64", 1e-9), ("float32", 1e-4)))
@pytest.mark.parametrize("sizes", ((24,) * (HIDDEN + 1), (30,) * 7 + (20,) * 7 + (9,) * 7), ids=("square", "tower"))
def test_equals_backprop_for_orthogonal_weights_at_20_hidden_layers(sizes, dtype, tolerance, gram_known):
    net = make_net(sizes, dtype=dtype, seed=11)
    inputs, target = make_batch(net, samples=5)
    assert_no_unit_near_its_kink(net, inputs, target, 1e-3)
    if gram_known:
        for layer in net.layers:
            layer.gram()
    pairs = zip(errors(gait, net, inputs, target), errors(backprop, net, inputs, target), strict=True)
    for found, expected in pairs:
        assert found.dtype == dtype
        assert difference(found, expected) < tolerance


def test_differs_from_backprop_for_weights_far_from_orthogonal():
    """The inverse is not the transpose: without this, GAIT could be BP by mistake and pass the theorem."""
    net = make_net((24,) * 4, init="xavier")
    inputs, target = make_batch(net)
    assert difference(errors(gait, net, inputs, target)[0], errors(backprop, net, inputs, target)[0]) > 0.1


def exact_errors(net, inputs, target, gamma):
    """The published formula for one sample in rational arithmetic, where nothing cancels."""
    slope_below = Fraction(net.transfer.negative_slope)
    gamma, fraction = Fraction(gamma), np.vectorize(Fraction, otypes=[object])
    weights = [fraction(layer.weights) for layer in net.layers]
    biases = [fraction(layer.biases) for layer in net.layers]
    slope = np.vectorize(lambda y: Fraction(1) if y >= 0 else slope_below, otypes=[object])
    trace = [fraction(inputs[0])]
    for w, b in zip(weights, biases, strict=True):
        z = trace[-1] @ w + b
        trace.append(z * slope(z))
    found, moved = [], np.concatenate([fraction(target[0]), trace[-1][len(target[0]) :]])
    for l in range(len(weights), 0, -1):
        h = trace[l]
        found.append(slope(h) * (h - moved) / gamma ** (len(weights) - l))
        step = gamma * slope(h) ** 2
        y = (1 - step) * h + step * moved
        moved = solve_exactly(weights[l - 1], y / slope(y) - biases[l - 1])
    return [np.array(delta, dtype=float)[None] for delta in found[::-1]]


def solve_exactly(matrix, row):
    """x with x @ matrix = row, by elimination on Fractions."""
    size = len(row)
    table = [[*matrix[:, i], row[i]] for i in range(size)]
    for column in range(size):
        pivot = next(i for i in range(column, size) if table[i][column] != 0)
        table[column], table[pivot] = table[pivot], table[column]
        table[column] = [value / table[column][column] for value in table[column]]
        for i in range(size):
            if i != column:
                table[i] = [a - table[i][column] * b for a, b in zip(table[i], table[column], strict=True)]
    return np.array([line[-1] for line in table], dtype=object)


@pytest.mark.parametrize("gamma", (1e-3, 0.3))
@pytest.mark.parametrize("transfer", (LEAKY_RELU, LINEAR), ids=lambda t: t.name)
@pytest.mark.parametrize("init", ("orthogonal", "xavier"))
def test_difference_form_is_the_published_formula_in_exact_arithmetic(init, transfer, gamma):
    """Six layers deep the formula as published has no digit left in float64; gamma = 0.3 makes
    units cross their kink."""
    net = make_net((4,) * 6, transfer, classes=3, init=init, seed=8)
    crossed = 0
    for seed in range(4):
        inputs, target = make_batch(net, samples=1, seed=seed)
        expected = exact_errors(net, inputs, target, gamma)
        for found, exact in zip(errors(gait, net, inputs, target, gamma=gamma), expected, strict=True):
            assert difference(found, exact[:, : found.shape[1]]) < 1e-9
        bp = errors(backprop, net, inputs, target)
        crossed += transfer is LEAKY_RELU and init == "orthogonal" and difference(bp[0], expected[0]) > 1e-6
    assert crossed > 0 or not (transfer is LEAKY_RELU and init == "orthogonal" and gamma == 0.3)


def test_a_unit_that_crosses_its_kink_is_taken_exactly():
    """h = 0.25 moves by -1 to -0.75: f^-1 goes from 0.25 to -7.5, over a step of 1; and h = -0.25 by
    +1: from -2.5 to 0.75."""
    change = LEAKY_RELU.inverse_change(np.array([0.25, -0.25]), np.array([1.0, -1.0]), 1.0)
    np.testing.assert_allclose(change, [7.75, -3.25], rtol=1e-14)


def test_a_unit_at_zero_in_float32_far_below_the_smallest_step():
    """gamma^21 is no float32: a unit exactly at its kink still leaves on the side it is pushed to."""
    change = LEAKY_RELU.inverse_change(np.zeros(2, np.float32), np.array([1.0, -1.0], np.float32), 1e-63)
    np.testing.assert_allclose(change, [10.0, -1.0], rtol=1e-6)
    assert change.dtype == np.float32


def test_absolute_form_loses_the_digits_that_the_difference_form_keeps():
    """The reason for the difference form: at 5 hidden layers the published formula is wrong by more than its value."""
    net = make_net((40,) * 6, seed=2)
    inputs, target = make_batch(net)
    expected = errors(backprop, net, inputs, target)[0]
    assert difference(errors(gait, net, inputs, target)[0], expected) < 1e-9
    assert difference(errors(gait, net, inputs, target, target_form="absolute")[0], expected) > 1.0
