"""Computes how the output changes with the pre-activations of every layer (docs/published/dfc.md G.1)."""

from core.backend import array_module
from dfc.network import rows_product


def jacobian_blocks(net, v, automatic=False):
    """Returns [J_0 … J_{L-1}], J_l (n, n_L, n_l): the derivative of r_L by v_l, for every sample.

        J_{L-1} = diag(phi'(v_{L-1})),   J_l = J_{l+1} W_{l+1} diag(phi'_l(v_l))

    net        FeedbackNetwork
    v          list of L arrays (n, n_l), the pre-activations
    automatic  whether slopes at a kink are those of automatic differentiation, not those of the hand-written formulas
    """
    slopes = slopes_at(net, v, automatic)
    output = slopes[-1][..., :, None]
    blocks = [output * array_module(output).eye(output.shape[-2], dtype=output.dtype)]
    blocks += [output * block for block in blocks_below(net, slopes)]
    return blocks[::-1]


def slopes_at(net, v, automatic=False):
    """Returns [phi'_0(v_0) … phi'_{L-1}(v_{L-1})], L arrays (n, n_l); arguments as for `jacobian_blocks`."""
    kind = "derivative" if automatic else "slope"
    return [getattr(activation, kind)(each) for activation, each in zip(net.activations, v, strict=True)]


def blocks_below(net, slopes):
    """Yields J'_{L-2}, …, J'_0 (n, n_L, n_l): the Jacobians without the slopes of the output layer.

        J'_{L-1} = I,   J'_{L-2} = W_{L-1} diag(phi'_{L-2}),   J'_l = J'_{l+1} W_{l+1} diag(phi'_l)
        J_l = diag(phi'_{L-1}) J'_l

    slopes  the list that `slopes_at` returned
    """
    block = None
    for l in range(len(slopes) - 2, -1, -1):
        # One product multiplies the stacked samples.
        product = net.weights[-1] if block is None else rows_product(block, net.weights[l + 1])
        block = product * slopes[l][..., None, :]
        yield block


def pull_back(net, slopes, error):
    """Returns [delta_0 … delta_{L-1}], (n, n_l): the errors of all layers that follow from the output's.

        delta_{L-1} = error,   delta_l = phi'_l (delta_{l+1} W_{l+1}),   that is   delta_l = J'_l^T error

    slopes  the list that `slopes_at` returned
    error   (n, n_L), on the pre-activations of the output layer
    """
    errors = [error]
    for l in range(len(slopes) - 2, -1, -1):
        errors.append(net.transpose_product(l + 1, errors[-1]) * slopes[l])
    return errors[::-1]


def output_jacobian(net, v):
    """Returns the Jacobians of all layers side by side: (n, n_L, N), N = n_0 + … + n_{L-1}."""
    return array_module(v[-1]).concatenate(jacobian_blocks(net, v), axis=-1)


def stacked_feedback(net):
    """Returns Qbar (N, n_L): the feedback weights of all layers, stacked from the first layer to the last."""
    return array_module(net.feedback[-1]).concatenate(net.feedback, axis=-2)
