"""Whole runs of the published Strong-DFC program, repeated by this program's own loop from the flags alone.

Only data and random numbers are given, those recorded: initial weights, order of the samples, noise.  Every gradient, every weight
after every batch, and every loss must then be the recorded ones.
"""

import dataclasses
import json
from itertools import pairwise

import numpy as np
import pytest

import main
import run_strong
from core.backend import select_backend
from core.initialisers import PUBLISHED_INITIALISERS
from core.workers import Workers
from datasets.samples import Arrays
from dfc.tasks import Task, load_task
from tests.feedback_nets_for_tests import GivenNoise, weight_products
from tests.reference.published_stream import PublishedStream
from tests.reference.strong_cases import FOLDER
from tests.reference.test_replay import Memory, PublishedNoise, close

FILES = [np.load(FOLDER / f"{name}.npz") for name in ("runs", "baselines")]
RUNS = {str(case): file for file in FILES for case in file["cases"]}
PROGRAMS = {"DFC_single_phase": "dfc_single_phase", "DFC": "dfc", "BP": "bp", "DFA": "dfa"}
SMALL_DIFFERENCES = 1e-9
BACKEND = select_backend("numpy")


class Labels(Arrays):
    """Inputs with labels, which stay whole numbers."""

    def __init__(self, x, y, backend):
        super().__init__(x, y, backend)
        self.y = y


class RecordedDraws:
    """dfc.draws.Draws with the recorded numbers."""

    def __init__(self, run):
        self.run = run

    def weights(self, kind, layer, n_out, n_in):
        return self.run[f"W{layer}_init"]

    def feedback(self, kind, layer, n_out, n_in, epoch=0):
        return self.run[f"Q{layer}_init"]

    def feedback_noise(self, layer, shape, epoch=0):
        weights = [self.run[f"W{l}_init"] for l in range(self.run.layers)]
        return (self.run[f"Q{layer}_init"] - weight_products(weights)[layer]) / self.run.settings.noise_K

    def order(self, passed, count):
        return self.run["order"][passed]

    def noise(self, place, part):
        assert part == 0, "the published program draws for a whole batch at once"
        passed, batch = place
        phase, before = self.run.phase(passed)
        call = before * self.run.batches + batch
        drawn = [self.run[f"noise_{phase}{l}"][call] for l in range(self.run.layers)]
        return GivenNoise([layer[:, ~np.isnan(layer[0]).any(axis=-1)] for layer in drawn])


