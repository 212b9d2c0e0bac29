"""Compares the speed of a training step of system 1 with PyTorch, JAX and this machine's matmul.

    python benchmarks/speed.py [--threads 1 2] [--rounds 5] [--quick] [--markdown FILE] [--json FILE]
    make bench

Every figure is a median over the rounds of medians over the batches of a process; this program and its peers take
turns, so that other load on a shared machine affects all equally, and the comparison is made by ratios in one
run. All use the same number of threads. PyTorch and JAX are optional.
"""

import argparse
import json
import statistics
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.sides import (
    NAMES,
    Page,
    add_options,
    installed,
    machine,
    number,
    parsed,
    ratio_to_the_fastest,
    run_pinned,
    told,
)
from core.options import first_paragraph

PEERS = Path(__file__).with_name("peers.py")
SIZE, LAYERS, BATCH = 784, 5, 60
# (rule, lambda, batches per process)
CASES = (("BP", 0.0, 60), ("BP", 0.1, 20), ("GAIT", 0.1, 20))
HEAD = """\
| precision | threads | rule | regulariser | here, ms | PyTorch, ms | JAX, ms | ratio | share of one matmul's rate |
|---|---:|---|---:|---:|---:|---:|---:|---:|"""
LEGEND = """\
Milliseconds per training step of 5 layers of 784 x 784 with a batch of 60, from bytes to updated weights; the ratio
is to the faster of PyTorch and JAX.  The last column is the rate of the step's products, Adam not counted, against that
of one product of 2000 x 2000 matrices."""


def model_flops(algorithm, strength):
    """Returns the floating-point operations in the equations of one step; (a, b) by (b, c) counts 2 a b c.

    They are the forward, transposed (or inverse, counted as one product) and gradient products of every layer,
    and the Gram matrix with its product with W. Adam and all elementwise work count as nothing.
    """
    activity = 2 * BATCH * SIZE**2
    return (3 * LAYERS - 1) * activity + (2 * LAYERS * 2 * SIZE**3 if strength else 0)


def measure(side, case, precision, threads):
    """Returns {"step": seconds, "matmul_rate": FLOP/s} of one process."""
    words = [str(PEERS), side, case[0], str(case[1]), precision, str(threads), str(case[2])]
    done = run_pinned(words, threads)
    if done.returncode:
        raise SystemExit(f"{' '.join(words)} failed:\n{done.stderr}")
    return json.loads(done.stdout)


def compare(case, precision, threads, rounds, sides):
    """Returns {side: {"step", "matmul_rate"}} of medians, and "ratio" of our step by the fastest peer's."""
    found = {side: [] for side in sides}
    for _ in range(rounds):
        for side in sides:
            found[side].append(measure(side, case, precision, threads))
    keys = ("step", "matmul_rate")
    medians = {side: {key: statistics.median(one[key] for one in each) for key in keys} for side, each in found.items()}
    return medians | {"ratio": ratio_to_the_fastest(found)}


def row_of(case, precision, threads, medians):
    """Returns a row of the table as {column: number}."""
    algorithm, strength, _ = case
    ours = medians["suite"]
    share = model_flops(algorithm, strength) / ours["step"] / ours["matmul_rate"]
    return {
        "precision": precision,
        "threads": threads,
        "rule": algorithm,
        "reg": strength,
        "share_of_matmul": share,
        **medians,
    }


def line_of(row):
    """Returns the row as a line of a Markdown table."""
    steps = [number(1e3 * row[side]["step"] if side in row else None, ".1f") for side in ("suite", *NAMES)]
    cells = [row["precision"], row["threads"], row["rule"], row["reg"], *steps, number(row["ratio"], ".2f")]
    return f"| {' | '.join(map(str, cells))} | {row['share_of_matmul']:.2f} |"


def main(argv=None):
    """Prints the table."""
    parser = argparse.ArgumentParser(description=first_paragraph(__doc__))
    add_options(parser, rounds=5)
    options = parsed(parser, argv)
    sides, page, rows = ["suite", *(() if options.alone else installed(NAMES))], Page(options.markdown), []
    page.add(f"{machine(options.threads)}, {told(options.rounds)}.\n\n{HEAD}")
    for precision in ("float32", "float64"):
        for threads in options.threads:
            for rule, strength, batches in CASES:
                case = rule, strength, max(8, batches // 2) if options.quick else batches
                rows.append(row_of(case, precision, threads, compare(case, precision, threads, options.rounds, sides)))
                page.add(line_of(rows[-1]))
    page.add("")
    for row, other in zip(rows[1::3], rows[2::3], strict=True):
        quotient = other["suite"]["step"] / row["suite"]["step"]
        page.add(f"GAIT / BP with the same regulariser, {row['precision']}, {row['threads']} threads: {quotient:.2f}.")
    page.add(LEGEND)
    if options.json:
        Path(options.json).write_text(json.dumps(rows, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
