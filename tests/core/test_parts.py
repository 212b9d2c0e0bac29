"""Streams, initial weights, regulariser, workers, samples, evaluation, transfer functions."""

import itertools
import threading

import numpy as np
import pytest

from core.backend import Workers, select_backend, shares, to_host
from core.machine import default_count
from core.streams import PURPOSES, haar_orthogonal, stream, xavier_normal
from datasets.samples import Images, divided_table
from gait.evaluation import evaluate
from gait.gradients import OrthogonalRegulariser
from run import Options, build_net
from tests.nets_for_tests import make_net
from utils import LEAKY_RELU, LINEAR, count_correct, one_hot, squared_error


def matrices(seed, layers, init):
    options = Options(seed=seed, nb_layers=layers, init=init, orthogonal_reg=0.1)
    return [layer.weights for layer in build_net(options, 20, 10, select_backend("numpy")).layers]


@pytest.mark.parametrize("init", ("orthogonal", "xavier"))
def test_no_two_layers_or_seeds_share_a_matrix(init):
    """The published program gave the output layer its predecessor's seed, and layer n of seed s was
    layer n-1 of seed s+1."""
    every = [w for seed in range(4) for w in matrices(seed, 3, init)]
    assert all(np.abs(a - b).max() > 0.01 for a, b in itertools.combinations(every, 2))


def test_another_layer_changes_no_other_draw():
    for one, two in zip(matrices(1, 2, "xavier"), matrices(1, 5, "xavier"), strict=False):
        np.testing.assert_array_equal(one, two)


def test_float32_starts_from_the_rounded_float64_weights():
    double = build_net(Options(), 20, 10, select_backend("numpy")).layers[0].weights
    single = build_net(Options(), 20, 10, select_backend("numpy", 0, "float32")).layers[0].weights
    np.testing.assert_array_equal(double.astype("float32"), single)


def test_streams_are_independent_of_each_other():
    draws = [stream(seed, purpose, i).random(4) for seed in range(3) for purpose in PURPOSES for i in range(3)]
    assert len({tuple(draw) for draw in draws}) == len(draws)
    np.testing.assert_array_equal(stream(5, "init", 2).random(4), stream(5, "init", 2).random(4))


def test_purposes_keep_their_place():
    """The place is the key: a purpose put in between would change every number of all later ones."""
    assert PURPOSES[:5] == ("init", "feedback", "data", "shuffle", "noise")


def test_haar_matrices_are_orthogonal_and_have_no_preferred_sign():
    """Without the signs of R the diagonal of Q is negative far more often than not (Mezzadri 2007)."""
    matrices = [haar_orthogonal(stream(s, "init"), 6, 6) for s in range(200)]
    for q in matrices:
        np.testing.assert_allclose(q @ q.T, np.eye(6), atol=1e-14)
    signs = np.mean([np.diag(q)[:-1] > 0 for q in matrices])
    assert abs(signs - 0.5) < 5 * 0.5 / np.sqrt(1000)
    entries = np.concatenate([q.ravel() for q in matrices])
    assert np.mean(entries**2) == pytest.approx(1 / 6)
    with pytest.raises(ValueError, match="square"):
        haar_orthogonal(stream(0, "init"), 3, 4)


def test_xavier_variance():
    w = xavier_normal(stream(0, "init"), 300, 100)
    assert w.var() == pytest.approx(2 / 400, rel=0.02)
    assert abs(w.mean()) < 5 * np.sqrt(2 / 400 / w.size)


@pytest.mark.parametrize("unit_rows", (False, True))
def test_the_regularisers_gradient_is_the_central_difference_of_its_penalty(unit_rows):
    layer = make_net((6,), init="xavier").layers[0]
    regulariser = OrthogonalRegulariser(0.7, unit_rows)
    found = np.empty((6, 6))
    for rows in (slice(0, 2), slice(2, 6)):
        regulariser.gradient(layer, (rows,), found[rows])
    for entry in np.ndindex(6, 6):
        values = []
        for step in (1e-6, -2e-6, 1e-6):
            layer.weights[entry] += step
            layer.weights_changed()
            values.append(regulariser.penalty(layer))
        assert found[entry] == pytest.approx((values[0] - values[1]) / 2e-6, rel=1e-7, abs=1e-8)


