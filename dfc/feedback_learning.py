"""Computes how feedback weights learn from noise: three published rules by name (docs/published/dfc.md D).

Each rule takes (net, activities, settings, noise, target) and returns [dQ_0 … dQ_{L-1}], dQ_l (n_l, n_L):
gradients to be descended, the share of the given rows in the mean over the batch. Labels matter only where the
output is driven to them.
"""

from dataclasses import dataclass

from core.backend import array_module, matmul, on_device
from core.device_kernels import HIGH_PASS
from dfc.controller import Controller
from dfc.gradients import output_target
from dfc.simulation import simulate
from dfc.steady_state import analytical_steady_state
from dfc.time_block import TimeBlock
from utils import join

# Smaller noise does not enlarge the gradient any further.
SMALLEST_SIGMA = 0.01


@dataclass(frozen=True)
class FeedbackSettings:
    """Holds what the rules for Q need to know.

    controller       dfc.controller.Controller of the feedback phase, noise included (normal_controller)
    sigma            standard deviation of the noise, which also scales the gradient
    alpha_di         leak for the analytical steady state (old_learning_rule)
    sigma_output     standard deviation that scales the gradient of the output layer; None: sigma
    growth           factor between the gradients of a layer and of the layer above it
    rate             dt / tau of the high-pass filter on the control signal in the gradient; None: no filter
    aim              what the output is driven to (normal_controller), a name of dfc.gradients.output_target
    target_stepsize  lambda, where the aim is a nudge
    """

    controller: Controller | None
    sigma: float
    alpha_di: float = 0.001
    sigma_output: float | None = None
    growth: float = 1.0
    rate: float | None = None
    aim: str = "output"
    target_stepsize: float = 0.001


class Fluctuations:
    """Sums over time the products of apical voltages with the control signal of the next time point.

        S_l = sum_t v^A_l[t]^T h[t+1],   h = u, or high-passed h = u - l
        l[1] = u[1],   l[t] = rate u[t] + (1 - rate) l[t-1]

    (docs/published/strong_dfc.md 5)

    rate  None: h = u
    room  most time points, where all of them are kept until the end (dfc.time_sums.TimeSum.keeps_all); 0: none is
    """

    def __init__(self, net, rate=None, room=0):
        self.net, self.rate = net, rate
        self._sums, self._slow = [], None
        self._room, self._kept, self._filled = room, None, 0

    def observe(self, state):
        """Adds a time point's control signal; the apical voltages must still be those of the one before."""
        if self._room:
            self._keep(state)
            return
        if not self._sums:
            xp = array_module(state.u)
            shapes = [(*self.net.seeds, va.shape[-1], state.u.shape[-1]) for va in state.apical]
            self._sums = [xp.zeros(shape, dtype=state.u.dtype) for shape in shapes]
        signal = state.u if self.rate is None else self._high_passed(state.u)
        for total, va in zip(self._sums, state.apical, strict=True):
            matmul(va.swapaxes(-1, -2), signal, out=total, add=True)

    def _keep(self, state):
        """Copies what `observe` would multiply."""
        arrays = [*state.apical, state.u if self.rate is None else self._high_passed(state.u)]
        self._kept = self._kept or [TimeBlock(each, self._room) for each in arrays]
        for block, each in zip(self._kept, arrays, strict=True):
            block.slots[self._filled][...] = each
        self._filled += 1

    def leave_out(self, converged):
        """Sums over the samples that are `converged` (n,) alone, where all time points are kept."""
        kept = converged.astype(self.net.weights[0].dtype)
        for block in self._kept:
            block.keep(kept)
        *apical, signal = (block.rows(self._filled) for block in self._kept)
        self._sums = [matmul(va.swapaxes(-1, -2), signal) for va in apical]

    def _high_passed(self, u):
        if self._slow is None:
            self._slow = u.copy("K")
        elif on_device(u):
            fast = array_module(u).empty_like(u)
            HIGH_PASS(u, self.rate, self._slow, fast)
            return fast
        else:
            self._slow *= 1.0 - self.rate
            self._slow += self.rate * u
        return u - self._slow

    def of(self, seed):
        """Returns the Fluctuations of one seed, whose index is the tuple (s,).

        Its sums share their memory with those of all seeds. It cannot add further time points.
        """
        one = Fluctuations(self.net.of(seed), self.rate)
        one._sums = [total[seed] for total in self._sums]
        return one

    def take_out(self, other):
        """Subtracts the sums of another Fluctuations, which belong to some rows of this one."""
        for total, part in zip(self._sums, other._sums, strict=True):
            total -= part

    def gradients(self, count, settings, steps):
        """Returns [dQ_0 … dQ_{L-1}], the share in the mean over `count` samples and steps - 1 products.

            dQ_l = g^(L-1-l) / (s_l^2 (T-1) n) S_l,   s_l = max(sigma_l, 0.01),   g = settings.growth
        """
        sums = self._sums or [array_module(q).zeros_like(q) for q in self.net.feedback]
        of_layers = self.net.split(join(sums, axis=-2))
        return _scaled(of_layers, count, settings, 1.0 / (steps - 1))


