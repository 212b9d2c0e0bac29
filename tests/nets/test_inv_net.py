"""Networks: what goes up comes down again."""

import numpy as np
import pytest

import inv_layer
from inv_layer import InvLayer, SingularWeights, solve_gram
from inv_net import SquareInvNet, TowerInvNet, layer_sizes
from tests.nets_for_tests import SQUARE, TOWER, difference, make_batch, make_net
from utils import LEAKY_RELU, LINEAR


@pytest.mark.parametrize("transfer", (LEAKY_RELU, LINEAR), ids=lambda t: t.name)
@pytest.mark.parametrize("init", ("orthogonal", "xavier"))
@pytest.mark.parametrize("sizes", (SQUARE, TOWER))
def test_inverse_after_forward_is_the_identity(sizes, init, transfer):
    net = make_net(sizes, transfer, init=init)
    inputs, _ = make_batch(net)
    trace = net.forward(inputs)
    for layer, below, above in zip(net.layers, trace[:-1], trace[1:], strict=True):
        np.testing.assert_allclose(layer.inverse(above), below[:, : layer.size], rtol=1e-9, atol=1e-11)
        np.testing.assert_allclose(layer.forward(layer.inverse(above)), above, rtol=1e-9, atol=1e-11)


def test_a_layer_by_hand():
    """h = f(x W + b) with x = (1, 2), W = ((1, 2), (-3, 4)), b = (1, -20): z = (-4, -10), h = (-0.4, -1)."""
    layer = InvLayer(np.array([[1.0, 2.0], [-3.0, 4.0]]), np.array([1.0, -20.0]), LEAKY_RELU)
    np.testing.assert_allclose(layer.forward(np.array([[1.0, 2.0]])), [[-0.4, -1.0]], rtol=1e-14)
    np.testing.assert_allclose(layer.transpose_product(np.array([[1.0, 0.0]])), [[1.0, -3.0]])
    # The rows are short, so that zeros follow.
    np.testing.assert_allclose(layer.transpose_product(np.array([[2.0]])), [[2.0, -6.0]])
    # (1, 0) W^-1 with W^-1 = ((4, -2), (3, 1)) / 10
    np.testing.assert_allclose(layer.solve(np.array([[1.0, 0.0]])), [[0.4, -0.2]], rtol=1e-14)
    np.testing.assert_allclose(layer.solve(np.array([[1.0], [2.0]])), [[0.4, -0.2], [0.8, -0.4]], rtol=1e-14)


def test_a_tower_reads_the_first_units_only():
    net = make_net(TOWER)
    inputs, _ = make_batch(net)
    trace = net.forward(inputs)
    assert [h.shape[1] for h in trace] == [12, 12, 7, 4]
    assert net.active == [7, 4, 4]
    changed = trace[1].copy()
    changed[:, net.active[0] :] += 1.0
    np.testing.assert_array_equal(net.layers[1].forward(changed), trace[2])


def test_class_outputs_alone_equal_those_of_the_full_pass():
    net = make_net()
    inputs, _ = make_batch(net)
    full, short = net.forward(inputs), net.forward(inputs, auxiliary=False)
    np.testing.assert_allclose(short[-1], full[-1][:, : net.classes], rtol=1e-13)
    np.testing.assert_array_equal(net.complete(short)[-1], full[-1])
    assert net.complete(full) is full


def test_published_structures():
    assert layer_sizes(True, 784, 1) == [784, 500, 200, 10]
    assert layer_sizes(False, 784, 4) == [784] * 5


def test_structures_that_cannot_be():
    make = lambda n: np.eye(n)  # noqa: E731
    with pytest.raises(ValueError, match="must not grow"):
        TowerInvNet([make(3), make(4)], [np.zeros(3), np.zeros(4)], LINEAR, 3)
    with pytest.raises(ValueError, match="below the 10 classes"):
        TowerInvNet([make(12), make(9)], [np.zeros(12), np.zeros(9)], LINEAR, 10)
    with pytest.raises(ValueError, match="one size"):
        SquareInvNet([make(4), make(3)], [np.zeros(4), np.zeros(3)], LINEAR, 3)


