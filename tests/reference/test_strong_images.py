"""The recorded run of Strong-DFC on images, repeated from the seed alone."""

import json
from itertools import pairwise

import numpy as np

import main
import run_strong
from core.initialisers import PUBLISHED_INITIALISERS
from core.workers import Workers
from dfc.tasks import load_task
from tests.reference.published_stream import PublishedStream
from tests.reference.strong_cases import FOLDER
from tests.reference.strong_runs import BACKEND, SMALL_DIFFERENCES, Kept, compare_summary
from tests.reference.test_replay import PublishedNoise, close


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


class ImageRun(Kept):
    """The recorded run on images: `--test` on MNIST, two batches in every pass."""

    def __init__(self):
        super().__init__()
        with np.load(FOLDER / "images.npz") as file:
            self.recorded = {key.removeprefix("run_images__"): file[key] for key in file.files}
        meta = json.loads(str(self.recorded["meta"]))
        settings = main.parse(run_strong.command(["dfc_single_phase", *meta["flags"], "--no_cuda", "--loglevel_info"]))
        self.draws, self.summary = PublishedDraws(settings.random_seed), meta["summary"]
        self.size = 2 * settings.schedule.batch_size
        task = load_task(settings.task, BACKEND, None, quiet=True, split=self.split)
        self.draws.prepare(settings.task.sizes)
        self.loop = main.build_loop(settings, BACKEND, task, Workers(1), self.draws, self.folder)
        self.start = [array.copy() for array in (*self.loop.learner.net.weights, *self.loop.learner.net.feedback)]
        self.run()

    def split(self, count):
        self.images = self.draws.split(count)
        return self.images

    def phase(self, passed):
        return ("pre", "forward", "extra")[passed], 0


def test_a_run_on_images_from_the_seed_alone():
    """Split, weights, order and noise follow from the seed, and so does every gradient, every weight and every loss."""
    run = ImageRun()
    recorded, series = run.recorded, run.folder.series
    assert np.array_equal(run.images[:40], recorded["split_train_head"])
    assert np.array_equal(run.images[-5000:][:40], recorded["split_val_head"])
    assert np.array_equal(np.concatenate([order[: run.size] for order in run.draws.orders]), recorded["order_flat"].ravel())
    for found, name in zip(run.start, ("W0", "W1", "W2", "Q0", "Q1", "Q2"), strict=True):
        close(found, recorded[f"{name}_init"])
    moving = {name for name in recorded if name.startswith(("pre_", "forward_", "extra_"))}
    assert moving <= run.steps.keys() and len(moving) == 30
    for name in moving:
        close(run.steps[name], recorded[name], SMALL_DIFFERENCES)
    close(run.losses, recorded["batch_loss"])
    close(run.accuracies, recorded["batch_accuracy"])
    for name in ("train", "test", "val"):
        close(series[f"loss_{name}"], recorded[f"epochs_{name}_loss"])
        close(series[f"acc_{name}"], recorded[f"epochs_{name}_accu"])
    compare_summary(run)
