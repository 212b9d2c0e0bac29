"""Defines backpropagation of error (BP)."""

from rules._rule import Rule


def layer_errors(net, trace, target, options):
    """Returns the errors of backpropagation for one batch: gradients of each sample's loss.

        delta_L = f'_L dloss/dh_L,    delta_{l-1} = f'_{l-1} (W_l^T delta_l)

    They are gradients with respect to the pre-activations. The loss is the network's: 0.5 |h_L - t_L|^2 for
    invertible networks, docs/published/dfc.md A.5 for those with feedback weights.

    net      InvNet or FeedbackNetwork, L layers
    trace    the result of its forward pass
    target   what its loss compares the output with
    options  none
    Returns  list of L arrays (n, active units of the layer), see InvNet.active; not divided by n
    """
    errors, error = [], net.output_error(trace, target)
    for l in range(len(net.weights) - 1, -1, -1):
        errors.append(net.derivative(trace, l) * error)
        if l:
            error = net.transpose_product(l, errors[-1])
    return errors[::-1]


RULE = Rule("BP", layer_errors, reference=True, clips="never")
