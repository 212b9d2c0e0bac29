"""Holds one batch as the measurements of dfc.measures.table see it, and the functions that the table names.

Layers count from 0 in the code; the published names and tags count from 1.
"""

from functools import cached_property

from core.angles import angle, joint_angle
from core.backend import array_module, shares, to_host
from dfc.gradients import output_target
from dfc.measures.angles import bp_update, gn_update, gnt_update, nullspace_ratios, ssa_update
from dfc.measures.feedback_diagnostics import feedback_fit
from dfc.measures.stability import activity_norms, deviation_of_norms, distance_to_ssa, largest_eigenvalues
from dfc.simulation import simulate


class Observation:
    """Holds a batch and what several measurements need of it, each computed once and at its first use.

    settings  dfc.settings.records.MeasurementSettings
    learner   dfc.learners.ForwardLearner, whose network is measured
    report    dfc.gradients.BatchReport
    """

    def __init__(self, settings, learner, report):
        self.settings, self.net, self.options, self.noise = settings, learner.net, learner.options, learner.noise
        self.report, self.activities, self.target = report, report.activities, report.target

    @cached_property
    def rates(self):
        """Returns the rates at rest, L arrays (n, n_l)."""
        return joined(self.report.results, lambda steady: steady.r)

    @property
    def own(self):
        """Returns the update of the rule: its gradients, clipped."""
        return self.report.gradients

    @cached_property
    def bp(self):
        """Returns the update of backpropagation."""
        return bp_update(self.net, self.activities, self.target)

    @cached_property
    def gn(self):
        """Returns the damped Gauss-Newton update."""
        return gn_update(self.net, self.activities, self.target, self.settings.gn_damping)

    @cached_property
    def gnt_at_rest(self):
        """Returns the minimum-norm update with presynaptic rates at rest."""
        return self._minimum_norm(self.rates)

    @cached_property
    def gnt_feedforward(self):
        """Returns the minimum-norm update with presynaptic rates of the feedforward pass."""
        return self._minimum_norm(None)

    def _minimum_norm(self, rates):
        damping, nonlinear = self.settings.gn_damping, "use_nonlinear_gnt" in self.settings.switches
        return gnt_update(self.net, self.activities, self.target, damping, nonlinear, rates)

    @property
    def gnt(self):
        """Returns the minimum-norm update that --use_ss_gnt chooses, at rest only for controlled rules."""
        at_rest = "use_ss_gnt" in self.settings.switches and self.settings.rule.controlled
        return self.gnt_at_rest if at_rest else self.gnt_feedforward

    @cached_property
    def ndi(self):
        """Returns the update of DFC-SSA with the presynaptic rates of the rule that is trained."""
        return ssa_update(self.net, self.activities, self.target, self.settings, self.calm_rates)

    @cached_property
    def calm_rates(self):
        """Returns the rates at rest, low-passed for Strong-DFC, whose noise never rests (strong_dfc.md 8)."""
        if not self.settings.rule.joint or self.options.controller.sigma is None:
            return self.rates
        share = self.options.controller.dt / self.settings.tau_f
        return low_passed_rates(self.net, self.report, self.options, self.noise, share)

    @cached_property
    def fit(self):
        """Returns {measure: how well the feedback weights fit the Jacobian} for the flags, see feedback_fit."""
        flags = {
            "condition_gn": {"save_condition_gn", "compute_gn_condition_init"},
            "jac_transpose": {"save_jac_t_angle"},
            "jac_pinv": {"save_jac_pinv_angle"},
        }
        asked = [name for name, any_of in flags.items() if any_of & self.settings.switches]
        return feedback_fit(self.net, self.activities, self.settings.gn_damping, asked)

    @cached_property
    def eigenvalues(self):
        """Returns the largest real parts (n,) per stability matrix, at rest.

        Samples that did not converge have the values of the feedforward pass.
        """
        return self._eigenvalues(joined(self.report.results, lambda steady: steady.v))

    @cached_property
    def eigenvalues_before_correction(self):
        """Returns the largest real parts (n,) per stability matrix, at the last time point.

        Samples that did not converge keep their own values.
        """
        return self._eigenvalues(before_correction(self.net, self.report, self.options, self.noise))

    def _eigenvalues(self, voltages):
        s = self.settings
        found = largest_eigenvalues(self.net, voltages, s.alpha_di, s.time_constant_ratio, s.k_p)
        return [array_module(*voltages).asarray(values) for values in found.values()]

    @cached_property
    def norms(self):
        """Returns the norms of the activities, arrays (n,), see activity_norms."""
        return list(activity_norms(self.activities).values())

    @cached_property
    def deviations(self):
        """Returns a list with one array (n,): how much the norms of a sample differ between layers."""
        return [deviation_of_norms(self.activities)]


