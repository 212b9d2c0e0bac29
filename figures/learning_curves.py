"""Draw accuracy and loss over the epochs, on training and test images, of any run folders.

Folders that differ only in the seed become one curve: their mean, with a band of one standard deviation.
"""

import io
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

if not __package__:  # started as a file: Python looks for modules beside it, not in the root folder
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from core.files import FileError, replacing
from core.options import Parser, UsageError, add_arguments, option
from figures.runs import common_setting, load_curves, read_runs

DEFAULT_OUTPUT = "results/learning_curves.png"
ENDINGS = (".png", ".pdf")
PANELS = (  # column of metrics.csv, label, factor
    (("training_acc", "training accuracy (%)", 100), ("test_acc", "test accuracy (%)", 100)),
    (("training_loss", "training loss", 1), ("test_loss", "test loss", 1)),
)
COLUMNS = tuple(column for row in PANELS for column, _, _ in row)

# Three properties that repeat after 7, 4 and 6 curves, so that no two of the first 84 look alike, with or without colour.
COLOURS = ("#000000", "#D55E00", "#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9")
DASHES = ("solid", (0, (5, 1.5)), (0, (6, 1.5, 1.5, 1.5)), (0, (1.5, 1.2)))
MARKERS = ("o", "s", "^", "D", "v", "P")

WIDTH, HEIGHT, DPI = 8.0, 5.8, 150  # inches, without the legend; dots an inch
MARKS = 8  # markers along a curve: enough to follow it, few enough to see the line


@dataclass(frozen=True)
class Options:
    """The options of learning_curves.py that are numbers."""

    from_epoch: float = option(0.0, "draw from this epoch on, to see small differences late in training", bounds="[0, inf)")


def draw(curves, title=""):
    """A figure of four panels: accuracy and loss, on training and test images.

    curves   list of figures.runs.Curve with COLUMNS
    title    text above the panels
    Returns  matplotlib.figure.Figure; matplotlib's global state is left alone
    Raises   UsageError if matplotlib is missing
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise UsageError(f"drawing needs matplotlib: pip install matplotlib ({error})") from None
    figure = Figure(figsize=(WIDTH, HEIGHT), dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)  # measures the legend; attaches itself to the figure
    figure.get_layout_engine().set(w_pad=0.08, h_pad=0.08)
    panels = figure.subplots(2, 2, sharex=True, sharey="row")
    for axes, (column, label, factor) in zip(panels.flat, (panel for row in PANELS for panel in row), strict=True):
        for index, curve in enumerate(curves):
            _draw_curve(axes, curve, column, factor, index, len(curves))
        axes.set_ylabel(label)
        axes.tick_params(labelleft=True)
        axes.grid(color="0.9", linewidth=0.6)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
    _scale(panels)
    figure.align_ylabels(panels)
    if title:
        figure.suptitle(title)
    _add_legend(figure, panels[0, 0], any(curve.std for curve in curves))
    figure.draw_without_rendering()
    figure.set_layout_engine("none")  # it would move everything by a hair at each drawing; a picture is the same in all formats
    return figure


def _draw_curve(axes, curve, column, factor, index, count):
    colour = COLOURS[index % len(COLOURS)]
    mean = factor * curve.mean[column]
    step = -(-len(mean) // MARKS)
    first = index * step // count  # markers of different curves stand at different epochs
    axes.plot(
        curve.x,
        mean,
        color=colour,
        linestyle=DASHES[index % len(DASHES)],
        linewidth=1.4,
        marker=MARKERS[index % len(MARKERS)],
        markersize=4.5,
        markevery=(min(first, len(mean) - 1), step),
        label=curve.name,
    )
    if curve.std:
        spread = factor * curve.std[column]
        axes.fill_between(curve.x, mean - spread, mean + spread, color=colour, alpha=0.18, linewidth=0)


def _scale(panels):
    """Whole epochs along x, powers of ten for the loss with as many labels as its range needs."""
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

    for axes in panels[1]:
        axes.set_yscale("log")
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
    low, high = panels[1, 0].get_ylim()
    decades = np.log10(high / low)
    # a logarithmic locator finds too few places for labels where the range is less than a factor of three
    digits = (1, 1.5, 2, 3, 4, 6, 8) if decades < 1 else (1, 2, 5) if decades < 2.5 else (1,)
    locator = MaxNLocator(5) if decades < 0.5 else LogLocator(subs=digits)
    for axes in panels[1]:
        axes.yaxis.set_major_locator(locator)
        axes.yaxis.set_minor_locator(NullLocator())
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def _add_legend(figure, axes, bands):
    """A legend below the panels, in as many columns as the width holds; the figure grows by its height."""
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


def save(figure, path):
    """Write a figure, as PNG or PDF by the ending of `path`.  Raises UsageError for another ending, FileError."""
    kind = ending(path)
    content = io.BytesIO()
    # without the date, the same numbers make the same file
    figure.savefig(content, format=kind[1:], dpi=DPI, metadata={"CreationDate": None} if kind == ".pdf" else None)
    with replacing(path) as file:
        file.write(content.getvalue())


def ending(path):
    """The ending of a picture's name, in lower case.  Raises UsageError if it is not one of ENDINGS."""
    kind = Path(path).suffix.lower()
    if kind not in ENDINGS:
        raise UsageError(f"--output={path}: the name must end in {' or '.join(ENDINGS)}")
    return kind


def parse(argv=None):
    """(folders, output files, Options) of a command line; exits with status 2 on a mistake."""
    parser = Parser(prog="learning_curves.py", description=__doc__.split("\n\n")[0], epilog="Several runs: results/*/")
    parser.add_argument("folders", nargs="+", metavar="RUN_FOLDER", help="folder of a run, with config.json and metrics.csv")
    parser.add_argument(
        "--output", action="append", metavar="FILE", help=f"picture to write, PNG or PDF, repeatable; default {DEFAULT_OUTPUT}"
    )
    add_arguments(parser, Options)
    given = vars(parser.parse_args(argv))
    return given.pop("folders"), given.pop("output") or [DEFAULT_OUTPUT], Options(**given)


def main(argv=None):
    """Draw one picture; returns the exit status: 0, or 2 for a mistake on the command line or in a file."""
    folders, outputs, options = parse(argv)
    try:
        for path in outputs:
            ending(path)
        runs = read_runs(folders)
        curves, notes = load_curves(runs, COLUMNS, options.from_epoch)
        title = ", ".join(filter(None, (common_setting(runs, "dataset"), common_setting(runs, "algorithm"))))
        figure = draw(curves, title)
        for path in outputs:
            save(figure, path)
            print(path)
    except (UsageError, FileError) as error:
        print(f"learning_curves.py: {error}", file=sys.stderr)
        return 2
    for note in notes:
        print(f"learning_curves.py: {note}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
