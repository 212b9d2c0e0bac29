"""Files that are missing or damaged: one line that names the file, status 2, nothing trained and nothing changed."""

import gzip
import shutil

import numpy as np
import pytest

from core.files import read_arrays, write_arrays
from tests.faults.tiny_runs import complaint, contents, in_process, only, read_metrics, results, unpacked_files

NAME = "MNIST_BP_0.0OrthoReg_1Seed_0.0001LR_1L"


@pytest.fixture
def call(tmp_path, monkeypatch):
    return in_process(tmp_path, monkeypatch)


@pytest.fixture
def refused(call, tmp_path, capfd):
    """A function (options, words): asserts status 2, one line with the words, and everything as it was."""

    def refuse(options, words):
        before = contents(tmp_path)
        capfd.readouterr()
        assert call(*options) == 2
        line = complaint(capfd.readouterr().err)
        assert [word for word in words if str(word) not in line] == [], line
        assert contents(tmp_path) == before

    return refuse


@pytest.fixture
def unfinished(call, tmp_path):
    """The folder of a run that has done one of its two epochs."""
    assert call("--nb_epochs=1") == 0
    (tmp_path / "results" / NAME / "DONE").unlink()
    return tmp_path / "results" / NAME


# ---- the images


def test_missing_images_without_network_are_asked_for_by_name(refused, tmp_path, monkeypatch):
    """The made-up catalogue's address is a closed port of this machine."""
    monkeypatch.setenv("no_proxy", "*")
    (tmp_path / "empty" / "MNIST").mkdir(parents=True)
    words = [tmp_path / "empty" / "MNIST", "no connection", "train-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"]
    refused([f"--data_dir={tmp_path / 'empty'}"], words)
    assert not (tmp_path / "results").exists()


