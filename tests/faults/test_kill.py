"""Whatever ends a run of run.py early, the same command with --load goes on as if nothing had happened, bit for bit.

"Results" are weights, biases and every column of the series but the seconds (tests/faults/tiny_runs.py).
"""

import functools
import os
import signal
import time

import numpy as np
import pytest

from tests.faults.crashes import Crash, crash_at
from tests.faults.tiny_runs import (
    checkpoint,
    complaint,
    contents,
    finish,
    in_process,
    kill_at_random,
    only,
    read_metrics,
    results,
    start,
    write_data,
)

# `make kill` sets 100; test_main_kill.py makes twice as many.
KILLS = int(os.environ.get("KILLS", "20"))
# There are 15 batches per epoch.
SETTINGS = ["--algorithm=GAIT", "--orthogonal_reg=0.1", "--batch_size=8", "--threads=2"]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    write_data(folder)
    return f"--data_dir={folder}"


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    """A function (options): the folder of a run of them that nobody disturbed; run once each."""

    def run(*options):
        place = tmp_path_factory.mktemp("whole")
        with pytest.MonkeyPatch.context() as patch:
            assert in_process(place, patch)(*options) == 0
        return only(place / "results")

    return functools.cache(run)


@pytest.fixture
def call(tmp_path_factory, monkeypatch):
    """run.py in this process, which goes on where another one has ended: a function of options, which
    returns the exit status."""
    return in_process(tmp_path_factory.mktemp("own"), monkeypatch)


def same(folder, whole):
    assert results(folder) == results(whole)
    assert checkpoint(folder) == checkpoint(whole)
    assert {path.name for path in whole.iterdir()} <= {path.name for path in folder.iterdir()}
    # what a killed process leaves behind is hidden and in nobody's way
    assert all(
        path.name.startswith(".") for path in folder.iterdir() if path.name not in {p.name for p in whole.iterdir()}
    )


def test_kill_at_random_moments_and_resume(data, uninterrupted, tmp_path):
    """kill -9 loses at most the epoch in progress; often enough repeated, it hits every part of the program."""
    options = [*SETTINGS, "--nb_epochs=12", "--quiet"]
    whole = uninterrupted(*options)
    random = np.random.default_rng(20)
    kills, resumed, lives = 0, 0, 0
    while kills < KILLS:
        lives += 1
        place, load = tmp_path / str(lives), []
        while True:
            process = start(data, f"--results_dir={place}", *options, *load)
            with process:
                if kills < KILLS:
                    kill_at_random(process, random)
                _, err = process.communicate(timeout=60)
            assert process.returncode in (0, -signal.SIGKILL), err
            if process.returncode == 0:
                break
            kills += 1
            started = list(place.glob("*/config.json"))
            load = ["--load"] if started else []
            resumed += bool(list(place.glob("*/checkpoint.npz")))
        same(only(place), whole)
    # Otherwise the moments missed the training.
    assert resumed >= 5


def test_kill_loses_at_most_the_epoch_in_progress(data, tmp_path):
    with start(data, f"--results_dir={tmp_path}", *SETTINGS, "--nb_epochs=5", fault="step 59 SIGKILL") as process:
        process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL
    folder = only(tmp_path)
    with np.load(folder / "checkpoint.npz") as archive:
        # Each has 15 batches.
        assert archive["epoch"] == 3
    assert read_metrics(folder)["epoch"] == [0, 1, 2, 3]
    assert not (folder / "DONE").exists()


def test_kill_in_the_first_epoch_resumes_from_the_start(data, uninterrupted, call, tmp_path):
    """There is a config.json then, but no checkpoint yet."""
    options = [*SETTINGS, "--nb_epochs=2"]
    with start(data, f"--results_dir={tmp_path}", *options, fault="step 4 SIGKILL") as process:
        process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL
    names = {path.name for path in only(tmp_path).iterdir()}
    assert "config.json" in names and "checkpoint.npz" not in names
    status, _, err = finish(data, f"--results_dir={tmp_path}", *options)
    assert status == 2 and "--load" in complaint(err)
    assert call(data, f"--results_dir={tmp_path}", *options, "--load") == 0
    same(only(tmp_path), uninterrupted(*options))


@pytest.mark.parametrize("what", ["replace", "fsync"])
def test_crash_at_every_write_and_resume(what, tmp_path, monkeypatch):
    """The random kills made exhaustive, in one process: each of the files that a run writes is the last, once."""
    call = in_process(tmp_path, monkeypatch)
    options = ["--nb_epochs=2", "--eval_interval=1", "--quiet"]
    with monkeypatch.context() as patch:
        calls = crash_at(patch, what, 0)
        assert call(*options) == 0
    points = len(calls)
    whole = only(tmp_path / "results")
    assert points >= 15
    for where in range(1, points + 1):
        place = tmp_path / f"crash {where}"
        with monkeypatch.context() as patch:
            crash_at(patch, what, where)
            with pytest.raises(Crash):
                call(*options, f"--results_dir={place}")
        load = ["--load"] if list(place.glob("*/config.json")) else []
        assert call(*options, f"--results_dir={place}", *load) == 0
        assert results(only(place)) == results(whole), where
        assert checkpoint(only(place)) == checkpoint(whole), where


