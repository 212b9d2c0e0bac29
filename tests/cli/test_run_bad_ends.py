"""Runs that cannot go on: numbers that blow up, singular weights, a full disk.  One line, the
right status, nothing lost."""

import errno
import json
import os
import shutil
import subprocess
from contextlib import contextmanager

import numpy as np
import pytest

import gait.endings
import main
from core.recording import ENDS
from gait.evaluation import Evaluation
from gait.learner import Learner
from tests.faults.tiny_runs import (
    checkpoint,
    complaint,
    contents,
    finish,
    in_process,
    only,
    read_metrics,
    results,
    write_data,
)

NAME = "MNIST_BP_0.0OrthoReg_1Seed_0.0001LR_1L"


@pytest.fixture
def call(tmp_path, monkeypatch):
    return in_process(tmp_path, monkeypatch)


# ---- numbers that blow up


def test_divergence_is_told_in_one_line_and_remembered(tmp_path):
    """Status 3, DONE, and nothing that numpy has to say about overflow in any thread; --load says it again."""
    write_data(tmp_path / "data")
    words = [f"--data_dir={tmp_path / 'data'}", f"--results_dir={tmp_path / 'r'}", "--nb_layers=3", "--batch_size=4"]
    words += ["--learning_rate=1e6", "--nb_epochs=3"]
    status, _, err = finish(*words)
    assert status == 3
    for word in ("diverged", "epoch 1", "--learning_rate", str(only(tmp_path / "r"))):
        assert word in complaint(err)
    done = json.loads((only(tmp_path / "r") / "DONE").read_text())
    assert done["outcome"] == "diverged" and done["epoch"] == 1
    assert read_metrics(only(tmp_path / "r"))["epoch"][0] == 0
    before = contents(tmp_path)
    status, _, again = finish(*words, "--load")
    assert (status, again) == (3, err)
    changed = {path.name for path, content in contents(tmp_path).items() if content != before.get(path)}
    assert changed <= {"config.json"}


@pytest.mark.parametrize("endings", [gait.endings.ENDINGS, main.ENDINGS], ids=["run.py", "main.py"])
def test_both_programs_have_a_sentence_for_every_outcome(endings):
    assert endings.keys() == {"finished", "interrupted", *ENDS}


@pytest.mark.parametrize("seeds", [["--seed=2"], ["--seeds=2,5"]])
def test_a_watcher_that_stops_a_run_is_told_with_its_reason(seeds, call, monkeypatch, capsys):
    monkeypatch.setattr(Evaluation, "stop", lambda self, series: "enough is learned")
    for more in ([], ["--load"]):
        assert call("--nb_epochs=3", *seeds, *more) == 0
        said = capsys.readouterr().out
        assert said.count("stopped after epoch 1: enough is learned; results in ") == 1 + ("," in seeds[0])


def test_overflow_in_a_thread_is_not_a_second_message(tmp_path):
    """numpy's error state belongs to one thread; the helpers compute too."""
    write_data(tmp_path / "data")
    words = [f"--data_dir={tmp_path / 'data'}", f"--results_dir={tmp_path / 'r'}", "--nb_layers=3", "--batch_size=4"]
    status, _, err = finish(*words, "--learning_rate=1e200", "--orthogonal_reg=1000", "--threads=2", "--nb_epochs=2")
    assert status == 3
    assert "diverged" in complaint(err)


def test_divergence_between_two_batches_names_the_epoch_it_happened_in(tmp_path):
    write_data(tmp_path / "data")
    words = [f"--data_dir={tmp_path / 'data'}", f"--results_dir={tmp_path / 'r'}", "--nb_layers=3", "--batch_size=4"]
    status, _, err = finish(*words, "--learning_rate=1e6", "--eval_interval=10", "--nb_epochs=2")
    assert status == 3
    assert "epoch 1" in complaint(err)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_last_good_checkpoint_survives_divergence(value, call, tmp_path, monkeypatch, capfd):
    """Weights that turn bad in the third epoch leave the checkpoint of the second as it was, and its series."""
    assert call("--nb_epochs=2", f"--results_dir={tmp_path / 'two'}") == 0
    step, steps = Learner.step, []

    def step_off_the_cliff(learner, *batch):
        step(learner, *batch)
        steps.append(1)
        # There are two batches per epoch.
        if len(steps) == 5:
            learner.net.layers[0].weights[3, 3] = value

    monkeypatch.setattr(Learner, "step", step_off_the_cliff)
    capfd.readouterr()
    assert call("--nb_epochs=9") == 3
    assert "epoch 3" in complaint(capfd.readouterr().err)
    folder = tmp_path / "results" / NAME
    assert json.loads((folder / "DONE").read_text())["outcome"] == "diverged"
    assert checkpoint(folder) == checkpoint(only(tmp_path / "two"))
    assert not list(folder.glob("*.npy"))
    assert read_metrics(folder)["epoch"][:3] == [0, 1, 2]
    # Nothing more is spent on it.
    assert len(steps) <= 6


