"""Runs what needs a machine with a GPU, in under eight minutes: tests, times of steps, and training.

    python benchmarks/gpu.py [--minutes 8] [--out results/gpu] [--dry_run]        (or: make gpu)

Each part writes its figures at once, to the screen, to OUT/steps.md and to OUT/steps.json; a part that fails is named
and stops no other one. PyTorch is measured too where it is installed. The time that is left trains
configs_mnist.mnist_dfc_ssa, five seeds at once, in OUT/mnist_dfc_ssa; the same command continues it.
"""

import argparse
import contextlib
import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
import traceback
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.gpu_cases import (
    EXTENTS,
    PRECISION,
    SYSTEM_1,
    SYSTEM_2,
    launches_of,
    matmul_rate,
    seconds_of,
    stand_in,
    training,
)
from benchmarks.sides import Page, number
from core.backend import select_backend
from core.errors import UserError
from core.options import first_paragraph

ROOT = Path(__file__).resolve().parent.parent
HEAD = """\
| program | rule | regulariser | seeds | ms per step | ms per step and seed | share of one matmul's rate \
| ms as written | launches as written | PyTorch, ms | PyTorch with a CUDA graph, ms |
|---|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|"""
LEGEND = """
A step takes images from bytes to updated weights, repeated from a recorded graph (core/replay.py), or as it is written:
then its launches of kernels and libraries are those that tests/device/strict_cupy.py counts. The share counts the
operations of a step's products."""
SEEDS_1, SEEDS_2 = (1, 5, 10), (1, 5)
# Seconds that the tests may take, PyTorch, and a program to save and end.
TESTS, PEERS, SAVING = 120.0, 90.0, 20.0
# What makes the run small where there is no GPU.
DRY = ["--backend=numpy", "--train_samples=128", "--epochs=1", "--epochs_fb=1", "--tmax_di_fb=6", "--nb_seeds=2"]


def torch_steps(page, extent, seconds):
    """Returns {case: {"step", "graph"}} of PyTorch, as far as it comes in time; {} without it."""
    if importlib.util.find_spec("torch") is None:
        page.add("PyTorch is not installed\n")
        return {}
    words = [sys.executable, str(ROOT / "benchmarks" / "gpu_torch.py"), extent]
    try:
        done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=max(1.0, seconds))
        lines, code = done.stdout, done.returncode
        print(done.stderr, end="", file=sys.stderr)
    except subprocess.TimeoutExpired as error:
        lines, code = (error.stdout or b"").decode(), "not over"
    found = {}
    for line in lines.splitlines():
        with contextlib.suppress(ValueError):
            told = json.loads(line)
            found[tuple(told.pop("case"))] = told
    page.add(f"PyTorch: {len(found)} cases" + (f"; its process: {code}" if code else "") + "\n")
    return found


def measured(case, seeds, backend, extent, rate):
    """Returns what is measured of a case: {seconds, written, launches, share}."""
    with training(case, seeds, backend, extent) as (learner, steps, operations):
        written, seconds = (seconds_of(learner, steps[kind], extent) for kind in ("written", "recorded"))
    launches = launches_of(case, seeds, extent)
    return {"seconds": seconds, "share": operations / seconds / rate, "written": written, "launches": launches}


def steps(page, file, backend, extent, peers, end):
    """Adds the table of times, until `end` on the clock; a case that fails has its error in place of numbers.

    file    where all figures are written as JSON, anew after each case
    peers   what `torch_steps` returned
    Returns  whether none failed
    """
    rate = matmul_rate(backend, extent.side)
    page.add(
        f"{backend.describe()}; a product of {extent.side} x {extent.side} runs at {rate / 1e12:.3g} TFLOP/s\n\n{HEAD}"
    )
    told = {"device": backend.describe(), "precision": PRECISION, "matmul_rate": rate, "rows": []}
    cases = [(case, seeds) for case in SYSTEM_1 for seeds in SEEDS_1] + [
        (case, seeds) for case in SYSTEM_2 for seeds in SEEDS_2
    ]
    for case, seeds in cases:
        if time.monotonic() > end:
            page.add("\nthe time is over: the other cases are left out")
            break
        row = dict(zip(("program", "rule", "regulariser"), case, strict=True)) | {"seeds": seeds}
        try:
            row |= measured(case, seeds, backend, extent, rate)
        except Exception as error:
            traceback.print_exc()
            row["failed"] = type(error).__name__
        row["torch"] = peers.get(case) if seeds == 1 else None
        told["rows"].append(row)
        page.add(line_of(row))
        file.write_text(json.dumps(told, indent=2) + "\n")
    page.add(LEGEND)
    return not any("failed" in row for row in told["rows"])


