"""The summary of a run of system 2: what it holds (dfc.md I.7), that it is read back as it was,
and that damage is named."""

import json
import math
import os
import zipfile

import numpy as np
import pytest

from core.files import FileError
from core.roles import Watcher
from dfc.measures.summary import (
    DONE,
    INITIAL_KEYS,
    RUNNING,
    STOPPED,
    Frame,
    SummaryFolder,
    read_summary,
    summarise,
    write_summary,
)

PUBLISHED = """acc_train_last acc_train_best loss_train_last loss_train_best acc_test_last acc_test_best acc_val_last
    acc_val_best acc_test_val_best acc_train_val_best loss_test_val_best loss_train_val_best loss_val_best
    epoch_best_loss epoch_best_acc loss_test_last loss_test_best rec_loss rec_loss_last rec_loss_best
    rec_loss_first rec_loss_init rec_loss_var_av avg_time_per_epoch finished"""
SERIES = {
    "epoch": [1, 2, 3, 4],
    "batch": [0, 0, 0, 0],
    "loss_train": [4.0, 3.0, 2.0, 2.5],
    "acc_train": [0.1, 0.6, 0.7, 0.65],
    "converged": [1, 2, 3, 4],
    "diverged": [0, 0, 1, 0],
    "not_converged": [4, 3, 1, 1],
    "loss_val": [5.0, 1.5, 1.5, 2.0],
    "acc_val": [0.2, 0.4, 0.9, 0.9],
    "loss_test": [6.0, 5.5, 1.0, 2.0],
    "acc_test": [0.3, 0.2, 0.8, 0.95],
    "seconds": [12.0, 14.0, 16.0, 20.0],
}
FRAME = Frame([1, 2, 5], [0, 1], np.array([[0.1, 90.0], [math.nan, 1e-300], [1 / 3, -0.0]]))


def without(*names):
    return {name: values for name, values in SERIES.items() if name not in names}


# ---- what it holds


def test_before_the_first_epoch_everything_is_minus_one():
    """-1, the whole number, in the published order; "finished" is 0 while it runs."""
    summary = summarise({"epoch": []}, RUNNING)
    assert list(summary) == PUBLISHED.split()
    assert summary.pop("finished") == 0
    assert set(summary.values()) == {-1} and {type(value) for value in summary.values()} == {int}
    assert (RUNNING, DONE, STOPPED) == (0, 1, -1) and list(INITIAL_KEYS) == PUBLISHED.split()[:-1]


def test_entries_by_hand():
    summary = summarise(SERIES, DONE, prelude_seconds=8.0)
    arrays = {name: summary.pop(name) for name in list(summary) if isinstance(summary[name], np.ndarray)}
    assert summary == dict.fromkeys(PUBLISHED.split(), -1) | {
        "finished": 1,
        "avg_time_per_epoch": 3.0,
        "loss_train_last": 2.5, "loss_train_best": 2.0, "loss_test_last": 2.0, "loss_test_best": 1.0,
        "loss_val_last": 2.0, "loss_val_best": 1.5,
        "acc_train_last": 0.65, "acc_train_best": 0.7, "acc_test_last": 0.95, "acc_test_best": 0.95,
        "acc_val_last": 0.9, "acc_val_best": 0.9,
        # the first of equal ones, counted from 0
        "epoch_best_loss": 1, "loss_test_val_best": 5.5, "loss_train_val_best": 3.0,
        "epoch_best_acc": 2, "acc_test_val_best": 0.8, "acc_train_val_best": 0.7,
    }  # fmt: skip
    assert {name: array.tolist() for name, array in arrays.items()} == without("epoch", "batch", "seconds")
    assert arrays["converged"].dtype.kind == "i" and arrays["loss_val"].dtype == np.float64


def test_without_validation_its_entries_stay_minus_one():
    summary = summarise(without("loss_val", "acc_val"), DONE)
    names = [name for name in summary if "val" in name or name.startswith("epoch_best")]
    assert names and all(summary[name] == -1 for name in names)
    assert summary["acc_test_best"] == 0.95 and summary["loss_test_last"] == 2.0


def test_regression_has_no_accuracies():
    summary = summarise(without("acc_train", "acc_val", "acc_test"), STOPPED)
    assert all(summary[name] == -1 for name in summary if name.startswith("acc_")) and summary["epoch_best_acc"] == -1
    assert summary["finished"] == -1 and summary["epoch_best_loss"] == 1


def test_backpropagation_has_no_time_of_an_epoch():
    assert summarise(SERIES, DONE, timed=False)["avg_time_per_epoch"] == -1


