"""Lists the command line of the published Strong-DFC program, and the flags of main.py for each of its flags.

The source is docs/published/strong_dfc.md 9. A switch is off unless given; lists are written a,b,c. A flag that
is not in RENAMED, OPPOSITE or WITHOUT_EFFECT has the same name and meaning in main.py.
"""

import re
from dataclasses import dataclass, fields
from functools import partial

from core.options import UsageError, option
from dfc.functions import ACTIVATIONS
from dfc.settings.flags import Options
from dfc.settings.published import COUNT, FROM_0, INITIAL_Q, INITIAL_W, OPTIMISERS, PASSES, POSITIVE, SAMPLES

# {learning rule of the published program: that of main.py}
PROGRAMS = {"bp": "BP", "dfa": "DFA", "dfc": "DFC", "dfc_single_phase": "Strong-DFC"}
BY_CONTROL = ("dfc", "dfc_single_phase")
DATASETS = ("mnist", "fashion_mnist", "mnist_autoencoder", "cifar10", "student_teacher")
CLASSIFICATIONS = ("mnist", "fashion_mnist", "cifar10")
SIZES = {"mnist": (784, 10), "fashion_mnist": (784, 10), "mnist_autoencoder": (784, 784), "cifar10": (3072, 10)}

_every = partial(option, group="of all four programs")
_bp = partial(option, group="of bp")
_dfc = partial(option, group="of dfc and dfc_single_phase")
_phases = partial(option, group="of dfc")
OWNERS = {"of bp": ("bp",), "of dfc and dfc_single_phase": BY_CONTROL, "of dfc": ("dfc",)}


