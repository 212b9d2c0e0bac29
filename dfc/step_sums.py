"""Sums the gradients of DFC while the simulation runs, as the published memory-saving variant does."""

import copy

from core.backend import array_module, on_device
from core.clipping import clip_each
from dfc.gradients import RuleResult, convergence, counts, empty_gradients, layer_gradients, voltage_errors
from dfc.network import Activities
from dfc.simulated import first_error, settle
from dfc.simulation import simulate
from dfc.time_block import TimeBlock

# Number of time points that a GPU computes at once.
TOGETHER = 64


class Steps:
    """Passes the time points of a simulation to a function, singly or several together as if more samples.

    add         function (dfc.controller.ControlledNetwork or its stand-in, Activities)
    activities  feedforward pass of the samples
    together    number of time points
    """

    def __init__(self, add, activities, together):
        self._add, self._activities, self._together = add, activities, together
        self._blocks, self._filled = None, 0

    def observe(self, t, state):
        """Adds time point t, unless it is the first."""
        if t == 0:
            return
        if self._together == 1:
            self._add(state, self._activities)
            return
        arrays = [state.u, *state.vs, *state.vb]
        self._state, self._blocks = state, self._blocks or [TimeBlock(each, self._together) for each in arrays]
        for block, each in zip(self._blocks, arrays, strict=True):
            block.slots[self._filled][...] = each
        self._filled += 1
        if self._filled == self._together:
            self.end()

    def end(self):
        """Passes on the time points that are left."""
        filled, self._filled = self._filled, 0
        if not filled:
            return
        state, layers = copy.copy(self._state), len(self._state.vs)
        state.u, *voltages = (block.rows(filled) for block in self._blocks)
        state.vs, state.vb = voltages[:layers], voltages[layers:]
        state.r = [activation.apply(v) for activation, v in zip(state.net.activations, state.vs, strict=True)]
        state.target = _repeated(self._state.target, filled)
        start = self._activities
        v, r = ([_repeated(each, filled) for each in arrays] for arrays in (start.v, start.r))
        self._add(state, Activities(_repeated(start.x, filled), v, r, start.batch_size, start.first_output))


def _repeated(array, times):
    """Returns the rows repeated: (n, k) -> (times * n, k)."""
    *seeds, n, k = array.shape
    return array_module(array).broadcast_to(array[..., None, :, :], (*seeds, times, n, k)).reshape(*seeds, times * n, k)


def gradients_step_by_step(net, activities, wanted, options, gradients, noise):
    """Returns the RuleResult of the published memory-saving variant (docs/published/dfc.md C.3).

    Gradients are summed while the simulation runs, and clipped after every step. Samples count as diverged step
    by step, and the divisor is T - 1.

    wanted     output target (n, n_L)
    gradients  arrays like net.parameters, overwritten
    noise      see dfc.simulation.simulate
    """
    xp = array_module(activities.x)
    step_gradients, total = empty_gradients(net), 0
    for gradient in gradients:
        gradient[...] = 0.0
    scale = 1.0 / (activities.batch_size * (options.controller.steps - 1))

    def add(state, start):
        """Adds the gradients of the samples of `state`, whose feedforward pass is `start`."""
        nonlocal total
        # The published program has 0.5 here for any epsilon.
        converged, diverged = convergence(start, state, first_error(start, state, options), 0.5)
        total = total + counts(converged, diverged)
        for l, (vs, vb) in enumerate(zip(state.vs, state.vb, strict=True)):
            delta_v = vs - vb
            if not options.include_non_converged_samples:
                delta_v = xp.where(diverged[..., None], 0.0, delta_v)
            below = state.r[l - 1] if l else start.x
            # The drive is that of this time point, which `vb` is not if transmission takes time.
            basal = net.drive(l, below) if l else vb
            errors = voltage_errors(net, start, l, basal, delta_v, options.learning_rule)
            layer_gradients(below, errors, scale, *net.of_layer(step_gradients, l))
        for gradient, step in zip(gradients, step_gradients, strict=True):
            gradient += step
        if clipped:
            clip_each(gradients, options.clip_grad_norm, net.seeds)

    # Sums that are clipped after every step cannot be added up before.
    clipped = options.clip_grad_norm > 0.0
    steps = Steps(add, activities, TOGETHER if on_device(wanted) and not clipped else 1)
    state = simulate(net, activities, wanted, options.controller, noise, steps.observe)
    steps.end()
    converged, diverged = convergence(activities, state, first_error(activities, state, options), options.epsilon)
    steady = settle(activities, state, converged, options)
    return RuleResult(gradients, steady, total + counts(converged, diverged), converged, diverged, clipped=True)
