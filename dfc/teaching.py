"""What the rules of the Deep Feedback Control family share (Meulemans et al., NeurIPS 2021; dfc.md B.6 and C)."""

from core.backend import array_module
from core.gradients import layer_gradients
from dfc.controller import norms

LEARNING_RULES = ("voltage_difference", "derivative_matrix", "nonlinear_difference")


def nudge(net, activities, target, target_stepsize):
    """r* - r_L = -lambda dLoss/dr_L (n, n_L); the loss is the mean over the whole batch (dfc.md A.6)."""
    return net.output_error(activities, target) * (-target_stepsize / activities.count)


def voltage_errors(net, activities, l, basal, delta_v, learning_rule):
    """The error s (n, n_l) of layer l that a difference of somatic and basal voltage stands for (dfc.md C.1).

        voltage_difference    s = -2 dv
        derivative_matrix     s = -2 phi'(v^-) dv,  v^- of the feedforward pass
        nonlinear_difference  s = -2 (phi(v_basal + dv) - phi(v_basal))
    """
    if learning_rule == "voltage_difference":
        return -2.0 * delta_v
    if learning_rule == "derivative_matrix":
        return -2.0 * (net.slope(activities, l) * delta_v)
    return rate_errors(net, l, basal, net.activations[l].apply(basal + delta_v))


def rate_errors(net, l, basal, rates):
    """The nonlinear difference where the rates phi(v_basal + dv) are known."""
    change = net.activations[l].apply(basal)
    change -= rates
    change *= 2.0
    return change


def steady_gradients(net, activities, steady, options, gradients):
    """Write the gradients from the voltages at rest (dfc.md C.2) to `gradients`: dW_l = s^T r_{l-1} / n, db_l the mean of s.

    The presynaptic rates are those at rest, or with `use_initial_activations` those of the feedforward pass.
    """
    for l, delta_v in enumerate(steady.delta_v):
        at_rest = l and not options.use_initial_activations
        below = steady.r[l - 1] if at_rest else activities.presynaptic(l)
        if options.learning_rule != "nonlinear_difference":
            errors = voltage_errors(net, activities, l, None, delta_v, options.learning_rule)
        elif steady.basal and at_rest:
            errors = rate_errors(net, l, steady.basal[l], steady.r[l])
        else:
            basal = net.drive(l, below) if at_rest else activities.v[l]
            errors = rate_errors(net, l, basal, net.activations[l].apply(basal + delta_v))
        layer_gradients(below, errors, 1.0 / activities.count, *of_layer(net, gradients, l))


def empty_gradients(net):
    """Uninitialised arrays like net.parameters."""
    return [array_module(p).empty_like(p) for p in net.parameters]


def of_layer(net, arrays, l):
    """The weight and, if there are biases, the bias among arrays like net.parameters."""
    return arrays[2 * l : 2 * l + 2] if net.biases else arrays[l : l + 1]


def convergence(activities, state, first_error, epsilon):
    """(converged, diverged), (n,) bool each (dfc.md B.6).

        d = |r_L - (r* - alpha u)| / |r_L^-|;   converged: d < 1e-5 and |e| < epsilon^2 |e_first|;   diverged: d > 1

    Samples that are not a number are neither.

    state        dfc.controller.ControlledNetwork
    first_error  |e_first| (n,)
    """
    rest = norms(state.r[-1] - (state.target - state.controller.alpha * state.u))
    distance = rest / norms(activities.r[-1])
    converged = (distance < 1e-5) & (state.output_distance() < epsilon * epsilon * first_error)
    return converged, distance > 1.0


def counts(converged, diverged):
    """(3,) whole numbers: converged, diverged, neither."""
    xp = array_module(converged)
    return xp.stack([converged.sum(), diverged.sum(), (~converged & ~diverged).sum()])
