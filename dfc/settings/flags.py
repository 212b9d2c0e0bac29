"""The command line of system 2: every published flag of Deep Feedback Control with its published default, and the suite's own.

A switch is off unless given.  -1 means "as another option" wherever the help says so; dfc/settings.py puts in the value.
Lists are written [a, b, c], in brackets or parentheses or without, and arrive here as text.
"""

from dataclasses import dataclass
from functools import partial

from core.backend import BACKENDS
from core.options import as_path, option
from datasets.catalogue import BY_FLAG
from dfc.activations import ACTIVATIONS
from dfc.feedback_learning import Q_RULES
from dfc.teaching import LEARNING_RULES

INITIAL_Q = ("weight_product", "orthogonal", "xavier", "xavier_normal")
INITIAL_W = ("orthogonal", "xavier", "xavier_normal", "teacher")
NETWORK_TYPES = ("DFC", "DTP", "BP", "DFA")  # as published
OPTIMISERS = ("SGD", "RMSprop", "Adam")
ANGLES = (  # what is measured as an angle or beside one, and needs --save_df or --save_logs
    "save_BP_angle", "save_GN_angle", "save_GNT_angle", "save_NDI_angle", "save_GN_GNT_angle", "save_BP_GNT_angle",
    "save_GNT_ss_no_ss_angle", "gn_damping_hpsearch", "save_nullspace_norm_ratio", "save_condition_gn",
)  # fmt: skip
OWN = "machine and files"  # the group of the flags that are not published

_data = partial(option, group="dataset")
_training = partial(option, group="training")
_adam = partial(option, group="adam")
_network = partial(option, group="network")
_misc = partial(option, group="misc")
_log = partial(option, group="logging")
_control = partial(option, group="dynamical_inversion")
_dfc = partial(option, group="dfc")
_own = partial(option, group=OWN)

POSITIVE, NOT_NEGATIVE, COUNT, FINITE = "(0, inf)", "[0, inf)", "[1, inf)", "(-inf, inf)"


