"""Draws figure 3: stability and alignment of DFC, DFC-SS, DFC-SSA and DFA, smoothed over 30 epochs."""

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    from core.signals import start

    start()

import csv
import io

import numpy as np

from core.drawing import default_style
from core.files import FileError
from figures.drawing import new_figure, plain
from figures.pipeline import rolling
from figures.toy import run, save_all

NAME = "fig3"
# {column: (label, least range of the axis)}
PANELS = {
    "condition_2": ("condition 2", (0.7, 1.0)),
    "condition_1": ("condition 1", (0.0, 0.45)),
    "lambda_max_A_PI": (r"$\lambda_\mathrm{max}(A_\mathrm{PI})$  (1 / time constant)", (-0.6, -0.4)),
    "mn_angle_deg": ("angle with MN (deg)", (0.0, 70.0)),
    "gn_angle_deg": ("angle with GN (deg)", (0.0, 70.0)),
    "ssa_angle_deg": ("angle with SSA (deg)", (0.0, 8.0)),
}
# Columns of the data; the last one is not drawn.
COLUMNS = ("method", "feedback", "epoch", *PANELS, "lambda_max_A_instI")
# {method: (colour, marker)} in the order of the legend.
STYLES = {
    "DFC": ("royalblue", "o"),
    "DFC-SS": ("green", "s"),
    "DFC-SSA": ("purple", "^"),
    "DFA": ("red", "D"),
}
# {feedback: what the legend adds to the name of the method}
FEEDBACK = {"trained": "", "random": "", "fixed": " (fixed)"}
# Events in a rolling mean: each event and those before it.
SMOOTH = 30
# Markers along a curve.
MARKS = 6
# Inches; the legend takes 0.6 of the height.
WIDTH, HEIGHT = 15, 6.6


def read(path):
    """Returns {(method, feedback): {column: float array (events,)}} of a data file, with NaN for no number.

    Raises  FileError if the file is missing or damaged
    """
    try:
        rows = list(csv.DictReader(io.StringIO(Path(path).read_text()), strict=True))
    except OSError as error:
        raise FileError(f"cannot read {path}: {error.strerror}") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise FileError(f"{path} is damaged ({error})") from None
    if not rows or set(COLUMNS) - set(rows[0]):
        raise FileError(f"{path} is not the data of this figure: it needs rows with {', '.join(COLUMNS)}")
    found = {}
    for line, row in enumerate(rows, 2):
        if row["method"] not in STYLES or row["feedback"] not in FEEDBACK:
            raise FileError(f"{path} is damaged: line {line} names no method")
        run = found.setdefault((row["method"], row["feedback"]), {column: [] for column in COLUMNS[2:]})
        for column, values in run.items():
            values.append(_number(row[column], path, line))
    return {key: {column: np.array(values) for column, values in run.items()} for key, run in found.items()}


def _number(text, path, line):
    try:
        return np.nan if text == "" else float(text)
    except (TypeError, ValueError):
        raise FileError(f"{path} is damaged: {text!r} in line {line} is not a number") from None


def draw(runs):
    """Draws the result of `read`: a panel per quantity with rolling means and standard deviations."""
    figure = new_figure(WIDTH, HEIGHT)
    panels = figure.subplots(2, 3, sharex=True)
    order = sorted(runs, key=lambda key: (key[1] == "fixed", list(STYLES).index(key[0])))
    handles = {}
    for axes, (column, (label, limits)) in zip(panels.flat, PANELS.items(), strict=True):
        low, high = limits
        for place, key in enumerate(order):
            values, x = runs[key][column], runs[key]["epoch"]
            known = ~np.isnan(values)
            if known.any():
                mean, std = (each[:, 0] for each in rolling(values[known][:, None], SMOOTH, forward=False))
                handles[key] = _draw_curve(axes, key, x[known], mean, std, (place + 0.5) / len(order))
                low, high = min(low, mean.min()), max(high, mean.max())
        axes.set(ylabel=label, ylim=_wider((low, high), limits))
        plain(axes)
    epochs = 1 + max(np.floor(run["epoch"].max()) for run in runs.values())
    for axes in panels[1]:
        axes.set(xlabel="Epoch", xlim=(0, epochs))
    figure.align_ylabels(panels)
    shown = [handles[key] for key in order if key in handles]
    figure.legend(handles=shown, loc="outside lower center", ncols=len(shown), frameon=False, handlelength=4)
    return figure


def _draw_curve(axes, key, x, mean, std, first):
    """Returns the line of one run.

    first  place of its first marker, as a share of the distance between markers
    """
    method, feedback = key
    colour, marker = STYLES[method]
    step = max(1, len(x) // MARKS)
    [line] = axes.plot(
        x,
        mean,
        color=colour,
        linestyle="dashed" if feedback == "fixed" else "solid",
        linewidth=1.6,
        marker=marker,
        markersize=5,
        markerfacecolor="white" if feedback == "fixed" else colour,
        markevery=(min(int(first * step), len(x) - 1), step),
        label=method + FEEDBACK[feedback],
    )
    axes.fill_between(x, mean - std, mean + std, color=colour, alpha=0.1, linewidth=0)
    return line


def _wider(span, limits):
    """Returns the limits if the curves lie within them, else limits a little wider than the curves' span."""
    margin = 0.03 * (span[1] - span[0])
    return span[0] - margin * (span[0] < limits[0]), span[1] + margin * (span[1] > limits[1])


@default_style()
def write(data, outputs):
    """Draws a data file of run_toy_exp_fig3.py; returns the paths.

    Raises  UsageError if matplotlib is missing, FileError
    """
    runs = read(data)
    return save_all({output: draw(runs) for output in outputs})


def main(argv=None):
    """Draws the picture of one experiment; returns the exit status."""
    return run(__file__, __doc__, write, NAME, argv)


if __name__ == "__main__":
    sys.exit(main())