def test_the_gram_matrix_follows_the_weights():
    """A stale Gram matrix would invert the weights of an earlier step."""
    layer = make_net(init="xavier").layers[0]
    for _ in range(2):
        off, diagonal = layer.gram()
        gram = layer.weights @ layer.weights.T
        np.testing.assert_allclose(off + np.diag(diagonal), gram, rtol=1e-13, atol=1e-15)
        np.testing.assert_array_equal(np.diag(off), 0.0)
        layer.weights *= 1.5
        layer.weights_changed()


def test_a_known_gram_matrix_is_not_used_for_new_weights():
    layer = make_net().layers[0]
    layer.gram()
    layer.weights *= 2.0
    layer.weights_changed()
    rows = np.eye(layer.size)
    np.testing.assert_allclose(layer.solve(rows) @ layer.weights, rows, atol=1e-12)


@pytest.mark.parametrize("dtype, tolerance", (("float64", 1e-13), ("float32", 1e-5)))
@pytest.mark.parametrize("columns", (3, 40))
def test_both_solvers_agree_for_nearly_orthogonal_weights(columns, dtype, tolerance, monkeypatch):
    random = np.random.default_rng(4)
    net = make_net((40,), dtype=dtype)
    layer = net.layers[0]
    layer.weights += (0.003 * random.standard_normal((40, 40))).astype(dtype)
    # The regulariser leaves the rows' lengths free.
    layer.weights *= (1 + 0.3 * random.random((40, 1))).astype(dtype)
    layer.weights_changed()
    rows = random.standard_normal((6, columns)).astype(dtype)
    direct = layer.solve(rows)
    layer.gram()
    # The Gram route has to do without.
    monkeypatch.setattr(np.linalg, "solve", None)
    through_gram = layer.solve(rows)
    assert through_gram.dtype == dtype
    assert difference(through_gram, direct) < tolerance
    padded = np.zeros((6, 40))
    padded[:, :columns] = rows
    assert difference(direct.astype("float64") @ layer.weights, padded) < tolerance


def test_the_gram_route_gives_up_far_from_orthogonality(monkeypatch):
    """There the product of condition numbers would cost digits and time: the direct solve takes over at once."""
    layer = make_net((40,), init="xavier").layers[0]
    off, diagonal = layer.gram()
    products = []

    class Counted:
        __array_ufunc__ = None

        def __rmatmul__(self, rows):
            products.append(1)
            return rows @ off

    rows = np.random.default_rng(0).standard_normal((6, 40))
    assert solve_gram(Counted(), diagonal, rows) is None
    assert len(products) <= 2
    assert difference(layer.solve(rows) @ layer.weights, rows) < 1e-11


def test_solve_gram_takes_rows_of_zeros_and_refuses_nan():
    layer = make_net().layers[0]
    layer.weights[0, 1] += 0.01
    layer.weights_changed()
    rows = np.zeros((2, layer.size))
    rows[1, 2] = 1.0
    solution = solve_gram(*layer.gram(), rows)
    np.testing.assert_array_equal(solution[0], 0.0)
    np.testing.assert_allclose(solution[1] @ layer.weights @ layer.weights.T, rows[1], atol=1e-14)
    rows[0] = np.nan
    assert solve_gram(*layer.gram(), rows) is None


def test_singular_weights_name_the_layer():
    net = make_net()
    net.layers[1].weights[:] = 0.0
    net.weights_changed()
    with pytest.raises(SingularWeights, match="layer 1 has no inverse"):
        net.layers[1].solve(np.ones((2, 9)))


def test_a_silent_singular_solve_is_found_at_the_next_check(monkeypatch):
    """cupy returns NaN where numpy raises; the mark is read by check_solved, and then forgotten."""
    net = make_net()
    monkeypatch.setattr(np.linalg, "solve", lambda a, b: b * np.nan)
    net.layers[2].solve(np.ones((2, 9)))
    net.layers[2].solve(np.ones((2, 9)))
    with pytest.raises(SingularWeights, match="layer 2 has no inverse"):
        net.check_solved()
    net.check_solved()


def test_rows_that_were_not_finite_do_not_blame_the_weights():
    net = make_net()
    net.layers[0].solve(np.full((2, 9), np.nan))
    net.check_solved()


def test_parameters_are_the_arrays_themselves():
    net = make_net()
    net.parameters[0][:] = 7.0
    net.parameters[3][:] = 8.0
    assert (net.layers[0].weights == 7.0).all() and (net.layers[1].biases == 8.0).all()
    assert inv_layer.InvLayer is type(net.layers[0])
