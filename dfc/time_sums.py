"""Computes gradients of DFC as sums over the time points of a simulation, with many time points per product.

The sources are docs/published/dfc.md B.6 and C.3.
"""

import copy
from itertools import product

from core.backend import array_module, matmul, on_device
from core.device_kernels import ADD_DIFFERENCE, KEEP, rate_difference
from dfc.feedback_learning import Fluctuations
from dfc.gradients import RuleResult, convergence, counts, empty_gradients, layer_gradients, stacked_lists
from dfc.simulated import first_error, settle
from dfc.simulation import simulate
from dfc.time_block import TIME_BLOCK, TimeBlock


def gradients_along(total, wanted, noise):
    """Returns the RuleResult that a TimeSum collects along one simulation.

    total   TimeSum or a class that extends it
    wanted  output target (n, n_L)
    noise   see dfc.simulation.simulate
    """
    net, activities, options = total.net, total.activities, total.options
    state = simulate(net, activities, wanted, options.controller, noise, total.observe, total.signalled)
    converged, diverged = convergence(activities, state, first_error(activities, state, options), options.epsilon)
    steady = settle(activities, state, converged, options)
    parts = [total]
    if total.keeps_all:
        total.leave_out(converged)
    elif not options.include_non_converged_samples and not bool(converged.all()):
        wild = diverged | ~array_module(state.u).isfinite(state.u).all(axis=-1)
        parts = [_of_one_seed(total, seed, wanted, noise, converged, wild) for seed in product(*map(range, net.seeds))]
    for part in parts:
        part.finish()
    feedback = _rejoined([part.feedback() for part in parts], net.seeds)
    return RuleResult(total.sums, steady, counts(converged, diverged), converged, diverged, feedback=feedback)


def _of_one_seed(total, seed, wanted, noise, converged, wild):
    """Returns the TimeSum of the converged samples of a seed: (s,), or () for a single network."""
    if not seed:
        return _without_others(total, wanted, noise, converged, wild)
    if bool(converged[seed].all()):
        return total.of(seed)
    return _without_others(total.of(seed), wanted[seed], noise and noise.of(seed), converged[seed], wild[seed])


def _without_others(total, wanted, noise, converged, wild):
    """Returns the TimeSum of the converged samples alone.

    If few samples failed and none overflowed, those are simulated again and subtracted. Otherwise the subtraction
    would leave rounding errors of huge terms, so the good samples are simulated again from zero.
    """
    if 2 * len(converged.nonzero()[0]) < len(converged) or len(wild.nonzero()[0]):
        return _simulate_again(total, wanted, noise, converged, total.sums)
    others = _simulate_again(total, wanted, noise, ~converged, empty_gradients(total.net))
    total.take_out(others, ~converged)
    return total


def _rejoined(parts, seeds):
    """Returns one list of arrays with an axis of seeds, from the lists of each seed.

    Arrays that were not taken apart are returned as they are.
    """
    if parts[0] is None or parts[0][0].ndim > 2 or not seeds:
        return parts[0]
    return stacked_lists(parts)


def _simulate_again(total, wanted, noise, chosen, gradients):
    """Returns the TimeSum of the `chosen` rows (n,) bool alone."""
    rows = chosen.nonzero()[0]
    again = type(total)(total.net, total.activities.part(rows), total.options, gradients)
    if len(rows):
        noise = noise and noise.again(rows)
        sums, controller = (again.observe, again.signalled), total.options.controller
        simulate(total.net, again.activities, wanted[rows], controller, noise, *sums)
    return again


