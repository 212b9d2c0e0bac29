"""Solves damped minimum-norm problems of the Jacobian of the output without forming that of the parameters.

    M(J, e, gamma) = J^T (J J^T + gamma I)^-1 e,   for gamma = 0 pinv(J) e

(docs/published/dfc.md G.3, G.4.) Per sample J has as many rows as there are outputs, usually few, and as many
columns as there are units or parameters, often many; J J^T is small and a sum over layers.
"""

from dataclasses import dataclass
from typing import Any

from core.backend import array_module
from core.options import UsageError
from dfc.jacobian import blocks_below, slopes_at
from dfc.network import Activities, FeedbackNetwork

# As published: singular values up to so many times the largest one count as zero.
RCOND = 1e-15


def damped_pseudo_inverse(jacobian, gamma):
    """Returns the matrix P with M(J, e, gamma) = P e, for Jacobians that exist as arrays.

        P = J^T (J J^T + gamma I)^-1 = (J^T J + gamma I)^-1 J^T,   for gamma = 0 the pseudo-inverse

    The smaller of the two systems is solved.

    jacobian  (…, rows, columns)
    gamma     damping, >= 0
    Returns   (…, columns, rows)
    Raises    UsageError for another gamma
    """
    check_damping(gamma)
    xp, transposed = array_module(jacobian), jacobian.swapaxes(-1, -2)
    if gamma == 0.0:
        return xp.linalg.pinv(jacobian, rcond=RCOND)
    if jacobian.shape[-2] >= jacobian.shape[-1]:
        return xp.linalg.solve(add_to_diagonal(transposed @ jacobian, gamma), transposed)
    return xp.linalg.solve(add_to_diagonal(jacobian @ transposed, gamma), jacobian).swapaxes(-1, -2)


def check_damping(gamma):
    """Raises UsageError unless gamma >= 0."""
    if not gamma >= 0.0:
        raise UsageError(f"--gn_damping={gamma}: must be in [0, inf)")


@dataclass
class OutputGram:
    """Holds what a damped minimum-norm solution needs of the Jacobian of the output, per sample.

        J = D J',   D = diag(slope),   J' J'^T = gram,   J J^T = D gram D

    The slopes of the output layer are kept separately, because J' has full row rank for any slopes. A slope that
    is zero, or at most RCOND times the largest, removes its row from the pseudo-inverse; the others cancel. So no
    rank is derived from `gram`, whose eigenvalues are squares of singular values: those below 1e-8 of the largest
    vanish in its rounding.

    slope     phi'_{L-1}, (n, k)
    gram      (n, k, k)
    definite  whether J' is known to have full row rank; if not, `gram` is inverted only on the eigenvectors whose
              eigenvalues exceed its rounding
    """

    slope: Any
    gram: Any
    definite: bool = True

    def solve(self, right, gamma):
        """Returns Y (n, k, c) with M(J, right, gamma) = J'^T Y, column by column.

        Y = D (D gram D + gamma I)^-1 right,   for gamma = 0   Y = gram^-1 D^-1 right in the rows with a slope
        """
        if gamma == 0.0:
            kept = self.kept
            return self.solve_in_row_space(right / array_module(right).where(kept, self.slope, 1.0)[..., None])
        system = add_to_diagonal(self.slope[..., :, None] * self.gram * self.slope[..., None, :], gamma)
        return self.slope[..., None] * array_module(right).linalg.solve(system, right)

    def solve_in_row_space(self, right):
        """Returns gram^-1 right (n, k, c) in the rows and columns of `kept`, and zero in the others."""
        xp, kept = array_module(right), self.kept
        right = xp.where(kept[..., None], right, 0.0)
        system = xp.where(kept[..., :, None] & kept[..., None, :], self.gram, 0.0)
        if not self.definite:
            return _solve_where_definite(system, right)
        diagonal = xp.arange(system.shape[-1])
        system[..., diagonal, diagonal] = xp.where(kept, system[..., diagonal, diagonal], 1.0)
        return xp.linalg.solve(system, right)

    @property
    def kept(self):
        """Returns which outputs have a slope that the pseudo-inverse does not count as zero, (n, k) bool.

        NaN is kept, so that it stays visible.
        """
        size = abs(self.slope)
        return ~(size <= RCOND * size.max(axis=-1, keepdims=True))


def _solve_where_definite(system, right):
    """Returns the pseudo-inverse of positive semidefinite matrices (n, k, k), times `right` (n, k, c).

    It is NaN where a matrix is not finite.
    """
    xp = array_module(system)
    finite = xp.isfinite(system).all(axis=(-2, -1))[..., None, None]
    values, vectors = xp.linalg.eigh(xp.where(finite, system, 0.0))
    rounding = values.shape[-1] * float(xp.finfo(values.dtype).eps)
    large = values > rounding * values[..., -1:]
    inverse = xp.where(large, 1.0 / xp.where(large, values, 1.0), 0.0)
    solution = vectors @ (inverse[..., None] * (vectors.swapaxes(-1, -2) @ right))
    return xp.where(finite, solution, float("nan"))


