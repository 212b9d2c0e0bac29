"""Holds what the rules have in common that simulate the controller: options, and the end of a simulation."""

from dataclasses import dataclass

from core.backend import array_module
from dfc.controller import Controller, distance
from dfc.gradients import RuleResult, convergence, counts, steady_gradients
from dfc.simulation import simulate
from dfc.steady_state import SteadyState


@dataclass(frozen=True)
class Options:
    """Holds the options of DFC-SS and DFC.

    controller                      dfc.controller.Controller of the forward phase
    target_stepsize                 lambda
    aim                             what the output is driven to, a name of dfc.gradients.output_target
    learning_rule                   form of the error of a layer, see dfc.gradients.voltage_errors
    epsilon                         factor of the convergence test
    include_non_converged_samples   whether samples that did not converge contribute to the gradients
    use_initial_activations         whether presynaptic rates are those of the feedforward pass (no effect on DFC)
    efficient                       whether the published memory-saving variant is used; it has another convergence
                                    test, and for DFC another sum
    sample0_error                   whether the first error compares every sample's target with the output of the
                                    batch's first sample, as the published memory-saving variant does when it simulates
                                    layer by layer
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


def options_from_flags(flags):
    """Returns the Options from {flag: value} of main.py, and the forward phase's "controller"."""
    layerwise = flags["inst_transmission"] or flags["inst_system_dynamics"] or flags["simulate_layerwise"]
    return Options(
        controller=flags["controller"],
        target_stepsize=flags["target_stepsize"],
        learning_rule=flags["learning_rule"],
        epsilon=flags["epsilon_di"],
        include_non_converged_samples=flags["include_non_converged_samples"],
        use_initial_activations=flags["use_initial_activations"],
        efficient=flags["efficient_controller"],
        sample0_error=flags["efficient_controller"] and layerwise and flags["sample0_error"] == "published",
        clip_grad_norm=flags["clip_grad_norm"],
        aim=flags["aim"],
    )


def first_error(activities, state, options):
    """Returns the distance of r_L from r* at the first time point (n,), for the convergence test.

    The source is docs/published/dfc.md B.5.
    """
    output = activities.first_output[..., None, :] if options.sample0_error else activities.r[-1]
    return distance(state.controller.error, state.target, output)


def noisy(options):
    """Returns whether the controller of the forward phase has noise."""
    return options.controller.sigma is not None


def gradients_at_the_end(net, activities, wanted, options, out, noise):
    """Returns the RuleResult of the last time point of one simulation.

    The sources are docs/published/dfc.md B.4, B.6 and C.2.

    net         FeedbackNetwork with feedback weights of all layers
    activities  its feedforward pass
    wanted      output target (n, n_L)
    out         arrays like net.parameters, into which the gradients are written
    noise       see dfc.simulation.simulate
    """
    state = simulate(net, activities, wanted, options.controller, noise)
    converged, diverged = convergence(activities, state, first_error(activities, state, options), options.epsilon)
    steady = settle(activities, state, converged, options)
    steady_gradients(net, activities, steady, options, out)
    return RuleResult(out, steady, counts(converged, diverged), converged, diverged)


def settle(activities, state, converged, options):
    """Returns the SteadyState at the last time point.

    Samples that did not converge get the values of the feedforward pass, unless the options include them.

    activities  the feedforward pass
    state       dfc.controller.ControlledNetwork after the simulation
    converged   (n,) bool
    """
    delta_v = [vs - vb for vs, vb in zip(state.vs, state.vb, strict=True)]
    if options.include_non_converged_samples:
        return SteadyState(state.u, delta_v, state.vs, state.r)
    xp, keep = array_module(state.u), converged[..., None]

    def choose(ours, otherwise):
        return [xp.where(keep, a, b) for a, b in zip(ours, otherwise, strict=True)]

    return SteadyState(
        xp.where(keep, state.u, 0.0),
        [xp.where(keep, each, 0.0) for each in delta_v],
        choose(state.vs, activities.v),
        choose(state.r, activities.r),
    )
