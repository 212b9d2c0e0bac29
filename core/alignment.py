"""How far two updates point apart, and the probe that measures it between a learning rule and a reference, say backpropagation."""

import math

import numpy as np

from core.backend import array_module, to_host
from core.clipping import joint_norm
from core.gradients import add_weight_gradient, bias_gradient


def angle(a, b):
    """The angle between two arrays of one shape, flattened, in degrees: a 0-d array; NaN if one of them is zero (dfc.md G.2).

        arccos(<a, b> / (|a| |b|)) = 2 atan2(|a' - b'|, |a' + b'|),   a' = a / |a|, b' = b / |b|

    The second form loses no digits at 0 and 180 degrees, where an arccosine is wrong by 1e-6 degrees in float64, 0.03 in float32.
    """
    return joint_angle([a], [b])


def joint_angle(first, second):
    """The angle between two lists of arrays, all entries of a list in one vector: see `angle`."""
    xp = array_module(*first)
    one, other = joint_norm(first), joint_norm(second)
    pairs = [(a / one, b / other) for a, b in zip(first, second, strict=True)]
    apart, together = joint_norm([a - b for a, b in pairs]), joint_norm([a + b for a, b in pairs])
    return xp.arctan2(apart, together) * (360.0 / math.pi)


def batch_update(net, rule, options, trace, target):
    """What a rule makes of one batch: [dW_0, db_0, …] like net.parameters, new arrays, to be descended; no regulariser in it.

        dW_l = h_l^T delta_l / n,    db_l = mean over the samples of delta_l        (gait.md 2; delta_l the errors on h_{l+1})

    net      InvNet
    rule     rules.Rule with `layer_errors`
    options  the rule's Options
    trace    activities of the forward pass, h_0 (n, inputs) … h_L (n, >= classes)
    target   (n, classes)
    Raises   what the rule raises: ArithmeticError where it needs an inverse and there is none
    """
    update = [array_module(p).empty_like(p) for p in net.parameters]
    for l, delta in enumerate(rule.layer_errors(net, trace, target, options)):
        add_weight_gradient(trace[l], delta, np.s_[: net.layers[l].size], update[2 * l], start_from_zero=True)
        bias_gradient(delta, update[2 * l + 1])
    return update


def alignment(net, first, second, inputs, target):
    """[angle of layer 0, …, of layer L-1, of the whole network] between two rules on one batch, 0-d arrays, in degrees.

    first, second   (rules.Rule, its Options); the angle of a layer is that of its weights and biases together
    inputs, target  (n, inputs), (n, classes)
    Raises          as batch_update
    """
    trace = net.forward(inputs, auxiliary=False)
    one, other = (batch_update(net, rule, options, trace, target) for rule, options in (first, second))
    layers = [joint_angle(one[l : l + 2], other[l : l + 2]) for l in range(0, len(one), 2)]
    return [*layers, joint_angle(one, other)]


def alignment_probe(net, rule, reference, samples, size, name="bp_angle"):
    """The probe of the columns <name>_0 … <name>_{L-1} and <name>: the angles of `alignment` on the first `size` samples.

    It leaves the network as it is.  NaN where an update is zero, and everywhere if the rule needs an inverse that there is not:
    that ends a run only where the run itself needs it.

    rule, reference  (rules.Rule, its Options)
    samples          core.samples.Samples
    """
    columns = [*(f"{name}_{l}" for l in range(len(net.layers))), name]

    def probe():
        try:
            with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
                angles = alignment(net, rule, reference, *samples.batch(np.s_[:size]))
            net.check_solved()
        except ArithmeticError:  # inv_layer.SingularWeights, of which the core knows nothing
            return dict.fromkeys(columns, math.nan)
        return dict(zip(columns, to_host(array_module(*angles).stack(angles)).tolist(), strict=True))

    return probe
