"""Computes the gradients of weights and biases from the errors of any rule, and that of the regulariser."""

from core.backend import matmul


def add_weight_gradient(presynaptic, delta, rows, out, start_from_zero):
    """Adds some rows of h^T delta / n, the gradient of the weights from one batch, to `out`.

    presynaptic      h, activities below the layer (n, >= size)
    delta            errors (n, k) of the first k <= size units; those of the other units are zero
    rows             slice of the rows of W, that is of the layer's inputs
    out              (rows, size), the part of the gradient that does not depend on the batch, or anything if
                     `start_from_zero`
    start_from_zero  whether `out` is overwritten
    """
    inputs = presynaptic[..., rows].swapaxes(-1, -2)
    mean = delta * (1.0 / delta.shape[-2])
    units = delta.shape[-1]
    if start_from_zero:
        matmul(inputs, mean, out=out[..., :units])
        out[..., units:] = 0.0
    else:
        matmul(inputs, mean, out=out[..., :units], add=True)


def bias_gradient(delta, out):
    """Writes the mean over the samples of delta (n, k) into `out` (size,); entries beyond k are zero."""
    units = delta.shape[-1]
    out[..., :units] = delta.mean(axis=-2)
    out[..., units:] = 0.0


class OrthogonalRegulariser:
    """Penalises weight matrices whose rows are not orthogonal.

    The penalty is strength times the sum of the squared off-diagonal entries of G = W W^T. Its gradient is
    strength * R(W), R(W) = 4 (G - diag G) W (docs/published/gait.md 2). The length of the rows is free, unless
    `unit_rows` adds the squared entries of diag G - 1 to the penalty: then R(W) = 4 (G - 1) W.

    strength   lambda >= 0
    unit_rows  whether rows of another length than 1 are penalised too
    """

    def __init__(self, strength, unit_rows=False):
        self.strength, self.unit_rows = strength, unit_rows

    def __bool__(self):
        return self.strength != 0.0

    def prepare(self, layer):
        """Computes the Gram matrix of `layer`, which `gradient` needs."""
        layer.gram()

    def penalty(self, layer):
        """Returns strength * sum over i != j of G_ij^2, for unit rows also of (G_ii - 1)^2, per seed."""
        off, diagonal = layer.gram()
        penalty = (off * off).sum(axis=(-2, -1))
        if self.unit_rows:
            penalty += ((diagonal - 1.0) ** 2).sum(axis=-1)
        return self.strength * penalty

    def gradient(self, layer, part, out):
        """Writes one part of strength * R(W) into `out` (rows, size).

        part  index of the part: (rows,), or (seeds, rows)
        """
        off, diagonal = layer.gram()
        matmul(off[part], layer.weights[part[:-1]], out=out)
        if self.unit_rows:
            out += (diagonal[part] - 1.0)[..., None] * layer.weights[part]
        out *= 4.0 * self.strength
