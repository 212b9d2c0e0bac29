"""Draws accuracy and loss over the epochs, on training and test images, for any run folders.

Folders that differ only in the seed become one curve: their mean, with a band of one standard deviation.
"""

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    from core.signals import start

    start()

from dataclasses import dataclass

import numpy as np

from core.drawing import DPI, legible
from core.options import first_paragraph, option
from figures.drawing import MARKS, curve_style, draw_runs, new_figure, plain
from figures.runs import common_setting, drawable, load_curves, read_series

DEFAULT_OUTPUT = "results/learning_curves.png"
# (column of metrics.csv, label, factor)
PANELS = (
    (("training_acc", "training accuracy (%)", 100), ("test_acc", "test accuracy (%)", 100)),
    (("training_loss", "training loss", 1), ("test_loss", "test loss", 1)),
)
COLUMNS = tuple(column for row in PANELS for column, _, _ in row)
LOSSES = COLUMNS[2:]

# Inches, without the legend.
WIDTH, HEIGHT = 8.0, 5.8
# Letters in a line of the legend.
NAME = 80


@dataclass(frozen=True)
class Options:
    """Holds the options of learning_curves.py that are numbers."""

    from_epoch: float = option(
        0.0, "draw from this epoch on, to see small differences late in training", bounds="[0, inf)"
    )


def draw(curves, title=""):
    """Returns a figure of four panels, accuracy and loss on training and test images, or only the losses.

    curves   list of figures.runs.Curve with COLUMNS, or with LOSSES alone
    title    text above the panels
    Returns  matplotlib.figure.Figure; matplotlib's global state is unchanged
    Raises   UsageError if matplotlib is missing
    """
    figure = new_figure(WIDTH, HEIGHT)
    shown = [panel for row in PANELS for panel in row if all(panel[0] in curve.mean for curve in curves)]
    panels = figure.subplots(len(shown) // 2, 2, sharex=True, sharey="row", squeeze=False)
    for axes, (column, label, factor) in zip(panels.flat, shown, strict=True):
        for index, curve in enumerate(curves):
            _draw_curve(axes, curve, column, factor, index, len(curves))
        axes.set_ylabel(label)
        axes.tick_params(labelleft=True)
        plain(axes)
    _scale(panels)
    figure.align_ylabels(panels)
    if title:
        figure.suptitle(legible(title, NAME))
    _add_legend(figure, panels[0, 0], any(curve.std for curve in curves))
    figure.draw_without_rendering()
    # The layout engine would move everything slightly at each drawing, but a picture must be the same in all formats.
    figure.set_layout_engine("none")
    return figure


def _draw_curve(axes, curve, column, factor, index, count):
    style, mean = curve_style(index), factor * curve.mean[column]
    step = -(-len(mean) // MARKS)
    # Markers of different curves stand at different epochs.
    first = index * step // count
    style |= {"linewidth": 1.4, "markevery": (min(first, len(mean) - 1), step)}
    axes.plot(curve.x, mean, label=legible(curve.name, NAME), **style)
    if curve.std:
        spread = factor * curve.std[column]
        axes.fill_between(curve.x, mean - spread, mean + spread, color=style["color"], alpha=0.18, linewidth=0)


def _scale(panels):
    """Scales the axes: whole epochs along x, powers of ten for the loss, with enough labels."""
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

    for axes in panels[-1]:
        axes.set_yscale("log")
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
    low, high = panels[-1, 0].get_ylim()
    decades = np.log10(high / low)
    # A logarithmic locator finds too few places for labels if the range is less than a factor of three.
    digits = (1, 1.5, 2, 3, 4, 6, 8) if decades < 1 else (1, 2, 5) if decades < 2.5 else (1,)
    locator = MaxNLocator(5) if decades < 0.5 else LogLocator(subs=digits)
    for axes in panels[-1]:
        axes.yaxis.set_major_locator(locator)
        axes.yaxis.set_minor_locator(NullLocator())
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def _add_legend(figure, axes, bands):
    """Adds a legend below the panels, in as many columns as the width allows; the figure grows by its height."""
    handles, labels = axes.get_legend_handles_labels()
    title = "mean over the seeds and one standard deviation" if bands else None
    for columns in range(min(4, len(labels)), 0, -1):
        settings = {"loc": "outside lower center", "ncols": columns, "title": title, "frameon": False}
        legend = figure.legend(handles, labels, handlelength=4, **settings)
        box = legend.get_window_extent(figure.canvas.get_renderer())
        if box.width <= 0.96 * WIDTH * DPI or columns == 1:
            break
        legend.remove()
    figure.set_size_inches(max(WIDTH, box.width / DPI / 0.96), HEIGHT + box.height / DPI)


def picture(runs, options):
    """Returns (Figure, notes) of a list of figures.runs.Run."""
    runs, left_out = drawable(runs, lambda run: COLUMNS if run.program == "run.py" else LOSSES, options.from_epoch)
    with_accuracy = [run for run in runs if "test_acc" in read_series(run, LOSSES)]
    notes = [
        f"{run.path} has no accuracies, so that the losses alone are drawn" for run in runs if run not in with_accuracy
    ]
    curves, more = load_curves(runs, LOSSES if notes else COLUMNS, options.from_epoch)
    title = ", ".join(filter(None, (common_setting(runs, "dataset"), common_setting(runs, "algorithm"))))
    return draw(curves, title), [*left_out, *notes[:1], *more]


def main(argv=None):
    """Draws one picture; returns the exit status: 0, or 2 for a mistake on the command line or in a file."""
    folders = ("folder of a run, with config.json and metrics.csv", "results/*/")
    return draw_runs(__file__, first_paragraph(__doc__), folders, DEFAULT_OUTPUT, Options, picture, argv)


if __name__ == "__main__":
    sys.exit(main())