# What happened: (content of the file of training images, words of the complaint).
DAMAGE = {
    "truncated": (lambda good: gzip.compress(good)[:-200], "truncated"),
    "cut in the images": (lambda good: gzip.compress(good[:-5]), "truncated"),
    "swapped with the labels": (lambda good: gzip.compress(unpacked_files("MNIST")["train_labels"]), "labels"),
    "swapped with another set": (lambda good: gzip.compress(unpacked_files("KMNIST")["train_images"]), "of KMNIST"),
    "tampered": (lambda good: gzip.compress(good[:-1] + bytes([good[-1] ^ 1])), "SHA-256"),
    "empty": (lambda good: b"", "empty"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_wrong_images_never_train(damage, refused, tmp_path):
    change, word = DAMAGE[damage]
    path = tmp_path / "data" / "MNIST" / "train-images-idx3-ubyte.gz"
    path.write_bytes(change(unpacked_files("MNIST")["train_images"]))
    refused([], [path, word])
    assert not (tmp_path / "results").exists()


# ---- the checkpoint


def savez(path, arrays):
    with open(path, "wb") as file:
        np.savez(file, **arrays)


def test_truncated_checkpoint_is_named(unfinished, refused):
    path = unfinished / "checkpoint.npz"
    good = path.read_bytes()
    for length in [0, 1, 4, 30, 100, *np.linspace(200, len(good) - 1, 30).astype(int).tolist()]:
        path.write_bytes(good[:length])
        refused(["--load", "--nb_epochs=2"], [path, "damaged"])
    path.write_bytes(good)


def test_flipped_bytes_in_the_checkpoint_are_found_or_harmless(unfinished, call, tmp_path, capfd):
    """Never a wrong training: a changed byte is refused, or, where it means nothing (a date in
    the archive), harmless."""
    path, random, refusals = unfinished / "checkpoint.npz", np.random.default_rng(1), 0
    good, before = path.read_bytes(), contents(tmp_path)
    shutil.copytree(unfinished, tmp_path / "whole" / NAME)
    assert call("--load", "--nb_epochs=2", f"--results_dir={tmp_path / 'whole'}") == 0
    for place in random.integers(0, len(good), 60):
        bad = bytearray(good)
        bad[place] ^= int(random.integers(1, 256))
        path.write_bytes(bad)
        capfd.readouterr()
        status = call("--load", "--nb_epochs=2")
        if status == 0:
            assert results(unfinished) == results(tmp_path / "whole" / NAME), place
        else:
            line = complaint(capfd.readouterr().err)
            assert status == 2 and str(path) in line and "damaged" in line, place
            assert path.read_bytes() == bytes(bad)
            refusals += 1
        for file in unfinished.iterdir():
            file.unlink()
        for file, content in before.items():
            if file.parent == unfinished:
                file.write_bytes(content)
    assert refusals >= 20


def test_absurd_length_in_an_arrays_header_is_refused_in_one_line(unfinished, refused):
    """numpy's own complaint about it has three lines."""
    path = unfinished / "checkpoint.npz"
    big = {"p0": np.arange(20000.0)}
    savez(path, big)
    good = path.read_bytes()
    place = good.index(b"\x93NUMPY\x01\x00") + 8
    path.write_bytes(good[:place] + b"\x00\xf0" + good[place + 2 :])
    refused(["--load", "--nb_epochs=2"], [path, "damaged"])


@pytest.mark.parametrize("options", ["--nb_layers=3", "--nb_layers=2", "--dataset=FMNIST"])
def test_checkpoint_of_another_network_is_refused(options, unfinished, call, refused, tmp_path):
    """Of one with more layers or of another width; copied here by mistake."""
    assert call("--nb_epochs=1", options, f"--results_dir={tmp_path / 'other'}") == 0
    shutil.copy(only(tmp_path / "other") / "checkpoint.npz", unfinished / "checkpoint.npz")
    refused(["--load", "--nb_epochs=2"], [unfinished / "checkpoint.npz"])


def test_checkpoint_of_a_shallower_network_is_refused(call, refused, tmp_path):
    assert call("--nb_epochs=1") == 0 and call("--nb_epochs=1", "--nb_layers=2") == 0
    deep = tmp_path / "results" / NAME.replace("_1L", "_2L")
    shutil.copy(tmp_path / "results" / NAME / "checkpoint.npz", deep / "checkpoint.npz")
    (deep / "DONE").unlink()
    refused(["--load", "--nb_epochs=2", "--nb_layers=2"], [deep / "checkpoint.npz"])


def test_checkpoint_without_one_of_its_arrays_is_refused(unfinished, refused):
    """Whether its checksum tells (numpy's own savez knows of none) or is right all the same."""
    path = unfinished / "checkpoint.npz"
    arrays = read_arrays(path)
    for name in arrays:
        savez(path, {other: array for other, array in arrays.items() if other != name})
        refused(["--load", "--nb_epochs=2"], [path])
    for name in [name for name in arrays if not name.startswith("series_")]:
        write_arrays(path, {other: array for other, array in arrays.items() if other != name})
        refused(["--load", "--nb_epochs=2"], [path])
    for write in (savez, write_arrays):
        write(path, {"something": np.zeros(3)})
        refused(["--load", "--nb_epochs=2"], [path])


class Trap:
    """Unpickled, it writes the file that it was made with."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return (open, (self.path, "w"))


def test_pickles_in_a_checkpoint_are_never_opened(unfinished, refused, tmp_path):
    """A checkpoint from elsewhere must not be able to run anything."""
    path = unfinished / "checkpoint.npz"
    savez(path, {**read_arrays(path), "epoch": np.array([Trap(tmp_path / "sprung")], dtype=object)})
    refused(["--load", "--nb_epochs=2"], [path, "damaged"])
    assert not (tmp_path / "sprung").exists()


def test_damaged_checkpoint_can_be_left_behind(unfinished, call, tmp_path):
    (unfinished / "checkpoint.npz").write_bytes(b"rubbish")
    assert call("--nb_epochs=1", "--overwrite") == 0
    assert len(read_metrics(unfinished)["epoch"]) == 2


# ---- config.json and DONE

BROKEN_JSON = ["", "{", "[]", "{}", "null", "3", '"text"', '{"settings": 3}', "\x00\x01"]
BROKEN_JSON += ['{"outcome": "unheard of"}', '{"outcome": "finished"}', '{"outcome": "singular", "epoch": "one"}']
BROKEN_JSON += [f'{{"outcome": "diverged", "epoch": 1, "{end}}}' for end in ('test_acc": "much"', 'path": "here"')]


@pytest.mark.parametrize("text", BROKEN_JSON)
@pytest.mark.parametrize("name", ["config.json", "DONE"])
def test_damaged_record_is_named_and_left_alone(name, text, unfinished, refused):
    (unfinished / name).write_text(text)
    refused(["--load", "--nb_epochs=2"], [unfinished / name])


def test_truncated_config_is_named(unfinished, refused):
    path = unfinished / "config.json"
    good = path.read_bytes()
    for length in np.linspace(0, len(good) - 2, 20).astype(int):
        path.write_bytes(good[:length])
        refused(["--load", "--nb_epochs=2"], [path])


@pytest.mark.parametrize("text", BROKEN_JSON)
def test_damaged_outcome_is_no_licence_to_start_again(text, unfinished, refused):
    (unfinished / "DONE").write_text(text)
    refused(["--nb_epochs=2"], [unfinished])
