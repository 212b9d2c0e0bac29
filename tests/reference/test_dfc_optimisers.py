"""Optimiser steps and clipped gradients of the published Deep Feedback Control program (tests/reference/dfc)."""

import json
from pathlib import Path

import numpy as np
import pytest

from core.clipping import clip_each, clip_together, fix_norm, joint_norm
from core.optimisers import SGD, Adam, RMSprop

FOLDER = Path(__file__).parent / "dfc"
LAYERS = 4


def read(file, prefix=""):
    """{case: ({name: array}, meta)} of the cases of a file whose names begin with `prefix`."""
    with np.load(FOLDER / file) as archive:
        names = [str(case) for case in archive["cases"] if str(case).startswith(prefix)]
        arrays = {
            name: archive[name] for name in archive.files if name.startswith(tuple(f"{case}__" for case in names))
        }
    cases = {
        case: {n.removeprefix(f"{case}__"): a for n, a in arrays.items() if n.startswith(f"{case}__")} for case in names
    }
    return {case: (found, json.loads(str(found.pop("meta", "{}")))) for case, found in cases.items()}


CASES = read("optim.npz") | read("extra.npz", "opt_")
MISC = read("misc.npz")


def owned(meta):
    """Names of the arrays that the optimiser owns, in its order (dfc.md E)."""
    if meta["which"] == "forward":
        return [f"{kind}{i}" for i in range(LAYERS) for kind in ("W", "b")]
    return [f"Q{i}" for i in range(LAYERS - meta["freeze_fb_weights_output"])]


def build(meta, parameters):
    """The optimiser that the recorded flags ask for; lists of the flags hold one value per
    layer, for W and b together."""
    forward = meta["which"] == "forward"
    suffix, decay = ("", meta["forward_wd"]) if forward else ("_fb", meta["feedback_wd"])
    kind, rate, epsilon = (per_array(meta[name + suffix]) for name in ("optimizer", "lr", "epsilon"))
    if kind == "SGD":
        return SGD(parameters, rate, meta["momentum"] if forward else 0.0, decay)
    if kind == "RMSprop":
        return RMSprop(parameters, rate, meta["momentum"], decay)
    return Adam(parameters, rate, meta["beta1" + suffix], meta["beta2" + suffix], epsilon, True, decay)


def per_array(value):
    return [v for v in value for _ in ("W", "b")] if isinstance(value, list) else value


def test_all_recordings_are_here():
    assert len(CASES) == 14
    kinds = {
        (meta["which"], meta["optimizer" if meta["which"] == "forward" else "optimizer_fb"])
        for _, meta in CASES.values()
    }
    assert kinds == {(which, kind) for which in ("forward", "feedback") for kind in ("SGD", "RMSprop", "Adam")}


@pytest.mark.parametrize("case", CASES)
def test_every_step(case):
    arrays, meta = CASES[case]
    names = owned(meta)
    parameters = [arrays[f"{name}_init"].copy() for name in names]
    optimiser = build(meta, parameters)
    for step in range(6):
        optimiser.step([arrays[f"grad_{name}"][step] for name in names])
        for name, p in zip(names, parameters, strict=True):
            np.testing.assert_allclose(p, arrays[f"traj_{name}"][step], rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("case", [case for case, (_, meta) in CASES.items() if meta["freeze_fb_weights_output"]])
def test_a_frozen_output_is_not_owned(case):
    arrays, _ = CASES[case]
    last = f"Q{LAYERS - 1}"
    np.testing.assert_array_equal(
        arrays[f"traj_{last}"], np.broadcast_to(arrays[f"{last}_init"], arrays[f"traj_{last}"].shape)
    )


@pytest.mark.parametrize("clip", (clip_each, clip_together))
def test_clipped_gradient(clip):
    arrays, meta = MISC["clip_grad_norm"]
    g = arrays["g"].copy()
    np.testing.assert_allclose(joint_norm([g]), arrays["norm_before"], rtol=1e-14)
    clip([g], meta["max_norm"])
    np.testing.assert_allclose(g, arrays["g_after"], rtol=1e-14)


def test_fixed_norm():
    arrays, meta = MISC["fix_grad_norm"]
    gradients = [arrays["g0"].copy(), arrays["g1"].copy()]
    np.testing.assert_allclose(fix_norm(gradients, meta["fixed_norm"]), arrays["total_norm_before"], rtol=1e-14)
    for i, g in enumerate(gradients):
        np.testing.assert_allclose(g, arrays[f"g{i}_after"], rtol=1e-14)


def test_each_clips_apart_and_together_by_one_factor():
    """Norms 3 and 4, together 5: with a bound of 3.5 the first is short enough alone, but not
    together with the second."""
    long = [np.array([[3.0]]), np.array([0.0, -4.0])]
    each, together = ([g.copy() for g in long] for _ in range(2))
    clip_each(each, 3.5)
    np.testing.assert_array_equal(each[0], [[3.0]])
    np.testing.assert_allclose(each[1], [0.0, -4.0 * 3.5 / (4.0 + 1e-6)], rtol=1e-15)
    assert clip_together(together, 3.5) == pytest.approx(5.0, rel=1e-15)
    for found, g in zip(together, long, strict=True):
        np.testing.assert_allclose(found, g * 3.5 / (5.0 + 1e-6), rtol=1e-15)


@pytest.mark.parametrize("clip", (clip_each, clip_together))
def test_short_gradients_keep_their_bits(clip):
    gradients = [np.array([[0.1, -0.7]]), np.zeros(3)]
    clip(gradients, 1.0)
    np.testing.assert_array_equal(gradients[0], [[0.1, -0.7]])
    np.testing.assert_array_equal(gradients[1], np.zeros(3))


@pytest.mark.parametrize("clip", (clip_each, clip_together))
def test_a_nan_is_not_spread(clip):
    """k < 1 is false for a k that is no number (dfc.md C.4)."""
    g = np.array([np.nan, 5.0])
    clip([g], 1.0)
    np.testing.assert_array_equal(g, [np.nan, 5.0])


@pytest.mark.parametrize("change", (clip_each, clip_together, fix_norm))
def test_float32_is_kept(change):
    gradients = [np.full((2, 3), 2.0, dtype=np.float32), np.ones(4, dtype=np.float32)]
    change(gradients, 1.0)
    assert joint_norm(gradients).dtype == np.float32
    assert all(g.dtype == np.float32 for g in gradients)
    np.testing.assert_allclose(joint_norm(gradients[:1]), 1.0 if change is clip_each else np.sqrt(24 / 28), rtol=1e-5)
