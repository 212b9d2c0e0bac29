"""Computes the updates that a learning rule is compared with (docs/published/dfc.md G.4, G.6).

Updates are lists like net.parameters, [dW_0, db_0, …], in the direction of a gradient: to be descended.
"""

from core.backend import array_module
from dfc.gradients import empty_gradients, initial_error, layer_gradients, steady_gradients
from dfc.jacobian import jacobian_blocks, pull_back, slopes_at
from dfc.measures.least_squares import minimum_norm_error
from dfc.steady_state import SteadyState, analytical_steady_state

# As published: directions with smaller singular values belong to the null space.
SMALLEST_SINGULAR_VALUE = 1e-12
# Below this ratio of eigenvalues, times eps, a Gram matrix does not distinguish small singular values from zero.
DELICATE = 1e5


def loss_gradient(net, activities, target):
    """Returns E = dLoss/dr_L (n, n_L); the loss is a mean over the batch."""
    return net.output_error(activities, target) * (1.0 / activities.batch_size)


def bp_update(net, activities, target):
    """Returns the gradient of the loss: dW_l = delta_l^T r_{l-1}, db_l the sum of delta_l (n, n_l).

    The source is docs/published/dfc.md F.1.
    """
    slopes = slopes_at(net, activities.v, automatic=True)
    errors = pull_back(net, slopes, slopes[-1] * loss_gradient(net, activities, target))
    return _outer_products(net, activities, errors, 1.0)


def gn_update(net, activities, target, gamma):
    """Returns the damped Gauss-Newton update (1/n) sum_b M(Jt_b, E_b, gamma).

    Jt_b is the Jacobian of r_L by all W and b, and M that of dfc.measures.least_squares (docs/published/dfc.md
    G.4). The update is backpropagation of other output errors, y_b = D (Jt_b Jt_b^T + gamma I)^-1 E_b. If there
    are no biases, gamma = 0 and Jt_b does not have full row rank, singular values below 1e-8 of the largest count
    as zero (pinv: below 1e-15).

    net         FeedbackNetwork
    activities  its feedforward pass of n samples
    target      labels (n,) or targets (n, n_L)
    gamma       damping, >= 0
    """
    error = loss_gradient(net, activities, target)
    y = minimum_norm_error(net, activities, error, gamma, parameters=True)
    errors = pull_back(net, slopes_at(net, activities.v, automatic=True), y)
    return _outer_products(net, activities, errors, 1.0 / activities.batch_size)


def gnt_voltages(net, activities, target, gamma):
    """Returns [g_0 … g_{L-1}], (n, n_l): the smallest change of pre-activations that changes the output by E.

        g = M(Jbar, E, gamma), M as in dfc.measures.least_squares
    """
    y = minimum_norm_error(net, activities, loss_gradient(net, activities, target), gamma)
    return pull_back(net, slopes_at(net, activities.v), y)


def gnt_update(net, activities, target, gamma, nonlinear=False, rates=None):
    """Returns the minimum-norm update (MN in the paper): dW_l = a_l^T r_{l-1} / n, db_l the mean of a_l.

        a_l = g_l,   or with `nonlinear`   a_l = phi_l(v_l + g_l) - phi_l(v_l)

    (docs/published/dfc.md G.4)

    rates  presynaptic rates r_0 …, L arrays (n, n_l), of a steady state (use_ss_gnt); None: those of the feedforward
           pass
    """
    changes = gnt_voltages(net, activities, target, gamma)
    if nonlinear:
        layers = zip(net.activations, activities.v, activities.r, changes, strict=True)
        changes = [activation.apply(v + g) - r for activation, v, r, g in layers]
    return _outer_products(net, activities, changes, 1.0 / activities.batch_size, rates)


def ssa_update(net, activities, target, options, rates):
    """Returns the gradient of DFC-SSA with the presynaptic rates of another rule; it is never clipped.

    It is called NDI in docs/published/dfc.md G.4.

    options  has the fields of rules.dfc_ssa.Options; use_initial_activations means the rates of the feedforward pass
    rates    r_0 … r_{L-1} of the other rule at rest, L arrays (n, n_l)
    """
    difference = initial_error(net, activities, target, options)
    steady = analytical_steady_state(net, activities, difference, options.alpha_di)
    gradients = empty_gradients(net)
    steady_gradients(net, activities, SteadyState(steady.u, steady.delta_v, steady.v, rates), options, gradients)
    return gradients


