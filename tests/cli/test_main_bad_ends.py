"""Runs of main.py that end early: numbers that blow up, published conditions to stop (dfc.md I.6), a full
disk; nothing is lost."""

import errno
import json
import math
import os
import shutil
from types import SimpleNamespace

import numpy as np
import pytest

import dfc.learners
from dfc.evaluation import StopCondition, beyond_bounds
from main import parse
from tests.faults.tiny_main import RULES, checkpoint, complaint, contents, finish, in_process, read_metrics, results

IMAGES = ("--dataset=mnist", "--output_activation=softmax", "--size_input=784", "--size_output=10")


@pytest.fixture
def call(tmp_path, monkeypatch):
    return in_process(tmp_path, monkeypatch)


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "run"


def done(folder):
    return json.loads((folder / "DONE").read_text())


def summary(folder):
    return json.loads((folder / "results.json").read_text())


def spoil(monkeypatch, learner, step, change):
    """Do `change` to the network after the `step`-th step of a kind of learner."""
    owner, steps = getattr(dfc.learners, learner), []
    original = owner.step

    def step_and_spoil(self, *batch):
        original(self, *batch)
        steps.append(1)
        if len(steps) == step:
            change(self.net)

    monkeypatch.setattr(owner, "step", step_and_spoil)
    return steps


# ---- numbers that blow up


@pytest.mark.parametrize("rule", RULES)
def test_divergence_is_told_in_one_line_and_remembered(rule, call, folder, tmp_path, capfd):
    assert call(*RULES[rule], "--lr=1e200") == 3
    line = complaint(capfd.readouterr().err)
    assert "diverged in epoch 1" in line and str(folder) in line
    assert done(folder)["outcome"] == "diverged" and done(folder)["epoch"] == 1
    assert summary(folder)["finished"] == -1
    assert not list(folder.glob("*.npy"))
    before = contents(tmp_path)
    assert call(*RULES[rule], "--lr=1e200", "--load") == 3
    assert complaint(capfd.readouterr().err) == line
    assert contents(tmp_path) == before
    # It is a run, and not to be overwritten unasked.
    assert call(*RULES[rule], "--lr=1e200") == 2


def test_overflow_in_a_thread_is_not_a_second_message(tmp_path):
    """numpy's error state belongs to one thread; the helpers compute too."""
    status, _, err = finish(
        f"--out_dir={tmp_path / 'r'}", "--lr=1e200", "--grad_deltav_cont", "--threads=2", "--epochs=5"
    )
    assert status == 3
    assert "diverged" in complaint(err)


def set_weight(kind, value):
    def change(net):
        getattr(net, kind)[1][...] = value

    return change


BAD = [(kind, value) for kind in ("weights", "biases", "feedback") for value in (math.nan, math.inf, -math.inf)]


@pytest.mark.parametrize("kind, value", BAD)
def test_last_good_checkpoint_survives_divergence(kind, value, call, folder, tmp_path, monkeypatch, capfd):
    """What turns bad in the third epoch leaves the checkpoint before its pass, and the series of
    two epochs, as they were."""
    learner = "FeedbackLearner" if kind == "feedback" else "ForwardLearner"
    assert call("--epochs=2", f"--out_dir={tmp_path / 'two'}") == 0
    # These batches of feedback come before the first epoch.
    before = 3 if kind == "feedback" else 0
    steps = spoil(monkeypatch, learner, before + 8, set_weight(kind, value))
    capfd.readouterr()
    assert call("--epochs=9") == 3
    assert "epoch 3" in complaint(capfd.readouterr().err)
    assert (done(folder)["outcome"], done(folder)["epoch"], summary(folder)["finished"]) == ("diverged", 3, -1)
    # Nothing more is spent on it.
    assert len(steps) <= before + 9
    two = read_metrics(tmp_path / "two")
    found = read_metrics(folder)
    assert all(found[name][:2] == two[name] for name in two if name != "seconds")
    with np.load(folder / "checkpoint.npz", allow_pickle=False) as archive:
        assert (archive["epoch"], archive["batch"]) == (2, 0)
        assert archive["passed"] == 1 + 2 * 2 + (kind != "feedback")
        assert all(np.isfinite(archive[name]).all() for name in archive.files)
    if kind == "feedback":
        assert checkpoint(folder) == checkpoint(tmp_path / "two")
    assert not list(folder.glob("*.npy"))


