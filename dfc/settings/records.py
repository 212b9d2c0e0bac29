"""What each builder of dfc/build.py needs to know of a run: small records, made from the resolved flags."""

from dataclasses import dataclass

from dfc.controller import Controller
from dfc.feedback_learning import FeedbackSettings


@dataclass(frozen=True)
class NetworkSettings:
    """The network and its initial weights.

    sizes           (n_0, …, n_L), the input first
    activations     names of phi_1 … phi_L
    classification  whether its loss is the cross-entropy
    biases          whether it has any
    initial_w       name of the initialiser of W, and of Q where Q is drawn as W is
    feedback        layers that have feedback weights (rules.Rule)
    initial_q       "weight_product" or the initialiser of Q;  noise_q, standard deviation of what is added to weight products
    identity        whether the Q of the output layer stays the identity
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


@dataclass(frozen=True)
class OptimiserSettings:
    """A name in core.optimisers.OPTIMISERS and what it may be told; learning_rate and epsilon may have one number per layer."""

    kind: str
    learning_rate: float | tuple
    weight_decay: float
    momentum: float
    beta1: float
    beta2: float
    epsilon: float | tuple


@dataclass(frozen=True)
class ForwardSettings:
    """How W learns: its optimiser, the layers that learn (from 0), and the arguments of dfc.learners.ForwardLearner."""

    optimiser: OptimiserSettings
    layers: tuple
    clip: float
    fixed: float
    frozen: bool


@dataclass(frozen=True)
class FeedbackPhase:
    """How Q learns.

    rule                name in dfc.feedback_learning.Q_RULES;  rule_settings, what that rule needs
    optimiser           in the passes of each epoch;  first_optimiser, in the passes before the first epoch
    before, extra       numbers of passes before the first epoch, and after each epoch on top of the one that precedes it
    output_frozen       whether the Q of the output layer stays the identity
    clip                bound on the joint norm of the gradients
    homeostatic         strength of the homeostatic term, None without;  constant, the squared norm it draws to, -1: the initial one
    """

    rule: str
    rule_settings: FeedbackSettings
    optimiser: OptimiserSettings
    first_optimiser: OptimiserSettings
    before: int
    extra: int
    output_frozen: bool
    clip: float
    homeostatic: float | None
    constant: float


def network_settings(flags):
    """The NetworkSettings of {flag: resolved value}."""
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
    )


def forward_settings(flags):
    """The ForwardSettings of {flag: resolved value}."""
    layers = tuple(range(len(flags["activations"])))
    if flags["only_train_first_layer"]:
        layers = layers[:1]
    elif flags["shallow_training"]:
        layers = layers[-1:]
    optimiser = OptimiserSettings(
        flags["optimizer"], flags["lr"], flags["forward_wd"], flags["momentum"], flags["beta1"], flags["beta2"], flags["epsilon"]
    )
    return ForwardSettings(optimiser, layers, flags["clip_grad_norm"], flags["fix_grad_norm"], flags["freeze_forward_weights"])


def feedback_phase(flags):
    """The FeedbackPhase of {flag: resolved value}; None where Q does not learn.

    The target is the output itself, the noise always on, control never proactive (dfc.md B.2).
    """
    if flags["freeze_fb_weights"] or not flags["rule"].learns_feedback:
        return None
    controller = Controller(
        alpha=flags["alpha_fb"],
        dt=flags["dt_di_fb"],
        steps=flags["steps_fb"],
        k_p=flags["k_p_fb"],
        tau_v=flags["time_constant_ratio_fb"],
        tau_a=flags["apical_time_constant_fb"],
        inst_transmission=flags["inst_transmission_fb"],
        inst_system_dynamics=flags["inst_system_dynamics"],
        sigma=flags["sigma_fb"],
        sigma_output=flags["sigma_output_fb"],
    )
    # of the published optimisers of Q RMSprop alone takes the momentum
    momentum = flags["momentum"] if flags["optimizer_fb"] == "RMSprop" else 0.0
    others = (flags["feedback_wd"], momentum, flags["beta1_fb"], flags["beta2_fb"], flags["epsilon_fb"])
    return FeedbackPhase(
        flags["fb_learning_rule"],
        FeedbackSettings(controller, flags["sigma_fb"], flags["alpha_di"]),
        OptimiserSettings(flags["optimizer_fb"], flags["lr_fb"], *others),
        OptimiserSettings(flags["optimizer_fb"], flags["lr_fb_init"], *others),
        before=flags["epochs_fb"],
        extra=flags["extra_fb_epochs"],
        output_frozen=flags["freeze_fb_weights_output"],
        clip=flags["clip_grad_norm"],
        homeostatic=flags["homeostatic"],
        constant=flags["c_homeostatic"],
    )
