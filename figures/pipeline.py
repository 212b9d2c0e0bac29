"""Draws the results of a pipeline over the epochs or logged batches, with one curve per experiment.

Angles and the like are drawn layer by layer, as rolling means with bands of one rolling standard deviation.
"""

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    from core.signals import start

    start()

from dataclasses import dataclass

import numpy as np
from tqdm import tqdm

from core.drawing import default_style, legible
from core.files import make_folder
from core.options import Parser, add_arguments, as_path, option
from core.program import run_program
from dfc.measures.summary import Frame
from dfc.measures.table import MEASUREMENTS, VECTOR
from figures.drawing import ENDINGS, MARKS, curve_style, new_figure, plain, save
from sweeps.pipeline_results import batches_in_a_pass, read_record, read_results

# "Set1" with the published replacements of its yellow and its grey.
COLOURS = (
    "#E41A1C", "#377EB8", "#4DAF4A", "#984EA3", "#FF7F00", (0.332, 0.418, 0.184), "#A65628", "#F781BF",
    (0.0, 0.797, 0.797),
)  # fmt: skip
LABELS = {row.key: row.label for row in MEASUREMENTS if row.label}
MEANS = [row for row in MEASUREMENTS if row.kept == VECTOR and row.key.endswith("_mean")]
# {name of a vector: the key of the names of its entries}
VECTORS = {row.key.removesuffix("_mean"): row.listed for row in MEANS}
MATRIX_NAMES = {
    "A_tildeI": r"$\tilde{A}_I$", "A_I": "$A_I$", "A_instI": r"$A_\mathrm{inst\,I}$", "A_PI": r"$A_\mathrm{PI}$",
}  # fmt: skip
COUNTS = ("converged", "not_converged", "diverged")
SMOOTH = 30
# The folder of the pictures in the folder of the pipeline.
FOLDER = "figures"
# Rows of a legend that is not higher than a picture, and letters in a line of it.
LEGEND_ROWS, NAME = 18, 32


@dataclass(frozen=True)
class Options:
    """Holds the options of pipeline.py that are numbers."""

    smooth: int = option(SMOOTH, "logged batches in a rolling mean: each of them and those after it", bounds="[1, inf)")


