"""Runs what needs a machine with a GPU, in under eight minutes: tests, times of steps, and training.

    python benchmarks/gpu.py [--minutes 8] [--out results/gpu] [--tiny]        (or: make gpu)

Each part writes its figures at once, to the screen and to OUT/steps.md; a part that fails is named and stops no
other one. The time that is left trains configs_mnist.mnist_dfc_ssa, five seeds at once, in OUT/mnist_dfc_ssa; the
same command continues it.
"""

import argparse
import dataclasses
import signal
import statistics
import subprocess
import sys
import time
import traceback
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import dfc_peers, peers
from benchmarks.dfc_costs import flops, products
from benchmarks.sides import Page
from benchmarks.speed import CASES, model_flops
from core.errors import UserError
from core.options import first_paragraph
from core.together import joined
from core.workers import Workers

ROOT = Path(__file__).resolve().parent.parent
HEAD = """\
| program | rule | regulariser | seeds | ms per step | ms per step and seed | share of one matmul's rate |
|---|---|---:|---:|---:|---:|---:|"""
SYSTEM_1 = tuple(case[:2] for case in CASES)
SYSTEM_2 = ("BP", "DFA", "DFC-SSA", "DFC-SSA, feedback", "DFC-SS", "DFC")
SEEDS_1, SEEDS_2 = (1, 5, 10), (1, 5)
# Seconds that the tests may take, and that a program may take to save and end.
TESTS, SAVING = 150.0, 20.0
PRECISION = "float32"


@dataclasses.dataclass(frozen=True)
class Extent:
    """Says how much is measured.

    The fields are seconds per case, most steps of a case, side of the large product, and flags of small
    simulations.
    """

    seconds: float = 4.0
    steps: int = 50
    side: int = 8192
    changed: dict = dataclasses.field(default_factory=dict)


TINY = Extent(0.0, 1, 64, dfc_peers.sizes_of("tiny")[0])


def matmul_rate(backend, side):
    """Returns the operations per second of a large product on the device, the median of five."""
    xp = backend.xp
    a = xp.ones((side, side), dtype=backend.dtype)
    times = []
    for _ in range(6):
        start = time.perf_counter()
        float((a @ a)[0, 0])
        times.append(time.perf_counter() - start)
    return 2 * side**3 / statistics.median(times[1:])


def seconds_of(learner, step, extent):
    """Returns the seconds of a step, without the first two, which compile kernels.

    The device is waited for only at the end.
    """
    for i in range(2):
        step(i)
    learner.finite()
    count, start = 0, time.perf_counter()
    while count < extent.steps and (count == 0 or time.perf_counter() - start < extent.seconds):
        step(2 + count)
        count += 1
    learner.finite()
    return (time.perf_counter() - start) / count


def stacked(batch, seeds, xp):
    """Returns the batch with a leading axis of seeds, if there are several."""
    return batch if seeds == 1 else [xp.stack([array] * seeds) for array in batch]


def time_system_1(rule, strength, seeds, backend, extent):
    """Returns the seconds of a step of run.py for so many networks at once, and its operations."""
    import run
    from datasets.samples import Images, divided_table

    words = [f"--algorithm={rule}", f"--orthogonal_reg={strength}", f"--nb_layers={peers.LAYERS - 1}", f"--precision={PRECISION}"]
    options, own = run.parse(words)
    pixels, labels = peers.images(8)
    samples = Images(pixels, labels, divided_table(255, backend.dtype), backend, "one_hot", peers.CLASSES)
    with Workers(1) as workers:
        build = partial(run.build_learner, rule_options=own, samples=samples, backend=backend, workers=workers)
        learner = joined([build(dataclasses.replace(options, seed=seed)) for seed in range(1, seeds + 1)])
        batches = [samples.batch(slice(i * peers.BATCH, (i + 1) * peers.BATCH)) for i in range(8)]
        batches = [stacked(batch, seeds, backend.xp) for batch in batches]
        seconds = seconds_of(learner, lambda i: learner.step(*batches[i % 8], (0, i)), extent)
    return seconds, seeds * model_flops(rule, strength)


def time_system_2(name, _, seeds, backend, extent):
    """Returns the same for a minibatch of main.py."""
    case = dfc_peers.CASES[name]
    with Workers(1) as workers:
        build = partial(dfc_peers.prepare, case, PRECISION, workers, library=backend.name, **extent.changed)
        works = [build(seed=seed) for seed in range(1, seeds + 1)]
        learner = joined([work.learner for work in works])
        batches = [stacked(works[0].data.batch(works[0].order[i]), seeds, backend.xp) for i in range(4)]
        seconds = seconds_of(learner, lambda i: learner.step(*batches[i % 4], (0, i)), extent)
    count = sum(times * flops(shape) for times, *shape in products(works[0], case.phase, dfc_peers.BATCH))
    return seconds, seeds * count


