"""Data folders as other programs lay them: torchvision, Kaggle, plain copies; nobody has to move files."""

import errno
import gzip
import os
from dataclasses import replace

import numpy as np
import pytest

import datasets
from datasets import DataError, cifar10
from dfc.tasks import load_arrays
from tests.core.test_dfc_data import RECORDS, forge
from tests.faults import tiny_runs

ROLES = ("train_images", "train_labels", "test_images", "test_labels")
SPELLED = {
    "packed": lambda name: f"{name}.gz",
    "unpacked": lambda name: name,
    "Kaggle": lambda name: name.replace("-idx", ".idx"),
    "Kaggle, packed": lambda name: name.replace("-idx", ".idx") + ".gz",
    "Kaggle, in folders of their names": lambda name: f"{name}/{name}",
    "Kaggle, in folders, with a dot": lambda name: f"{name}/{name.replace('-idx', '.idx')}",
}
# Set: folders under --data_dir.
FOLDERS = {
    "MNIST": ("MNIST", "MNIST/raw", "mnist", "mnist-dataset", "MNIST_data", "MNIST/MNIST/raw", "", "raw"),
    "FMNIST": (
        "FMNIST",
        "FashionMNIST/raw",
        "fashion-mnist",
        "fashion_mnist",
        "Fashion-MNIST/raw",
        "fashionmnist",
        "fashion",
        "",
    ),
    "KMNIST": ("KMNIST", "KMNIST/raw", "kmnist", "kuzushiji-mnist", ""),
}
PLACES = [
    pytest.param(name, place, id=f"{name} in {place or '.'}") for name, places in FOLDERS.items() for place in places
]


def names_of(name):
    return {role: getattr(datasets.CATALOGUE[name], role).name for role in ROLES}


def put(folder, name, spelled="packed", content=None):
    """Lay the four made-up files of a set into a folder."""
    for role, file in names_of(name).items():
        path = folder / SPELLED[spelled](file)
        path.parent.mkdir(parents=True, exist_ok=True)
        data = tiny_runs.unpacked_files(content or name)[role]
        path.write_bytes(gzip.compress(data, 1) if path.suffix == ".gz" else data)


def load(name, folder):
    return datasets.load(name, folder, quiet=True, catalogue=catalogue())


def catalogue():
    """The made-up sets with the names that other programs give the published ones."""
    return {
        name: replace(source, names=datasets.CATALOGUE[name].names) for name, source in tiny_runs.catalogue().items()
    }


def right(data, name):
    images = np.frombuffer(tiny_runs.unpacked_files(name)["train_images"][16:], np.uint8)
    return np.array_equal(data.train_images.ravel(), images)


@pytest.mark.parametrize("name, place", PLACES)
def test_a_set_is_found_where_other_programs_put_it(name, place, tmp_path):
    put(tmp_path / place, name)
    before = tiny_runs.contents(tmp_path)
    assert right(load(name, tmp_path), name)
    assert tiny_runs.contents(tmp_path) == before


@pytest.mark.parametrize("spelled", SPELLED)
@pytest.mark.parametrize("place", ["MNIST/raw", "mnist", ""])
def test_files_are_found_under_their_usual_spellings(spelled, place, tmp_path):
    put(tmp_path / place, "MNIST", spelled)
    assert right(load("MNIST", tmp_path), "MNIST")


@pytest.mark.parametrize("place", ["MNIST", "mnist/raw", "Fashion-MNIST"])
def test_the_folder_of_the_set_itself_may_be_given(place, tmp_path):
    name = "FMNIST" if "Fashion" in place else "MNIST"
    put(tmp_path / place, name)
    assert right(load(name, tmp_path / place.split("/")[0]), name)


def test_sets_side_by_side_as_torchvision_lays_them(tmp_path):
    for name, folder in {"MNIST": "MNIST", "FMNIST": "FashionMNIST", "KMNIST": "KMNIST"}.items():
        put(tmp_path / folder / "raw", name, "packed")
        put(tmp_path / folder / "raw", name, "unpacked")
    for name in FOLDERS:
        assert right(load(name, tmp_path), name)


def test_files_of_another_set_that_lie_about_are_passed_over(tmp_path):
    """All sets name their files alike, so a folder without a set's name proves nothing."""
    put(tmp_path, "KMNIST")
    with pytest.raises(DataError, match="could not be downloaded"):
        load("MNIST", tmp_path)
    put(tmp_path / "mnist", "MNIST")
    assert right(load("MNIST", tmp_path), "MNIST") and right(load("KMNIST", tmp_path), "KMNIST")


def test_a_wrong_file_in_a_folder_of_the_sets_name_is_refused(tmp_path):
    put(tmp_path / "mnist/raw", "MNIST", content="KMNIST")
    with pytest.raises(DataError, match=r"mnist/raw/train-images.*of KMNIST"):
        load("MNIST", tmp_path)


def test_a_folder_that_must_not_be_searched_is_one_sentence_and_nothing_is_downloaded(tmp_path, monkeypatch):
    put(tmp_path / "MNIST", "MNIST")
    lstat, stat = os.lstat, os.stat

    def refusing(look):
        def refuse(path, *arguments, **words):
            if not isinstance(path, int) and "MNIST/" in os.fspath(path):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), os.fspath(path))
            return look(path, *arguments, **words)

        return refuse

    monkeypatch.setattr(os, "lstat", refusing(lstat))
    monkeypatch.setattr(os, "stat", refusing(stat))
    monkeypatch.setattr(datasets, "fetch", lambda *arguments: pytest.fail("a download began"))
    with pytest.raises(DataError, match=r"cannot be searched .*ermission denied"):
        load("MNIST", tmp_path)
    with pytest.raises(DataError, match=r"cannot be searched .*ermission denied"):
        load_arrays(tmp_path / "MNIST/")


@pytest.mark.parametrize("place", [
    "cifar-10-batches-bin", "CIFAR10", "cifar10", "CIFAR-10", "CIFAR10/cifar-10-batches-bin",
    "cifar-10-binary/cifar-10-batches-bin",
])  # fmt: skip
def test_cifar_is_found_where_other_programs_put_it(place, tmp_path):
    forge(tmp_path / place)
    assert cifar10.load(tmp_path, RECORDS).test_images.shape == (RECORDS, 3072)


def test_the_folder_of_cifar_itself_may_be_given(tmp_path):
    forge(tmp_path / "cifar-10-batches-bin")
    assert len(cifar10.load(tmp_path / "cifar-10-batches-bin", RECORDS).train_labels) == 5 * RECORDS
