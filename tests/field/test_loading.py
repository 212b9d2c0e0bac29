"""--load of a run whose checkpoint or weights are gone: status 2, one sentence, nothing changed; in both
programs and in sweeps."""

import os
import shutil

import pytest

from tests.faults import tiny_main, tiny_runs

EPOCHS = {"run.py": "--nb_epochs", "main.py": "--epochs"}


@pytest.fixture(params=EPOCHS)
def program(request):
    return request.param


@pytest.fixture
def call(program, tmp_path, monkeypatch):
    """A function (epochs, further options) -> exit status."""
    made = (tiny_runs if program == "run.py" else tiny_main).in_process(tmp_path, monkeypatch)
    return lambda epochs, *more: made(f"{EPOCHS[program]}={epochs}", "--quiet", *more)


@pytest.fixture
def folder(program, tmp_path):
    """A function: the run folder."""
    return lambda: tiny_runs.only(tmp_path / "results") if program == "run.py" else tmp_path / "run"


def contents(folder):
    return {path.name: path.read_bytes() if path.is_file() else path.stat().st_ino for path in folder.iterdir()}


def assert_refused(call, folder, capsys, epochs, *words, flags=("--load", "--load_or_start")):
    before = contents(folder)
    for flag in flags:
        capsys.readouterr()
        assert call(epochs, flag) == 2
        err = capsys.readouterr().err
        assert err.count("\n") == 1 and str(folder) in err
        for word in words:
            assert word in err
        assert contents(folder) == before


@pytest.mark.parametrize("file", ["0Lweights.npy", "1Lbiases.npy"])
def test_a_finished_run_without_its_weights_is_not_finished(file, call, folder, capsys):
    assert call(1) == 0
    (folder() / file).unlink()
    assert_refused(call, folder(), capsys, 1, file)
    assert call(1, "--overwrite") == 0 and (folder() / file).exists()


def test_a_finished_run_without_its_checkpoint_cannot_go_on(call, folder, capsys):
    assert call(2) == 0
    (folder() / "checkpoint.npz").unlink()
    # There is nothing to do.
    assert call(2, "--load") == 0
    assert_refused(call, folder(), capsys, 3, "checkpoint.npz")


def test_a_finished_run_with_an_older_checkpoint_cannot_go_on(call, folder, capsys, tmp_path):
    assert call(1) == 0
    shutil.copy(folder() / "checkpoint.npz", tmp_path / "old.npz")
    assert call(3, "--load") == 0
    shutil.copy(tmp_path / "old.npz", folder() / "checkpoint.npz")
    assert_refused(call, folder(), capsys, 4, "checkpoint.npz")


def test_series_that_show_more_than_the_checkpoint(call, folder, capsys, tmp_path):
    """As a copy of a folder that left out large files, or one that was put together from two backups."""
    assert call(1) == 0
    shutil.copy(folder() / "checkpoint.npz", tmp_path / "old.npz")
    assert call(3, "--load") == 0
    (folder() / "DONE").unlink()
    for path in folder().glob("*L*.npy"):
        path.unlink()
    shutil.copy(tmp_path / "old.npz", folder() / "checkpoint.npz")
    assert_refused(call, folder(), capsys, 4, "checkpoint.npz")
    (folder() / "checkpoint.npz").unlink()
    assert_refused(call, folder(), capsys, 4, "checkpoint.npz")


def test_an_interrupted_run_without_its_checkpoint(call, folder, capsys):
    """Its weights show that it got somewhere, be it within the first epoch."""
    assert call(1) == 0
    for name in ("DONE", "checkpoint.npz"):
        (folder() / name).unlink()
    assert_refused(call, folder(), capsys, 2, "checkpoint.npz")


@pytest.mark.parametrize("left", ["config.json *.txt *.json", "config.json *.txt results.npz results.json *.csv"])
def test_results_alone_are_not_written_over(left, program, call, folder, capsys):
    """Text series of run.py, the summary of main.py: what somebody kept who deleted the large files, and DONE."""
    assert call(2) == 0
    for file in folder().iterdir():
        if file.name == "metrics.csv" or not any(file.match(pattern) for pattern in left.split()):
            file.unlink()
    assert_refused(call, folder(), capsys, 2, "checkpoint.npz is missing")
    assert_refused(call, folder(), capsys, 2, "--overwrite", flags=("--quiet",))
    (folder() / "config.json").unlink()
    assert_refused(call, folder(), capsys, 2, "config.json")
    assert call(2, "--overwrite") == 0


def test_a_summary_without_an_epoch_is_begun_anew(program, call, folder):
    """What a process leaves that was killed in its first epoch."""
    assert call(1) == 0
    for path in folder().iterdir():
        if path.name != "config.json":
            path.unlink()
    if program == "main.py":
        (folder() / "results.json").write_text('{"finished": 0, "loss_train_last": -1}')
    assert call(1, "--load") == 0


@pytest.mark.parametrize("device", [False, True])
def test_a_pipe_or_a_device_in_place_of_a_file(device, call, folder, capsys, tmp_path):
    """Reading or writing one whose other end is gone would never end."""
    assert call(1) == 0
    for path in [path for path in folder().iterdir() if path.name != ".lock"]:
        path.rename(tmp_path / "kept")
        path.symlink_to("/dev/zero") if device else os.mkfifo(path)
        assert_refused(call, folder(), capsys, 2, path.name)
        path.unlink()
        (tmp_path / "kept").rename(path)
    assert call(2, "--load") == 0


def test_a_process_killed_between_the_measurement_and_the_checkpoint_goes_on(call, folder):
    """That is not a lost checkpoint: the epoch in progress is trained again."""
    assert call(1) == 0
    for path in (folder() / "DONE", folder() / "checkpoint.npz", *folder().glob("*L*.npy")):
        path.unlink()
    assert call(1, "--load") == 0
    assert (folder() / "DONE").exists()


@pytest.mark.parametrize("file", ["0Lweights.npy", "1Lweights.npy"])
def test_a_sweep_does_not_pass_over_a_finished_run_without_its_weights(file, tmp_path, monkeypatch):
    """Before it starts anything."""
    from core.files import FileError
    from sweeps import processes

    assert tiny_main.in_process(tmp_path, monkeypatch)("--epochs=1") == 0
    job = processes.Job("a", tmp_path / "run", [], {}, 1, layers=2)
    assert processes.is_over(job)
    (job.folder / file).unlink()
    before = contents(job.folder)
    with pytest.raises(FileError, match=file):
        processes.run_all([job], tmp_path / "sweep", lambda *_: None, quiet=True)
    assert contents(job.folder) == before


def test_sweeps_know_how_many_layers_their_runs_have():
    import run_config

    config = {"size_input": 6, "num_hidden": 2, "size_hidden": "5", "size_output": 3}
    job, settings = run_config.job_and_settings("a", "folder", config, [], "x.py")
    assert job.layers == 3 and len(settings.task.sizes) == 4


def test_the_checkpoint_of_another_run_is_no_way_to_go_on(program, call, folder, capsys, tmp_path):
    """Of another seed, say: its arrays would fit."""
    assert call(2, "--seed=7" if program == "run.py" else "--random_seed=7") == 0
    shutil.move(folder(), tmp_path / "other")
    assert call(2) == 0
    shutil.copy(tmp_path / "other" / "checkpoint.npz", folder() / "checkpoint.npz")
    assert_refused(call, folder(), capsys, 3, "checkpoint.npz", "metrics.csv")
