"""Compares the speed of system 2's minibatches with PyTorch, JAX, the published program and matmul.

    python benchmarks/dfc_speed.py [--threads 1 2] [--rounds 3] [--quick] [--markdown FILE] [--json FILE]
    make bench

Every figure is the median over the rounds of medians over the minibatches of a process; this program and its
peers take turns, so that other load on a shared machine affects all equally. All use the same number of threads.
PyTorch and JAX are optional; those that are installed must first agree with this program on the gradients
(dfc_peers.py check).
"""

import argparse
import json
import statistics
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.sides import (
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

PEERS = Path(__file__).with_name("dfc_peers.py")
# The minibatches that one process measures (the fast ones together), and the largest number of rounds.
PROCESSES = (
    (("BP", "DFA", "DFC-SSA", "DFC-SSA, feedback", "DFC, feedback"), 9),
    (("DFC-SS, toy", "DFC, toy"), 9),
    (("DFC-SS",), 2),
    (("DFC",), 2),
    (("DFC-SSA, autoencoder",), 2),
)
# Seconds of the published program in float64, recorded on one thread of a similar machine.
PUBLISHED = {
    "BP": 0.012,
    "DFA": 0.005,
    "DFC-SSA": 0.024,
    "DFC-SS": 2.9,
    "DFC": 14.5,
    "DFC-SSA, feedback": 0.34,
    "DFC, feedback": 0.31,
    "DFC-SSA, autoencoder": 9.6,
    "DFC-SS, toy": None,
    "DFC, toy": None,
}
PEER_SIDES = ("torch", "jax")
HEAD = """\
| precision | threads | minibatch | here, s | PyTorch, s | JAX, s | ratio | published, s | ratio | products | random \
| rate |
|---|---:|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|"""
LEGEND = """\
Seconds per minibatch of 128 images, 784-256-256-256-10 (toy: 15-10-10-5; autoencoder: 784-256-32-256-784); 1,000 time
points for DFC-SS and DFC. The first ratio is to the faster of PyTorch and JAX. published: recorded on one thread of a
similar machine, not in this run. The last three columns are shares of this program's processor time. products, random:
what exactly the same matrix products or normals take alone, in the same process. rate: what the products would take
(2abc operations for (a, b) times (b, c)) at the rate of a product (128, 256) by (256, 256), whose rows the threads
share; in brackets, of 2000 x 2000 matrices."""
# With a smaller share of its processor a single thread was not alone on the machine.
BUSY = 0.9


def child(arguments, threads=1):
    """Returns the output of a process of dfc_peers.py, read as JSON."""
    done = run_pinned([str(PEERS), *map(str, arguments)], threads)
    if done.returncode:
        raise SystemExit(f"dfc_peers.py {' '.join(map(str, arguments))} failed:\n{done.stderr}")
    return json.loads(done.stdout)


def compare(cases, precision, threads, rounds, sides, extent):
    """Returns {case: {side: medians, "ratio": median over the rounds of our seconds by PyTorch's}}."""
    found = {side: [] for side in sides}
    for _ in range(rounds):
        for side in sides:
            found[side].append(child([side, precision, threads, extent, *cases], threads))
    rows = {}
    for name in cases:
        each = {side: [one[name] for one in runs] for side, runs in found.items()}
        rows[name] = {side: medians(runs) for side, runs in each.items()}
        rows[name]["ratio"] = ratio_to_the_fastest(each)
    return rows


def medians(runs):
    """Returns a dictionary of medians, from a list of dictionaries of numbers, or of such dictionaries."""
    first = runs[0]
    if not isinstance(first, dict):
        return statistics.median(runs)
    return {key: medians([run[key] for run in runs]) for key in first}


def row_of(name, precision, threads, measured, comparable):
    """Returns a row of the table as {column: number, or None}."""
    ours = measured["suite"]
    published = PUBLISHED[name] if comparable and precision == "float64" and threads == 1 else None
    return {
        "precision": precision,
        "threads": threads,
        "minibatch": name,
        "here": ours["step"],
        **{side: measured[side]["step"] if side in measured else None for side in PEER_SIDES},
        "ratio": measured["ratio"],
        "published": published,
        "ratio_published": published and ours["step"] / published,
        "products": ours["products"] / ours["cpu"],
        "random": ours["random"] / ours["cpu"],
        "rate": {key: ours["flops"] / ours["cpu"] / rate for key, rate in ours["rates"].items()},
        "medians": measured,
    }


def line_of(row):
    """Returns the row as a line of a Markdown table."""
    seconds = [
        number(row[key], form) for key, form in (("here", "#.3g"), ("torch", "#.3g"), ("jax", "#.3g"), ("ratio", ".2f"))
    ]
    seconds += [number(row["published"], "g"), number(row["ratio_published"], ".2f")]
    shares = [
        f"{row['products']:.2f}",
        f"{row['random']:.2f}",
        f"{row['rate']['small']:.2f} ({row['rate']['large']:.2f})",
    ]
    return f"| {' | '.join([row['precision'], str(row['threads']), row['minibatch'], *seconds, *shares])} |"


def parse(argv):
    """Returns the options of a command line."""
    parser = argparse.ArgumentParser(description=first_paragraph(__doc__))
    add_options(parser, rounds=3)
    parser.add_argument(
        "--tiny", action="store_true", help="tiny minibatches and few time points: only to see that it runs"
    )
    return parsed(parser, argv)


def processes_of(options):
    """Returns [(minibatches that one process measures, how many times)]."""
    if options.tiny:
        return ((tuple(PUBLISHED), 1),)
    return tuple((cases, min(most, options.rounds)) for cases, most in PROCESSES)


def main(argv=None):
    """Prints the table."""
    options = parse(argv)
    sides, page = ["suite", *(() if options.alone else installed(PEER_SIDES))], Page(options.markdown)
    for side, differences in (child(["check", *sides[1:]]) if sides[1:] else {}).items():
        worst = max(differences.values())
        print(f"gradients of this program and {side} agree to {worst:.0e} of their largest entries", file=sys.stderr)
    page.add(f"{machine(options.threads)}, {told(options.rounds)}.\n\n{HEAD}")
    rows, extent = [], "tiny" if options.tiny else "quick" if options.quick else "full"
    for precision in ("float64", "float32"):
        for threads in options.threads:
            for cases, rounds in processes_of(options):
                measured = compare(cases, precision, threads, rounds, sides, extent)
                rows += [row_of(name, precision, threads, measured[name], not options.tiny) for name in cases]
                page.add("\n".join(map(line_of, rows[-len(cases) :])))
    alone = [row["medians"]["suite"] for row in rows if row["threads"] == 1]
    share = statistics.median(each["cpu"] / each["step"] for each in alone) if alone else 1.0
    if share < BUSY:
        page.add(f"\nThe machine was busy: one thread got {100 * share:.0f} % of a processor.")
    page.add("\n--tiny: not the sizes of the table's legend; the times mean nothing" if options.tiny else f"\n{LEGEND}")
    if options.json:
        Path(options.json).write_text(json.dumps(rows, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
