"""Backpropagation of error (BP)."""

from rules._rule import NoOptions, Rule


def layer_errors(net, trace, target, options):
    """Errors of backpropagation for one batch: the gradient of 0.5 |h_L - t_L|^2 with respect to the pre-activations.

        delta_L = f'_L (h_L - t_L),    delta_{l-1} = f'_{l-1} (delta_l W_l^T)

    net      InvNet, L layers
    trace    activities of the forward pass, h_0 (n, inputs) … h_L (n, >= classes)
    target   (n, classes), in units of h_L
    options  none
    Returns  list of L arrays (n, net.active[l]); no division by n
    """
    errors = []
    difference = trace[-1][..., : net.classes] - target
    for layer, h, active in zip(reversed(net.layers), reversed(trace), reversed(net.active), strict=False):
        delta = net.transfer.slope(h[..., :active]) * difference
        errors.append(delta)
        if len(errors) < len(net.layers):
            difference = layer.transpose_product(delta)
    return errors[::-1]


RULE = Rule("BP", layer_errors, NoOptions)
