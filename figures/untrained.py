"""Holds what the figures of untrained networks have in common: options, images, and the steps to a picture."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

import datasets
from core.drawing import default_style
from core.files import is_stream, make_folder, write_arrays
from core.options import UsageError, add_arguments, as_path, option
from core.program import run_program
from figures.drawing import COLOURS, check_outputs, curve_style, picture_parser, plain, tell, write_pictures
from figures.toy import read_data


@dataclass(frozen=True)
class Options:
    """Holds what is measured."""

    nb_seeds: int = option(3, "random networks of every depth, those of seeds 1, 2, …", bounds="[1, inf)")
    hidden_layers: int = option(12, "hidden layers of the deepest network", bounds="[1, 30]")
    data_dir: str = option("", "folder with MNIST/; default: datasets/ next to this program", kind=as_path)
    quiet: bool = option(False, "no progress bar")


def first_images(options, count):
    """Returns the first `count` training images of MNIST, float64 (count, 28, 28), and their labels (count,).

    Pixels lie in [0, 1].
    Raises  DataError
    """
    data = datasets.load("MNIST", options.data_dir or None, options.quiet)
    side = round(data.train_images.shape[1] ** 0.5)
    return data.train_images[:count].reshape(-1, side, side) / 255.0, data.train_labels[:count]


def draw_seeds(axes, x, values, index, label):
    """Draws a line of the median over the seeds, with a band from the least to the greatest.

    values  (seeds, points)
    """
    axes.plot(x, np.median(values, axis=0), **curve_style(index), linewidth=1.4, label=label)
    axes.fill_between(x, values.min(axis=0), values.max(axis=0), color=COLOURS[index], alpha=0.18, linewidth=0)


def finish(axes):
    """Sets the axes of a figure over depth: whole numbers of layers along x, and a light grid."""
    axes.set_xlabel("hidden layers")
    axes.xaxis.get_major_locator().set_params(integer=True)
    plain(axes)


def run(script, description, shapes, measure, draw, argv=None):
    """Runs the command line of such a figure, [DATA] --output FILE; returns the exit status.

    script   path of the figure's module
    shapes   of the arrays in the data file, see figures.toy.read_data
    measure  function Options -> {name: array}
    draw     function of such arrays -> matplotlib.figure.Figure
    """
    name = Path(script).stem
    saved = "The measured numbers are saved next to the first picture."
    parser = picture_parser(f"{name}.py", description, f"results/{name}.png", epilog=saved)
    told = "draw what was saved earlier; default: measure, and save it"
    parser.add_argument("data", nargs="?", type=as_path, metavar="DATA", help=told)
    add_arguments(parser, Options)
    given = vars(parser.parse_args(argv))
    data, outputs = given.pop("data"), given.pop("output") or [f"results/{name}.png"]

    def make():
        if data and given:
            raise UsageError(f"--{next(iter(given))}: does not apply to DATA, which is drawn unchanged")
        source = data or Path(f"results/{name}.png" if is_stream(outputs[0]) else outputs[0]).with_suffix(".npz")
        check_outputs(outputs, [] if data else [source], [data] if data else [])
        if not data:
            # A folder that cannot be made is told before hours of measuring.
            make_folder(source.parent)
            write_arrays(source, measure(Options(**given)))
            tell([source])
        arrays = read_data(source, shapes)
        with default_style():
            write_pictures(draw(arrays), outputs)
        return 0

    return run_program(parser.prog, make, "interrupted")
