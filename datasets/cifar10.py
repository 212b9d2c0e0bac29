"""Loads CIFAR-10 from its binary version (https://www.cs.toronto.edu/~kriz/cifar.html), put in place by hand."""

import os
from pathlib import Path

import numpy as np

from datasets import DataError, Dataset
from datasets.places import own_folders, taken

TRAIN_FILES = tuple(f"data_batch_{number}.bin" for number in range(1, 6))
TEST_FILE = "test_batch.bin"
# The published archive unpacks to the first of these folders.
FOLDERS = ("cifar-10-batches-bin", "CIFAR10")
CLASSES = 10
PIXELS = 3 * 32 * 32
RECORDS = 10000


def load(data_dir=None, records=RECORDS):
    """Loads CIFAR-10 from the folder cifar-10-batches-bin or CIFAR10 of `data_dir`; nothing is downloaded.

    A file is a sequence of records: one byte with the label, then 3072 bytes of pixels, first all red ones row by
    row, then the green, then the blue ones. As no checksums are published, the published properties are checked:
    the sizes, the labels, and that each class makes up a tenth of the five training files together and of the
    test file.

    data_dir  folder that holds the folder (None: this package's)
    records   images in each file
    Returns   a Dataset: images uint8 (50000 and 10000, 3072), labels int64
    Raises    DataError for a file that is missing, cannot be read, or is not as it was published
    """
    root = Path(__file__).parent.resolve() if data_dir is None else Path(data_dir)
    folder = _complete_folder(root)
    parts = [_read(folder / name, records) for name in TRAIN_FILES]
    images = np.concatenate([part[:, 1:] for part in parts])
    labels = np.concatenate([part[:, 0] for part in parts]).astype(np.int64)
    test = _read(folder / TEST_FILE, records)
    test_images, test_labels = np.ascontiguousarray(test[:, 1:]), test[:, 0].astype(np.int64)
    _check_balance(f"the files {TRAIN_FILES[0]} to {TRAIN_FILES[-1]} in {folder} have", labels)
    _check_balance(f"{folder / TEST_FILE} has", test_labels)
    return Dataset("CIFAR10", images, labels, test_images, test_labels, CLASSES)


def _complete_folder(root):
    """Returns the folder under `root`, or `root` itself, that has all six files.

    Raises  DataError if none has
    """
    try:
        own = own_folders(root, (*FOLDERS, "cifar-10", "cifar-10-binary"))
        places, files = [*(root / name for name in FOLDERS), *own], (*TRAIN_FILES, TEST_FILE)
        missing = {folder: [name for name in files if not taken(folder / name)] for folder in places}
    except OSError as error:
        raise DataError(f"{error.filename or root} cannot be searched ({error.strerror or error})") from error
    folder = min(missing, key=lambda folder: len(missing[folder]))
    if not missing[folder]:
        return folder
    python = root / "cifar-10-batches-py"
    hint = (
        f"; {python} holds the version for Python, which is pickled and therefore not read" if python.is_dir() else ""
    )
    raise DataError(
        f"CIFAR-10 is not complete: put {', '.join(missing[folder])} into {folder}, from the binary version "
        f"https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz{hint}"
    )


def _read(path, records):
    """Returns the records (records, 3073) of one file, uint8, labels in range."""
    right = records * (1 + PIXELS)
    try:
        with open(path, "rb") as file:
            content = file.read(right + 1)
            size = os.fstat(file.fileno()).st_size
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror or error})") from error
    if len(content) != right:
        raise DataError(
            f"{path} has {size} bytes, where {right} are right: put the file of the binary version in its place"
        )
    rows = np.frombuffer(content, np.uint8).reshape(records, 1 + PIXELS)
    wrong = np.flatnonzero(rows[:, 0] >= CLASSES)
    if wrong.size:
        raise DataError(
            f"{path} has the label {rows[wrong[0], 0]} at index {wrong[0]}, where labels lie in 0 to {CLASSES - 1}: "
            "put the file of the binary version in its place"
        )
    return rows


def _check_balance(what, labels):
    counts = np.bincount(labels, minlength=CLASSES)
    right = len(labels) // CLASSES
    wrong = np.flatnonzero(counts != right)
    if wrong.size:
        raise DataError(
            f"{what} {counts[wrong[0]]} images of class {wrong[0]}, where {right} are right: a file is damaged, "
            "or stands in another's place"
        )
