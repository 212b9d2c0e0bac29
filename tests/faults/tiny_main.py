"""main.py on tiny data: whole runs of every rule in a fraction of a second, from the command line to the files.

Tests import the functions.  As a script it is main.py with a small teacher and made-up images in
place of the published ones:

    TINY_FAULT="step 7 SIGKILL" python tests/faults/tiny_main.py ARGUMENTS...

where the optional fault makes the process send itself signals at an exact place: right after a batch of any pass
("step"), or right before a temporary file takes its final name ("replace").
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
TEACHER_HIDDEN = (12, 12)
TRAIN, VALIDATION, TEST = 24, 10, 12
# Three batches a pass, the last one short; 2 passes an epoch where Q is trained in passes of its own, one before the
# first.  The controller comes to rest within its 60 time points, so that most samples converge and every rule learns.
TINY = (
    "--num_train=20", f"--num_val={VALIDATION}", f"--num_test={TEST}", "--batch_size=8", "--size_input=6",
    "--size_hidden=[7, 5]", "--size_output=3", "--tmax_di=60", "--tmax_di_fb=20", "--dt_di=0.1", "--alpha_di=0.01",
    "--k_p=0.5", "--time_constant_ratio=0.2", "--inst_transmission", "--proactive_controller",
    "--target_stepsize=0.001", "--normalize_lr", "--lr=0.05", "--lr_fb=0.01", "--epochs=2", "--threads=1", "--quiet",
)  # fmt: skip
BATCHES = 3
STRONG = ("--network_type=Strong-DFC", "--strong_feedback", "--protocol=strong2022", "--include_non_converged_samples")
# Rule: its flags.
RULES = {
    "BP": ("--network_type=BP", "--lr=2e-5"),
    "DFA": ("--network_type=DFA",),
    "DFC": ("--grad_deltav_cont",),
    "DFC-SS": (),
    "DFC-SSA": ("--ndi",),
    "Strong-DFC": (*STRONG, "--lr=2e-5", "--lr_fb=1e-5"),
}
FIXED = ("--freeze_fb_weights",)
VARIANTS = dict(RULES) | {
    f"{name}, fixed": (*RULES[name], *FIXED) for name in ("DFC", "DFC-SS", "DFC-SSA", "Strong-DFC")
}
# No two runs have these in common.
TIMES = ("avg_time_per_epoch",)


def tiny_images(name, *_, **__):
    """A set like datasets.load's: noisy copies of one image a class, 28 x 28 pixels, which can be learned."""
    random = np.random.default_rng(7)
    patterns = random.integers(0, 200, (10, 784))
    made = {}
    for part, count in (("train", TRAIN + VALIDATION), ("test", TEST)):
        labels = random.permutation(np.arange(count) % 10)
        made[f"{part}_images"] = (patterns[labels] + random.integers(0, 56, (count, 784))).astype(np.uint8)
        made[f"{part}_labels"] = labels
    return SimpleNamespace(name=name, classes=10, **made)


def install(set_attribute):
    """Put the tiny data in the place of the real ones; set_attribute as monkeypatch.setattr, or builtin."""
    from core import machine
    from dfc import tasks

    split = tasks.train_validation_split
    set_attribute(tasks, "TEACHER_HIDDEN", TEACHER_HIDDEN)
    set_attribute(tasks, "datasets", SimpleNamespace(load=tiny_images))
    set_attribute(tasks, "train_validation_split", lambda count, _=0, order=None: split(count, VALIDATION, order))
    # It would start two processes per run, for nothing here.
    set_attribute(machine, "git_commit", lambda: "0" * 40)


def in_process(folder, monkeypatch):
    """A function of further options that runs main.py in this process, on the tiny data, and returns the exit status.

    The run goes to folder/run.
    """
    import main

    install(monkeypatch.setattr)

    def call(*argv):
        try:
            return main.main([*TINY, f"--out_dir={folder / 'run'}", *map(str, argv)])
        except SystemExit as stop:
            return stop.code

    return call


