"""Draws how far GAIT-prop, and other rules of run.py, end from backpropagation with the same regulariser.

Runs of one seed see the same batches and, if the rule asks for the same kind of weights, start from the same
ones. So test accuracies are compared in pairs. Each mark is the mean difference over the seeds, with its 95 %
interval.
"""

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    from core.signals import start

    start()

import math
import statistics
from dataclasses import asdict, dataclass, fields

from core.files import write_text
from core.options import UsageError, as_output, first_paragraph, option
from figures.drawing import COLOURS, MARKERS, draw_runs, new_figure, plain
from tables.comparison import student
from tables.records import find
from tables.tidy import csv_text

DEFAULT_OUTPUT = "results/against_bp.png"
FOLDERS = ("run folders of run.py, folders with them at any depth, archives", "results docs/results/runs")
REFERENCE = "BP, regularised"
# The published strength of the regulariser of BP and GAIT-prop; TP has its own.
STRENGTH = 0.1
CLAIM = "GAIT, regularised"
# The methods that end near each other, which one panel shows alone.
NEAR = (CLAIM, "GAIT", "BP")
# Inches.
WIDTH, ROW, FRAME = 8.0, 0.42, 1.9


@dataclass(frozen=True)
class Options:
    """Holds the options of against_bp.py."""

    table: str = option("", "write the numbers to this file, too, as CSV", kind=as_output, metavar="FILE")


@dataclass(frozen=True)
class Difference:
    """Compares a rule with BP with the regulariser, on one data set and network.

    task       data set and network, as "MNIST, tower"
    method     the rule, as "GAIT, regularised"
    precision  of the arithmetic
    epoch      after which both were measured: the last one that all runs of the task have reached
    n          pairs of runs of one seed
    accuracy   mean test accuracy of the rule in percent
    mean       mean difference of the test accuracies, in percentage points
    low, high  95 % interval of `mean` by Student's t; NaN for one pair
    """

    task: str
    method: str
    precision: str
    epoch: int
    n: int
    accuracy: float
    mean: float
    low: float
    high: float


def method_of(record):
    """Returns the rule of a run and whether its weights are held orthogonal, as "GAIT, regularised"."""
    return record.rule + (", regularised" if record.settings.get("orthogonal_reg") else "")


def task_of(record):
    """Returns data set and network of a run, as "MNIST, 4 hidden layers".

    Fewer samples and another lambda are added, as they distinguish tasks too.
    """
    settings = record.settings
    layers = settings["nb_layers"]
    network = "tower" if settings.get("tower") else f"{layers} hidden layer" + "s" * (layers != 1)
    samples = settings.get("train_samples")
    strength = settings.get("orthogonal_reg") or STRENGTH
    own = f"\N{GREEK SMALL LETTER LAMDA} = {strength:g}" if record.rule != "TP" and strength != STRENGTH else ""
    further = ["linear" * bool(settings.get("linear")), f"{samples} samples" if samples else ""]
    further += ["unit rows" * bool(settings.get("unit_rows"))]
    return ", ".join(filter(None, [record.dataset, network, *further, own]))


def differences(records):
    """Returns ([Difference], notes) of tables.record.Record.

    Runs of main.py, without a measurement, or that failed are left out.
    """
    tasks, notes = _by_task(records)
    found = []
    for (task, precision), methods in sorted(tasks.items()):
        reference = methods.pop(REFERENCE, None)
        if not reference:
            notes.append(f"{task} in {precision} is left out: no run by {REFERENCE}")
            continue
        epoch = min(record.epochs for runs in (reference, *methods.values()) for record in runs.values())
        for method, runs in sorted(methods.items()):
            if pairs := [(runs[seed], reference[seed]) for seed in sorted(runs.keys() & reference.keys())]:
                found.append(_difference(task, method, precision, epoch, pairs))
    if not found:
        raise UsageError(f"no run of a rule of run.py with one by {REFERENCE} on the same network and seed")
    return found, notes


