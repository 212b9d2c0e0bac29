"""README's made-up rules: one file and one line each, put into a copy of the program, work through every script."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
MADE_UP = '''"""Sign-symmetric feedback: backpropagation through the signs of the weights."""

from core.backend import array_module
from rules._rule import NoOptions, Rule


def layer_errors(net, trace, target, options):
    """delta_L = f'_L (h_L - t_L),  delta_{l-1} = f'_{l-1} (delta_l sign(W_l)^T) / sqrt(n_l)"""
    errors, difference = [], trace[-1][..., : net.classes] - target
    for layer, h, active in zip(net.layers[::-1], trace[::-1], net.active[::-1], strict=False):
        delta = net.transfer.slope(h[..., :active]) * difference
        errors.append(delta)
        signs = array_module(delta).sign(layer.weights[..., : delta.shape[-1]])
        difference = delta @ signs.swapaxes(-1, -2) / layer.size**0.5
    return errors[::-1]


RULE = Rule("SIGN", layer_errors, NoOptions)
'''

MADE_UP_FOR_MAIN = '''"""Sign-symmetric feedback: backpropagation through the signs of the weights."""

from dataclasses import dataclass

from core.backend import array_module
from core.options import option
from rules._rule import Rule


@dataclass(frozen=True)
class Options:
    sign_gain: float = option(1.0, "factor of the signs", bounds="(0, inf)")


def layer_errors(net, activities, target, options):
    """delta_L = phi'_L dloss/dr_L,  delta_{l-1} = phi'_{l-1} (delta_l sign(W_l)) gain / sqrt(n_l)"""
    errors, error = [], net.output_error(activities, target)
    for l, w in reversed(list(enumerate(net.weights))):
        errors.append(net.slope(activities, l) * error)
        error = errors[-1] @ array_module(w).sign(w) * (options.sign_gain / w.shape[-2] ** 0.5)
    return errors[::-1]


RULE = Rule("SIGN", layer_errors, Options)
'''
CONFIG = {
    "network_type": "SIGN", "sign_gain": 0.5, "dataset": "student_teacher",
    "num_train": 64, "num_test": 20, "num_val": 20, "size_hidden": 8, "lr": 0.05,
    "epochs": 3, "batch_size": 16, "no_cuda": True, "threads": 1, "quiet": True,
}  # fmt: skip
MODULE = f"""config = {CONFIG}
config_fixed = config
config_collection = {{"half": {{}}, "whole": {{"sign_gain": 1.0}}}}
result_keys = ["loss_train"]
statistics_keys = ["loss_test_last"]
"""


def words(**flags):
    return [
        f"--{name}" if value is True else f"--{name}={value}" for name, value in flags.items() if value is not False
    ]


def copy_with(rule, folder, table):
    """A copy of the program with one more rule in a table of rules/__init__.py, a line that begins with `table`."""
    for name in ("core", "rules", "gait", "dfc", "sweeps", "configs", "figures"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "datasets").mkdir()
    for file in (*ROOT.glob("*.py"), *ROOT.glob("datasets/*.py")):
        shutil.copy(file, folder / file.relative_to(ROOT))
    (folder / "rules" / "sign_symmetry.py").write_text(rule)
    registry = folder / "rules" / "__init__.py"
    lines = registry.read_text().replace("import backprop", "import sign_symmetry, backprop")
    registry.write_text(lines.replace(f"in ({table}", f"in (sign_symmetry, {table}"))
    (folder / "own_config.py").write_text(MODULE)


def run(folder, *command, status=0):
    done = subprocess.run([sys.executable, *command], cwd=folder, capture_output=True, text=True)
    assert done.returncode == status, done.stderr
    return done.stdout + done.stderr


def test_a_new_rule_of_run_is_one_file_of_under_20_lines(tmp_path):
    assert MADE_UP in (ROOT / "README.md").read_text()
    assert len(MADE_UP.rstrip().splitlines()) < 20
    copy_with(MADE_UP, tmp_path, "backprop, gait")
    words = ("--algorithm=SIGN", "--nb_epochs=1", "--train_samples=1200", "--quiet", f"--data_dir={ROOT / 'datasets'}")
    run(tmp_path, "run.py", *words)
    (accuracy,) = tmp_path.glob("results/MNIST_SIGN_*/test_acc.txt")
    before, after = np.loadtxt(accuracy)
    assert after > before + 0.2
    run(tmp_path, "run.py", *words, "--seeds=1-2", "--results_dir=stack")
    (together,) = tmp_path.glob("stack/MNIST_SIGN_*_1Seed_*")
    assert_same_weights(accuracy.parent, together)


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    """A copy of the program whose main.py has the rule SIGN, and what its run of CONFIG left behind.

    The folder "other" in the copy holds the run with another value of the rule's option.
    """
    folder = tmp_path_factory.mktemp("program")
    copy_with(MADE_UP_FOR_MAIN, folder, "dfc, dfc_ss")
    run(folder, "main.py", *words(**CONFIG), "--out_dir=run")
    run(folder, "main.py", *words(**CONFIG | {"sign_gain": 1.0}), "--out_dir=other")
    return folder, folder / "run"


def weights(folder):
    return [np.load(path) for path in sorted(folder.glob("*Lweights.npy"))]


def assert_same_weights(one, other, same=True):
    assert weights(one) and all(
        np.array_equal(a, b) == same for a, b in zip(weights(one)[:-1], weights(other)[:-1], strict=True)
    )


def test_a_new_rule_of_main_is_one_file_of_under_25_lines(program):
    """It learns, without feedback weights and passes that would learn them; its option is part of what the run is."""
    assert MADE_UP_FOR_MAIN in (ROOT / "README.md").read_text()
    assert len(MADE_UP_FOR_MAIN.rstrip().splitlines()) < 25
    folder, trained = program
    with np.load(trained / "results.npz") as series:
        assert series["loss_train"][-1] < 0.9 * series["loss_train"][0]
    assert not list(trained.glob("*Lfeedback.npy"))
    with np.load(trained / "checkpoint.npz") as checkpoint:
        assert int(checkpoint["passed"]) == CONFIG["epochs"]
    assert json.loads((trained / "config.json").read_text())["settings"]["sign_gain"] == 0.5
    assert_same_weights(trained, folder / "other", same=False)
    run(folder, "main.py", *words(**CONFIG | {"sign_gain": 1.0}), "--out_dir=run", "--load", status=2)


def test_the_option_of_a_new_rule_is_listed_checked_and_its_own(program):
    folder, _ = program
    text = run(folder, "main.py", "--help")
    assert "only with --network_type=SIGN:\n  --sign_gain FLOAT" in text and "factor of the signs, in (0, inf)" in text
    refused = run(folder, "main.py", "--sign_gain=2", status=2)
    assert refused == "main.py: --sign_gain: does not apply to --network_type=DFC-SS, only to SIGN\n"
    assert "--sign_gain: 0 is out of range" in run(folder, "main.py", "--network_type=SIGN", "--sign_gain=0", status=2)
    noted = run(folder, "main.py", *words(**CONFIG | {"quiet": False, "k_p": 1}), "--out_dir=noted")
    assert "note: without effect for SIGN: --k_p" in noted


def test_a_new_rule_goes_through_every_script(program):
    folder, trained = program
    run(folder, "run_config.py", "--config_module=own_config", "--out_dir=by_config")
    assert_same_weights(trained, folder / "by_config")
    # Alone, the run has main.py's default seed.
    run(folder, "main.py", *words(**CONFIG), "--seeds=42-43", "--out_dir=stack")
    assert_same_weights(trained, folder / "stack" / "seed_42")
    assert_same_weights(trained, folder / "stack" / "seed_43", same=False)
    module = "--config_module=configs.toy_experiments.config_fig1D"
    run(folder, "run_config.py", module, *words(**CONFIG), "--out_dir=by_words")
    assert not list((folder / "by_words").glob("*Lfeedback.npy"))
    own = ("--config_module=own_config", "--quiet")
    run(folder, "run_seed_robustness.py", *own, "--regression", "--nb_seeds=2", "--out_dir=seeds")
    assert len((folder / "seeds" / "default.csv").read_text().splitlines()) == 5
    run(folder, "run_seed_robustness.py", *own, "--regression", "--nb_seeds=2", "--out_dir=together", "--together")
    alone = sorted(folder.glob("seeds/default/seed_*"))
    assert len(alone) == 2
    for each in alone:
        assert_same_weights(each, folder / "together" / "default" / each.name)
    run(folder, "run_pipeline.py", *own, "--folder=pipeline")
    assert_same_weights(trained, folder / "pipeline" / "half")
    assert_same_weights(folder / "other", folder / "pipeline" / "whole")