def test_crash_at_every_write_of_a_longer_run_keeps_what_was_there(tmp_path, monkeypatch):
    """A finished run that goes on is resumed from wherever it stopped, and never lost."""
    call = in_process(tmp_path, monkeypatch)
    assert call("--nb_epochs=2", "--quiet") == 0
    whole = only(tmp_path / "results")
    for where in range(1, 30):
        place = tmp_path / f"crash {where}"
        assert call("--nb_epochs=1", "--quiet", f"--results_dir={place}") == 0
        with monkeypatch.context() as patch:
            crash_at(patch, "replace", where)
            try:
                call("--nb_epochs=2", "--quiet", f"--results_dir={place}", "--load")
            except Crash:
                finished = False
            else:
                finished = True
        assert call("--nb_epochs=2", "--quiet", f"--results_dir={place}", "--load") == 0
        assert results(only(place)) == results(whole), where
        if finished:
            break
    assert finished and where > 8


# ---- signals that can be answered

# Moment: (step, batch that the checkpoint must stand at); there are 15 batches per epoch.
PLACES = {
    "in the first epoch": (3, 3),
    "in the middle of the second epoch": (22, 7),
    "at the end of an epoch": (30, 0),
}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_saves_tells_how_to_resume_and_loses_no_batch(
    number, place, data, uninterrupted, call, tmp_path, capsys
):
    step, batch = PLACES[place]
    options = [*SETTINGS, "--nb_epochs=3"]
    words = [data, f"--results_dir={tmp_path}", *options]
    status, out, err = finish(*words, fault=f"step {step} {number.name}")
    assert (status, err) == (128 + number, "")
    folder = only(tmp_path)
    assert str(folder) in out.splitlines()[-1] and "--load" in out.splitlines()[-1]
    assert not (folder / "DONE").exists() and {path.name for path in folder.glob(".*")} <= {".lock"}
    with np.load(folder / "checkpoint.npz") as archive:
        assert (archive["epoch"], archive["batch"]) == (step // 15, batch)
        assert np.load(folder / "0Lweights.npy").tobytes() == archive["p0"].tobytes()
    assert call(*words, "--load") == 0
    assert capsys.readouterr().err == ""
    same(folder, uninterrupted(*options))


def test_signal_between_two_evaluations_of_an_epoch(data, uninterrupted, call, tmp_path):
    options = [*SETTINGS, "--nb_epochs=2", "--eval_interval=4"]
    words = [data, f"--results_dir={tmp_path}", *options]
    # right after an evaluation, between two, and when nothing but the last batches of it are left
    for step in (4, 6, 9):
        status = finish(*words, *["--load"] * (step != 4), fault=f"step {step} SIGINT")[0]
        assert status == 130
    assert call(*words, "--load") == 0
    same(only(tmp_path), uninterrupted(*options))


def test_signal_in_the_last_batch_of_all_is_a_finished_run(data, uninterrupted, tmp_path):
    options = [*SETTINGS, "--nb_epochs=2"]
    status, out, _ = finish(data, f"--results_dir={tmp_path}", *options, fault="step 30 SIGTERM")
    assert status == 0 and "finished" in out
    same(only(tmp_path), uninterrupted(*options))


def test_second_signal_ends_the_process_at_once(data, uninterrupted, call, tmp_path):
    """Somebody in a hurry loses the epoch, not the run."""
    options = [*SETTINGS, "--nb_epochs=3"]
    words = [data, f"--results_dir={tmp_path}", *options]
    assert finish(*words, fault="step 22 SIGINT 1.2 SIGINT")[0] == -signal.SIGINT
    with np.load(only(tmp_path) / "checkpoint.npz") as archive:
        assert (archive["epoch"], archive["batch"]) == (1, 0)
    assert call(*words, "--load") == 0
    same(only(tmp_path), uninterrupted(*options))


# ---- two processes


def test_second_process_on_a_folder_is_refused_and_so_is_the_third(data, uninterrupted, tmp_path):
    """Two writers would make a mixture; being refused must not open the door for the next."""
    options = [*SETTINGS, "--nb_epochs=3"]
    words = [data, f"--results_dir={tmp_path}", *options]
    with start(*words, fault="step 22 SIGSTOP") as first:
        deadline = time.monotonic() + 30
        while not list(tmp_path.glob("*/checkpoint.npz")) and time.monotonic() < deadline:
            time.sleep(0.02)
        os.waitpid(first.pid, os.WUNTRACED)
        before = contents(tmp_path)
        try:
            for more in ("--load", "--overwrite", "--load"):
                status, _, err = finish(*words, more)
                assert status == 2 and str(only(tmp_path)) in complaint(err) and "in use" in err, more
                assert contents(tmp_path) == before
        finally:
            first.send_signal(signal.SIGCONT)
            first.communicate(timeout=60)
    assert first.returncode == 0
    same(only(tmp_path), uninterrupted(*options))
