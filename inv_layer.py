"""Computes one invertible layer: h (n, size) -> f(h W + b), and back.

Rows are samples; W (size, size) maps inputs to outputs, b (size,). The layer reads the first `size` units of the
activity below. Every array may have a leading axis of seeds: then W is (S, size, size), b (S, size) and h (S, n,
size), and each seed gets the same bits as if it were alone.
"""

from itertools import product

import numpy as np

from core.backend import array_module, diagonals, matmul


class SingularWeights(ArithmeticError):
    """Says that a weight matrix has no inverse, so that the targets of TP and GAIT-prop do not exist."""


class InvLayer:
    """Holds weights, biases and transfer function of one layer, and what follows from the weights alone.

    weights     (size, size); updated in place by an optimiser, followed by a call of `weights_changed()`
    biases      (size,)
    transfer    utils.Transfer
    gram_solve  whether `solve` may use the Gram matrix if that is known already
    name        for messages
    """

    def __init__(self, weights, biases, transfer, gram_solve=True, name="the layer"):
        self.weights = weights
        self.biases = biases
        self.transfer = transfer
        self.gram_solve = gram_solve
        self.name = name
        self.version = 0
        self._gram = None
        self._gram_version = None
        self._unsolved = None

    @property
    def size(self):
        """Returns the number of units, which is that of the inputs too."""
        return self.weights.shape[-1]

    def weights_changed(self):
        """Discards everything that was derived from the old weights; called after `weights` was updated."""
        self.version += 1

    def forward(self, h, units=None):
        """Returns the activities f(h W + b) of the first `units` units: h (n, >= size) -> (n, units).

        units  None: all
        """
        z = matmul(h[..., : self.size], self.weights[..., :units])
        z += self.biases[..., None, :units]
        return self.transfer.apply(z)

    def transpose_product(self, rows):
        """Returns rows W^T, where missing columns of `rows` count as zero: (n, <= size) -> (n, size)."""
        return matmul(rows, self.weights[..., : rows.shape[-1]].swapaxes(-1, -2))

    def inverse(self, y):
        """Returns the input whose activity is y: (f^-1(y) - b) W^-1, (n, size) -> (n, size).

        Raises  SingularWeights if W has no inverse
        """
        return self.solve(self.transfer.inverse(y) - self.biases[..., None, :])

    def gram(self):
        """Returns W W^T as (off, diagonal): zeros on the diagonal (size, size), and the diagonal (size,).

        It is computed once for each version of the weights, into a buffer that the next version overwrites.
        """
        if self._gram_version != self.version:
            xp = array_module(self.weights)
            if self._gram is None:
                self._gram = xp.empty_like(self.weights), xp.empty_like(self.biases)
            off, diagonal = self._gram
            matmul(self.weights, self.weights.swapaxes(-1, -2), out=off)
            within = diagonals(off)
            diagonal[...] = within
            within[...] = 0.0
            self._gram_version = self.version
        return self._gram

    def solve(self, rows):
        """Returns rows W^-1, where missing columns of `rows` count as zero: (n, <= size) -> (n, size).

        If the Gram matrix G = W W^T is known (an orthogonal regulariser has computed it) and nearly diagonal,
        rows W^-1 = (rows W^T) G^-1 takes a few products with G (`solve_gram`) and is exact to the rounding of a
        product. Otherwise an LU factorisation of W is used, which is backward stable. If `rows` has fewer columns
        than rows, the first rows of W^-1 are computed once and multiplied.

        Raises  SingularWeights where the array module reports it (numpy does; for others see `check_solved`)
        """
        columns = rows.shape[-1]
        if columns < min(rows.shape[-2], self.size):
            xp = array_module(rows)
            unit = xp.eye(columns, self.size, dtype=rows.dtype)
            return matmul(rows, self.solve(xp.broadcast_to(unit, (*rows.shape[:-2], *unit.shape))))
        if self.gram_solve and self._gram_version == self.version:
            return self._solve_by_gram(rows)
        return self._solve_directly(rows)

    def _solve_by_gram(self, rows):
        """Returns the solution by `solve_gram` for every seed by itself.

        The number of products of a seed must not depend on the others.
        """
        off, diagonal = self._gram
        products = self.transpose_product(rows)
        solution, hopeless = array_module(rows).empty_like(products), []
        for seed in product(*map(range, rows.shape[:-2])):
            found = solve_gram(off[seed], diagonal[seed], products[seed])
            if found is None:
                hopeless.append(seed)
            else:
                solution[seed] = found
        if hopeless:
            direct = self._solve_directly(rows)
            for seed in hopeless:
                solution[seed] = direct[seed]
        return solution

    def _solve_directly(self, rows):
        xp = array_module(rows)
        if rows.shape[-1] < self.size:
            padded = xp.zeros((*rows.shape[:-1], self.size), dtype=rows.dtype)
            padded[..., : rows.shape[-1]] = rows
            rows = padded
        try:
            solution = xp.linalg.solve(self.weights.swapaxes(-1, -2), rows.swapaxes(-1, -2)).swapaxes(-1, -2)
        except np.linalg.LinAlgError:
            raise self._singular() from None
        unsolved = xp.isfinite(rows).all(axis=(-2, -1)) & ~xp.isfinite(solution).all(axis=(-2, -1))
        self._unsolved = unsolved if self._unsolved is None else self._unsolved | unsolved
        return solution

    def check_solved(self):
        """Raises SingularWeights if a solve since the last check turned finite rows into others.

        cupy reports singular matrices by NaN and inf alone. Reading the mark waits for the device: do so once per
        evaluation.
        """
        failed, self._unsolved = self._unsolved, None
        if failed is not None and bool(failed.any()):
            raise self._singular()

    def hand_marks_to(self, layers):
        """Moves the mark that `check_solved` reads to one layer per seed."""
        marks, self._unsolved = self._unsolved, None
        if marks is not None:
            for layer, mark in zip(layers, marks, strict=True):
                layer._unsolved = mark if layer._unsolved is None else layer._unsolved | mark

    def _singular(self):
        return SingularWeights(f"the weight matrix of {self.name} has no inverse")


