"""Sums the gradients of DFC while the simulation runs, as the published memory-saving variant does."""

from core.backend import array_module
from core.clipping import clip_each
from dfc.simulated import first_error, settle
from dfc.simulation import simulate
from dfc.teaching import RuleResult, convergence, counts, empty_gradients, layer_gradients, voltage_errors


def gradients_step_by_step(net, activities, wanted, options, gradients, noise):
    """Returns the RuleResult of the published memory-saving variant (docs/published/dfc.md C.3).

    Gradients are summed while the simulation runs, and clipped after every step. Samples count as diverged step
    by step, and the divisor is T - 1.
    """
    xp = array_module(activities.x)
    step_gradients, total = empty_gradients(net), 0
    for gradient in gradients:
        gradient[...] = 0.0
    scale = 1.0 / (activities.count * (options.controller.steps - 1))

    def observe(t, state):
        nonlocal total
        if t == 0:
            return
        # The published program has 0.5 here for any epsilon.
        converged, diverged = convergence(activities, state, first_error(activities, state, options), 0.5)
        total = total + counts(converged, diverged)
        for l, (vs, vb) in enumerate(zip(state.vs, state.vb, strict=True)):
            delta_v = vs - vb
            if not options.include_non_converged_samples:
                delta_v = xp.where(diverged[..., None], 0.0, delta_v)
            below = state.r[l - 1] if l else activities.x
            basal = net.drive(l, below) if l else vb  # of the same time point, which `vb` is not where transmission takes time
            errors = voltage_errors(net, activities, l, basal, delta_v, options.learning_rule)
            layer_gradients(below, errors, scale, *net.of_layer(step_gradients, l))
        for gradient, step in zip(gradients, step_gradients, strict=True):
            gradient += step
        if options.clip_grad_norm > 0.0:
            clip_each(gradients, options.clip_grad_norm, net.seeds)

    state = simulate(net, activities, wanted, options.controller, noise, observe)
    converged, diverged = convergence(activities, state, first_error(activities, state, options), options.epsilon)
    steady = settle(activities, state, converged, options)
    return RuleResult(gradients, steady, total + counts(converged, diverged), converged, diverged, clipped=True)
