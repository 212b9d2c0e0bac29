"""The recorded cases of Strong-DFC (strong_dfc/README.md), and the objects that they are about."""

from pathlib import Path

import numpy as np

from dfc.controller import Controller
from dfc.feedback_learning import FeedbackSettings
from dfc.functions import ACTIVATIONS, CROSS_ENTROPY, SQUARED_ERROR, soft_cross_entropy
from dfc.network import FeedbackNetwork
from rules import dfc_ss, dfc_ssa, strong_dfc
from tests.reference import dfc_cases
from tests.reference.dfc_cases import assert_close, assert_layers_close

FOLDER = Path(__file__).parent / "strong_dfc"
# It is relative to the largest entry, see strong_dfc/README.md.
EXACT = 1e-10
# This is for gradients that are small differences.
SMALL_DIFFERENCES = 1e-9


def read(file):
    """All cases of a file."""
    return dfc_cases.read(file, folder=FOLDER)


def start(case):
    """(network, its feedforward pass, target as the network's loss wants it)."""
    meta, weights, target, loss = case.meta, case.layers("W"), case["target"], SQUARED_ERROR
    if meta["task"] == "ce_soft":
        loss = soft_cross_entropy(meta["target_class_value"])
        target = target.argmax(axis=-1)
    elif meta["task"] == "ce_int":
        loss = CROSS_ENTROPY
    names = [meta["activation"]] * (len(weights) - 1) + ["linear"]
    net = FeedbackNetwork(weights, case.layers("b"), case.layers("Q"), [ACTIVATIONS[name] for name in names], loss)
    return net, net.forward(case["x"]), target


def controller(meta):
    """The Controller that the simulation was called with."""
    c = meta["controller"]
    noisy = c["noisy_dynamics"]
    return Controller(
        alpha=c["alpha"],
        dt=c["dt"],
        steps=c["tmax"],
        k_p=c["k_p"],
        tau_v=c["time_constant_ratio"],
        tau_a=c["apical_time_constant"] or c["dt"],
        inst_transmission=c["inst_transmission"],
        inst_system_dynamics=c["inst_system_dynamics"],
        proactive=c["proactive_controller"],
        sigma=c["sigma"] if noisy else None,
        sigma_output=c["sigma_output"] if noisy else None,
        error={"mse": "mse", "cross_entropy": "ce"}[c["error"]],
        tau_noise=c["tau_noise"] if c["low_pass_filter_noise"] else None,
        tau_f=c["tau_f"] if c["low_pass_filter_u"] else None,
        ideal_feedback=c["use_jacobian_as_fb"],
    )


def aim(meta, case):
    """What the output was driven to, a name of dfc.gradients.output_target."""
    if "pre_without_controller" in case.name or (meta["phase"] == "feedback" and not meta["strong_feedback"]):
        return "output"
    return "label" if meta["strong_feedback"] else "own_loss"


def feedback_settings(case):
    """The FeedbackSettings of the phase (strong_dfc.md 5)."""
    meta, single = case.meta, case.meta["network_type"] == "DFC_single_phase"
    suffix = "" if meta["phase"] == "forward" else "_fb"
    tau = meta["time_constant_ratio" if single else "time_constant_ratio_fb"]
    return FeedbackSettings(
        controller(meta),
        meta["sigma" + suffix],
        sigma_output=meta["sigma_output" + suffix],
        growth=1.0 + tau / meta["tau_noise"] if meta["scaling_fb_updates"] else 1.0,
        rate=meta["dt_di"] / meta["tau_f"] if single else None,
        aim=aim(meta, case),
        target_stepsize=meta["target_stepsize"],
    )


def rule_options(case):
    """The options of the rule that the case is about."""
    meta = case.meta
    if meta["ssa"]:
        return dfc_ssa.Options(meta["target_stepsize"], meta["alpha_di"], meta["learning_rule"], aim=aim(meta, case))
    shared = {
        "controller": controller(meta),
        "target_stepsize": meta["target_stepsize"],
        "learning_rule": meta["learning_rule"],
        "epsilon": meta["epsilon_di"],
        "include_non_converged_samples": not meta["include_only_converged_samples"],
        "aim": aim(meta, case),
    }
    if meta["network_type"] != "DFC_single_phase":
        return dfc_ss.Options(**shared)
    return strong_dfc.Options(**shared, feedback=feedback_settings(case) if "dQ0" in case else None)


def assert_trajectories_close(case, found):
    """A recorded simulation equals a dfc.simulation.Trajectory."""
    assert_close(found.u, case["u"], EXACT)
    assert_close(found.errors, case["sample_error"], EXACT)
    for name, layers in (("va", found.va), ("vb", found.vb), ("vs", found.vs), ("rt", found.r)):
        assert_layers_close(layers, case.layers(name), EXACT)


def assert_gradients_close(case, gradients, prefix="d", suffix="", sign=1.0):
    """Gradients like net.parameters equal `sign` times the recorded ones."""
    step = 2 if case.meta["bias"] else 1
    for l, gradient in enumerate(gradients):
        name = f"{prefix}{'Wb'[l % step]}{l // step}{suffix}"
        assert_close(gradient, sign * case[name], SMALL_DIFFERENCES)


def assert_feedback_close(case, gradients, suffix=""):
    """Gradients of Q equal the recorded ones."""
    for l, gradient in enumerate(gradients):
        assert_close(gradient, case[f"dQ{l}{suffix}"], SMALL_DIFFERENCES)


def in_float32(case):
    """The case in float32, and the relative error that its README allows."""
    return case.rounded(np.float32), 1e-4


def low_passed(series, share):
    """The last value of a low-pass filter that begins with the first one."""
    value = series[0]
    for each in series[1:]:
        value = share * each + (1.0 - share) * value
    return value