def test_divergence_before_the_first_epoch(call, folder, monkeypatch, capfd):
    spoil(monkeypatch, "FeedbackLearner", 5, set_weight("feedback", math.nan))
    assert call("--epochs_fb=3") == 3
    assert "diverged in epoch 1" in complaint(capfd.readouterr().err)
    with np.load(folder / "checkpoint.npz") as archive:
        assert (archive["epoch"], archive["passed"]) == (0, 1)
    assert summary(folder) | {"finished": -1, "loss_train_last": -1, "epoch_best_loss": -1} == summary(folder)


def test_diverged_losses_are_on_record_and_can_be_read(call, folder):
    """The loss of the last epoch is no number or huge; the summary's files must open all the same."""
    assert call(*RULES["BP"], "--lr=1e-3", "--epochs=30") == 3
    losses = read_metrics(folder)["loss_train"]
    assert len(losses) == done(folder)["epoch"] < 30 and not max(losses[-1], read_metrics(folder)["loss_val"][-1]) < 1e8
    with np.load(folder / "results.npz") as archive:
        assert np.array_equal(archive["loss_train"], losses, equal_nan=True)
    assert summary(folder)["finished"] == -1


@pytest.mark.parametrize("flags", [RULES["DFC-SS"], RULES["DFC-SSA"]])
def test_a_target_out_of_reach_diverges_or_stays(flags, call, folder):
    """Samples that do not converge teach nothing (dfc.md B.6); without that guard of the
    simulation the run diverges."""
    assert call(*flags, "--target_stepsize=1e200", "--lr=1e200") == (3 if "--ndi" in flags else 0)


def test_equations_without_a_solution_are_a_clear_end(call, folder, capfd, tmp_path):
    """With relu units that are silent and no damping the system of a sample is singular: numpy
    raises, a GPU gives NaN."""
    flags = [*RULES["DFC-SSA"], "--output_activation=relu", "--alpha_di=0", "--freeze_fb_weights"]
    assert call(*flags) == 3
    line = complaint(capfd.readouterr().err)
    assert "Singular matrix" in line and "--alpha_di" in line and "epoch 1" in line and str(folder) in line
    assert done(folder)["outcome"] == "singular" and summary(folder)["finished"] == -1
    before = contents(tmp_path)
    assert call(*flags, "--load") == 3
    assert complaint(capfd.readouterr().err) == line
    assert contents(tmp_path) == before


DECOMPOSED = ("save_eigenvalues", "save_GNT_angle", "save_GN_angle", "save_condition_gn", "save_jac_pinv_angle")


@pytest.mark.parametrize("flag", DECOMPOSED)
def test_measuring_what_has_blown_up_is_no_traceback(flag, call, folder, monkeypatch, capfd):
    """Eigenvalues and decompositions raise where a number is NaN; the next measurement comes
    before the end of the pass."""
    spoil(monkeypatch, "ForwardLearner", 4, set_weight("weights", math.nan))
    assert call(f"--{flag}", "--save_df", "--log_interval=1", "--epochs=3", "--freeze_fb_weights") == 3
    assert "diverged in epoch 2" in complaint(capfd.readouterr().err)


# ---- the published conditions to stop


def above_1000(kind, value):
    def change(net):
        getattr(net, kind)[1].flat[0] = value

    return change


@pytest.mark.parametrize("kind", ["weights", "biases", "feedback"])
def test_weight_above_1000_stops_the_run_after_its_epoch(kind, call, folder, tmp_path, monkeypatch, capfd):
    """Outcome "stopped", finished = -1, and the summary of all epochs done (dfc.md I.6, I.7), with status 0."""
    spoil(monkeypatch, "ForwardLearner", 6, above_1000(kind, 1000.5))
    assert call("--epochs=9", "--evaluate", "--lr=1e-6") == 0
    out, err = capfd.readouterr()
    assert err == "" and "stopped after epoch 2: a weight is beyond 1000" in out.splitlines()[-1] and str(folder) in out
    assert done(folder) == {"outcome": "stopped", "epoch": 2, "batch": 0, "reason": "a weight is beyond 1000"}
    found, metrics = summary(folder), read_metrics(folder)
    assert metrics["epoch"] == [1, 2] and found["finished"] == -1
    assert found["loss_train_last"] == metrics["loss_train"][-1] and found["epoch_best_loss"] in (0, 1)
    with np.load(folder / "results.npz") as archive:
        assert archive["loss_test"].tolist() == metrics["loss_test"]
    before = contents(tmp_path)
    assert call("--epochs=9", "--evaluate", "--lr=1e-6", "--load") == 0
    assert "stopped after epoch 2" in capfd.readouterr().out
    assert contents(tmp_path) == before


