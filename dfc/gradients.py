"""Holds what the rules of the Deep Feedback Control family have in common: targets, errors and gradients.

The source is Meulemans et al., NeurIPS 2021; docs/published/dfc.md B.6 and C.
"""

from dataclasses import dataclass, fields, replace
from typing import Any

from core.backend import array_module, matmul
from dfc.controller import distance, norms
from dfc.functions import softmax
from dfc.jacobian import pull_back
from dfc.network import Activities, of_seed
from dfc.steady_state import SteadyStates
from utils import stack

LEARNING_RULES = ("voltage_difference", "derivative_matrix", "nonlinear_difference")


@dataclass
class RuleResult:
    """Holds the results of a rule for some rows of a batch; computing them changes no weights.

    gradients  like net.parameters, [dW_0, db_0, …], to be descended: the share of these rows in the mean over the batch
    steady     dfc.steady_state.SteadyState at the end, with the feedforward values of samples that did not converge;
               None without a controller
    counts     numbers of converged, diverged and other samples, (3,) integers; None where nothing is simulated
    converged, diverged  (n,) bool at the last time point; None where nothing is simulated
    clipped    whether the rule has already clipped its gradients as `--clip_grad_norm` asks
    feedback   [dQ_0 …], the same for the feedback weights, of a rule that finds both at once; else None
    """

    gradients: list
    steady: Any = None
    counts: Any = None
    converged: Any = None
    diverged: Any = None
    clipped: bool = False
    feedback: list | None = None

    def of(self, seed):
        """Returns the part of the result that belongs to one of several seeds; `seed` is (s,)."""
        parts = {
            field.name: getattr(self, field.name) for field in fields(self) if field.name not in ("steady", "clipped")
        }
        return RuleResult(
            **{name: of_seed(part, seed) for name, part in parts.items()},
            steady=self.steady and self.steady.of(seed),
            clipped=self.clipped,
        )


@dataclass
class BatchReport:
    """Tells the watchers about a batch: a ForwardLearner's before its update, a FeedbackLearner's after it.

    phase       name of the learner: "forward", "feedback" or "pretraining"
    place       (passes before, batches before in this pass)
    target      labels (n,) or targets (n, n_L)
    activities  of the feedforward pass
    gradients   arrays like net.parameters, clipped; for a FeedbackLearner arrays like net.feedback
    results     the RuleResult of each part of the batch (ForwardLearner)
    """

    phase: str
    place: tuple
    target: Any
    activities: Activities
    gradients: list
    results: list

    def of(self, seed):
        """Returns the report of one of several seeds; `seed` is (s,)."""
        return replace(
            self,
            target=self.target[seed],
            activities=self.activities.of(seed),
            gradients=of_seed(self.gradients, seed),
            results=[result.of(seed) for result in self.results],
        )


def of_seeds(results, gradients):
    """Returns one RuleResult of all seeds, from the RuleResult of each.

    gradients  those of all seeds, of which each result has a view
    """
    first = results[0]
    arrays = {name: _stacked(results, name) for name in ("counts", "converged", "diverged")}
    steady = first.steady and SteadyStates([result.steady for result in results])
    feedback = first.feedback and stacked_lists([result.feedback for result in results])
    return RuleResult(gradients, steady, clipped=first.clipped, feedback=feedback, **arrays)


def _stacked(results, name):
    arrays = [getattr(result, name) for result in results]
    return arrays[0] if arrays[0] is None else stack(arrays)


def stacked_lists(lists):
    """Returns one list of arrays with an axis of seeds, from the list of each seed."""
    return [stack(arrays) for arrays in zip(*lists, strict=True)]


def nudge(net, activities, target, target_stepsize, aim="mean_loss"):
    """Returns r* - r_L = -lambda dLoss/dr_L (n, n_L) (docs/published/dfc.md A.6).

    aim  "mean_loss": the loss is the mean over the whole batch; "own_loss": it is that of each sample
         (docs/published/strong_dfc.md 2)
    """
    share = {"mean_loss": activities.batch_size, "own_loss": 1}[aim]
    return net.output_error(activities, target) * (-target_stepsize / share)


def output_target(net, activities, target, options):
    """Returns r* (n, n_L), the target to which the controller drives the output.

        mean_loss, own_loss  r_L - lambda dLoss/dr_L, see `nudge`
        label                the target itself: the vector of a label, or the values of a regression (strong feedback)
        output               r_L, the output of the feedforward pass

    target   labels (n,) or targets (n, n_L)
    options  has `aim`, one of these names, and `target_stepsize`, lambda
    """
    if options.aim == "label":
        return net.loss.goal(activities.r[-1], target)
    if options.aim == "output":
        return activities.r[-1]
    return activities.r[-1] + nudge(net, activities, target, options.target_stepsize, options.aim)


