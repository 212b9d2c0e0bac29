"""run.py as people use it: the published commands, the files of a run, resuming, what is printed."""

import csv
import dataclasses
import fcntl
import functools
import itertools
import json
import os
import pty
import shlex
import struct
import subprocess
import sys
import termios
from contextlib import suppress

import numpy as np
import pytest

import datasets
import run
from rules import RULES
from tests.faults.tiny_runs import (
    ROOT,
    TEST,
    TRAIN,
    complaint,
    finish,
    in_process,
    only,
    read_metrics,
    results,
    start,
    unpacked_files,
    write_data,
)

SERIES = ("training_acc", "training_loss", "test_acc", "test_loss")
SQUARE, TOWER = [784] * 5, [784, 500, 200, 10]
# Command line, folder, sizes of the layers; 120 images and one epoch are added when they run.
PUBLISHED = (
    (
        "python run.py --algorithm=BP --learning_rate=0.0001 --nb_layers=4 --nb_epochs=100",
        "MNIST_BP_0.0OrthoReg_1Seed_0.0001LR_4L_120samples",
        SQUARE,
    ),
    (
        "python run.py --algorithm=GAIT --learning_rate=0.0001 --orthogonal_init --orthogonal_reg=0.1 --nb_layers=4 "
        "--nb_epochs=100",
        "MNIST_GAIT_OrthoInit_0.1OrthoReg_1Seed_0.0001LR_4L_120samples",
        SQUARE,
    ),
    (
        "python run.py --algorithm=TP --learning_rate=0.00001 --orthogonal_init --orthogonal_reg=1000.0 --nb_layers=4 "
        "--nb_epochs=100",
        "MNIST_TP_OrthoInit_1000.0OrthoReg_1Seed_1e-05LR_4L_120samples",
        SQUARE,
    ),
    (
        "python run.py --algorithm=GAIT --learning_rate=0.0001 --orthogonal_init --orthogonal_reg=0.1 --nb_layers=4 "
        "--nb_epochs=100 --tower",
        "MNIST_GAIT_OrthoInit_0.1OrthoReg_1Seed_0.0001LR_4TOWER_120samples",
        TOWER,
    ),
    (
        "python run.py --algorithm=TP --linear --learning_rate=0.00001 --orthogonal_init --orthogonal_reg=1000.0 "
        "--nb_layers=4 --nb_epochs=100",
        "MNIST_TP_Linear_OrthoInit_1000.0OrthoReg_1Seed_1e-05LR_4L_120samples",
        SQUARE,
    ),
)


def check_files(folder, sizes, evaluations):
    """Assert that a finished run's folder holds the files of gait.md 5, that they load, and no others."""
    names = {f"{name}.txt" for name in SERIES} | {"config.json", "metrics.csv", "checkpoint.npz", "DONE", ".lock"}
    names |= {f"{l}L{kind}.npy" for l in range(len(sizes)) for kind in ("weights", "biases")}
    assert {path.name for path in folder.iterdir()} == names
    for name in SERIES:
        values = np.loadtxt(folder / f"{name}.txt", ndmin=1)
        assert values.shape == (evaluations,) and np.isfinite(values).all()
        assert (folder / f"{name}.txt").read_text().count("\n") == evaluations
    for l, n in enumerate(sizes):
        weights = np.load(folder / f"{l}Lweights.npy", allow_pickle=False)
        biases = np.load(folder / f"{l}Lbiases.npy", allow_pickle=False)
        assert weights.shape == (n, n) and biases.shape == (n,)
        assert weights.dtype == biases.dtype == np.float64
        assert np.isfinite(weights).all() and biases[:10].any()
    assert json.loads((folder / "DONE").read_text())["outcome"] == "finished"


@functools.cache
def few_test_images(name, load=datasets.load):
    """The real images, read once; only 200 test images, because evaluation is not what these tests are about."""
    data = load(name, None, True)
    return dataclasses.replace(data, test_images=data.test_images[:200], test_labels=data.test_labels[:200])


