"""The recorded cases of Deep Feedback Control (dfc/README.md), and the objects that they are about."""

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from dfc.controller import Controller
from dfc.functions import ACTIVATIONS
from dfc.gradients import nudge
from dfc.network import FeedbackNetwork
from rules import dfc, dfc_ss
from tests.feedback_nets_for_tests import LOSSES, GivenNoise

FOLDER = Path(__file__).parent / "dfc"
# Relative to the largest entry; recomputed from the stored inputs, the recordings agree with themselves to this.
EXACT = 1e-11
# In float32 rates and voltages of order 1 are rounded by 6e-8, some ten times; what is left of their differences
# (nudges of 1e-2, and gradients) inherits that error, not one relative to itself.
ROUNDED = 20.0 * float(np.finfo("float32").eps)
# What an absent key means, by dfc/README.md.
ABSENT = {
    "clip_grad_norm": -1.0,
    "epsilon": 0.5,
    "mode": "layerwise",
    "inst_system_dynamics": False,
    "use_initial_activations": False,
    "homeostatic_wd_fb": -1.0,
    "noisy_dynamics": False,
}


@dataclass(frozen=True, eq=False)
class Case:
    """One recorded case: its settings, and its arrays, which nobody may change."""

    name: str
    meta: dict
    arrays: dict

    def __getitem__(self, key):
        return self.arrays[key]

    def __contains__(self, key):
        return key in self.arrays

    def layers(self, name):
        """[name0, name1, …]: an array a layer."""
        found = []
        while f"{name}{len(found)}" in self.arrays:
            found.append(self.arrays[f"{name}{len(found)}"])
        return found

    def rounded(self, dtype):
        """The same case in another float type."""
        arrays = {name: _fixed(a.astype(dtype)) if a.dtype.kind == "f" else a for name, a in self.arrays.items()}
        return Case(self.name, self.meta, arrays)


def _fixed(array):
    array.flags.writeable = False
    return array


@cache
def read(file, kind=None, folder=FOLDER):
    """All cases of a file, of one kind where a file has several."""
    with np.load(folder / file) as archive:
        arrays = {name: _fixed(archive[name]) for name in archive.files}
    cases = []
    for name in map(str, arrays.pop("cases")):
        own = {key.removeprefix(f"{name}__"): a for key, a in arrays.items() if key.startswith(f"{name}__")}
        meta = ABSENT | json.loads(str(own.pop("meta")))
        if kind in (None, meta.get("kind")):
            cases.append(Case(name, meta, own))
    return cases


def every(*cases):
    """Run a test with each of `cases`."""
    return pytest.mark.parametrize("case", cases, ids=lambda case: case.name)


def network(case, feedback="Q"):
    """The FeedbackNetwork of a case."""
    weights, meta = case.layers("W"), case.meta
    hidden = meta["hidden_activation"]
    names = [hidden] * (len(weights) - 1) if isinstance(hidden, str) else hidden
    activations = [ACTIVATIONS[name] for name in (*names, meta["output_activation"])]
    return FeedbackNetwork(
        weights, case.layers("b"), case.layers(feedback), activations, LOSSES[meta.get("loss", "mse")]
    )


def start(case, feedback="Q"):
    """(network, its feedforward pass)."""
    net = network(case, feedback)
    return net, net.forward(case["x"])


def output_target(case, net, activities):
    """The output target that the rules of the project aim at."""
    return activities.r[-1] + nudge(net, activities, case["target"], case.meta["target_stepsize"])


def forward_controller(meta):
    """The Controller of the phase that trains the forward weights."""
    noise = {name: meta[name] for name in ("sigma", "sigma_output") if meta["noisy_dynamics"]}
    return Controller(
        alpha=meta["alpha"],
        dt=meta["dt"],
        steps=meta["tmax"],
        k_p=meta["k_p"],
        tau_v=meta["time_constant_ratio"],
        tau_a=meta["apical_time_constant"],
        inst_transmission=meta["inst_transmission"],
        inst_system_dynamics=meta["inst_system_dynamics"],
        proactive=meta["proactive_controller"],
        **noise,
    )


def feedback_controller(meta):
    """The Controller of the phase that trains the feedback weights."""
    return Controller(
        alpha=meta["alpha_fb"],
        dt=meta["dt_di_fb"],
        steps=meta["tmax_di_fb"],
        k_p=meta["k_p_fb"],
        tau_v=meta["time_constant_ratio_fb"],
        tau_a=meta["apical_time_constant_fb"],
        inst_transmission=meta["inst_transmission_fb"],
        inst_system_dynamics=meta["inst_system_dynamics"],
        sigma=meta["sigma_fb"],
        sigma_output=meta["sigma_output_fb"],
    )


def update_options(meta):
    """(rule module, its options) of an update from a simulation."""
    controller = forward_controller(meta)
    # the program's own slip: its memory-saving variant, where it simulates layer by layer
    sample0_error = meta["efficient_controller"] and (controller.layerwise or meta["mode"] == "layerwise")
    options = dfc_ss.Options(
        controller,
        meta["target_stepsize"],
        meta["learning_rule"],
        meta["epsilon"],
        meta["include_non_converged_samples"],
        meta["use_initial_activations"],
        meta["efficient_controller"],
        sample0_error,
        meta["clip_grad_norm"],
    )
    return dfc if meta["grad_deltav_cont"] else dfc_ss, options


def noise(case):
    """The recorded noise, one draw per time step and layer; draws without a time axis are those of a single step."""
    return GivenNoise([layer if layer.ndim == 3 else layer[None] for layer in case.layers("noise")])


def assert_close(found, expected, tolerance=EXACT, scale=0.0):
    """Equal shapes, the same entries not finite, the others equal relative to the largest of them,
    or to `scale` if larger."""
    found, expected = np.asarray(found), np.asarray(expected)
    assert found.shape == expected.shape
    finite = np.isfinite(expected)
    np.testing.assert_array_equal(found[~finite], expected[~finite])
    assert np.isfinite(found[finite]).all()
    scale = np.abs(expected[finite]).max(initial=scale)
    assert np.abs(found[finite] - expected[finite]).max(initial=0.0) <= tolerance * scale


def assert_layers_close(found, expected, tolerance=EXACT, scale=0.0):
    """The same for a list of arrays, one per layer."""
    assert len(found) == len(expected) > 0
    for one, other in zip(found, expected, strict=True):
        assert_close(one, other, tolerance, scale)


def assert_gradients_close(case, gradients, tolerance=EXACT, scale=0.0, prefix="d"):
    """Gradients like net.parameters equal the recorded ones, dW0 …, db0 …."""
    step = 2 if case.meta["bias"] else 1
    assert_layers_close(gradients[::step], case.layers(f"{prefix}W"), tolerance, scale)
    if case.meta["bias"]:
        assert_layers_close(gradients[1::2], case.layers(f"{prefix}b"), tolerance, scale)


def assert_float_type(arrays, dtype):
    """All arrays have this float type."""
    assert {array.dtype for array in arrays} == {np.dtype(dtype)}
