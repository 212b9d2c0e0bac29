"""Lists the published flags of system 2, each with its published default.

A switch is off unless given. The option that another one follows, and the options without which it has no effect,
are in its row. Lists are text, written [a, b, c], in brackets or parentheses or without; args.txt has them as
they were given.
"""

from dataclasses import dataclass
from functools import partial

from core.optimisers import OPTIMISERS
from core.options import LAYERS, as_path, option
from datasets.catalogue import BY_FLAG
from dfc.feedback_learning import Q_RULES
from dfc.functions import ACTIVATIONS
from dfc.gradients import LEARNING_RULES

INITIAL_Q = ("weight_product", "orthogonal", "xavier", "xavier_normal")
INITIAL_W = ("orthogonal", "xavier", "xavier_normal", "teacher")
# The published choices.
NETWORK_TYPES = ("DFC", "DTP", "BP", "DFA")
# Flags of measurements of angles, or made together with them; they need --save_df or --save_logs.
ANGLES = (
    "save_BP_angle", "save_GN_angle", "save_GNT_angle", "save_NDI_angle", "save_GN_GNT_angle", "save_BP_GNT_angle",
    "save_GNT_ss_no_ss_angle", "gn_damping_hpsearch", "save_nullspace_norm_ratio", "save_condition_gn",
)  # fmt: skip

_data = partial(option, group="dataset")
_training = partial(option, group="training")
_adam = partial(option, group="adam")
_network = partial(option, group="network")
_misc = partial(option, group="misc")
_log = partial(option, group="logging")
_control = partial(option, group="dynamical_inversion")
_dfc = partial(option, group="dfc")

# Conditions without which a flag has no effect, as --help prints them; dfc/settings/checks.py tests them.
TEACHER, ADAM, ADAM_FB = "--dataset=student_teacher", "--optimizer=Adam", "--optimizer_fb=Adam"
COMPARED, CLIPPING = "a rule other than BP", "a rule that clips as asked"
FEEDBACK, LEARNED = "a rule with feedback weights", "feedback weights that learn"
NORMAL, HOMEOSTATIC = "--fb_learning_rule=normal_controller", "--use_homeostatic_wd_fb"
SUCCESSOR = "--protocol=strong2022"
CONTROL, SIMULATION, EFFICIENT = "a rule with a controller", "a simulated controller", "--efficient_controller"
GPU = "a GPU and a rule with noise"
CLASSIFICATION, SIMULATED = "a classification", "a controller that is simulated in some phase"
LOGS, CONTROL_LOGS = "a rule other than BP, and --save_logs", "a rule with a controller, and --save_logs"
TABLES, BEFORE = "a rule with a controller, and --save_df or --save_logs", "passes that train Q before the first epoch"

POSITIVE, FROM_0, COUNT, FINITE = "(0, inf)", "[0, inf)", "[1, inf)", "(-inf, inf)"
# More passes of Q would take years; more samples fit into no memory.
PASSES, SAMPLES = "[0, 1000000]", "[1, 1000000000]"


