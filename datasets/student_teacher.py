"""Draws the student-teacher regression of system 2: uniform inputs, and outputs of a random network."""

from pathlib import Path

import numpy as np

from datasets import DataError
from datasets.places import taken

TEACHER_HIDDEN = (1000, 1000, 1000, 1000)
FILE_PREFIXES = {"train": "train", "test": "test", "validation": "val"}


def generate(counts, seed, teacher_weights, dtype):
    """Draws the inputs of the three sets and computes the teacher's targets for them.

    Inputs are uniform in [-1, 1), from MT19937 seeded once with `seed`, in the order train, test, validation. The
    teacher is r_0 = x, r_i = max(0, r_{i-1} W_i^T) in its hidden layers, y = r_{L-1} W_L^T, without biases; the
    published one has TEACHER_HIDDEN hidden layers and W_i ~ N(0, 18 / (n_i + n_{i-1})).

    counts           {"train": n, "test": n, "validation": n}
    seed             whole number in [0, 2^32 - 1]
    teacher_weights  list of (n_i, n_{i-1}) arrays, drawn by the caller
    dtype            float type in which the teacher computes; inputs are drawn in float64 and rounded to it
    Returns          {"train": (x (n, n_0), y (n, n_L)), "test": ..., "validation": ...}
    """
    random = np.random.RandomState(seed)
    weights = [np.asarray(w, dtype=dtype) for w in teacher_weights]
    sets = {}
    for name in ("train", "test", "validation"):
        x = random.uniform(-1, 1, (counts[name], weights[0].shape[1])).astype(dtype)
        sets[name] = x, _teach(weights, x)
    return sets


def generate_small(counts, data_seed, teachers, linear, dtype):
    """Draws the three sets as the published Strong-DFC program does (docs/published/strong_dfc.md 2).

    The inputs of test, train and validation set, in this order, are uniform in [-1, 1), each from MT19937 with
    its own seed, the next whole number below 100 from MT19937 seeded with `data_seed`. A teacher is y = phi(…
    phi(x W_1^T) …) W_L^T with tanh or linear phi, without biases.

    counts     {"train": n, "test": n, "validation": n}
    data_seed  whole number in [0, 2^32 - 1]
    teachers   {"train": weights, …}: a list of (n_i, n_{i-1}) arrays for each set, usually the same
    linear     whether phi is linear
    dtype      float type in which the teacher computes; inputs are drawn in float64 and rounded to it
    Returns    as `generate`
    """
    seeds, sets = np.random.RandomState(data_seed), {}
    for name in ("test", "train", "validation"):
        weights = [np.asarray(w, dtype=dtype) for w in teachers[name]]
        random = np.random.RandomState(seeds.randint(100))
        x = random.uniform(-1, 1, (counts[name], weights[0].shape[1])).astype(dtype)
        sets[name] = x, _teach_small(weights, x, linear)
    return sets


def _teach_small(weights, r, linear):
    for w in weights[:-1]:
        r = r @ w.T
        r = r if linear else np.tanh(r)
    return r @ weights[-1].T


def _teach(weights, r):
    for w in weights[:-1]:
        r = r @ w.T
        np.maximum(r, 0, out=r)
    return r @ weights[-1].T


def load_arrays(folder, names=("train", "test", "validation")):
    """Loads sets that were stored as {train,test,val}_{x,y}.npy, with one row per sample.

    folder   folder of the files
    names    sets to load
    Returns  {name: (x (n, n_0), y (n, n_L))}, numbers as stored, the same n_0 and n_L in every set
    Raises   DataError for a file that is missing, cannot be read, has another shape, or holds numbers that are not finite
    """
    paths = {name: [Path(folder) / f"{FILE_PREFIXES[name]}_{part}.npy" for part in "xy"] for name in names}
    try:
        missing = [path.name for pair in paths.values() for path in pair if not taken(path)]
    except OSError as error:
        raise DataError(f"{error.filename or folder} cannot be searched ({error.strerror or error})") from error
    if missing:
        raise DataError(f"the student-teacher arrays are not complete: put {', '.join(missing)} into {folder}")
    sets = {name: tuple(_read(path) for path in pair) for name, pair in paths.items()}
    first = names[0]
    for name, (x, y) in sets.items():
        x_path, y_path = paths[name]
        if len(x) != len(y):
            raise DataError(f"{y_path} has {len(y)} rows, where {x_path.name} has {len(x)}")
        for path, array, model, other in zip(paths[name], (x, y), sets[first], paths[first], strict=True):
            if array.shape[1] != model.shape[1]:
                raise DataError(f"{path} has {array.shape[1]} columns, where {other.name} has {model.shape[1]}")
    return sets


def _read(path):
    """Returns the numbers (rows, columns) of one file, at least one of each."""
    try:
        with open(path, "rb") as file:
            array = np.lib.format.read_array(file, allow_pickle=False)
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror or error})") from error
    except Exception as error:
        # Numpy raises different errors, depending on where the file is damaged.
        raise DataError(f"{path} is not a valid npy file of numbers ({' '.join(str(error).split())})") from error
    if array.ndim != 2 or not array.size:
        raise DataError(f"{path} has the shape {array.shape}, where (samples, numbers in a sample) is needed")
    if array.dtype.kind not in "fiu" or not np.isfinite(array).all():
        raise DataError(f"{path} holds values that are not finite numbers")
    return array
