"""run.py --seeds: several seeds in one process, and on disk what each of them makes alone."""

import errno
import json
import os

import numpy as np
import pytest

from core import together
from core.backend import Backend
from core.locks import FolderLock
from gait.learner import Learner
from tests.faults.tiny_runs import checkpoint, complaint, contents, finish, in_process, read_metrics, results
from tests.runs_for_tests import BAD_SEEDS

VARIANTS = {
    "backpropagation": ["--learning_rate=0.01"],
    "gradient descent": ["--learning_rate=0.1", "--optimizer=SGD"],
    "centred RMSprop": ["--algorithm=GAIT", "--orthogonal_reg=0.1", "--optimizer=RMSprop"],
    "rows of length 1": ["--algorithm=GAIT", "--orthogonal_reg=0.1", "--unit_rows"],
    "target propagation": ["--algorithm=TP", "--orthogonal_reg=1000", "--learning_rate=0.001"],
    "GAIT-prop": ["--algorithm=GAIT", "--orthogonal_init", "--orthogonal_reg=0.1", "--threads=2"],
    "often measured": ["--eval_interval=2", "--batch_size=14", "--alignment"],
    "single precision": ["--precision=float32", "--learning_rate=0.01", "--algorithm=GAIT", "--orthogonal_reg=0.1"],
    "tower": ["--tower", "--dataset=FMNIST", "--nb_epochs=1", "--batch_size=60"],
}


def seed_of(folder):
    return json.loads((folder / "config.json").read_text())["settings"]["seed"]


def folders(place):
    """{seed: run folder} of a results folder."""
    return {seed_of(path): path for path in place.iterdir()}


def outcome(folder):
    told = json.loads((folder / "DONE").read_text())
    return {name: value for name, value in told.items() if name not in ("seconds", "peak_memory_mb")}


def assert_same_runs(found, expected):
    assert found.keys() == expected.keys()
    for seed, folder in found.items():
        alone = expected[seed]
        assert folder.name == alone.name
        assert {path.name for path in folder.iterdir()} == {path.name for path in alone.iterdir()}
        assert results(folder) == results(alone) and checkpoint(folder) == checkpoint(alone)
        assert outcome(folder) == outcome(alone)
        settings = [json.loads((path / "config.json").read_text())["settings"] for path in (folder, alone)]
        assert settings[0] == settings[1]


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_seed_leaves_what_it_leaves_alone(variant, tmp_path, monkeypatch, capsys):
    call = in_process(tmp_path, monkeypatch)
    settings = ["--nb_epochs=2", *VARIANTS[variant]]
    assert call(*settings, "--seeds=2-3,7") == 0
    said = capsys.readouterr().out
    for seed in (2, 3, 7):
        assert call(*settings, f"--seed={seed}", f"--results_dir={tmp_path / 'alone'}") == 0
        assert f"seed {seed}: finished" in said and f"seed {seed}: epoch 1/" in said
    assert "3 networks at once take about" in said
    assert_same_runs(folders(tmp_path / "results"), folders(tmp_path / "alone"))


def test_the_seeds_are_trained_together(tmp_path, monkeypatch):
    """Each step is one of all seeds, and none is of one."""
    shapes, step = [], Learner.step
    monkeypatch.setattr(Learner, "step", lambda self, *batch: (shapes.append(batch[0].shape), step(self, *batch)))
    assert in_process(tmp_path, monkeypatch)("--nb_epochs=1", "--seeds=1 2 5") == 0
    assert shapes == [(3, 60, 16)] * 2
    assert sorted(folders(tmp_path / "results")) == [1, 2, 5]


def test_one_seed_in_the_list_is_that_seed(tmp_path, monkeypatch):
    call = in_process(tmp_path, monkeypatch)
    assert call("--nb_epochs=1", "--seeds=4") == 0
    assert call("--nb_epochs=1", "--seed=4", f"--results_dir={tmp_path / 'alone'}") == 0
    assert_same_runs(folders(tmp_path / "results"), folders(tmp_path / "alone"))


@pytest.mark.parametrize("epochs", [(2, 1, 0), (1, 1, 2), (4, 0, 1)])
def test_seeds_from_different_epochs_go_on_from_their_own(epochs, tmp_path, monkeypatch):
    """Runs of no epoch are new; 4 are all there are."""
    call = in_process(tmp_path, monkeypatch)
    settings = ["--algorithm=GAIT", "--orthogonal_reg=0.1"]
    for seed, count in enumerate(epochs):
        if count:
            assert call(*settings, f"--seed={seed}", f"--nb_epochs={count}") == 0
    assert call(*settings, "--seeds=0-2", "--nb_epochs=4", "--load_or_start") == 0
    for seed in range(3):
        assert call(*settings, f"--seed={seed}", "--nb_epochs=4", f"--results_dir={tmp_path / 'alone'}") == 0
    assert_same_runs(folders(tmp_path / "results"), folders(tmp_path / "alone"))


