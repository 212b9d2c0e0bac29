"""An optimiser of one's own is a class and a row of core/optimisers.py: in a copy of the program,
both programs train by it."""

import shutil

import numpy as np
import pytest

from dfc.measures.summary import read_summary
from tests.extending_for_tests import call, copy_with
from tests.faults import tiny_main, tiny_runs


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    """A copy of the program with the optimiser."""
    root = copy_with(tmp_path_factory.mktemp("copy") / "program", "An optimiser of both programs")
    (root / "tests" / "faults").mkdir(parents=True)
    shutil.copy(tiny_runs.__file__, root / "tests" / "faults")
    return root


def test_main_trains_w_and_q_by_it(program, tmp_path):
    """Every weight moves by the step size, lr / target_stepsize, or stays where its gradient is zero, in
    each of the 3 batches."""
    options = [*tiny_main.TINY, "--ndi", "--optimizer=Signs", "--optimizer_fb=Signs", "--lr=5e-4", "--lr_fb=0.25"]
    for epochs in (1, 2):
        call(program, "main.py", *options, f"--epochs={epochs}", f"--out_dir={tmp_path / str(epochs)}")
    assert read_summary(tmp_path / "2")["finished"] == 1
    for name, rate in (("0Lweights", 0.5), ("0Lfeedback", 0.25)):
        first, second = (np.load(tmp_path / epochs / f"{name}.npy") for epochs in "12")
        moved = np.round((second - first) / rate, 6)
        assert set(np.abs(moved).ravel()) <= {0.0, 1.0, 2.0, 3.0} and moved.any()


def test_run_trains_by_it_goes_on_and_takes_several_seeds(program, tmp_path):
    tiny_runs.write_data(tmp_path)
    options = ["--optimizer=Signs", "--learning_rate=0.5", "--batch_size=60", f"--data_dir={tmp_path}", "--threads=1"]
    for place, words in (("whole", ["--nb_epochs=2"]), ("seeds", ["--nb_epochs=2", "--seeds=1-2"])):
        call(program, "tests/faults/tiny_runs.py", *options, f"--results_dir={tmp_path / place}", *words)
    for words in (["--nb_epochs=1"], ["--nb_epochs=2", "--load"]):
        call(program, "tests/faults/tiny_runs.py", *options, f"--results_dir={tmp_path / 'parts'}", *words)
    runs = {path.name: path for path in (tmp_path / "seeds").iterdir()}
    (whole,), (parts,) = ((tmp_path / place).iterdir() for place in ("whole", "parts"))
    assert len(runs) == 2 and whole.name == parts.name and "Signs" in whole.name
    assert tiny_runs.results(whole) == tiny_runs.results(parts) == tiny_runs.results(runs[whole.name])