def normal_controller(net, activities, settings, noise, target=None):
    """Returns gradients that pair each control signal of noisy dynamics with the apical voltages before it.

        dQ_l = 1 / (s^2 (T-1) n) sum_t v^A_l[t]^T u[t+1],   t = 0 … T-2,   s = max(sigma, 0.01)

    (docs/published/dfc.md D.2; Meulemans et al. 2021, equation for the feedback weights.) The output is driven to
    where the feedforward pass left it, unless settings.aim names another target. Fluctuations explains layer
    scaling and the high-pass filter.
    """
    total, controller = Fluctuations(net, settings.rate), settings.controller
    simulate(
        net, activities, output_target(net, activities, target, settings), controller, noise, signalled=total.observe
    )
    return total.gradients(activities.batch_size, settings, controller.steps)


def special_controller(net, activities, settings, noise, target=None):
    """Returns gradients that pair the noise on all layers of one forward pass with the change of the output.

        dQ_l = -1 / (s^2 n) eps_l^T (h_L - r_L)

    (docs/published/dfc.md D.3), eps_l (n, n_l) the noise, h_L (n, n_L) the noisy output.
    """
    steps, moved = _noisy_pass(net, activities, settings, noise)
    error = activities.r[-1] - moved
    return _scaled([matmul(step.swapaxes(-1, -2), error) for step in steps], activities.batch_size, settings)


def old_learning_rule(net, activities, settings, noise, target=None):
    """Returns gradients from the analytical steady state whose target is a noisy output.

        dQ_l = 1 / (s^2 n) delta_v_l^T u

    (docs/published/dfc.md D.4; a legacy rule), delta_v_l (n, n_l), u (n, n_L).
    """
    _, moved = _noisy_pass(net, activities, settings, noise)
    steady = analytical_steady_state(net, activities, moved - activities.r[-1], settings.alpha_di)
    sums = [matmul(delta_v.swapaxes(-1, -2), steady.u) for delta_v in steady.delta_v]
    return _scaled(sums, activities.batch_size, settings)


def _noisy_pass(net, activities, settings, noise):
    """Returns ([eps_0 …], h_L): noise of every layer (n, n_l), and output (n, n_L) of a forward pass with it."""
    steps = [layer[0] * settings.sigma for layer in noise.fill(1, activities.v)]
    h = activities.x
    for l, (activation, step) in enumerate(zip(net.activations, steps, strict=True)):
        h = activation.apply((net.drive(l, h) if l else activities.v[0]) + step)
    return steps, h


def _scaled(sums, count, settings, factor=1.0):
    last = len(sums) - 1
    for l, total in enumerate(sums):
        sigma = settings.sigma if l < last or settings.sigma_output is None else settings.sigma_output
        total *= settings.growth ** (last - l) * factor / (max(sigma, SMALLEST_SIGMA) ** 2 * count)
    return sums


def homeostatic_decay(net, strength, constant):
    """Returns beta = b (|Qbar|_F^2 - c), the factor of Q in its gradient: a number per seed.

    The source is docs/published/dfc.md D.2.
    """
    return strength * (squared_norm(net.feedback) - constant)


def squared_norm(arrays):
    """Returns the sum of all squared entries of some matrices: a number per seed."""
    return sum((each * each).sum(axis=(-2, -1)) for each in arrays)


Q_RULES = {rule.__name__: rule for rule in (normal_controller, special_controller, old_learning_rule)}
