"""Simulates a network under control, from the feedforward pass on (docs/published/dfc.md B.4)."""

from dataclasses import dataclass

from core.backend import array_module, on_device
from dfc.controller import ControlledNetwork
from dfc.on_device import device_form
from dfc.stacked import StackedNetwork, stackable


def simulate(net, activities, target, controller, noise=None, observe=None, signalled=None):
    """Returns the ControlledNetwork after controller.steps time points.

    net         FeedbackNetwork
    activities  its feedforward pass, the state at the first time point
    target      output target (n, n_L), constant
    controller  Controller
    noise       needed where the controller has noise: an object with `fill(steps, like)`, which returns L arrays
                (steps, n, n_l) of standard normals, valid until the next call, and `again(rows)`, which returns the
                same noise from its beginning for these rows alone
    observe     function (t, ControlledNetwork), called at every time point t = 0 … T - 1; it must copy arrays that it
                keeps
    signalled   function (ControlledNetwork), called at every time point but the first, when the control signal has
                moved to this time point and the layers have not
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


# Time steps of noise drawn at once: few enough to stay in the cache.
NOISE_BLOCK = 16


def _draws(state, noise):
    """Yields the noise of each step in turn, drawn in blocks of steps."""
    left = state.controller.steps - 1
    while left > 0:
        count = min(left, NOISE_BLOCK)
        yield from state.arrange(noise.fill(count, state.vs))
        left -= count


@dataclass
class Trajectory:
    """Holds all time points of a simulation.

    u           control signal (T, n, n_L)
    va, vb, vs  apical, basal and somatic voltages, L arrays (T, n, n_l)
    r           rates, L arrays (T, n, n_l)
    errors      |r* - r_L| (T, n)
    """

    u: list
    va: list
    vb: list
    vs: list
    r: list
    errors: list


def record(net, activities, target, controller, noise=None):
    """Returns the Trajectory of a simulation, for plots and tests: it takes much memory.

    The arguments are those of `simulate`.
    """
    kept = []

    def keep(t, state):
        layers = [[each.copy() for each in arrays] for arrays in (state.va, state.vb, state.vs, state.r)]
        kept.append((state.u.copy(), *layers, state.output_distance()))

    simulate(net, activities, target, controller, noise, keep)
    xp = array_module(target)
    u, *layers, errors = zip(*kept, strict=True)
    stacked = [[xp.stack(each) for each in zip(*arrays, strict=True)] for arrays in layers]
    return Trajectory(xp.stack(u), *stacked, xp.stack(errors))
