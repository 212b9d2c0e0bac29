"""Where the controlled network comes to rest, in closed form (DFC-SSA; dfc.md B.8)."""

from dataclasses import dataclass
from typing import Any

from core.backend import array_module


@dataclass
class SteadyState:
    """A network at rest under control.

    u        control signal (n, n_L)
    delta_v  what the feedback adds to the voltages, L arrays (n, n_l)
    v, r     voltages and rates, L arrays (n, n_l)
    """

    u: Any
    delta_v: list
    v: list
    r: list


def analytical_steady_state(net, activities, nudge, alpha):
    """The steady state of the linearised controlled network.

        u = (Jbar Qbar + alpha I)^-1 nudge,   delta_v_l = u Q_l^T,   v_l = r_{l-1} W_l^T + b_l + delta_v_l,   r_l = phi_l(v_l)

    with Jbar at the feedforward point (Meulemans et al. 2021, eq. for DFC-SSA; dfc.md B.8).

    net         FeedbackNetwork with feedback weights of all layers
    activities  its feedforward pass
    nudge       output target minus output (n, n_L)
    alpha       leak of the controller, > 0 or 0
    Returns     SteadyState.  One linear system a sample, all in one call
    """
    u = control(net, activities, nudge, alpha)
    delta_v = [u @ q.swapaxes(-1, -2) for q in net.feedback]
    v, r = [], []
    for l, activation in enumerate(net.activations):
        # nothing happens to the input: the drive of the first layer is that of the feedforward pass
        basal = net.drive(l, r[-1]) if l else activities.v[0]
        v.append(basal + delta_v[l])
        r.append(activation.apply(v[-1]))
    return SteadyState(u, delta_v, v, r)


def control(net, activities, nudge, alpha):
    """u (n, n_L): see `analytical_steady_state`."""
    if _passes_through_fewer_units(net):
        return _control_through_fewer_units(net, activities, nudge, alpha)
    loop = _output_slope(net, activities)[..., :, None] * net.feedback[-1]
    if len(net.weights) > 1:
        loop = loop + _below_output(net, activities)
    return _solve(loop, nudge, alpha)


def _solve(loop, nudge, alpha):
    """(loop + alpha I)^-1 nudge for matrices (n, k, k) and rows (n, k)."""
    xp = array_module(nudge)
    diagonal = xp.arange(nudge.shape[-1])
    loop[..., diagonal, diagonal] += alpha
    return xp.linalg.solve(loop, nudge[..., None])[..., 0]


def _output_slope(net, activities):
    return net.slope(activities, len(net.weights) - 1)


def _below_output(net, activities):
    """The part of Jbar Qbar that enters below the output layer, (n, n_L, n_L) indexed [sample, output, control].

    Forwards: M_l = dr_l/du = phi'_l (W_l M_{l-1} + Q_l), kept as (n, n_L, n_l), so that each layer is one product for all
    samples and controls together.
    """
    moved = _rates_by_control(net, activities, [q.swapaxes(-1, -2) for q in net.feedback[:-1]])
    outputs = moved @ net.weights[-1].swapaxes(-1, -2)  # (n, control, output)
    outputs *= _output_slope(net, activities)[..., None, :]
    return outputs.swapaxes(-1, -2)


def _rates_by_control(net, activities, directions):
    """How the rates of the last hidden layer move when the voltages of hidden layer l move along directions[l] (k, n_l):
    (n, k, n_{L-2})."""
    moved = None
    for l, direction in enumerate(directions):
        if moved is None:
            moved = net.slope(activities, l)[..., None, :] * direction
        else:
            moved = moved @ net.weights[l].swapaxes(-1, -2)
            moved += direction
            moved *= net.slope(activities, l)[..., None, :]
    return moved


def _passes_through_fewer_units(net):
    """Whether a linear output, controlled through the identity, is wider than the layer that feeds it (an autoencoder)."""
    outputs, inputs = net.weights[-1].shape[-2:]
    return net.identity and len(net.weights) > 1 and inputs < outputs and net.activations[-1].name == "linear"


def _control_through_fewer_units(net, activities, nudge, alpha):
    """The same control by Woodbury's identity, where all that happens below the output passes through k < n_L units.

        (c I + W A)^-1 e = (e - W (c I + A W)^-1 A e) / c,   c = 1 + alpha,   W = W_{L-1} (n_L, k),   A = M_{L-2} (k, n_L)

    A itself (n, k, n_L) is never formed: A W and A e follow from Q_l W and Q_l e, of which Q_l W is the same for all samples.
    """
    c = 1.0 + alpha
    output_weights = net.weights[-1]
    hidden = net.feedback[:-1]
    loop = _rates_by_control(net, activities, [(q @ output_weights).swapaxes(-1, -2) for q in hidden]).swapaxes(-1, -2)
    moved = None
    for l, q in enumerate(hidden):
        direction = nudge @ q.swapaxes(-1, -2)
        moved = direction if moved is None else moved @ net.weights[l].swapaxes(-1, -2) + direction
        moved = moved * net.slope(activities, l)
    inner = _solve(loop, moved, c)
    return (nudge - inner @ output_weights.swapaxes(-1, -2)) / c
