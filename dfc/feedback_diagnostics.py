"""How well the feedback weights fit the Jacobian of the output (dfc.md G.7)."""

import math

from core.backend import array_module
from dfc.jacobian import blocks_below, rows_product, slopes_at
from dfc.least_squares import add_to_diagonal, check_damping, jacobian_rows, output_gram

MEASURES = ("condition_gn", "jac_transpose", "jac_pinv")


def feedback_fit(net, activities, gamma=0.0, measures=MEASURES):
    """{measure: mean over the samples, a 0-d array} of how Qbar lies to Jbar, the Jacobian of r_L by all pre-activations.

        condition_gn   |P Qbar|_F / |Qbar|_F,   P = J^T (J J^T)^-1 J   ("condition 2" of the paper; 1: Qbar lies in the row space of J)
        jac_transpose  angle(J^T, Qbar) in degrees
        jac_pinv       angle(J^+, Qbar) in degrees,   J^+ = pinv(J), or with damping J^T (J J^T + gamma I)^-1

    All three follow from n_L x n_L matrices, J' Qbar and J' J'^T (see dfc.least_squares), which are sums over layers.  The angles
    are arccosines: near 0 and 180 degrees they are rounded by 1e-6 degrees in float64, 0.03 in float32.  An output of slope zero
    takes its row out of J.

    net         FeedbackNetwork with feedback weights of all layers
    activities  its feedforward pass of n samples
    gamma       damping, >= 0
    Raises      UsageError for a negative gamma
    """
    check_damping(gamma)
    xp = array_module(*net.feedback)
    size = xp.sqrt(sum((q * q).sum() for q in net.feedback))
    found = {name: 0.0 for name in measures}
    for rows in jacobian_rows(net, activities.count):
        part = activities.part(rows)
        gram, moved = output_gram(net, part), moved_by_feedback(net, part)
        for name in measures:
            found[name] = found[name] + _MEASURE[name](gram, moved, size, gamma).sum()
    return {name: total * (1.0 / activities.count) for name, total in found.items()}


def moved_by_feedback(net, activities):
    """J' Qbar (n, n_L, n_L): how control moves the output, the slopes of the output layer left out.

        J' Qbar = Q_{L-1} + sum_{l < L-1} J'_l Q_l
    """
    slopes = slopes_at(net, activities.v)
    total = array_module(slopes[-1]).zeros((*slopes[-1].shape, net.sizes[-1]), dtype=slopes[-1].dtype)
    for q, block in zip(net.feedback[-2::-1], blocks_below(net, slopes), strict=True):
        total += rows_product(block, q)
    return total + net.feedback[-1]


def _share_in_row_space(gram, moved, size, gamma):
    """|P Q|^2 = trace((J' Q)^T (J' J'^T)^-1 J' Q), rows without a slope left out."""
    xp = array_module(moved)
    squared = (xp.where(gram.kept[..., None], moved, 0.0) * gram.solve_in_row_space(moved)).sum(axis=(-2, -1))
    return xp.sqrt(xp.maximum(squared, 0.0)) / size


def _angle_with_transpose(gram, moved, size, gamma):
    """<J^T, Q> = trace(J Q), |J|^2 = trace(J J^T)."""
    xp = array_module(moved)
    diagonal = xp.arange(moved.shape[-1])
    product = (gram.slope * moved[..., diagonal, diagonal]).sum(axis=-1)
    squared = (gram.slope * gram.slope * gram.gram[..., diagonal, diagonal]).sum(axis=-1)
    return _degrees(product, squared, size)


def _angle_with_pseudo_inverse(gram, moved, size, gamma):
    """J^+ = J'^T C, hence <J^+, Q> = trace(C^T J' Q), |J^+|^2 = trace(C^T J' J'^T C)."""
    identity = add_to_diagonal(array_module(moved).zeros_like(moved), 1.0)
    c = gram.solve(identity, gamma)
    return _degrees((c * moved).sum(axis=(-2, -1)), (c * (gram.gram @ c)).sum(axis=(-2, -1)), size)


def _degrees(product, squared, size):
    xp = array_module(product)
    return xp.arccos(xp.clip(product / (xp.sqrt(squared) * size), -1.0, 1.0)) * (180.0 / math.pi)


_MEASURE = dict(zip(MEASURES, (_share_in_row_space, _angle_with_transpose, _angle_with_pseudo_inverse), strict=True))