@dataclass(frozen=True)
class StrongOptions:
    """Holds the published flags with their published defaults."""

    out_dir: str = _every(None, "folder of the results; default: ./logs/runs/run_<YYYY-mm-dd_HH-MM-SS>", kind=str)
    no_cuda: bool = _every(False, "compute on the CPU")
    loglevel_info: bool = _every(False, "fewer messages: no progress bar, one line per epoch")
    deterministic_run: bool = _every(False, "no effect: runs are deterministic")
    random_seed: int = _every(42, "seed of data, weights, order, noise and validation set", bounds=FROM_0)
    double_precision: bool = _every(False, "float64 instead of float32")
    test: bool = _every(
        False, "one epoch, one pass before it, one further pass of Q, two batches in each pass and evaluation"
    )
    no_plots: bool = _every(False, "no effect: logs are written with --save_logs alone")
    save_checkpoints: bool = _every(False, "no effect: every run is saved after every pass")
    checkpoint_interval: int = _every(20, "no effect, as --save_checkpoints", bounds=COUNT)
    pretrained_net_dir: str = _every(None, "folder of a finished run whose W, b and Q this one starts with", kind=str)
    epoch_summary_interval: int = _every(-1, "no effect: the series hold every epoch", bounds=COUNT, sentinel=-1)
    epochs: int = _every(2, "passes over the training samples that train W", bounds=FROM_0)
    batch_size: int = _every(128, "samples in a batch", bounds=COUNT)
    clip_grad_norm: float = _every(
        -1.0,
        "largest norm of the gradients of W and b of each layer, and of each Q; -1: off",
        bounds=POSITIVE,
        sentinel=-1,
    )
    min_acc: float = _every(0.0, "stop after the fourth epoch if the training accuracy is below", bounds="[0, 1]")
    freeze_fw_weights: bool = _every(False, "never update W and b")
    lr: str = _every("0.1", "step size of W, > 0: one number, or one per layer", metavar="LIST")
    optimizer: str = _every("SGD", "optimiser of W", choices=OPTIMISERS)
    momentum: float = _every(0.0, "momentum of SGD and RMSprop", bounds="[0, 1)")
    weight_decay: float = _every(0.0, "weight decay of W and b", bounds=FROM_0)
    adam_beta1: float = _every(0.99, "W: decay of the first moment", bounds="[0, 1)")
    adam_beta2: float = _every(0.99, "W: decay of the second moment", bounds="[0, 1)")
    adam_epsilon: str = _every(
        "1e-8", "W: added to the root of the second moment: one number, or one per layer", metavar="LIST"
    )
    dataset: str = _every("mnist", "data set", choices=DATASETS)
    no_val_set: bool = _every(False, "train on all samples")
    target_class_value: float = _every(
        1.0,
        "worth of the right class in the target; the others share the rest; 1 is 0.99 with strong feedback",
        bounds="(0, 1]",
    )
    teacher_num_train: int = _every(1000, "student_teacher: training samples", bounds=SAMPLES)
    teacher_num_test: int = _every(1000, "student_teacher: test samples", bounds=SAMPLES)
    teacher_num_val: int = _every(1000, "student_teacher: validation samples", bounds=SAMPLES)
    teacher_n_in: int = _every(10, "student_teacher: inputs", bounds=COUNT)
    teacher_n_out: int = _every(2, "student_teacher: outputs", bounds=COUNT)
    teacher_size_hidden: str = _every("5", "student_teacher: units of the teacher's hidden layers", metavar="LIST")
    teacher_linear: bool = _every(False, "student_teacher: a linear teacher instead of tanh")
    data_random_seed: int = _every(42, "student_teacher: seed of the inputs", bounds="[0, 4294967296)")
    size_hidden: str = _every("5", "units of each hidden layer: as many numbers as layers", metavar="LIST")
    hidden_activation: str = _every("linear", "of all hidden layers; the output is linear", choices=tuple(ACTIVATIONS))
    no_bias: bool = _every(False, "no biases")
    initialization: str = _every(
        "xavier_normal", "initial W", choices=tuple(name for name in INITIAL_W if name != "teacher")
    )

    only_train_first_layer: bool = _bp(False, "learn the W of the first layer only")
    only_train_last_layer: bool = _bp(False, "learn the W of the last layer only")

    lr_fb: str = _dfc("0.1", "step size of Q; 0: Q stays as it is", metavar="FLOAT")
    optimizer_fb: str = _dfc(None, "optimiser of Q; default: optimizer", choices=OPTIMISERS, kind=str)
    momentum_fb: float = _dfc(None, "momentum for Q; default: momentum", bounds="[0, 1)", kind=float)
    weight_decay_fb: float = _dfc(0.01, "weight decay of Q", bounds=FROM_0)
    adam_beta1_fb: float = _dfc(0.99, "Q: decay of the first moment", bounds="[0, 1)")
    adam_beta2_fb: float = _dfc(0.99, "Q: decay of the second moment", bounds="[0, 1)")
    adam_epsilon_fb: str = _dfc("1e-8", "Q: added to the root of the second moment", metavar="FLOAT")
    ss: bool = _dfc(False, "dfc: learn W from the last time point instead of the average over time")
    ssa: bool = _dfc(False, "dfc: analytical steady state; not with strong feedback")
    noisy_dynamics: bool = _dfc(
        False, "dfc: noise while W learns; dfc_single_phase has it always, unless --use_jacobian_as_fb"
    )
    low_pass_filter_noise: bool = _dfc(False, "dfc: coloured noise instead of white; dfc_single_phase has it always")
    tau_noise: float = _dfc(0.8, "time constant of coloured noise; lowered to tau_f", bounds=POSITIVE)
    strong_feedback: bool = _dfc(False, "drive the output to the target itself, not a nudge towards it")
    target_stepsize: float = _dfc(0.001, "lambda of the nudge", bounds=POSITIVE)
    error_as_loss_grad: bool = _dfc(False, "implied by strong_feedback, and refused without it")
    initialization_fb: str = _dfc("xavier_normal", "initial Q", choices=INITIAL_Q)
    sigma_init: float = _dfc(0.0, "std of the noise added to a weight_product Q", bounds=FROM_0)
    normalize_lr: bool = _dfc(False, "divide lr by target_stepsize")
    learning_rule: str = _dfc(
        "nonlinear_difference", "error that moves a layer", choices=("nonlinear_difference", "voltage_difference")
    )
    init_fb_epochs: int = _dfc(1, "passes that train Q before the first epoch", bounds=PASSES)
    lr_fb_init: str = _dfc(None, "step size of Q before the first epoch; default: lr_fb", kind=str, metavar="FLOAT")
    pretrain_without_controller: bool = _dfc(
        False, "dfc_single_phase: hold the output where it is before the first epoch"
    )
    freeze_fb_weights: bool = _dfc(False, "never train Q, which is then the weight_product")
    freeze_fb_weights_output: bool = _dfc(False, "keep the Q of the output layer the identity")
    extra_fb_epochs: int = _dfc(0, "further passes that train Q after each epoch", bounds=PASSES)
    scaling_fb_updates: bool = _dfc(
        False, "gradients of Q grow by 1 + tau_v / tau_noise from each layer to the one below"
    )
    include_only_converged_samples: bool = _dfc(False, "leave samples that did not converge out of the gradients of W")
    epsilon_di: float = _dfc(0.5, "converged: last error < epsilon_di^2 times the first", bounds=POSITIVE)
    inst_system_dynamics: bool = _dfc(False, "no somatic time constant")
    proactive_controller: bool = _dfc(False, "the control of a step acts in that step, in every phase")
    low_pass_filter_u: bool = _dfc(False, "layers receive a low-passed control signal")
    tau_f: float = _dfc(
        0.9, "time constant of the filters; upper bound of tau_noise and both time_constant_ratio", bounds="(0, 1)"
    )
    dt_di: float = _dfc(0.1, "Euler step; lowered to time_constant_ratio", bounds=POSITIVE)
    tmax_di: int = _dfc(10, "time points", bounds="[2, inf)")
    inst_transmission: bool = _dfc(False, "no delay from layer to layer")
    time_constant_ratio: float = _dfc(0.2, "tau_v, time constant of the soma", bounds=POSITIVE)
    sigma: float = _dfc(0.08, "std of the noise of hidden layers", bounds=FROM_0)
    sigma_output: float = _dfc(-1.0, "std of the noise of the output layer; -1: sigma", bounds=FROM_0, sentinel=-1)
    alpha_di: float = _dfc(0.001, "leak of the controller", bounds=FROM_0)
    k_p: float = _dfc(0.0, "proportional gain", bounds=FROM_0)
    apical_time_constant: float = _dfc(-1.0, "dfc: tau_A; -1: dt_di as given", bounds=POSITIVE, sentinel=-1)
    dt_di_fb: float = _dfc(-1.0, "Euler step while Q learns alone; -1: dt_di", bounds=POSITIVE, sentinel=-1)
    tmax_di_fb: int = _dfc(-1, "time points while Q learns alone; -1: tmax_di", bounds="[2, inf)", sentinel=-1)
    inst_transmission_fb: bool = _dfc(False, "no delay while Q learns alone; does not follow inst_transmission")
    time_constant_ratio_fb: float = _dfc(
        -1.0, "tau_v while Q learns alone; -1: time_constant_ratio", bounds=POSITIVE, sentinel=-1
    )
    sigma_fb: float = _dfc(-1.0, "sigma while Q learns alone; -1: sigma", bounds=FROM_0, sentinel=-1)
    sigma_output_fb: float = _dfc(-1.0, "sigma_output while Q learns alone; -1: sigma_fb", bounds=FROM_0, sentinel=-1)
    alpha_di_fb: float = _dfc(0.5, "leak of the controller while Q learns alone", bounds=FROM_0)
    k_p_fb: float = _dfc(-1.0, "proportional gain while Q learns alone; -1: k_p", bounds=FROM_0, sentinel=-1)
    apical_time_constant_fb: float = _phases(
        -1.0, "tau_A while Q learns; -1: dt_di_fb as given", bounds=POSITIVE, sentinel=-1
    )
    use_bp_updates: bool = _dfc(False, "W moves by the gradient of BP, not clipped; control and Q do not change")
    use_jacobian_as_fb: bool = _dfc(
        False, "ideal feedback J^T u; Q is not learned, and there is no noise in dfc_single_phase"
    )
    compute_jacobian_at: str = _dfc("ss", "no effect", choices=("ss", "average_ss", "full_trajectory"))
    compare_with_ndi: bool = _dfc(False, "measure the distance of the output from the analytical steady state")
    save_df: bool = _dfc(False, "write the tables of angles into the results; implied by other save_… flags")
    save_fb_statistics_init: bool = _dfc(False, "no effect")
    save_ndi_angle: bool = _dfc(False, "angles with the analytical updates")
    save_bp_angle: bool = _dfc(False, "angles with the updates of BP")
    save_H_angle: bool = _dfc(False, "angles with the updates that descend the surrogate loss H")
    save_lu_loss: bool = _dfc(False, "surrogate loss H of each epoch")
    save_ratio_ff_fb: bool = _dfc(False, "feedback drive over forward drive of each layer")
    save_condition_fb: bool = _dfc(False, "condition 2 of Q")


