"""Draws figure 1D: a controlled output that approaches its target, and the control signal that moves it."""

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    from core.signals import start

    start()

from core.drawing import default_style
from core.files import is_stream
from core.options import UsageError
from figures.drawing import new_figure
from figures.toy import read_data, run, save_all

NAME = "PI_control"
SHAPES = {"samples": "n", "output": "tn", "control": "tn", "target": "n", "dt": ""}
TITLE = "Proportional + Integral control"


def draw_output(data, column):
    """Returns a Figure of the output of one sample over all time points, from the feedforward output on."""
    figure, axes = _axes(data)
    steps, target = len(data["output"]), data["target"][column]
    axes.plot(data["output"][:, column], color="tab:blue", linewidth=2, label="Network output")
    axes.plot([0, steps], [target, target], color="black", linestyle="dashed", label="Output target")
    figure.legend(loc="outside lower center", ncols=2, frameon=False, handlelength=3)
    return figure


def draw_signal(data, column):
    """Returns a Figure of output and control signal of one sample from the first step on, on two axes."""
    figure, axes = _axes(data)
    steps, target = len(data["output"]), data["target"][column]
    t = range(1, steps)
    axes.plot(t, data["output"][1:, column], color="tab:blue", linewidth=2, label="Network output")
    axes.plot([0, steps], [target, target], color="black", linestyle="dashed", label="Output target")
    right = axes.twinx()
    right.plot(t, data["control"][1:, column], color="tab:red", linestyle="dashdot", linewidth=2, label="Control input")
    right.set_ylabel("Control input (units of the output)")
    right.spines[["top", "left"]].set_visible(False)
    _narrow_ticks(right)
    figure.legend(loc="outside lower center", ncols=3, frameon=False, handlelength=3)
    return figure


def _axes(data):
    figure = new_figure(6.4, 4.6)
    axes = figure.subplots()
    axes.set(title=TITLE, xlabel=f"Timesteps (of {data['dt']:g} time constants)", ylabel="Output value")
    axes.spines[["top", "right"]].set_visible(False)
    _narrow_ticks(axes)
    return figure, axes


def _narrow_ticks(axes):
    """Labels all digits of the values: a common offset above the axis would be overlooked."""
    axes.ticklabel_format(axis="y", useOffset=False)


@default_style()
def write(data, outputs):
    """Draws a data file of run_toy_exp_fig1D.py; returns the paths.

    outputs  names like PI_control.png, from which PI_control<n>.png and PI_control_signal<n>.png follow for each sample
             n
    Raises   UsageError for an output that is no file, or if matplotlib is missing; FileError
    """
    if streams := list(filter(is_stream, outputs)):
        raise UsageError(f"--output={streams[0]}: two pictures per sample are drawn, and each needs a file of its own")
    arrays, figures = read_data(data, SHAPES), {}
    for output in map(Path, outputs):
        for column, sample in enumerate(arrays["samples"]):
            figures[output.with_stem(f"{output.stem}{sample}")] = draw_output(arrays, column)
            figures[output.with_stem(f"{output.stem}_signal{sample}")] = draw_signal(arrays, column)
    return save_all(figures)


def main(argv=None):
    """Draws the pictures of one experiment; returns the exit status."""
    return run(__file__, __doc__, write, NAME, argv)


if __name__ == "__main__":
    sys.exit(main())