@pytest.mark.parametrize("command, name, sizes", PUBLISHED[1:])
def test_published_command_runs_as_it_stands(command, name, sizes, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(datasets, "load", lambda name, *_: few_test_images(name))
    words = shlex.split(command)[2:]
    assert run.main([*words, "--train_samples=120", "--nb_epochs=1", f"--results_dir={tmp_path}"]) == 0
    assert only(tmp_path).name == name
    check_files(only(tmp_path), sizes, 2)
    assert capsys.readouterr().err == ""


def test_published_backpropagation_command_runs_as_its_own_process(tmp_path):
    """The same from the shell, in the program's folder and on all the real test images."""
    command, name, sizes = PUBLISHED[0]
    words = [
        sys.executable,
        *shlex.split(command)[1:],
        "--train_samples=120",
        "--nb_epochs=1",
        f"--results_dir={tmp_path}",
    ]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")
    assert only(tmp_path).name == name
    check_files(only(tmp_path), sizes, 2)


def test_published_misspelling_means_the_same_option():
    assert run.parse(["--orthogona_reg=0.25"]) == run.parse(["--orthogonal_reg=0.25"])
    assert run.parse(["--orthogona_reg=0.25"])[0].orthogonal_reg == 0.25


def test_defaults_are_the_published_ones():
    published = {"algorithm": "BP", "seed": 1, "orthogonal_reg": 0.0, "device": 0, "nb_epochs": 100, "nb_layers": 1}
    published |= {"learning_rate": 0.0001, "dataset": "MNIST", "batch_size": 60}
    published |= dict.fromkeys(("linear", "tower", "orthogonal_init", "load"), False)
    options, _ = run.parse([])
    assert {name: getattr(options, name) for name in published} == published
    assert run.parse(["--algorithm=GAIT"])[1].gamma == 1e-3


@pytest.mark.parametrize("algorithm", RULES)
def test_files_hold_what_the_network_learned(algorithm, tmp_path, monkeypatch):
    """The saved weights, put through the network's definition by hand, give the last line of the series."""
    assert in_process(tmp_path, monkeypatch)(f"--algorithm={algorithm}", "--nb_epochs=3", "--learning_rate=0.003") == 0
    folder = only(tmp_path / "results")
    check_files(folder, [16, 16], 4)
    for part, count, name in (("training", TRAIN, "train"), ("test", TEST, "test")):
        files = unpacked_files("MNIST")
        h = np.frombuffer(files[f"{name}_images"], np.uint8, offset=16).reshape(count, 16) / 255
        labels = np.frombuffer(files[f"{name}_labels"], np.uint8, offset=8)
        for l in range(2):
            z = h @ np.load(folder / f"{l}Lweights.npy") + np.load(folder / f"{l}Lbiases.npy")
            h = np.where(z < 0, 0.1 * z, z)
        loss = (0.5 * ((h[:, :10] - np.eye(10)[labels]) ** 2).sum(axis=1)).mean()
        assert np.loadtxt(folder / f"{part}_acc.txt")[-1] == pytest.approx((h[:, :10].argmax(axis=1) == labels).mean())
        assert np.loadtxt(folder / f"{part}_loss.txt")[-1] == pytest.approx(loss, rel=1e-12)


def test_first_entry_is_before_training(tmp_path, monkeypatch):
    """Runs that differ in the learning rate alone start from one network: equal first entries,
    different second ones."""
    call = in_process(tmp_path, monkeypatch)
    for rate in (0.001, 0.01):
        assert call("--nb_epochs=1", f"--learning_rate={rate}") == 0
    slow, fast = (np.loadtxt(folder / "training_loss.txt") for folder in sorted((tmp_path / "results").iterdir()))
    assert slow[0] == fast[0] and slow[1] != fast[1]


def test_metrics_have_one_row_an_evaluation_and_agree_with_the_published_files(tmp_path, monkeypatch):
    assert in_process(tmp_path, monkeypatch)("--nb_epochs=3") == 0
    folder = only(tmp_path / "results")
    with open(folder / "metrics.csv", newline="") as file:
        assert next(csv.reader(file)) == ["epoch", "batch", *SERIES, "seconds"]
    metrics = read_metrics(folder)
    assert list(zip(metrics["epoch"], metrics["batch"], strict=True)) == [(0, 0), (1, 0), (2, 0), (3, 0)]
    assert metrics["seconds"] == sorted(metrics["seconds"]) and metrics["seconds"][0] >= 0
    for name in SERIES:
        # Every digit is the same, not only those of a rounded print.
        assert np.loadtxt(folder / f"{name}.txt").tolist() == metrics[name]


def test_config_is_complete_before_training(tmp_path, monkeypatch):
    """What a run was is on disk before its first batch, so that a run killed at any time can be told and repeated."""
    seen = {}

    class Stop(Exception):
        pass

    def look(loop):
        seen.update(json.loads((loop.folder.path / "config.json").read_text()))
        raise Stop

    monkeypatch.setattr(run.Loop, "begin", look)
    with pytest.raises(Stop):
        in_process(tmp_path, monkeypatch)(
            "--algorithm=GAIT", "--gamma=0.5", "--seed=7", "--threads=2", "--orthogona_reg=0.5"
        )
    every = {field.name for record in (run.Options, RULES["GAIT"].Options) for field in dataclasses.fields(record)}
    # a run that leaves a record was no rehearsal
    assert every - {"dry_run"} <= set(seen["options"])
    chosen = {"algorithm": "GAIT", "gamma": 0.5, "seed": 7, "orthogonal_reg": 0.5, "nb_epochs": 100, "batch_size": 60}
    assert {name: seen["options"][name] for name in chosen} == chosen
    assert seen["versions"].keys() >= {"python", "numpy"} and seen["versions"]["numpy"] == np.__version__
    assert seen["device"] and seen["threads"] == 2 and "git_commit" in seen


def test_config_holds_no_option_that_is_still_undecided(tmp_path, monkeypatch):
    """Every option resolved: `auto`, or 0 for as many as there are, would not say what the run did."""
    assert in_process(tmp_path, monkeypatch)("--nb_epochs=1") == 0
    config = json.loads((only(tmp_path / "results") / "config.json").read_text())
    options = config["options"]
    assert [name for name, value in options.items() if value == "auto"] == []
    assert (options["init"], options["threads"]) == ("orthogonal", config["threads"])
    assert options["threads"] >= 1 and options["train_samples"] in (0, TRAIN)


@pytest.mark.parametrize("batch_size, batches", [(4, 30), (5, 24), (10, 12)])
def test_eval_interval_gives_the_published_series(batch_size, batches, tmp_path, monkeypatch):
    """Before training, then after batches 10, 20 … of each epoch, the last batch of an epoch excepted."""
    call = in_process(tmp_path, monkeypatch)
    assert call("--eval_interval=10", f"--batch_size={batch_size}", "--nb_epochs=2") == 0
    metrics = read_metrics(only(tmp_path / "results"))
    expected = [(0, 0), *itertools.product((0, 1), range(10, batches, 10))]
    assert list(zip(metrics["epoch"], metrics["batch"], strict=True)) == expected
    assert len(set(metrics["training_loss"])) == len(expected)


def test_runs_are_repeatable_and_nobody_elses_random_numbers_matter(tmp_path, monkeypatch):
    call = in_process(tmp_path, monkeypatch)
    assert call("--nb_epochs=1") == 0
    np.random.seed(0)
    state = np.random.get_state()[1].tobytes()
    assert call("--nb_epochs=1", f"--results_dir={tmp_path / 'again'}") == 0
    assert results(only(tmp_path / "again")) == results(only(tmp_path / "results"))
    assert np.random.get_state()[1].tobytes() == state


def test_one_line_an_epoch_on_stdout_and_the_advice_after_it(tmp_path, monkeypatch, capsys):
    call = in_process(tmp_path, monkeypatch)
    assert call("--nb_epochs=3") == 0
    out, err = capsys.readouterr()
    metrics = read_metrics(only(tmp_path / "results"))
    lines = [line for line in out.splitlines() if line.startswith("epoch ")]
    assert [line.split()[1] for line in lines] == ["1/3", "2/3", "3/3"]
    for line, accuracy in zip(lines, metrics["test_acc"][1:], strict=True):
        assert f"test_acc {accuracy:.6g}" in line
    assert str(only(tmp_path / "results")) in out and "--load --nb_epochs=" in out and "--help" in out
    assert err == ""


def test_quiet_leaves_the_epochs_and_the_outcome(tmp_path, monkeypatch, capsys):
    assert in_process(tmp_path, monkeypatch)("--nb_epochs=2", "--quiet") == 0
    out, err = capsys.readouterr()
    starts = [line.split()[0] for line in out.splitlines()]
    assert starts[:2] == ["epoch", "epoch"] and starts[2:] in ([], ["finished"])
    assert err == ""


@pytest.mark.parametrize("quiet", [False, True])
def test_progress_bar_on_a_terminal_unless_quiet(quiet, tmp_path):
    write_data(tmp_path / "data")
    terminal, stderr = pty.openpty()
    fcntl.ioctl(stderr, termios.TIOCSWINSZ, struct.pack("4H", 24, 200, 0, 0))
    words = [
        ROOT / "tests" / "faults" / "tiny_runs.py",
        f"--data_dir={tmp_path / 'data'}",
        f"--results_dir={tmp_path / 'r'}",
    ]
    words += ["--nb_epochs=2", *["--quiet"] * quiet]
    with subprocess.Popen([sys.executable, *words], stdout=subprocess.PIPE, stderr=stderr) as process:
        os.close(stderr)
        shown = b""
        # Linux says so that the other end is closed.
        with suppress(OSError):
            while piece := os.read(terminal, 4096):
                shown += piece
        process.communicate(timeout=60)
    os.close(terminal)
    assert process.returncode == 0
    assert shown == b"" if quiet else b"4/4" in shown and b"batch" in shown


# What happens: (options, fault, exit status).
STATUS = {
    "finished": (["--nb_epochs=1"], "", 0),
    "a user's mistake": (["--nb_epochs=0"], "", 2),
    "diverged": (["--learning_rate=1e6", "--nb_layers=3", "--batch_size=4"], "", 3),
    "Ctrl-C": ([], "step 3 SIGINT", 130),
    "SIGTERM": ([], "step 3 SIGTERM", 143),
}


@pytest.mark.parametrize("case", STATUS)
def test_exit_status_tells_how_it_ended(case, tmp_path):
    options, fault, status = STATUS[case]
    write_data(tmp_path / "data")
    found, out, err = finish(
        f"--data_dir={tmp_path / 'data'}", f"--results_dir={tmp_path / 'r'}", *options, fault=fault
    )
    assert found == status
    if status in (2, 3):
        complaint(err)
    else:
        assert err == ""
    assert ("--load" in out) == (status not in (2, 3))


def test_every_line_is_readable_as_soon_as_it_is_printed(tmp_path):
    """A log of a hundred epochs is of no use to whoever watches it, or after kill -9, while it waits in a buffer."""
    write_data(tmp_path / "data")
    words = [f"--data_dir={tmp_path / 'data'}", f"--results_dir={tmp_path / 'r'}", "--nb_epochs=4"]
    with start(*words, fault="step 5 SIGKILL") as process:
        out, _ = process.communicate(timeout=60)
    assert process.returncode == -9
    assert [line.split()[1] for line in out.splitlines() if line.startswith("epoch")] == ["1/4", "2/4"]
