"""Optimisers against their recurrences, written out."""

import numpy as np
import pytest

from core.backend import Workers, select_backend, shares
from core.optimisers import OPTIMISERS, SGD, Adam, Optimiser, RMSprop
from dfc.build import build_system
from dfc.draws import Draws
from main import parse


def written_out(p, gradients, lr, beta1, beta2, epsilon, correct, decay=0.0):
    """Kingma and Ba 2015, algorithm 1, entry by entry; without the two corrections unless `correct`."""
    m = v = 0.0
    for k, g in enumerate(gradients, start=1):
        g = g + decay * p
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g * g
        m_hat, v_hat = (m / (1 - beta1**k), v / (1 - beta2**k)) if correct else (m, v)
        p = p - lr * m_hat / (np.sqrt(v_hat) + epsilon)
    return p


def sgd_written_out(p, gradients, lr, momentum, decay):
    b = 0.0
    for g in gradients:
        b = momentum * b + g + decay * p
        p = p - lr * b
    return p


def rmsprop_written_out(p, gradients, lr, momentum, decay, alpha, epsilon):
    """dfc.md E: centred, epsilon outside of the root."""
    s = a = b = 0.0
    for g in gradients:
        g = g + decay * p
        s = alpha * s + (1 - alpha) * g**2
        a = alpha * a + (1 - alpha) * g
        b = momentum * b + g / (np.sqrt(s - a**2) + epsilon)
        p = p - lr * b
    return p


KINDS = {
    "sgd": lambda p: SGD(p, 0.1),
    "sgd momentum": lambda p: SGD(p, 0.1, 0.9, 0.02),
    "rmsprop": lambda p: RMSprop(p, 0.1),
    "rmsprop momentum": lambda p: RMSprop(p, 0.1, 0.5, 0.02),
    "adam": lambda p: Adam(p, 0.1),
    "adam corrected": lambda p: Adam(p, 0.1, bias_correction=True, weight_decay=0.02),
}
every_kind = pytest.mark.parametrize("make", KINDS.values(), ids=KINDS)


def draw(seed=0, steps=7, shapes=((5, 4), (4,))):
    """(parameters, a list of gradients a step)."""
    random = np.random.default_rng(seed)
    return [random.standard_normal(s) for s in shapes], [
        [random.standard_normal(s) for s in shapes] for _ in range(steps)
    ]


def assert_follows(optimiser, start, gradients, expected):
    """After all steps parameter `index` is expected(index, its start, its gradients)."""
    for each in gradients:
        optimiser.step(each)
    for index, p in enumerate(optimiser.parameters):
        np.testing.assert_allclose(p, expected(index, start[index], [g[index] for g in gradients]), rtol=1e-12)


@pytest.mark.parametrize("correct", (False, True))
@pytest.mark.parametrize("epsilon", (1e-8, 0.1))
def test_adam_is_its_recurrence(correct, epsilon):
    start, gradients = draw()
    parameters = [p.copy() for p in start]
    adam = Adam(parameters, 0.01, 0.8, 0.95, epsilon, correct)
    for each in gradients:
        adam.step(each)
    for index, p in enumerate(parameters):
        expected = written_out(start[index], [g[index] for g in gradients], 0.01, 0.8, 0.95, epsilon, correct)
        np.testing.assert_allclose(p, expected, rtol=1e-13)


def test_the_first_step_by_hand():
    """g = 2: m = 0.2, v = 0.04, p = 1 - 0.5 * 0.2 / (0.2 + 1e-8), as in gait.md 2."""
    p = np.array([1.0])
    Adam([p], 0.5).step([np.array([2.0])])
    assert p[0] == pytest.approx(1 - 0.5 * 0.2 / (0.2 + 1e-8), rel=1e-15)


def test_the_first_corrected_step_by_hand():
    """g = 2: m / (1 - beta1) = 2, sqrt(v) / sqrt(1 - beta2) = 2, so p = 1 - 0.5 * 2 / (2 + 0.1), as in dfc.md E."""
    p = np.array([1.0])
    Adam([p], 0.5, 0.99, 0.99, 0.1, True).step([np.array([2.0])])
    assert p[0] == pytest.approx(1 - 0.5 * 2 / 2.1, rel=1e-14)


