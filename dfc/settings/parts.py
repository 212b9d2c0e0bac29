"""Makes the records of dfc/settings/records.py, one per part of the program, from {flag: resolved value}.

The controllers of the phases are those of docs/published/dfc.md B.2 and docs/published/strong_dfc.md 4 and 5.
"""

from dataclasses import fields

from core.training import Schedule
from dfc.controller import Controller
from dfc.feedback_learning import FeedbackSettings
from dfc.protocol import PROTOCOLS
from dfc.settings.records import (
    EvaluationSettings,
    FeedbackPhase,
    ForwardSettings,
    MeasurementSettings,
    NetworkSettings,
    OptimiserSettings,
    StoppingSettings,
    SystemSettings,
    TaskSettings,
    WatcherSettings,
)


def take(record, flags):
    """Makes a record from {name: resolved value}; its fields are flags, or values that follow from flags."""
    return record(**{field.name: flags[field.name] for field in fields(record)})


def system_settings(flags):
    """Returns the SystemSettings of {flag: resolved value}."""
    return SystemSettings(
        flags["rule"],
        rule_options(flags),
        network_settings(flags),
        forward_settings(flags),
        feedback_phase(flags),
        flags["reset_K"],
    )


def rule_options(flags):
    """Returns the Options of the rule; one that simulates finds its "controller" among the flags.

    A joint rule also finds the FeedbackSettings "feedback" there, None if Q does not learn.
    """
    rule, seen = flags["rule"], flags | flags["rule_flags"]
    if rule.simulates:
        seen["controller"] = forward_controller(flags, rule.joint)
    if rule.joint:
        seen["feedback"] = None if flags["freeze_fb_weights"] else joint_settings(flags, "forward")
    if rule.from_flags:
        return rule.from_flags(seen)
    return rule.Options(**{option.name: seen[option.name] for option in fields(rule.Options) if option.name in seen})


def task_settings(flags):
    """Returns the TaskSettings of {flag: resolved value}."""
    seeded = PROTOCOLS[flags["protocol"]].seeded_split and "seeded_split" in flags["defects"]
    return take(TaskSettings, flags | {"seeded_split": seeded})


def watcher_settings(flags):
    """Returns the WatcherSettings of {flag: resolved value}."""
    weighted, classification = PROTOCOLS[flags["protocol"]].weighted_evaluation, flags["task"] == "classification"
    switches = frozenset(name for name, value in flags.items() if value is True)
    return WatcherSettings(
        take(MeasurementSettings, flags | {"switches": switches}),
        take(EvaluationSettings, flags | {"weighted": weighted, "classification": classification}),
        take(StoppingSettings, flags),
        f"seed {flags['random_seed']}: " if flags["seeds"] else "",
    )


def schedule(flags, feedback):
    """Returns (core.training.Schedule, FeedbackPhase or None) of {flag: resolved value}."""
    ends_early = flags["train_only_feedback_parameters"] and feedback and feedback.before
    return Schedule(0 if ends_early else flags["epochs"], flags["batch_size"], first_batches=flags["first_batches"])


def network_settings(flags):
    """Returns the NetworkSettings of {flag: resolved value}."""
    return NetworkSettings(
        flags["sizes"],
        flags["activations"],
        classification=flags["task"] == "classification",
        biases=not flags["no_bias"],
        initial_w=flags["initialization"],
        feedback=flags["rule"].feedback,
        initial_q=flags["initialization_K"],
        noise_q=flags["noise_K"],
        identity=flags["freeze_fb_weights"] or flags["freeze_fb_weights_output"],
        worth=flags["target_class_value"],
        kinks=PROTOCOLS[flags["protocol"]].kinks,
    )


def forward_settings(flags):
    """Returns the ForwardSettings of {flag: resolved value}."""
    layers = tuple(range(len(flags["activations"])))
    if flags["only_train_first_layer"]:
        layers = layers[:1]
    elif flags["shallow_training"]:
        layers = layers[-1:]
    named = ("optimizer", "lr", "forward_wd", "momentum", "beta1", "beta2", "epsilon")
    optimiser = OptimiserSettings(*(flags[name] for name in named))
    protocol = PROTOCOLS[flags["protocol"]]
    return ForwardSettings(
        optimiser,
        layers,
        flags["clip_grad_norm"],
        flags["fix_grad_norm"],
        flags["freeze_forward_weights"],
        protocol.clip_layers,
        protocol.clip_as_asked,
        flags["use_bp_updates"] and flags["rule"].controlled,
    )


