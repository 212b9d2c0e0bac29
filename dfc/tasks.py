"""Makes the tasks of system 2 on the device of a run: image sets, and the student-teacher regression.

The data of student_teacher are uniform inputs and the outputs of a random network, or stored arrays.
"""

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

import datasets
from core.options import UsageError
from datasets import DataError, cifar10
from datasets.catalogue import BY_FLAG
from datasets.places import taken
from datasets.samples import Arrays, Images, published_table
from dfc.functions import ACTIVATIONS

# More layers than any teacher has: the next teacher's begin there.
LAYERS = 1000
# The published program does not seed the generator of its split, which then starts from this number.
SPLIT_SEED = 67280421310721 % 2**32
# The published program reads this folder in the current one.
ARRAYS_FOLDER = "data"
TEACHER_HIDDEN = (1000, 1000, 1000, 1000)
FILE_PREFIXES = {"train": "train", "test": "test", "validation": "val"}


# Compared by identity, like the arrays it holds.
@dataclass(frozen=True, eq=False)
class Task:
    """Holds what a run learns from: three sets with `batch(chosen)`, and the sizes of input and output.

    train, test  Images or Arrays
    validation   Images or Arrays; None without a validation set
    inputs       numbers in an input
    outputs      numbers in a target, or number of classes where targets are labels
    """

    train: Images | Arrays
    validation: Images | Arrays | None
    test: Images | Arrays
    inputs: int
    outputs: int


def load_task(settings, backend, teacher_weights=None, quiet=False, split=None, download=True):
    """Returns the Task that the settings ask for.

    settings         dfc.settings.records.TaskSettings
    backend          core.backend.Backend
    teacher_weights  function (layer 0..4, n_out, n_in) -> (n_out, n_in) float64 on the host: the teacher of
                     student_teacher
    quiet            whether there is no progress bar
    split            function (number of images) -> their order; the last ones are held out for validation; None: a
                     fixed order
    download         whether missing files of images are fetched
    Raises           UsageError if data do not fit the network or a seed cannot draw them; datasets.DataError
    """
    if BY_FLAG[settings.dataset].task == "regression":
        return _student_teacher(settings, backend, teacher_weights)
    return _images(settings, backend, quiet, split, download)


def _images(settings, backend, quiet, split, download):
    about, folder = BY_FLAG[settings.dataset], settings.data_dir or None
    further = {} if download else {"download": False}
    data = datasets.load(about.name, folder, quiet, **further) if about.source else cifar10.load(folder)
    inputs = data.train_images.shape[1]
    reconstruct = about.task == "autoencoder"
    outputs = inputs if reconstruct else data.classes
    _check_sizes(settings, inputs, outputs)
    table = published_table(about.mean, about.spread)

    def images(pixels, labels):
        return Images(pixels, labels, table, backend, "inputs" if reconstruct else "labels")

    whole = [slice(None)]
    count = len(data.train_labels)
    parts = whole if settings.no_val_set else train_validation_split(count, about.validation, split and split(count))
    train, *validation = ((data.train_images[part], data.train_labels[part]) for part in parts)
    if settings.train_samples > len(train[0]):
        most = f"[0, {len(train[0])}] for --dataset={settings.dataset}"
        raise UsageError(f"--train_samples={settings.train_samples}: must be in {most}")
    train = images(*(each[: settings.train_samples or None] for each in train))
    test = images(data.test_images, data.test_labels)
    return Task(train, images(*validation[0]) if validation else None, test, inputs, outputs)


def train_validation_split(count, validation, order=None):
    """Splits `count` training images at random, but in the same way in every run.

    The published program never seeds this draw. The images are permuted by r = 0..count-1; for i = 0..count-2:
    swap r[i] with r[i + z_i mod (count - i)], z_i the 32-bit words of MT19937 seeded with 67280421310721 mod
    2^32; the last `validation` of r are held out.

    order    another order r of the images (count,); None: the published one
    Returns  (training indices (count - validation,), validation indices (validation,)), int64, in the order of r
    Raises   ValueError unless 0 <= validation <= count
    """
    if not 0 <= validation <= count:
        raise ValueError(f"{validation} of {count} images cannot be held out for validation")
    if order is not None:
        return order[: count - validation], order[count - validation :]
    words = np.random.RandomState(SPLIT_SEED).randint(0, 2**32, size=count, dtype=np.uint32)
    # A list, because single entries of an array are slow to access.
    order = list(range(count))
    for i, step in enumerate((words % np.arange(count, 0, -1)).tolist()):
        order[i], order[i + step] = order[i + step], order[i]
    order = np.array(order, dtype=np.int64)
    return order[: count - validation], order[count - validation :]


def _student_teacher(settings, backend, teacher_weights):
    names = ("train", "test") if settings.no_val_set else ("train", "test", "validation")
    if settings.load_ST_dataset:
        sets = load_arrays(settings.data_dir or ARRAYS_FOLDER, names)
    else:
        if settings.random_seed >= 2**32:
            flag = f"--seeds={settings.seeds}" if settings.seeds else f"--random_seed={settings.random_seed}"
            raise UsageError(f"{flag}: must be below {2**32} for --dataset=student_teacher")
        counts = {"train": settings.num_train, "test": settings.num_test, "validation": settings.num_val}
        sets = _draw_sets(settings, counts, teacher_weights, backend.dtype)
    inputs, outputs = (array.shape[1] for array in sets["train"])
    _check_sizes(settings, inputs, outputs)
    arrays = {name: Arrays(*sets[name], backend) for name in names}
    return Task(arrays["train"], arrays.get("validation"), arrays["test"], inputs, outputs)


def _draw_sets(settings, counts, teacher_weights, dtype):
    """Returns the three sets of student_teacher, made by the large relu teacher or by a small one."""

    def teacher(hidden, number=0):
        layers = enumerate(pairwise((settings.sizes[0], *hidden, settings.sizes[-1])))
        return [teacher_weights(number * LAYERS + layer, n_out, n_in) for layer, (n_in, n_out) in layers]

    hidden = settings.teacher_size_hidden
    if hidden is None:
        return generate(counts, settings.random_seed, teacher(TEACHER_HIDDEN), dtype)
    if "three_teachers" in settings.defects:
        teachers = {name: teacher(hidden, number) for number, name in enumerate(("test", "train", "validation"))}
    else:
        teachers = dict.fromkeys(counts, teacher(hidden))
    return generate_small(counts, settings.data_random_seed, teachers, settings.teacher_linear, dtype)


def _check_sizes(settings, inputs, outputs):
    for end, size, right in (("input", settings.sizes[0], inputs), ("output", settings.sizes[-1], outputs)):
        if size != right:
            raise UsageError(f"--size_{end}={size}: must be {right} for --dataset={settings.dataset}")


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
        sets[name] = x, _teacher_output(weights, x, "relu")
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
        sets[name] = x, _teacher_output(weights, x, "linear" if linear else "tanh")
    return sets


def _teacher_output(weights, r, activation):
    """Returns phi(… phi(r W_1^T) …) W_L^T, for rows r and phi the named activation."""
    for w in weights[:-1]:
        r = ACTIVATIONS[activation].apply(r @ w.T)
    return r @ weights[-1].T


def load_arrays(folder, names=("train", "test", "validation")):
    """Loads sets that were stored as {train,test,val}_{x,y}.npy, with one row per sample.

    folder   folder of the files
    names    sets to load
    Returns  {name: (x (n, n_0), y (n, n_L))}, numbers as stored, the same n_0 and n_L in every set
    Raises   DataError for a file that is missing, cannot be read, has another shape, or holds numbers that are not
             finite
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
