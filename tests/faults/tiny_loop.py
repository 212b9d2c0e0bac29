"""The loop on a tiny network that learns made-up images; a folder that only remembers stands in for the one on disk."""

import math
from pathlib import Path

import numpy as np

from core.backend import Workers, select_backend
from core.files import FileError
from core.optimisers import Adam
from core.roles import Watcher
from core.training import Loop, Schedule
from datasets.samples import Images, divided_table
from gait.gradients import OrthogonalRegulariser
from gait.learner import Learner
from inv_net import SquareInvNet
from rules import RULES
from utils import LEAKY_RELU

UNITS, CLASSES, COUNT = 12, 3, 25


class Log(Learner):
    """A learner that writes down its batches and, at a chosen step, does something unexpected."""

    events = steps = at = surprise = None

    def step(self, inputs, target, place=None, watch=None):
        super().step(inputs, target)
        self.events.append(("step", inputs, target))
        self.steps += 1
        if self.steps == self.at:
            self.surprise(self)


def make_learner(events, at=None, surprise=None):
    random = np.random.default_rng(5)
    weights = [random.standard_normal((UNITS, UNITS)) / math.sqrt(UNITS) for _ in range(2)]
    net = SquareInvNet(weights, [np.zeros(UNITS) for _ in range(2)], LEAKY_RELU, CLASSES)
    optimiser = Adam(net.parameters, 0.003)
    rule = RULES["BP"]
    learner = Log(net, rule, rule.Options(), OrthogonalRegulariser(0.0), optimiser, Workers())
    learner.events, learner.steps, learner.at, learner.surprise = events, 0, at, surprise
    return learner


def make_samples():
    random = np.random.default_rng(6)
    images = random.integers(0, 256, (COUNT, UNITS)).astype(np.uint8)
    backend = select_backend("numpy")
    return Images(images, np.arange(COUNT) % CLASSES, divided_table(255, backend.dtype), backend, "one_hot", CLASSES)


class Memory:
    """A run folder that remembers what it was told, in order."""

    path = Path("folder")

    def __init__(self, events):
        self.events = events

    def save_series(self, series):
        self.events.append(("series", {name: list(values) for name, values in series.items()}))

    def save_checkpoint(self, arrays):
        self.events.append(("checkpoint", {name: np.array(array) for name, array in arrays.items()}))

    def save_weights(self, net):
        self.events.append(("weights", [p.copy() for p in net.parameters]))

    def finish(self, outcome):
        self.events.append(("finish", dict(outcome)))


class Probe(Watcher):
    """Measures what a function of the network returns."""

    def __init__(self, measure):
        self.measure = measure

    def row(self, net, epoch):
        return self.measure(net)


class Run:
    """A loop with everything it needs; `events` lists what happened, (kind, details…).  `probes` are
    functions of the network."""

    def __init__(self, epochs=2, batch_size=10, interval=None, at=None, surprise=None, probes=(), folder=Memory):
        self.events = []
        self.learner = make_learner(self.events, at, surprise)
        self.samples = make_samples()

        def probe(net):
            self.events.append(("probe",))
            return {"loss": float(np.abs(net.parameters[0]).sum())}

        self.loop = Loop(
            self.learner,
            self.samples,
            Schedule(epochs, batch_size, interval),
            [Probe(measure) for measure in (probe, *probes)],
            folder(self.events),
            report=lambda line: self.events.append(("report", line)),
            quiet=True,
        )

    def go(self):
        self.outcome = self.loop.run()
        return self.outcome

    def kinds(self):
        return [event[0] for event in self.events]

    def details(self, kind):
        return [event[1] for event in self.events if event[0] == kind]

    def saved(self):
        """{name: bytes} of the last checkpoint, which holds the series too; times left out."""
        return {name: a.tobytes() for name, a in self.details("checkpoint")[-1].items() if "seconds" not in name}


def weights_of(learner):
    return [p.tobytes() for p in learner.net.parameters]


def losses_after(samples, batch_size, counts):
    """What the probe must see after so many batches each, computed without the loop."""
    learner, batches, found = make_learner([]), math.ceil(COUNT / batch_size), []
    for count in range(max(counts) + 1):
        if count in counts:
            found.append(float(np.abs(learner.net.parameters[0]).sum()))
        start = count % batches * batch_size
        learner.step(*samples.batch(slice(start, start + batch_size)))
    return found


def taken_without(arrays, restore):
    """The names of the arrays of a checkpoint, columns of series aside, without which `restore`
    takes it all the same."""
    taken = []
    for name in [name for name in arrays if not name.startswith("series_")]:
        try:
            restore({other: array for other, array in arrays.items() if other != name})
        except FileError as error:
            assert "checkpoint.npz" in str(error)
        else:
            taken.append(name)
    return taken