def spoil(monkeypatch, seed_index, number, spoilt):
    """Make the networks of a stack's `seed_index`-th member, in stacks and alone, go wrong at its `number`-th step."""
    import run

    build, nets = run.build_learner, []

    def build_and_note(options, *rest):
        learner = build(options, *rest)
        learner.net.wanted = options.seed == seed_index
        nets.append(learner.net)
        return learner

    monkeypatch.setattr(run, "build_learner", build_and_note)
    begin = together.Together._step

    def step(self, loops, whole, learners, *replay):
        for loop, learner in zip(loops, learners, strict=True):
            if learner.net.wanted and loop.batch == number and loop.epoch == 1:
                together._hand_back(whole, learners)
                spoilt(learner.net)
                learner.net.weights_changed()
                if len(loops) > 1:
                    whole.take(learners)
        return begin(self, loops, whole, learners, *replay)

    monkeypatch.setattr(together.Together, "_step", step)


def overflow(net):
    net.layers[0].weights[0, 0] = np.nan


def make_singular(net):
    net.layers[1].weights[...] = 0.0


@pytest.mark.parametrize("interval", (0, 2))
@pytest.mark.parametrize("spoilt, kind", [(overflow, "diverged"), (make_singular, "singular")])
def test_a_seed_that_ends_badly_ends_alone(spoilt, kind, interval, tmp_path, monkeypatch, capsys):
    call = in_process(tmp_path, monkeypatch)
    spoil(monkeypatch, 3, 1, spoilt)
    settings = ["--algorithm=TP", "--nb_epochs=3", "--batch_size=30", f"--eval_interval={interval}"]
    assert call(*settings, "--seeds=2-4") == 3
    error = capsys.readouterr().err
    assert error.count("run.py: ") == 1 and "run.py: seed 3: " in error
    for seed in (2, 3, 4):
        assert call(*settings, f"--seed={seed}", f"--results_dir={tmp_path / 'alone'}") == (3 if seed == 3 else 0)
    found = folders(tmp_path / "results")
    assert outcome(found[3])["outcome"] == kind and outcome(found[2])["outcome"] == "finished"
    assert_same_runs(found, folders(tmp_path / "alone"))


