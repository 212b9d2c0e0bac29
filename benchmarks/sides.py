"""Holds what the benchmarks have in common: options, processes, installed peers, the machine, and tables."""

import argparse
import importlib.util
import os
import statistics
import subprocess
import sys
from pathlib import Path

from core.machine import blas, processor

NAMES = {"torch": "PyTorch", "jax": "JAX"}


def add_options(parser, rounds):
    """Adds the options of both benchmarks; `rounds` is the default of --rounds."""
    parser.add_argument(
        "--threads", type=_positive, nargs="+", default=[1, 2], help="threads of every side; default 1 2"
    )
    parser.add_argument("--rounds", type=_positive, help=f"processes of each side; default {rounds}, with --quick 1")
    parser.add_argument(
        "--quick", action="store_true", help="one process of each side and fewer batches: minutes in all"
    )
    parser.add_argument("--alone", action="store_true", help="leave out PyTorch and JAX, even if they are installed")
    parser.add_argument("--markdown", help="write the printed text to this file, row by row")
    parser.add_argument("--json", help="write all medians to this file")
    parser.set_defaults(default_rounds=rounds)


def parsed(parser, argv):
    """Returns the options of a command line, with `rounds` filled in."""
    options = parser.parse_args(argv)
    options.rounds = options.rounds or (1 if options.quick else options.default_rounds)
    return options


def _positive(text):
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r} must be a whole number above 0")
    return int(text)


class Page:
    """Prints text as it grows, and writes it to a file if there is one."""

    def __init__(self, file=None):
        self._file = Path(file) if file else None
        if self._file:
            self._file.write_text("")

    def add(self, text):
        """Adds one text."""
        print(text, flush=True)
        if self._file:
            with self._file.open("a") as out:
                out.write(text + "\n")


def told(rounds):
    """Returns in words how many processes of each side a figure is the median of."""
    return "one process of each side" if rounds == 1 else f"medians of at most {rounds} processes of each side"


def number(value, form):
    """Returns a number as text for a cell of a table; a dash for None."""
    return "-" if value is None else format(value, form)


def run_pinned(words, threads):
    """Runs Python on `words` with so many threads on so many processors; returns the CompletedProcess.

    JAX has no option for the number of its threads: it makes one for each processor that it may use.
    """
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    environment = os.environ | dict.fromkeys(names, str(threads)) | {"JAX_PLATFORMS": "cpu"}
    # These variables would make BLAS take the machine for another one.
    for name in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"):
        environment.pop(name, None)
    pin = (
        ["taskset", "--cpu-list", ",".join(map(str, sorted(os.sched_getaffinity(0))[-threads:]))]
        if _has_taskset()
        else []
    )
    return subprocess.run([*pin, sys.executable, *words], env=environment, capture_output=True, text=True)


def _has_taskset():
    return (
        hasattr(os, "sched_getaffinity") and subprocess.run(["which", "taskset"], capture_output=True).returncode == 0
    )


def installed(sides):
    """Returns the peers that can be imported, and names the others on stderr."""
    found = [side for side in sides if importlib.util.find_spec(side)]
    for side in sides:
        if side not in found:
            print(f"{NAMES[side]} is not installed (pip install {side}): left out", file=sys.stderr)
    return found


def ratio_to_the_fastest(runs):
    """Returns this program's seconds per step by those of the fastest peer; None without a peer.

    It is the median of the ratios over the rounds.

    runs  {"suite" or name of a peer: one {"step": seconds, …} per round}
    """
    peers = [runs[side] for side in runs if side != "suite"]
    if not peers:
        return None
    rounds = zip(runs["suite"], *peers, strict=True)
    return statistics.median(ours["step"] / min(each["step"] for each in theirs) for ours, *theirs in rounds)


def machine(threads):
    """Returns one sentence: processor, kernel of numpy's BLAS, numbers of threads, versions and load."""
    import numpy as np

    versions = [f"numpy {np.__version__}"]
    for name in ("torch", "jax", "numba"):
        if importlib.util.find_spec(name):
            versions.append(f"{name} {importlib.import_module(name).__version__}")
    counts = " and ".join(map(str, threads)) + (" thread" if threads == [1] else " threads")
    load = f"; load {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors" if hasattr(os, "getloadavg") else ""
    return f"{processor()}, BLAS {blas() or 'unknown'}, {counts}, {', '.join(versions)}{load}"
