"""Defines penalties on the weights and their gradients."""

from core.backend import array_module


class OrthogonalRegulariser:
    """Penalises weight matrices whose rows are not orthogonal.

    The penalty is strength times the sum of the squared off-diagonal entries of G = W W^T. Its gradient is
    strength * R(W), R(W) = 4 (G - diag G) W (docs/published/gait.md 2). The length of the rows is free.

    strength  lambda >= 0
    """

    def __init__(self, strength):
        self.strength = strength

    def __bool__(self):
        return self.strength != 0.0

    def prepare(self, layer):
        """Computes the Gram matrix of `layer`, which `gradient` needs."""
        layer.gram()

    def penalty(self, layer):
        """Returns strength * sum over i != j of G_ij^2, a number per seed."""
        off, _ = layer.gram()
        return self.strength * (off * off).sum(axis=(-2, -1))

    def gradient(self, layer, part, out):
        """Writes one part of strength * R(W) into `out` (rows, size).

        part  index of the part: (rows,), or (seeds, rows)
        """
        off, _ = layer.gram()
        array_module(off).matmul(off[part], layer.weights[part[:-1]], out=out)
        out *= 4.0 * self.strength

