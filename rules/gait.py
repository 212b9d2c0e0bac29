"""Defines GAIT-prop (Ahmad, van Gerven, Ambrogioni 2020, arXiv:2006.06438)."""

from dataclasses import dataclass

from core.options import option
from rules._rule import Rule


@dataclass(frozen=True)
class Options:
    """Holds the options of GAIT-prop."""

    gamma: float = option(1e-3, "weight of the target in each incremental step", bounds="(0, 1)")
    target_form: str = option(
        "difference",
        "difference: carry scaled differences, exact to rounding at any depth; "
        "absolute: the formula as published, which loses the digits of the first layers beyond 3 hidden layers",
        choices=("difference", "absolute"),
    )


def layer_errors(net, trace, target, options):
    """Returns the errors of GAIT-prop for one batch.

        e_l = gamma f'_l^2,   t_{l-1} = inverse_l((1 - e_l) h_l + e_l t_l),   delta_l = gamma^-(L-l) f'_l (h_l - t_l)

    They equal those of backpropagation for orthogonal weights and small gamma, except for units within
    gamma^(L-l+1) |d_l| of their kink.

    net      InvNet, L layers
    trace    activities of the forward pass, h_0 (n, inputs) … h_L (n, >= classes)
    target   (n, classes), in units of h_L
    options  Options; gamma in (0, 1), dimensionless
    Returns  list of L arrays (n, net.active[l]); not divided by n
    Raises   SingularWeights if a weight matrix has no inverse
    """
    form = _from_differences if options.target_form == "difference" else _from_targets
    return form(net, trace, target, options.gamma)


def _from_differences(net, trace, target, gamma):
    """Computes the rule without cancellation, by d_l = (h_l - t_l) / c with c = gamma^(L-l).

        d_L = h_L - t_L,   delta_l = f'_l d_l,   d_{l-1} = s_l W_l^-1
        s_l = (f^-1(h_l) - f^-1(h_l - c gamma f'_l^2 d_l)) / (c gamma)      (= delta_l where no unit crosses its kink)

    The rounding error is a few roundings per layer (times the condition number of W_l), in float32 and in
    float64.
    """
    errors = []
    difference, step = trace[-1][..., : net.classes] - target, gamma
    for layer, h, active in zip(reversed(net.layers), reversed(trace), reversed(net.active), strict=False):
        slope = net.transfer.slope(h[..., :active])
        delta = slope * difference
        errors.append(delta)
        if len(errors) < len(net.layers):
            difference = layer.solve(net.transfer.inverse_change(h[..., :active], slope * delta, step))
            step *= gamma
    return errors[::-1]


def _from_targets(net, trace, target, gamma):
    """Computes the rule by the published formula.

    It subtracts numbers that agree to gamma^(L-l), so that the first layers lose those digits.
    """
    trace = net.complete(trace)
    errors, scale = [], 1.0
    moved = trace[-1].copy()
    moved[..., : net.classes] = target
    for layer, h, active in zip(reversed(net.layers), reversed(trace), reversed(net.active), strict=False):
        slope = net.transfer.slope(h)
        errors.append((slope * (h - moved))[..., :active] / scale)
        if len(errors) < len(net.layers):
            step = gamma * slope * slope
            below = trace[len(net.layers) - len(errors)].copy()
            below[..., : layer.size] = layer.inverse((1.0 - step) * h + step * moved)
            moved = below
            scale *= gamma
    return errors[::-1]


RULE = Rule("GAIT", layer_errors, Options, inverts=True)
