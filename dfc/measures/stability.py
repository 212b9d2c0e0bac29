"""Measures whether the controlled network is stable, and how its activities are scaled.

The sources are docs/published/dfc.md G.8 and B.9.
"""

import numpy as np

from core.backend import array_module, to_host
from dfc.controller import norms
from dfc.gradients import initial_error
from dfc.jacobian import jacobian_blocks, stacked_feedback
from dfc.steady_state import analytical_steady_state

# The order is the published one.
MATRICES = ("A_tildeI", "A_I", "A_instI", "A_PI")


def stability_matrices(net, v, alpha, tau_v, k_p):
    """Returns {name of MATRICES: array (n, m, m)}, the linearised dynamics at the voltages v.

        A_tildeI = [[-a, Qbar / tau], [-J0, -alpha I]]
        a = (I - Jhat) / tau,  Jhat the blocks W_l diag(phi'_{l-1}) below
        A_I      = [[-a, a Qbar],     [-Jbar, -alpha I]]       the diagonal,  J0 = [0 … 0 J_{L-1}]
        A_instI  = -(Jbar Qbar + alpha I)
        A_PI     = [[-a, a Qbar],     [-Jbar + k_p/tau J0, -(alpha I + k_p/tau J_{L-1} Q_{L-1})]]

    (docs/published/dfc.md G.8; m = N + n_L, N all units, or n_L.)

    net         FeedbackNetwork with feedback weights of all layers
    v           list of L arrays (n, n_l)
    alpha, tau_v, k_p  of the controller of the forward phase
    """
    xp = array_module(v[-1])
    blocks, q, k = jacobian_blocks(net, v), stacked_feedback(net), net.sizes[-1]
    jacobian = xp.concatenate(blocks, axis=-1)
    last = xp.zeros_like(jacobian)
    last[..., -k:] = blocks[-1]
    a = _leak_minus_drive(net, v) / tau_v
    leak = alpha * xp.eye(k, dtype=q.dtype)
    gain = k_p / tau_v
    spread = xp.broadcast_to(q / tau_v, (len(jacobian), *q.shape))
    return {
        "A_tildeI": _block_matrix(-a, spread, -last, -leak),
        "A_I": _block_matrix(-a, a @ q, -jacobian, -leak),
        "A_instI": -(jacobian @ q + leak),
        "A_PI": _block_matrix(-a, a @ q, gain * last - jacobian, -(leak + gain * (blocks[-1] @ net.feedback[-1]))),
    }


def _leak_minus_drive(net, v):
    """Returns I - Jhat (n, N, N)."""
    xp, sizes = array_module(v[-1]), net.sizes
    matrix = xp.zeros((len(v[-1]), sum(sizes), sum(sizes)), dtype=v[-1].dtype)
    diagonal = xp.arange(sum(sizes))
    matrix[:, diagonal, diagonal] = 1.0
    start = 0
    for l in range(1, len(sizes)):
        middle = start + sizes[l - 1]
        rows, columns = slice(middle, middle + sizes[l]), slice(start, middle)
        matrix[:, rows, columns] = -(net.weights[l] * net.activations[l - 1].slope(v[l - 1])[:, None, :])
        start = middle
    return matrix


def _block_matrix(upper_left, upper_right, lower_left, lower_right):
    xp = array_module(upper_left)
    lower_right = xp.broadcast_to(lower_right, (*lower_left.shape[:-1], lower_right.shape[-1]))
    upper = xp.concatenate([upper_left, upper_right], axis=-1)
    return xp.concatenate([upper, xp.concatenate([lower_left, lower_right], axis=-1)], axis=-2)


def largest_eigenvalues(net, v, alpha, tau_v, k_p):
    """Returns {name of MATRICES: the largest real part of its eigenvalues, (n,) on the host}.

    It is NaN where a matrix is not finite. Each sample has a matrix of N + n_L rows; they are solved one after
    the other on the host, as there is no such routine for a GPU. If a matrix is far from normal, as that of a
    deep network is, single eigenvalues may be rounded by much more than eps (eps^(1/L) for a defective one).
    """
    found = []
    for rows in net.blocks(len(v[-1]), 4 * (sum(net.sizes) + net.sizes[-1]) ** 2):
        matrices = stability_matrices(net, [each[rows] for each in v], alpha, tau_v, k_p)
        found.append([_largest_real_parts(to_host(matrices[name])) for name in MATRICES])
    return dict(zip(MATRICES, map(np.concatenate, zip(*found, strict=True)), strict=True))


def _largest_real_parts(matrices):
    finite = np.isfinite(matrices).all(axis=(-2, -1))
    largest = np.linalg.eigvals(np.where(finite[:, None, None], matrices, 0.0)).real.max(axis=-1)
    return np.where(finite, largest, np.nan).astype(matrices.dtype)


def activity_norms(activities):
    """Returns {name: (n,)} of the norms of the activities, without the output's (docs/published/dfc.md G.8).

    "mean" is m, the mean of the norms of x, r_0, …, r_{L-2}; "input", "layer 1", …, "layer L-1" are their
    relative deviations, (|r| - m) / m.
    """
    sizes, mean = _norms_and_mean(activities)
    return {"mean": mean} | {
        name: (size - mean) / mean for name, size in zip(norm_names(len(sizes))[1:], sizes, strict=True)
    }


def norm_names(layers):
    """Returns the names of `activity_norms` for a network of so many layers, in the published order."""
    return ("mean", "input", *(f"layer {l}" for l in range(1, layers)))


def deviation_of_norms(activities, relative=False):
    """Returns dev_r (n,), "condition 1" of the paper: how much the norms of `activity_norms` differ.

        sqrt(mean_k (norm_k - m)^2 / m),   with `relative`   sqrt(mean_k (norm_k - m)^2) / m

    The published program has m below the root, which makes the number depend on the scale of the activities; the
    paper means the second form.
    """
    sizes, mean = _norms_and_mean(activities)
    xp = array_module(mean)
    squares = sum((size - mean) ** 2 for size in sizes) / len(sizes)
    return xp.sqrt(squares) / mean if relative else xp.sqrt(squares / mean)


def _norms_and_mean(activities):
    sizes = [norms(activities.x), *(norms(r) for r in activities.r[:-1])]
    return sizes, sum(sizes) / len(sizes)


def distance_to_ssa(net, activities, target, output, options, alpha):
    """Returns the mean of |output - r^_L| / |r_L - r^_L|, a 0-d array.

    r^_L is the output in the analytical steady state for the same target (docs/published/dfc.md B.9). It is NaN
    if a sample needs no control.

    net         FeedbackNetwork with feedback weights of all layers
    activities  its feedforward pass of n samples, with r_L
    target      labels (n,) or targets (n, n_L)
    output      rates of the output layer at rest (n, n_L), including those replaced by the feedforward pass
    options     dfc.simulated.Options of the rule that is trained
    alpha       leak of the controller
    """
    difference = initial_error(net, activities, target, options)
    goal = analytical_steady_state(net, activities, difference, alpha).r[-1]
    return (norms(output - goal) / norms(activities.r[-1] - goal)).mean()
