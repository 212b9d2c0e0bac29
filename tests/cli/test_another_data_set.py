"""A further image set in IDX form is one row of the catalogue: put into a copy of the program, it trains both programs.

The expectation is what datasets/README.md promises: one row and four files, and nothing else.
"""

import gzip
import struct
import subprocess
import sys

import numpy as np
import pytest

from tests.extending_for_tests import call, copy_with

SIDES, CLASSES, COUNTS = (6, 5), 3, {"training": 90, "testing": 30}
NAMES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")


def made_up_files():
    """The contents of the four IDX files, in the order of NAMES: noisy copies of one image per class."""
    random = np.random.default_rng(5)
    patterns = random.integers(0, 200, (CLASSES, *SIDES))
    for count in COUNTS.values():
        labels = np.arange(count) % CLASSES
        images = patterns[labels] + random.integers(0, 55, (count, *SIDES))
        yield struct.pack(">4I", 0x803, count, *SIDES) + images.astype(np.uint8).tobytes()
        yield struct.pack(">2I", 0x801, count) + labels.astype(np.uint8).tobytes()


def write_files(root):
    """Puts the four files of the set into a copy of the program."""
    (root / "datasets" / "MARKS").mkdir()
    for name, content in zip(NAMES, made_up_files(), strict=True):
        (root / "datasets" / "MARKS" / f"{name}.gz").write_bytes(gzip.compress(content))


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    """A copy of the program with the row and the files."""
    root = copy_with(tmp_path_factory.mktemp("copy") / "program", "An image set in IDX form")
    write_files(root)
    return root


def test_run_py_learns_from_it(program):
    out = call(
        program,
        "run.py",
        "--dataset=MARKS",
        "--algorithm=GAIT",
        "--nb_epochs=30",
        "--learning_rate=0.01",
        "--threads=1",
    )
    assert "test accuracy 100.00 %" in out
    (folder,) = (program / "results").glob("MARKS_GAIT_*")
    assert np.load(folder / "0Lweights.npy").shape == (30, 30)


def test_main_py_learns_from_it(program):
    flags = (
        "--network_type=DFC-SSA",
        "--lr=0.05",
        "--optimizer=Adam",
        "--target_stepsize=0.1",
        "--batch_size=15",
        "--threads=1",
    )
    sizes = ("--size_input=30", "--size_hidden=10", "--size_output=3", "--output_activation=softmax")
    call(program, "main.py", "--dataset=marks", *sizes, *flags, "--epochs=20", "--out_dir=results/main")
    header, *rows = (program / "results" / "main" / "metrics.csv").read_text().splitlines()
    last = dict(zip(header.split(","), rows[-1].split(","), strict=True))
    assert float(last["acc_test"]) == float(last["acc_val"]) == 1.0
    assert np.load(program / "results" / "main" / "0Lweights.npy").shape == (10, 30)


def test_main_py_rebuilds_its_images(program):
    sizes = ("--size_input=30", "--size_hidden=10", "--size_output=30", "--output_activation=linear")
    flags = ("--network_type=BP", "--lr=0.01", "--batch_size=15", "--epochs=5", "--threads=1")
    call(program, "main.py", "--dataset=marks_autoencoder", *sizes, *flags, "--out_dir=results/rebuilt")
    header, *rows = (program / "results" / "rebuilt" / "metrics.csv").read_text().splitlines()
    losses = [float(row.split(",")[header.split(",").index("loss_test")]) for row in rows]
    assert losses[-1] < losses[0]


def test_sizes_that_do_not_fit_it_are_refused(program):
    argv = ("main.py", "--dataset=marks", "--size_input=784", "--size_output=3", "--output_activation=softmax")
    done = subprocess.run([sys.executable, *argv], cwd=program, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (2, "main.py: --size_input=784: must be 30 for --dataset=marks\n")
