"""Simulates the controlled network on a GPU: the same equations, in few launches per time step."""

import functools

from core.backend import matmul
from core.device_kernels import CONTROL, LOW_PASS, Kernel
from dfc.controller import ControlledNetwork
from dfc.functions import softmax
from dfc.stacked import StackedNetwork


def device_form(controller):
    """Returns the class that simulates a controller on a GPU: stacked if possible, for fewer kernels."""
    return LayersOnDevice if controller.inst_system_dynamics or controller.ideal_feedback else StackedOnDevice


class _ControlOnDevice(ControlledNetwork):
    """Holds what both forms have in common: control, its filter, and room for noise."""

    def control(self):
        c, output = self.controller, self.r[-1]
        output = output if c.error == "mse" else softmax(output)
        CONTROL(self.target, output, self.u, c.alpha, c.dt, c.k_p, self._next_u, self.u_int)
        self.u, self._next_u = self._next_u, self.u

    def _filter(self, before, rate, now):
        LOW_PASS(before, self.u, rate, now)

    @property
    def _apical_rate(self):
        return self.controller.dt / self.controller.tau_a

    @property
    def _delayed(self):
        return self.controller.tau_a != self.controller.dt


class StackedOnDevice(_ControlOnDevice, StackedNetwork):
    """Steps L layers in 2 L + 2 launches.

    They are control, its product with Q and all voltages; then for each layer the product with its weights, and
    its rates.
    """

    def _allocate(self):
        super()._allocate()
        self._noise = self._xp.zeros_like(self._voltages)
        self._kernels = [_rates_kernel(activation.formula) for activation in self.net.activations]

    def _step_layers(self, signal, noise):
        matmul(self._feedback, signal.swapaxes(-1, -2), out=self._scratch)
        fresh = 0.0 if noise is None else noise
        kernel = _voltages_kernel(self._delayed, noise is not None)
        numbers = self._apical_rate, self._rate, fresh, self._decay
        kernel(self._scratch, *numbers, self._apical, self._voltages, self._noise)
        for l, (weights, below, vb, _, v, _, rates) in zip(self._layers, self._parts, strict=True):
            if below is not None:
                matmul(weights, below, out=vb)
            self._kernels[l](self._rate, vb, v, rates)


class LayersOnDevice(_ControlOnDevice):
    """Steps L layers in 3 L launches: control, and for each layer its products and one kernel."""

    def _allocate(self):
        super()._allocate()
        self._noise = [self._xp.zeros_like(v) for v in self.vs]

    def _step_layer(self, l, signal, noise, ideal):
        c, drive = self.controller, self._scratch[l] if ideal is None else ideal
        weights, feedback = self._transposed[l]
        if l:
            matmul(self.r[l - 1], weights, out=self.vb[l])
        if ideal is None:
            matmul(signal, feedback, out=drive)
        biased = l > 0 and self._biases[l] is not None
        kernel = _layer_kernel(
            self.net.activations[l].formula, self._delayed, noise is not None, biased, c.inst_system_dynamics
        )
        drawn = (0.0, 0.0) if noise is None else (noise, self.noise_scale(l))
        numbers = self._apical_rate, c.dt / c.tau_v, self._biases[l] if biased else 0.0, *drawn, self._decay
        kernel(drive, *numbers, self.va[l], self.vb[l], self.vs[l], self.r[l], self._noise[l])


def _apical(delayed, noisy, fresh):
    """Returns the statements that move the apical voltages.

    `drive` is Q u, and `decay` that of coloured noise, which is 0 for white noise.
    """
    follow = "va = va + (drive - va) * apical_rate;" if delayed else "va = drive;"
    return f"{follow} noise = noise * decay + {fresh}; va = va + noise;" if noisy else follow


@functools.cache
def _voltages_kernel(delayed, noisy):
    """Returns the kernel of all layers' voltages, without the input from the layer below."""
    body = f"{_apical(delayed, noisy, 'fresh')} v = v + (va - v) * rate;"
    return Kernel("voltages", "drive apical_rate rate fresh decay", "va v noise", body)


@functools.cache
def _rates_kernel(formula):
    """Returns the kernel that adds a layer's input from below and computes its rates."""
    return Kernel("rates", "rate", "vb v r", f"v = v + vb * rate; r = {formula};")


@functools.cache
def _layer_kernel(formula, delayed, noisy, biased, instantaneous):
    """Returns the kernel of a whole layer: apical, basal and somatic voltages, and rates."""
    add_biases = "vb = vb + bias; " if biased else ""
    somatic = "v = va + vb;" if instantaneous else "v = v + ((va + vb) - v) * rate;"
    body = f"{_apical(delayed, noisy, 'fresh * scale')} {add_biases}{somatic} r = {formula};"
    return Kernel("layer", "drive apical_rate rate bias fresh scale decay", "va vb v r noise", body)