def _outer_products(net, activities, errors, scale, rates=None):
    update = empty_gradients(net)
    for l, error in enumerate(errors):
        below = rates[l - 1] if l and rates else activities.presynaptic(l)
        layer_gradients(below, error, scale, *net.of_layer(update, l))
    return update


def nullspace_ratios(net, activities, update):
    """Returns for each layer the share of its weight update that changes no output to first order.

        ratio_l = |dW_l - A^+ A dW_l|_F / |dW_l|_F

    They are 0-d arrays (docs/published/dfc.md G.6). A is the Jacobian of all n n_L outputs of the batch by
    vec(W_l) at the feedforward pass, with the slopes of automatic differentiation.
    """
    blocks = jacobian_blocks(net, activities.v, automatic=True)
    weights = enumerate(zip(blocks, net.weights_of(update), strict=True))
    return [nullspace_ratio(block, activities.presynaptic(l), matrix) for l, (block, matrix) in weights]


def nullspace_ratio(jacobian, rates, matrix):
    """Returns |part of `matrix` in the null space of A|_F / |matrix|_F, a 0-d array.

    A has the rows vec(J_b[o, :]^T r_b^T). Singular values of A below 1e-12 count as zero. A itself is only formed
    if it has more rows than columns, or if its Gram matrix has eigenvalues that are too small to tell whether the
    singular value is zero.

    jacobian  J (n, n_L, units)
    rates     r (n, inputs)
    matrix    (units, inputs)
    """
    xp = array_module(matrix)
    project = _projection_by_gram(jacobian, rates) if jacobian.shape[0] * jacobian.shape[1] < matrix.size else None
    project = project or _projection_by_svd(jacobian, rates)
    left = matrix - project(matrix)
    # The second projection removes the rounding errors that the first one left in the row space.
    left = left - project(left)
    return xp.linalg.norm(left) / xp.linalg.norm(matrix)


def _projection_by_gram(jacobian, rates):
    """Returns the projection on the row space of A by its Gram matrix, or None if the rank is unclear.

        (A A^T)[b o, c p] = (J_b J_c^T)[o, p] (r_b r_c)
    """
    xp = array_module(jacobian)
    n, k, units = jacobian.shape
    flat = jacobian.reshape(n * k, units)
    gram = (flat @ flat.swapaxes(-1, -2)).reshape(n, k, n, k) * (rates @ rates.swapaxes(-1, -2))[:, None, :, None]
    gram = gram.reshape(n * k, n * k)
    if not bool(xp.isfinite(gram).all()):
        return lambda matrix: matrix * float("nan")
    values, vectors = xp.linalg.eigh(gram)
    smallest, largest = float(values[0]), float(values[-1])
    if smallest < max(DELICATE * float(xp.finfo(values.dtype).eps) * largest, SMALLEST_SINGULAR_VALUE**2):
        return None

    def project(matrix):
        # This product is A vec(matrix).
        outputs = jacobian @ (rates @ matrix.swapaxes(-1, -2))[..., None]
        y = vectors @ ((vectors.swapaxes(-1, -2) @ outputs.reshape(n * k, 1)) / values[:, None])
        # This product is A^T y.
        return (y.reshape(n, 1, k) @ jacobian)[:, 0].swapaxes(-1, -2) @ rates

    return project


def _projection_by_svd(jacobian, rates):
    """Returns the projection on the row space of A by its singular vectors."""
    xp = array_module(jacobian)
    rows = (jacobian[..., None] * rates[:, None, None, :]).reshape(jacobian.shape[0] * jacobian.shape[1], -1)
    if not bool(xp.isfinite(rows).all()):
        return lambda matrix: matrix * float("nan")
    _, values, vectors = xp.linalg.svd(rows, full_matrices=False)
    vectors = vectors * (values >= SMALLEST_SINGULAR_VALUE)[:, None]
    return lambda matrix: (vectors.swapaxes(-1, -2) @ (vectors @ matrix.reshape(-1, 1))).reshape(matrix.shape)
