"""Whole runs of the published Deep Feedback Control program, repeated by this program's own loop from the flags alone.

Only the source of random numbers is exchanged, for the published one (dfc.md M): data, weights, order of the samples,
noise, every loss and every final weight must then be the recorded ones.
"""

import json
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import main
from core.backend import Workers, select_backend
from core.roles import Watcher
from core.streams import PUBLISHED_INITIALISERS
from dfc.tasks import load_task
from main import parse
from tests.reference.published_stream import PublishedStream

FILE = np.load(Path(__file__).parent / "dfc" / "replay.npz")
RUNS = [str(case) for case in FILE["cases"] if json.loads(str(FILE[f"{case}__meta"]))["kind"] == "run"]


class PublishedDraws:
    """dfc.draws.Draws with the published random numbers, which come from one stream in the order of the program."""

    on_device = False

    def __init__(self, settings):
        self.settings = SimpleNamespace(**settings.flags)
        self.stream = PublishedStream(settings.random_seed)
        self.orders = []

    def teacher(self, layer, n_out, n_in):
        weights = self._draw("teacher", n_out, n_in)
        # It is for a way back that the teacher does not use.
        self._draw("xavier_normal", n_in, n_out)
        return weights

    def _draw(self, kind, rows, columns):
        return PUBLISHED_INITIALISERS[kind](self.stream, rows, columns)

    @cached_property
    def matrices(self):
        """{("W" or "Q", layer): initial matrix}."""
        settings, found = self.settings, {}
        outputs = settings.sizes[-1]
        for layer, (n_in, n_out) in enumerate(pairwise(settings.sizes)):
            if settings.rule.name == "BP":
                # This is the default of a linear map, which is overwritten at once.
                self.stream.random(n_out * n_in + n_out)
            found["W", layer] = self._draw(settings.initialization, n_out, n_in)
            if settings.rule.name == "DFA":
                self._draw("xavier_normal", n_in, n_out)
                if layer < len(settings.sizes) - 2:
                    self.stream.random(n_out * outputs + n_out)
                    found["Q", layer] = self._draw(settings.initialization, n_out, outputs)
        if settings.rule.name.startswith("DFC") and settings.initialization_K != "weight_product":
            for layer, n_out in enumerate(settings.sizes[1:-1]):
                found["Q", layer] = self._draw(settings.initialization_K, n_out, outputs)
        return found

    def weights(self, kind, layer, n_out, n_in):
        return self.matrices["W", layer]

    def feedback(self, kind, layer, n_out, n_in, epoch=0):
        return self.matrices["Q", layer]

    def order(self, passed, count):
        settings = self.settings
        trains_feedback = settings.rule.name.startswith("DFC")
        prelude = settings.epochs_fb if trains_feedback else 0
        an_epoch = 2 + settings.extra_fb_epochs if trains_feedback else 1
        if passed > prelude and (passed - prelude) % an_epoch == 0:
            for _ in ("validation", "test")[settings.no_val_set :]:
                self.stream.begin_pass(0, shuffle=False)
        self.orders.append(self.stream.begin_pass(count, shuffle=True))
        return self.orders[-1]

    def noise(self, place, part):
        assert part == 0, "the published program draws for a whole batch at once"
        return PublishedNoise(self.stream, self.settings.inst_transmission_fb)


class PublishedNoise:
    """Noise drawn step by step and layer by layer, with instantaneous transmission from the input on."""

    def __init__(self, stream, from_the_input):
        self.stream, self.from_the_input = stream, from_the_input

    def fill(self, steps, like):
        drawn = [np.empty((steps, *each.shape)) for each in like]
        # one forward pass with noise goes from the input on in any case
        order = range(len(like)) if self.from_the_input or steps == 1 else reversed(range(len(like)))
        for t in range(steps):
            for layer in order:
                drawn[layer][t] = self.stream.standard_normal(like[layer].shape)
        return drawn


class Memory:
    """A run folder that keeps the series."""

    path = Path("memory")

    def follow(self, watchers):
        pass

    def save_series(self, series):
        self.series = series

    def save_checkpoint(self, arrays):
        pass

    def save_weights(self, net):
        self.weights = net

    def finish(self, outcome):
        self.outcome = outcome["outcome"]


class Replay(Watcher):
    """One recorded run and its repetition, and the losses of its forward passes."""

    def __init__(self, case):
        self.case = case
        meta = json.loads(str(FILE[f"{case}__meta"]))
        self.settings = parse([*meta["flags"], "--no_cuda", "--quiet"])
        backend = select_backend("numpy")
        self.draws, self.folder, self.losses = PublishedDraws(self.settings), Memory(), []
        self.task = load_task(self.settings.task, backend, self.draws.teacher, quiet=True)
        loop = main.build_loop(self.settings, backend, self.task, Workers(1), self.draws, self.folder)
        self.net = loop.learner.net
        self.start = self.arrays()
        loop.watchers.append(self)
        loop.run()

    def batch(self, report):
        if report.phase == "forward":
            self.losses.append(float(self.net.loss.value(report.activities.r[-1], report.target)))

    def arrays(self):
        groups = {"W": self.net.weights, "b": self.net.biases, "Q": self.net.feedback}
        return {f"{name}{l}": array.copy() for name, arrays in groups.items() for l, array in enumerate(arrays)}

    def recorded(self, name):
        return FILE[f"{self.case}__{name}"]


@pytest.fixture(scope="module", params=RUNS)
def replay(request):
    return Replay(request.param)


def close(found, recorded, tolerance=1e-10):
    found, recorded = np.asarray(found), np.asarray(recorded)
    assert found.shape == recorded.shape
    assert np.abs(found - recorded).max() <= tolerance * np.abs(recorded).max()


def test_data(replay):
    for name, samples in (("train", replay.task.train), ("test", replay.task.test), ("val", replay.task.validation)):
        x, y = samples.batch(slice(None))
        assert np.array_equal(x, replay.recorded(f"{name}_x"))
        close(y, replay.recorded(f"{name}_y"), 1e-13)


def test_initial_weights(replay):
    names = [
        key.split("__")[1][:-5] for key in FILE.files if key.startswith(f"{replay.case}__") and key.endswith("_init")
    ]
    assert set(names) == replay.start.keys()
    for name in names:
        assert np.abs(replay.start[name] - replay.recorded(f"{name}_init")).max() <= 1e-15


def test_order_of_the_samples(replay):
    assert np.array_equal(replay.draws.orders, replay.recorded("order"))


def test_every_loss(replay):
    series = replay.folder.series
    for name in ("loss_train", "loss_val", "loss_test"):
        close(series[name], replay.recorded(name))
    # It is not recorded there.
    if replay.case != "bp":
        close(replay.losses, replay.recorded("batch_loss"))


def test_final_weights(replay):
    assert replay.folder.outcome == "finished"
    for name, array in replay.arrays().items():
        if np.any(replay.recorded(f"{name}_final")):
            close(array, replay.recorded(f"{name}_final"))


def test_convergence_counts(replay):
    for name in ("converged", "diverged", "not_converged"):
        if f"{replay.case}__{name}" in FILE:
            assert replay.folder.series[name] == replay.recorded(name).tolist()
