"""Names what changes numbers between the two published programs (docs/published/strong_dfc.md 1)."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Protocol:
    """Holds the policies of one published program; each is read in one place.

    aim                  what a nudge descends: "mean_loss", the mean over the batch, or "own_loss", that of each sample
    clip_layers          whether gradients of W_l and b_l are clipped by their joint norm; else every array by its own
                         norm
    clip_each_feedback   whether the gradient of every Q_l is clipped by its own norm; else all by their joint norm
    clip_as_asked        whether --clip_grad_norm holds for every rule; else BP is never clipped, and DFA always, to
                         norm 1
    proactive_feedback   whether --proactive_controller also holds while Q learns
    output_scale         whether the gradient of the output layer's Q is scaled by that layer's noise; else by the
                         hidden layers'
    feedback_momentum    whether --momentum_fb holds for SGD and RMSprop of Q; else --momentum holds, for RMSprop alone
    direct_slopes        whether the errors of DFA contain phi'
    kinks                phi'(0) of relu and leakyrelu in BP: "derivative" as automatic differentiation has it, or
                         "slope", 1
    weighted_evaluation  whether every test or validation sample counts equally; else every batch counts equally
    seeded_split         whether the validation set may depend on --random_seed (--defects); else it is the same for
                         every seed
    early_stops          whether large weights, low accuracy and a plateau of the loss end a run; else only NaN and
                         --min_acc do
    normalize_all        whether --normalize_lr also holds for BP and DFA
    shorten_steps        whether a time step longer than the somatic time constant is shortened; else that constant is
                         raised to it, and time constants may exceed that of the filter, --tau_f
    apical_follows       the option whose value --apical_time_constant_fb=-1 stands for
    """

    aim: str
    clip_layers: bool
    clip_each_feedback: bool
    clip_as_asked: bool
    proactive_feedback: bool
    output_scale: bool
    feedback_momentum: bool
    direct_slopes: bool
    kinks: str
    weighted_evaluation: bool
    seeded_split: bool
    early_stops: bool
    normalize_all: bool
    shorten_steps: bool
    apical_follows: str


PROTOCOLS = {
    "dfc2021": Protocol(
        aim="mean_loss",
        clip_layers=False,
        clip_each_feedback=False,
        clip_as_asked=False,
        proactive_feedback=False,
        output_scale=False,
        feedback_momentum=False,
        direct_slopes=True,
        kinks="derivative",
        weighted_evaluation=False,
        seeded_split=False,
        early_stops=True,
        normalize_all=True,
        shorten_steps=False,
        apical_follows="dt_di",
    ),
    "strong2022": Protocol(
        aim="own_loss",
        clip_layers=True,
        clip_each_feedback=True,
        clip_as_asked=True,
        proactive_feedback=True,
        output_scale=True,
        feedback_momentum=True,
        direct_slopes=False,
        kinks="slope",
        weighted_evaluation=True,
        seeded_split=True,
        early_stops=False,
        normalize_all=False,
        shorten_steps=True,
        apical_follows="dt_di_fb",
    ),
}

# {name: what the published Strong-DFC program does, and what is done without the defect}
DEFECTS = {
    "pretraining_error": "before the first epoch the error is r* - r_L even where it is r* - softmax(r_L) later; "
    "else the same",
    "filter_constants": "the filter of Q takes dt_di and its layer scaling tau_v in every phase; "
    "else those of the phase",
    "seeded_split": "the validation set depends on the seed of the run; else it is the same for every seed",
    "three_teachers": "training, test and validation set come from three different teachers; else from one",
    "loss_per_batch": "the surrogate loss H of an epoch is divided by the batch twice; "
    "else it is the mean over the samples",
}
# Defects that a run keeps unless --defects says otherwise.
KEPT = ("pretraining_error", "filter_constants", "seeded_split")