def feedback_phase(flags):
    """Returns the FeedbackPhase of {flag: resolved value}; None if Q does not learn."""
    if flags["freeze_fb_weights"] or not flags["rule"].learns_feedback:
        return None
    protocol, joint = PROTOCOLS[flags["protocol"]], flags["rule"].joint
    momentum = flags["momentum_fb"]
    if not protocol.feedback_momentum:
        # In the published program only RMSprop used the momentum.
        momentum = flags["momentum"] if flags["optimizer_fb"] == "RMSprop" else 0.0
    others = (flags["feedback_wd"], momentum, flags["beta1_fb"], flags["beta2_fb"], flags["epsilon_fb"])
    return FeedbackPhase(
        "normal_controller" if joint else flags["fb_learning_rule"],
        joint_settings(flags, "extra") if joint else feedback_settings(flags, "feedback"),
        joint_settings(flags, "pretraining") if joint else feedback_settings(flags, "pretraining"),
        OptimiserSettings(flags["optimizer_fb"], flags["lr_fb"], *others),
        OptimiserSettings(flags["optimizer_fb"], flags["lr_fb_init"], *others),
        before=flags["epochs_fb"],
        extra=flags["extra_fb_epochs"],
        output_frozen=flags["freeze_fb_weights_output"],
        clip=flags["clip_grad_norm"],
        clip_each=protocol.clip_each_feedback,
        homeostatic=flags["homeostatic"],
        constant=flags["c_homeostatic"],
    )


def feedback_settings(flags, phase):
    """Returns the FeedbackSettings of passes in which Q alone learns.

    The output is driven to where it is or, with --strong_feedback, to its label. The scales of single layers belong to
    the rule that simulates a controller.
    """
    simulates = flags["fb_learning_rule"] == "normal_controller"
    scale = flags["sigma_output_fb"] if simulates and PROTOCOLS[flags["protocol"]].output_scale else None
    return FeedbackSettings(
        feedback_controller(flags, phase),
        flags["sigma_fb"],
        flags["alpha_di"],
        sigma_output=scale,
        growth=_growth(flags, flags["time_constant_ratio_fb"]) if simulates else 1.0,
        aim="label" if flags["strong_feedback"] else "output",
    )


def joint_settings(flags, phase):
    """Returns the FeedbackSettings of Strong-DFC.

    flags  {flag: value} of main.py
    phase  "forward", where W learns too; "pretraining", before the first epoch; "extra", further passes after those of
           W
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


def forward_controller(flags, joint=False):
    """Returns the Controller of the phase in which W learns.

    flags  {flag: value} of main.py
    joint  whether Q learns from the same simulation: then apical compartments follow at once, and the noise is coloured
    """
    noisy = flags["noisy_dynamics"]
    return _controller(
        flags,
        "",
        joint,
        alpha=flags["alpha_di"],
        proactive=flags["proactive_controller"],
        sigma=flags["sigma"] if noisy else None,
        sigma_output=flags["output_sigma"] if noisy else None,
        error=flags["error"],
    )


def feedback_controller(flags, phase, joint=False):
    """Returns the Controller of the phases in which Q alone learns.

    flags  {flag: value} of main.py
    phase  "feedback" or "pretraining"
    joint  whether the rule otherwise learns Q and W from one simulation
    """
    early = phase == "pretraining" and "pretraining_error" in flags["defects"]
    return _controller(
        flags,
        "_fb",
        joint,
        alpha=flags["alpha_fb"],
        proactive=flags["proactive_controller"] and PROTOCOLS[flags["protocol"]].proactive_feedback,
        sigma=flags["sigma_fb"],
        sigma_output=flags["sigma_output_fb"],
        error="mse" if early else flags["error"],
    )


def _controller(flags, suffix, joint, **own):
    """Returns the Controller of a phase; the names of its flags end in the suffix."""
    coloured = joint or flags["low_pass_filter_noise"]
    return Controller(
        dt=flags[f"dt_di{suffix}"],
        steps=flags[f"steps{suffix}"],
        k_p=flags[f"k_p{suffix}"],
        tau_v=flags[f"time_constant_ratio{suffix}"],
        tau_a=flags[f"dt_di{suffix}" if joint else f"apical_time_constant{suffix}"],
        inst_transmission=flags[f"inst_transmission{suffix}"],
        inst_system_dynamics=flags["inst_system_dynamics"],
        tau_noise=flags["tau_noise"] if coloured else None,
        tau_f=flags["tau_f"] if flags["low_pass_filter_u"] else None,
        ideal_feedback=flags["use_jacobian_as_fb"],
        **own,
    )
