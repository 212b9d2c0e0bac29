"""Makes the records of dfc/settings/records.py, one per part of the program, from {flag: resolved value}."""

from dataclasses import fields

from core.training import Schedule
from dfc.phases import feedback_settings, joint_settings
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
        flags["rule"].options_from(flags | flags["rule_flags"]),
        network_settings(flags),
        forward_settings(flags),
        feedback_phase(flags),
        flags["reset_K"],
    )


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
    optimiser = OptimiserSettings(
        flags["optimizer"], flags["lr"], flags["forward_wd"], flags["momentum"], flags["beta1"], flags["beta2"], flags["epsilon"]
    )
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
