"""Norms of gradients brought within bounds, in place and without waiting for the device."""

from core.backend import array_module

SMALL = 1e-6  # of the published program: keeps the quotient finite where a gradient is zero


def clip_each(gradients, bound):
    """Shorten every gradient that is longer than `bound`, each on its own (dfc.md C.4).

        g <- k g   if k = bound / (||g||_2 + 1e-6) < 1

    A gradient with a NaN in it stays as it is.

    gradients  list of arrays, changed in place
    bound      > 0
    """
    for g in gradients:
        _shorten([g], array_module(g).linalg.norm(g), bound)


def clip_together(gradients, bound):
    """Shorten all gradients by one factor where together they are longer than `bound` (dfc.md D.5).

    As clip_each, with the norm of all entries of all gradients.

    Returns    that norm before, a number on the device
    """
    norm = joint_norm(gradients)
    _shorten(gradients, norm, bound)
    return norm


def fix_norm(gradients, norm):
    """Scale all gradients by norm / (their joint 2-norm + 1e-6) (dfc.md C.4, fix_grad_norm).

    gradients  list of arrays, changed in place
    norm       > 0
    Returns    the joint norm before, a number on the device
    """
    before = joint_norm(gradients)
    for g in gradients:
        g *= norm / (before + SMALL)
    return before


def joint_norm(gradients):
    """The 2-norm of all entries of a list of arrays, a number on the device."""
    xp = array_module(*gradients)
    return xp.linalg.norm(xp.stack([xp.linalg.norm(g) for g in gradients]))


def _shorten(gradients, norm, bound):
    k = bound / (norm + SMALL)
    xp = array_module(*gradients)
    k = xp.where(k < 1.0, k, 1.0)  # not minimum: of a NaN the published program's comparison is false
    for g in gradients:
        g *= k
