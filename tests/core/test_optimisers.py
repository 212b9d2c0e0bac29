"""Optimisers against their recurrences, written out."""

import numpy as np
import pytest

from core.optimisers import Adam


def written_out(p, gradients, lr, beta1, beta2, epsilon, correct):
    """Kingma and Ba 2015, algorithm 1, entry by entry; without the two corrections unless `correct`."""
    m = v = 0.0
    for k, g in enumerate(gradients, start=1):
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g * g
        m_hat, v_hat = (m / (1 - beta1**k), v / (1 - beta2**k)) if correct else (m, v)
        p = p - lr * m_hat / (np.sqrt(v_hat) + epsilon)
    return p


@pytest.mark.parametrize("correct", (False, True))
@pytest.mark.parametrize("epsilon", (1e-8, 0.1))
def test_adam_is_its_recurrence(correct, epsilon):
    random = np.random.default_rng(0)
    start = [random.standard_normal(shape) for shape in ((5, 4), (4,))]
    gradients = [[random.standard_normal(p.shape) for p in start] for _ in range(7)]
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


def test_rows_updated_apart_equal_one_update():
    random = np.random.default_rng(1)
    whole, parts = np.ones((6, 3)), np.ones((6, 3))
    one, two = Adam([whole], 0.1), Adam([parts], 0.1)
    for _ in range(3):
        gradient = random.standard_normal((6, 3))
        one.step([gradient])
        two.advance()
        for rows in (slice(4, 6), slice(0, 4)):
            two.update(0, rows, gradient)
    np.testing.assert_array_equal(whole, parts)


def test_gradients_are_left_alone():
    gradient = np.array([1.0, -2.0])
    Adam([np.zeros(2)], 0.1).step([gradient])
    np.testing.assert_array_equal(gradient, [1.0, -2.0])


def test_a_restored_optimiser_goes_on_to_the_same_bits():
    random = np.random.default_rng(2)
    gradients = [random.standard_normal(4) for _ in range(6)]
    straight, first = np.zeros(4), np.zeros(4)
    adam = Adam([straight], 0.1, bias_correction=True)
    for g in gradients:
        adam.step([g])
    before = Adam([first], 0.1, bias_correction=True)
    for g in gradients[:3]:
        before.step([g])
    after = Adam([first], 0.1, bias_correction=True)
    after.restore({name: np.array(value) for name, value in before.state().items()})
    for g in gradients[3:]:
        after.step([g])
    np.testing.assert_array_equal(first, straight)
