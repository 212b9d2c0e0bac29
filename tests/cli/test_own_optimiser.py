"""An optimiser of one's own is a class and a row of core/optimisers.py: in a copy of the program, both programs train by it."""

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from dfc.measures.summary import read_summary
from tests.faults import tiny_main, tiny_runs

ROOT = Path(__file__).resolve().parents[2]
CLASS = '''
class Signs(Optimiser):
    """Signs of the gradients: p <- p - lr sign(g)."""

    def __init__(self, parameters, learning_rate, weight_decay=0.0):
        super().__init__(parameters, learning_rate, weight_decay, ())

    def _change(self, xp, index, g, moments, out):
        xp.multiply(xp.sign(g), self.learning_rate[index], out=out)


'''
PLACES = {"# {name: (class": CLASS, '    "Adam": (Adam': '    "Signs": (Signs, (), {}),\n'}


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    """A copy of the program with the optimiser."""
    root = tmp_path_factory.mktemp("copy") / "program"
    ignored = shutil.ignore_patterns(".*", "tests", "results", "logs", "docs", "shared", "*.gz", "__pycache__")
    shutil.copytree(ROOT, root, ignore=ignored)
    path = root / "core" / "optimisers.py"
    for place, text in PLACES.items():
        before, found, after = path.read_text().partition(place)
        assert found
        path.write_text(before + text + found + after)
    (root / "tests" / "faults").mkdir(parents=True)
    shutil.copy(tiny_runs.__file__, root / "tests" / "faults")
    return root


def call(program, *words):
    done = subprocess.run([sys.executable, *words], cwd=program, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


def test_main_trains_w_and_q_by_it(program, tmp_path):
    """Every weight moves by the step size, lr / target_stepsize, or stays where its gradient is zero, in each of the 3 batches."""
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
