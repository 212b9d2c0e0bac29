"""Refuses contradictions in settings of system 2, and writes notes about flags that have no effect.

The rules are those of docs/published/dfc.md J.post and L.
"""

import dataclasses

from core.machine import check_machine
from core.options import UsageError
from datasets.catalogue import BY_FLAG
from dfc.protocol import PROTOCOLS
from dfc.settings import published
from dfc.settings.flags import Options

CONTRADICTED = {
    "ndi": "which simulates the steady state",
    "grad_deltav_cont": "which learns from the steady state alone",
}
# Flags that a rule ignores in which W and Q learn from one simulation.
IDLE_IF_JOINT = ("fb_learning_rule", "apical_time_constant", "apical_time_constant_fb", "use_initial_activations")


def check_options(options, rules):
    """Raises UsageError for options that contradict each other as they were given.

    rules  {name: rules._rule.Rule}
    """
    _check_rule(options, rules)
    if options.no_cuda and options.backend == "cupy":
        raise UsageError("--no_cuda: contradicts --backend=cupy")
    if options.no_cuda and options.device:
        raise UsageError(f"--device={options.device}: does not apply to --no_cuda, which computes on the CPU")
    check_machine(options)
    if options.out_dir == "":
        raise UsageError("--out_dir=: must be the name of a folder")


def _check_rule(options, rules):
    kind = options.network_type
    if kind not in rules:
        *others, last = rules
        raise UsageError(f"--network_type={kind}: not part of this suite; use {', '.join(others)} or {last}")
    by_flags = any(rule.published.get("network_type") == kind for rule in rules.values())
    for flag, why in CONTRADICTED.items():
        if getattr(options, flag) and rules[kind].published.get(flag) is False and not by_flags:
            raise UsageError(f"--{flag}: contradicts --network_type={kind}, {why}")
    if by_flags and options.ndi and options.grad_deltav_cont:
        raise UsageError("--grad_deltav_cont: contradicts --ndi, which simulates nothing")
    if options.shallow_training and not rules[kind].reference:
        of = ", ".join(rule.name for rule in rules.values() if rule.reference)
        raise UsageError(f"--shallow_training: does not apply to --network_type={kind}, only to {of}")
    if options.shallow_training and options.only_train_first_layer:
        raise UsageError("--shallow_training: contradicts --only_train_first_layer, as it learns the last layer only")


def check_strong(values, task):
    """Raises UsageError for flags of the group "Strong-DFC" that contradict others.

    values  {flag: value}
    task    as in Settings
    """
    rule, strong = values["rule"], values["strong_feedback"]
    if strong and not rule.simulates:
        raise UsageError(f"--strong_feedback: does not apply to {rule.name}, only to rules that simulate a controller")
    if strong and task == "classification" and not values["include_non_converged_samples"]:
        raise UsageError(
            "--strong_feedback: needs --include_non_converged_samples for a classification, "
            "where no sample meets the test of convergence"
        )
    if rule.joint and values["efficient_controller"]:
        raise UsageError(f"--efficient_controller: does not apply to {rule.name}, which never keeps trajectories")
    if values["use_jacobian_as_fb"] and not rule.simulates:
        raise UsageError(
            f"--use_jacobian_as_fb: does not apply to {rule.name}, only to rules that simulate a controller"
        )
    if values["use_jacobian_as_fb"] and values["noisy_dynamics"]:
        raise UsageError("--use_jacobian_as_fb: does not go together with --noisy_dynamics")
    for name in ("ndi", "grad_deltav_cont"):
        if rule.joint and values[name]:
            raise UsageError(f"--{name}: does not apply to {rule.name}, where W and Q learn from one simulation")
    if values["min_acc"] and task != "classification":
        raise UsageError(f"--min_acc={values['min_acc']:g}: applies to classifications only, which have an accuracy")
    if values["pretrain_without_controller"] and not rule.joint:
        raise UsageError(f"--pretrain_without_controller: does not apply to {rule.name}, only to Strong-DFC")
    for name in ("save_lu_loss", "save_H_angle", "save_ratio_ff_fb"):
        if values[name] and not rule.controlled:
            raise UsageError(f"--{name}: does not apply to {rule.name}, only to rules with a controller")
    if values["teacher_linear"] and values["teacher_size_hidden"] == "0":
        raise UsageError("--teacher_linear: needs --teacher_size_hidden")