def solve_gram(off, diagonal, rows, most_products=16):
    """Returns rows G^-1 for a symmetric G = off + diag(diagonal) close to diagonal, or None if it takes long.

    The method is conjugate gradients with the diagonal as preconditioner, for each row by itself (Hestenes and
    Stiefel 1952; Saad, Iterative Methods for Sparse Linear Systems, algorithm 9.1). With r the spectral radius of
    off scaled by the diagonal, each product with `off` reduces the residual by about r / 2; in training with the
    orthogonal regulariser r is near 0.05.

    off            (size, size), zero on its diagonal
    diagonal       (size,), positive
    rows           (n, size)
    most_products  products with `off` after which a direct solve is cheaper
    Returns        (n, size) with a residual of at most sqrt(size) eps |row| in every row, the rounding of one product;
                   None if the rate of the first products shows that `most_products` would not suffice, or numbers are
                   not finite
    """
    goal = rows.shape[-1] * float(array_module(rows).finfo(rows.dtype).eps) ** 2
    scale = 1.0 / diagonal
    solution = rows * scale
    norms = _nonzero(_row_products(rows, solution))
    residual = -(solution @ off)
    direction = residual * scale
    product = _row_products(residual, direction)
    for products in range(1, most_products + 1):
        error = float((product / norms).max())
        if error <= goal:
            return solution
        # After k products the error is about rate^k: give up at once if the rate is too low.
        if not error < 1.0 or error ** (most_products / products) > goal:
            return None
        moved = direction @ off
        moved += direction * diagonal
        length = product / _nonzero(_row_products(direction, moved))
        solution += length * direction
        moved *= length
        residual -= moved
        preconditioned = residual * scale
        previous, product = product, _row_products(residual, preconditioned)
        direction *= product / _nonzero(previous)
        direction += preconditioned
    return None


def _row_products(a, b):
    """Returns the scalar product of each row of `a` with that of `b`: (n, size), (n, size) -> (n, 1)."""
    return (a[..., None, :] @ b[..., None])[..., 0]


def _nonzero(values):
    """Returns `values` with ones in place of zeros.

    A zero marks a row that has converged, where the other factor is zero.
    """
    return values + (values == 0.0)