BAD = BAD_SEEDS | {
    "both": (["--seeds=1-3", "--seed=2"], "--seeds=1-3: contradicts --seed=2; give one of them"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_lists_are_refused_before_any_work(case, tmp_path, monkeypatch, capsys):
    options, sentence = BAD[case]
    assert in_process(tmp_path, monkeypatch)(*options) == 2
    assert sentence in complaint(capsys.readouterr().err)
    assert not (tmp_path / "results").exists()


def test_networks_that_do_not_fit_into_memory_are_refused(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(Backend, "free_memory", lambda self: 200_000)
    call = in_process(tmp_path, monkeypatch)
    assert call("--nb_epochs=1", "--seeds=1-50") == 2
    assert "--seeds=1-50: 50 networks at once take about 3 MB of memory" in complaint(capsys.readouterr().err)
    assert call("--nb_epochs=1", "--seeds=1-3") == 0


def test_a_folder_in_use_or_missing_is_named_and_the_others_are_left(tmp_path, monkeypatch, capsys):
    call = in_process(tmp_path, monkeypatch)
    assert call("--nb_epochs=1", "--seeds=1,3") == 0
    before = {path: data for path, data in contents(tmp_path / "results").items() if data}
    capsys.readouterr()
    assert call("--nb_epochs=2", "--seeds=1-3", "--load") == 2
    assert "--load: there is no run to load in" in (error := complaint(capsys.readouterr().err)) and "_2Seed_" in error
    assert call("--nb_epochs=2", "--seeds=3-4") == 2
    assert "_3Seed_" in complaint(capsys.readouterr().err)
    after = {path: data for path, data in contents(tmp_path / "results").items() if data}
    assert before == after


@pytest.mark.parametrize("obstacle", ["in use", "no file"])
def test_nothing_is_overwritten_if_one_seed_is_refused(obstacle, tmp_path, monkeypatch, capsys):
    call = in_process(tmp_path, monkeypatch)
    assert call("--nb_epochs=1", "--seeds=1-3") == 0
    place = folders(tmp_path / "results")[2]
    lock = FolderLock(place)
    if obstacle == "in use":
        lock.take()
    else:
        (place / "7Lweights.npy").mkdir()
    before = contents(tmp_path / "results")
    capsys.readouterr()
    assert call("--nb_epochs=1", "--seeds=1-3", "--overwrite") == 2
    assert "_2Seed_" in complaint(capsys.readouterr().err)
    lock.close()
    assert contents(tmp_path / "results") == before


@pytest.mark.parametrize(("number", "status"), [(1, 2), (2, 1), (3, 1)])
def test_a_disk_that_fills_up_while_seeds_begin(number, status, tmp_path, monkeypatch, capsys):
    """Status 2 only if nothing was changed; else --load_or_start continues."""
    call, fsync, written = in_process(tmp_path, monkeypatch), os.fsync, []
    assert call("--nb_epochs=1", "--seeds=1-3") == 0
    before = contents(tmp_path / "results")

    def full(handle):
        written.append("/.config.json." in os.readlink(f"/proc/self/fd/{handle}"))
        if sum(written) == number:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        fsync(handle)

    capsys.readouterr()
    with monkeypatch.context() as disk:
        disk.setattr(os, "fsync", full)
        assert call("--nb_epochs=2", "--seeds=1-3", "--load") == status
    error = complaint(capsys.readouterr().err)
    assert os.strerror(errno.ENOSPC) in error and ("--load_or_start continues" in error) == (status == 1)
    assert (contents(tmp_path / "results") == before) == (status == 2)
    assert call("--nb_epochs=2", "--seeds=1-3", "--load_or_start") == 0
    assert call("--nb_epochs=2", "--seeds=1-3", f"--results_dir={tmp_path / 'whole'}") == 0
    assert_same_runs(folders(tmp_path / "results"), folders(tmp_path / "whole"))


def test_a_seed_beyond_the_epochs_asked_for_is_named_and_the_others_are_left(tmp_path, monkeypatch, capsys):
    """Of those before and after it one has to go on, one is complete and one is new."""
    call, words = in_process(tmp_path, monkeypatch), ["--batch_size=12", "--threads=1", "--quiet"]
    place = [f"--data_dir={tmp_path / 'data'}", f"--results_dir={tmp_path / 'results'}", *words]
    for seed, step in ((1, 3), (2, 13)):
        finish(*place, f"--seed={seed}", "--nb_epochs=5", fault=f"step {step} SIGTERM")
    assert call(*words, "--seed=3", "--nb_epochs=1") == 0
    before = contents(tmp_path / "results")
    capsys.readouterr()
    assert call(*words, "--seeds=1-4", "--nb_epochs=1", "--load_or_start") == 2
    error = complaint(capsys.readouterr().err)
    assert "--nb_epochs=1: " in error and "_2Seed_" in error and "has begun epoch 2 already" in error
    assert contents(tmp_path / "results") == before


@pytest.mark.parametrize("fault", ["step 17 SIGKILL", "replace 12 SIGKILL", "replace 17 SIGKILL", "replace 34 SIGKILL"])
def test_seeds_killed_together_and_continued_alone_or_in_another_stack(fault, tmp_path, monkeypatch, capsys):
    """The first goes on alone, the two others in a stack of their own: the bits are those of runs
    that nobody disturbed."""
    call = in_process(tmp_path, monkeypatch)
    settings = [
        "--algorithm=GAIT",
        "--orthogonal_reg=0.1",
        "--batch_size=12",
        "--nb_epochs=3",
        "--threads=1",
        "--quiet",
    ]
    killed = [*settings, f"--data_dir={tmp_path / 'data'}", f"--results_dir={tmp_path / 'killed'}"]
    assert finish(*killed, "--seeds=1-3", fault=fault)[0] == -9
    for seeds in ("--seed=1", "--seeds=2-3"):
        assert call(*killed, seeds, "--load_or_start") == 0
        assert capsys.readouterr().err == ""
    for seed in (1, 2, 3):
        assert call(*settings, f"--seed={seed}") == 0
    assert_same_runs(folders(tmp_path / "killed"), folders(tmp_path / "results"))


def test_a_signal_saves_every_seed(tmp_path, monkeypatch):
    call = in_process(tmp_path, monkeypatch)
    settings = ["--batch_size=12", "--nb_epochs=3", "--threads=1", "--quiet", "--seeds=1-3"]
    stopped = [*settings, f"--data_dir={tmp_path / 'data'}", f"--results_dir={tmp_path / 'stopped'}"]
    status, out, _ = finish(*stopped, fault="step 13 SIGTERM")
    assert status == 128 + 15 and out.count("interrupted in epoch 2 and saved") == 3
    assert call(*stopped, "--load") == 0
    assert call(*settings) == 0
    assert_same_runs(folders(tmp_path / "stopped"), folders(tmp_path / "results"))
    assert all(len(read_metrics(path)["epoch"]) == 4 for path in folders(tmp_path / "stopped").values())
