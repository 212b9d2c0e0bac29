"""Brings the norms of gradients within bounds, in place and without waiting for the device.

Where the arrays have leading axes of seeds, of shape `seeds`, each seed has its own norm: see
dfc.network.FeedbackNetwork.seeds.
"""

from core.backend import array_module, on_device
from core.device_kernels import SHORTEN

# The published program adds it, so that the quotient stays finite where a gradient is zero.
SMALL = 1e-6


def clip_each(gradients, bound, seeds=()):
    """Shortens every gradient that is longer than `bound`, each by its own norm (option --clip_grad_norm).

        g <- k g   if k = bound / (||g||_2 + 1e-6) < 1

    (docs/published/dfc.md C.4). A gradient that contains NaN stays as it is.

    gradients  list of arrays (*seeds, …), changed in place
    bound      > 0
    seeds      shape of the leading axes of seeds: (S,) or ()
    """
    if on_device(gradients[0]):
        for g in gradients:
            _shorten([g], _norm(g, seeds), bound)
        return
    # All norms are computed first, because a small gradient costs mostly the calls.
    squares = array_module(*gradients).empty((len(gradients), *seeds), dtype=gradients[0].dtype)
    for index, g in enumerate(gradients):
        squares[index] = _square(g, seeds)
    for g, factor in zip(gradients, _factors(array_module(squares).sqrt(squares), bound), strict=True):
        g *= _like(factor, g)


def clip_together(gradients, bound, seeds=()):
    """Shortens all gradients by one common factor if their joint norm exceeds `bound`.

    The equation is that of `clip_each`, with the norm of all entries of all gradients (docs/published/dfc.md
    D.5).

    gradients  list of arrays, changed in place
    bound      > 0
    seeds      shape of the leading axes of seeds
    Returns    the joint norm before the change: an array of shape `seeds` on the device
    """
    norm = joint_norm(gradients, seeds)
    _shorten(gradients, norm, bound)
    return norm


def fix_norm(gradients, norm, seeds=()):
    """Scales all gradients by norm / (their joint 2-norm + 1e-6) (option --fix_grad_norm).

    The source is docs/published/dfc.md C.4.

    gradients  list of arrays, changed in place
    norm       > 0
    seeds      shape of the leading axes of seeds
    Returns    the joint norm before the change: an array of shape `seeds` on the device
    """
    before = joint_norm(gradients, seeds)
    for g in gradients:
        g *= _like(norm / (before + SMALL), g)
    return before


def joint_norm(gradients, seeds=()):
    """Returns the 2-norm of all entries of a list of arrays: an array of shape `seeds` on the device."""
    norms = array_module(*gradients).empty((*seeds, len(gradients)), dtype=gradients[0].dtype)
    for index, g in enumerate(gradients):
        norms[..., index] = _norm(g, seeds)
    return _norm(norms, seeds)


def _norm(array, seeds):
    return array_module(array).sqrt(_square(array, seeds))


def _square(array, seeds):
    if on_device(array):
        # There a product of one row and one column takes longer than a sum.
        return (array * array).reshape(*seeds, -1).sum(axis=-1)
    flat = array.reshape(*seeds, 1, -1)
    # The product of a row and a column is a scalar product.
    return (flat @ flat.swapaxes(-1, -2))[..., 0, 0]


def _shorten(gradients, norm, bound):
    if on_device(gradients[0]):
        for g in gradients:
            SHORTEN(_like(norm, g), bound, SMALL, g)
        return
    k = _factors(norm, bound)
    for g in gradients:
        g *= _like(k, g)


def _factors(norms, bound):
    k = bound / (norms + SMALL)
    # This is not `minimum`: for NaN the comparison of the published program is false.
    return array_module(norms).where(k < 1.0, k, 1.0)


def _like(factor, array):
    """Returns a number per seed, (S,) -> (S, 1, …), with as many axes as an array of the seeds has."""
    return factor.reshape(factor.shape + (1,) * (array.ndim - factor.ndim)) if factor.ndim else factor
