"""Defines DFC-SS: Deep Feedback Control that learns from the simulated steady state.

The source is Meulemans et al., NeurIPS 2021.
"""

from dfc.gradients import output_target
from dfc.simulated import Options, gradients_at_the_end, noisy, options_from_flags
from rules._rule import Rule


def gradients(net, activities, target, options, out, noise=None):
    """Returns a RuleResult with gradients from the last time point of the simulated controller for one batch.

        dW_l = s_l^T r_{l-1} / n,   s_l by `learning_rule`, see dfc.gradients.voltage_errors

    (docs/published/dfc.md B.4, B.6, C.2.) Samples that did not converge add nothing unless the options include
    them.

    net         FeedbackNetwork with feedback weights of all layers
    activities  its feedforward pass
    target      labels (n,) or targets (n, n_L)
    options     dfc.simulated.Options
    out         arrays like net.parameters, into which the gradients are written
    noise       see dfc.simulation.simulate
    """
    wanted = output_target(net, activities, target, options)
    return gradients_at_the_end(net, activities, wanted, options, out, noise)


RULE = Rule(
    "DFC-SS",
    Options=Options,
    gradients=gradients,
    feedback="all",
    learns_feedback=True,
    controlled=True,
    simulates=True,
    published={"network_type": "DFC", "ndi": False, "grad_deltav_cont": False},
    from_flags=options_from_flags,
    noisy=noisy,
)
