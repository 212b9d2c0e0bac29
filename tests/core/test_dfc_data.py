"""Data of the Deep Feedback Control experiments: recorded splits and inputs, a teacher by hand,
forged CIFAR-10 files."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import datasets
import dfc.tasks
from core.backend import Backend
from core.options import UsageError
from datasets import DataError, cifar10
from datasets.samples import published_table
from dfc.tasks import generate, load_arrays, load_task, train_validation_split
from tests.reference.published_stream import PublishedStream

REPLAY = Path(__file__).parents[1] / "reference" / "dfc" / "replay.npz"
FLOAT64 = Backend(np, np.dtype("float64"))
FLOAT32 = Backend(np, np.dtype("float32"))
RECORDS = 20


@pytest.fixture(scope="module")
def recorded():
    with np.load(REPLAY) as file:
        return dict(file)


def refused(error, words, function, *args):
    """Checks that the call raises this error, in one line that holds the words."""
    with pytest.raises(error) as caught:
        function(*args)
    assert "\n" not in str(caught.value)
    for word in words:
        assert str(word) in str(caught.value)


# ---- the fixed split


def test_the_published_split_of_mnist(recorded):
    train, validation = train_validation_split(60000, 5000)
    assert train.shape == (55000,) and validation.shape == (5000,) and train.dtype == validation.dtype == np.int64
    assert train[:4].tolist() == [34710, 28543, 13689, 586]
    assert np.array_equal(train[:20], recorded["mnist_split__train_first20"])
    assert np.array_equal(validation[:20], recorded["mnist_split__val_first20"])
    assert np.array_equal(np.sort(np.concatenate([train, validation])), np.arange(60000))


@pytest.mark.parametrize("count, validation", [(50000, 5000), (7, 3), (1, 1), (1, 0), (0, 0)])
def test_every_sample_is_in_one_part(count, validation):
    parts = train_validation_split(count, validation)
    assert [len(part) for part in parts] == [count - validation, validation]
    assert sorted(np.concatenate(parts)) == list(range(count))


@pytest.mark.parametrize("validation", [-1, 8])
def test_impossible_split(validation):
    with pytest.raises(ValueError, match=f"{validation} of 7"):
        train_validation_split(7, validation)


# ---- images


def settings(dataset, sizes, **others):
    common = {
        "no_val_set": False,
        "data_dir": "",
        "load_ST_dataset": False,
        "random_seed": 1,
        "seeds": "",
        "train_samples": 0,
    }
    common["teacher_size_hidden"] = None
    counts = {"num_train": 6, "num_test": 4, "num_val": 5}
    return SimpleNamespace(**{"dataset": dataset, "sizes": sizes, **common, **counts, **others})


NORMAL = {"mnist": (0.1307, 0.3081), "mnist_autoencoder": (0.1307, 0.3081), "fashion_mnist": (0, 1)}


@pytest.mark.parametrize(
    "name, source", [("mnist", "MNIST"), ("fashion_mnist", "FMNIST"), ("mnist_autoencoder", "MNIST")]
)
def test_image_tasks(name, source, recorded):
    sizes = (784, 5, 784 if name == "mnist_autoencoder" else 10)
    task = load_task(settings(name, sizes), FLOAT64)
    data, table = datasets.load(source), published_table(*NORMAL[name]).astype(np.float64)
    assert (task.inputs, task.outputs) == (sizes[0], sizes[-1])
    assert [len(part) for part in (task.train, task.validation, task.test)] == [55000, 5000, 10000]
    for part, at in ((task.train, "train"), (task.validation, "val")):
        published = recorded[f"mnist_split__{at}_first20"]
        inputs, targets = part.batch(slice(0, 20))
        assert np.array_equal(inputs, table[data.train_images[published]])
        assert np.array_equal(targets, inputs if name == "mnist_autoencoder" else data.train_labels[published])
    inputs, targets = task.test.batch(slice(9990, None))
    assert np.array_equal(inputs, table[data.test_images[9990:]])
    assert np.array_equal(targets, inputs if name == "mnist_autoencoder" else data.test_labels[9990:])


def test_a_number_of_training_samples_leaves_the_first_ones_and_the_other_sets():
    whole, some = (load_task(settings("mnist", (784, 10), train_samples=count), FLOAT64) for count in (0, 130))
    assert [len(part) for part in (some.train, some.validation, some.test)] == [130, 5000, 10000]
    for found, expected in zip(some.train.batch(slice(0, 130)), whole.train.batch(slice(0, 130)), strict=True):
        assert np.array_equal(found, expected)
    few = load_task(settings("mnist", (784, 10), train_samples=60000, no_val_set=True), FLOAT64)
    assert len(few.train) == 60000
    wanted = settings("mnist", (784, 10), train_samples=55001)
    refused(UsageError, ["--train_samples=55001", "[0, 55000]", "--dataset=mnist"], load_task, wanted, FLOAT64)


def test_without_validation_set_all_images_are_learned_from_in_their_order():
    task = load_task(settings("mnist", (784, 10), no_val_set=True), FLOAT32)
    data = datasets.load("MNIST")
    assert task.validation is None and len(task.train) == 60000
    inputs, labels = task.train.batch(slice(0, 30))
    assert (
        np.array_equal(inputs, published_table(0.1307, 0.3081)[data.train_images[:30]]) and inputs.dtype == np.float32
    )
    assert np.array_equal(labels, data.train_labels[:30])


@pytest.mark.parametrize(
    "name, sizes, words",
    [
        ("mnist", (10, 5, 10), ["--size_input=10", "784", "mnist"]),
        ("fashion_mnist", (784, 5, 2), ["--size_output=2", "10"]),
        ("mnist_autoencoder", (784, 5, 10), ["--size_output=10", "784", "mnist_autoencoder"]),
    ],
)
def test_network_that_does_not_fit_the_images(name, sizes, words, monkeypatch):
    blank = datasets.Dataset("", *(np.zeros(shape, np.uint8) for shape in ((1, 784), (1,)) * 2))
    monkeypatch.setattr(dfc.tasks.datasets, "load", lambda *_: blank)
    refused(UsageError, words, load_task, settings(name, sizes), FLOAT64)


def test_the_folder_of_the_images_is_the_one_asked_for(tmp_path):
    # A wrong file there stops before anything would be downloaded.
    (tmp_path / "MNIST").mkdir()
    (tmp_path / "MNIST" / "train-images-idx3-ubyte").write_bytes(b"")
    refused(
        DataError,
        [tmp_path / "MNIST", "empty"],
        load_task,
        settings("mnist", (784, 10), data_dir=str(tmp_path)),
        FLOAT64,
    )


# ---- CIFAR-10


def forge(folder, seed=0):
    """Writes the six files with RECORDS records each, in the published layout; returns {name:
    uint8 (RECORDS, 3073)}."""
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    files = {}
    # They are as published: uneven in one file, even in five.
    labels = rng.permutation(np.arange(5 * RECORDS) % 10).reshape(
        5, RECORDS
    )
    for name, part in zip((*cifar10.TRAIN_FILES, "test_batch.bin"), (*labels, np.arange(RECORDS) % 10), strict=True):
        pixels = rng.integers(0, 256, (RECORDS, 3072))
        files[name] = np.column_stack([part, pixels]).astype(np.uint8)
        (folder / name).write_bytes(files[name].tobytes())
    return files


@pytest.mark.parametrize("folder", ["cifar-10-batches-bin", "CIFAR10"])
def test_cifar10_as_published(folder, tmp_path):
    # An empty folder of the other name changes nothing.
    (tmp_path / "cifar-10-batches-bin").mkdir()
    files = forge(tmp_path / folder)
    data = cifar10.load(tmp_path, RECORDS)
    train = np.concatenate([files[f"data_batch_{number}.bin"] for number in (1, 2, 3, 4, 5)])
    for rows, images, labels in (
        (train, data.train_images, data.train_labels),
        (files["test_batch.bin"], data.test_images, data.test_labels),
    ):
        assert images.dtype == np.uint8 and images.flags.c_contiguous and np.array_equal(images, rows[:, 1:])
        assert labels.dtype == np.int64 and np.array_equal(labels, rows[:, 0])
    assert data.classes == 10


def test_cifar10_task(tmp_path, monkeypatch):
    rows = np.tile(np.arange(10), 501)
    pixels = np.arange(5010 * 3072, dtype=np.uint32).astype(np.uint8).reshape(5010, 3072)
    data = datasets.Dataset("CIFAR10", pixels, rows, pixels[:10], rows[:10])
    monkeypatch.setattr(dfc.tasks.cifar10, "load", lambda folder: data if folder == "here" else None)
    task = load_task(settings("cifar10", (3072, 10), data_dir="here"), FLOAT64)
    assert (task.inputs, task.outputs, len(task.train), len(task.validation)) == (3072, 10, 10, 5000)
    chosen = train_validation_split(5010, 5000)[1][:3]
    inputs, labels = task.validation.batch(slice(0, 3))
    assert np.abs(inputs - (pixels[chosen] / 127.5 - 1)).max() < 1e-6
    assert np.array_equal(labels, rows[chosen])


WRONG_CIFAR10 = {
    "short": ("data_batch_2.bin", lambda rows: rows.tobytes()[:-1], [RECORDS * 3073 - 1, RECORDS * 3073]),
    "long": ("test_batch.bin", lambda rows: rows.tobytes() + b"0", [RECORDS * 3073 + 1, RECORDS * 3073]),
    "empty": ("data_batch_5.bin", lambda rows: b"", ["0 bytes"]),
    "label 10": (
        "data_batch_1.bin",
        lambda rows: np.insert(rows[1:], 3, 10, 0).tobytes(),
        ["label 10 at index 3", "0 to 9"],
    ),
    "one label changed": (
        "data_batch_4.bin",
        lambda rows: bytes([(rows[0, 0] + 1) % 10]) + rows.tobytes()[1:],
        ["class", "10"],
    ),
    "test labels uneven": (
        "test_batch.bin",
        lambda rows: bytes(1) * 3073 + rows.tobytes()[:-3073],
        ["class 0", "3 images", "2"],
    ),
}


@pytest.mark.parametrize("fault", WRONG_CIFAR10)
def test_wrong_cifar10_file(fault, tmp_path):
    name, change, words = WRONG_CIFAR10[fault]
    folder = tmp_path / "CIFAR10"
    files = forge(folder)
    (folder / name).write_bytes(change(files[name]))
    named = [folder] if fault == "one label changed" else [folder / name]
    refused(DataError, [*named, *words], cifar10.load, tmp_path, RECORDS)


def test_one_cifar10_file_in_anothers_place(tmp_path):
    files = forge(tmp_path / "CIFAR10")
    (tmp_path / "CIFAR10" / "data_batch_3.bin").write_bytes(files["data_batch_1.bin"].tobytes())
    refused(DataError, ["data_batch_1.bin to data_batch_5.bin", "another's place"], cifar10.load, tmp_path, RECORDS)


def test_full_size_is_asked_for_by_default(tmp_path):
    forge(tmp_path / "CIFAR10")
    refused(DataError, ["data_batch_1.bin", "61460 bytes", "30730000"], cifar10.load, tmp_path)


def test_missing_cifar10(tmp_path):
    everything = [*cifar10.TRAIN_FILES, "test_batch.bin", tmp_path / "cifar-10-batches-bin", "cifar-10-binary.tar.gz"]
    refused(DataError, everything, load_task, settings("cifar10", (3072, 10), data_dir=str(tmp_path)), FLOAT64)
    (tmp_path / "cifar-10-batches-py").mkdir()
    refused(DataError, [*everything, "cifar-10-batches-py", "pickled"], cifar10.load, tmp_path)
    forge(tmp_path / "CIFAR10")
    (tmp_path / "CIFAR10" / "data_batch_4.bin").unlink()
    refused(DataError, [f"put data_batch_4.bin into {tmp_path / 'CIFAR10'}"], cifar10.load, tmp_path, RECORDS)
    (tmp_path / "CIFAR10" / "data_batch_4.bin").mkdir()
    refused(DataError, ["data_batch_4.bin cannot be read"], cifar10.load, tmp_path, RECORDS)


# ---- student and teacher

TEACHER = [np.array([[1.0, -1.0], [0.5, 2.0], [-1.0, 0.0]]), np.array([[2.0, -3.0, 1.0]])]
RUNS = ("ssa", "ss", "cont", "dfa", "bp")
PARTS = {"train": "train", "test": "test", "validation": "val"}


def flag_values(recorded, case):
    """The whole numbers among the flags of a recorded run."""
    flags = dict(flag[2:].split("=") for flag in json.loads(str(recorded[f"{case}__meta"]))["flags"] if "=" in flag)
    return {name: int(value) for name, value in flags.items() if value.isdigit()}


@pytest.mark.parametrize("case", RUNS)
def test_inputs_are_those_of_the_recorded_runs(case, recorded):
    flags = flag_values(recorded, case)
    counts = {"train": flags["num_train"], "test": flags["num_test"], "validation": flags["num_val"]}
    sets = generate(counts, flags["random_seed"], [np.ones((2, flags["size_input"]))], np.float64)
    for name, recorded_as in PARTS.items():
        assert np.array_equal(sets[name][0], recorded[f"{case}__{recorded_as}_x"]), name


@pytest.mark.parametrize("case", RUNS)
def test_targets_are_those_of_the_recorded_runs(case, recorded):
    flags = flag_values(recorded, case)
    stream = PublishedStream(flags["random_seed"])

    def draw(layer, n_out, n_in):
        weights = 3 * np.sqrt(2 / (n_in + n_out)) * stream.standard_normal((n_out, n_in))
        # The published program draws a reverse matrix that it never uses.
        stream.standard_normal((n_in, n_out))
        return weights

    task = load_task(
        settings("student_teacher", (flags["size_input"], 5, flags["size_output"]), **flags), FLOAT64, draw
    )
    for part, recorded_as in ((task.train, "train"), (task.test, "test"), (task.validation, "val")):
        x, y = part.batch(slice(None))
        expected = recorded[f"{case}__{recorded_as}_y"]
        assert np.array_equal(x, recorded[f"{case}__{recorded_as}_x"])
        assert y.shape == expected.shape and np.abs(y - expected).max() < 1e-12 * np.abs(expected).max()


def test_a_seed_that_cannot_draw_the_inputs():
    words = ["--random_seed=4294967296", "student_teacher"]
    refused(UsageError, words, load_task, settings("student_teacher", (2, 1), random_seed=2**32), FLOAT64)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_teacher_by_hand(dtype):
    sets = generate({"train": 9, "test": 1, "validation": 30}, 5, TEACHER, dtype)
    for (x, y), count in zip((sets["train"], sets["test"], sets["validation"]), (9, 1, 30), strict=True):
        assert x.dtype == y.dtype == dtype and x.shape == (count, 2) and y.shape == (count, 1)
        for (a, b), (found,) in zip(x.tolist(), y.tolist(), strict=True):
            expected = 2 * max(0, a - b) - 3 * max(0, 0.5 * a + 2 * b) + max(0, -a)
            assert found == pytest.approx(expected, abs=20 * float(np.finfo(dtype).eps))


@pytest.mark.parametrize("backend", [FLOAT64, FLOAT32])
@pytest.mark.parametrize("no_val_set", [False, True])
def test_student_teacher_task(backend, no_val_set, monkeypatch):
    monkeypatch.setattr(dfc.tasks, "TEACHER_HIDDEN", (3,))
    shapes = {}

    def draw(layer, n_out, n_in):
        shapes[layer] = n_out, n_in
        return TEACHER[layer]

    task = load_task(settings("student_teacher", (2, 7, 7, 1), no_val_set=no_val_set), backend, draw)
    assert shapes == {0: (3, 2), 1: (1, 3)} and (task.inputs, task.outputs) == (2, 1)
    parts = {"train": task.train, "test": task.test, "validation": task.validation}
    if no_val_set:
        assert parts.pop("validation") is None
    expected = generate({"train": 6, "test": 4, "validation": 5}, 1, TEACHER, backend.dtype)
    for name, part in parts.items():
        for found, array in zip(part.batch(slice(None)), expected[name], strict=True):
            assert found.dtype == backend.dtype and np.array_equal(found, array)


def test_the_teacher_of_the_experiments_has_four_layers_of_a_thousand():
    shapes = []

    def draw(layer, n_out, n_in):
        shapes.append((layer, n_out, n_in))
        return np.ones((n_out, n_in))

    load_task(settings("student_teacher", (15, 10, 10, 5)), FLOAT64, draw)
    assert shapes == [(0, 1000, 15), (1, 1000, 1000), (2, 1000, 1000), (3, 1000, 1000), (4, 5, 1000)]


def store(folder, inputs=10, outputs=2):
    """Writes the six arrays of a stored data set; returns {name: (x, y)}."""
    rng = np.random.default_rng(8)
    sets = {name: (rng.random((n, inputs)), rng.random((n, outputs))) for name, n in zip(PARTS, (6, 4, 5), strict=True)}
    for name, pair in sets.items():
        for part, array in zip("xy", pair, strict=True):
            np.save(folder / f"{PARTS[name]}_{part}.npy", array)
    return sets


def stored(**others):
    return settings("student_teacher", (10, 5, 2), load_ST_dataset=True, **others)


def test_stored_arrays(tmp_path):
    sets = store(tmp_path)
    task = load_task(stored(data_dir=str(tmp_path)), FLOAT64)
    assert (task.inputs, task.outputs) == (10, 2)
    for name, part in (("train", task.train), ("test", task.test), ("validation", task.validation)):
        assert all(map(np.array_equal, part.batch(slice(None)), sets[name]))


def test_stored_arrays_are_looked_for_where_the_published_program_does(tmp_path, monkeypatch):
    (tmp_path / "data").mkdir()
    sets = store(tmp_path / "data")
    # It is not needed without a validation set.
    for part in "xy":
        (tmp_path / "data" / f"val_{part}.npy").unlink()
    monkeypatch.chdir(tmp_path)
    task = load_task(stored(no_val_set=True), FLOAT64)
    assert task.validation is None and np.array_equal(task.test.batch(slice(1, 3))[1], sets["test"][1][1:3])
    refused(DataError, ["put val_x.npy, val_y.npy into data"], load_task, stored(), FLOAT64)


def test_stored_arrays_that_do_not_fit_the_network(tmp_path):
    store(tmp_path, outputs=3)
    refused(UsageError, ["--size_output=2", "3"], load_task, stored(data_dir=str(tmp_path)), FLOAT64)


WRONG_ARRAYS = {
    "pickled": ("train_x", np.array([[{}]]), ["not a valid npy"]),
    "rows": ("test_y", np.zeros((3, 2)), ["3 rows", "test_x.npy has 4"]),
    "columns of x": ("val_x", np.zeros((5, 9)), ["9 columns", "train_x.npy has 10"]),
    "columns of y": ("test_y", np.zeros((4, 1)), ["1 columns", "train_y.npy has 2"]),
    "one axis": ("train_y", np.zeros(6), ["shape (6,)"]),
    "no rows": ("train_x", np.zeros((0, 10)), ["shape (0, 10)"]),
    "words": ("val_y", np.full((5, 2), "1"), ["finite numbers"]),
    "complex": ("val_y", np.full((5, 2), 1j), ["finite numbers"]),
    "not a number": ("train_y", np.full((6, 2), np.nan), ["finite numbers"]),
}


@pytest.mark.parametrize("fault", WRONG_ARRAYS)
def test_wrong_stored_arrays(fault, tmp_path):
    name, array, words = WRONG_ARRAYS[fault]
    store(tmp_path)
    np.save(tmp_path / f"{name}.npy", array)
    refused(DataError, [tmp_path / f"{name}.npy", *words], load_arrays, tmp_path)


def test_damaged_and_missing_stored_arrays(tmp_path):
    sets = store(tmp_path)
    assert all(np.array_equal(*pair) for pair in zip(load_arrays(tmp_path)["test"], sets["test"], strict=True))
    path = tmp_path / "train_y.npy"
    whole = path.read_bytes()
    too_long, no_header = whole.replace(b"(6, 2)", b"(9, 2)"), whole.replace(b"(6, 2)", b"(6; (2")
    for content in (b"", b"text", whole[:40], whole[:-1], too_long, no_header):
        path.write_bytes(content)
        refused(DataError, [path, "not a valid npy"], load_arrays, tmp_path)
    path.unlink()
    path.mkdir()
    refused(DataError, [path, "cannot be read"], load_arrays, tmp_path)
    path.rmdir()
    (tmp_path / "test_x.npy").unlink()
    words = [f"put train_y.npy, test_x.npy into {tmp_path}"]
    refused(DataError, words, load_arrays, tmp_path)