BOUNDS = [(1000, "published", False), (-1001, "published", False), (-1001, "symmetric", True)]


@pytest.mark.parametrize("value, test, stopped", BOUNDS)
def test_bounds_of_a_weight(value, test, stopped, call, folder, monkeypatch):
    """As published, 1000 itself and large negative weights pass (dfc.md I.6, L 16)."""
    spoil(monkeypatch, "ForwardLearner", 3, above_1000("biases", float(value)))
    assert call("--epochs=3", f"--nan_test={test}", "--lr=1e-9", "--include_non_converged_samples") == 0
    assert done(folder)["outcome"] == ("stopped" if stopped else "finished")


def test_backpropagation_has_no_bounds_of_weights(call, folder, monkeypatch):
    spoil(monkeypatch, "ForwardLearner", 3, above_1000("biases", 1001.0))
    assert call(*RULES["BP"], "--epochs=2", "--lr=1e-12") == 0
    assert done(folder)["outcome"] == "finished"


@pytest.mark.parametrize("rule, bound", [("DFC-SSA", 0.3), ("DFA", 0.3), ("BP", 0.4)])
def test_images_that_are_not_learned_stop_after_six_epochs(rule, bound, call, folder, capfd):
    """Epochs count from 0, and the first test comes after epoch 5."""
    flags = [*RULES[rule], *IMAGES, "--lr=1e-30", "--epochs=8"]
    assert call(*flags) == 0
    assert f"below {bound}" in capfd.readouterr().out
    assert (done(folder)["outcome"], done(folder)["epoch"]) == ("stopped", 6)
    assert summary(folder)["finished"] == -1 and len(read_metrics(folder)["acc_train"]) == 6
    assert call(*flags, "--evaluate", "--overwrite") == 0
    # Published: BP does not look at --evaluate.
    assert done(folder)["outcome"] == (
        "stopped" if rule == "BP" else "finished"
    )


@pytest.mark.parametrize("rule", ["DFC-SSA", "DFA", "BP"])
def test_a_loss_that_does_not_fall_stops_after_twelve_epochs(rule, call, folder, capfd):
    """One sample, so that the loss is the same number to its last digit; not for BP."""
    assert call(*RULES[rule], "--freeze_forward_weights", "--num_train=1", "--batch_size=1", "--epochs=14") == 0
    assert len(set(read_metrics(folder)["loss_train"])) == 1
    found = (done(folder)["outcome"], len(read_metrics(folder)["epoch"]))
    assert found == (("finished", 14) if rule == "BP" else ("stopped", 12))
    assert ("not fallen" in capfd.readouterr().out) == (rule != "BP")


SIZES = {"cifar10": (3072, 10), "student_teacher": (10, 2), "mnist_autoencoder": (784, 784)}


def stop_of(dataset, *flags):
    """The condition of a run, its network without anything that could blow up."""
    inputs, outputs = SIZES.get(dataset, (784, 10))
    words = [f"--dataset={dataset}", f"--size_input={inputs}", f"--size_output={outputs}", *flags]
    words += ["--output_activation=softmax"] * (outputs == 10)
    return StopCondition(parse(words).watchers.stopping, SimpleNamespace(arrays=[np.zeros((2, 2)), np.ones(3)])).stop


def after(accuracies=None, losses=None):
    values = accuracies or losses
    return {"epoch": list(range(1, 1 + len(values))), "acc_train": values, "loss_train": losses or [1.0] * len(values)}


LEAST = [("mnist", "DFC", 0.3), ("fashion_mnist", "DFC", 0.3), ("cifar10", "DFC", 0.25), ("mnist", "DFA", 0.3)]
LEAST += [("mnist", "BP", 0.4), ("fashion_mnist", "BP", 0.4), ("cifar10", "BP", 0.25)]


@pytest.mark.parametrize("dataset, network, least", LEAST)
def test_least_accuracies_are_the_published_ones(dataset, network, least):
    for flags in ([], ["--evaluate"]):
        stop = stop_of(dataset, f"--network_type={network}", *flags)
        low, kept = math.nextafter(least, 0), bool(flags) and network != "BP"
        assert [bool(stop(after([0.9] * (n - 1) + [low]))) for n in range(1, 9)] == [False] * 5 + [not kept] * 3
        assert not stop(after([low] * 9 + [least]))