RENAMED = {
    "loglevel_info": "quiet",
    "deterministic_run": "cuda_deterministic",
    "pretrained_net_dir": "start_from",
    "freeze_fw_weights": "freeze_forward_weights",
    "only_train_last_layer": "shallow_training",
    "weight_decay": "forward_wd",
    "weight_decay_fb": "feedback_wd",
    **{f"adam_{name}{phase}": f"{name}{phase}" for name in ("beta1", "beta2", "epsilon") for phase in ("", "_fb")},
    "teacher_num_train": "num_train",
    "teacher_num_test": "num_test",
    "teacher_num_val": "num_val",
    "ssa": "ndi",
    "sigma_output": "output_sigma",
    "initialization_fb": "initialization_K",
    "sigma_init": "noise_K",
    "init_fb_epochs": "epochs_fb",
    "alpha_di_fb": "alpha_fb",
    "save_ndi_angle": "save_NDI_angle",
    "save_bp_angle": "save_BP_angle",
    "save_condition_fb": "save_condition_gn",
}
OPPOSITE = {
    "double_precision": "single_precision",
    "include_only_converged_samples": "include_non_converged_samples",
    "ss": "grad_deltav_cont",
}
WITHOUT_EFFECT = (
    "no_plots", "save_checkpoints", "checkpoint_interval", "epoch_summary_interval", "error_as_loss_grad",
    "compute_jacobian_at",
)  # fmt: skip
TURNED_INTO_OTHERS = ("test", "teacher_n_in", "teacher_n_out", "k_p_fb", "optimizer_fb")
OF_THE_TEACHER = (
    "teacher_num_train", "teacher_num_test", "teacher_num_val", "teacher_size_hidden", "teacher_linear",
    "data_random_seed",
)  # fmt: skip
MEASURED = ("save_ndi_angle", "save_bp_angle", "save_H_angle", "save_ratio_ff_fb", "save_condition_fb")


