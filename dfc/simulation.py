"""Simulation of a network under control from the feedforward pass on (dfc.md B.4)."""

from dataclasses import dataclass

from core.backend import array_module, on_device
from dfc.controller import ControlledNetwork
from dfc.on_device import device_form
from dfc.stacked import StackedNetwork, stackable


def simulate(net, activities, target, controller, noise=None, observe=None, signalled=None):
    """The controlled network after controller.steps time points.

    net         FeedbackNetwork
    activities  its feedforward pass, the state at the first time point
    target      output target (n, n_L), constant
    controller  Controller
    noise       object with `fill(steps, like)` -> L arrays (steps, n, n_l) of standard normals for so many steps, valid until the
                next call, and `again(rows)` -> the same noise from its beginning, of these rows alone; needed where the
                controller has noise
    observe     function (t, ControlledNetwork), called at every time point t = 0 … T - 1; whoever keeps arrays copies them
    signalled   function (ControlledNetwork), called at every time point but the first, when the control signal is already that of
                this time point and the layers are still as they were at the one before
    """
    on_host = StackedNetwork if stackable(net, controller) else ControlledNetwork
    form = device_form(controller) if on_device(target) else on_host
    state = form(net, activities, target, controller)
    if observe:
        observe(0, state)
    draws = _draws(state, noise) if controller.sigma is not None else None
    for t in range(1, controller.steps):
        state.control()
        if signalled:
            signalled(state)
        state.follow(next(draws) if draws else None)
        if observe:
            observe(t, state)
    return state


NOISE_BLOCK = 16  # time steps of noise drawn at once: few enough to stay in the cache


def _draws(state, noise):
    """The noise of one step after the other, drawn in blocks of steps."""
    left = state.controller.steps - 1
    while left > 0:
        count = min(left, NOISE_BLOCK)
        yield from state.arrange(noise.fill(count, state.vs))
        left -= count


@dataclass
class Trajectory:
    """All time points of a simulation: u (T, n, n_L); va, vb, vs, r, L arrays (T, n, n_l); errors |r* - r_L| (T, n)."""

    u: list
    va: list
    vb: list
    vs: list
    r: list
    errors: list


def record(net, activities, target, controller, noise=None):
    """The Trajectory of a simulation; as large as it sounds, so for plots and tests."""
    kept = []

    def keep(t, state):
        layers = [[each.copy() for each in arrays] for arrays in (state.va, state.vb, state.vs, state.r)]
        kept.append((state.u.copy(), *layers, state.output_distance()))

    simulate(net, activities, target, controller, noise, keep)
    xp = array_module(target)
    u, *layers, errors = zip(*kept, strict=True)
    stacked = [[xp.stack(each) for each in zip(*arrays, strict=True)] for arrays in layers]
    return Trajectory(xp.stack(u), *stacked, xp.stack(errors))
