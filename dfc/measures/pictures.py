"""Draws pictures while main.py trains: the controlled dynamics, and an autoencoder's reconstructions.

They need matplotlib, which is imported at its first use.
"""

import datetime
from dataclasses import fields
from pathlib import Path

import numpy as np

from core.backend import array_module, to_host
from core.drawing import default_style, new_figure
from core.roles import Watcher
from dfc.controller import norms
from dfc.gradients import initial_error, output_target
from dfc.measures.observation import parts_of_batch
from dfc.measures.table import FORWARD
from dfc.simulation import Trajectory, record
from dfc.steady_state import analytical_steady_state

# Added to distances, so that a logarithm exists.
SMALLEST = 1e-20
# Images in a picture.
SHOWN = 5
# Dots per inch.
DOTS = 100


def _figure(rows, columns, size):
    figure = new_figure(*size, dpi=DOTS)
    return figure, figure.subplots(rows, columns, squeeze=False)


class DynamicsPlot(Watcher):
    """Draws the simulation of the first batch of every so many epochs (docs/published/dfc.md G.12).

    For each layer it draws the distance of the rates from the feedforward pass, and that of the somatic voltage
    from the sum of its two drives (in the output layer: of the rates from the target); with --compare_with_ndi
    also that of the apical voltage from the analytical steady state. Every sample is a thin line, the mean over
    the batch a thick one.

    settings  dfc.settings.records.MeasurementSettings
    learner   dfc.learners.ForwardLearner, with the options of DFC or DFC-SS
    folder    where the pictures go
    plan      core.training.EpochPlan
    """

    def __init__(self, settings, learner, folder, plan):
        self.learner, self.folder = learner, Path(folder)
        self.interval, self.compare = settings.make_dynamics_plot_interval, "compare_with_ndi" in settings.switches
        self._prelude, self._passes = len(plan.prelude), len(plan.epoch)

    def wants(self, place):
        return place[1] == 0 and self._epoch(place) % self.interval == 0

    def _epoch(self, place):
        return (place[0] - self._prelude) // self._passes

    def batch(self, report):
        epoch = self._epoch(report.place)
        if report.phase != FORWARD or not self.wants(report.place):
            return
        net, activities, options = self.learner.net, report.activities, self.learner.options
        trajectory = trajectory_of_batch(net, report, options, self.learner.noise)
        move = initial_error(net, activities, report.target, options)
        rest = analytical_steady_state(net, activities, move, options.controller.alpha) if self.compare else None
        wanted = output_target(net, activities, report.target, options)
        time = datetime.datetime.now().strftime("%Y_%m_%d__%H_%M_%S_%f")
        with default_style():
            figure = draw_dynamics(trajectory, activities, wanted, rest)
            figure.savefig(self.folder / f"_Epoch{epoch}__{time}.png")


def trajectory_of_batch(net, report, options, noise):
    """Returns the Trajectory of all samples of a batch, simulated again in the rule's parts with its noise."""
    parts = parts_of_batch(net, report, options, noise)
    found = [record(net, part, target, options.controller, own_noise) for part, target, own_noise in parts]
    return Trajectory(*(_side_by_side([getattr(each, field.name) for each in found]) for field in fields(Trajectory)))


def _side_by_side(parts):
    """Joins arrays (T, n, …) of several parts of a batch, or lists of them, along the samples."""
    if isinstance(parts[0], list):
        return [_side_by_side(layer) for layer in zip(*parts, strict=True)]
    return array_module(*parts).concatenate(parts, axis=1)


def draw_dynamics(trajectory, activities, target, rest=None):
    """Returns the figure of one simulation; see DynamicsPlot."""
    layers = len(trajectory.r)
    figure, axes = _figure(layers, 3 if rest else 2, (15, 10))
    for l in range(layers):
        name = f"layer {l + 1}" if l < layers - 1 else "output"
        _curves(axes[l][0], norms(trajectory.r[l] - activities.r[l]), "black", f"{name}: |r - r$^-$|")
        if l < layers - 1:
            distance = norms(trajectory.vs[l] - (trajectory.va[l] + trajectory.vb[l]))
            _curves(axes[l][1], distance, "tab:orange", f"{name}: |v$^S$ - (v$^A$ + v$^B$)|", log=True)
            if rest:
                distance = norms(trajectory.va[l] - rest.delta_v[l])
                _curves(axes[l][2], distance, "tab:blue", f"{name}: |v$^A$ - dv$^{{SSA}}$|", log=True)
        else:
            _curves(axes[l][1], norms(trajectory.r[l] - target), "tab:red", f"{name}: |r - r*|", log=True)
    if rest:
        axes[-1][2].set_axis_off()
    for axis in axes[-1]:
        axis.set_xlabel("time point")
    return figure


def _curves(axis, distances, colour, label, log=False):
    """Draws distances (T, n) as functions of time."""
    distances = to_host(distances) + SMALLEST
    axis.plot(distances, color=colour, alpha=0.1, linewidth=0.5)
    axis.plot(distances.mean(axis=1), color=colour, linewidth=2.5)
    axis.set_ylabel(label)
    if log:
        axis.set_yscale("log")


class Reconstructions(Watcher):
    """Draws the reconstructions of the first images of each set after every epoch; it measures nothing."""

    def __init__(self, task, folder):
        self.sets = {"validation": task.validation, "test": task.test}
        self.folder = Path(folder) / "autoencoder_images"

    def row(self, net, epoch):
        for name, samples in self.sets.items():
            if samples:
                images, _ = samples.batch(slice(SHOWN))
                save_reconstructions(self.folder, name, epoch - 1, images, net.forward(images).r[-1])
        return {}


@default_style()
def save_reconstructions(folder, name, epoch, images, reconstructed):
    """Writes pictures of the first of the square images (n, p), and of their reconstructions.

    Their names are <name>_input_epoch_<e>.png and <name>_reconstructed_epoch_<e>.png.
    """
    folder = Path(folder)
    folder.mkdir(exist_ok=True)
    for kind, rows in (("input", images), ("reconstructed", reconstructed)):
        rows = to_host(rows[:SHOWN])
        side = round(np.sqrt(rows.shape[1]))
        figure, axes = _figure(1, len(rows), (2 * len(rows), 2))
        for axis, row in zip(axes[0], rows, strict=True):
            axis.imshow(row.reshape(side, side), cmap="gray")
            axis.set_axis_off()
        figure.savefig(folder / f"{name}_{kind}_epoch_{epoch}.png")
