"""Draws the angle between each layer's update and backpropagation's, from runs with --alignment.

There is one panel per setting and one line per layer. Folders that differ only in the seed become their mean and
a band of one standard deviation.
"""

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    from core.signals import start

    start()

import re
from dataclasses import dataclass, replace

from core.drawing import legible
from core.options import UsageError, first_paragraph, option
from figures.drawing import MARKERS, MARKS, draw_runs, new_figure, plain
from figures.runs import common_setting, drawable, group_by_setting, load_curves, read_series

DEFAULT_OUTPUT = "results/alignment.png"
# The column of the whole network; those of the layers are bp_angle_0, bp_angle_1, …
NETWORK = "bp_angle"
LABEL = "angle to backpropagation (degrees)"
# Degrees.
TICKS = (0, 1, 2, 5, 10, 20, 45, 90, 180)
# Panels in a row.
PANELS = 3
# Inches: the width of a panel, and of the labels on its left.
PANEL, LEFT = 2.6, 0.7
# Letters in a line above a panel.
TITLE = 34


@dataclass(frozen=True)
class Options:
    """Holds the options of alignment.py that are numbers."""

    from_epoch: float = option(0.0, "draw from this epoch on", bounds="[0, inf)")


def load(runs, start=0.0):
    """Returns (curves, notes): one figures.runs.Curve per setting, with the columns of all its layers.

    runs    list of figures.runs.Run
    start   epoch at which the curves begin
    Raises  UsageError if a run has no angles, FileError
    """
    for run in runs:
        if not run.settings.get("alignment"):
            raise UsageError(f"{run.path} has no angles to draw: it was trained without --alignment")
    runs, left_out = drawable(runs, lambda run: (NETWORK,), start)
    named, notes = load_curves(runs, (NETWORK,), start)
    groups, curves = group_by_setting(runs), []
    for group, curve in zip(groups, named, strict=True):
        columns = [NETWORK, *layer_columns(read_series(group[0], (NETWORK,)))]
        curves += [replace(each, name=curve.name) for each in load_curves(group, columns, start)[0]]
    return curves, [*left_out, *notes]


def layer_columns(columns):
    """Returns the columns of the layers, from the first layer."""
    return sorted(
        (name for name in columns if re.fullmatch(rf"{NETWORK}_\d+", name)), key=lambda name: int(name.split("_")[-1])
    )


def draw(curves, title=""):
    """Returns a Figure with one panel per curve, on one scale of degrees: linear up to 1, logarithmic beyond.

    Raises  UsageError if matplotlib is missing
    """
    rows, columns = -(-len(curves) // PANELS), min(len(curves), PANELS)
    figure = new_figure(LEFT + PANEL * max(columns, 2), 0.9 + 2.9 * rows)
    panels = figure.subplots(rows, columns, sharey=True, squeeze=False)
    for axes in panels.flat[len(curves) :]:
        axes.remove()
    for axes, curve in zip(panels.flat, curves, strict=False):
        _draw_panel(axes, curve)
    _scale(panels.flat[: len(curves)])
    for axes in panels[:, 0]:
        axes.set_ylabel(LABEL)
    if title:
        figure.suptitle(title)
    deepest = max(range(len(curves)), key=lambda index: len(curves[index].mean))
    note = "mean over the seeds and one standard deviation" if any(curve.std for curve in curves) else None
    handles = panels.flat[deepest].get_legend_handles_labels()
    columns = columns + 1 if columns > 1 else 2
    figure.legend(*handles, title=note, loc="outside lower center", ncols=columns, frameon=False, handlelength=3)
    return figure


def _draw_panel(axes, curve):
    layers = layer_columns(curve.mean)
    for l, column in enumerate(layers):
        place = " (first)" if l == 0 else " (output)" if l == len(layers) - 1 else ""
        # A grey, from black to light.
        shade = f"{0.75 * l / max(len(layers) - 1, 1):.3f}"
        step = -(-len(curve.x) // MARKS)
        first = min(l * step // len(layers), len(curve.x) - 1)
        marks = {"marker": MARKERS[l % len(MARKERS)], "markersize": 4, "markevery": (first, step)}
        _draw_line(axes, curve, column, label=f"layer {l}{place}", color=shade, linewidth=1.3, **marks)
    _draw_line(axes, curve, NETWORK, label="whole network", color="#D55E00", linewidth=2, linestyle=(0, (4, 1.2)))
    axes.set_title(legible(curve.name, TITLE), fontsize="medium")


def _draw_line(axes, curve, column, color, **style):
    mean = curve.mean[column]
    axes.plot(curve.x, mean, color=color, **style)
    if curve.std:
        spread = curve.std[column]
        axes.fill_between(curve.x, (mean - spread).clip(0), mean + spread, color=color, alpha=0.18, linewidth=0)


def _scale(panels):
    from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

    for axes in panels:
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        axes.set_yscale("symlog", linthresh=1, linscale=0.5)
        axes.yaxis.set_major_locator(FixedLocator(TICKS))
        axes.yaxis.set_minor_locator(NullLocator())
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.set_ylim(-0.1, max(100, axes.dataLim.y1 * 1.05))
        plain(axes)
        axes.tick_params(labelleft=True)


def picture(runs, options):
    """Returns (Figure, notes) of a list of figures.runs.Run."""
    curves, notes = load(runs, options.from_epoch)
    return draw(curves, common_setting(runs, "dataset")), notes


def main(argv=None):
    """Draws one picture; returns the exit status: 0, or 2 for a mistake on the command line or in a file."""
    folders = ("folder of a run of run.py with --alignment", "results/*_alignment/")
    return draw_runs(__file__, first_paragraph(__doc__), folders, DEFAULT_OUTPUT, Options, picture, argv)


if __name__ == "__main__":
    sys.exit(main())