@pytest.mark.parametrize("values", [[math.nan], [math.inf], [1.0, math.nan], [math.nan, 1.0]])
def test_losses_that_are_no_numbers_are_kept_and_written(values, tmp_path):
    """The last epoch of a run that diverged."""
    series = {
        "epoch": list(range(len(values))),
        "loss_train": values,
        "loss_val": values,
        "loss_test": values,
        "seconds": values,
    }
    write_summary(tmp_path, summarise(series, STOPPED))
    found = read_summary(tmp_path)
    assert np.array_equal(found["loss_train"], values, equal_nan=True)
    assert found["loss_train_last"] == values[-1] or math.isnan(values[-1])


# ---- files


WHOLE = summarise(SERIES, DONE, 8.0) | {
    "log_interval": 30, "max_eig_keys": ["A_tildeI", "A_PI"], "best": [0.5, 2], "gn_condition_init": -1,
    "name": "a word", "empty": np.zeros(0), "table": np.arange(6, dtype=np.float32).reshape(2, 3),
    "bp_angles": FRAME, "gn_angles_network": Frame([], [0], np.empty((0, 1))),
    "condition_gn_angles_init": Frame([1], [0], np.array([[0.1]])),
}  # fmt: skip


def same(one, other):
    if isinstance(one, Frame):
        assert (one.steps, one.columns) == (other.steps, other.columns)
        one, other = one.values, other.values
    if isinstance(one, np.ndarray):
        assert one.dtype == other.dtype and one.shape == other.shape and one.tobytes() == other.tobytes()
    else:
        assert (type(one), one) == (type(other), other)


def test_what_is_written_is_read_back_to_the_last_bit(tmp_path):
    write_summary(tmp_path, WHOLE)
    found = read_summary(tmp_path)
    assert found.keys() == WHOLE.keys()
    for name, value in WHOLE.items():
        same(value, found[name])


def test_files_are_what_other_programs_can_open(tmp_path):
    write_summary(tmp_path, WHOLE)
    names = {"results.json", "results.npz", "performance_overview.txt", "bp_angles.csv", "gn_angles_network.csv"}
    assert {path.name for path in tmp_path.iterdir()} == names | {"condition_gn_angles_init.csv"}
    plain = json.loads((tmp_path / "results.json").read_text())
    assert plain["max_eig_keys"] == ["A_tildeI", "A_PI"] and "loss_train" not in plain
    with zipfile.ZipFile(tmp_path / "results.npz") as archive:
        assert "loss_train.npy" in archive.namelist()
    header, *rows = (tmp_path / "bp_angles.csv").read_text().splitlines()
    assert (header, rows) == (",0,1", ["1,0.1,90.0", "2,nan,1e-300", "5,0.3333333333333333,-0.0"])


def test_overview_is_the_published_one(tmp_path):
    """`key value`: floats with six decimals, whole numbers plain, lists with spaces; arrays and tables left out."""
    write_summary(tmp_path, WHOLE)
    lines = (tmp_path / "performance_overview.txt").read_text().splitlines()
    assert len(lines) == len(json.loads((tmp_path / "results.json").read_text()))
    for line in (
        "acc_train_last 0.650000",
        "rec_loss -1",
        "finished 1",
        "epoch_best_loss 1",
        "avg_time_per_epoch 3.000000",
    ):
        assert line in lines
    for line in ("max_eig_keys A_tildeI A_PI", "best 0.500000 2", "name a word", "loss_train_val_best 3.000000"):
        assert line in lines


def test_a_shorter_summary_replaces_a_longer_one(tmp_path):
    write_summary(tmp_path, WHOLE)
    short = summarise({"epoch": []}, RUNNING)
    write_summary(tmp_path, short | {"bp_angles": Frame([1], [0], np.ones((1, 1)))})
    found = read_summary(tmp_path)
    assert found["bp_angles"].values.tolist() == [[1.0]] and "loss_train" not in found and found["finished"] == 0


# ---- damage


@pytest.fixture
def written(tmp_path):
    write_summary(tmp_path, WHOLE)
    return tmp_path


def refused(folder, name):
    with pytest.raises(FileError) as caught:
        read_summary(folder)
    assert str(folder / name) in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["results.json", "results.npz"])
def test_missing_file_is_named(name, written):
    (written / name).unlink()
    refused(written, name)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", "null", '{"finished": "yes"}', '{"loss_train_last": 1}', "\x00"])
def test_damaged_numbers_are_named(text, written):
    (written / "results.json").write_text(text)
    refused(written, "results.json")


def test_truncated_arrays_are_named(written):
    good = (written / "results.npz").read_bytes()
    for length in (0, 1, 4, 100, *range(200, len(good), 97), len(good) - 1):
        (written / "results.npz").write_bytes(good[:length])
        refused(written, "results.npz")


