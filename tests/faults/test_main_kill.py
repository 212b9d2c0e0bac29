"""kill -9 at any moment of main.py, then the same command with --load: the run that nobody disturbed, bit for bit."""

import contextlib
import functools
import json
import os
import signal

import numpy as np
import pytest

from tests.faults.crashes import Crash, crash_at
from tests.faults.tiny_main import (
    RULES,
    checkpoint,
    complaint,
    contents,
    finish,
    in_process,
    read_metrics,
    results,
    start,
)
from tests.faults.tiny_runs import kill_at_random

KILLS = int(os.environ.get("KILLS", "4"))
# There are 2 passes before the first epoch and 3 in each, of 3 batches.
SETTINGS = (
    "--grad_deltav_cont", "--epochs_fb=2", "--extra_fb_epochs=1",
    "--fb_learning_rule=normal_controller", "--optimizer=Adam", "--lr=1e-6",
    "--noisy_dynamics", "--sigma=0.001", "--include_non_converged_samples", "--threads=2",
)  # fmt: skip

# These are the same passes, in which one simulation teaches W and Q.
STRONG = (
    *RULES["Strong-DFC"], "--epochs_fb=2", "--extra_fb_epochs=2",
    "--optimizer=Adam", "--optimizer_fb=Adam", "--sigma=0.001", "--threads=2",
)  # fmt: skip


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    """A function (options): the folder of a run of them that nobody disturbed; run once each."""

    def run(*options):
        place = tmp_path_factory.mktemp("whole")
        with pytest.MonkeyPatch.context() as patch:
            assert in_process(place, patch)(*options) == 0
        return place / "run"

    return functools.cache(run)


@pytest.fixture
def call(tmp_path, monkeypatch):
    """main.py in this process, which goes on where another one has ended: a function of options, which
    returns the exit status."""
    return in_process(tmp_path, monkeypatch)


def same(folder, whole):
    assert results(folder) == results(whole)
    assert checkpoint(folder) == checkpoint(whole)
    assert json.loads((folder / "DONE").read_text())["outcome"] == json.loads((whole / "DONE").read_text())["outcome"]
    names = {path.name for path in whole.iterdir()}
    assert names <= {path.name for path in folder.iterdir()}
    # what a killed process leaves behind is hidden and in nobody's way
    assert all(path.name.startswith(".") for path in folder.iterdir() if path.name not in names)


@pytest.mark.parametrize("settings", [SETTINGS, STRONG], ids=["DFC", "Strong-DFC"])
def test_kill_at_random_moments_and_resume(settings, uninterrupted, tmp_path):
    options = (*settings, "--epochs=25")
    whole = uninterrupted(*options)
    random, kills, resumed, lives = np.random.default_rng(21), 0, 0, 0
    while kills < KILLS:
        lives += 1
        place, load = tmp_path / str(lives), []
        while True:
            with start(f"--out_dir={place}", *options, *load) as process:
                if kills < KILLS:
                    kill_at_random(process, random)
                _, err = process.communicate(timeout=60)
            assert process.returncode in (0, -signal.SIGKILL), err
            if process.returncode == 0:
                break
            kills += 1
            load = ["--load"] if (place / "config.json").exists() else []
            resumed += (place / "checkpoint.npz").exists()
        same(place, whole)
    # Otherwise the moments missed the training.
    assert resumed


# Where it is killed: (batch, passes in the checkpoint that is left).
PLACES = {
    "before the first epoch": (2, None),
    "in the second pass before it": (5, 1),
    "in a pass of the feedback weights": (8, 2),
    "in a pass of the forward weights": (20, 6),
}


@pytest.mark.parametrize("place", PLACES)
def test_kill_loses_at_most_the_pass_in_progress(place, uninterrupted, call, tmp_path):
    batch, passed = PLACES[place]
    options, folder = (*SETTINGS, "--epochs=3"), tmp_path / "r"
    with start(f"--out_dir={folder}", *options, fault=f"step {batch} SIGKILL") as process:
        process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL
    assert not (folder / "DONE").exists() and (folder / "config.json").exists()
    assert (folder / "checkpoint.npz").exists() == (passed is not None)
    if passed is not None:
        with np.load(folder / "checkpoint.npz") as archive:
            assert (archive["passed"], archive["batch"]) == (passed, 0)
    assert call(f"--out_dir={folder}", *options, "--load") == 0
    same(folder, uninterrupted(*options))


PLATEAU = ("--ndi", "--freeze_fb_weights", "--freeze_forward_weights", "--num_train=1", "--batch_size=1", "--epochs=13")
# Run: (options, how many of its last writes).
CRASHES = {
    "two epochs": (("--epochs_fb=1", "--save_df", "--save_BP_angle", "--log_interval=1"), 1000),
    "stopped": (PLATEAU, 12),
    "feedback alone": (("--train_only_feedback_parameters", "--epochs_fb=2"), 1000),
}


