"""The surrogate loss H, its update, condition 2 and feedback shares against the recordings of the
published Strong-DFC program."""

import numpy as np

from dfc.controller import norms
from dfc.measures.feedback_diagnostics import feedback_fit
from dfc.measures.surrogate import feedback_shares, surrogate_angles, surrogate_loss, surrogate_update
from tests.reference.dfc_cases import assert_close, every
from tests.reference.strong_cases import EXACT, assert_gradients_close, read, start

CASES = read("diagnostics.npz")
DEGREES = 1e-6


def recorded_gradients(case):
    return [array for pair in zip(case.layers("dW"), case.layers("db"), strict=True) for array in pair]


def test_all_recordings_are_here():
    assert len(CASES) == 3


@every(*CASES)
def test_surrogate_loss(case):
    net, activities, _ = start(case)
    assert_close(surrogate_loss(net, activities, case["u_ss"]), case["H_loss"], EXACT)


@every(*CASES)
def test_surrogate_update_and_its_angles(case):
    net, activities, _ = start(case)
    update = surrogate_update(net, activities, case["u_ss"], case.meta["alpha_di"])
    assert_gradients_close(case, update, prefix="H_d")
    found = surrogate_angles(net, recorded_gradients(case), update)
    for name, key in (("weights", "H_angle"), ("biases", "H_angle_b"), ("network", "H_angle_network")):
        assert np.abs(np.ravel(found[name]) - np.ravel(case[key])).max() < DEGREES


@every(*CASES)
def test_condition_two(case):
    net, activities, _ = start(case)
    assert_close(
        feedback_fit(net, activities, measures=("condition_gn",))["condition_gn"], case["condition_two"], EXACT
    )


@every(*CASES)
def test_feedback_shares(case):
    """The published denominator is |r_l W_l| above the first layer, a slip; with |W_l r_{l-1}| in its
    place the numbers agree."""
    net, activities, _ = start(case)
    found = feedback_shares(net, activities, case["u_ss"])
    assert_close(found[0], case["ratio_ff_fb_asis"][0], EXACT)
    for l, w in enumerate(net.weights[1:], start=1):
        driven, slipped = norms(activities.r[l - 1] @ w.T), norms(activities.r[l] @ w)
        control = norms(case["u_ss"] @ net.feedback[l].T)
        assert_close((control / slipped).mean(), case["ratio_ff_fb_asis"][l], EXACT)
        assert_close(found[l], (control / driven).mean(), EXACT)
