"""The run folder: what is written, who may write, what is never lost."""

import csv
import errno
import functools
import json
import os
import platform

import numpy as np
import pytest

from core.backend import select_backend
from core.files import FileError
from core.machine import provenance
from core.options import UsageError
from core.recording import RunFolder
from inv_net import TowerInvNet
from utils import LINEAR

SETTINGS = {"algorithm": "BP", "seed": 1, "learning_rate": 1e-4, "linear": False}
SERIES = {
    "epoch": [0, 1],
    "batch": [0, 0],
    "training_acc": [0.1, 0.25],
    "training_loss": [0.5, 1 / 3],
    "test_acc": [0.0, 1.0],
    "test_loss": [1e-17, float("inf")],
    "seconds": [0.0, 1.5],
}
OUTCOME = {"outcome": "finished", "epochs": 2, "test_acc": 0.5}


@functools.cache
def facts():
    return provenance(select_backend("numpy"), 3, {})


def record(**options):
    return {**facts(), "options": options}


def snapshot(folder):
    """{name: bytes} of what is to be seen in a folder; files whose names begin with a dot are its own business."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name[0] != "." and path.is_file()}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "results" / "a_run"


@pytest.fixture
def take():
    """A function that opens a RunFolder; all are closed in the end."""
    taken = []

    def open_folder(path, settings=SETTINGS, **how):
        folder = RunFolder(path, settings)
        taken.append(folder)
        folder.open(**how)
        return folder

    yield open_folder
    for folder in taken:
        folder.close()


@pytest.fixture
def earlier(path, take):
    """The path of a run that began, saved and finished; nobody has it open."""
    folder = take(path)
    folder.begin(record(nb_epochs=2))
    folder.save_series(SERIES)
    folder.save_checkpoint({"p0": np.arange(3.0), "epoch": 2})
    folder.finish(OUTCOME)
    folder.close()
    return path


# ---- what is written


def test_config_tells_settings_options_versions_device_and_commit(path, take):
    folder = take(path)
    folder.begin(provenance(select_backend("numpy"), 3, {"nb_epochs": 7, "gamma": 0.5}))
    config = json.loads((path / "config.json").read_text())
    assert config["settings"] == SETTINGS
    assert config["options"] == {"nb_epochs": 7, "gamma": 0.5}
    assert config["versions"] == {"python": platform.python_version(), "numpy": np.__version__}
    assert "numpy" in config["device"] and "float64" in config["device"]
    assert config["threads"] == 3
    assert config["git_commit"] is None or len(config["git_commit"].rstrip("+")) == 40
    assert config["time"] and config["command"]


def test_config_is_the_only_file_before_training(path, take):
    take(path).begin(record())
    assert snapshot(path).keys() == {"config.json"}


def test_series_are_exact_in_both_forms(path, take):
    """One number a line, `numpy.loadtxt` reads them; no digit lost, infinities included."""
    folder = take(path)
    folder.save_series(SERIES)
    for name in ("training_acc", "training_loss", "test_acc", "test_loss"):
        assert np.loadtxt(path / f"{name}.txt").tolist() == SERIES[name]
    with open(path / "metrics.csv", newline="") as file:
        header, *rows = csv.reader(file)
    assert header == list(SERIES)
    assert [[float(value) for value in row] for row in rows] == [
        list(row) for row in zip(*SERIES.values(), strict=True)
    ]
    assert not (path / "seconds.txt").exists()


def test_longer_series_take_the_place_of_shorter_ones(path, take):
    folder = take(path)
    folder.save_series({name: values[:1] for name, values in SERIES.items()})
    folder.save_series(SERIES)
    assert np.loadtxt(path / "test_acc.txt").tolist() == SERIES["test_acc"]


def test_checkpoint_is_read_back_bit_for_bit(path, take):
    folder = take(path)
    assert folder.checkpoint() is None
    arrays = {
        "p0": np.random.default_rng(1).standard_normal((3, 4)),
        "m": np.float32([0.1]),
        "epoch": 3,
        "seconds": 1.25,
    }
    folder.save_checkpoint(arrays)
    found = folder.checkpoint()
    assert found.keys() == arrays.keys()
    for name, array in arrays.items():
        assert found[name].tobytes() == np.asarray(array).tobytes() and found[name].dtype == np.asarray(array).dtype


def test_weights_are_saved_under_their_published_names(path, take):
    random = np.random.default_rng(2)
    weights, biases = [random.random((n, n)) for n in (4, 2)], [random.random(n) for n in (4, 2)]
    take(path).save_weights(TowerInvNet(weights, biases, LINEAR, 2))
    assert snapshot(path).keys() == {"0Lweights.npy", "0Lbiases.npy", "1Lweights.npy", "1Lbiases.npy"}
    for l in range(2):
        assert np.array_equal(np.load(path / f"{l}Lweights.npy"), weights[l])
        assert np.array_equal(np.load(path / f"{l}Lbiases.npy"), biases[l])


def test_outcome_is_none_until_the_run_ends(path, take):
    folder = take(path)
    folder.begin(record())
    assert folder.outcome is None
    folder.finish(OUTCOME)
    assert folder.outcome == OUTCOME == json.loads((path / "DONE").read_text())


# ---- who may write


def test_new_folder_is_made_with_its_parents_and_closing_leaves_an_empty_lock(path, take):
    folder = take(path)
    assert path.is_dir()
    folder.begin(record())
    folder.close()
    assert sorted(os.listdir(path)) == [".lock", "config.json"] and (path / ".lock").read_bytes() == b""


def test_a_folder_that_was_taken_for_nothing_is_as_before(path, tmp_path, take):
    before = sorted(tmp_path.rglob("*"))
    take(path).close()
    assert sorted(tmp_path.rglob("*")) == before
    path.mkdir(parents=True)
    take(path).close()
    assert os.listdir(path) == []


@pytest.mark.parametrize("state", ["finished", "unfinished", "diverged"])
def test_earlier_run_is_refused_without_a_word_what_to_do(state, earlier, take):
    if state == "unfinished":
        (earlier / "DONE").unlink()
    else:
        (earlier / "DONE").write_text(json.dumps({**OUTCOME, "outcome": state, "epoch": 1, "batch": 0}))
    before = snapshot(earlier)
    with pytest.raises(UsageError) as caught:
        take(earlier)
    for word in (str(earlier), state, "--load", "--overwrite"):
        assert word in str(caught.value)
    assert snapshot(earlier) == before


@pytest.mark.parametrize("how", ["load", "load_or_start"])
def test_loading_keeps_everything_and_notes_it(how, earlier, take):
    before = snapshot(earlier)
    folder = take(earlier, **{how: True})
    # It stays so until training really goes on.
    assert snapshot(earlier) == before
    assert folder.checkpoint()["p0"].tolist() == [0.0, 1.0, 2.0]
    folder.begin(record(nb_epochs=9))
    config = json.loads((earlier / "config.json").read_text())
    assert config["options"] == {"nb_epochs": 9} and len(config["resumed"]) == 1
    assert config["settings"] == SETTINGS and config["time"] == json.loads(before["config.json"])["time"]
    assert folder.outcome is None
    kept = {name: content for name, content in before.items() if name not in ("config.json", "DONE")}
    assert {name: content for name, content in snapshot(earlier).items() if name != "config.json"} == kept
    folder.begin(record(nb_epochs=10))
    assert len(json.loads((earlier / "config.json").read_text())["resumed"]) == 2


@pytest.mark.parametrize("name", SETTINGS)
def test_loading_with_another_setting_is_refused(name, earlier, take):
    before = snapshot(earlier)
    other = {**SETTINGS, name: "something else"}
    with pytest.raises(UsageError) as caught:
        take(earlier, other, load=True)
    for word in (str(earlier), name, str(SETTINGS[name]), "something else"):
        assert word in str(caught.value)
    assert snapshot(earlier) == before


def test_loading_nothing_is_refused_and_makes_no_folder(path, take):
    with pytest.raises(UsageError, match="--load"):
        take(path, load=True)
    assert not path.parent.exists()


def test_loading_or_starting_starts_where_there_is_nothing(path, take):
    folder = take(path, load_or_start=True)
    assert folder.checkpoint() is None and folder.outcome is None


def test_overwriting_deletes_the_run_and_nothing_else(earlier, take):
    (earlier / "0Lweights.npy").write_bytes(b"x")
    (earlier / "notes.txt").write_text("mine")
    (earlier / "figures").mkdir()
    folder, before = take(earlier, overwrite=True), snapshot(earlier)
    assert {"DONE", "checkpoint.npz", "0Lweights.npy"} <= before.keys()
    folder.clear()
    assert snapshot(earlier).keys() == {"notes.txt"} and (earlier / "figures").is_dir()
    assert folder.outcome is None and folder.checkpoint() is None
    folder.begin(record())
    assert "resumed" not in json.loads((earlier / "config.json").read_text())


def test_overwriting_is_a_way_out_of_every_damage(earlier, take):
    for name in ("config.json", "DONE", "checkpoint.npz"):
        (earlier / name).write_bytes(b"\0 rubbish")
    folder = take(earlier, overwrite=True)
    folder.clear()
    folder.begin(record())
    assert snapshot(earlier).keys() == {"config.json"}


@pytest.mark.parametrize("how", ["load", "load_or_start"])
def test_nothing_is_deleted_where_a_run_goes_on(how, earlier, take):
    before = snapshot(earlier)
    take(earlier, **{how: True}).clear()
    assert snapshot(earlier) == before


def test_what_cannot_be_deleted_is_told_before_anything_is(earlier, take, monkeypatch):
    monkeypatch.setattr(os, "access", lambda *_: False)
    before = snapshot(earlier)
    with pytest.raises(FileError, match="cannot delete"):
        take(earlier, overwrite=True)
    assert snapshot(earlier) == before


@pytest.mark.parametrize("how", ["load", "load_or_start", "overwrite"])
def test_folder_in_use_is_refused_again_and_again(how, earlier, take):
    """run.py closes its folder whatever happened; being refused must not take the lock away from its owner."""
    owner = take(earlier, load=True)
    before = snapshot(earlier)
    for _ in range(3):
        refused = RunFolder(earlier, SETTINGS)
        with pytest.raises(UsageError, match="in use"):
            refused.open(**{how: True})
        refused.close()
        assert snapshot(earlier) == before
    owner.close()
    take(earlier, load=True)


def test_closing_lets_the_next_one_in(earlier, take):
    for _ in range(3):
        take(earlier, load=True).close()


# ---- what goes wrong


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EBADF, errno.EOPNOTSUPP])
def test_file_system_without_locks_is_not_taken_for_another_process(number, path, take, monkeypatch):
    """As over NFS: there the run may go on unlocked or be refused with the reason, but nobody else is in the folder."""
    fcntl = pytest.importorskip("fcntl")

    def refuse(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", refuse)
    try:
        take(path)
    except (FileError, UsageError) as error:
        assert os.strerror(number) in str(error) and "another process" not in str(error)


def test_folder_that_cannot_be_made_is_named(tmp_path, take):
    (tmp_path / "file").write_text("")
    with pytest.raises(FileError) as caught:
        take(tmp_path / "file" / "a_run")
    assert str(tmp_path / "file" / "a_run") in str(caught.value) and "Not a directory" in str(caught.value)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", "3", '{"settings": []}'])
def test_damaged_config_is_named_and_left_alone(text, earlier, take):
    (earlier / "config.json").write_text(text)
    before = snapshot(earlier)
    with pytest.raises(FileError, match=r"config\.json"):
        take(earlier, load=True)
    assert snapshot(earlier) == before


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", "null", "3", '"text"', '{"epochs": 3}'])
def test_damaged_outcome_is_named(text, earlier):
    (earlier / "DONE").write_text(text)
    with pytest.raises(FileError, match="DONE"):
        _ = RunFolder(earlier, SETTINGS).outcome


def test_damaged_checkpoint_is_named_and_left_alone(earlier, take):
    (earlier / "checkpoint.npz").write_bytes(b"rubbish")
    before = snapshot(earlier)
    with pytest.raises(FileError, match=r"checkpoint\.npz"):
        take(earlier, load=True).checkpoint()
    assert snapshot(earlier) == before
