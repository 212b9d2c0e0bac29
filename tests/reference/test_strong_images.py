"""The recorded run of Strong-DFC on images, repeated from the seed alone."""

import json
from types import SimpleNamespace

import numpy as np

import main
import run_strong
from core.backend import Workers
from dfc.tasks import load_task
from tests.reference.strong_cases import FOLDER
from tests.reference.strong_draws import PublishedDraws
from tests.reference.strong_runs import BACKEND, SMALL_DIFFERENCES, Kept, compare_summary
from tests.reference.test_replay import close


class ImageRun(Kept):
    """The recorded run on images: `--test` on MNIST, two batches in every pass."""

    def __init__(self):
        super().__init__()
        with np.load(FOLDER / "images.npz") as file:
            self.recorded = {key.removeprefix("run_images__"): file[key] for key in file.files}
        meta = json.loads(str(self.recorded["meta"]))
        settings = main.parse(run_strong.command(["dfc_single_phase", *meta["flags"], "--no_cuda", "--loglevel_info"]))
        self.draws = PublishedDraws(SimpleNamespace(**settings.flags), settings.task.sizes, self.phase)
        self.summary = meta["summary"]
        self.size = 2 * settings.schedule.batch_size
        task = load_task(settings.task, BACKEND, None, quiet=True, split=self.split)
        self.loop = main.build_loop(settings, BACKEND, task, Workers(1), self.draws, self.folder)
        self.start = self.arrays_of(self.loop.learner.net)
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
    assert np.array_equal(
        np.concatenate([order[: run.size] for order in run.draws.orders]), recorded["order_flat"].ravel()
    )
    assert len(run.start) == 9
    for name, found in run.start.items():
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
