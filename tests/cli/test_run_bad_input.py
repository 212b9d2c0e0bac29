"""What run.py cannot do it refuses in one line, with status 2, before it touches anything: wrong options, wrong places.

Each line names the option or the file, the value and the bound where there is one.
"""

import dataclasses
import os
import subprocess
import sys

import pytest

import run
from core import backend as backends
from rules import RULES
from tests.faults.tiny_runs import ROOT, TRAIN, complaint, contents, in_process

NUMBERS = [
    field
    for record in (run.Options, *(rule.Options for rule in RULES.values()))
    for field in dataclasses.fields(record)
    if type(field.default) in (int, float)
]


@pytest.fixture
def refused(tmp_path, monkeypatch, capfd):
    """A function (options, words): asserts that run.py refuses the options, with the words, and
    leaves everything as it was."""
    # This is a machine without it.
    monkeypatch.setitem(sys.modules, "cupy", None)
    monkeypatch.chdir(tmp_path)
    call = in_process(tmp_path, monkeypatch)

    def refuse(options, words):
        before = contents(tmp_path)
        capfd.readouterr()
        status = call(*options)
        out, err = capfd.readouterr()
        line = complaint(err)
        assert status == 2
        assert [word for word in words if str(word) not in line] == [], line
        assert contents(tmp_path) == before
        assert out == ""

    refuse.call = call
    return refuse


BAD_OPTIONS = {
    "unknown": (["--learning_rat=1"], ["--learning_rat", "--learning_rate"]),
    "unknown flag": (["--bogus"], ["--bogus"]),
    "abbreviated": (["--learning=1"], ["--learning=1"]),
    "stray word": (["MNIST"], ["MNIST"]),
    "no value": (["--seed"], ["--seed"]),
    "value for a flag": (["--tower=yes"], ["--tower", "yes"]),
    "inapplicable gamma": (["--gamma=0.1"], ["--gamma", "BP", "GAIT"]),
    "inapplicable form": (["--algorithm=TP", "--target_form=absolute"], ["--target_form", "TP", "GAIT"]),
    "no layers": (["--nb_layers=0"], ["--nb_layers", " 0 ", "[1, 10000]"]),
    "endless layers": (["--nb_layers=999999999"], ["--nb_layers", " 999999999 ", "[1, 10000]"]),
    "no epochs": (["--nb_epochs=0"], ["--nb_epochs", " 0 ", "[1, inf)"]),
    "empty batches": (["--batch_size=0"], ["--batch_size", " 0 ", "[1, inf)"]),
    "negative seed": (["--seed=-1"], ["--seed", " -1 ", "[0, inf)"]),
    "negative samples": (["--train_samples=-5"], ["--train_samples", " -5 ", "[0, inf)"]),
    "negative interval": (["--eval_interval=-10"], ["--eval_interval", " -10 ", "[0, inf)"]),
    "negative device": (["--device=-1"], ["--device", " -1 ", "[0, inf)"]),
    "negative rate": (["--learning_rate=-0.1"], ["--learning_rate", " -0.1 ", "(0, inf)"]),
    "negative rate as a word of its own": (["--learning_rate", "-0.1"], ["--learning_rate", " -0.1 ", "(0, inf)"]),
    "rate of zero": (["--learning_rate=0"], ["--learning_rate", " 0 ", "(0, inf)"]),
    "rate that is zero in floats": (["--learning_rate=1e-999"], ["--learning_rate", "1e-999", "(0, inf)"]),
    "unit rows without a regulariser": (["--unit_rows"], ["--unit_rows", "--orthogonal_reg above 0"]),
    "negative regulariser": (["--orthogonal_reg=-1"], ["--orthogonal_reg", " -1 ", "[0, inf)"]),
    "negative regulariser, misspelt": (["--orthogona_reg=-1"], ["--orthogona_reg", " -1 ", "[0, inf)"]),
    "gamma of one": (["--algorithm=GAIT", "--gamma=1"], ["--gamma", " 1 ", "(0, 1)"]),
    "gamma above one": (["--algorithm=GAIT", "--gamma=1.5"], ["--gamma", " 1.5 ", "(0, 1)"]),
    "gamma of zero": (["--algorithm=GAIT", "--gamma=0"], ["--gamma", " 0 ", "(0, 1)"]),
    "a solver for a rule that inverts nothing": (["--solver=direct"], ["--solver=direct", "--algorithm=BP"]),
    "a Gram matrix that nobody computes": (
        ["--algorithm=TP", "--solver=gram"],
        ["--solver=gram", "--orthogonal_reg", "above 0"],
    ),
    "threads beyond reason": (["--threads=65"], ["--threads", " 65 ", "[0, 64]"]),
    "threads beyond floats": (["--threads=1" + "0" * 400], ["--threads", "[0, 64]"]),
    "half a layer": (["--nb_layers=1.5"], ["--nb_layers", "1.5", "whole number"]),
    "a word for a number": (["--learning_rate=fast"], ["--learning_rate", "fast", "number"]),
    "unknown rule": (["--algorithm=bp"], ["--algorithm", "bp", "BP, GAIT, TP"]),
    "unknown set": (["--dataset=CIFAR10"], ["--dataset", "CIFAR10", "MNIST", "KMNIST", "FMNIST"]),
    "half precision": (["--precision=float16"], ["--precision", "float16", "float64, float32"]),
    "batch beyond the set": ([f"--batch_size={TRAIN + 1}"], [f"--batch_size={TRAIN + 1}", f"[1, {TRAIN}]"]),
    "batch beyond the samples": (["--train_samples=50"], ["--batch_size=60", "[1, 50]"]),
    "samples beyond the set": (
        [f"--train_samples={TRAIN + 1}"],
        [f"--train_samples={TRAIN + 1}", f"{TRAIN} ", "MNIST"],
    ),
    "interval of the epoch": (["--batch_size=10", "--eval_interval=12"], ["--eval_interval=12", "below 12"]),
    "interval beyond the epoch": (["--eval_interval=500"], ["--eval_interval=500", "below 2"]),
    "contradicting initial weights": (["--init=xavier", "--orthogonal_init"], ["--init=xavier", "--orthogonal_init"]),
    "load and overwrite": (["--load", "--overwrite"], ["--load", "--overwrite"]),
    "load or start, and overwrite": (["--load_or_start", "--overwrite"], ["--load_or_start", "--overwrite"]),
    "number of a GPU for the CPU": (["--backend=numpy", "--device=1"], ["--device=1", "--backend=numpy"]),
    "a GPU that is not there": (["--device=7"], ["--device=7", "cupy is not installed"]),
    "cupy that is not there": (["--backend=cupy"], ["--backend=cupy", "cupy is not installed"]),
    "load without a run": (["--load"], ["--load", "MNIST_BP_0.0OrthoReg_1Seed_0.0001LR_1L"]),
}