def check_settings(settings):
    """Raises UsageError for settings that no run can have."""
    _check_data(settings)
    _check_dynamics(settings)
    _check_measurements(settings)


def _check_data(settings):
    name, output = settings.dataset, settings.output_activation
    if settings.train_samples and settings.task == "regression":
        raise UsageError(
            f"--train_samples={settings.train_samples}: does not apply to --dataset={name}; see --num_train"
        )
    if settings.task == "classification" and output != "softmax":
        raise UsageError(
            f"--output_activation={output}: must be softmax for --dataset={name}, which is a classification"
        )
    if settings.task != "classification" and output == "softmax":
        raise UsageError(f"--output_activation=softmax: does not apply to --dataset={name}, which is no classification")
    rule = settings.rule
    if rule.outputs and settings.activations[-1] not in rule.outputs:
        raise UsageError(
            f"--output_activation={output}: must be {', '.join(rule.outputs)} or softmax for --network_type={rule.name}"
        )
    ends = {"size_input": BY_FLAG[name].inputs, "size_output": BY_FLAG[name].outputs}
    for flag, right in ends.items():
        size = getattr(settings, flag)
        if right not in (None, size):
            raise UsageError(f"--{flag}={size}: must be {right} for --dataset={name}")


def _check_dynamics(settings):
    """Refuses a simulation without steps: later it would be divided by their number."""
    if settings.rule.simulates and settings.steps < 2:
        raise UsageError(f"--tmax_di={settings.tmax_di}: must be at least 2 time points, rounded")
    learns_feedback = settings.rule.learns_feedback and not settings.freeze_fb_weights
    if learns_feedback and not _normal(settings) and settings.steps_fb < 2:
        raise UsageError(f"--tmax_di_fb={settings.tmax_di_fb}: must be at least 2 time points, truncated")
    if learns_feedback and settings.fb_learning_rule == "old_learning_rule" and not settings.ndi:
        raise UsageError("--fb_learning_rule=old_learning_rule: needs --ndi, whose steady state it learns from")


def _check_measurements(settings):
    if settings.angles_wanted and not (settings.save_logs or settings.save_df):
        flag = next(name for name in published.ANGLES if getattr(settings, name))
        raise UsageError(f"--{flag}: needs --save_df or --save_logs, which say where its numbers go")
    if settings.plot_autoencoder_images and settings.task != "autoencoder":
        names = ", ".join(name for name, about in BY_FLAG.items() if about.task == "autoencoder")
        raise UsageError(f"--plot_autoencoder_images: does not apply to --dataset={settings.dataset}, only to {names}")


def _unless(holds, why):
    return "" if holds else why


def _control(s):
    return _unless(s.rule.controlled, f"for {s.rule.name}")


def _simulation(s):
    return _control(s) or _unless(s.rule.simulates, f"for {s.rule.name}, which simulates nothing in the forward phase")


def _learned(s):
    return _unless(s.rule.learns_feedback, f"for {s.rule.name}") or _unless(
        not s.freeze_fb_weights, "with --freeze_fb_weights"
    )


def _normal(s):
    # A joint rule has a simulation of its own for Q.
    simulates = s.rule.joint or s.fb_learning_rule == "normal_controller"
    return _unless(simulates, f"with --fb_learning_rule={s.fb_learning_rule}, which simulates nothing")


def _simulated_at_all(s):
    # Eigenvalues depend on time constants, which are fitted to time steps and filters.
    if _control(s) or s.rule.simulates or s.save_eigenvalues:
        return _control(s)
    return _normal(s) and f"for {s.rule.name} {_normal(s)}"


def _logged(s):
    return _unless(s.save_logs, "without --save_logs")


def _compared(s):
    return _unless(not s.rule.reference, f"for {s.rule.name}")


def _noise_on_gpu(s):
    drawn = not _learned(s) or (s.noisy_dynamics and not _simulation(s))
    return _unless(s.backend != "numpy", "with --backend=numpy") or _unless(drawn, "in a run without noise")


