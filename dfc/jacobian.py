"""How the output moves with the pre-activations of every layer (dfc.md G.1)."""

from core.backend import array_module


def jacobian_blocks(net, v):
    """[J_0 … J_{L-1}], J_l (n, n_L, n_l): the derivative of r_L by v_l at the pre-activations v, sample by sample.

        J_{L-1} = diag(phi'(v_{L-1})),   J_l = J_{l+1} W_{l+1} diag(phi'_l(v_l))

    net  FeedbackNetwork
    v    list of L arrays (n, n_l)
    """
    xp = array_module(v[-1])
    slopes = [activation.slope(each) for activation, each in zip(net.activations, v, strict=True)]
    blocks = [slopes[-1][..., :, None] * xp.eye(slopes[-1].shape[-1], dtype=slopes[-1].dtype)]
    for l in range(len(v) - 1, 0, -1):
        above = slopes[-1][..., :, None] * net.weights[l] if l == len(v) - 1 else blocks[-1] @ net.weights[l]
        blocks.append(above * slopes[l - 1][..., None, :])
    return blocks[::-1]


def output_jacobian(net, v):
    """The blocks side by side: (n, n_L, N), N = n_0 + … + n_{L-1}."""
    return array_module(v[-1]).concatenate(jacobian_blocks(net, v), axis=-1)


def stacked_feedback(net):
    """Qbar (N, n_L): the feedback weights of all layers, one above the other."""
    return array_module(net.feedback[-1]).concatenate(net.feedback, axis=-2)