@pytest.mark.parametrize("network", ["DFC", "DFA", "DFC-SSA"])
def test_plateau_is_the_published_one(network):
    """min of the last ten losses >= min of all before, asked from the twelfth epoch on."""
    stop = stop_of("student_teacher", f"--network_type={network}")
    flat = [5.0, *[7.0] * 30]
    assert [bool(stop(after(losses=flat[:n]))) for n in range(1, 15)] == [False] * 11 + [True] * 3
    # A loss as low is not lower.
    assert stop(after(losses=[5.0, *[7.0] * 9, 8.0, 5.0]))
    assert not stop(after(losses=[5.0, *[7.0] * 9, 8.0, math.nextafter(5.0, 0)]))
    assert stop(after(losses=[9.0, 4.999, *[7.0] * 9, 5.0])) and not stop(after(losses=[9.0, 5.0, *[7.0] * 9, 4.999]))
    assert not stop_of("student_teacher", "--evaluate")(after(losses=flat))
    assert not stop_of("student_teacher", "--network_type=BP")(after(losses=flat))
    assert not stop_of("mnist_autoencoder")(after(losses=flat))


def test_what_counts_as_blown_up():
    """dfc.md I.6: NaN, +inf or above 1000, in W, b or Q."""
    for place in range(3):
        for value, plain, symmetric in (
            (math.nan, True, True), (math.inf, True, True), (-math.inf, False, True), (1000.0, False, False),
            (math.nextafter(1000, 2000), True, True), (-1000.0, False, False), (-1e9, False, True),
        ):  # fmt: skip
            net = SimpleNamespace(arrays=[np.zeros((3, 2)), np.zeros(3), np.zeros((3, 2))])
            net.arrays[place].flat[1] = value
            assert (beyond_bounds(net), beyond_bounds(net, symmetric=True)) == (plain, symmetric)


# ---- a full disk


# File: number of its write during four epochs that finds no room; status.
WRITES = {
    "checkpoint.npz": (5, 1),
    "metrics.csv": (3, 1),
    "results.npz": (3, 1),
    "performance_overview.txt": (4, 1),
    "0Lweights.npy": (1, 1),
    "DONE": (1, 1),
    "config.json": (1, 2),
    "args.txt": (1, 1),
}


@pytest.mark.parametrize("file", WRITES)
def test_full_disk_stops_the_run_and_loses_nothing(file, call, folder, tmp_path, monkeypatch, capfd):
    """One line that names the file and the reason, status 1 or, before the first batch, 2; with
    room again --load goes on."""
    assert call("--epochs=4", f"--out_dir={tmp_path / 'roomy'}") == 0
    written, (number, status) = [], WRITES[file]

    def full(handle):
        if f"/.{file}." in os.readlink(f"/proc/self/fd/{handle}"):
            written.append(file)
            if len(written) == number:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    capfd.readouterr()
    assert call("--epochs=4") == status
    line = complaint(capfd.readouterr().err)
    assert os.strerror(errno.ENOSPC) in line and str(folder / file) in line
    assert ("--load" in line) == (status == 1)
    assert {path.name for path in folder.glob(".*")} <= {".lock"} and not (folder / "DONE").exists()
    assert call("--epochs=4", *["--load"] * (folder / "config.json").exists()) == 0
    assert results(folder) == results(tmp_path / "roomy")
    assert checkpoint(folder) == checkpoint(tmp_path / "roomy")


def test_pictures_that_find_no_room_are_a_full_disk_too(call, folder, monkeypatch, capfd):
    figure = pytest.importorskip("matplotlib.figure").Figure

    def full(self, path):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    with monkeypatch.context() as patch:
        patch.setattr(figure, "savefig", full)
        assert call("--make_dynamics_plot", "--tmax_di=3") == 1
    line = complaint(capfd.readouterr().err)
    assert os.strerror(errno.ENOSPC) in line and str(folder) in line and "--load" in line
    monkeypatch.setattr(figure, "savefig", lambda self, path: None)
    assert call("--make_dynamics_plot", "--tmax_di=3", "--load") == 0


def test_folder_that_vanishes_is_told_in_one_line(call, folder, monkeypatch, capfd):
    spoil(monkeypatch, "ForwardLearner", 2, lambda net: shutil.rmtree(folder))
    assert call() == 1
    assert str(folder) in complaint(capfd.readouterr().err)
