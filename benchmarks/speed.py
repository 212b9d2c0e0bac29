"""Compares the speed of a training step with PyTorch, JAX and this machine's own matmul, as ratios in one run.

    python benchmarks/speed.py [--threads 2] [--rounds 5] [--json FILE]        (or: make bench)

Every figure is the median over the rounds of medians over the batches of a process; this program and its peers take turns, so
that other load on a shared machine affects all alike.  All use the same number of threads.  PyTorch and JAX are optional.
"""

import argparse
import json
import os
import statistics
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.sides import NAMES, installed, machine, ratio_to_the_fastest, run_pinned
from core.options import first_paragraph

PEERS = Path(__file__).with_name("peers.py")
SIZE, LAYERS, BATCH = 784, 5, 60
# (rule, lambda, batches per process)
CASES = (("BP", 0.0, 60), ("BP", 0.1, 20), ("GAIT", 0.1, 20))


def model_flops(algorithm, strength):
    """The number of floating-point operations in the equations of one step: a product of (a, b) by (b, c) counts 2 a b c.

    Forward, transposed (or inverse: one product with an inverse that came for free) and gradient products of every layer; the
    Gram matrix and its product with W.  Adam and everything elementwise count as nothing.
    """
    activity = 2 * BATCH * SIZE**2
    return (3 * LAYERS - 1) * activity + (2 * LAYERS * 2 * SIZE**3 if strength else 0)


def measure(side, case, precision, threads):
    """One process: {"step": seconds, "matmul_rate": FLOP/s}."""
    words = [str(PEERS), side, case[0], str(case[1]), precision, str(threads), str(case[2])]
    done = run_pinned(words, threads)
    if done.returncode:
        raise SystemExit(f"{' '.join(words)} failed:\n{done.stderr}")
    return json.loads(done.stdout)


def compare(case, precision, threads, rounds, sides):
    """{side: {"step", "matmul_rate"}} of medians, and "ratio" of this program's step to the fastest peer's, round by round."""
    found = {side: [] for side in sides}
    for _ in range(rounds):
        for side in sides:
            found[side].append(measure(side, case, precision, threads))
    keys = ("step", "matmul_rate")
    medians = {side: {key: statistics.median(one[key] for one in each) for key in keys} for side, each in found.items()}
    return medians | {"ratio": ratio_to_the_fastest(found)}


def show(case, precision, medians):
    algorithm, strength, _ = case
    ours = medians["suite"]
    share = model_flops(algorithm, strength) / ours["step"] / ours["matmul_rate"]
    peers = "".join(f"{1e3 * medians[side]['step']:9.1f}" if side in medians else f"{'-':>9}" for side in NAMES)
    ratio = f"{medians['ratio']:7.2f}" if medians["ratio"] else f"{'-':>7}"
    print(f"{precision}  {algorithm:<4} reg {strength:<4}  {1e3 * ours['step']:8.1f}{peers}{ratio}   {share:5.2f}", flush=True)
    return {"precision": precision, "rule": algorithm, "reg": strength, "share_of_matmul": share, **medians}


def main(argv=None):
    parser = argparse.ArgumentParser(description=first_paragraph(__doc__))
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)), help="threads of every side")
    parser.add_argument("--rounds", type=int, default=5, help="processes of each side; default 5")
    parser.add_argument("--json", help="write all medians to this file")
    options = parser.parse_args(argv)
    sides = ["suite", *installed(NAMES)]
    print(machine(options.threads))
    print(f"5 layers of 784 x 784, batch 60, {options.threads} threads, medians of {options.rounds} processes; ms per step")
    print("                          here  PyTorch      JAX  ratio to the faster   share of one large matmul's rate")
    rows = []
    for precision in ("float32", "float64"):
        for case in CASES:
            rows.append(show(case, precision, compare(case, precision, options.threads, options.rounds, sides)))
        plain, gait = rows[-2]["suite"]["step"], rows[-1]["suite"]["step"]
        print(f"{precision}  GAIT / BP, same regulariser: {gait / plain:.2f}")
    if options.json:
        Path(options.json).write_text(json.dumps({"threads": options.threads, "rows": rows}, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
