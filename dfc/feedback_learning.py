"""How feedback weights learn from noise (dfc.md D): three published rules by name.

Each takes (net, activities, settings, noise) and returns [dQ_0 … dQ_{L-1}], gradients to be descended, the share of the given rows
in the mean over the batch; labels play no part.
"""

from dataclasses import dataclass

from core.backend import array_module
from dfc.controller import Controller
from dfc.simulation import simulate
from dfc.steady_state import analytical_steady_state

SMALLEST_SIGMA = 0.01  # noise below it does not enlarge the gradient any more


@dataclass(frozen=True)
class FeedbackSettings:
    """What the rules need to know.

    controller  dfc.controller.Controller of the feedback phase, noise included (normal_controller)
    sigma       standard deviation of the noise, which also scales the gradient
    alpha_di    leak for the analytical steady state (old_learning_rule)
    """

    controller: Controller | None
    sigma: float
    alpha_di: float = 0.001


def normal_controller(net, activities, settings, noise):
    """Noisy dynamics held at the feedforward output; the control signal of a time point is paired with the apical voltage before.

        dQ_l = 1 / (s^2 (T-1) n) sum_t v^A_l[t]^T u[t+1],   t = 0 … T-2,   s = max(sigma, 0.01)

    (dfc.md D.2; Meulemans et al. 2021, eq. for the feedback weights.)
    """
    xp, sums, before = array_module(activities.x), [], []

    def pair(t, state):
        if t == 0:
            before.extend(va.copy("K") for va in state.apical)
            sums.extend(xp.zeros((va.shape[-1], state.u.shape[-1]), dtype=va.dtype) for va in before)
            return
        for total, waiting, va in zip(sums, before, state.apical, strict=True):
            total += waiting.swapaxes(-1, -2) @ state.u
            waiting[...] = va

    simulate(net, activities, activities.r[-1], settings.controller, noise, pair)
    of_layers = net.split(xp.concatenate(sums))
    return _scaled(of_layers, activities, settings, 1.0 / (settings.controller.steps - 1))


def special_controller(net, activities, settings, noise):
    """Noise on all layers of one forward pass is paired with the change of the output.

        dQ_l = -1 / (s^2 n) eps_l^T (h_L - r_L)
    """
    steps, moved = _noisy_pass(net, activities, settings, noise)
    error = activities.r[-1] - moved
    return _scaled([step.swapaxes(-1, -2) @ error for step in steps], activities, settings)


def old_learning_rule(net, activities, settings, noise):
    """The noisy output as target of the analytical steady state (legacy).

        dQ_l = 1 / (s^2 n) delta_v_l^T u
    """
    _, moved = _noisy_pass(net, activities, settings, noise)
    steady = analytical_steady_state(net, activities, moved - activities.r[-1], settings.alpha_di)
    return _scaled([delta_v.swapaxes(-1, -2) @ steady.u for delta_v in steady.delta_v], activities, settings)


def _noisy_pass(net, activities, settings, noise):
    """([eps_0 …], h_L): noise of every layer, and the output of a forward pass with it."""
    steps = [layer[0] * settings.sigma for layer in noise.fill(1, activities.v)]
    h = activities.x
    for l, (activation, step) in enumerate(zip(net.activations, steps, strict=True)):
        h = activation.apply((net.drive(l, h) if l else activities.v[0]) + step)
    return steps, h


def _scaled(sums, activities, settings, factor=1.0):
    factor /= max(settings.sigma, SMALLEST_SIGMA) ** 2 * activities.count
    for total in sums:
        total *= factor
    return sums


def homeostatic_decay(net, strength, constant):
    """beta = b (|Qbar|_F^2 - c), the factor of Q in its gradient; a 0-d array (dfc.md D.2)."""
    return strength * (squared_norm(net.feedback) - constant)


def squared_norm(arrays):
    """The sum of all squared entries, a 0-d array."""
    return sum((each * each).sum() for each in arrays)


FEEDBACK_RULES = {rule.__name__: rule for rule in (normal_controller, special_controller, old_learning_rule)}
