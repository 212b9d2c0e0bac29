"""Measures how well the feedback weights fit the Jacobian of the output (docs/published/dfc.md G.7)."""

import math
from dataclasses import dataclass
from typing import Any

from core.backend import array_module
from dfc.feedback_learning import squared_norm
from dfc.jacobian import blocks_below, slopes_at
from dfc.measures.least_squares import (
    add_to_diagonal,
    check_damping,
    jacobian_rows,
    output_gram,
    reachable_outputs,
    seen_from,
)
from dfc.network import rows_product

MEASURES = ("condition_gn", "jac_transpose", "jac_pinv")


@dataclass
class Beyond:
    """Holds what the output directions contribute that no hidden layer reaches, in which J is the identity.

    See dfc.measures.least_squares.

    count    number of these directions
    squared  |X|_F^2 of X, the part of Q_{L-1} in them
    trace    trace of X
    """

    count: int = 0
    squared: Any = 0.0
    trace: Any = 0.0


def feedback_fit(net, activities, gamma=0.0, measures=MEASURES):
    """Returns {measure: mean over the samples, a 0-d array} of how Qbar fits Jbar.

        condition_gn   |P Qbar|_F / |Qbar|_F,   P = J^T (J J^T)^-1 J   ("condition 2" of the paper)
        jac_transpose  angle(J^T, Qbar) in degrees
        jac_pinv       angle(J^+, Qbar) in degrees,   J^+ = pinv(J), or with damping J^T (J J^T + gamma I)^-1

    Jbar is the Jacobian of r_L by all pre-activations. All three measures follow from n_L x n_L matrices, J' Qbar
    and J' J'^T, which are sums over layers (dfc.measures.least_squares). The angles are arccosines: near 0 and
    180 degrees they are rounded by 1e-6 degrees in float64 and by 0.03 in float32. An output of slope zero
    removes its row from J.

    net         FeedbackNetwork with feedback weights of all layers
    activities  its feedforward pass of n samples
    gamma       damping, >= 0
    measures    names of the measures
    Raises      UsageError for a negative gamma
    """
    check_damping(gamma)
    size = array_module(*net.feedback).sqrt(squared_norm(net.feedback))
    basis, beyond = reachable_outputs(net), Beyond()
    if basis is not None:
        rest = net.feedback[-1] - basis @ (basis.swapaxes(-1, -2) @ net.feedback[-1])
        beyond = Beyond(basis.shape[0] - basis.shape[1], (rest * rest).sum(), rest.trace())
        net, activities = seen_from(basis, net, activities)
    found = dict.fromkeys(measures, 0.0)
    for rows in jacobian_rows(net, activities.batch_size):
        part = activities.part(rows)
        gram, moved = output_gram(net, part), moved_by_feedback(net, part)
        inside = moved if basis is None else rows_product(moved, basis)
        for name in measures:
            found[name] = found[name] + _MEASURE[name](gram, moved, inside, beyond, size, gamma).sum()
    return {name: total * (1.0 / activities.batch_size) for name, total in found.items()}


def moved_by_feedback(net, activities):
    """Returns J' Qbar (n, n_L, n_L), [sample, output, control]: how control moves the output.

        J' Qbar = Q_{L-1} + sum_{l < L-1} J'_l Q_l

    The slopes of the output layer are left out.
    """
    slopes, q = slopes_at(net, activities.v), net.feedback[-1]
    total = array_module(q).zeros((len(activities.x), *q.shape), dtype=q.dtype)
    total += q
    for q, block in zip(net.feedback[-2::-1], blocks_below(net, slopes), strict=True):
        total += rows_product(block, q)
    return total


def _share_in_row_space(gram, moved, inside, beyond, size, gamma):
    """Returns |P Q| / |Q| (n,), with |P Q|^2 = trace((J' Q)^T (J' J'^T)^-1 J' Q).

    Rows without a slope are left out.
    """
    xp = array_module(moved)
    squared = (xp.where(gram.kept[..., None], moved, 0.0) * gram.solve_in_row_space(moved)).sum(axis=(-2, -1))
    return xp.sqrt(xp.maximum(squared + beyond.squared, 0.0)) / size


def _angle_with_transpose(gram, moved, inside, beyond, size, gamma):
    """Returns the angle (n,) of <J^T, Q> = trace(J Q), |J|^2 = trace(J J^T)."""
    xp = array_module(moved)
    diagonal = xp.arange(inside.shape[-1])
    product = (gram.slope * inside[..., diagonal, diagonal]).sum(axis=-1) + beyond.trace
    squared = (gram.slope * gram.slope * gram.gram[..., diagonal, diagonal]).sum(axis=-1) + beyond.count
    return _degrees(product, squared, size)


def _angle_with_pseudo_inverse(gram, moved, inside, beyond, size, gamma):
    """Returns the angle (n,) of J^+ = J'^T C to Q.

        <J^+, Q> = trace(C^T J' Q),   |J^+|^2 = trace(C^T J' J'^T C)
    """
    identity = add_to_diagonal(array_module(inside).zeros_like(inside), 1.0)
    c = gram.solve(identity, gamma)
    product = (c * inside).sum(axis=(-2, -1)) + beyond.trace * (1.0 / (1.0 + gamma))
    squared = (c * (gram.gram @ c)).sum(axis=(-2, -1)) + beyond.count / (1.0 + gamma) ** 2
    return _degrees(product, squared, size)


def _degrees(product, squared, size):
    xp = array_module(product)
    return xp.arccos(xp.clip(product / (xp.sqrt(squared) * size), -1.0, 1.0)) * (180.0 / math.pi)


_MEASURE = dict(zip(MEASURES, (_share_in_row_space, _angle_with_transpose, _angle_with_pseudo_inverse), strict=True))
