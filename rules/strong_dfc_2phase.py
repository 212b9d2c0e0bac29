"""Defines Strong-DFC (2-phase): Q and W learn in separate passes, both with the output driven to the label.

The source is Meulemans et al., ICML 2022, arXiv:2204.07249; docs/published/strong_dfc.md 1 and 5.
"""

from dfc.gradients import output_target
from dfc.simulated import Options, gradients_at_the_end, noisy, options_from_flags
from rules._rule import Rule


def gradients(net, activities, target, options, out, noise=None):
    """Returns a RuleResult with gradients of W from the last time point of the simulated controller.

        dW_l = -2/n (phi(a_l + vs_l - vb_l) - phi(a_l))^T r_{l-1},   a_l = r_{l-1} W_l^T + b_l

    (docs/published/strong_dfc.md 5). Arguments and result are those of rules.dfc_ss.gradients; only the output
    target differs: it is the label, as options.aim says.
    """
    wanted = output_target(net, activities, target, options)
    return gradients_at_the_end(net, activities, wanted, options, out, noise)


RULE = Rule(
    "Strong-DFC-2phase",
    Options=Options,
    gradients=gradients,
    feedback="all",
    learns_feedback=True,
    controlled=True,
    simulates=True,
    published={"network_type": "DFC", "ndi": False, "grad_deltav_cont": False, "strong_feedback": True},
    from_flags=options_from_flags,
    noisy=noisy,
)
