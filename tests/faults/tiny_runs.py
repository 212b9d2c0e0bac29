"""run.py on made-up images: whole runs in a fraction of a second, from real files through every real check.

Tests import the functions.  As a script it is run.py with these image sets in place of the published ones:

    TINY_FAULT="step 7 SIGKILL" python tests/faults/tiny_runs.py ARGUMENTS...

where the optional fault makes the process send itself signals at an exact place: right after a batch ("step"), or right
before a temporary file takes its final name ("replace").  A number among the signals is a pause in seconds.
"""

import contextlib
import functools
import gzip
import hashlib
import os
import signal
import struct
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
TRAIN, TEST, CLASSES = 120, 40, 10
# The tower needs images of 28 x 28 pixels.
SIDES = {"MNIST": 4, "KMNIST": 4, "FMNIST": 28}
CLOSED_PORT = "http://127.0.0.1:9/"


@functools.cache
def unpacked_files(name):
    """{role: content of the IDX file} of a made-up set: noisy copies of one image a class, which can be learned."""
    random, side = np.random.default_rng(sorted(SIDES).index(name)), SIDES[name]
    patterns = random.integers(0, 200, (CLASSES, side, side))
    files = {}
    for part, count in (("train", TRAIN), ("test", TEST)):
        labels = random.permutation(np.arange(count) % CLASSES)
        images = patterns[labels] + random.integers(0, 56, (count, side, side))
        images[0, 0, 0] = 255
        files[f"{part}_images"] = struct.pack(">4I", 0x803, count, side, side) + images.astype(np.uint8).tobytes()
        files[f"{part}_labels"] = struct.pack(">2I", 0x801, count) + labels.astype(np.uint8).tobytes()
    return files


def catalogue():
    """The made-up sets as datasets.CATALOGUE describes sets: they load only from files with their checksums."""
    import datasets
    from datasets.catalogue import IdxFile, Source

    sources = {}
    for name, side in SIDES.items():
        published = datasets.CATALOGUE[name]
        records = {}
        for role, content in unpacked_files(name).items():
            count = TRAIN if role.startswith("train") else TEST
            shape = (count, side, side) if role.endswith("images") else (count,)
            records[role] = IdxFile(getattr(published, role).name, shape, hashlib.sha256(content).hexdigest())
        sources[name] = Source(**records, url=CLOSED_PORT)
    return sources


def write_data(folder):
    """Put the made-up sets' files where --data_dir=folder finds them; returns {name: {role: path}}."""
    paths = {}
    for name, source in catalogue().items():
        (folder / name).mkdir(parents=True)
        paths[name] = {role: folder / name / f"{getattr(source, role).name}.gz" for role in unpacked_files(name)}
        for role, path in paths[name].items():
            path.write_bytes(gzip.compress(unpacked_files(name)[role], 1))
    return paths


def in_process(folder, monkeypatch):
    """A function of further options that runs run.py in this process, on the made-up sets, and returns the exit status.

    The data go to folder/data, the run folders to folder/results.
    """
    import datasets
    import run
    from core import machine

    monkeypatch.setattr(datasets, "CATALOGUE", catalogue())
    # It would start two processes per run, for nothing here.
    monkeypatch.setattr(machine, "git_commit", lambda: "0" * 40)
    write_data(folder / "data")

    def call(*argv):
        try:
            return run.main([f"--data_dir={folder / 'data'}", f"--results_dir={folder / 'results'}", *map(str, argv)])
        except SystemExit as stop:
            return stop.code

    return call


def start(*argv, fault=""):
    """The process of this script with these arguments; text pipes, buffered as where nobody has asked Python not to."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    return subprocess.Popen(
        [sys.executable, str(Path(__file__)), *map(str, argv)],
        env={**environment, "TINY_FAULT": fault},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(*argv, fault="", timeout=60):
    """(exit status, stdout, stderr) of a whole process."""
    with start(*argv, fault=fault) as process:
        out, err = process.communicate(timeout=timeout)
    return process.returncode, out, err


def contents(folder):
    """{path: bytes, None for a folder} of all that lies below a folder; locks, which every look at
    a run takes, left out."""
    found = sorted(path for path in folder.rglob("*") if path.name != ".lock")
    return {path: path.read_bytes() if path.is_file() else None for path in found}


def kill_at_random(process, random):
    """Kill a run at a moment that its own progress sets, however busy the machine is; nothing
    happens to one that is done.

    It comes after some epochs that the run has told of, within the time that the last of them took, or
    before the first one.
    """
    epochs, times = random.integers(0, 6), [time.monotonic()]
    while len(times) <= epochs and (line := process.stdout.readline()):
        times += [time.monotonic()] * line.startswith("epoch ")
    longest = times[-1] - times[-2] if len(times) > 1 else 0.5
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(timeout=random.uniform(0, longest))
    process.kill()


def read_metrics(folder):
    """{column: list of numbers} of metrics.csv."""
    header, *rows = (folder / "metrics.csv").read_text().splitlines()
    values = [[float(value) for value in row.split(",")] for row in rows]
    return dict(zip(header.split(","), map(list, zip(*values, strict=True)), strict=True))


def results(folder):
    """{name: bytes} of all that a run computes: weights, biases, series; the columns of seconds left out."""
    kept = {path.name: path.read_bytes() for path in folder.iterdir() if path.suffix in (".npy", ".txt")}
    lines = [line.rpartition(",") for line in (folder / "metrics.csv").read_text().splitlines()]
    assert lines[0][2] == "seconds"
    return kept | {"metrics.csv": "\n".join(line[0] for line in lines).encode()}


def only(folder):
    """The one run folder in a results folder."""
    (path,) = folder.iterdir()
    return path


def checkpoint(folder):
    """{name: bytes} of the arrays of a run's checkpoint, the times left out."""
    with np.load(folder / "checkpoint.npz", allow_pickle=False) as archive:
        return {name: archive[name].tobytes() for name in archive.files if "seconds" not in name and name != "sha256"}


def complaint(err):
    """The one line that run.py leaves on stderr when it ends badly, checked to be that."""
    lines = err.splitlines()
    assert len(lines) == 1 and lines[0].startswith("run.py: "), err
    return lines[0]


def send(names):
    """Send this process signals of these names, one after the other; a number is a pause in seconds."""
    for name in names:
        if name[0].isdigit():
            time.sleep(float(name))
        else:
            os.kill(os.getpid(), getattr(signal, name))


def _arrange(fault):
    """Patch the parts so that the fault "PLACE COUNT SIGNAL [SIGNAL…]" happens at the COUNT-th
    passage of PLACE; see `send`."""
    place, count, *names = fault.split()
    passages = iter(range(1, 1 << 62))

    def pass_by():
        if next(passages) == int(count):
            send(names)

    if place == "step":
        from gait.learner import Learner

        step = Learner.step

        def step_and_pass(self, *batch):
            step(self, *batch)
            pass_by()

        Learner.step = step_and_pass
    elif place == "replace":
        replace = os.replace

        def pass_and_replace(*paths):
            pass_by()
            replace(*paths)

        os.replace = pass_and_replace
    else:
        raise ValueError(f"there is no place {place!r}")


if __name__ == "__main__":
    sys.path[0] = str(ROOT)
    from core.signals import start as start_signals

    start_signals()
    import datasets
    import run

    datasets.CATALOGUE = catalogue()
    if os.environ.get("TINY_FAULT"):
        _arrange(os.environ["TINY_FAULT"])
    sys.exit(run.main())
