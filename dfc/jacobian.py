"""Computes how the output moves with the pre-activations of every layer (dfc.md G.1)."""

from core.backend import array_module
from dfc.network import rows_product


def jacobian_blocks(net, v, automatic=False):
    """Returns [J_0 … J_{L-1}], J_l (n, n_L, n_l): the derivative of r_L by v_l at the pre-activations v, sample by sample.

        J_{L-1} = diag(phi'(v_{L-1})),   J_l = J_{l+1} W_{l+1} diag(phi'_l(v_l))

    net        FeedbackNetwork
    v          list of L arrays (n, n_l)
    automatic  slopes at a kink as automatic differentiation has them, not as the hand-written formulas do
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
    """J'_{L-2}, …, J'_0 one after the other: the Jacobian without the slopes of the output layer, J_l = diag(phi'_{L-1}) J'_l.

        J'_{L-1} = I,   J'_{L-2} = W_{L-1} diag(phi'_{L-2}),   J'_l = J'_{l+1} W_{l+1} diag(phi'_l)

    slopes  what `slopes_at` returned
    """
    block = None
    for l in range(len(slopes) - 2, -1, -1):
        # the samples one above the other: one product for all of them
        product = net.weights[-1] if block is None else rows_product(block, net.weights[l + 1])
        block = product * slopes[l][..., None, :]
        yield block


def pull_back(net, slopes, error):
    """Returns [delta_0 … delta_{L-1}], the errors (n, n_l) that `error` (n, n_L) on the output's pre-activations means for
    all others.

        delta_{L-1} = error,   delta_l = phi'_l (delta_{l+1} W_{l+1}),   that is   delta_l = J'_l^T error

    slopes  what `slopes_at` returned
    """
    errors = [error]
    for l in range(len(slopes) - 2, -1, -1):
        errors.append(net.transpose_product(l + 1, errors[-1]) * slopes[l])
    return errors[::-1]


def output_jacobian(net, v):
    """Returns the blocks side by side: (n, n_L, N), N = n_0 + … + n_{L-1}."""
    return array_module(v[-1]).concatenate(jacobian_blocks(net, v), axis=-1)


def stacked_feedback(net):
    """Qbar (N, n_L): the feedback weights of all layers, one above the other."""
    return array_module(net.feedback[-1]).concatenate(net.feedback, axis=-2)
