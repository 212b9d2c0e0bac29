"""Measures the angle between the updates of a learning rule and of a reference, such as backpropagation."""

import math

import numpy as np

from core.angles import joint_angle
from core.backend import array_module, to_host
from core.roles import Watcher
from gait.gradients import add_weight_gradient, bias_gradient


def batch_update(net, rule, options, trace, target):
    """Returns the gradients of a rule for one batch, without the regulariser.

        dW_l = h_l^T delta_l / n,    db_l = mean over the samples of delta_l

    with delta_l the errors on h_{l+1} (docs/published/gait.md 2).

    net      InvNet
    rule     rules._rule.Rule with `layer_errors`
    options  the rule's Options
    trace    activities of the forward pass, h_0 (n, inputs) … h_L (n, >= classes)
    target   (n, classes)
    Returns  new arrays [dW_0, db_0, …] like net.parameters
    Raises   ArithmeticError if the rule needs an inverse that does not exist
    """
    update = [array_module(p).empty_like(p) for p in net.parameters]
    for l, delta in enumerate(rule.layer_errors(net, trace, target, options)):
        weights, biases = net.of_layer(update, l)
        add_weight_gradient(trace[l], delta, np.s_[: net.layers[l].size], weights, start_from_zero=True)
        bias_gradient(delta, biases)
    return update


def alignment(net, first, second, inputs, target):
    """Returns the angles between the updates of two rules on one batch, in degrees.

    first, second   (rules._rule.Rule, its Options)
    inputs, target  (n, inputs), (n, classes)
    Returns         [angle of layer 0, …, of layer L-1, of the whole network], 0-d arrays; the angle of a layer is that
                    of its weights and biases together
    Raises          ArithmeticError if a rule needs an inverse that does not exist
    """
    trace = net.forward(inputs, auxiliary=False)
    one, other = (batch_update(net, rule, options, trace, target) for rule, options in (first, second))
    layers = [joint_angle(net.of_layer(one, l), net.of_layer(other, l)) for l in range(len(net.layers))]
    return [*layers, joint_angle(one, other)]


class Alignment(Watcher):
    """Measures the angles of `alignment` on the first samples.

    The columns are <name>_0 … <name>_{L-1} and <name>. The network is not changed. The angle is NaN for a zero
    update, and all angles are NaN if the rule needs the inverse of a singular matrix. Measuring never ends a run.

    rule, reference  (rules._rule.Rule, its Options)
    samples          datasets.samples.Images
    size             number of samples
    name             of the columns
    """

    def __init__(self, rule, reference, samples, size, name="bp_angle"):
        self.rule, self.reference, self.samples, self.size, self.name = rule, reference, samples, size, name

    def row(self, net, epoch):
        """Returns {column: angle}, the angles of `alignment`."""
        columns = [*(f"{self.name}_{l}" for l in range(len(net.layers))), self.name]
        try:
            with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
                angles = alignment(net, self.rule, self.reference, *self.samples.batch(np.s_[: self.size]))
            net.check_solved()
        except ArithmeticError:
            # This is inv_layer.SingularWeights, which this module does not import.
            return dict.fromkeys(columns, math.nan)
        return dict(zip(columns, to_host(array_module(*angles).stack(angles)).tolist(), strict=True))