def test_altered_numbers_of_arrays_are_named(written):
    """Any byte of the data of an array; what the archive says of itself is another matter."""
    path, random = written / "results.npz", np.random.default_rng(3)
    good = path.read_bytes()
    for name in ("loss_train", "acc_val", "table", "converged"):
        data = WHOLE[name].tobytes()
        start = good.index(data)
        assert good.count(data) == 1
        for _ in range(5):
            bad = bytearray(good)
            bad[start + random.integers(len(data))] ^= int(random.integers(1, 256))
            path.write_bytes(bad)
            refused(written, "results.npz")


class Trap:
    """Unpickled, it writes the file that it was made with."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return (open, (self.path, "w"))


def test_pickles_are_never_opened(written, tmp_path):
    with open(written / "results.npz", "wb") as file:
        np.savez(file, loss_train=np.array([Trap(tmp_path / "sprung")], dtype=object))
    refused(written, "results.npz")
    assert not (tmp_path / "sprung").exists()


DAMAGED = (",0,1\n1,0.1\n", ",0,1\n1,0.1,x\n", ",0,x\n1,0.1,0.2\n", ",0,1\n1,0.1,0.2\n\n", "", ",0\n1,0.1,0.2\n")


@pytest.mark.parametrize("text", DAMAGED)
def test_damaged_table_is_named(text, written):
    (written / "bp_angles.csv").write_text(text)
    refused(written, "bp_angles.csv")


# ---- the folder that keeps it up to date

RECORD = {"options": {}, "time": "", "versions": {}, "device": "", "threads": 1, "git_commit": None}


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "run"


@pytest.fixture
def take(folder):
    """A function of arguments of `open` -> a SummaryFolder there, closed at the end."""
    taken = []

    def take(**how):
        made = SummaryFolder(folder, {"seed": 1}, {"lr": "0.1", "epochs": 2})
        taken.append(made)
        made.open(**how)
        return made

    yield take
    for made in taken:
        made.close()


def first(values):
    return {name: each[:values] for name, each in SERIES.items()}


def test_summary_is_there_before_training_and_after_every_epoch(take, folder):
    run = take()
    run.begin(RECORD)
    assert read_summary(folder) == summarise({"epoch": []}, 0)
    assert json.loads((folder / "args.txt").read_text()) == {"lr": "0.1", "epochs": 2}
    for epochs in (1, 2, 3):
        run.save_series(first(epochs))
        found = read_summary(folder)
        assert found["finished"] == 0 and found["loss_train"].tolist() == SERIES["loss_train"][:epochs]


@pytest.mark.parametrize("outcome, finished", [("finished", 1), ("stopped", -1), ("diverged", -1), ("singular", -1)])
def test_outcome_decides_finished(outcome, finished, take, folder):
    run = take()
    run.begin(RECORD)
    run.save_series(SERIES)
    run.finish({"outcome": outcome, "epoch": 4, "epochs": 4})
    found = read_summary(folder)
    assert found["finished"] == finished and found["loss_test_best"] == 1.0


def test_time_before_the_first_epoch_comes_with_the_checkpoint(take, folder):
    run = take()
    run.begin(RECORD)
    run.save_checkpoint({"prelude_seconds": np.array(8.0)})
    run.save_series(SERIES)
    assert read_summary(folder)["avg_time_per_epoch"] == 3.0


def test_going_on_keeps_what_is_known_of_the_epochs_done(take, folder):
    """From the first moment on, and with the seconds that another process spent before the first epoch."""
    run = take()
    run.begin(RECORD)
    run.save_series(first(2))
    series = {f"series_{name}": np.array(values) for name, values in first(2).items()}
    run.save_checkpoint({"prelude_seconds": np.array(8.0), **series})
    run.close()
    again = take(load=True)
    again.checkpoint()
    again.begin(RECORD)
    found = read_summary(folder)
    assert found["loss_train"].tolist() == [4.0, 3.0] and found["finished"] == 0
    assert found["avg_time_per_epoch"] == 3.0
    again.save_series(SERIES)
    assert read_summary(folder)["avg_time_per_epoch"] == 3.0


def test_config_is_the_first_file(take, folder, monkeypatch):
    """What is left of a run that dies at once must be a run that --load can continue."""
    written, replace = [], os.replace

    def watched(source, path):
        written.append(path.name)
        replace(source, path)

    monkeypatch.setattr(os, "replace", watched)
    take().begin(RECORD)
    assert written[0] == "config.json" and set(written[1:]) == {
        "args.txt", "results.json", "results.npz", "performance_overview.txt"
    }  # fmt: skip


def test_further_entries_are_part_of_it_and_hide_none(take, folder):
    run = take()
    watcher = Watcher()
    watcher.summary = lambda: {"log_interval": 7, "bp_angles": FRAME, "finished": 99}
    run.follow([watcher])
    run.begin(RECORD)
    found = read_summary(folder)
    assert found["log_interval"] == 7 and found["finished"] == 0
    same(found["bp_angles"], FRAME)