def test_the_regulariser_by_hand_and_the_length_of_rows_is_free():
    layer = make_net((2,), classes=2).layers[0]
    # G is ((1, 1), (1, 5)), the penalty 2, and R = 4 ((0, 1), (1, 0)) W.
    layer.weights[:] = [[1.0, 0.0], [1.0, 2.0]]
    layer.weights_changed()
    regulariser, out = OrthogonalRegulariser(0.5), np.empty((2, 2))
    assert regulariser.penalty(layer) == 1.0
    regulariser.gradient(layer, (slice(None),), out)
    np.testing.assert_array_equal(out, [[2.0, 4.0], [2.0, 0.0]])
    layer.weights[:] = [[0.0, 3.0], [5.0, 0.0]]
    layer.weights_changed()
    assert regulariser.penalty(layer) == 0.0
    assert not OrthogonalRegulariser(0.0) and regulariser


def test_the_regulariser_of_unit_rows_by_hand():
    layer = make_net((2,), classes=2).layers[0]
    # G - 1 is ((0, 1), (1, 4)), its squares add up to 18, and R = 4 (G - 1) W = 4 ((1, 2), (5, 8)).
    layer.weights[:] = [[1.0, 0.0], [1.0, 2.0]]
    layer.weights_changed()
    regulariser, out = OrthogonalRegulariser(0.5, unit_rows=True), np.empty((2, 2))
    assert regulariser.penalty(layer) == 9.0
    for row in (0, 1):
        regulariser.gradient(layer, (slice(row, row + 1),), out[row : row + 1])
    np.testing.assert_array_equal(out, [[2.0, 4.0], [10.0, 16.0]])
    layer.weights[:] = [[0.0, 1.0], [-1.0, 0.0]]
    layer.weights_changed()
    assert regulariser.penalty(layer) == 0.0


@pytest.mark.parametrize("count", (1, 2, 3))
def test_workers_keep_order_and_hand_on_errors(count):
    def work(i):
        if i == 13:
            raise RuntimeError("thirteen")
        return i * i

    with Workers(count) as workers:
        assert workers.map(work, range(12)) == [i * i for i in range(12)]
        assert workers.map(work, []) == []
        with pytest.raises(RuntimeError, match="thirteen"):
            workers.map(work, range(20))
        assert workers.map(work, range(5)) == [0, 1, 4, 9, 16]


def test_two_workers_work_at_the_same_time():
    meeting = threading.Barrier(2, timeout=10)
    with Workers(2) as workers:
        assert sorted(workers.map(lambda i: meeting.wait(), range(2))) == [0, 1]


def test_passes_that_are_too_small_stay_whole():
    """A controller's two passes of 128 images through 784-256-256-256-10 are divided, through 15-10-10-5 not."""
    networks = (784, 256, 256, 256, 10), (15, 10, 10, 5)
    published, toy = (2 * 2 * 128 * sum(a * b for a, b in itertools.pairwise(sizes)) for sizes in networks)
    with Workers(2) as two, Workers(2, least=0) as always, Workers() as one:
        assert [two.pieces(published), two.pieces(toy)] == [2, 1]
        assert [always.pieces(published), always.pieces(toy)] == [2, 2]
        assert [one.pieces(published), one.pieces(toy)] == [1, 1]


def test_as_many_threads_work_as_are_asked_for():
    with Workers(2) as workers:
        assert set(workers.map(lambda i: threading.get_ident(), range(50), 1)) == {threading.get_ident()}
        meeting = threading.Barrier(2, timeout=10)
        assert sorted(workers.map(lambda i: meeting.wait(), range(2), 3)) == [0, 1]


def test_workers_keep_blas_in_one_thread_and_give_it_back():
    info = pytest.importorskip("threadpoolctl").threadpool_info
    blas = lambda: [pool["num_threads"] for pool in info() if pool["user_api"] == "blas"]  # noqa: E731
    before = blas()
    with Workers(2):
        assert set(blas()) == {1}
    assert blas() == before