class TimeSum:
    """Sums s[t]^T r[t] over time, several time points per product.

    For the first layer, whose input stands still, it sums s[t] alone.

    gradients  arrays like net.parameters, into which the sums are written
    signalled  function that dfc.simulation.simulate calls when the control signal has moved; None: nothing
    keeps_all  whether all time points are kept until the end, when it is known which samples are left out. A CPU
               leaves them out by a second simulation, before which a program would have to wait for a GPU
    """

    signalled = None

    def __init__(self, net, activities, options, gradients):
        self.net, self.activities, self.options = net, activities, options
        self._nonlinear = options.learning_rule == "nonlinear_difference"
        weighted = options.learning_rule == "derivative_matrix"
        self._slopes = [net.slope(activities, l) for l in range(len(net.weights))] if weighted else None
        self.sums = gradients
        for total in gradients:
            total[...] = 0.0
        self._xp, self._filled = array_module(activities.x), 0
        self._on_device = on_device(activities.x)
        self.keeps_all = self._on_device and not options.include_non_converged_samples
        # With room for one more time point than there are, no block is ever full.
        self._room = options.controller.steps if self.keeps_all else TIME_BLOCK
        self._first = self._xp.zeros_like(activities.v[0])

    def observe(self, t, state):
        """Adds time point t; at the first one somatic and basal voltages are equal."""
        if t == 0:
            self._begin(state)
            return
        if self._on_device and self._nonlinear:
            ADD_DIFFERENCE(self._rest, state.r[0], self._first)
        else:
            self._half_error(state, 0, out=self._scratch)
            self._first += self._scratch
        place, r = self._filled, state.r
        for l, (errors, rates) in self._blocks:
            self._half_error(state, l, out=errors.slots[place])
            rates.slots[place][...] = r[l - 1]
        self._filled += 1
        if self._filled == self._room:
            self._add_block()

    def _begin(self, state):
        self._rest = state.r[0].copy("K")
        self._first, self._scratch = self._xp.zeros_like(self._rest), self._xp.empty_like(self._rest)
        pairs = zip(state.vs[1:], state.r[:-1], strict=True)
        layers = enumerate(pairs, start=1)
        self._blocks = [(l, (TimeBlock(v, self._room), TimeBlock(r, self._room))) for l, (v, r) in layers]

    def _half_error(self, state, l, out):
        """Writes s_l / 2 of this time point to `out`: voltage_errors without their factor, which comes last."""
        if self._nonlinear and l and self._on_device:
            rate_difference(self.net.activations[l].formula)(state.vb[l], state.r[l], out)
            return
        if self._nonlinear:
            # The basal voltage of the first layer stays that of the feedforward pass.
            basal = self.net.activations[l].apply(state.vb[l], out=out) if l else self._rest
            self._xp.subtract(basal, state.r[l], out=out)
            return
        self._xp.subtract(state.vb[l], state.vs[l], out=out)
        if self._slopes:
            out *= self._slopes[l]

    def _add_block(self):
        filled, self._filled = self._filled, 0
        for l, (errors, rates) in self._blocks:
            errors, rates = errors.rows(filled), rates.rows(filled)
            weights, *biases = self.net.of_layer(self.sums, l)
            matmul(errors.swapaxes(-1, -2), rates, out=weights, add=True)
            for b in biases:
                b += errors.sum(axis=-2)

    def of(self, seed):
        """Returns the TimeSum of one seed, (s,), whose sums are views of these; for () the TimeSum itself."""
        if not seed:
            return self
        if self._filled:
            self._add_block()
        one = copy.copy(self)
        one.net, one.activities = self.net.of(seed), self.activities.of(seed)
        one.sums, one._first = [total[seed] for total in self.sums], self._first[seed]
        return one

    def leave_out(self, converged):
        """Makes samples that are not `converged` (n,) count as if they had stayed at the feedforward state.

        It needs `keeps_all`.
        """
        kept = converged.astype(self._first.dtype)
        for _, blocks in self._blocks:
            for block in blocks:
                block.keep(kept)
        KEEP(kept[..., None], self._first)

    def take_out(self, other, rows):
        """Subtracts the sums of another TimeSum, which belong to the `rows` (n,) bool of this one."""
        for each in (self, other):
            if each._filled:
                each._add_block()
        # The sums are of one seed.
        self._first[rows] = 0.0
        first = 2 if self.net.biases else 1
        for total, part in zip(self.sums[first:], other.sums[first:], strict=True):
            total -= part

    def finish(self):
        """Returns the gradients, means over the batch and all T time points."""
        if self._filled:
            self._add_block()
        scale = 2.0 / (self.activities.batch_size * self.options.controller.steps)
        for total in self.sums:
            total *= scale
        layer_gradients(self.activities.x, self._first, scale, *self.net.of_layer(self.sums, 0))
        return self.sums

    def feedback(self):
        """Returns the gradients of the feedback weights; None, because Q learns in passes of its own."""
        return None


class JointSum(TimeSum):
    """Sums also what the gradients of Q need, if options.feedback is given."""

    def __init__(self, net, activities, options, gradients):
        super().__init__(net, activities, options, gradients)
        room = self._room if self.keeps_all else 0
        self._fluctuations = Fluctuations(net, options.feedback.rate, room) if options.feedback else None
        self.signalled = self._fluctuations and self._fluctuations.observe

    def of(self, seed):
        """Returns the JointSum of one seed, (s,), whose sums are views of these; for () the JointSum itself."""
        one = super().of(seed)
        if seed and self._fluctuations:
            one._fluctuations = self._fluctuations.of(seed)
        return one

    def leave_out(self, converged):
        super().leave_out(converged)
        if self._fluctuations:
            self._fluctuations.leave_out(converged)

    def take_out(self, other, rows):
        """Subtracts the sums of another JointSum, which belong to the `rows` (n,) bool of this one."""
        super().take_out(other, rows)
        if self._fluctuations:
            self._fluctuations.take_out(other._fluctuations)

    def feedback(self):
        """Returns [dQ_0 … dQ_{L-1}], see Fluctuations.gradients; None if Q does not learn."""
        if self._fluctuations is None:
            return None
        options = self.options
        return self._fluctuations.gradients(self.activities.batch_size, options.feedback, options.controller.steps)