def translate(program, given):
    """Returns the flags of main.py, {flag: value}, for the published flags of a published program.

    program  "bp", "dfa", "dfc" or "dfc_single_phase", of run_<program>.py
    given    {published flag: value}; the others have their published defaults
    Raises   UsageError for a flag of another program, or flags that exclude each other
    """
    for field in fields(StrongOptions):
        owners = OWNERS.get(field.metadata["group"], tuple(PROGRAMS))
        if field.name in given and program not in owners:
            raise UsageError(f"--{field.name}: does not apply to {program}, only to {' and '.join(owners)}")
    options = StrongOptions(**given)
    _check(program, options, given)
    flags = {"protocol": "strong2022", "network_type": PROGRAMS[program]} | _ends(options)
    images = options.dataset != "student_teacher"
    mine = [f.name for f in fields(StrongOptions) if program in OWNERS.get(f.metadata["group"], tuple(PROGRAMS))]
    for name in mine:
        value = getattr(options, name)
        if name in OPPOSITE:
            flags[OPPOSITE[name]] = not value
        elif name not in (*WITHOUT_EFFECT, *TURNED_INTO_OTHERS) and not (images and name in OF_THE_TEACHER):
            flags[RENAMED.get(name, name)] = value
    flags |= _control(program, options) if program in BY_CONTROL else {}
    if program == "dfa":
        # The published errors are the gradient of the loss, those of main.py are -2 lambda times it.
        flags |= {"target_stepsize": 0.5, "initialization_K": options.initialization}
    flags |= _short(flags) if options.test else {}
    defaults = {field.name: field.default for field in fields(Options)}
    return {name: value for name, value in flags.items() if value != defaults[name]}