def _by_task(records):
    """Returns ({(task, precision): {method: {seed: record}}}, notes on what is left out)."""
    tasks, notes = {}, []
    for record in records:
        if record.system != "run.py":
            continue
        if record.options.get("eval_interval"):
            notes.append(f"{record.name} is left out: its --eval_interval measures within epochs, not after them")
            continue
        if record.failed or not record.epochs:
            notes.append(f"{record.name} is left out: {record.state}, {record.epochs} epochs")
            continue
        runs = tasks.setdefault((task_of(record), record.precision), {}).setdefault(method_of(record), {})
        if record.seed in runs:
            raise UsageError(
                f"{record.name} and {runs[record.seed].name}: two runs of {method_of(record)} with seed {record.seed}"
            )
        runs[record.seed] = record
    return tasks, notes


def _difference(task, method, precision, epoch, pairs):
    accuracies = [[100 * _accuracy(record, epoch) for record in pair] for pair in pairs]
    each = [ours - theirs for ours, theirs in accuracies]
    n, mean, accuracy = len(each), statistics.fmean(each), statistics.fmean(ours for ours, _ in accuracies)
    reach = student(n - 1) * statistics.stdev(each) / math.sqrt(n) if n > 1 else math.nan
    return Difference(task, method, precision, epoch, n, accuracy, mean, mean - reach, mean + reach)


def _accuracy(record, epoch):
    """Returns the test accuracy after an epoch as a fraction."""
    return dict(zip(record.series["epoch"], record.series["test_acc"], strict=True))[epoch]


def draw(found):
    """Returns a figure of two panels: the methods near to each other, and all.

    Raises  UsageError if matplotlib is missing
    """
    tasks = list(dict.fromkeys((row.task, row.precision) for row in found))
    methods = sorted({row.method for row in found}, key=lambda method: (method not in NEAR, method != CLAIM, method))
    figure = new_figure(WIDTH, FRAME + ROW * len(tasks))
    close, wide = figure.subplots(1, 2, sharey=True)
    for index, method in enumerate(methods):
        rows = [row for row in found if row.method == method]
        for axes in (close, wide) if method in NEAR else (wide,):
            _draw_method(axes, rows, [tasks.index((row.task, row.precision)) for row in rows], index, len(methods))
    seeds = "/".join(map(str, sorted({row.n for row in found})))
    for axes, title in ((close, "GAIT-prop and BP"), (wide, "all rules")):
        axes.axvline(0, color="0.4", linewidth=0.8)
        axes.set(title=title, xlabel="points from BP, regularised", ylim=(len(tasks) - 0.5, -0.5))
        plain(axes)
    several = len({precision for _, precision in tasks}) > 1
    epochs = {(row.task, row.precision): row.epoch for row in found}
    names = [f"{task}{f', {precision}' * several}\nepoch {epochs[task, precision]}" for task, precision in tasks]
    close.set_yticks(range(len(tasks)), names)
    title = f"difference of test accuracy: mean of {seeds} seeds and 95 % interval"
    figure.legend(*wide.get_legend_handles_labels(), title=title,
                  loc="outside lower center", ncols=min(4, len(methods)), frameon=False)  # fmt: skip
    return figure


def _draw_method(axes, rows, places, index, count):
    """Draws marks with their intervals, those of different methods at different heights."""
    colour = COLOURS[index % len(COLOURS)]
    y = [place + 0.6 * ((index + 0.5) / count - 0.5) for place in places]
    x, reach = [row.mean for row in rows], [0.0 if math.isnan(row.high) else row.high - row.mean for row in rows]
    marker = MARKERS[index % len(MARKERS)]
    axes.errorbar(x, y, xerr=reach, fmt=marker, color=colour, markersize=4.5, capsize=2.5, label=rows[0].method)


def picture(read, options):
    """Returns (Figure, notes); `read` is (records, notes)."""
    records, left_out = read
    if not records and left_out:
        raise UsageError(left_out[0])
    found, notes = differences(records)
    if options.table:
        write_text(options.table, csv_text([field.name for field in fields(Difference)], map(asdict, found)))
    return draw(found), [*left_out, *notes]


def main(argv=None):
    """Draws one picture; returns the exit status: 0, or 2 for a mistake on the command line or in a file."""
    description = first_paragraph(__doc__)
    return draw_runs(__file__, description, FOLDERS, DEFAULT_OUTPUT, Options, picture, argv, read=find)


if __name__ == "__main__":
    sys.exit(main())
