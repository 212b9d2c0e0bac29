"""Loads the tasks of system 2: data from datasets/, on the device of a run."""

from dataclasses import dataclass
from itertools import pairwise

import datasets
from core.options import UsageError
from datasets import cifar10, student_teacher
from datasets.catalogue import BY_FLAG
from datasets.samples import Arrays, Images, published_table
from datasets.splits import train_validation_split

# More layers than any teacher has: the next teacher's begin there.
LAYERS = 1000
# The published program reads this folder in the current one.
ARRAYS_FOLDER = "data"


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
    teacher_weights  function (layer 0..4, n_out, n_in) -> (n_out, n_in) float64 on the host: the teacher of student_teacher
    quiet            whether there is no progress bar
    split            function (number of images) -> their order; the last ones are held out for validation; None: a fixed order
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
        raise UsageError(
            f"--train_samples={settings.train_samples}: must be in [0, {len(train[0])}] for --dataset={settings.dataset}"
        )
    train = images(*(each[: settings.train_samples or None] for each in train))
    test = images(data.test_images, data.test_labels)
    return Task(train, images(*validation[0]) if validation else None, test, inputs, outputs)


def _student_teacher(settings, backend, teacher_weights):
    names = ("train", "test") if settings.no_val_set else ("train", "test", "validation")
    if settings.load_ST_dataset:
        sets = student_teacher.load_arrays(settings.data_dir or ARRAYS_FOLDER, names)
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
        return student_teacher.generate(counts, settings.random_seed, teacher(student_teacher.TEACHER_HIDDEN), dtype)
    if "three_teachers" in settings.defects:
        teachers = {name: teacher(hidden, number) for number, name in enumerate(("test", "train", "validation"))}
    else:
        teachers = dict.fromkeys(counts, teacher(hidden))
    return student_teacher.generate_small(counts, settings.data_random_seed, teachers, settings.teacher_linear, dtype)


def _check_sizes(settings, inputs, outputs):
    for end, size, right in (("input", settings.sizes[0], inputs), ("output", settings.sizes[-1], outputs)):
        if size != right:
            raise UsageError(f"--size_{end}={size}: must be {right} for --dataset={settings.dataset}")