def line_of(row):
    """Returns the row as a line of a Markdown table."""
    begin = f"| {row['program']} | {row['rule']} | {row['regulariser']} | {row['seeds']} |"
    if "failed" in row:
        return f"{begin} failed: {row['failed']} | | | | | | |"
    step = 1e3 * row["seconds"]
    own = (
        f"{step:.3g} | {step / row['seeds']:.3g} | {row['share']:.3f} | {1e3 * row['written']:.3g} | {row['launches']}"
    )
    peer = row["torch"] or {}
    times = [number(1e3 * peer[kind] if peer.get(kind) else None, ".3g") for kind in ("step", "graph")]
    return f"{begin} {own} | {' | '.join(times)} |"


def tests(page, seconds, dry):
    """Runs the tests that need a GPU; their last line goes to the page.  Returns whether all passed.

    dry  in one process: all are skipped
    """
    words = [sys.executable, "-m", "pytest", "-m", "gpu", "-p", "no:cacheprovider", "-p", "no:benchmark"]
    if importlib.util.find_spec("xdist") and not dry:
        words += ["-n", str(min(8, os.cpu_count() or 1))]
    words.append("tests/device")
    try:
        done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=max(1.0, seconds))
    except subprocess.TimeoutExpired:
        page.add(f"tests that need a GPU: not over after {seconds:.0f} s\n")
        return False
    lines = done.stdout.strip().splitlines() or [done.stderr.strip()]
    page.add(f"tests that need a GPU: {lines[-1]}\n")
    if done.returncode:
        print(done.stdout, file=sys.stderr)
    return not done.returncode


def train(page, folder, seconds, dry):
    """Spends the time that is left on five seeds of mnist_dfc_ssa; they are saved when it is over.

    dry  take few images and time points, and no GPU
    """
    words = [
        "run_seed_robustness.py",
        "--config_module=configs.configs_mnist.mnist_dfc_ssa",
        "--name=mnist_dfc_ssa",
        "--together",
    ]
    words = [sys.executable, *words, "--single_precision", f"--out_dir={folder.resolve()}", "--quiet"]
    words += DRY if dry else ["--backend=cupy"]
    process, start = subprocess.Popen(words, cwd=ROOT), time.monotonic()
    try:
        process.wait(max(1.0, seconds))
    except subprocess.TimeoutExpired:
        process.terminate()
        try:
            process.wait(SAVING)
        except subprocess.TimeoutExpired:
            process.kill()
    rows = [len(file.read_text().splitlines()) - 1 for file in folder.rglob("metrics.csv")]
    page.add(
        f"\nmnist_dfc_ssa: {len(rows)} seeds at once, epochs {rows} in {time.monotonic() - start:.0f} s; in {folder}"
    )
    return process.returncode in (0, 128 + signal.SIGTERM) and bool(rows)


def carried_out(page, name, part):
    """Returns what a part of the script returns; an error is written down, and gives False."""
    try:
        return part()
    except Exception as error:
        traceback.print_exc()
        page.add(f"\n{name} failed: {type(error).__name__}: {error}")
        return False


def main(argv=None):
    """Runs all parts; returns the exit status: 2 where no GPU works, 1 if a part failed."""
    parser = argparse.ArgumentParser(description=first_paragraph(__doc__))
    parser.add_argument("--minutes", type=float, default=8.0, help="time for all parts; default 8")
    parser.add_argument(
        "--out", type=Path, default=Path("results/gpu"), help="folder of figures and runs; default results/gpu"
    )
    parser.add_argument(
        "--dry_run", action="store_true", help="all parts, small, on a stand-in for cupy: to see that they run"
    )
    options = parser.parse_args(argv)
    with stand_in() if options.dry_run else contextlib.nullcontext():
        try:
            backend = select_backend("cupy", 0, PRECISION)
        except UserError as error:
            print(f"gpu.py: {error}", file=sys.stderr)
            return 2
        options.out.mkdir(parents=True, exist_ok=True)
        return carry_out(options, backend, time.monotonic() + 60 * options.minutes)


def carry_out(options, backend, end):
    """Runs the parts one after the other, until `end` on the clock; returns the exit status."""
    page, file, dry = Page(options.out / "steps.md"), options.out / "steps.json", options.dry_run
    kind = "tiny" if dry else "full"
    sound = carried_out(page, "the tests", lambda: tests(page, min(TESTS, end - time.monotonic()), dry))
    peers = carried_out(page, "PyTorch", lambda: torch_steps(page, kind, min(PEERS, end - time.monotonic())))
    sound &= peers is not False
    sound &= carried_out(
        page, "the table of times", lambda: steps(page, file, backend, EXTENTS[kind], peers or {}, end)
    )
    left = end - time.monotonic() - SAVING
    if left > 0:
        sound &= carried_out(page, "the run", lambda: train(page, options.out / "mnist_dfc_ssa", left, dry))
    return 0 if sound else 1


if __name__ == "__main__":
    sys.exit(main())