def add_to_diagonal(matrices, number):
    """Adds `number` to the diagonals of matrices (…, k, k) in place, and returns them."""
    diagonal = array_module(matrices).arange(matrices.shape[-1])
    matrices[..., diagonal, diagonal] += number
    return matrices


def output_gram(net, activities, parameters=False):
    """Returns the OutputGram of a feedforward pass (docs/published/dfc.md G.4).

        gram = s_{L-1} I + sum_{l < L-1} s_l J'_l J'_l^T

    With s_l = 1 it is that of all pre-activations. With `parameters` it is that of weights and biases, whose
    Jacobian has the columns J_l[o, k] r_{l-1}[j] and J_l[o, k]: s_l = |r_{l-1}|^2 + 1, without biases
    |r_{l-1}|^2, and the slopes at a kink are those of automatic differentiation.

    net         FeedbackNetwork
    activities  its feedforward pass of n samples
    """
    slopes = slopes_at(net, activities.v, automatic=parameters)
    scales = [_column_weights(net, activities, l) if parameters else 1.0 for l in range(len(slopes))]
    total = array_module(slopes[-1]).zeros((*slopes[-1].shape, slopes[-1].shape[-1]), dtype=slopes[-1].dtype)
    for scale, block in zip(scales[-2::-1], blocks_below(net, slopes), strict=True):
        total += scale * (block @ block.swapaxes(-1, -2))
    add_to_diagonal(total, scales[-1][..., 0] if parameters else 1.0)
    return OutputGram(slopes[-1], total, definite=not parameters or bool(net.biases))


def _column_weights(net, activities, l):
    rates = activities.presynaptic(l)
    return (rates * rates).sum(axis=-1)[..., None, None] + (1.0 if net.biases else 0.0)


def minimum_norm_error(net, activities, error, gamma, parameters=False):
    """Returns the error y (n, n_L) whose backpropagation J'^T y is M(J, error, gamma), for every sample.

    Samples are computed in blocks: only the Jacobians of one block exist together.

    net         FeedbackNetwork
    activities  its feedforward pass of n samples
    error       e (n, n_L)
    gamma       damping, >= 0
    parameters  see `output_gram`
    Raises      UsageError for a negative gamma
    """
    check_damping(gamma)
    if (basis := reachable_outputs(net)) is not None:
        return _within_and_beyond(net, activities, error, gamma, parameters, basis)
    y = array_module(error).empty_like(error)
    for rows in jacobian_rows(net, len(error)):
        gram = output_gram(net, activities.part(rows), parameters)
        y[rows] = gram.solve(error[rows][..., None], gamma)[..., 0]
    return y


def _within_and_beyond(net, activities, error, gamma, parameters, basis):
    """Returns the same (n, n_L) where J' J'^T = s_{L-1} I in all directions but those of `basis`."""
    xp, within = array_module(error), error @ basis
    y = minimum_norm_error(*seen_from(basis, net, activities), within, gamma, parameters)
    last = len(net.weights) - 1
    scale = gamma + (_column_weights(net, activities, last)[..., 0] if parameters else xp.ones_like(error[:, :1]))
    beyond = (error - within @ basis.swapaxes(-1, -2)) / xp.where(scale == 0.0, float("inf"), scale)
    return y @ basis.swapaxes(-1, -2) + beyond


def reachable_outputs(net):
    """Returns an orthonormal basis (n_L, p) of the output directions that the layers below can reach.

    It is None unless the output layer is linear and has fewer units below it than outputs, p < n_L.
    """
    outputs, inputs = net.weights[-1].shape
    if len(net.weights) == 1 or inputs >= outputs or net.activations[-1].name != "linear":
        return None
    return array_module(net.weights[-1]).linalg.qr(net.weights[-1])[0]


def seen_from(basis, net, activities):
    """Returns (network, activities) with the p outputs basis^T r_L, which gives each sample a p x p system."""
    transposed = basis.swapaxes(-1, -2)
    weights = [*net.weights[:-1], transposed @ net.weights[-1]]
    feedback = (
        [*net.feedback[:-1], transposed @ net.feedback[-1]] if len(net.feedback) == len(weights) else net.feedback
    )
    narrow = FeedbackNetwork(weights, net.biases, feedback, net.activations, net.loss, block=net.block)
    v, r = ([*layers[:-1], layers[-1] @ basis] for layers in (activities.v, activities.r))
    return narrow, Activities(activities.x, v, r, activities.batch_size, activities.first_output @ basis)


def jacobian_rows(net, count):
    """Returns slices of `count` samples whose Jacobians are computed together."""
    return net.blocks(count, net.sizes[-1] * (sum(net.sizes[:-1]) + net.sizes[-1]))
