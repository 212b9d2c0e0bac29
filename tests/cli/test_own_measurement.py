"""A measurement of one's own is a flag, a function and a row of the table: three files of a copy of the program.

The expectation is what docs/extending.md promises: the numbers reach the summary and its csv, the
checkpoint and TensorBoard.
"""

import numpy as np
import pytest

from dfc.measures.summary import read_summary
from tests.extending_for_tests import call, copy_with
from tests.faults.tiny_main import TINY


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    """A copy of the program with the measurement."""
    return copy_with(tmp_path_factory.mktemp("copy") / "program", "A measurement of `main.py`")


def run(program, folder, *flags):
    call(program, "main.py", *TINY, "--ndi", f"--out_dir={folder}", *flags)
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