# Maps a condition to a function of the Settings that says why it is not met, or ""; in the order of the notes.
MISSING = {
    published.TEACHER: lambda s: _unless(s.task == "regression", f"with --dataset={s.dataset}"),
    published.ADAM: lambda s: _unless(s.optimizer == "Adam", f"with --optimizer={s.optimizer}"),
    published.CLASSIFICATION: lambda s: _unless(s.task == "classification", f"with --dataset={s.dataset}"),
    published.COMPARED: _compared,
    published.LOGS: lambda s: _compared(s) or _logged(s),
    published.CLIPPING: lambda s: _unless(
        s.rule.clips == "asked" or PROTOCOLS[s.protocol].clip_as_asked, f"for {s.rule.name}"
    ),
    published.FEEDBACK: lambda s: _unless(s.rule.feedback != "none", f"for {s.rule.name}"),
    published.CONTROL: _control,
    published.CONTROL_LOGS: lambda s: _control(s) or _logged(s),
    published.TABLES: lambda s: _control(s) or _unless(s.save_df or s.save_logs, "without --save_df or --save_logs"),
    published.SIMULATION: _simulation,
    published.SIMULATED: _simulated_at_all,
    published.EFFICIENT: lambda s: _simulation(s) or _unless(s.efficient_controller, f"without {published.EFFICIENT}"),
    published.LEARNED: _learned,
    published.BEFORE: lambda s: _learned(s) or _unless(s.epochs_fb, "with --epochs_fb=0"),
    published.SUCCESSOR: lambda s: _learned(s) or _unless(s.protocol == "strong2022", f"without {published.SUCCESSOR}"),
    published.NORMAL: lambda s: _learned(s) or _normal(s),
    published.ADAM_FB: lambda s: (
        _learned(s) or _unless(s.optimizer_fb == "Adam", f"with --optimizer_fb={s.optimizer_fb}")
    ),
    published.GPU: _noise_on_gpu,
    published.HOMEOSTATIC: lambda s: (
        _learned(s) or _unless(s.use_homeostatic_wd_fb, f"without {published.HOMEOSTATIC}")
    ),
}


def notes_on(options, settings, given):
    """Returns notes on Options that became Settings.

    given  names of the options that were given
    """
    return (*_idle(settings, given), *_changed(options, settings), *_surprising(settings, given))


def _idle(settings, given):
    """Yields a sentence for each reason why flags that were given do nothing in such a run."""
    idle, missing, rule = {}, {need: find(settings) for need, find in MISSING.items()}, settings.rule
    used = () if rule.from_flags else rule.Options.__dataclass_fields__
    for field in dataclasses.fields(Options):
        # Of the flags that have no effect, fb_activation gets no note, because every published experiment sets it.
        no_effect = field.metadata["help"].startswith("no effect")
        why = "(accepted as published)" if no_effect else missing.get(field.metadata["needs"])
        if why and field.name in given and field.name not in used:
            idle.setdefault(why, []).append(f"--{field.name}")
    for why in dict.fromkeys(("(accepted as published)", *missing.values())):
        if why in idle:
            yield f"without effect {why}: {', '.join(idle[why])}"


def _changed(options, settings):
    """Yields a sentence for each value that differs from the given one."""
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
    """Yields a sentence for each combination that does less than its flags say."""
    if not settings.rule.controlled:
        return
    if settings.ndi and settings.save_NDI_angle:
        yield "--save_NDI_angle compares DFC-SSA with itself, up to clipping"
    if settings.ndi and settings.compare_with_ndi:
        yield "--compare_with_ndi measures nothing for DFC-SSA"
    idle = [name for name in IDLE_IF_JOINT if name in given and settings.rule.joint]
    if idle:
        yield f"without effect for {settings.rule.name}: {', '.join(f'--{name}' for name in idle)}"
    if settings.grad_deltav_cont and settings.use_initial_activations:
        yield "--use_initial_activations does not act on the updates of --grad_deltav_cont"
    if settings.train_only_feedback_parameters and (settings.freeze_fb_weights or not settings.epochs_fb):
        reason = "--freeze_fb_weights" if settings.freeze_fb_weights else "--epochs_fb=0"
        yield f"--train_only_feedback_parameters is ignored with {reason}, so that W is trained"
    if settings.optimizer != "SGD" and "optimizer_fb" not in given and not settings.freeze_fb_weights:
        yield f"--optimizer={settings.optimizer} is for W; Q learns by --optimizer_fb=SGD"
