"""Speed of a training step against PyTorch and against this machine's own matmul, as ratios in one run.

    python benchmarks/speed.py [--threads 2] [--rounds 5] [--json FILE]        (or: make bench)

Every figure is the median over the rounds of medians over the batches of a process; this program and PyTorch take turns, so
that both see the same weather on a shared machine.  Both use the same number of threads.  PyTorch is optional.
"""

import argparse
import importlib.util
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

PEERS = Path(__file__).with_name("peers.py")
SIZE, LAYERS, BATCH = 784, 5, 60
CASES = (("BP", 0.0, 60), ("BP", 0.1, 20), ("GAIT", 0.1, 20))  # rule, lambda, batches a process


def model_flops(algorithm, strength):
    """Floating-point operations that one step's mathematics asks for: a product of (a, b) by (b, c) counts 2 a b c.

    Forward, transposed (or inverse: one product with an inverse that came for free) and gradient products of every layer; the
    Gram matrix and its product with W.  Adam and everything elementwise count as nothing.
    """
    activity = 2 * BATCH * SIZE**2
    return (3 * LAYERS - 1) * activity + (2 * LAYERS * 2 * SIZE**3 if strength else 0)


def measure(side, case, precision, threads):
    """One process: {"step": seconds, "matmul_rate": FLOP/s}."""
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    environment = os.environ | dict.fromkeys(names, str(threads))
    for name in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"):  # they would make BLAS take the machine for another one
        environment.pop(name, None)
    algorithm, strength, batches = case
    command = [sys.executable, str(PEERS), side, algorithm, str(strength), precision, str(threads), str(batches)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr}")
    return json.loads(done.stdout)


def compare(case, precision, threads, rounds, sides):
    """{side: {"step", "matmul_rate", "ratio"}} of medians; ratio of this program's step to the peer's, pair by pair."""
    found = {side: [] for side in sides}
    for _ in range(rounds):
        for side in sides:
            found[side].append(measure(side, case, precision, threads))
    keys = ("step", "matmul_rate")
    medians = {side: {key: statistics.median(one[key] for one in each) for key in keys} for side, each in found.items()}
    if "torch" in sides:
        pairs = zip(found["suite"], found["torch"], strict=True)
        medians["ratio"] = statistics.median(ours["step"] / theirs["step"] for ours, theirs in pairs)
    return medians


def show(case, precision, medians):
    algorithm, strength, _ = case
    ours = medians["suite"]
    share = model_flops(algorithm, strength) / ours["step"] / ours["matmul_rate"]
    torch = medians.get("torch")
    peer = f"{1e3 * torch['step']:8.1f}   {medians['ratio']:5.2f}" if torch else "       -       -"
    print(f"{precision}  {algorithm:<4} reg {strength:<4}  {1e3 * ours['step']:8.1f}  {peer}   {share:5.2f}", flush=True)
    return {"precision": precision, "rule": algorithm, "reg": strength, "share_of_matmul": share, **medians}


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)), help="threads of BLAS and PyTorch")
    parser.add_argument("--rounds", type=int, default=5, help="processes of each side; default 5")
    parser.add_argument("--json", help="write all medians to this file")
    options = parser.parse_args(argv)
    sides = ["suite"] + ["torch"] * (importlib.util.find_spec("torch") is not None)
    if len(sides) == 1:
        print("PyTorch is not installed (pip install torch): this program alone", file=sys.stderr)
    print(f"5 layers of 784 x 784, batch 60, {options.threads} threads, medians of {options.rounds} processes; ms a step")
    print("                          here   PyTorch   ratio   share of one large matmul's rate")
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