@dataclass(frozen=True)
class Options:
    """The options of main.py as given, before `dfc.settings.resolve`."""

    # --data was the published abbreviation; --data_dir below would make it ambiguous
    dataset: str = _data("student_teacher", "data set", choices=tuple(BY_FLAG), names=("--data",))
    num_train: int = _data(1000, "student-teacher: training samples", bounds=COUNT)
    num_test: int = _data(1000, "student-teacher: test samples", bounds=COUNT)
    num_val: int = _data(1000, "student-teacher: validation samples", bounds=COUNT)
    no_preprocessing_mnist: bool = _data(False, "no effect (deprecated)")
    no_val_set: bool = _data(False, "train on all samples; no validation set and no *_val_* result")
    load_ST_dataset: bool = _data(False, "load the student-teacher arrays from the data folder instead of drawing them")

    epochs: int = _training(100, "passes over the training samples that learn W", bounds=NOT_NEGATIVE)
    batch_size: int = _training(128, "samples in a batch", bounds=COUNT)
    lr: str = _training("0.1", "step size of W, > 0: one number, or one a layer, e.g. [0.1, 0.01]", metavar="LIST")
    lr_fb: str = _training("0.1", "step size of Q, > 0", metavar="FLOAT")
    lr_fb_init: str = _training(None, "step size of Q before the first epoch, > 0; default: lr_fb", kind=str, metavar="FLOAT")
    target_stepsize: float = _training(0.001, "lambda: the output target is r_L - lambda dLoss/dr_L", bounds=POSITIVE)
    optimizer: str = _training("SGD", "optimiser of W", choices=OPTIMISERS)
    optimizer_fb: str = _training("SGD", "optimiser of Q; does not follow --optimizer", choices=OPTIMISERS)
    momentum: float = _training(0.0, "momentum of SGD (W) and of RMSprop (W and Q)", bounds="[0, 1)")
    sigma: float = _training(0.08, "std of the noise in the forward phase, with --noisy_dynamics", bounds=NOT_NEGATIVE)
    sigma_fb: float = _training(-1.0, "std of the noise while Q learns; -1: sigma", bounds=NOT_NEGATIVE, sentinel=-1)
    sigma_output_fb: float = _training(-1.0, "the same in the output layer; -1: sigma_fb", bounds=NOT_NEGATIVE, sentinel=-1)
    forward_wd: float = _training(0.0, "weight decay of W", bounds=NOT_NEGATIVE)
    feedback_wd: float = _training(0.01, "weight decay of Q, or the homeostatic strength", bounds=NOT_NEGATIVE)
    train_parallel: bool = _training(False, "no effect")
    normalize_lr: bool = _training(False, "divide lr by target_stepsize, also for BP and DFA")
    epochs_fb: float = _training(1.0, "passes that learn Q before the first epoch, truncated", bounds=NOT_NEGATIVE)
    freeze_forward_weights: bool = _training(False, "compute the changes of W but never apply them")
    freeze_fb_weights: bool = _training(False, "never learn Q, not before the first epoch either")
    freeze_fb_weights_output: bool = _training(False, "keep the Q of the output layer the identity")
    shallow_training: bool = _training(False, "BP only: learn the last layer only")
    extra_fb_epochs: float = _training(0.0, "further passes that learn Q after each epoch, truncated", bounds=NOT_NEGATIVE)
    extra_fb_minibatches: int = _training(0, "no effect")
    only_train_first_layer: bool = _training(False, "learn the W of the first layer only")
    train_only_feedback_parameters: bool = _training(False, "stop after the passes before the first epoch")
    clip_grad_norm: float = _training(
        -1.0, "largest norm of each gradient of W, and of those of Q together; 0 or less: off", bounds=FINITE
    )
    grad_deltav_cont: bool = _training(False, "continuous updates, averaged over the simulation: the rule DFC")
    fix_grad_norm: float = _training(-1.0, "norm that the gradients of W together are given; 0 or less: off", bounds=FINITE)

    beta1: float = _adam(0.99, "W: decay of the first moment", bounds="[0, 1)")
    beta2: float = _adam(0.99, "W: decay of the second moment", bounds="[0, 1)")
    epsilon: str = _adam("1e-8", "W: added to the root of the second moment, >= 0: one number, or one a layer", metavar="LIST")
    beta1_fb: float = _adam(0.99, "Q: decay of the first moment", bounds="[0, 1)")
    beta2_fb: float = _adam(0.99, "Q: decay of the second moment", bounds="[0, 1)")
    epsilon_fb: str = _adam("1e-8", "Q: added to the root of the second moment, >= 0", metavar="FLOAT")

    num_hidden: int = _network(3, "hidden layers, where size_hidden is one number", bounds=COUNT)
    size_hidden: str = _network("5", "units of every hidden layer, or of each, e.g. [256, 32, 256]", metavar="LIST")
    size_input: int = _network(10, "inputs", bounds=COUNT)
    size_output: int = _network(2, "outputs", bounds=COUNT)
    hidden_activation: str = _network("tanh", f"one of {', '.join(ACTIVATIONS)}, or one a hidden layer", metavar="LIST")
    output_activation: str = _network(
        "linear", "of the output layer; must be softmax for classification, and only there", choices=(*ACTIVATIONS, "softmax")
    )
    no_bias: bool = _network(False, "no biases")
    network_type: str = _network(
        "DFC",
        "learning rule; DFC alone is DFC-SS, with --ndi it is DFC-SSA, with --grad_deltav_cont the continuous DFC; "
        "DTP is not part of this suite",
        choices=NETWORK_TYPES,
    )
    initialization: str = _network("xavier_normal", "initial W (and Q of DFA)", choices=INITIAL_W)
    fb_activation: str = _network(None, "no effect (DTP only)", choices=tuple(ACTIVATIONS), kind=str)

    no_cuda: bool = _misc(False, "compute on the CPU; the same as --backend=numpy")
    random_seed: int = _misc(42, "seed of data, weights, order and noise", bounds=NOT_NEGATIVE)
    cuda_deterministic: bool = _misc(False, "no effect")
    hpsearch: bool = _misc(False, "no effect; --data_dir chooses the data folder")
    multiple_hpsearch: bool = _misc(False, "no effect; --data_dir chooses the data folder")
    single_precision: bool = _misc(False, "float32 instead of float64")
    evaluate: bool = _misc(False, "do not stop early for a low accuracy or a loss that no longer falls (not BP)")

    out_dir: str = _log(None, "folder of the results; default: ./logs/runs/run_<YYYY-mm-dd_HH-MM-SS>", kind=as_path)
    save_logs: bool = _log(False, "log norms, losses and angles at every logged batch")
    save_BP_angle: bool = _log(False, "angles between the updates and those of BP")
    save_GN_angle: bool = _log(False, "angles with the Gauss-Newton updates (slow)")
    save_GNT_angle: bool = _log(False, "angles with the minimum-norm updates")
    save_NDI_angle: bool = _log(False, "angles with the updates of DFC-SSA")
    save_BP_GNT_angle: bool = _log(False, "angles between the updates of BP and the minimum-norm ones")
    save_GN_GNT_angle: bool = _log(False, "angles between the Gauss-Newton and the minimum-norm updates")
    save_GNT_ss_no_ss_angle: bool = _log(False, "angles between minimum-norm updates with and without steady-state activities")
    save_condition_gn: bool = _log(False, "share of Q in the row space of the Jacobian (condition 2)")
    save_eigenvalues: bool = _log(False, "largest eigenvalues of the controlled dynamics")
    save_jac_t_angle: bool = _log(False, "angles between Q and the transposed Jacobian")
    save_jac_pinv_angle: bool = _log(False, "angles between Q and the damped pseudo-inverse of the Jacobian")
    save_eigenvalues_bcn: bool = _log(False, "the eigenvalues before samples that did not converge are put back")
    save_norm_r: bool = _log(False, "norms of the activities of each layer (condition 1)")
    save_df: bool = _log(False, "put the tables of angles among the results")
    gn_damping: str = _log("0", "damping of the Gauss-Newton and minimum-norm updates, >= 0", metavar="FLOAT")
    log_interval: int = _log(200, "batches from one logged batch to the next", bounds=COUNT)
    gn_damping_hpsearch: bool = _log(False, "search gn_damping after the third epoch, then end the run")
    save_nullspace_norm_ratio: bool = _log(False, "share of each update in the null space of the output's Jacobian")
    save_fb_statistics_init: bool = _log(False, "no effect")
    compute_gn_condition_init: bool = _log(False, "mean of condition 2 in the last pass before the first epoch")
    use_ss_gnt: bool = _log(False, "minimum-norm updates with steady-state activities")
    use_nonlinear_gnt: bool = _log(False, "minimum-norm updates through the activations; implied by nonlinear_difference")
    make_dynamics_plot: bool = _log(False, "plot the simulation of the first batch of an epoch")
    make_dynamics_plot_interval: int = _log(1, "epochs from one such plot to the next", bounds=COUNT)
    plot_autoencoder_images: bool = _log(False, "mnist_autoencoder only: draw inputs and reconstructions")

    ndi: bool = _control(False, "analytical steady state instead of a simulation: the rule DFC-SSA")
    alpha_di: float = _control(0.001, "leak of the controller in the forward phase, and damping of DFC-SSA", bounds=NOT_NEGATIVE)
    dt_di: float = _control(0.1, "Euler step in the forward phase, in time constants of the controller", bounds=POSITIVE)
    dt_di_fb: float = _control(-1.0, "Euler step while Q learns; -1: dt_di", bounds=POSITIVE, sentinel=-1)
    tmax_di: float = _control(300.0, "time points of the forward phase, rounded", bounds=POSITIVE)
    tmax_di_fb: float = _control(-1.0, "time points while Q learns, truncated; -1: tmax_di", bounds=POSITIVE, sentinel=-1)
    epsilon_di: float = _control(0.5, "converged: last error < epsilon_di^2 times the first", bounds=NOT_NEGATIVE)
    reset_K: bool = _control(False, "draw Q anew at the start of every epoch but the first")
    initialization_K: str = _control("weight_product", "initial Q", choices=INITIAL_Q)
    noise_K: float = _control(0.0, "std of the noise added to a weight_product Q", bounds=NOT_NEGATIVE)
    compare_with_ndi: bool = _control(False, "measure the distance of the steady state from that of DFC-SSA")

    learning_rule: str = _dfc("nonlinear_difference", "teaching signal of a layer", choices=LEARNING_RULES)
    use_initial_activations: bool = _dfc(False, "presynaptic activities of the forward pass in the updates")
    c_homeostatic: float = _dfc(-1.0, "squared norm that Q is drawn to; -1: its initial one", bounds=POSITIVE, sentinel=-1)
    k_p: float = _dfc(0.0, "proportional gain in the forward phase", bounds=NOT_NEGATIVE)
    k_p_fb: float = _dfc(None, "proportional gain while Q learns; default: k_p", bounds=NOT_NEGATIVE, kind=float)
    inst_system_dynamics: bool = _dfc(False, "no somatic time constant; implies inst_transmission")
    alpha_fb: float = _dfc(0.5, "leak of the controller while Q learns", bounds=NOT_NEGATIVE)
    noisy_dynamics: bool = _dfc(False, "noise in the forward phase too")
    fb_learning_rule: str = _dfc("special_controller", "how Q learns; old_learning_rule needs --ndi", choices=tuple(Q_RULES))
    inst_transmission: bool = _dfc(False, "no delay from layer to layer in the forward phase")
    inst_transmission_fb: bool = _dfc(False, "no delay from layer to layer while Q learns")
    time_constant_ratio: float = _dfc(1.0, "tau_v, time constant of the soma; raised to dt_di", bounds=POSITIVE)
    time_constant_ratio_fb: float = _dfc(-1.0, "tau_v while Q learns; -1: time_constant_ratio", bounds=POSITIVE, sentinel=-1)
    apical_time_constant: float = _dfc(-1.0, "tau_A, time constant of the apical dendrite; -1: dt_di", bounds=POSITIVE, sentinel=-1)
    apical_time_constant_fb: float = _dfc(-1.0, "tau_A while Q learns; -1: dt_di", bounds=POSITIVE, sentinel=-1)
    use_homeostatic_wd_fb: bool = _dfc(False, "homeostatic term instead of the weight decay of Q")
    efficient_controller: bool = _dfc(False, "keep the current values of the simulation only, not all of them")
    proactive_controller: bool = _dfc(False, "the control of a step acts in that step (forward phase only)")
    simulate_layerwise: bool = _dfc(False, "simulate layer by layer; inst_transmission implies it")
    include_non_converged_samples: bool = _dfc(False, "learn from samples that did not converge too")
    beta_homeostatic: float = _dfc(0.01, "no effect (deprecated)", bounds=FINITE)

    backend: str = _own("auto", "array library; auto: cupy if a GPU works", choices=BACKENDS)
    device: int = _own(0, "number of the GPU; one other than 0 must exist", bounds=NOT_NEGATIVE)
    threads: int = _own(0, "threads on the CPU; 0: the cores there are, at most 4", bounds="[0, 64]")
    data_dir: str = _own(
        "", "folder with the data sets; default: datasets/ beside this program, data/ with --load_ST_dataset", kind=as_path
    )
    train_samples: int = _own(0, "images: learn from the first N training samples only; 0: all", bounds="[0, inf)")
    load: bool = _own(False, "continue the run in out_dir")
    load_or_start: bool = _own(False, "like --load, but start the run if there is none; for sweeps")
    overwrite: bool = _own(False, "delete an earlier run in out_dir and start again")
    quiet: bool = _own(False, "no progress bar and no advice, one line an epoch only")
    sample0_error: str = _own(
        "published",
        "first error of the efficient layer-by-layer simulation; published: every sample against the output of the first",
        choices=("published", "corrected"),
    )
    nan_test: str = _own(
        "published",
        "weights that end a run; published: nan or above 1000; symmetric: below -1000 too",
        choices=("published", "symmetric"),
    )