@pytest.mark.parametrize("algorithm", ["TP", "GAIT"])
def test_singular_weights_are_a_clear_end(algorithm, call, tmp_path, monkeypatch, capfd):
    """Status 3, the layer named, what was learned and measured before kept, and told again by --load."""
    step, steps = Learner.step, []

    def step_into_a_hole(learner, *batch):
        step(learner, *batch)
        steps.append(1)
        # There are two batches per epoch.
        if len(steps) == 3:
            learner.net.layers[1].weights[...] = 1.0
            learner.net.weights_changed()

    monkeypatch.setattr(Learner, "step", step_into_a_hole)
    assert call(f"--algorithm={algorithm}", "--nb_epochs=5") == 3
    line, folder = complaint(capfd.readouterr().err), only(tmp_path / "results")
    assert "layer 1" in line and "no inverse" in line and "epoch 2" in line and str(folder) in line
    assert json.loads((folder / "DONE").read_text())["outcome"] == "singular"
    assert read_metrics(folder)["epoch"] == [0, 1]
    with np.load(folder / "checkpoint.npz") as archive:
        assert archive["epoch"] == 1
    assert call(f"--algorithm={algorithm}", "--nb_epochs=5", "--load") == 3
    assert complaint(capfd.readouterr().err) == line


# ---- a full disk


@contextmanager
def small_disk(folder, size):
    """A file system of so many bytes; only root can, and not everywhere: else None."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    if os.geteuid() or not shutil.which("mount") or subprocess.run(mount, capture_output=True).returncode:
        yield None
        return
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@contextmanager
def full_disk(folder, monkeypatch, what):
    """Inside, a file whose name holds `what` does not fit into the folder any more; a full tmpfs, or
    os.fsync's word for it."""
    with small_disk(folder, "1m") as disk:
        if disk:
            filler = disk / "filler"

            def fill():
                filler.write_bytes(bytes(shutil.disk_usage(disk).free - 8192))

            yield fill, filler.unlink
            return
        fsync = os.fsync

        def full(handle):
            if what in os.readlink(f"/proc/self/fd/{handle}"):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            fsync(handle)

        yield lambda: monkeypatch.setattr(os, "fsync", full), lambda: monkeypatch.setattr(os, "fsync", fsync)


def test_full_disk_stops_training_and_loses_nothing(call, tmp_path, monkeypatch, capfd):
    """Status 1, one line that names the file and the reason; the checkpoint before it stays, and
    with room --load goes on."""
    words = ["--nb_layers=2", "--seed=3"]
    assert call(*words, "--nb_epochs=4", f"--results_dir={tmp_path / 'roomy'}") == 0
    whole = only(tmp_path / "roomy")
    with full_disk(tmp_path / "disk", monkeypatch, "checkpoint.npz") as (fill, empty):
        words.append(f"--results_dir={tmp_path / 'disk' / 'r'}")
        assert call(*words, "--nb_epochs=2") == 0
        folder = only(tmp_path / "disk" / "r")
        before = checkpoint(folder)
        fill()
        capfd.readouterr()
        assert call(*words, "--nb_epochs=4", "--load") == 1
        line = complaint(capfd.readouterr().err)
        assert os.strerror(errno.ENOSPC) in line and str(folder / "checkpoint.npz") in line and "--load" in line
        assert checkpoint(folder) == before
        assert {path.name for path in folder.glob(".*")} <= {".lock"}
        empty()
        assert call(*words, "--nb_epochs=4", "--load") == 0
        assert results(folder) == results(whole)
        assert checkpoint(folder) == checkpoint(whole)


def test_disk_that_is_full_from_the_start_refuses_the_run(call, tmp_path, monkeypatch, capfd):
    with full_disk(tmp_path / "disk", monkeypatch, "config.json") as (fill, empty):
        fill()
        if (tmp_path / "disk" / "filler").exists():
            with open(tmp_path / "disk" / "filler", "ab") as file:
                file.write(bytes(shutil.disk_usage(tmp_path / "disk").free))
        assert call(f"--results_dir={tmp_path / 'disk' / 'r'}") == 2
        line = complaint(capfd.readouterr().err)
        assert os.strerror(errno.ENOSPC) in line and "config.json" in line
        empty()
        assert call(f"--results_dir={tmp_path / 'disk' / 'r'}", "--nb_epochs=1") == 0