@pytest.mark.parametrize("case", BAD_OPTIONS)
def test_bad_option_is_refused_in_one_line(case, refused):
    refused(*BAD_OPTIONS[case])


@pytest.mark.parametrize("value", ["nan", "inf", "-inf", "1e999"])
@pytest.mark.parametrize("field", NUMBERS, ids=lambda field: field.name)
def test_no_number_may_be_nan_or_infinite(field, value, refused):
    rule = ["--algorithm=GAIT"] if field.name == "gamma" else []
    bounds = [field.metadata["bounds"]] if isinstance(field.default, float) else []
    refused([*rule, f"--{field.name}={value}"], [f"--{field.name}", value, *bounds])


@pytest.mark.parametrize("name", RULES)
def test_no_rule_takes_the_options_of_another(name, refused):
    own = {field.name for field in dataclasses.fields(RULES[name].Options)}
    for rule in RULES.values():
        for field in dataclasses.fields(rule.Options):
            if field.name not in own:
                refused(
                    [f"--algorithm={name}", f"--{field.name}={field.default}"], [f"--{field.name}", name, rule.name]
                )


def test_bad_option_of_the_program_itself_leaves_no_traceback(tmp_path):
    """The same through the shell: status, one line, nothing on stdout."""
    words = [sys.executable, "run.py", "--nb_layers=0", f"--results_dir={tmp_path}"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (2, "")
    assert "--nb_layers" in complaint(done.stderr)
    assert list(tmp_path.iterdir()) == []


def test_a_network_beyond_all_memory_is_refused_by_its_layers(refused, monkeypatch):
    monkeypatch.setattr(backends.Backend, "free_memory", lambda backend: 64)
    refused(["--nb_layers=3"], ["--nb_layers=3: ", "memory", "are free"])


# ---- places that cannot be used


def test_results_below_a_file_are_refused(refused, tmp_path):
    (tmp_path / "taken").write_text("a file")
    refused([f"--results_dir={tmp_path / 'taken'}"], [tmp_path / "taken", "Not a directory"])
    refused([f"--results_dir={tmp_path / 'taken' / 'deeper'}"], [tmp_path / "taken", "Not a directory"])


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="needs a folder that nobody can write, root included")
def test_results_in_a_folder_nobody_can_write_are_refused(refused):
    refused(["--results_dir=/proc/x"], ["/proc/x"])


def test_results_in_a_folder_with_too_long_a_name_are_refused(refused, tmp_path):
    """Any error of the first look at the folder: too long a name here, a folder that others may not enter elsewhere."""
    refused([f"--results_dir={tmp_path / ('x' * 300)}"], ["x" * 300, "name too long"])


def test_results_where_the_run_folder_is_a_file_are_refused(refused, tmp_path):
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "MNIST_BP_0.0OrthoReg_1Seed_0.0001LR_1L").write_text("a file")
    refused([], [tmp_path / "results" / "MNIST_BP_0.0OrthoReg_1Seed_0.0001LR_1L"])


@pytest.mark.parametrize("lost", [None, "DONE", "config.json"])
def test_existing_run_is_left_alone_without_a_word_what_to_do(lost, refused, tmp_path):
    """Whether finished (DONE), unfinished (none), or with its config.json lost: results are
    never overwritten unasked."""
    assert refused.call("--nb_epochs=1") == 0
    folder = tmp_path / "results" / "MNIST_BP_0.0OrthoReg_1Seed_0.0001LR_1L"
    if lost:
        (folder / lost).unlink()
    refused(["--nb_epochs=1"], [folder, "--overwrite"])


def test_run_of_other_settings_under_the_same_name_is_refused(refused, tmp_path):
    """Somebody renamed a folder: the numbers would be a mixture."""
    assert refused.call("--nb_epochs=1", "--seed=2") == 0
    results = tmp_path / "results"
    (results / "MNIST_BP_0.0OrthoReg_2Seed_0.0001LR_1L").rename(results / "MNIST_BP_0.0OrthoReg_1Seed_0.0001LR_1L")
    refused(["--nb_epochs=2", "--load"], ["--load", "seed", "2", "not 1"])


def test_ctrl_c_before_training_is_no_traceback(monkeypatch, tmp_path, capfd):
    call = in_process(tmp_path, monkeypatch)

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(run.datasets, "load", interrupted)
    assert call() == 130
    assert "interrupted" in complaint(capfd.readouterr().err)
    assert not (tmp_path / "results").exists()
