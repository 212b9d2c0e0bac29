"""Defines penalties on the weights and their gradients."""

from core.backend import array_module


class OrthogonalRegulariser:
    """Keeps the rows of every weight matrix orthogonal: strength * sum of the squared off-diagonal entries of G = W W^T.

    Its gradient is strength * R(W), R(W) = 4 (G - diag G) W (gait.md 2).  The length of the rows is free.

    strength  lambda >= 0
    """

    def __init__(self, strength):
        self.strength = strength

    def __bool__(self):
        return self.strength != 0.0

    def prepare(self, layer):
        """Computes what `gradient` of any rows of `layer` needs."""
        layer.gram()

    def penalty(self, layer):
        """strength * sum over i != j of G_ij^2, a scalar for each seed."""
        off, _ = layer.gram()
        return self.strength * (off * off).sum(axis=(-2, -1))

    def gradient(self, layer, part, out):
        """Writes the part `part` of strength * R(W) into `out` (rows, size): an index tuple of rows, or of seeds and rows."""
        off, _ = layer.gram()
        array_module(off).matmul(off[part], layer.weights[part[:-1]], out=out)
        out *= 4.0 * self.strength

