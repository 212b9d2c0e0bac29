"""Defines DFC: Deep Feedback Control that learns along the whole trajectory of the controller.

The source is Meulemans et al., NeurIPS 2021.
"""

from dfc.gradients import output_target
from dfc.simulated import Options, noisy, options_from_flags
from dfc.step_sums import gradients_step_by_step
from dfc.time_sums import TimeSum, gradients_along
from rules._rule import Rule


def gradients(net, activities, target, options, out, noise=None):
    """Returns a RuleResult with gradients averaged over the trajectory of the controller for one batch.

        dW_l = 1/(n T) sum_t s_l[t]^T r_{l-1}[t],   s_l[t] = -2 (phi(vs_l[t]) - phi(vb_l[t]))

    (docs/published/dfc.md B.4, B.6, C.3; other forms of s_l follow from --learning_rule, see
    dfc.gradients.voltage_errors.)

    The arguments are those of rules.dfc_ss.gradients. Samples that did not converge count as if they had stayed
    at the feedforward state: if there are any, either they or the others are simulated a second time, so that no
    trajectory has to be stored. A GPU stores it, and simulates once.
    """
    wanted = output_target(net, activities, target, options)
    if options.efficient:
        return gradients_step_by_step(net, activities, wanted, options, out, noise)
    return gradients_along(TimeSum(net, activities, options, out), wanted, noise)


RULE = Rule(
    "DFC",
    Options=Options,
    gradients=gradients,
    feedback="all",
    learns_feedback=True,
    controlled=True,
    simulates=True,
    averages=True,
    published={"network_type": "DFC", "ndi": False, "grad_deltav_cont": True},
    from_flags=options_from_flags,
    noisy=noisy,
    whole_batch=lambda options: options.efficient,
)
