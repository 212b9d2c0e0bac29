"""Summarises runs over their seeds: mean and standard deviation of the accuracies, one line per setting.

The best test accuracy is the highest point of the mean curve, with its epoch. It is chosen by the test images and
therefore too optimistic; the final accuracy is the number to report.
"""

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent))
    from core.signals import start

    start()

import csv
import io

import numpy as np

from core.files import FileError, write_text
from core.options import Parser, as_output, as_path
from core.program import run_program
from core.recording import prepare_outputs
from figures.runs import group_by_setting, names, read_runs, read_series

COLUMNS = ("test_acc", "training_acc")
# {key of a summary: (heading in the table, decimals)}
HEADINGS = {
    "setting": ("setting", None),
    "seeds": ("seeds", None),
    "epochs": ("epochs", None),
    "test_acc_mean": ("test %", 2),
    "test_acc_std": ("std", 2),
    "training_acc_mean": ("training %", 2),
    "training_acc_std": ("std", 2),
    "best_test_acc_mean": ("best test %", 2),
    "best_test_acc_std": ("std", 2),
    "best_test_acc_epoch": ("at epoch", None),
}


def summarise(name, runs):
    """Returns the numbers of one setting.

    name     the setting, as text
    runs     finished figures.runs.Run that differ only in the seed and have the same epochs; may be empty
    Returns  {key of HEADINGS: text or number}: accuracies in percent, seeds a count; None if there is no such number
    Raises   FileError if a metrics.csv is damaged
    """
    if not runs:
        return dict.fromkeys(HEADINGS) | {"setting": name, "seeds": 0}
    series = [_checked_series(run) for run in runs]
    if len({len(each["x"]) for each in series}) > 1:
        raise FileError(f"{runs[0].path} and the other seeds of its setting have metrics.csv of different lengths")
    test, training = (100 * np.array([each[column] for each in series]) for column in COLUMNS)
    best = int(test.mean(axis=0).argmax())
    summary = {"setting": name, "seeds": len(runs), "epochs": runs[0].outcome["epochs"]}
    for column, values in (("test_acc", test), ("training_acc", training)):
        summary |= _spread(column, _final(runs, column, values))
    return summary | _spread("best_test_acc", test[:, best]) | {"best_test_acc_epoch": float(series[0]["x"][best])}


def _checked_series(run):
    """Returns the series of a finished run, after checking that it ends as the run did.

    Otherwise a lost last line would not be noticed. With --eval_interval the series ends some batches before the
    run, and nothing is compared.
    """
    series = read_series(run, COLUMNS)
    for column in COLUMNS if series["batch"][-1] == 0 else ():
        if run.outcome.get(column, series[column][-1]) != series[column][-1]:
            raise FileError(f"{run.path / 'metrics.csv'} is damaged: its last {column} is not the one in DONE")
    return series


def _final(runs, column, percent):
    """Returns the last accuracy of each run in percent: that of the saved weights, else of its series."""
    return np.array([100 * run.outcome.get(column, rows[-1] / 100) for run, rows in zip(runs, percent, strict=True)])


def _spread(key, values):
    std = float(values.std(ddof=1)) if len(values) > 1 else None
    return {f"{key}_mean": float(values.mean()), f"{key}_std": std}


def summaries(runs):
    """Returns one summary per setting and number of epochs, and a sentence for each run that is left out.

    Runs of one setting with different numbers of epochs are not averaged, but have separate lines.
    """
    found, notes = [], []
    groups = group_by_setting(runs)
    for group, name in zip(groups, names(groups), strict=True):
        finished = [
            run for run in group if run.state == "finished" and run.outcome["epochs"] and "test_acc" in run.outcome
        ]
        notes += [f"{run.path}: {_lacks(run)}, left out of the means" for run in group if run not in finished]
        for epochs in sorted({run.outcome["epochs"] for run in finished}):
            found.append(summarise(name, [run for run in finished if run.outcome["epochs"] == epochs]))
        if not finished:
            found.append(summarise(name, []))
    return found, notes


def _lacks(run):
    """Returns why a run has no accuracy to average, in words."""
    without = "finished without accuracies, as its data set has none or W was not trained"
    return without if run.state == "finished" else run.state


def table(found):
    """Returns the summaries as lines of text, in columns; "-" where there is no number."""
    rows = [[heading for heading, _ in HEADINGS.values()]]
    rows += [[_cell(summary[key], decimals) for key, (_, decimals) in HEADINGS.items()] for summary in found]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for first, *others in rows:
        cells = [cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True)]
        lines.append("  ".join([first.ljust(widths[0]), *cells]))
    return lines


def _cell(value, decimals):
    if value is None:
        return "-"
    if isinstance(value, str):
        return value
    return f"{value:g}" if decimals is None else f"{value:.{decimals}f}"


def write_csv(path, found):
    """Writes the summaries with all digits, accuracies in percent; "" for a missing number.

    Raises  FileError
    """
    text = io.StringIO()
    rows = csv.DictWriter(text, HEADINGS, lineterminator="\n")
    rows.writeheader()
    rows.writerows(found)
    write_text(path, text.getvalue())


def main(argv=None):
    """Prints one table; returns the exit status: 0, 1 if no run is finished, 2 for a mistake."""
    parser = Parser(prog="summarise_seeds.py", description=__doc__, epilog="All runs: results/*/")
    told = "folder of a run, with config.json and metrics.csv"
    parser.add_argument("folders", nargs="+", type=as_path, metavar="RUN_FOLDER", help=told)
    parser.add_argument("--csv", type=as_output, metavar="FILE", help="write the numbers to this file, too")
    options = parser.parse_args(argv)

    def run():
        prepare_outputs(options.csv)
        found, notes = summaries(read_runs(options.folders))
        if options.csv:
            write_csv(options.csv, found)
        print("\n".join([*table(found), *notes]))
        return 0 if any(summary["seeds"] for summary in found) else 1

    return run_program(parser.prog, run, "interrupted")


if __name__ == "__main__":
    sys.exit(main())
