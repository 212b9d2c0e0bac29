"""Simulates small controlled networks faster: it computes for all layers at once what these have in common."""

from core import kernels
from core.backend import array_module
from dfc.controller import ControlledNetwork
from utils import join

# From so many voltages at all time points on, it pays for a single network, too, to load the compiler.
LONG = 2_000_000


def stackable(net, controller):
    """Returns whether a StackedNetwork can simulate a network, and is the faster form."""
    return net.small and not controller.inst_system_dynamics and not controller.ideal_feedback


class StackedNetwork(ControlledNetwork):
    """Simulates the same dynamics with the layers stacked: arrays (units of all layers, samples).

    One product applies the control to all layers, and one pass applies their leak; per layer only W r and the
    activation function remain. A step differs from one of ControlledNetwork by rounding. va, vb, vs and r are
    views of the stacked arrays.
    """

    def __init__(self, net, activities, target, controller):
        super().__init__(net, activities, _turned(target).swapaxes(-1, -2), controller)

    def _allocate(self):
        net, activities, xp = self.net, self.activities, self._xp
        self._voltages = _turned(join(activities.v, axis=-1))
        self._apical, self._basal = xp.zeros_like(self._voltages), self._voltages.copy()
        self._scratch = xp.empty_like(self._voltages)
        self._noise = xp.zeros_like(self._voltages) if self._coloured else None
        self._arranged = None
        self._feedback = join(net.feedback, axis=-2)
        self.va, self.vb, self.vs = (
            [rows.swapaxes(-1, -2) for rows in net.split(each)] for each in (self._apical, self._basal, self._voltages)
        )
        # A row of ones below every layer makes the product with the weights add the biases.
        biases = [[b[..., None]] for b in net.biases] or [[]] * len(net.weights)
        ones = [xp.ones_like(activities.r[0][..., :1])] if net.biases else []
        weights = [join([w, *b], axis=-1) for w, b in zip(net.weights, biases, strict=True)]
        rates = [_turned(join([r, *ones], axis=-1)) for r in activities.r]
        active = [each[..., :size, :] for each, size in zip(rates, net.sizes, strict=True)]
        self.r = [each.swapaxes(-1, -2) for each in active]
        self._rate = self.controller.dt / self.controller.tau_v
        basal, drive, voltages = (net.split(each) for each in (self._basal, self._scratch, self._voltages))
        self._input = basal[0] * self._rate
        apply = [activation.apply for activation in net.activations]
        parts = list(zip(weights, [None, *rates[:-1]], basal, drive, voltages, apply, active, strict=True))
        self._parts = [parts[l] for l in self._layers]
        # numpy would process each seed's rows in a separate loop, so that for several seeds the compiled pass pays at
        # any size.
        long = self._voltages.size * self.controller.steps >= LONG
        self._relaxed = self._controlled = None
        if kernels.fuses(self._voltages, 1 if net.seeds or long else None):
            self._bind(rates[-1])

    def _bind(self, output):
        """Binds the compiled passes to their arrays; `output` (n_L + 1, n) are the output's rates, and ones."""
        c, slices = self.controller, self.net.slices
        layers = [_with_seeds(each) for each in (self._voltages, self._apical, self._basal)]
        self._relaxed = [kernels.relaxing(*layers, slices[l], self._rate) for l in self._layers]
        if c.error == "mse":
            signals = (self.target, self.u_int, self.u, self._next_u)
            target, integral, *self._signals = (_with_seeds(each.swapaxes(-1, -2)) for each in signals)
            self._controlled = kernels.controlling(target, _with_seeds(output), integral, c.alpha, c.dt, c.k_p)

    def _step_layers(self, signal, noise):
        c, xp, va, vs, scratch = self.controller, self._xp, self._apical, self._voltages, self._scratch
        signal = signal.swapaxes(-1, -2)
        if c.tau_a == c.dt:
            xp.matmul(self._feedback, signal, out=va)
        else:
            xp.matmul(self._feedback, signal, out=scratch)
            scratch -= va
            scratch *= c.dt / c.tau_a
            va += scratch
        if noise is not None:
            va += self._colour(self._noise, noise) if self._coloured else noise
        if self._relaxed:
            self._relax()
            return
        xp.subtract(va, vs, out=scratch)
        scratch *= self._rate
        vs += scratch
        for weights, below, vb, drive, v, apply, rates in self._parts:
            if below is None:
                v += self._input
            else:
                xp.matmul(weights, below, out=vb)
                xp.multiply(vb, self._rate, out=drive)
                v += drive
            apply(v, out=rates)

    def _relax(self):
        """Applies the leak of each layer and its drive in one compiled pass, with the bits of single passes."""
        for relaxed, (weights, below, vb, _, v, apply, rates) in zip(self._relaxed, self._parts, strict=True):
            if below is not None:
                self._xp.matmul(weights, below, out=vb)
            relaxed()
            apply(v, out=rates)

    def control(self):
        """Moves the control signal by one Euler step, in a compiled pass where that is possible."""
        if self._controlled is None:
            super().control()
            return
        self._controlled(*self._signals)
        self._signals.reverse()
        self.u, self._next_u = self._next_u, self.u

    @property
    def apical(self):
        """Returns the apical voltages of all layers as one array (n, units of all layers), in a list."""
        return [self._apical.swapaxes(-1, -2)]

    def arrange(self, block):
        """Returns the noise of each step as one array (units of all layers, n), scaled for its layers."""
        if self._arranged is None or len(self._arranged) < len(block[0]):
            self._arranged = self._xp.empty((len(block[0]), *self._voltages.shape), dtype=self._voltages.dtype)
        joined = self._arranged[: len(block[0])]
        for l, (layer, rows) in enumerate(zip(block, self.net.split(joined), strict=True)):
            self._xp.multiply(layer.swapaxes(-1, -2), self.noise_scale(l), out=rows)
        return [joined[t] for t in range(len(joined))]


def _with_seeds(array):
    """Returns the array with a leading axis of seeds, (n, k) -> (1, n, k), if it has none."""
    return array if array.ndim > 2 else array[None]


def _turned(array):
    """Returns a contiguous array (k, n) with the values of an array (n, k)."""
    return array_module(array).ascontiguousarray(array.swapaxes(-1, -2))