def test_without_threadpoolctl_one_thread_is_used(monkeypatch):
    """BLAS then splits its products itself; two layers of threads would fight."""
    import sys

    monkeypatch.setitem(sys.modules, "threadpoolctl", None)
    assert default_count() == 1
    with Workers(default_count()) as workers:
        assert workers.map(abs, [-1, 2]) == [1, 2]


@pytest.mark.parametrize("total, count", ((10, 3), (2, 5), (60, 2), (1, 1), (7, 7)))
def test_shares_cover_everything_once(total, count):
    found = shares(total, count)
    assert [i for part in found for i in range(total)[part]] == list(range(total))
    sizes = [part.stop - part.start for part in found]
    assert max(sizes) - min(sizes) <= 1 and min(sizes) >= 1 and len(found) == min(total, count)


def test_samples_are_scaled_and_one_hot():
    images = np.array([[0, 51], [255, 102]], dtype=np.uint8)
    backend = select_backend("numpy", 0, "float32")
    samples = Images(images, np.array([2, 0]), divided_table(255, backend.dtype), backend, "one_hot", 3)
    inputs, target = samples.batch(slice(1, 2))
    assert inputs.dtype == target.dtype == np.float32 and samples.pixels.dtype == np.uint8
    np.testing.assert_array_equal(inputs, np.float32([[1.0, 0.4]]))
    np.testing.assert_array_equal(target, [[1, 0, 0]])
    assert len(samples) == 2


@pytest.mark.parametrize("threads", (1, 2))
@pytest.mark.parametrize("count", (7, 2500))
def test_evaluation_is_the_plain_average_over_samples(count, threads):
    """In chunks of 1000 and a shorter rest: every sample counts once and alike."""
    random = np.random.default_rng(0)
    net = make_net((12, 12), classes=4)
    images, labels = random.integers(0, 256, (count, 12)).astype(np.uint8), random.integers(0, 4, count)
    samples = Images(images, labels, divided_table(255, np.float64), select_backend("numpy"), "one_hot", 4)
    with Workers(threads) as workers:
        accuracy, loss = evaluate(net, samples, workers)
    correct, total = 0, 0.0
    for image, label in zip(images, labels, strict=True):
        output = net.forward(image[None] / 255.0)[-1][0, :4]
        correct += int(np.argmax(output)) == label
        total += 0.5 * sum((output[k] - (k == label)) ** 2 for k in range(4))
    assert accuracy == correct / count
    assert loss == pytest.approx(total / count, rel=1e-12)


def test_transfer_functions():
    z = np.array([-2.0, -0.0, 0.0, 3.0])
    np.testing.assert_allclose(LEAKY_RELU.apply(z.copy()), [-0.2, 0.0, 0.0, 3.0], rtol=1e-15)
    np.testing.assert_array_equal(LEAKY_RELU.slope(np.array([-0.2, -0.0, 0.0, 3.0])), [0.1, 1.0, 1.0, 1.0])
    np.testing.assert_allclose(LEAKY_RELU.inverse(LEAKY_RELU.apply(z.copy())), z, rtol=1e-15)
    for f in (LINEAR.apply, LINEAR.inverse):
        np.testing.assert_array_equal(f(z.copy()), z)
    np.testing.assert_array_equal(LINEAR.slope(z), 1.0)
    for transfer in (LEAKY_RELU, LINEAR):
        single = z.astype(np.float32)
        results = transfer.slope(single), transfer.inverse(single), transfer.inverse_change(single, single, 0.1)
        assert {r.dtype for r in results} == {np.dtype("float32")}


def test_loss_and_accuracy_by_hand():
    output, labels = np.array([[0.5, 0.5], [0.0, 1.0]]), np.array([0, 0])
    assert squared_error(output, one_hot(labels, 2, "float64")) == 0.5 * (0.25 + 0.25 + 1 + 1)
    # The first of equal outputs wins.
    assert count_correct(output, labels) == 1


def test_to_host_takes_numbers_and_arrays():
    array = np.ones(3)
    assert to_host(array) is array
    assert to_host(3).shape == ()
