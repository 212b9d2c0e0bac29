"""DFC-SS: Deep Feedback Control, learning from the simulated steady state (Meulemans et al., NeurIPS 2021)."""

from dfc.simulated import Options, gradients_at_the_end, noisy, options_from_flags
from dfc.teaching import output_target
from rules._rule import Rule


def gradients(net, activities, target, options, out, noise=None):
    """Gradients from the last time point of the simulated controller for one batch (dfc.md B.4, B.6, C.2).

    net         FeedbackNetwork with feedback weights of all layers
    activities  its feedforward pass
    target      labels (n,) or targets (n, n_L)
    options     dfc.simulated.Options
    out         arrays like net.parameters, where the gradients are written
    noise       see dfc.simulation.simulate
    Returns     RuleResult; samples that did not converge add nothing unless they are included
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
