"""Defines DFC-SSA: Deep Feedback Control that learns from the steady state in closed form.

The source is Meulemans et al., NeurIPS 2021.
"""

from dataclasses import dataclass

from dfc.gradients import RuleResult, nudge, steady_gradients
from dfc.steady_state import analytical_steady_state
from rules._rule import Rule


@dataclass(frozen=True)
class Options:
    """Holds the options of DFC-SSA.

    target_stepsize         lambda
    alpha_di                leak of the controller
    learning_rule           form of the error of a layer, see dfc.gradients.voltage_errors
    use_initial_activations whether presynaptic rates are those of the feedforward pass, not those of the steady state
    aim                     "mean_loss" or "own_loss" of dfc.gradients.nudge
    """

    target_stepsize: float = 0.001
    alpha_di: float = 0.001
    learning_rule: str = "nonlinear_difference"
    use_initial_activations: bool = False
    aim: str = "mean_loss"


def gradients(net, activities, target, options, out, noise=None):
    """Returns a RuleResult with gradients from the analytical steady state for one batch.

        u = (Jbar Qbar + alpha I)^-1 (r* - r_L),   dv_l = Q_l u,   dW_l = s_l^T r_{l-1} / n

    (docs/published/dfc.md B.8, C.2), with s_l by `learning_rule`, see dfc.gradients.voltage_errors.

    net         FeedbackNetwork with feedback weights of all layers
    activities  its feedforward pass
    target      labels (n,) or targets (n, n_L)
    options     Options
    out         arrays like net.parameters, into which the gradients are written
    """
    difference = nudge(net, activities, target, options.target_stepsize, options.aim)
    steady = analytical_steady_state(net, activities, difference, options.alpha_di)
    steady_gradients(net, activities, steady, options, out)
    return RuleResult(out, steady)


RULE = Rule(
    "DFC-SSA",
    Options=Options,
    gradients=gradients,
    feedback="all",
    learns_feedback=True,
    controlled=True,
    published={"network_type": "DFC", "ndi": True, "grad_deltav_cont": False},
)
