"""Builds the controller of every phase, and the settings by which Q learns in it, from the flags of main.py.

The flags are those of docs/published/dfc.md B.2 and docs/published/strong_dfc.md 4 and 5.
"""

from dfc.controller import Controller
from dfc.feedback_learning import FeedbackSettings
from dfc.protocol import PROTOCOLS


def forward_controller(flags, joint=False):
    """Returns the Controller of the phase in which W learns.

    flags  {flag: value} of main.py
    joint  whether Q learns from the same simulation: then apical compartments follow at once, and the noise is coloured
    """
    noisy = flags["noisy_dynamics"]
    return Controller(
        alpha=flags["alpha_di"],
        dt=flags["dt_di"],
        steps=flags["steps"],
        k_p=flags["k_p"],
        tau_v=flags["time_constant_ratio"],
        tau_a=flags["dt_di"] if joint else flags["apical_time_constant"],
        inst_transmission=flags["inst_transmission"],
        proactive=flags["proactive_controller"],
        sigma=flags["sigma"] if noisy else None,
        sigma_output=flags["output_sigma"] if noisy else None,
        error=flags["error"],
        **_in_every_phase(flags, joint),
    )


def feedback_controller(flags, phase, joint=False):
    """Returns the Controller of the phases in which Q alone learns.

    flags  {flag: value} of main.py
    phase  "feedback" or "pretraining"
    joint  whether the rule otherwise learns Q and W from one simulation
    """
    proactive = PROTOCOLS[flags["protocol"]].proactive_feedback
    early = phase == "pretraining" and "pretraining_error" in flags["defects"]
    return Controller(
        alpha=flags["alpha_fb"],
        dt=flags["dt_di_fb"],
        steps=flags["steps_fb"],
        k_p=flags["k_p_fb"],
        tau_v=flags["time_constant_ratio_fb"],
        tau_a=flags["dt_di_fb"] if joint else flags["apical_time_constant_fb"],
        inst_transmission=flags["inst_transmission_fb"],
        proactive=flags["proactive_controller"] and proactive,
        sigma=flags["sigma_fb"],
        sigma_output=flags["sigma_output_fb"],
        error="mse" if early else flags["error"],
        **_in_every_phase(flags, joint),
    )


def _in_every_phase(flags, joint):
    coloured = joint or flags["low_pass_filter_noise"]
    return {
        "inst_system_dynamics": flags["inst_system_dynamics"],
        "tau_noise": flags["tau_noise"] if coloured else None,
        "tau_f": flags["tau_f"] if flags["low_pass_filter_u"] else None,
        "ideal_feedback": flags["use_jacobian_as_fb"],
    }


def feedback_settings(flags, phase):
    """Returns the FeedbackSettings of passes in which Q alone learns.

    The output is driven to where it is or, with --strong_feedback, to its label.
    """
    scale = flags["sigma_output_fb"] if PROTOCOLS[flags["protocol"]].output_scale else None
    return FeedbackSettings(
        feedback_controller(flags, phase),
        flags["sigma_fb"],
        flags["alpha_di"],
        sigma_output=scale,
        growth=_growth(flags, flags["time_constant_ratio_fb"]),
        aim="label" if flags["strong_feedback"] else "output",
    )


def joint_settings(flags, phase):
    """Returns the FeedbackSettings of Strong-DFC.

    flags  {flag: value} of main.py
    phase  "forward", where W learns too; "pretraining", before the first epoch; "extra", further passes after those of W
    """
    suffix, before = "" if phase == "forward" else "_fb", phase == "pretraining"
    published = not before or "filter_constants" in flags["defects"]
    dt, tau_v = (flags[name if published else f"{name}_fb"] for name in ("dt_di", "time_constant_ratio"))
    held = before and flags["pretrain_without_controller"]
    return FeedbackSettings(
        feedback_controller(flags, phase, joint=True) if before else forward_controller(flags, joint=True),
        flags[f"sigma{suffix}"],
        flags["alpha_di"],
        sigma_output=flags["sigma_output_fb" if suffix else "output_sigma"],
        growth=_growth(flags, tau_v),
        rate=dt / flags["tau_f"],
        aim="output" if held else flags["aim"],
        target_stepsize=flags["target_stepsize"],
    )


def _growth(flags, tau_v):
    return 1.0 + tau_v / flags["tau_noise"] if flags["scaling_fb_updates"] else 1.0
