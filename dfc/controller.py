"""Defines the controller, which steers the output of a network to its target through the feedback weights.

    tau_v dv_l/dt = -v_l + W_l r_{l-1} + b_l + v^A_l,   tau_A dv^A_l/dt = -v^A_l + Q_l u
    u = u_int + k_p e,   du_int/dt = e - alpha u,   e = r* - r_L

(Meulemans et al. 2021; docs/published/dfc.md B.1.)
"""

import math
from dataclasses import dataclass

from core import kernels
from core.backend import array_module
from dfc.functions import log_softmax, softmax
from dfc.jacobian import pull_back


@dataclass(frozen=True)
class Controller:
    """Holds the settings of one phase; times are in units of the controller's time constant.

    alpha                 leak of the control signal
    dt                    Euler step
    steps                 number of time points T, the first of them the feedforward state: T - 1 Euler steps
    k_p                   proportional gain, >= 0
    tau_v                 somatic time constant
    tau_a                 apical time constant; dt makes the apical compartment instantaneous
    inst_transmission     whether rates reach the next layer within a time step, layer by layer from the input
    inst_system_dynamics  whether somatic voltages follow their drive at once; implies inst_transmission
    proactive             whether layers receive the control signal of the same time step, not of the one before
    sigma, sigma_output   standard deviation of the noise on apical voltages of hidden and output layers; None: no noise
    error                 the error that the controller reduces: "mse", r* - r_L, or "ce", r* - softmax(r_L)
    tau_noise             time constant of coloured (Ornstein-Uhlenbeck) noise; None: the noise is white
    tau_f                 time constant of the low-pass filter between control signal and layers; None: no filter
    ideal_feedback        whether layers receive J^T u, with the Jacobian at the voltages of the time step, not Q u
    """

    alpha: float
    dt: float
    steps: int
    k_p: float = 0.0
    tau_v: float = 1.0
    tau_a: float = 1.0
    inst_transmission: bool = False
    inst_system_dynamics: bool = False
    proactive: bool = False
    sigma: float | None = None
    sigma_output: float | None = None
    error: str = "mse"
    tau_noise: float | None = None
    tau_f: float | None = None
    ideal_feedback: bool = False

    @property
    def layerwise(self):
        """Returns whether rates travel through the layers within one time step."""
        return self.inst_transmission or self.inst_system_dynamics