def start(*argv, fault=""):
    """The process of this script with the options TINY and these; text pipes."""
    return subprocess.Popen(
        [sys.executable, str(Path(__file__)), *TINY, *map(str, argv)],
        env={**os.environ, "TINY_FAULT": fault},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(*argv, fault="", timeout=60):
    """(exit status, stdout, stderr) of a whole process."""
    with start(*argv, fault=fault) as process:
        out, err = process.communicate(timeout=timeout)
    return process.returncode, out, err


def read_metrics(folder):
    """{column: list of numbers} of metrics.csv."""
    header, *rows = (folder / "metrics.csv").read_text().splitlines()
    values = [[float(value) for value in row.split(",")] for row in rows]
    return {name: [row[i] for row in values] for i, name in enumerate(header.split(","))}


def arrays(folder):
    """{name: array} of the weight files of a run."""
    return {path.stem: np.load(path, allow_pickle=False) for path in sorted(folder.glob("*.npy"))}


def results(folder):
    """{name: anything comparable} of all that a run computes; times and their columns left out."""
    found = {name: array.tobytes() for name, array in arrays(folder).items()}
    found |= {path.name: path.read_text() for path in folder.glob("*_angles*.csv")}
    metrics = read_metrics(folder) if (folder / "metrics.csv").exists() else {"epoch": []}
    # A run that was interrupted before its first epoch has left the names of the columns behind.
    if metrics["epoch"]:
        found["metrics.csv"] = {name: values for name, values in metrics.items() if name != "seconds"}
    summary = json.loads((folder / "results.json").read_text())
    found["results.json"] = {name: value for name, value in summary.items() if name not in TIMES}
    with np.load(folder / "results.npz", allow_pickle=False) as archive:
        found["results.npz"] = {name: archive[name].tobytes() for name in archive.files}
    lines = (folder / "performance_overview.txt").read_text().splitlines()
    found["performance_overview.txt"] = [line for line in lines if line.split()[0] not in TIMES]
    return found


def checkpoint(folder):
    """{name: bytes} of the arrays of a run's checkpoint, the times left out."""
    with np.load(folder / "checkpoint.npz", allow_pickle=False) as archive:
        return {name: archive[name].tobytes() for name in archive.files if "seconds" not in name and name != "sha256"}


def contents(folder):
    """{path: bytes, None for a folder} of all that lies below a folder; locks, which every look at
    a run takes, left out."""
    found = sorted(path for path in folder.rglob("*") if path.name != ".lock")
    return {path: path.read_bytes() if path.is_file() else None for path in found}


def complaint(err):
    """The one line that main.py leaves on stderr when it ends badly, checked to be that."""
    lines = err.splitlines()
    assert len(lines) == 1 and lines[0].startswith("main.py: "), err
    return lines[0]


def arrange(fault, set_attribute=setattr):
    """Patch the parts so that the fault "PLACE COUNT SIGNAL [SIGNAL…]" happens at the COUNT-th passage of PLACE."""
    from tests.faults.tiny_runs import send

    place, count, *names = fault.split()
    passages = iter(range(1, 1 << 62))

    def pass_by():
        if next(passages) == int(count):
            send(names)

    if place == "step":
        from dfc.learners import FeedbackLearner, ForwardLearner

        for learner in (FeedbackLearner, ForwardLearner):
            set_attribute(learner, "step", _and_pass(learner.step, pass_by))
    elif place == "replace":
        replace = os.replace

        def pass_and_replace(*paths):
            pass_by()
            replace(*paths)

        set_attribute(os, "replace", pass_and_replace)
    else:
        raise ValueError(f"there is no place {place!r}")


def _and_pass(step, pass_by):
    def step_and_pass(*arguments):
        step(*arguments)
        pass_by()

    return step_and_pass


if __name__ == "__main__":
    sys.path[0] = str(ROOT)
    from core.signals import start as start_signals

    start_signals()
    import main

    install(setattr)
    if os.environ.get("TINY_FAULT"):
        arrange(os.environ["TINY_FAULT"])
    sys.exit(main.main())