def initial_error(net, activities, target, options):
    """Returns the error (n, n_L) with which the controller begins: `output_target` minus r_L.

    For the aim "label" of a classification it is the goal minus softmax(r_L), as in training.
    """
    if options.aim == "label":
        output = activities.r[-1]
        return net.loss.goal(output, target) - (softmax(output) if net.loss.logits else output)
    return nudge(net, activities, target, options.target_stepsize, options.aim)


def voltage_errors(net, activities, l, basal, delta_v, learning_rule):
    """Returns the error s (n, n_l) of layer l that follows from its somatic minus its basal voltage dv.

        voltage_difference    s = -2 dv
        derivative_matrix     s = -2 phi'(v^-) dv,  v^- of the feedforward pass
        nonlinear_difference  s = -2 (phi(v_basal + dv) - phi(v_basal))

    (docs/published/dfc.md C.1)
    """
    if learning_rule == "voltage_difference":
        return -2.0 * delta_v
    if learning_rule == "derivative_matrix":
        return -2.0 * (net.slope(activities, l) * delta_v)
    return rate_errors(net, l, basal, net.activations[l].apply(basal + delta_v))


def rate_errors(net, l, basal, rates):
    """Returns the nonlinear difference (n, n_l) where the rates phi(v_basal + dv) are known."""
    change = net.activations[l].apply(basal)
    change -= rates
    change *= 2.0
    return change


def steady_gradients(net, activities, steady, options, gradients):
    """Writes the gradients that follow from the voltages at rest: dW_l = s^T r_{l-1} / n, db_l the mean of s.

    The presynaptic rates are those at rest, or with `use_initial_activations` those of the feedforward pass
    (docs/published/dfc.md C.2).

    gradients  arrays like net.parameters, overwritten
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
        layer_gradients(below, errors, 1.0 / activities.batch_size, *net.of_layer(gradients, l))


def layer_gradients(presynaptic, delta, scale, weights, biases=None):
    """Writes the gradients of one layer: scale delta^T h, and scale times the sum of delta over the rows.

    presynaptic  h, rates below the layer (n, inputs)
    delta        errors (n, units)
    scale        number, 1 / samples for a mean
    weights      (units, inputs), overwritten
    biases       (units,), overwritten; None for a layer without biases
    """
    scaled = delta * scale
    matmul(scaled.swapaxes(-1, -2), presynaptic, out=weights)
    if biases is not None:
        scaled.sum(axis=-2, out=biases)


def write_loss_gradients(net, activities, target, gradients):
    """Overwrites arrays like net.parameters with the gradients of the loss (docs/published/dfc.md F.1)."""
    slopes = [net.derivative(activities, l) for l in range(len(net.weights))]
    errors = pull_back(net, slopes, slopes[-1] * net.output_error(activities, target))
    for l, error in enumerate(errors):
        layer_gradients(activities.presynaptic(l), error, 1.0 / activities.batch_size, *net.of_layer(gradients, l))


def empty_gradients(net):
    """Returns uninitialised arrays like net.parameters."""
    return [array_module(p).empty_like(p) for p in net.parameters]


def convergence(activities, state, first_error, epsilon):
    """Returns (converged, diverged), (n,) bool each (docs/published/dfc.md B.6).

        d = |r* - alpha u - r_L| / |r_L^-|;   converged: d < 1e-5 and |e| < epsilon^2 |e_first|;   diverged: d > 1

    Distances |…| between target and output are those of the controller's error (dfc.controller.distance;
    docs/published/strong_dfc.md 4). Samples that are not a number are neither converged nor diverged.

    state        dfc.controller.ControlledNetwork
    first_error  |e_first| (n,)
    """
    controller = state.controller
    rest = distance(controller.error, state.target - controller.alpha * state.u, state.r[-1]) / norms(activities.r[-1])
    converged = (rest < 1e-5) & (state.output_distance() < epsilon * epsilon * first_error)
    return converged, rest > 1.0


def counts(converged, diverged):
    """Returns the numbers of converged, diverged and other samples: (3,) integers, or (S, 3) for S seeds."""
    kinds = converged, diverged, ~converged & ~diverged
    return array_module(converged).stack([kind.sum(axis=-1) for kind in kinds], axis=-1)
