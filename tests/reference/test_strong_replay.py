"""Whole runs of the published Strong-DFC program, repeated by this program's own loop from flags and seed alone.

Only the source of random numbers is exchanged, for the published one, and the data are the recorded ones.
Initial weights, order of the samples, noise, every gradient, every weight after every batch, and every loss must
then be those recorded.
"""

import json

import numpy as np
import pytest

from dfc.tasks import generate_small
from tests.reference.strong_draws import in_full_batches
from tests.reference.strong_runs import RUNS, SMALL_DIFFERENCES, Run, compare_summary
from tests.reference.test_replay import close


@pytest.fixture(scope="module", params=RUNS)
def run(request):
    return Run(request.param)


def test_start_order_and_noise_follow_from_the_seed(run):
    """The Q of DFA's output layer is drawn, recorded and used by nobody."""
    for name in [f"{kind}{l}" for kind in "WbQ" for l in range(run.layers)]:
        if f"{name}_init" in run:
            found = run.start.get(name)
            close(run.draws.matrices[name[0], int(name[1])] if found is None else found, run[f"{name}_init"])
    assert np.array_equal(run.draws.orders, run["order"])
    recorded = {phase for phase in ("pre", "feedback", "forward", "extra") if f"noise_{phase}0" in run}
    assert recorded == run.draws.drawn.keys()
    for phase in recorded:
        for l in range(run.layers):
            drawn = in_full_batches(run.draws.drawn[phase], l, run.settings.batch_size)
            np.testing.assert_allclose(drawn, run[f"noise_{phase}{l}"], rtol=0.0, atol=1e-10)


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
    if "batch_accuracy" in run:
        close(run.accuracies, run["batch_accuracy"])
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
        assert np.abs(angles[:, 0] - run["epochs_lu_angle"]).max() < 1e-6
        assert np.abs(np.array(series["lu_angle_network"]) - run["lu_angles_network"][:, 0]).max() < 1e-6
        close(series["gn_condition"], run["gn_condition"])
        close(run.conditions, run["gn_condition_init"])
        assert np.abs(np.array(run.analytical.angles) - run["ndi_angles"]).max() < 1e-6
        assert np.abs(np.array(run.analytical.of_network) - run["ndi_angles_network"][:, 0]).max() < 1e-6
    assert ("loss_lu_train" in series) == ("epochs_train_loss_lu" in run)
    # Published is the mean over all epochs so far.
    if "rel_dist_to_ndi" in run:
        distances = np.array(series["dist_to_NDI"])
        close(distances.cumsum() / np.arange(1, len(distances) + 1), run["rel_dist_to_ndi"])


def test_summary(run):
    """The published summary, and in it means and last values of what was measured."""
    compare_summary(run)
    series = run.folder.series
    if "dist_to_ndi" in run.summary:
        close(run.summary["dist_to_ndi"], run["rel_dist_to_ndi"])
    if "gn_condition" in run.summary:
        close(np.mean(series["gn_condition"]), run.summary["gn_condition"])
        close(run.conditions[-1], run.summary["gn_condition_init"])
        for name, column in (("lu_angle", series["lu_angle_0"]), ("loss_lu_train", series["loss_lu_train"])):
            close(column, run.summary[name])
            close(column[-1], run.summary[f"{name}_last"])
            close(min(column), run.summary[f"{name}_best"])


@pytest.mark.parametrize("case", [case for case in RUNS if "student" in case])
def test_data_of_the_published_teachers(case):
    """The inputs follow from the data seed; the recorded teachers, another one for each set, answer them."""
    file, meta = RUNS[case], json.loads(str(RUNS[case][f"{case}__meta"]))["resolved"]
    prefixes = {"train": "train", "test": "test", "validation": "val"}
    teachers = {name: [file[f"{case}__{short}_teacher_W{l}"] for l in range(3)] for name, short in prefixes.items()}
    counts = {name: meta[f"teacher_num_{short}"] for name, short in prefixes.items()}
    drawn = Run(case).draws.teachers
    for name, short in prefixes.items():
        for one, other in zip(drawn[short], teachers[name], strict=True):
            close(one, other)
    found = generate_small(counts, meta["data_random_seed"], teachers, meta["teacher_linear"], np.float64)
    for name, short in prefixes.items():
        for array, part in zip(found[name], "xy", strict=True):
            close(array, file[f"{case}__{short}_{part}"])