class ControlledNetwork:
    """Holds the state of a network under control at one time point, and moves it by Euler steps.

    u       control signal (n, n_L);  u_int is its integral part
    va, vb  apical and basal voltages, L arrays (n, n_l)
    vs      somatic voltages, L arrays (n, n_l)
    r       rates phi(vs), L arrays (n, n_l)
    """

    def __init__(self, net, activities, target, controller):
        xp = array_module(target)
        self.net, self.controller = net, controller
        self.activities, self.target = activities, target
        self.u, self.u_int, self._steps = xp.zeros_like(target), xp.zeros_like(target), 0
        self._next_u, self._error, self._change = (xp.empty_like(target) for _ in range(3))
        self._xp = xp
        self._filtered = [xp.zeros_like(target) for _ in range(2)] if controller.tau_f is not None else None
        self._coloured = controller.sigma is not None and controller.tau_noise is not None
        self._decay = 1.0 - controller.dt / controller.tau_noise if self._coloured else 0.0
        self._layers = range(len(net.weights)) if controller.layerwise else range(len(net.weights) - 1, -1, -1)
        self._scales = None if controller.sigma is None else [self.noise_scale(l) for l in range(len(net.weights))]
        self._allocate()

    def _allocate(self):
        net, activities, xp = self.net, self.activities, self._xp
        self.va = [xp.zeros_like(v) for v in activities.v]
        # The input stands still, so that the basal voltage of the first layer stays that of the feedforward pass.
        self.vb = [activities.v[0], *(v.copy() for v in activities.v[1:])]
        self.vs = [v.copy() for v in activities.v]
        self.r = [r.copy() for r in activities.r]
        self._scratch = [xp.empty_like(v) for v in activities.v]
        self._noise = [xp.zeros_like(v) for v in activities.v] if self._coloured else None
        self._biases = [b[..., None, :] for b in net.biases] or [None] * len(net.weights)
        fused = any(map(kernels.fuses, self.vs)) and not self.controller.inst_system_dynamics
        self._leak = self._leak_in_one_pass if fused else self._leak_pass_by_pass
        # The transposes are copies: a product with a transposed view takes longer, in float32 by 12 % (128 rows) to
        # 25 % (64 rows).
        self._transposed = [
            tuple(xp.ascontiguousarray(matrix.swapaxes(-1, -2)) for matrix in pair)
            for pair in zip(net.weights, net.feedback, strict=True)
        ]

    def control(self):
        """Moves the control signal by one Euler step (docs/published/dfc.md B.4, strong_dfc.md 4)."""
        c, xp, before, error, change = self.controller, self._xp, self.u, self._error, self._change
        xp.subtract(self.target, self.r[-1] if c.error == "mse" else softmax(self.r[-1]), out=error)
        xp.multiply(before, -c.alpha, out=change)
        change += error
        change *= c.dt
        self.u, self._next_u = self._next_u, before
        if c.k_p > 0.0:
            self.u_int += change
            error *= c.k_p
            xp.add(self.u_int, error, out=self.u)
        else:
            xp.add(before, change, out=self.u)

    def follow(self, noise=None):
        """Moves the layers by the same Euler step, in place; called after `control`.

        noise  one entry of the list that `arrange` returns; None where the controller has no noise
        """
        signal = self.u if self.controller.proactive else self._next_u
        self._step_layers(signal if self._filtered is None else self._low_passed(), noise)

    def _low_passed(self):
        """Returns the filtered control signal (n, n_L) of this time step, or of the one before.

            w[1] = u[1],   w[t + 1] = (dt / tau_f) u[t + 1] + (1 - dt / tau_f) w[t]

        It is that of this time step if the controller is proactive.
        """
        rate, (before, now) = self.controller.dt / self.controller.tau_f, self._filtered
        if self._steps == 0:
            now[...] = self.u
        else:
            self._filter(before, rate, now)
        self._steps += 1
        self._filtered = [now, before]
        return now if self.controller.proactive else before

    def _filter(self, before, rate, now):
        self._xp.multiply(before, 1.0 - rate, out=now)
        now += rate * self.u

    def _step_layers(self, signal, noise):
        ideal = self._pulled_back(signal) if self.controller.ideal_feedback else None
        for l in self._layers:
            self._step_layer(l, signal, None if noise is None else noise[l], ideal and ideal[l])

    def _pulled_back(self, signal):
        """Returns J_l^T u of every layer, L arrays (n, n_l), at the voltages of this time step."""
        slopes = [a.slope(v, r) for a, v, r in zip(self.net.activations, self.vs, self.r, strict=True)]
        return pull_back(self.net, slopes, signal * slopes[-1])

    def _step_layer(self, l, signal, noise, ideal):
        c, xp, va, vb, vs, scratch = self.controller, self._xp, self.va[l], self.vb[l], self.vs[l], self._scratch[l]
        weights, feedback = self._transposed[l]
        if l:
            # This is net.drive, written out: in small networks the call itself would take noticeable time.
            xp.matmul(self.r[l - 1], weights, out=vb)
        drive = va if c.tau_a == c.dt else scratch
        if ideal is None:
            xp.matmul(signal, feedback, out=drive)
        else:
            drive[...] = ideal
        if drive is scratch:
            scratch -= va
            scratch *= c.dt / c.tau_a
            va += scratch
        self._leak(l, noise, self._biases[l] if l else None)
        self.net.activations[l].apply(vs, out=self.r[l])

    def _leak_in_one_pass(self, l, noise, biases):
        if noise is not None:
            noise = noise, self._scales[l], self._noise and self._noise[l], self._decay
        kernels.leak(self.vs[l], self.controller.dt / self.controller.tau_v, self.va[l], self.vb[l], biases, noise)

    def _leak_pass_by_pass(self, l, noise, biases):
        """Adds noise to the apical and biases to the basal voltages, then moves the somatic ones."""
        c, xp, va, vb, vs, scratch = self.controller, self._xp, self.va[l], self.vb[l], self.vs[l], self._scratch[l]
        if noise is not None:
            xp.multiply(noise, self._scales[l], out=scratch)
            va += self._colour(self._noise[l], scratch) if self._coloured else scratch
        if biases is not None:
            vb += biases
        if c.inst_system_dynamics:
            xp.add(va, vb, out=vs)
        else:
            xp.add(va, vb, out=scratch)
            scratch -= vs
            scratch *= c.dt / c.tau_v
            vs += scratch

    def _colour(self, noise, fresh):
        """Overwrites the coloured noise of the last time step by that of this one, and returns it.

        fresh  newly drawn white noise
        """
        noise *= self._decay
        noise += fresh
        return noise

    def arrange(self, block):
        """Splits blocks of noise by time step, into the forms that `follow` takes.

        block    L arrays (steps, n, n_l) of standard normals
        Returns  list of `steps` lists with one array (n, n_l) per layer
        """
        return [[layer[t] for layer in block] for t in range(len(block[0]))]

    def noise_scale(self, l):
        """Returns the standard deviation of what one step adds to the noise of layer l.

        White noise is added to the apical voltages directly.
        """
        c = self.controller
        sigma = c.sigma_output if l == len(self.net.weights) - 1 else c.sigma
        return sigma * math.sqrt(c.dt) / (c.tau_noise if self._coloured else c.tau_a)

    @property
    def apical(self):
        """Returns the apical voltages of all layers, from the first: arrays (n, units of one or more layers)."""
        return self.va

    def output_distance(self):
        """Returns the distance (n,) of the output from its target, for every sample: see `distance`."""
        return distance(self.controller.error, self.target, self.r[-1])


def distance(error, target, output):
    """Returns how far `output` is from `target` (n, n_L), for every sample: (n,).

        "mse"  |target - output|
        "ce"   -sum_c target_c log softmax(output)_c
    """
    if error == "mse":
        return norms(target - output)
    return -(target * log_softmax(output)).sum(axis=-1)


def norms(rows):
    """Returns the 2-norm of every row: (n, k) -> (n,)."""
    xp = array_module(rows)
    return xp.sqrt((rows * rows).sum(axis=-1))