@pytest.mark.parametrize("momentum", (0.0, 0.9))
@pytest.mark.parametrize("decay", (0.0, 0.3))
def test_sgd_and_rmsprop_are_their_recurrences(momentum, decay):
    start, gradients = draw()
    sgd = SGD([p.copy() for p in start], 0.1, momentum, decay)
    assert_follows(sgd, start, gradients, lambda i, p, g: sgd_written_out(p, g, 0.1, momentum, decay))
    rmsprop = RMSprop([p.copy() for p in start], 0.1, momentum, decay, 0.8, 0.2)
    assert_follows(rmsprop, start, gradients, lambda i, p, g: rmsprop_written_out(p, g, 0.1, momentum, decay, 0.8, 0.2))


def test_two_steps_of_sgd_by_hand():
    """lr 0.5, momentum 0.5, decay 0.1, g = 1: b = 1.2, p = 2 - 0.6; then b = 0.6 + 1.14, p = 1.4 - 0.87."""
    p = np.array([2.0])
    sgd = SGD([p], 0.5, 0.5, 0.1)
    sgd.step([np.array([1.0])])
    assert p[0] == pytest.approx(1.4, rel=1e-15)
    sgd.step([np.array([1.0])])
    assert p[0] == pytest.approx(0.53, rel=1e-14)


def test_the_first_step_of_rmsprop_by_hand():
    """The published constants: g = 4: s = 0.8, a = 0.2, d = sqrt(0.8 - 0.04) + 0.03, p = 1 - 0.5 * 4 / d."""
    p = np.array([1.0])
    RMSprop([p], 0.5).step([np.array([4.0])])
    assert p[0] == pytest.approx(1 - 2 / (np.sqrt(0.76) + 0.03), rel=1e-14)


def test_weight_decay_of_adam_is_coupled():
    """It is part of the gradient, in both moments; decoupled decay would shrink p apart from the step."""
    start, gradients = draw()
    adam = Adam([p.copy() for p in start], 0.01, 0.8, 0.95, 1e-3, True, 0.5)
    assert_follows(adam, start, gradients, lambda i, p, g: written_out(p, g, 0.01, 0.8, 0.95, 1e-3, True, 0.5))


def test_learning_rates_and_epsilons_of_their_own():
    start, gradients = draw()
    rates, epsilons = [0.1, 0.003], [1e-3, 0.4]

    def copies():
        return [p.copy() for p in start]

    def of_adam(i, p, g):
        return written_out(p, g, rates[i], 0.9, 0.99, epsilons[i], True)

    def of_rmsprop(i, p, g):
        return rmsprop_written_out(p, g, rates[i], 0.5, 0.0, 0.95, epsilons[i])

    assert_follows(
        SGD(copies(), rates, 0.5), start, gradients, lambda i, p, g: sgd_written_out(p, g, rates[i], 0.5, 0.0)
    )
    assert_follows(Adam(copies(), rates, epsilon=epsilons, bias_correction=True), start, gradients, of_adam)
    assert_follows(RMSprop(copies(), rates, 0.5, epsilon=epsilons), start, gradients, of_rmsprop)


@pytest.mark.parametrize("make", (
    lambda p: SGD(p, [0.1]),
    lambda p: RMSprop(p, 0.1, epsilon=[0.1, 0.1, 0.1]),
    lambda p: Adam(p, 0.1, epsilon=[0.1]),
))  # fmt: skip
def test_a_list_of_another_length_is_refused(make):
    with pytest.raises(ValueError, match=r"[13] (learning rates|epsilons) for 2 arrays"):
        make([np.zeros(3), np.zeros(2)])


def test_a_constant_gradient_is_no_negative_variance():
    """s - a^2 tends to zero, and rounding must not take the root of less: each step tends to lr g / epsilon."""
    p = np.zeros(50)
    g = np.random.default_rng(3).standard_normal(50)
    rmsprop = RMSprop([p], 0.01)
    for _ in range(2000):
        before = p.copy()
        rmsprop.step([g])
    np.testing.assert_allclose(before - p, 0.01 * g / 0.03, rtol=1e-5)