def in_published_words(sentence):
    """Returns a sentence of main.py with the published names of its flags."""
    for published, ours in RENAMED.items():
        sentence = re.sub(rf"--{ours}\b", f"--{published}", sentence)
    return sentence


def _check(program, options, given):
    if program == "dfc_single_phase":
        for name in ("ss", "ssa"):
            if getattr(options, name):
                always = "which always learns from the average over time"
                raise UsageError(f"--{name}: does not apply to dfc_single_phase, {always}")
    if options.ssa and options.strong_feedback:
        raise UsageError("--ssa: does not go together with --strong_feedback")
    if options.strong_feedback and options.include_only_converged_samples and options.dataset in CLASSIFICATIONS:
        none = "with which none converges"
        raise UsageError(f"--include_only_converged_samples: does not go together with --strong_feedback, {none}")
    if "0" in options.teacher_size_hidden.replace(" ", "").split(","):
        raise UsageError(f"--teacher_size_hidden={options.teacher_size_hidden}: a layer has at least one unit")
    if options.error_as_loss_grad and not options.strong_feedback:
        raise UsageError("--error_as_loss_grad: needs --strong_feedback, which implies it")
    if options.use_jacobian_as_fb and options.noisy_dynamics:
        raise UsageError("--use_jacobian_as_fb: does not go together with --noisy_dynamics")
    if "pretrain_without_controller" in given and program == "dfc":
        raise UsageError("--pretrain_without_controller: does not apply to dfc, only to dfc_single_phase")


def _ends(options):
    """Returns both ends of the network, sizes and activation, and the number of hidden layers if it is 1."""
    classification = options.dataset in CLASSIFICATIONS
    inputs, outputs = SIZES.get(options.dataset, (options.teacher_n_in, options.teacher_n_out))
    activation = "softmax" if classification else "linear"
    flags = {"size_input": inputs, "size_output": outputs, "output_activation": activation}
    # main.py takes one number as the size of each of its --num_hidden layers
    return flags if "," in options.size_hidden else flags | {"num_hidden": 1}


def _control(program, options):
    """Returns the flags that the programs with a controller add."""
    flags = {"fb_learning_rule": "normal_controller", "optimizer_fb": options.optimizer_fb or options.optimizer}
    flags["k_p_fb"] = options.k_p if options.k_p_fb == -1 else options.k_p_fb
    if options.ssa:
        flags["grad_deltav_cont"] = False
    if program == "dfc_single_phase":
        flags |= {"grad_deltav_cont": False, "noisy_dynamics": not options.use_jacobian_as_fb}
    if options.use_jacobian_as_fb:
        flags |= {"freeze_fb_weights": True, "epochs_fb": 0, "extra_fb_epochs": 0}
    if options.freeze_fb_weights or options.use_jacobian_as_fb:
        flags["initialization_K"] = "weight_product"
    if any(getattr(options, name) for name in MEASURED):
        flags["save_df"] = True
    return flags


def _short(flags):
    """Returns the flags of a very short run, which only shows whether everything works."""
    once = {name: 1 for name in ("epochs", "epochs_fb", "extra_fb_epochs") if name in flags}
    return once | {"first_batches": 2}