@dataclass(frozen=True)
class PublishedOptions:
    """Holds the published options as given, before `dfc.settings.resolve`."""

    # --data was the published abbreviation; --data_dir below would make it ambiguous.
    dataset: str = _data("student_teacher", "data set", choices=tuple(BY_FLAG), names=("--data",))
    num_train: int = _data(1000, "training samples", bounds=SAMPLES, needs=TEACHER)
    num_test: int = _data(1000, "test samples", bounds=SAMPLES, needs=TEACHER)
    num_val: int = _data(1000, "validation samples", bounds=SAMPLES, needs=TEACHER)
    no_preprocessing_mnist: bool = _data(False, "no effect (deprecated)")
    no_val_set: bool = _data(False, "train on all samples; no validation set and no *_val_* result")
    load_ST_dataset: bool = _data(False, "load the arrays from the data folder instead of drawing them", needs=TEACHER)

    epochs: int = _training(100, "passes over the training samples that train W", bounds=FROM_0)
    batch_size: int = _training(128, "samples in a batch", bounds=COUNT)
    lr: str = _training(
        "0.1",
        "step size of W: one number, or one per layer, e.g. [0.1, 0.01]",
        metavar="LIST",
        entries=float,
        bounds=POSITIVE,
    )
    lr_fb: str = _training(
        "0.1", "step size of Q; 0: Q stays as it is", entries=float, one=True, bounds=FROM_0, needs=LEARNED
    )
    lr_fb_init: str = _training(
        None,
        "step size of Q before epoch 1",
        kind=str,
        entries=float,
        one=True,
        bounds=FROM_0,
        follows="lr_fb",
        needs=LEARNED,
    )
    target_stepsize: float = _training(0.001, "lambda: the output target is r_L - lambda dLoss/dr_L", bounds=POSITIVE)
    optimizer: str = _training("SGD", "optimiser of W", choices=tuple(OPTIMISERS))
    optimizer_fb: str = _training(
        "SGD", "optimiser of Q; does not follow --optimizer", choices=tuple(OPTIMISERS), needs=LEARNED
    )
    momentum: float = _training(0.0, "momentum of SGD (W) and of RMSprop (W and Q)", bounds="[0, 1)")
    sigma: float = _training(
        0.08, "std of the noise in the forward phase, with --noisy_dynamics", bounds=FROM_0, needs=CONTROL
    )
    sigma_fb: float = _training(-1.0, "std of the noise while Q learns", bounds=FROM_0, follows="sigma", needs=LEARNED)
    sigma_output_fb: float = _training(
        -1.0, "that noise in the output layer", bounds=FROM_0, follows="sigma_fb", needs=NORMAL
    )
    forward_wd: float = _training(0.0, "weight decay of W", bounds=FROM_0)
    feedback_wd: float = _training(0.01, "weight decay of Q, or the homeostatic strength", bounds=FROM_0, needs=LEARNED)
    train_parallel: bool = _training(False, "no effect")
    normalize_lr: bool = _training(False, "divide lr by target_stepsize, also for BP and DFA")
    epochs_fb: float = _training(
        1.0, "passes that train Q before the first epoch, truncated", bounds=PASSES, needs=LEARNED
    )
    freeze_forward_weights: bool = _training(False, "compute the changes of W but never apply them")
    freeze_fb_weights: bool = _training(False, "never train Q, not even before the first epoch", needs=FEEDBACK)
    freeze_fb_weights_output: bool = _training(False, "keep the Q of the output layer the identity", needs=LEARNED)
    shallow_training: bool = _training(False, "BP only: train the last layer only")
    extra_fb_epochs: float = _training(
        0.0, "further passes that train Q after each epoch, truncated", bounds=PASSES, needs=LEARNED
    )
    extra_fb_minibatches: int = _training(0, "no effect")
    only_train_first_layer: bool = _training(False, "train the W of the first layer only")
    train_only_feedback_parameters: bool = _training(
        False, "stop after the passes before the first epoch", needs=CONTROL
    )
    clip_grad_norm: float = _training(
        -1.0,
        "largest norm of each gradient of W, and of those of Q together; 0 or less: off",
        bounds=FINITE,
        needs=CLIPPING,
    )
    grad_deltav_cont: bool = _training(
        False, "continuous updates, averaged over the simulation: the rule DFC", needs=CONTROL
    )
    fix_grad_norm: float = _training(
        -1.0, "joint norm to which the gradients of W are scaled; 0 or less: off", bounds=FINITE
    )

    beta1: float = _adam(0.99, "W: decay of the first moment", bounds="[0, 1)", needs=ADAM)
    beta2: float = _adam(0.99, "W: decay of the second moment", bounds="[0, 1)", needs=ADAM)
    epsilon: str = _adam(
        "1e-8",
        "W: added to the root of the second moment: one number, or one per layer",
        metavar="LIST",
        entries=float,
        bounds=FROM_0,
        needs=ADAM,
    )
    beta1_fb: float = _adam(0.99, "Q: decay of the first moment", bounds="[0, 1)", needs=ADAM_FB)
    beta2_fb: float = _adam(0.99, "Q: decay of the second moment", bounds="[0, 1)", needs=ADAM_FB)
    epsilon_fb: str = _adam(
        "1e-8", "Q: added to the root of the second moment", entries=float, one=True, bounds=FROM_0, needs=ADAM_FB
    )

    num_hidden: int = _network(3, "hidden layers, where size_hidden is one number", bounds=LAYERS)
    size_hidden: str = _network(
        "5", "units of every hidden layer, or of each, e.g. [256, 32, 256]", metavar="LIST", entries=int, bounds=COUNT
    )
    size_input: int = _network(10, "inputs", bounds=COUNT)
    size_output: int = _network(2, "outputs", bounds=COUNT)
    hidden_activation: str = _network(
        "tanh", f"one of {', '.join(ACTIVATIONS)}, or one per hidden layer", metavar="LIST", entries=tuple(ACTIVATIONS)
    )
    output_activation: str = _network(
        "linear",
        "of the output layer; must be softmax for classification, and only there",
        choices=(*ACTIVATIONS, "softmax"),
    )
    no_bias: bool = _network(False, "no biases")
    network_type: str = _network(
        "DFC",
        "learning rule; DFC alone is DFC-SS, with --ndi it is DFC-SSA, with --grad_deltav_cont the continuous DFC; "
        "DTP is not part of this suite",
        choices=NETWORK_TYPES,
    )
    initialization: str = _network("xavier_normal", "initial W (and Q of DFA)", choices=INITIAL_W)
    fb_activation: str = _network(
        None, "of DTP, which is not part of this suite: no effect", choices=tuple(ACTIVATIONS), kind=str
    )

    no_cuda: bool = _misc(False, "compute on the CPU; the same as --backend=numpy")
    random_seed: int = _misc(42, "seed of data, weights, order and noise", bounds=FROM_0)
    cuda_deterministic: bool = _misc(False, "no effect")
    hpsearch: bool = _misc(False, "no effect; --data_dir chooses the data folder")
    multiple_hpsearch: bool = _misc(False, "no effect; --data_dir chooses the data folder")
    single_precision: bool = _misc(False, "float32 instead of float64")
    evaluate: bool = _misc(False, "do not stop early for a low accuracy or a loss that no longer falls", needs=COMPARED)

    out_dir: str = _log(None, "folder of the results; default: ./logs/runs/run_<YYYY-mm-dd_HH-MM-SS>", kind=as_path)
    save_logs: bool = _log(False, "log norms, losses and angles at every logged batch")
    save_BP_angle: bool = _log(False, "angles between the updates and those of BP", needs=COMPARED)
    save_GN_angle: bool = _log(False, "angles with the Gauss-Newton updates (slow)", needs=COMPARED)
    save_GNT_angle: bool = _log(False, "angles with the minimum-norm updates", needs=COMPARED)
    save_NDI_angle: bool = _log(False, "angles with the updates of DFC-SSA", needs=CONTROL)
    save_BP_GNT_angle: bool = _log(False, "angles between the updates of BP and the minimum-norm ones", needs=LOGS)
    save_GN_GNT_angle: bool = _log(
        False, "angles between the Gauss-Newton and the minimum-norm updates", needs=LOGS
    )
    save_GNT_ss_no_ss_angle: bool = _log(
        False, "angles between minimum-norm updates with and without steady-state activities", needs=CONTROL_LOGS
    )
    save_condition_gn: bool = _log(False, "share of Q in the row space of the Jacobian (condition 2)", needs=CONTROL)
    save_eigenvalues: bool = _log(False, "largest eigenvalues of the controlled dynamics", needs=CONTROL)
    save_jac_t_angle: bool = _log(False, "angles between Q and the transposed Jacobian", needs=TABLES)
    save_jac_pinv_angle: bool = _log(
        False, "angles between Q and the damped pseudo-inverse of the Jacobian", needs=TABLES
    )
    save_eigenvalues_bcn: bool = _log(
        False, "the eigenvalues, with samples that did not converge as they are", needs=CONTROL
    )
    save_norm_r: bool = _log(False, "norms of the activities of each layer (condition 1)", needs=CONTROL)
    save_df: bool = _log(False, "write the tables of angles into the results", needs=COMPARED)
    gn_damping: str = _log(
        "0",
        "damping of the Gauss-Newton and minimum-norm updates",
        entries=float,
        one=True,
        bounds=FROM_0,
        needs=COMPARED,
    )
    log_interval: int = _log(200, "batches from one logged batch to the next", bounds=COUNT)
    gn_damping_hpsearch: bool = _log(False, "search gn_damping after the third epoch, then end the run", needs=COMPARED)
    save_nullspace_norm_ratio: bool = _log(
        False, "share of each update in the null space of the output's Jacobian", needs=COMPARED
    )
    save_fb_statistics_init: bool = _log(False, "no effect")
    compute_gn_condition_init: bool = _log(
        False, "mean of condition 2 in the last pass before the first epoch", needs=BEFORE
    )
    use_ss_gnt: bool = _log(False, "minimum-norm updates with steady-state activities", needs=CONTROL)
    use_nonlinear_gnt: bool = _log(
        False, "minimum-norm updates through the activations; implied by nonlinear_difference"
    )
    make_dynamics_plot: bool = _log(False, "plot the simulation of the first batch of an epoch", needs=SIMULATION)
    make_dynamics_plot_interval: int = _log(1, "epochs from one such plot to the next", bounds=COUNT, needs=SIMULATION)
    plot_autoencoder_images: bool = _log(False, "mnist_autoencoder only: draw inputs and reconstructions")

    ndi: bool = _control(False, "analytical steady state instead of a simulation: the rule DFC-SSA", needs=CONTROL)
    alpha_di: float = _control(
        0.001, "leak of the controller in the forward phase, and damping of DFC-SSA", bounds=FROM_0, needs=CONTROL
    )
    dt_di: float = _control(
        0.1, "Euler step in the forward phase, in controller time constants", bounds=POSITIVE, needs=SIMULATED
    )
    dt_di_fb: float = _control(-1.0, "Euler step while Q learns", bounds=POSITIVE, follows="dt_di", needs=NORMAL)
    tmax_di: float = _control(300.0, "time points of the forward phase, rounded", bounds=POSITIVE, needs=SIMULATED)
    tmax_di_fb: float = _control(
        -1.0, "time points while Q learns, truncated", bounds=POSITIVE, follows="tmax_di", needs=NORMAL
    )
    epsilon_di: float = _control(
        0.5, "converged: last error < epsilon_di^2 times the first", bounds=FROM_0, needs=SIMULATION
    )
    reset_K: bool = _control(False, "draw Q anew at the start of every epoch but the first", needs=FEEDBACK)
    initialization_K: str = _control("weight_product", "initial Q", choices=INITIAL_Q, needs=FEEDBACK)
    noise_K: float = _control(0.0, "std of the noise added to a weight_product Q", bounds=FROM_0, needs=CONTROL)
    compare_with_ndi: bool = _control(
        False, "measure the distance of the steady state from that of DFC-SSA", needs=CONTROL
    )

    learning_rule: str = _dfc(
        "nonlinear_difference", "error that moves a layer", choices=LEARNING_RULES, needs=COMPARED
    )
    use_initial_activations: bool = _dfc(
        False, "presynaptic activities of the forward pass in the updates", needs=CONTROL
    )
    c_homeostatic: float = _dfc(
        -1.0, "squared norm to which Q is pulled; -1: its initial one", bounds=POSITIVE, sentinel=-1, needs=HOMEOSTATIC
    )
    k_p: float = _dfc(0.0, "proportional gain in the forward phase", bounds=FROM_0, needs=CONTROL)
    k_p_fb: float = _dfc(
        None, "proportional gain while Q learns", bounds=FROM_0, kind=float, follows="k_p", needs=NORMAL
    )
    inst_system_dynamics: bool = _dfc(False, "no somatic time constant; implies inst_transmission", needs=SIMULATED)
    alpha_fb: float = _dfc(0.5, "leak of the controller while Q learns", bounds=FROM_0, needs=NORMAL)
    noisy_dynamics: bool = _dfc(False, "noise in the forward phase too", needs=SIMULATION)
    fb_learning_rule: str = _dfc(
        "special_controller", "how Q learns; old_learning_rule needs --ndi", choices=tuple(Q_RULES), needs=LEARNED
    )
    inst_transmission: bool = _dfc(False, "no delay from layer to layer in the forward phase", needs=SIMULATION)
    inst_transmission_fb: bool = _dfc(False, "no delay from layer to layer while Q learns", needs=NORMAL)
    time_constant_ratio: float = _dfc(
        1.0, "tau_v, time constant of the soma; raised to dt_di", bounds=POSITIVE, needs=CONTROL
    )
    time_constant_ratio_fb: float = _dfc(
        -1.0, "tau_v while Q learns", bounds=POSITIVE, follows="time_constant_ratio", needs=NORMAL
    )
    apical_time_constant: float = _dfc(
        -1.0, "tau_A, time constant of the apical dendrite", bounds=POSITIVE, follows="dt_di", needs=SIMULATION
    )
    apical_time_constant_fb: float = _dfc(-1.0, "tau_A while Q learns", bounds=POSITIVE, follows="dt_di", needs=NORMAL)
    use_homeostatic_wd_fb: bool = _dfc(False, "homeostatic term instead of the weight decay of Q", needs=LEARNED)
    efficient_controller: bool = _dfc(
        False, "keep the current values of the simulation only, not all of them", needs=SIMULATION
    )
    proactive_controller: bool = _dfc(False, "the control of a step acts in that step", needs=SIMULATION)
    simulate_layerwise: bool = _dfc(False, "simulate layer by layer; inst_transmission implies it", needs=SIMULATED)
    include_non_converged_samples: bool = _dfc(False, "learn from samples that did not converge too", needs=SIMULATION)
    beta_homeostatic: float = _dfc(0.01, "no effect (deprecated)", bounds=FINITE)