def weight_angles(one, other):
    """Returns the function that measures the angle per layer between the weights of two updates.

    one, other  names of updates of Observation
    """
    return lambda seen: _angles(seen.net.weights_of, getattr(seen, one), getattr(seen, other))


def bias_angles(one, other):
    """Returns the function that measures the angle per layer between the biases of two updates."""
    return lambda seen: _angles(seen.net.biases_of, getattr(seen, one), getattr(seen, other))


def _angles(part, one, other):
    return [angle(a, b) for a, b in zip(part(one), part(other), strict=True)]


def network_angle(one, other):
    """Returns the function that measures the angle between two updates of all parameters together."""
    return lambda seen: [joint_angle(getattr(seen, one), getattr(seen, other))]


def means(name):
    """Returns the function that takes the mean over the batch of each array in a list.

    name  of that list in an Observation
    """
    return lambda seen: [each.mean() for each in getattr(seen, name)]


def spreads(name):
    """Returns the function that takes the standard deviation over the batch of each array in a list.

    name  of that list in an Observation
    """
    return lambda seen: [each.std() for each in getattr(seen, name)]


def fit(measure):
    """Returns the function that measures one of feedback_diagnostics.MEASURES."""
    return lambda seen: [seen.fit[measure]]


def nullspace_shares(seen):
    """Measures the share of each weight update in the null space of the output's Jacobian."""
    return nullspace_ratios(seen.net, seen.activities, seen.own)


def distance(seen):
    """Measures the relative distance of the output at rest from that of DFC-SSA, the mean over the batch."""
    output, alpha = seen.calm_rates[-1], seen.settings.alpha_di
    return [distance_to_ssa(seen.net, seen.activities, seen.target, output, seen.options, alpha)]


def joined(results, layers):
    """Returns the arrays of all samples, from the steady states of the parts of a batch.

    layers  function of a steady state -> list of arrays (rows, n_l)
    """
    arrays = zip(*(layers(result.steady) for result in results), strict=True)
    return [array_module(*each).concatenate(each) for each in arrays]


def parts_of_batch(net, report, options, noise):
    """Yields (activities, output target, noise) of each part of the batch that the rule computed separately.

    Noise belongs to a part: other parts would have other noise.
    """
    for number, rows in enumerate(shares(report.activities.batch_size, len(report.results))):
        part = report.activities.part(rows)
        target = output_target(net, part, report.target[rows], options)
        yield part, target, noise and noise(report.place, number)


def before_correction(net, report, options, noise):
    """Returns v^S at the last time point, L arrays (n, n_l), also of samples that did not converge.

    The rule does not keep them: if any sample may have been replaced, the batch is simulated again, with the same
    noise.
    """
    if options.include_non_converged_samples:
        return joined(report.results, lambda steady: steady.v)
    parts = parts_of_batch(net, report, options, noise)
    found = [simulate(net, part, target, options.controller, own_noise).vs for part, target, own_noise in parts]
    return [array_module(*each).concatenate(each) for each in zip(*found, strict=True)]


def low_passed_rates(net, report, options, noise, share):
    """Simulates a batch again, with the same noise, and returns its low-passed rates at the last time point.

    Returns L arrays (n, n_l):

        s[0] = r[0],   s[t] = share r[t] + (1 - share) s[t-1];   r[0] of samples that fell back to the feedforward pass
    """
    found = []
    for (part, target, own_noise), result in zip(
        parts_of_batch(net, report, options, noise), report.results, strict=True
    ):
        slow = [r.copy() for r in part.r]

        def observe(t, state, slow=slow):
            if t:
                for mean, r in zip(slow, state.r, strict=True):
                    mean += share * (r - mean)

        simulate(net, part, target, options.controller, own_noise, observe)
        if not options.include_non_converged_samples:
            pairs = zip(slow, part.r, strict=True)
            slow = [array_module(mean).where(result.converged[..., None], mean, r) for mean, r in pairs]
        found.append(slow)
    return [array_module(*each).concatenate(each) for each in zip(*found, strict=True)]


def to_floats(named):
    """Returns {name: Python floats} of {name: 0-d arrays}, with one transfer from the device."""
    arrays = [array for each in named.values() for array in each]
    numbers = iter(to_host(array_module(*arrays).stack(arrays)).tolist())
    return {name: [next(numbers) for _ in each] for name, each in named.items()}
