"""Defines what each part of the program needs to know of a run, as small records (see dfc/settings/parts.py)."""

from dataclasses import dataclass
from typing import Any

from dfc.feedback_learning import FeedbackSettings


@dataclass(frozen=True)
class MachineSettings:
    """Says what a run computes with; the fields are flags, and precision is "float64" or "float32"."""

    backend: str
    device: int
    host_noise: bool
    threads: int
    precision: str


@dataclass(frozen=True)
class TaskSettings:
    """Says what a run learns from (dfc.tasks.load_task); the fields are flags.

    sizes                (n_0, …, n_L)
    teacher_size_hidden  None for the large relu teacher
    seeded_split         whether the validation set depends on the seed
    """

    dataset: str
    data_dir: str
    no_val_set: bool
    train_samples: int
    sizes: tuple
    seeded_split: bool
    load_ST_dataset: bool
    random_seed: int
    seeds: str
    num_train: int
    num_test: int
    num_val: int
    teacher_size_hidden: tuple | None
    teacher_linear: bool
    data_random_seed: int
    defects: tuple


@dataclass(frozen=True)
class EvaluationSettings:
    """Says how the validation and the test set are measured; the fields are flags.

    classification  whether there is an accuracy
    weighted        whether every sample counts equally; else every batch does
    """

    batch_size: int
    first_batches: int
    classification: bool
    weighted: bool
    quiet: bool


@dataclass(frozen=True)
class StoppingSettings:
    """Says when a run ends before its last epoch; the fields are flags, and task and rule as in Settings."""

    rule: Any
    task: str
    dataset: str
    protocol: str
    evaluate: bool
    min_acc: float
    nan_test: str


@dataclass(frozen=True)
class MeasurementSettings:
    """Says what is measured while a run trains; the fields are flags.

    rule      rules._rule.Rule
    switches  names of the switches of main.py that are on, among them those that ask for measurements
    sizes     (n_0, …, n_L)
    """

    rule: Any
    switches: frozenset
    sizes: tuple
    batch_size: int
    first_batches: int
    epochs_fb: int
    extra_fb_epochs: int
    log_interval: int
    make_dynamics_plot_interval: int
    gn_damping: float
    alpha_di: float
    time_constant_ratio: float
    k_p: float
    tau_f: float
    target_stepsize: float
    learning_rule: str
    use_initial_activations: bool
    aim: str
    protocol: str
    defects: tuple


@dataclass(frozen=True)
class WatcherSettings:
    """Says which watchers accompany a run (dfc.measures.watchers.build_watchers).

    who  the beginning of their notes
    """

    measurements: MeasurementSettings
    evaluation: EvaluationSettings
    stopping: StoppingSettings
    who: str


@dataclass(frozen=True)
class NetworkSettings:
    """Describes the network and its initial weights.

    sizes           (n_0, …, n_L), the input first
    activations     names of phi_1 … phi_L
    classification  whether its loss is the cross-entropy
    biases          whether it has biases
    initial_w       name of the initialiser of W, and of Q if Q is drawn as W is
    feedback        layers that have feedback weights (rules._rule.Rule)
    initial_q       "weight_product" or the initialiser of Q
    noise_q         standard deviation of the noise that is added to weight products
    identity        whether the Q of the output layer stays the identity
    worth           of the right class in the target of a classification
    kinks           "derivative" or "slope": phi' at zero in BP (dfc.network)
    """

    sizes: tuple
    activations: tuple
    classification: bool
    biases: bool
    initial_w: str
    feedback: str
    initial_q: str
    noise_q: float
    identity: bool
    worth: float
    kinks: str


@dataclass(frozen=True)
class OptimiserSettings:
    """Names an optimiser of core.optimisers.OPTIMISERS, with its arguments.

    learning_rate and epsilon may have one number per layer.
    """

    kind: str
    learning_rate: float | tuple
    weight_decay: float
    momentum: float
    beta1: float
    beta2: float
    epsilon: float | tuple


@dataclass(frozen=True)
class ForwardSettings:
    """Says how W learns: its optimiser, the layers that learn, and arguments of dfc.learners.ForwardLearner.

    layers         numbers of these layers, from 0
    clip_layers    whether W_l and b_l are clipped by their joint norm
    clip_as_asked  whether every rule is clipped as --clip_grad_norm says
    by_bp          whether the gradient of BP moves W
    """

    optimiser: OptimiserSettings
    layers: tuple
    clip: float
    fixed: float
    frozen: bool
    clip_layers: bool
    clip_as_asked: bool
    by_bp: bool


@dataclass(frozen=True)
class FeedbackPhase:
    """Says how Q learns.

    rule                name in dfc.feedback_learning.Q_RULES
    rule_settings       FeedbackSettings in the passes of each epoch
    first_settings      FeedbackSettings in the passes before the first epoch
    optimiser           in the passes of each epoch
    first_optimiser     in the passes before the first epoch
    before, extra       numbers of passes before the first epoch, and at the end of each epoch
    output_frozen       whether the Q of the output layer stays the identity
    clip                bound on the joint norm of the gradients, or with clip_each on every norm
    homeostatic         strength of the homeostatic term; None: there is none
    constant            the squared norm to which that term pulls Q; -1: the initial one
    """

    rule: str
    rule_settings: FeedbackSettings
    first_settings: FeedbackSettings
    optimiser: OptimiserSettings
    first_optimiser: OptimiserSettings
    before: int
    extra: int
    output_frozen: bool
    clip: float
    clip_each: bool
    homeostatic: float | None
    constant: float


@dataclass(frozen=True)
class SystemSettings:
    """Says what dfc.build.build_system builds.

    rule_options  the Options of the rule
    feedback      FeedbackPhase; None if Q does not learn in passes
    reset_K       whether Q is drawn anew at the start of every epoch but the first
    """

    rule: Any
    rule_options: Any
    network: NetworkSettings
    forward: ForwardSettings
    feedback: FeedbackPhase | None
    reset_K: bool
