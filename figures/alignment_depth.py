"""Draws the angle of GAIT-prop and TP to backpropagation before training, by depth and initial weights.

Square networks start as in run.py and see MNIST images; the numbers are measured, saved and drawn.
"""

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    from core.signals import start

    start()

import numpy as np
from tqdm import tqdm

from core.options import first_paragraph
from core.streams import INITIALISERS, stream
from figures.drawing import new_figure
from figures.untrained import draw_seeds, finish, first_images, run
from gait.alignment import alignment
from inv_net import SquareInvNet
from rules import RULES
from utils import LEAKY_RELU, one_hot

# {name in the data file: (rule, initial weights)}
CASES = {
    "gait_orthogonal": ("GAIT", "orthogonal"),
    "gait_xavier": ("GAIT", "xavier"),
    "tp_orthogonal": ("TP", "orthogonal"),
    "tp_xavier": ("TP", "xavier"),
}
PARTS = {"first": "first layer", "network": "whole network"}
SHAPES = {"hidden_layers": "d", "seeds": "s"} | {f"{case}_{part}": "sd" for case in CASES for part in PARTS}
# Images, as in a batch of run.py.
BATCH = 60
# Degrees; smaller angles cannot be told from zero in the picture, so the legend states them.
VISIBLE = 1.0


def measure(options):
    """Returns the arrays of SHAPES: numbers of hidden layers (d,), seeds (s,), and angles in degrees (s, d)."""
    images, labels = first_images(options, BATCH)
    inputs, target = images.reshape(len(images), -1), one_hot(labels, 10, images.dtype)
    depths, seeds = np.arange(options.hidden_layers + 1), np.arange(1, options.nb_seeds + 1)
    found = {name: np.zeros((len(seeds), len(depths))) for name in SHAPES if name not in ("hidden_layers", "seeds")}
    with tqdm(total=len(seeds) * len(CASES) * len(depths), unit="network", disable=options.quiet or None) as bar:
        for s, seed in enumerate(seeds.tolist()):
            nets = {init: _nets(seed, init, inputs.shape[-1], depths) for init in INITIALISERS}
            for case, (rule, init) in CASES.items():
                rules = [(RULES[name], RULES[name].Options()) for name in (rule, "BP")]
                for d, net in enumerate(nets[init]):
                    angles = alignment(net, *rules, inputs, target)
                    found[f"{case}_first"][s, d], found[f"{case}_network"][s, d] = angles[0], angles[-1]
                    bar.update()
    return {"hidden_layers": depths, "seeds": seeds, **found}


def _nets(seed, init, size, depths):
    """Yields networks of each depth as run.py draws them: a deeper one has the layers of the others and more."""
    weights = [INITIALISERS[init](stream(seed, "init", l), size, size) for l in range(int(depths[-1]) + 1)]
    biases = [np.zeros(size) for _ in weights]
    return [SquareInvNet(weights[: depth + 1], biases[: depth + 1], LEAKY_RELU, 10) for depth in depths.tolist()]


def draw(arrays):
    """Returns a Figure of two panels, the first layer and the whole network.

    Raises  UsageError if matplotlib is missing
    """
    figure = new_figure(8.0, 4.4)
    panels = figure.subplots(1, 2, sharey=True)
    for axes, (part, title) in zip(panels, PARTS.items(), strict=True):
        for index, (case, (rule, init)) in enumerate(CASES.items()):
            largest = max(arrays[f"{case}_{each}"].max() for each in PARTS)
            remark = f" (at most {largest:.1g}°)" if largest < VISIBLE else ""
            draw_seeds(
                axes, arrays["hidden_layers"], arrays[f"{case}_{part}"], index, f"{rule}, {init} weights{remark}"
            )
        finish(axes)
        axes.set(title=title, yticks=range(0, 181, 30), ylim=(-3, max(100.0, axes.dataLim.y1 + 3)))
        axes.tick_params(labelleft=True)
    panels[0].set_ylabel("angle to backpropagation (degrees)")
    settings = {"loc": "outside lower center", "ncols": 2, "frameon": False, "handlelength": 4}
    title = f"median and range of {len(arrays['seeds'])} seeds, {BATCH} MNIST images"
    figure.legend(*panels[0].get_legend_handles_labels(), title=title, **settings)
    return figure


def main(argv=None):
    """Measures and draws; returns the exit status."""
    return run(__file__, first_paragraph(__doc__), SHAPES, measure, draw, argv)


if __name__ == "__main__":
    sys.exit(main())
