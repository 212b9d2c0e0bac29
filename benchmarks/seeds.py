"""Measures a step of several seeds at once against a step of one, in processor time on one thread.

    python benchmarks/seeds.py [--seeds 5] [--samples 128] [--steps 5] [--precision float64 float32]

The networks are 15-10-10-5 and 784-256-256-256-10, as in dfc_speed.py; DFC-SS and DFC have 1,000 time points in the
small one and 100 in the large one, the feedback weights those of the configs. One seed and the stack take turns, three
times, and every figure is a median.
"""

import argparse
import statistics
import sys
import time
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np

from benchmarks.dfc_cases import CASES, TOY
from benchmarks.dfc_peers import prepare
from benchmarks.sides import machine
from core.backend import Workers
from core.options import first_paragraph
from core.together import joined

ROUNDS = 3
RULES = ("BP", "DFA", "DFC-SSA", "DFC-SS", "DFC", "DFC-SSA, feedback")
HEAD = "| network | rule | precision | one seed, ms | several, ms | ratio |\n|---|---|---|---:|---:|---:|"


def case_of(rule, toy):
    """Returns the dfc_cases.Case of a rule for the small or the large network."""
    random = {} if rule.startswith("DFC") else {"initialization_K": "xavier_normal"}
    return replace(CASES[rule], changed=TOY | random if toy else {"tmax_di": 100})


def measure(case, precision, seeds, samples, steps):
    """Returns the medians of the processor seconds of a step, of one seed and of several."""
    with Workers(1) as workers, np.errstate(all="ignore"):
        works = [prepare(case, precision, workers, samples, seed=seed) for seed in range(seeds)]
        alone = prepare(case, precision, workers, samples).learner
        whole = joined([work.learner for work in works])
        batch = works[0].data.batch(works[0].order[0])
        sides, times = ((alone, batch), (whole, [np.stack([array] * seeds) for array in batch])), ([], [])
        for _ in range(ROUNDS):
            for (learner, arrays), taken in zip(sides, times, strict=True):
                # The first step of a side finds the arrays of the other in the cache, and the very first one compiles.
                learner.step(*arrays, (0, 0))
                for step in range(1, steps + 1):
                    start = time.process_time()
                    learner.step(*arrays, (0, step))
                    taken.append(time.process_time() - start)
        return [statistics.median(taken) for taken in times]


def main(argv=None):
    """Prints the table."""
    parser = argparse.ArgumentParser(description=first_paragraph(__doc__))
    parser.add_argument("--seeds", type=int, default=5, help="networks in the stack; default 5")
    parser.add_argument("--samples", type=int, default=128, help="samples in a batch; default 128")
    parser.add_argument("--steps", type=int, default=5, help="steps of each side at a turn; default 5")
    parser.add_argument("--precision", nargs="+", default=["float64", "float32"])
    options = parser.parse_args(argv)
    print(f"{machine([1])}; {options.seeds} seeds, {options.samples} samples.\n\n{HEAD}", flush=True)
    for toy, network in ((True, "15-10-10-5"), (False, "784-256-256-256-10")):
        for rule in RULES:
            for precision in options.precision:
                one, many = measure(case_of(rule, toy), precision, options.seeds, options.samples, options.steps)
                cells = network, rule, precision, f"{1e3 * one:.3g}", f"{1e3 * many:.3g}", f"{many / one:.1f}"
                print(f"| {' | '.join(cells)} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