class Run:
    """One recorded run and its repetition."""

    def __init__(self, case):
        self.case, self.file = case, RUNS[case]
        meta = json.loads(str(self["meta"]))
        self.program, self.resolved, self.summary = PROGRAMS[meta["network_type"]], meta["resolved"], meta["summary"]
        argv = [self.program, *meta["flags"], "--no_cuda", "--loglevel_info", "--defects=all", "--nan_test=published"]
        self.settings = main.parse(run_strong.command(argv))
        inputs, outputs = self["train_x"].shape[1], self["test_y"].shape[1] if self["test_y"].ndim == 2 else 5
        hidden = self.settings.size_hidden
        sizes = (inputs, *hidden, outputs)
        network = dataclasses.replace(self.settings.network, sizes=sizes)
        self.settings = dataclasses.replace(self.settings, sizes=sizes, network=network)
        self.layers, self.steps = len(hidden) + 1, {}
        self.batches = -(-len(self["train_x"]) // self.settings.batch_size)
        self.folder, self.losses = Memory(), []
        loop = main.build_loop(self.settings, BACKEND, self.task(), Workers(1), RecordedDraws(self), self.folder)
        self.loop, self.net = loop, loop.learner.net
        for learner in loop.plan.learners:
            self.listen(learner)
        loop.run()

    def __getitem__(self, name):
        return self.file[f"{self.case}__{name}"]

    def __contains__(self, name):
        return f"{self.case}__{name}" in self.file

    def task(self):
        """The recorded data; label vectors stand for labels, of which the network's loss makes vectors again."""
        sets = {}
        for name in ("train", "val", "test"):
            if f"{name}_x" in self:
                y = self[f"{name}_y"]
                labels = self.settings.task == "classification"
                y = y.argmax(axis=-1) if labels and y.ndim == 2 else y
                sets[name] = (Labels if labels else Arrays)(self[f"{name}_x"], y, BACKEND)
        return Task(sets["train"], sets.get("val"), sets["test"], *self.settings.sizes[:: len(self.settings.sizes) - 1])

    def phase(self, passed):
        """(name, passes of this name before) of a pass."""
        prelude, epoch = len(self.loop.plan.prelude), self.loop.plan.epoch
        if passed < prelude:
            return "pre", passed
        number, within = divmod(passed - prelude, len(epoch))
        main_pass = epoch.index(self.loop.learner)
        if within == main_pass:
            return "forward", number
        if within < main_pass:
            return "feedback", number
        return "extra", number * (len(epoch) - main_pass - 1) + within - main_pass - 1

    def listen(self, learner):
        """Keep gradients and weights of every step of a learner."""
        step = learner.step
        if learner is self.loop.learner:
            learner.after.append(lambda batch: self.keep_gradients("forward", batch.gradients))
        for mover in (learner, getattr(learner, "feedback", None)):
            if hasattr(mover, "update") and not hasattr(mover.update, "kept"):
                mover.update = self.keeping(mover.update)

        def kept(inputs, target, place):
            if learner is self.loop.learner:
                output = self.net.forward(inputs).r[-1]
                self.losses.append(float(self.net.loss.value(output, target)))
            self.now = self.phase(place[0])[0]
            step(inputs, target, place)
            self.keep(self.now)

        learner.step = kept

    def keeping(self, update):
        """The update of Q, which also keeps the gradients that it has clipped."""

        def kept(gradients):
            update(gradients)
            for l, gradient in enumerate(gradients):
                self.steps.setdefault(f"{self.now}_dQ{l}", []).append(gradient.copy())

        kept.kept = True
        return kept

    def keep_gradients(self, phase, gradients):
        for index, gradient in enumerate(gradients):
            self.steps.setdefault(f"{phase}_d{'Wb'[index % 2]}{index // 2}", []).append(gradient.copy())

    def keep(self, phase):
        for name, arrays in (("W", self.net.weights), ("b", self.net.biases), ("Q", self.net.feedback)):
            for l, array in enumerate(arrays):
                self.steps.setdefault(f"{phase}_{name}{l}", []).append(array.copy())


@pytest.fixture(scope="module", params=RUNS)
def run(request):
    return Run(request.param)


def test_every_gradient_and_every_weight_of_every_batch(run):
    """Gradients after clipping, weights after the step; of an array that never changes nothing is recorded."""
    recorded = {key.split("__")[1] for key in run.file.files if key.startswith(f"{run.case}__")}
    moving = {name for name in recorded if name.startswith(("pre_", "feedback_", "forward_", "extra_"))}
    if run.settings.freeze_fb_weights:
        still = {name for name in moving if "_dQ" in name}
        assert not any(np.nan_to_num(run[name]).any() for name in still), "nothing was computed"
        moving -= still
    assert moving <= run.steps.keys() and len(moving) >= 4 * run.layers
    for name in moving:
        close(run.steps[name], run[name], SMALL_DIFFERENCES)


def test_losses(run):
    close(run.losses, run["batch_loss"])
    series = run.folder.series
    for column, name in (("train", "train"), ("val", "val"), ("test", "test")):
        if f"epochs_{name}_loss" in run:
            close(series[f"loss_{column}"], run[f"epochs_{name}_loss"])
            if run.settings.task == "classification":
                close(series[f"acc_{column}"], run[f"epochs_{name}_accu"])


def test_measurements_at_the_ends_of_epochs(run):
    """The surrogate loss with the published division by the batch; angles in degrees."""
    series = run.folder.series
    if "epochs_train_loss_lu" in run:
        close(series["loss_lu_train"], run["epochs_train_loss_lu"])
        angles = np.stack([series[f"lu_angle_{l}"] for l in range(run.layers)], axis=1)
        assert np.abs(angles - run["lu_angles"]).max() < 1e-6
        assert np.abs(np.array(series["lu_angle_network"]) - run["lu_angles_network"][:, 0]).max() < 1e-6
        close(series["gn_condition"], run["gn_condition"])
    assert ("loss_lu_train" in series) == ("epochs_train_loss_lu" in run)


class PublishedDraws:
    """dfc.draws.Draws with the published random numbers, which come from one stream in the order of the program."""

    def __init__(self, seed):
        self.stream, self.orders, self.drawn = PublishedStream(seed), [], {}

    def split(self, count):
        return self.stream.permutation(count)

    def weights(self, kind, layer, n_out, n_in):
        """W_l and then Q_l of every layer, that of the output layer included, which the identity replaces."""
        return self.matrices["W", layer]

    def feedback(self, kind, layer, n_out, n_in, epoch=0):
        return self.matrices["Q", layer]

    def prepare(self, sizes):
        self.matrices, outputs = {}, sizes[-1]
        for layer, (n_in, n_out) in enumerate(pairwise(sizes)):
            for name, columns in (("W", n_in), ("Q", outputs)):
                self.matrices[name, layer] = PUBLISHED_INITIALISERS["xavier_normal"](self.stream, n_out, columns)

    def order(self, passed, count):
        self.orders.append(self.stream.begin_pass(count, shuffle=True))
        return self.orders[-1]

    def noise(self, place, part):
        return PublishedNoise(self.stream, from_the_input=True)


def test_a_run_on_images_from_the_seed_alone():
    """`--test` on MNIST: split, weights, order and noise follow from the seed, two batches in every pass."""
    with np.load(FOLDER / "images.npz") as file:
        images = {key.removeprefix("run_images__"): file[key] for key in file.files}
    meta = json.loads(str(images["meta"]))
    settings = main.parse(run_strong.command(["dfc_single_phase", *meta["flags"], "--no_cuda", "--loglevel_info"]))
    draws = PublishedDraws(settings.random_seed)
    task = load_task(settings, BACKEND, None, quiet=True, split=draws.split)
    draws.prepare(settings.sizes)
    folder = Memory()
    loop = main.build_loop(settings, BACKEND, task, Workers(1), draws, folder)
    loop.run()
    size = 2 * settings.batch_size
    assert np.array_equal(np.concatenate([order[:size] for order in draws.orders]), images["order_flat"].ravel())
    for name in ("train", "test", "val"):
        close(folder.series[f"loss_{name}"], images[f"epochs_{name}_loss"])
        close(folder.series[f"acc_{name}"], images[f"epochs_{name}_accu"])
