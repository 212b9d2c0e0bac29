"""DFC-SS: Deep Feedback Control, learning from the simulated steady state (Meulemans et al., NeurIPS 2021)."""

from dataclasses import dataclass

from core.backend import array_module
from core.gradients import Teaching
from dfc.controller import Controller, distance
from dfc.simulation import simulate
from dfc.steady_state import SteadyState
from dfc.teaching import convergence, counts, output_target, steady_gradients
from rules._rule import Rule


@dataclass(frozen=True)
class Options:
    """What DFC-SS and DFC have in common.

    controller                      dfc.controller.Controller of the forward phase
    target_stepsize                 lambda
    aim                             what the output is driven to, a name of dfc.teaching.output_target
    learning_rule                   dfc.md C.1
    epsilon                         factor of the convergence test
    include_non_converged_samples   learn from samples that did not converge too
    use_initial_activations         presynaptic rates of the feedforward pass (no effect on DFC)
    efficient                       the published memory-saving variant; it differs in the convergence test, and for DFC in the sum
    sample0_error                   compare every sample's target, for the first error, with the output of the batch's first
                                    sample, as the published memory-saving variant does when it simulates layer by layer
    clip_grad_norm                  with `efficient`, DFC: bound on the running sum of each tensor; <= 0: none
    """

    controller: Controller
    target_stepsize: float = 0.001
    learning_rule: str = "nonlinear_difference"
    epsilon: float = 0.5
    include_non_converged_samples: bool = False
    use_initial_activations: bool = False
    efficient: bool = False
    sample0_error: bool = False
    clip_grad_norm: float = -1.0
    aim: str = "mean_loss"


def teach(net, activities, target, options, gradients, noise=None):
    """Gradients from the last time point of the simulated controller for one batch (dfc.md B.4, B.6, C.2).

    net         FeedbackNetwork with feedback weights of all layers
    activities  its feedforward pass
    target      labels (n,) or targets (n, n_L)
    options     Options
    gradients   arrays like net.parameters, overwritten
    noise       see dfc.simulation.simulate
    Returns     Teaching; samples that did not converge add nothing unless they are included
    """
    wanted = output_target(net, activities, target, options)
    state = simulate(net, activities, wanted, options.controller, noise)
    converged, diverged = convergence(activities, state, first_error(activities, state, options), options.epsilon)
    steady = settle(activities, state, converged, options)
    steady_gradients(net, activities, steady, options, gradients)
    return Teaching(gradients, steady, counts(converged, diverged), converged, diverged)


def first_error(activities, state, options):
    """The distance of r_L from r* at the first time point (n,), as the convergence test takes it (dfc.md B.5)."""
    output = activities.first_output if options.sample0_error else activities.r[-1]
    return distance(state.controller.error, state.target, output)


def noisy(options):
    """Whether the controller of the forward phase has noise."""
    return options.controller.sigma is not None


def settle(activities, state, converged, options):
    """The SteadyState at the last time point; samples that did not converge fall back to the feedforward pass."""
    delta_v = [vs - vb for vs, vb in zip(state.vs, state.vb, strict=True)]
    if options.include_non_converged_samples:
        return SteadyState(state.u, delta_v, state.vs, state.r)
    xp, keep = array_module(state.u), converged[:, None]

    def choose(ours, otherwise):
        return [xp.where(keep, a, b) for a, b in zip(ours, otherwise, strict=True)]

    return SteadyState(
        xp.where(keep, state.u, 0.0),
        [xp.where(keep, each, 0.0) for each in delta_v],
        choose(state.vs, activities.v),
        choose(state.r, activities.r),
    )


RULE = Rule("DFC-SS", None, Options, teach=teach, noisy=noisy)