@every_kind
def test_rows_updated_apart_equal_one_update(make):
    random = np.random.default_rng(1)
    whole, parts = np.ones((6, 3)), np.ones((6, 3))
    one, two = make([whole]), make([parts])
    for _ in range(3):
        gradient = random.standard_normal((6, 3))
        one.step([gradient])
        two.advance()
        for rows in (slice(4, 6), slice(0, 4)):
            two.update(0, rows, gradient)
    np.testing.assert_array_equal(whole, parts)


@every_kind
def test_blocks_and_threads_make_no_difference(make, monkeypatch):
    shapes = ((300, 70), (300,), (5, 300))
    start, gradients = draw(4, 3, shapes)
    whole, blocks, threads = ([p.copy() for p in start] for _ in range(3))
    one, three = make(whole), make(threads)
    monkeypatch.setattr("core.backend.BLOCK", 1000)
    two = make(blocks)
    with Workers(2) as workers:
        for each in gradients:
            one.step(each)
            two.step(each)
            three.advance()
            parts = [(i, rows, g) for i, g in enumerate(each) for rows in shares(len(g), 20)]
            workers.map(lambda part: three.update(*part), parts)
    for p, q, r in zip(whole, blocks, threads, strict=True):
        np.testing.assert_array_equal(p, q)
        np.testing.assert_array_equal(p, r)


@every_kind
def test_gradients_are_left_alone(make):
    gradient = np.array([1.0, -2.0])
    optimiser = make([np.ones(2)])
    for _ in range(2):
        optimiser.step([gradient])
    np.testing.assert_array_equal(gradient, [1.0, -2.0])


@every_kind
def test_float32_is_kept(make):
    p = np.ones((3, 2), dtype=np.float32)
    q = p.astype(float)
    one, two = make([p]), make([q])
    for gradient in np.random.default_rng(5).standard_normal((4, 3, 2)).astype(np.float32):
        one.step([gradient])
        two.step([gradient.astype(float)])
    arrays = [value for name, value in one.state().items() if name != "steps"]
    assert {a.dtype for a in arrays} <= {np.dtype(np.float32)}
    np.testing.assert_allclose(p, q, rtol=1e-4, atol=1e-5)


@every_kind
def test_a_restored_optimiser_goes_on_to_the_same_bits(make):
    random = np.random.default_rng(2)
    gradients = [random.standard_normal(4) for _ in range(6)]
    straight, first = np.zeros(4), np.zeros(4)
    optimiser = make([straight])
    for g in gradients:
        optimiser.step([g])
    before = make([first])
    for g in gradients[:3]:
        before.step([g])
    after = make([first])
    after.restore({name: np.array(value) for name, value in before.state().items()})
    for g in gradients[3:]:
        after.step([g])
    np.testing.assert_array_equal(first, straight)


def test_names_in_checkpoints_stay():
    """A checkpoint of an earlier version is restored by these names."""
    assert list(Adam([np.zeros(2), np.zeros(3)], 0.1).state()) == ["steps", "m0", "v0", "m1", "v1"]


class Signs(Optimiser):
    """p <- p - lr momentum sign(g): made up, to be offered by its line in OPTIMISERS alone."""

    def __init__(self, parameters, learning_rate, momentum=0.0, weight_decay=0.0):
        super().__init__(parameters, learning_rate, weight_decay, ())
        self.factor = momentum

    def _change(self, xp, index, g, moments, out):
        xp.multiply(xp.sign(g), self.learning_rate[index] * self.factor, out=out)


def test_a_new_optimiser_is_a_class_and_a_line_of_the_table(monkeypatch):
    """The builder reads the table: rates per layer and the arguments that the optimiser takes reach it."""
    monkeypatch.setitem(OPTIMISERS, "Signs", (Signs, ("momentum",), {}))
    settings = parse(["--num_hidden=1", "--lr=[0.5, 0.25]", "--momentum=0.5", "--network_type=BP", "--no_cuda"])
    backend = select_backend("numpy")
    optimiser = build_system(
        settings.change(optimizer="Signs").system, backend, Workers(1), Draws(1, backend)
    ).learner.optimiser
    before = [p.copy() for p in optimiser.parameters]
    optimiser.step([np.ones_like(p) for p in before])
    for old, p, rate in zip(before, optimiser.parameters, (0.5, 0.5, 0.25, 0.25), strict=True):
        np.testing.assert_allclose(old - p, 0.5 * rate)