def steps(page, backend, extent, end):
    """Adds the table of times, until `end` on the clock; a case that fails has its error instead of numbers.

    Returns  whether none failed
    """
    sound = True
    rate = matmul_rate(backend, extent.side)
    page.add(f"{backend.describe()}; a product of {extent.side} x {extent.side} runs at {rate / 1e12:.3g} TFLOP/s\n\n{HEAD}")
    cases = [("run.py", time_system_1, rule, strength, seeds) for rule, strength in SYSTEM_1 for seeds in SEEDS_1]
    cases += [("main.py", time_system_2, name, 0.0, seeds) for name in SYSTEM_2 for seeds in SEEDS_2]
    for program, measure, rule, strength, seeds in cases:
        if time.monotonic() > end:
            page.add("\nthe time is over: the other cases are left out")
            break
        begin = f"| {program} | {rule} | {strength} | {seeds} |"
        try:
            seconds, operations = measure(rule, strength, seeds, backend, extent)
        except Exception as error:
            traceback.print_exc()
            page.add(f"{begin} failed: {type(error).__name__} | | |")
            sound = False
            continue
        page.add(f"{begin} {1e3 * seconds:.3g} | {1e3 * seconds / seeds:.3g} | {operations / seconds / rate:.3f} |")
    return sound


def tests(page, seconds):
    """Runs the tests that need a GPU, and adds their last line to the page; returns whether all passed."""
    words = [sys.executable, "-m", "pytest", "-m", "gpu", "-p", "no:cacheprovider", "tests/device"]
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


def train(page, folder, seconds):
    """Trains five seeds of mnist_dfc_ssa in the time that is left, and saves them."""
    words = ["run_seed_robustness.py", "--config_module=configs.configs_mnist.mnist_dfc_ssa", "--name=mnist_dfc_ssa", "--together"]
    words = [sys.executable, *words, "--single_precision", "--backend=cupy", f"--out_dir={folder.resolve()}", "--quiet"]
    process = subprocess.Popen(words, cwd=ROOT)
    try:
        process.wait(max(1.0, seconds))
    except subprocess.TimeoutExpired:
        process.terminate()
        try:
            process.wait(SAVING)
        except subprocess.TimeoutExpired:
            process.kill()
    rows = [len(file.read_text().splitlines()) - 1 for file in folder.rglob("metrics.csv")]
    page.add(f"\nmnist_dfc_ssa: {len(rows)} seeds at once, epochs {rows} in {seconds:.0f} s; in {folder}")
    return process.returncode in (0, 128 + signal.SIGTERM) and bool(rows)


def carried_out(page, name, part):
    """Returns whether a part of the script went well; an error is written down, and stops no other part."""
    try:
        return part()
    except Exception as error:
        traceback.print_exc()
        page.add(f"\n{name} failed: {type(error).__name__}: {error}")
        return False


def main(argv=None):
    """Runs all parts; returns the exit status: 2 if no GPU works, 1 if a part failed."""
    from core.backend import select_backend

    parser = argparse.ArgumentParser(description=first_paragraph(__doc__))
    parser.add_argument("--minutes", type=float, default=8.0, help="time for all parts; default 8")
    parser.add_argument("--out", type=Path, default=Path("results/gpu"), help="folder of figures and runs; default results/gpu")
    parser.add_argument("--tiny", action="store_true", help="few and small steps, no tests, no run: only to see that it works")
    options = parser.parse_args(argv)
    end = time.monotonic() + 60 * options.minutes
    try:
        backend = select_backend("cupy", 0, PRECISION)
    except UserError as error:
        print(f"gpu.py: {error}", file=sys.stderr)
        return 2
    options.out.mkdir(parents=True, exist_ok=True)
    page, extent = Page(options.out / "steps.md"), TINY if options.tiny else Extent()
    sound = options.tiny or carried_out(page, "the tests", lambda: tests(page, min(TESTS, end - time.monotonic())))
    sound &= carried_out(page, "the table of times", lambda: steps(page, backend, extent, end))
    left = end - time.monotonic() - SAVING
    if left > 0 and not options.tiny:
        sound &= carried_out(page, "the run", lambda: train(page, options.out / "mnist_dfc_ssa", left))
    return 0 if sound else 1


if __name__ == "__main__":
    sys.exit(main())
