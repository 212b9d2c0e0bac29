"""Defines direct feedback alignment (DFA) as direct linear target propagation with fixed feedback.

The source is Nokland 2016, arXiv:1609.01596.
"""

from dataclasses import dataclass

from core.backend import array_module, matmul
from dfc.gradients import nudge
from rules._rule import Rule


@dataclass(frozen=True)
class Options:
    """Holds the options of DFA.

    target_stepsize  lambda: how far along the loss gradient the output target lies
    aim              "mean_loss" or "own_loss" of dfc.gradients.nudge
    slopes           whether the errors contain phi' (docs/published/strong_dfc.md 1)
    """

    target_stepsize: float = 0.001
    aim: str = "mean_loss"
    slopes: bool = True


def layer_errors(net, activities, target, options):
    """Returns the errors of direct feedback alignment for one batch (docs/published/dfc.md F.2).

        s_L = 2 phi'_L (r_L - r*),   s_l = -2 phi'_l ((phi_L^-1(r*) - v_L) Q_l^T),   phi_L linear or sigmoid

    Without `slopes` the hidden errors lack phi'_l, as in the published Strong-DFC program.

    net         FeedbackNetwork with feedback weights of the hidden layers
    activities  its feedforward pass
    target      labels (n,) or targets (n, n_L)
    options     Options
    Returns     list of L arrays (n, n_l); not divided by n
    """
    last = len(net.weights) - 1
    difference = nudge(net, activities, target, options.target_stepsize, options.aim)
    errors = [-2.0 * (net.slope(activities, last) * difference)]
    if net.activations[last].name == "sigmoid":
        output_target = activities.r[last] + difference
        logit = array_module(difference).log(output_target / (1.0 - output_target))
        difference = logit - activities.v[last]
    hidden = [matmul(difference, q.swapaxes(-1, -2)) for q in net.feedback[:last]]
    if options.slopes:
        hidden = [net.slope(activities, l) * each for l, each in enumerate(hidden)]
    return [-2.0 * each for each in hidden] + errors


RULE = Rule(
    "DFA",
    layer_errors,
    Options,
    feedback="hidden",
    outputs=("linear", "sigmoid"),
    published={"fb_activation": "linear"},
    clips="always",
)
