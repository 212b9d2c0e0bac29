"""Defines target propagation (TP) through exact inverses."""

from core.backend import array_module
from rules._rule import Rule


def targets(net, trace, target):
    """Returns the targets [t_1 … t_L] of all layers: t_{l-1} = f^-1(t_l) W_l^-1.

    Auxiliary units keep their forward value.

    net, trace, target  as in `layer_errors`
    Returns             list of arrays shaped like trace[1:]
    """
    xp = array_module(target)
    trace = net.complete(trace)
    found = [_with_auxiliary(xp, target, trace[-1])]
    for layer, h in zip(net.layers[:0:-1], trace[-2:0:-1], strict=True):
        found.append(_with_auxiliary(xp, layer.inverse(found[-1]), h))
    return found[::-1]


def _with_auxiliary(xp, active, h):
    """Returns `active` for the first units and h for the others."""
    if active.shape[-1] == h.shape[-1]:
        return active
    return xp.concatenate([active, h[..., active.shape[-1] :]], axis=-1)


def layer_errors(net, trace, target, options):
    """Returns the errors of target propagation for one batch.

        t_{l-1} = inverse_l(t_l),    delta_l = f'_l (h_l - t_l)

    (Ahmad, van Gerven, Ambrogioni 2020, arXiv:2006.06438, with the exact inverse of each layer.)

    net      InvNet, L layers
    trace    activities of the forward pass, h_0 (n, inputs) … h_L (n, >= classes)
    target   (n, classes), in units of h_L
    options  none
    Returns  list of L arrays (n, net.active[l])
    Raises   SingularWeights if a weight matrix has no inverse
    """
    return [
        net.transfer.slope(h[..., :active]) * (h[..., :active] - t[..., :active])
        for h, t, active in zip(trace[1:], targets(net, trace, target), net.active, strict=True)
    ]


RULE = Rule("TP", layer_errors, inverts=True)