@pytest.mark.parametrize("run", CRASHES)
def test_crash_at_every_write_and_resume(run, call, tmp_path, monkeypatch):
    """The random kills made exhaustive, in one process: each of the files that a run writes is the last, once.

    That a run is stopped by a published condition must not depend on its surviving until DONE is written.
    """
    options, last = CRASHES[run]
    with monkeypatch.context() as patch:
        calls = crash_at(patch, "replace", 0)
        assert call(*options) == 0
    whole, points = tmp_path / "run", len(calls)
    assert points >= 15
    for where in range(max(1, points + 1 - last), points + 1):
        place = tmp_path / f"crash {where}"
        with monkeypatch.context() as patch:
            crash_at(patch, "replace", where)
            with pytest.raises(Crash):
                call(*options, f"--out_dir={place}")
        load = ["--load"] if (place / "config.json").exists() else []
        # whatever is left can be continued
        assert load or not [path for path in place.glob("*") if path.name != ".lock"]
        assert call(*options, f"--out_dir={place}", *load) == 0
        same(place, whole)


def test_crash_at_every_write_of_a_longer_run_keeps_what_was_there(call, tmp_path, monkeypatch):
    """A finished run that goes on is resumed from wherever it stopped; what is known of its epochs
    never leaves the summary."""
    assert call("--epochs=2") == 0
    whole = tmp_path / "run"
    for where in range(1, 60):
        place = tmp_path / f"crash {where}"
        assert call("--epochs=1", f"--out_dir={place}") == 0
        first = json.loads((place / "results.json").read_text())["loss_test_best"]
        with monkeypatch.context() as patch:
            crash_at(patch, "replace", where)
            try:
                call("--epochs=2", f"--out_dir={place}", "--load")
            except Crash:
                finished = False
                assert json.loads((place / "results.json").read_text())["loss_test_best"] <= first != -1
                assert len(read_metrics(place)["epoch"]) >= 1
            else:
                finished = True
        assert call("--epochs=2", f"--out_dir={place}", "--load") == 0
        same(place, whole)
        if finished:
            break
    assert finished and where > 15


def test_time_of_an_epoch_survives_a_restart(call, tmp_path, monkeypatch):
    """Seconds before the first epoch stay out of avg_time_per_epoch also where another process spent them."""
    clock = [1000.0]
    monkeypatch.setattr("core.training.time.perf_counter", lambda: clock[0])
    import dfc.learners

    step = dfc.learners.FeedbackLearner.step

    def slow(self, *batch):
        clock[0] += 1.0
        step(self, *batch)

    monkeypatch.setattr(dfc.learners.FeedbackLearner, "step", slow)
    assert call("--epochs=0", "--epochs_fb=4") == 0
    # The second time, the summary of the first epoch is what a killed process left behind.
    for end in (Crash, None):
        with monkeypatch.context() as patch:
            if end:
                crash_at(patch, "replace", 8)
            with contextlib.suppress(Crash):
                call("--epochs=1", "--epochs_fb=4", "--load")
        found = json.loads((tmp_path / "run" / "results.json").read_text())
        assert found["avg_time_per_epoch"] in (3, -1)
    assert found["avg_time_per_epoch"] == 3


def test_second_signal_ends_the_process_at_once(uninterrupted, call, tmp_path):
    """Somebody in a hurry loses the pass, not the run."""
    options, folder = (*SETTINGS, "--epochs=3"), tmp_path / "r"
    assert finish(f"--out_dir={folder}", *options, fault="step 20 SIGINT 1.2 SIGINT")[0] == -signal.SIGINT
    with np.load(folder / "checkpoint.npz") as archive:
        assert (archive["epoch"], archive["passed"], archive["batch"]) == (1, 6, 0)
    assert call(f"--out_dir={folder}", *options, "--load") == 0
    same(folder, uninterrupted(*options))


def test_second_process_on_a_folder_is_refused(uninterrupted, tmp_path):
    """Two writers would make a mixture; being refused must not open the door for the next."""
    options, folder = (*SETTINGS, "--epochs=3"), tmp_path / "r"
    with start(f"--out_dir={folder}", *options, fault="step 20 SIGSTOP") as first:
        os.waitpid(first.pid, os.WUNTRACED)
        before = contents(tmp_path)
        try:
            for more in ("--load", "--overwrite", "--load_or_start"):
                status, _, err = finish(f"--out_dir={folder}", *options, more)
                assert status == 2 and str(folder) in complaint(err) and "in use" in err, more
                assert contents(tmp_path) == before
        finally:
            first.send_signal(signal.SIGCONT)
            first.communicate(timeout=60)
    assert first.returncode == 0
    same(folder, uninterrupted(*options))
