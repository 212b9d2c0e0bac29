"""Defines Strong-DFC: one noisy simulation per batch yields the gradients of W and of Q.

The source is Meulemans et al., ICML 2022, arXiv:2204.07249.
"""

from dataclasses import dataclass

from dfc import simulated
from dfc.feedback_learning import FeedbackSettings
from dfc.gradients import output_target
from dfc.simulated import noisy
from dfc.time_sums import JointSum, gradients_along
from rules._rule import Rule


@dataclass(frozen=True)
class Options(simulated.Options):
    """Holds the options of DFC and of the learning of Q; `efficient` and `use_initial_activations` are idle.

    feedback  dfc.feedback_learning.FeedbackSettings; None: Q does not learn
    """

    feedback: FeedbackSettings | None = None


def gradients(net, activities, target, options, out, noise=None):
    """Returns a RuleResult with gradients of W from the trajectory, and of Q from its fluctuations.

        dW_l = -2/(n T) sum_t (phi(vs_l[t]) - phi(vb_l[t]))^T r_{l-1}[t]
        dQ_l = k_l/(n (T-1)) sum_t va_l[t]^T h[t+1],   h the high-passed control signal,   k_l of Fluctuations.gradients

    (docs/published/strong_dfc.md 4 and 5). The arguments are those of rules.dfc_ss.gradients. The result's
    `feedback` is dQ where Q learns.
    """
    wanted = output_target(net, activities, target, options)
    return gradients_along(JointSum(net, activities, options, out), wanted, noise)


def options_from_flags(flags):
    """Returns the Options from {flag: value} of main.py, the "controller" of the simulation and "feedback"."""
    return Options(**vars(simulated.options_from_flags(flags)) | {"efficient": False}, feedback=flags["feedback"])


RULE = Rule(
    "Strong-DFC",
    Options=Options,
    gradients=gradients,
    feedback="all",
    learns_feedback=True,
    joint=True,
    controlled=True,
    simulates=True,
    averages=True,
    from_flags=options_from_flags,
    noisy=noisy,
)
