"""Draws why GAIT-prop parts from backpropagation in training: rows of weights do not keep their lengths.

For each layer of finished runs of run.py it shows the lengths of the rows of W, the size of GAIT-prop's update against
BP's, and the angle between the two: with the weights as they are, and with every row divided by its length.
"""

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    from core.signals import start

    start()

import io
from dataclasses import asdict, dataclass, fields

import numpy as np

import datasets
from core.angles import joint_angle
from core.files import FileError, read_bytes, write_text
from core.options import UsageError, as_output, as_path, first_paragraph, option
from figures.drawing import curve_style, draw_runs, new_figure, plain
from figures.runs import group_by_setting, names
from gait.alignment import batch_update
from inv_net import TowerInvNet
from rules import RULES
from tables.tidy import csv_text
from utils import LEAKY_RELU, LINEAR, one_hot

DEFAULT_OUTPUT = "results/row_lengths.png"
FOLDERS = ("finished run folders of run.py", "results/*GAIT*TOWER*/")
CLASSES = 10


@dataclass(frozen=True)
class Options:
    """Holds the options of row_lengths.py."""

    images: int = option(600, "first training images on which the updates are computed", bounds="[1, inf)")
    table: str = option("", "write the numbers to this file, too, as CSV", kind=as_output, metavar="FILE")
    data_dir: str = option("", "folder of MNIST/ and the like; default: datasets/ next to this program", kind=as_path)


@dataclass(frozen=True)
class Layer:
    """Holds what is measured of one layer, the mean over the seeds of a setting.

    setting          its name, see figures.runs.names
    n                number of seeds
    layer            number of the layer, from 0
    length, spread   mean and standard deviation of the lengths of the rows of W
    size, unit_size  norm of GAIT-prop's update of W divided by that of BP's; with rows of length 1
    angle, unit_angle  degrees between the two updates of W and b; with rows of length 1
    """

    setting: str
    n: int
    layer: int
    length: float
    spread: float
    size: float
    unit_size: float
    angle: float
    unit_angle: float


def read_net(run):
    """Returns (weights, biases), float64, that a finished run of run.py has saved.  Raises FileError."""
    found = []
    for kind in ("weights", "biases"):
        arrays = []
        while (path := run.path / f"{len(arrays)}L{kind}.npy").exists():
            try:
                arrays.append(np.load(io.BytesIO(read_bytes(path)), allow_pickle=False).astype(np.float64))
            except (OSError, ValueError, EOFError) as error:
                raise FileError(f"{path} cannot be read ({error})") from None
        found.append(arrays)
    if not found[0] or len(found[0]) != len(found[1]) or "linear" not in run.options:
        raise FileError(f"{run.path} has no weights of a finished run of run.py")
    return found


def compare(weights, biases, linear, inputs, target):
    """Returns (sizes, angles), one number per layer: GAIT-prop's update against BP's on one batch."""
    net = TowerInvNet(weights, biases, LINEAR if linear else LEAKY_RELU, CLASSES)
    rules = [(RULES[name], RULES[name].Options()) for name in ("GAIT", "BP")]
    trace = net.forward(inputs, auxiliary=False)
    ours, theirs = (batch_update(net, *rule, trace, target) for rule in rules)
    pairs = list(zip(net.weights_of(ours), net.weights_of(theirs), strict=True))
    sizes = [np.linalg.norm(one) / np.linalg.norm(other) for one, other in pairs]
    angles = [joint_angle(net.of_layer(ours, l), net.of_layer(theirs, l)) for l in range(len(pairs))]
    return np.array(sizes), np.array(angles)


def batch_of(name, options):
    """Returns (inputs, one-hot targets) of the first training images of a data set."""
    data = datasets.load(name, options.data_dir or None, True)
    inputs = data.train_images[: options.images] / data.train_images.max()
    return inputs, one_hot(data.train_labels[: options.images], CLASSES, inputs.dtype)


def measure(run, inputs, target):
    """Returns the numbers of a run on a batch: (fields of Layer from `length` on, layers)."""
    weights, biases = read_net(run)
    lengths = [np.linalg.norm(w, axis=1, keepdims=True) for w in weights]
    unit = [w / length for w, length in zip(weights, lengths, strict=True)]
    (sizes, angles), (unit_sizes, unit_angles) = (
        compare(each, biases, run.options["linear"], inputs, target) for each in (weights, unit)
    )
    spread = [length.std() for length in lengths], sizes, unit_sizes, angles, unit_angles
    return np.array([[length.mean() for length in lengths], *spread])


def layers_of(runs, options):
    """Returns the Layers of all settings of some figures.runs.Run."""
    if others := [run for run in runs if run.program != "run.py"]:
        raise UsageError(f"{others[0].path} is a run of {others[0].program}, not of run.py")
    groups, found = group_by_setting(runs), []
    batches = {name: batch_of(name, options) for name in dict.fromkeys(run.options["dataset"] for run in runs)}
    for group, name in zip(groups, names(groups), strict=True):
        mean = np.mean([measure(run, *batches[run.options["dataset"]]) for run in group], axis=0)
        found += [Layer(name, len(group), l, *map(float, numbers)) for l, numbers in enumerate(mean.T)]
    return found


def draw(found):
    """Returns a figure of three panels over the layers.  Raises UsageError if matplotlib is missing."""
    figure = new_figure(9.0, 3.8)
    panels = figure.subplots(1, 3)
    titles = ("length of the rows of W", "size of GAIT-prop's update / BP's", "angle to BP's update (degrees)")
    for index, name in enumerate(dict.fromkeys(row.setting for row in found)):
        rows, style = [row for row in found if row.setting == name], curve_style(index)
        x, label = [row.layer for row in rows], f"{name} (n = {rows[0].n})"
        panels[0].errorbar(x, [row.length for row in rows], yerr=[row.spread for row in rows], **style, label=label)
        for axes, kind in zip(panels[1:], ("size", "angle"), strict=True):
            axes.plot(x, [getattr(row, kind) for row in rows], **style)
            open_marks = {"linestyle": "none", "markerfacecolor": "white"}
            axes.plot(x, [getattr(row, f"unit_{kind}") for row in rows], **style | open_marks)
    for axes, title in zip(panels, titles, strict=True):
        axes.set(title=title, xlabel="layer", xticks=sorted({row.layer for row in found}))
        plain(axes)
    title = "bars: standard deviation over the rows; open marks: every row divided by its length"
    figure.legend(title=title, loc="outside lower center", ncols=2, frameon=False)
    return figure


def picture(runs, options):
    """Returns (Figure, notes) of some figures.runs.Run."""
    found = layers_of(runs, options)
    if options.table:
        write_text(options.table, csv_text([field.name for field in fields(Layer)], map(asdict, found)))
    return draw(found), []


def main(argv=None):
    """Draws one picture; returns the exit status: 0, or 2 for a mistake on the command line or in a file."""
    return draw_runs(__file__, first_paragraph(__doc__), FOLDERS, DEFAULT_OUTPUT, Options, picture, argv)


if __name__ == "__main__":
    sys.exit(main())