@dataclass(frozen=True)
class Results:
    """Holds the results of a pipeline.

    of     {key: {name of an experiment: array or Frame}}
    flags  {name: its flags, log_interval at least} of all experiments, in their order
    """

    of: dict
    flags: dict

    @classmethod
    def read(cls, folder):
        """Returns the Results in a folder of run_pipeline.py.  Raises FileError."""
        flags = read_record(folder)
        return cls(read_results(folder), flags)

    def iterations(self, name, events):
        """Returns how many batches preceded each logged one; `events` are the numbers of those, from 0.

        One batch in log_interval is logged, and the first of every pass (unlike in the published program).
        """
        interval, batches = self.flags[name]["log_interval"], batches_in_a_pass(self.flags[name])
        if batches is None:
            return interval * events
        passes, place = np.divmod(events, -(-batches // interval))
        return passes * batches + place * interval

    def frames(self, key):
        """Returns {name: Frame} of the Frames with numbers; angles with updates that are all zero are NaN."""
        found = {name: value for name, value in self.of.get(key, {}).items() if isinstance(value, Frame)}
        return {name: frame for name, frame in found.items() if np.isfinite(frame.values).any()}

    def arrays(self, key):
        """Returns {name: array} of the arrays with one number per entry and at least one finite number."""
        results = self.of.get(key, {}).items()
        found = {name: value for name, value in results if isinstance(value, np.ndarray) and value.ndim == 1}
        return {name: value for name, value in found.items() if value.dtype.kind in "iuf" and np.isfinite(value).any()}

    def vector(self, name):
        """Returns (names of the k keys, {experiment: means (n, k)}, {experiment: deviations (n, k)}).

        The published vectors are flat, with the key as the faster index, and 0 if nothing was measured.
        """
        keys = self.of.get(VECTORS[name], {})
        keys = next(iter(keys.values())).tolist() if keys else [name]
        found = []
        for moment in ("mean", "std"):
            arrays = self.arrays(f"{name}_{moment}")
            measured = {which: each for which, each in arrays.items() if len(each) > 1 or each[0] != 0}
            whole = {which: each for which, each in measured.items() if each.size % len(keys) == 0}
            found.append({which: each.reshape(-1, len(keys)) for which, each in whole.items()})
        return keys, *found

    def style(self, name, points):
        """Returns the name and style of an experiment's curves; the first 12 differ even without colour."""
        index = list(self.flags).index(name)
        step = -(-points // MARKS)
        # Markers of different curves stand at different places.
        first = index * step // len(self.flags)
        own = {"linewidth": 1.4, "markevery": (min(first, points - 1), step), "label": legible(name, NAME)}
        return curve_style(index, COLOURS) | own


def rolling(values, window, forward=True):
    """Returns (mean, standard deviation) over windows of rows, for each column; NaN entries are left out.

        mean_t = (1 / n) sum_k values_k,   std_t^2 = 1 / (n - 1) sum_k (values_k - mean_t)^2,   k = t … t + window - 1

    values   (rows, columns)
    window   number of rows, fewer at the end
    forward  whether a window begins with its row; else it ends with it
    Returns  arrays like values; the deviation of one number is 0, and both are NaN where there is none
    """
    window = max(1, min(window, len(values)))
    nothing = np.full((window - 1, values.shape[1]), np.nan)
    padded = np.concatenate([values, nothing] if forward else [nothing, values])
    windows = np.lib.stride_tricks.sliding_window_view(padded, window, axis=0)
    known = ~np.isnan(windows)
    count = known.sum(axis=-1)
    with np.errstate(invalid="ignore", over="ignore"):
        mean = np.where(known, windows, 0.0).sum(axis=-1) / count
        squares = (np.where(known, windows - mean[..., None], 0.0) ** 2).sum(axis=-1)
        return mean, np.sqrt(squares / np.where(count > 0, np.maximum(count - 1, 1), 0))


def draw_arrays(results, key):
    """Returns a Figure of the arrays of a key over their index."""
    figure = new_figure(9, 5)
    axes = figure.subplots()
    for name, values in results.arrays(key).items():
        axes.plot(np.arange(len(values)), values, **results.style(name, len(values)))
    axes.set(title=key, ylabel=label(key))
    finish(figure, [axes], "iteration" if "angle" in key else "epoch")
    return figure


def draw_frames(results, key, smooth=SMOOTH, ylabel=None, xlabel="iteration"):
    """Draws the Frames of a key, one panel per column, smoothed by `rolling`."""
    frames = results.frames(key)
    columns = list(dict.fromkeys(column for frame in frames.values() for column in frame.columns))
    figure = new_figure(4 * len(columns) + 4, 5)
    panels = figure.subplots(1, len(columns), sharex=True, sharey=True, squeeze=False)[0]
    top = 0.0
    for name, frame in frames.items():
        mean, std = rolling(frame.values, smooth)
        above = mean + std
        top = max(top, above[np.isfinite(above)].max(initial=0.0))
        x = results.iterations(name, np.array(frame.steps) - 1)
        for column, m, s in zip(frame.columns, mean.T, std.T, strict=True):
            draw_band(panels[columns.index(column)], results, name, x, m, s)
    if len(columns) > 1:
        for axes, column in zip(panels, columns, strict=True):
            axes.set_title(f"Layer {column + 1}")
    panels[0].set(ylabel=ylabel or label(key), xlim=(0, None), ylim=(-0.005, max(0.005, 1.02 * top)))
    finish(figure, panels, xlabel)
    return figure


def draw_vector(results, name):
    """Draws one of VECTORS, one panel per key: mean over a batch, one standard deviation, a thick line at 0."""
    keys, means, stds = results.vector(name)
    rows, columns = (2, 2) if len(keys) == 4 else (len(keys), 1)
    figure = new_figure(*((13, 10) if len(keys) == 4 else (9, 1 + 4 * rows)))
    panels = figure.subplots(rows, columns, sharex=True, squeeze=False).ravel()
    for number, (axes, key) in enumerate(zip(panels, keys, strict=True)):
        axes.axhline(0, color="black", linewidth=2.5, zorder=1)
        for experiment, mean in means.items():
            std = stds.get(experiment, np.zeros_like(mean))
            x = results.iterations(experiment, np.arange(len(mean)))
            draw_band(axes, results, experiment, x, mean[:, number], std[:, number])
        axes.set(title=MATRIX_NAMES.get(key, key), ylabel=_vector_label(name, key))
    finish(figure, panels, "iteration", every_row=columns)
    return figure


def draw_band(axes, results, name, x, mean, std):
    """Draws the curve of one experiment with its band."""
    style = results.style(name, len(x))
    axes.plot(x, mean, **style)
    axes.fill_between(x, mean - std, mean + std, color=style["color"], alpha=0.3, linewidth=0)


def finish(figure, panels, xlabel, every_row=None):
    """Labels the lowest panels along x and names every curve in a legend to the right of all panels.

    every_row  number of panels in a row; default: all
    """
    from matplotlib.ticker import MaxNLocator

    curves = {}
    for axes in panels:
        plain(axes)
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        curves |= dict(zip(*axes.get_legend_handles_labels()[::-1], strict=True))
    for axes in panels[-(every_row or len(panels)) :]:
        axes.set_xlabel(xlabel)
    how = {"ncols": -(-len(curves) // LEGEND_ROWS), "loc": "outside right upper", "handlelength": 4, "frameon": False}
    figure.legend(curves.values(), curves.keys(), **how)


def label(key):
    """Returns the published label of the y axis for a key."""
    named = LABELS.get(key) or LABELS.get(key.removesuffix("_init"))
    if named:
        return named
    return "number of samples" if key in COUNTS else {"loss": "loss", "acc": "accuracy"}.get(key.partition("_")[0], key)


def _vector_label(name, column):
    return r"$\overline{\|r\|}$" if (name, column) == ("norm_r", "mean") else LABELS[f"{name}_mean"]


def draw(results, smooth=SMOOTH):
    """Yields (name of a file without its ending, function that draws its Figure) of all drawable results."""
    for key in results.of:
        if "keys" in key:
            continue
        name, _, moment = key.rpartition("_")
        if name in VECTORS and moment in ("mean", "std"):
            if moment == "mean" and results.vector(name)[1]:
                yield name, lambda name=name: draw_vector(results, name)
        elif results.frames(key) and "angle" in key:
            yield f"{key}_subplots", lambda key=key: draw_frames(results, key, smooth)
        elif results.arrays(key) and not (key == "dist_to_NDI" and not any(map(np.any, results.arrays(key).values()))):
            yield key, lambda key=key: draw_arrays(results, key)


@default_style()
def save_all(pictures, output, quiet):
    """Writes pictures as PNG and PDF into `output`; returns the paths, raises UsageError or FileError."""
    pictures, output, paths = list(pictures), Path(output), []
    if pictures:
        make_folder(output)
    for name, make in tqdm(pictures, desc="drawing", unit="figure", leave=False, disable=quiet or None):
        figure = make()
        for ending in ENDINGS:
            paths.append(output / (name + ending))
            save(figure, paths[-1])
    return paths


def draw_all(folder, output, smooth=SMOOTH, quiet=False):
    """Draws a pipeline's folder into the folder `output`; returns the paths, raises UsageError or FileError."""
    return save_all(draw(Results.read(folder), smooth), output, quiet)


def run(name, description, place, record, argv, draw_all):
    """Runs the command line of a script that draws a pipeline's folder; returns the exit status.

    place     folder in the pipeline's folder for the pictures
    record    dataclass of further options
    draw_all  function (folder, output, **those options) -> paths
    """
    parser = Parser(prog=name, description=description)
    told = "folder of a pipeline, with result_dict and pipeline.json"
    parser.add_argument("folder", type=as_path, metavar="FOLDER", help=told)
    told = f"folder of the pictures, PNG and PDF; default {place} in the first"
    parser.add_argument("--output", type=as_path, metavar="FOLDER", help=told)
    add_arguments(parser, record)
    given = vars(parser.parse_args(argv))
    folder, output = given.pop("folder"), given.pop("output")

    def draw_them():
        paths = draw_all(folder, output or Path(folder, place), **vars(record(**given)))
        print("\n".join(map(str, paths)) or "nothing to draw")
        return 0

    return run_program(name, draw_them, "interrupted")


def main(argv=None):
    """Draws the pictures of one pipeline; returns the exit status."""
    return run("pipeline.py", __doc__, FOLDER, Options, argv, draw_all)


if __name__ == "__main__":
    sys.exit(main())
