"""What a user should know of settings that run, but not as their flags suggest: one sentence each (dfc.md J.post, L)."""

import dataclasses

from dfc.settings.flags import ANGLES, Options

DEAD = (  # accepted because they are published; fb_activation is silently so, as every published experiment gives it
    "train_parallel", "extra_fb_minibatches", "beta_homeostatic", "no_preprocessing_mnist", "hpsearch", "multiple_hpsearch",
    "save_fb_statistics_init", "cuda_deterministic",
)  # fmt: skip
STUDENT_TEACHER = ("num_train", "num_test", "num_val", "load_ST_dataset")
SIMULATED_FEEDBACK = (  # the controller while Q learns
    "dt_di_fb", "tmax_di_fb", "k_p_fb", "alpha_fb", "inst_transmission_fb", "time_constant_ratio_fb", "apical_time_constant_fb",
    "sigma_output_fb",
)  # fmt: skip
ADAM, ADAM_FB = ("beta1", "beta2", "epsilon"), ("beta1_fb", "beta2_fb", "epsilon_fb")
FEEDBACK = (  # whatever acts only while Q learns
    *SIMULATED_FEEDBACK, *ADAM_FB, "lr_fb", "lr_fb_init", "optimizer_fb", "sigma_fb", "feedback_wd", "epochs_fb", "extra_fb_epochs",
    "freeze_fb_weights_output", "fb_learning_rule", "use_homeostatic_wd_fb", "c_homeostatic", "compute_gn_condition_init",
)  # fmt: skip
SIMULATION = (  # the forward phase of DFC and DFC-SS alone
    "apical_time_constant", "epsilon_di", "noisy_dynamics", "inst_transmission", "efficient_controller", "proactive_controller",
    "include_non_converged_samples", "make_dynamics_plot", "make_dynamics_plot_interval", "sample0_error",
)  # fmt: skip
CONTROLLED = (  # measurements of a controlled network
    "save_NDI_angle", "save_condition_gn", "save_jac_t_angle", "save_jac_pinv_angle", "save_eigenvalues", "save_eigenvalues_bcn",
    "save_norm_r", "use_ss_gnt", "save_GNT_ss_no_ss_angle", "make_dynamics_plot", "make_dynamics_plot_interval",
)  # fmt: skip


def notes_on(options, settings, given):
    """The sentences on Options that became Settings; `given` has the names of the options that were asked for."""
    found = []
    for reason, names in _idle(settings):
        flags = [f"--{f.name}" for f in dataclasses.fields(Options) if f.name in given and f.name in names]
        if flags:
            found.append(f"without effect {reason}: {', '.join(flags)}")
    return (*found, *_changed(options, settings), *_surprising(settings, given))


def _idle(settings):
    """(why, names) of options that do nothing in such a run."""
    yield "(accepted as published)", DEAD
    if settings.task != "regression":
        yield f"with --dataset={settings.dataset}", STUDENT_TEACHER
    if settings.optimizer != "Adam":
        yield f"with --optimizer={settings.optimizer}", ADAM
    rule = settings.rule
    if not rule.controlled:
        yield f"for {rule.name}", _idle_without_controller(rule)
        return
    if not rule.simulates:
        yield f"for {rule.name}, which simulates nothing in the forward phase", SIMULATION
    elif not settings.efficient_controller:
        yield "without --efficient_controller", ("sample0_error",)
    if settings.freeze_fb_weights:
        yield "with --freeze_fb_weights", FEEDBACK
        return
    if settings.fb_learning_rule != "normal_controller":
        yield f"with --fb_learning_rule={settings.fb_learning_rule}, which simulates nothing", SIMULATED_FEEDBACK
    if settings.optimizer_fb != "Adam":
        yield f"with --optimizer_fb={settings.optimizer_fb}", ADAM_FB
    if not settings.use_homeostatic_wd_fb:
        yield "without --use_homeostatic_wd_fb", ("c_homeostatic",)


def _idle_without_controller(rule):
    """What a rule without a controller does not use."""
    groups = {f.name for f in dataclasses.fields(Options) if f.metadata["group"] in ("dynamical_inversion", "dfc")}
    names = {*groups, *FEEDBACK, *CONTROLLED, "sigma", "grad_deltav_cont", "sample0_error", "train_only_feedback_parameters"}
    if rule.clips != "asked":
        names.add("clip_grad_norm")
    if rule.feedback == "none":
        names.add("freeze_fb_weights")
    else:
        names -= {"initialization_K", "reset_K"}
    if rule.reference:
        names.update(ANGLES, ("evaluate", "nan_test", "gn_damping", "save_df"))
    else:
        names.remove("learning_rule")
    return names.difference(DEAD, rule.Options.__dataclass_fields__)


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
    follows = options.apical_time_constant_fb == -1 and settings.dt_di_fb != settings.dt_di
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
