"""What a user should know of settings that run, but not as their flags suggest: one sentence each (dfc.md J.post, L)."""

import dataclasses

from dfc.protocol import PROTOCOLS
from dfc.settings import flags


def _unless(holds, why):
    return "" if holds else why


def _control(s):
    return _unless(s.rule.controlled, f"for {s.rule.name}")


def _simulation(s):
    return _control(s) or _unless(s.rule.simulates, f"for {s.rule.name}, which simulates nothing in the forward phase")


def _learned(s):
    return _unless(s.rule.learns_feedback, f"for {s.rule.name}") or _unless(not s.freeze_fb_weights, "with --freeze_fb_weights")


def _normal(s):
    rule = s.fb_learning_rule
    return _unless(rule == "normal_controller", f"with --fb_learning_rule={rule}, which simulates nothing")


def _noise_on_gpu(s):
    drawn = not _learned(s) or (s.noisy_dynamics and not _simulation(s))
    return _unless(s.backend != "numpy", "with --backend=numpy") or _unless(drawn, "in a run without noise")


# {what is needed: function of the Settings that says why it is missing, or "" where it is there}, in the order of the notes
MISSING = {
    flags.TEACHER: lambda s: _unless(s.task == "regression", f"with --dataset={s.dataset}"),
    flags.ADAM: lambda s: _unless(s.optimizer == "Adam", f"with --optimizer={s.optimizer}"),
    flags.COMPARED: lambda s: _unless(not s.rule.reference, f"for {s.rule.name}"),
    flags.CLIPPING: lambda s: _unless(s.rule.clips == "asked" or PROTOCOLS[s.protocol].clip_as_asked, f"for {s.rule.name}"),
    flags.FEEDBACK: lambda s: _unless(s.rule.feedback != "none", f"for {s.rule.name}"),
    flags.CONTROL: _control,
    flags.SIMULATION: _simulation,
    flags.EFFICIENT: lambda s: _simulation(s) or _unless(s.efficient_controller, f"without {flags.EFFICIENT}"),
    flags.LEARNED: _learned,
    flags.SUCCESSOR: lambda s: _learned(s) or _unless(s.protocol == "strong2022", f"without {flags.SUCCESSOR}"),
    flags.NORMAL: lambda s: _learned(s) or _normal(s),
    flags.ADAM_FB: lambda s: _learned(s) or _unless(s.optimizer_fb == "Adam", f"with --optimizer_fb={s.optimizer_fb}"),
    flags.GPU: _noise_on_gpu,
    flags.HOMEOSTATIC: lambda s: _learned(s) or _unless(s.use_homeostatic_wd_fb, f"without {flags.HOMEOSTATIC}"),
}


def notes_on(options, settings, given):
    """Returns the sentences on Options that became Settings; `given` has the names of the options that were asked for."""
    return (*_idle(settings, given), *_changed(options, settings), *_surprising(settings, given))


def _idle(settings, given):
    """Yields a sentence for each reason why flags that were given do nothing in such a run."""
    idle, missing, rule = {}, {need: find(settings) for need, find in MISSING.items()}, settings.rule
    used = () if rule.from_flags else rule.Options.__dataclass_fields__
    for field in dataclasses.fields(flags.Options):
        # as every flag that is accepted because it is published; fb_activation is silent, as every published experiment gives it
        why = "(accepted as published)" if field.metadata["help"].startswith("no effect") else missing.get(field.metadata["needs"])
        if why and field.name in given and field.name not in used:
            idle.setdefault(why, []).append(f"--{field.name}")
    for why in dict.fromkeys(("(accepted as published)", *missing.values())):
        if why in idle:
            yield f"without effect {why}: {', '.join(idle[why])}"


def _changed(options, settings):
    """Values other than those given."""
    if not settings.rule.controlled:
        return
    if settings.time_constant_ratio > options.time_constant_ratio:
        yield f"--time_constant_ratio is raised to {settings.time_constant_ratio}, the --dt_di"
    asked = options.time_constant_ratio if options.time_constant_ratio_fb == -1 else options.time_constant_ratio_fb
    if settings.time_constant_ratio_fb > asked and not settings.freeze_fb_weights:
        yield f"--time_constant_ratio_fb is raised to {settings.time_constant_ratio_fb}, the --dt_di_fb"
    if options.save_eigenvalues_bcn and settings.ndi:
        yield "--save_eigenvalues_bcn becomes --save_eigenvalues, as nothing is corrected with --ndi"
    published = PROTOCOLS[settings.protocol].apical_follows == "dt_di"
    follows = published and options.apical_time_constant_fb == -1 and settings.dt_di_fb != settings.dt_di
    if follows and not settings.freeze_fb_weights and settings.fb_learning_rule == "normal_controller":
        yield f"--apical_time_constant_fb is {settings.dt_di}, the --dt_di and not the --dt_di_fb, as published"


def _surprising(settings, given):
    """Combinations that do less than their flags say."""
    if not settings.rule.controlled:
        return
    if settings.ndi and settings.save_NDI_angle:
        yield "--save_NDI_angle compares DFC-SSA with itself, up to clipping"
    if settings.ndi and settings.compare_with_ndi:
        yield "--compare_with_ndi measures nothing for DFC-SSA"
    if settings.grad_deltav_cont and settings.use_initial_activations:
        yield "--use_initial_activations does not act on the updates of --grad_deltav_cont"
    if settings.train_only_feedback_parameters and (settings.freeze_fb_weights or not settings.epochs_fb):
        reason = "--freeze_fb_weights" if settings.freeze_fb_weights else "--epochs_fb=0"
        yield f"--train_only_feedback_parameters is ignored with {reason}, so that W is trained"
    if settings.optimizer != "SGD" and "optimizer_fb" not in given and not settings.freeze_fb_weights:
        yield f"--optimizer={settings.optimizer} is for W; Q learns by --optimizer_fb=SGD"
