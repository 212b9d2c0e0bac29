"""Computes the gradients of weights and biases from the errors of a rule, in the same way for every rule."""

from dataclasses import dataclass, fields
from typing import Any

from core.backend import array_module


def add_weight_gradient(presynaptic, delta, rows, out, start_from_zero):
    """Add the rows `rows` of h^T delta / n, the gradient of the weights from one batch, to `out`.

    presynaptic      h, activities below the layer (n, >= size)
    delta            errors (n, k) of the first k <= size units; those of the others are zero
    rows             slice of the rows of W, that is of the layer's inputs
    out              (rows, size), the part of the gradient that does not depend on the batch, or anything if `start_from_zero`
    start_from_zero  overwrite `out`
    """
    inputs = presynaptic[..., rows].swapaxes(-1, -2)
    mean = delta * (1.0 / delta.shape[-2])
    units = delta.shape[-1]
    if start_from_zero:
        array_module(delta).matmul(inputs, mean, out=out[..., :units])
        out[..., units:] = 0.0
    else:
        out[..., :units] += inputs @ mean


def bias_gradient(delta, out):
    """Write the mean over the samples of delta (n, k) into `out` (size,); entries beyond k are zero."""
    units = delta.shape[-1]
    out[..., :units] = delta.mean(axis=-2)
    out[..., units:] = 0.0


def layer_gradients(presynaptic, delta, scale, weights, biases=None):
    """Compute the gradients of a layer whose weights are (units, inputs): scale delta^T h, and scale times the sum of delta.

    presynaptic  h, rates below the layer (n, inputs)
    delta        errors (n, units)
    scale        number, 1 / samples for a mean
    weights      (units, inputs), overwritten
    biases       (units,), overwritten; None for a layer without
    """
    xp = array_module(delta)
    scaled = delta * scale
    xp.matmul(scaled.swapaxes(-1, -2), presynaptic, out=weights)
    if biases is not None:
        xp.sum(scaled, axis=-2, out=biases)


@dataclass
class RuleResult:
    """What a rule has computed for some rows of a batch; weights are not changed by it.

    gradients  like net.parameters, [dW_0, db_0, …], to be descended: the share of these rows in the mean over the batch
    steady     v, r, u and delta_v at the end, after the fall-back (dfc.steady_state.SteadyState); None without a controller
    counts     numbers of converged, diverged and other samples, (3,) integers; None where nothing is simulated
    converged, diverged  (n,) bool at the last time point; None where nothing is simulated
    clipped    whether the rule has already clipped its gradients as `--clip_grad_norm` asks
    feedback   [dQ_0 …], the same for the feedback weights, of a rule that learns both at once; else None
    """

    gradients: list
    steady: Any = None
    counts: Any = None
    converged: Any = None
    diverged: Any = None
    clipped: bool = False
    feedback: list | None = None

    def of(self, seed):
        """The result of one seed, (s,), of several."""
        parts = {field.name: getattr(self, field.name) for field in fields(self) if field.name not in ("steady", "clipped")}
        return RuleResult(
            **{name: of_seed(part, seed) for name, part in parts.items()},
            steady=self.steady and self.steady.of(seed),
            clipped=self.clipped,
        )


def of_seed(part, seed):
    """What belongs to one seed, (s,), of an array with a leading axis of seeds, or of a list of such arrays; None stays None."""
    if isinstance(part, list):
        return [array[seed] for array in part]
    return None if part is None else part[seed]
