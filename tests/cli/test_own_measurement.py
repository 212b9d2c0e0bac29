"""A measurement of one's own is a flag, a function and a row of the table: three files of a copy of the program.

The expectation is what docs/extending.md promises: the numbers reach the summary and its csv, the checkpoint and TensorBoard.
"""

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from dfc.measures.summary import read_summary
from tests.faults.tiny_main import TINY

ROOT = Path(__file__).resolve().parents[2]
ADDED = (  # file, the text that something is put before, and what
    (
        "dfc/settings/flags.py",
        "    save_norm_r: bool",
        '    save_sizes: bool = _log(False, "mean size of the entries of each weight update")\n',
    ),
    (
        "dfc/measures/observation.py",
        "def distance(seen):",
        'def sizes(seen):\n    """Measure the mean size of the entries of each weight update."""\n'
        "    return [abs(update).mean() for update in seen.net.weights_of(seen.own)]\n\n\n",
    ),
    ("dfc/measures/table.py", "from dfc.measures.stability", "from dfc.measures import observation\n"),
    (
        "dfc/measures/table.py",
        '    M("save_GN_angle", "gn_angles", per_layer',
        '    M("save_sizes", "sizes_angles", per_layer, observation.sizes, FORWARD, FRAME, "layer {}/size", "size"),\n',
    ),
)


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    """A copy of the program with the measurement."""
    root = tmp_path_factory.mktemp("copy") / "program"
    ignored = shutil.ignore_patterns(".*", "tests", "results", "logs", "docs", "shared", "*.gz", "__pycache__")
    shutil.copytree(ROOT, root, ignore=ignored)
    for name, place, text in ADDED:
        before, found, after = (root / name).read_text().partition(place)
        assert found
        (root / name).write_text(before + text + found + after)
    return root


def run(program, folder, *flags):
    argv = [sys.executable, "main.py", *TINY, "--ndi", f"--out_dir={folder}", *flags]
    done = subprocess.run(argv, cwd=program, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return read_summary(folder)


def test_it_reaches_every_file(program, tmp_path):
    """3 batches in each of 2 passes that learn W, and 2 hidden layers: 6 rows of 3 numbers."""
    flags = ("--save_sizes", "--save_df", "--log_interval=1", "--save_logs")
    pytest.importorskip("tensorboardX", reason="logs need tensorboardX: pip install tensorboardX")
    frame = run(program, tmp_path / "run", *flags)["sizes_angles"]
    assert frame.steps == [1, 2, 3, 4, 5, 6] and frame.columns == [0, 1, 2]
    assert (frame.values > 0).all()
    with np.load(tmp_path / "run" / "checkpoint.npz") as kept:
        np.testing.assert_array_equal(kept["seen_sizes_angles"], frame.values)
    logged = b"".join(path.read_bytes() for path in (tmp_path / "run").glob("events.*"))
    assert all(f"layer_{layer}/size".encode() in logged for layer in (1, 2, 3))


def test_it_is_an_option_that_is_off_unless_asked_for(program, tmp_path):
    assert "sizes_angles" not in run(program, tmp_path / "run", "--save_df")
