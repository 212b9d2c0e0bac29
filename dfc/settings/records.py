"""What each builder of dfc/build.py needs to know of a run: small records, made from the resolved flags."""

from dataclasses import dataclass

from dfc.feedback_learning import FeedbackSettings
from dfc.phases import feedback_settings, joint_settings
from dfc.protocol import PROTOCOLS


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
    """How W learns: its optimiser, the layers that learn (from 0), and the arguments of dfc.learners.ForwardLearner.

    clip_layers    whether W_l and b_l are clipped by their joint norm;  clip_as_asked, whether every rule is
    """

    optimiser: OptimiserSettings
    layers: tuple
    clip: float
    fixed: float
    frozen: bool
    clip_layers: bool
    clip_as_asked: bool


@dataclass(frozen=True)
class FeedbackPhase:
    """How Q learns.

    rule                name in dfc.feedback_learning.Q_RULES
    rule_settings       what that rule needs in the passes of each epoch;  first_settings, in the passes before the first epoch
    optimiser           in the passes of each epoch;  first_optimiser, in the passes before the first epoch
    before, extra       numbers of passes before the first epoch, and at the end of each epoch
    output_frozen       whether the Q of the output layer stays the identity
    clip                bound on the joint norm of the gradients, or with clip_each on every norm
    homeostatic         strength of the homeostatic term, None without;  constant, the squared norm it draws to, -1: the initial one
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
        worth=flags["target_class_value"],
        kinks=PROTOCOLS[flags["protocol"]].kinks,
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
    protocol = PROTOCOLS[flags["protocol"]]
    return ForwardSettings(
        optimiser,
        layers,
        flags["clip_grad_norm"],
        flags["fix_grad_norm"],
        flags["freeze_forward_weights"],
        protocol.clip_layers,
        protocol.clip_as_asked,
    )


def feedback_phase(flags):
    """The FeedbackPhase of {flag: resolved value}; None where Q does not learn."""
    if flags["freeze_fb_weights"] or not flags["rule"].learns_feedback:
        return None
    protocol, joint = PROTOCOLS[flags["protocol"]], flags["rule"].joint
    momentum = flags["momentum_fb"]
    if not protocol.feedback_momentum:  # of the optimisers of dfc.md RMSprop alone takes the momentum
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
