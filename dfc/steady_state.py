"""Computes where the controlled network comes to rest, in closed form (DFC-SSA; docs/published/dfc.md B.8)."""

from dataclasses import dataclass, fields
from typing import Any

from core.backend import array_module, diagonals, matmul, solve
from dfc.network import of_seed, rows_product


@dataclass
class SteadyState:
    """Holds a network at rest under control.

    u        control signal (n, n_L)
    delta_v  what the feedback adds to the voltages, L arrays (n, n_l)
    v, r     voltages and rates, L arrays (n, n_l)
    basal    v - delta_v if it is known to be W_l r_{l-1} + b_l, L arrays (n, n_l); else None
    """

    u: Any
    delta_v: list
    v: list
    r: list
    basal: list | None = None

    def of(self, seed):
        """Returns the SteadyState of one of several seeds; `seed` is (s,)."""
        return SteadyState(*(of_seed(getattr(self, field.name), seed) for field in fields(self)))


@dataclass
class SteadyStates:
    """Holds the SteadyState of each seed, computed one after the other."""

    seeds: list

    def of(self, seed):
        """Returns the SteadyState of one of the seeds; `seed` is (s,)."""
        (number,) = seed
        return self.seeds[number]


def analytical_steady_state(net, activities, nudge, alpha):
    """Returns the steady state of the linearised controlled network.

        u = (Jbar Qbar + alpha I)^-1 nudge,   delta_v_l = u Q_l^T
        v_l = r_{l-1} W_l^T + b_l + delta_v_l,   r_l = phi_l(v_l)

    with Jbar at the feedforward point (Meulemans et al. 2021, equation of DFC-SSA; docs/published/dfc.md B.8).
    One linear system per sample is solved, with many samples per call.

    net         FeedbackNetwork with feedback weights of all layers
    activities  its feedforward pass
    nudge       output target minus output (n, n_L)
    alpha       leak of the controller, >= 0
    Returns     SteadyState
    """
    u = control(net, activities, nudge, alpha)
    delta_v = [matmul(u, q.swapaxes(-1, -2)) for q in net.feedback]
    basal, v, r = [], [], []
    for l, activation in enumerate(net.activations):
        # The input is not controlled, so that the first layer has the drive of the feedforward pass.
        basal.append(net.drive(l, r[-1]) if l else activities.v[0])
        v.append(basal[-1] + delta_v[l])
        r.append(activation.apply(v[-1]))
    return SteadyState(u, delta_v, v, r, basal)


def control(net, activities, nudge, alpha):
    """Returns the control signal u (n, n_L) at rest: see `analytical_steady_state`."""
    if _passes_through_fewer_units(net):
        return _control_through_fewer_units(net, activities, nudge, alpha)
    directions = [q.swapaxes(-1, -2) for q in net.feedback[:-1]]
    u = array_module(nudge).empty_like(nudge)
    for rows in net.blocks(nudge.shape[-2], entries=max(net.sizes) * nudge.shape[-1] if directions else 1):
        u[..., rows, :] = _solve_outputs(net, activities.part(rows), directions, nudge[..., rows, :], alpha)
    return u


def _solve_outputs(net, activities, directions, nudge, alpha):
    """Returns u (n, n_L), from one n_L x n_L system per sample."""
    last = len(net.weights) - 1
    slope = net.slope(activities, last)
    loop = slope[..., :, None] * net.feedback[-1][..., None, :, :]
    if directions:
        moved = _rates_by_control(net, activities, directions)
        # Its shape is (n, control, output).
        below = rows_product(moved, net.weights[-1].swapaxes(-1, -2))
        below *= slope[..., None, :]
        loop += below.swapaxes(-1, -2)
    return _solve(loop, nudge, alpha)


def _control_through_fewer_units(net, activities, nudge, alpha):
    """Returns u (n, n_L) by Woodbury's identity, where control acts through k < n_L units below the output.

        (c I + W A)^-1 e = (e - W (c I + A W)^-1 A e) / c
        c = 1 + alpha,   W = W_{L-1} (n_L, k),   A = M_{L-2} (k, n_L)

    A itself (n, k, n_L) is never formed: A W and A e follow from Q_l W, which is the same for all samples, and
    from Q_l e.
    """
    c, hidden, weights = 1.0 + alpha, net.feedback[:-1], net.weights[-1]
    # This becomes A e.
    moved = None
    for l, q in enumerate(hidden):
        direction = matmul(nudge, q.swapaxes(-1, -2))
        moved = direction if moved is None else matmul(moved, net.weights[l].swapaxes(-1, -2)) + direction
        moved = moved * net.slope(activities, l)
    directions = [matmul(q, weights).swapaxes(-1, -2) for q in hidden]
    inner = array_module(nudge).empty_like(moved)
    for rows in net.blocks(nudge.shape[-2], entries=max(net.sizes[:-1]) * moved.shape[-1]):
        loop = _rates_by_control(net, activities.part(rows), directions).swapaxes(-1, -2)
        inner[..., rows, :] = _solve(loop, moved[..., rows, :], c)
    return (nudge - matmul(inner, weights.swapaxes(-1, -2))) / c


def _passes_through_fewer_units(net):
    """Returns whether a linear output, controlled through the identity, is wider than the layer below it.

    Such a network is an autoencoder.
    """
    outputs, inputs = net.weights[-1].shape[-2:]
    return net.identity and len(net.weights) > 1 and inputs < outputs and net.activations[-1].name == "linear"


def _solve(loop, nudge, alpha):
    """Returns (loop + alpha I)^-1 nudge (n, k), for matrices `loop` (n, k, k), which are overwritten."""
    diagonal = diagonals(loop)
    diagonal += alpha
    return solve(loop, nudge)


def _rates_by_control(net, activities, directions):
    """Returns how the rates of the last hidden layer change with the control signal: (n, k, n_{L-2}).

        M_l = phi'_l (W_l M_{l-1} + Q_l)

    It is kept as (n, control, unit), so that each layer is one product for all samples and controls together.

    directions  Q_l^T (k, n_l) of the hidden layers, or other directions along which their voltages change
    """
    moved = None
    for l, direction in enumerate(directions):
        slope = net.slope(activities, l)[..., None, :]
        if moved is None:
            moved = slope * direction[..., None, :, :]
        else:
            moved = rows_product(moved, net.weights[l].swapaxes(-1, -2))
            moved += direction[..., None, :, :]
            moved *= slope
    return moved
