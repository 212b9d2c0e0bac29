"""Draws how many digits GAIT-prop keeps, by depth, number format, and form of the rule.

The forms are the published one and that of scaled differences. The first layer's update is compared with the
published formula, computed with so many decimal digits that rounding is negligible. The networks are square, with
196 units and orthogonal weights; the images are those of MNIST, averaged over 2 x 2 pixels. The numbers are
measured, saved and drawn.
"""

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    from core.signals import start

    start()

import decimal
import math

import numpy as np
from tqdm import tqdm

from core.options import first_paragraph
from core.streams import haar_orthogonal, stream
from figures.drawing import new_figure
from figures.untrained import draw_seeds, finish, first_images, run
from gait.alignment import batch_update
from inv_net import SquareInvNet
from rules import RULES
from utils import LEAKY_RELU, one_hot

FORMS = {"absolute": "targets, as published", "difference": "scaled differences"}
PRECISIONS = ("float32", "float64")
CASES = [f"{form}_{precision}" for form in FORMS for precision in PRECISIONS]
SHAPES = {"hidden_layers": "d", "seeds": "s", **dict.fromkeys(CASES, "sd")}
IMAGES = 5
# Digits in addition to those that gamma^(hidden layers) takes.
SPARE_DIGITS = 24
# Digits that a solve in float64 gets right at least, with orthogonal weights.
FLOAT_DIGITS = 13


def decimals(numbers):
    """Returns an array of floats, of any shape, as decimals without rounding."""
    return np.vectorize(lambda number: decimal.Decimal(float(number)), otypes=[object])(numbers)


def exact_update(weights, inputs, target, gamma, slope):
    """Returns GAIT-prop's update of the first layer by the published formula, in decimals (biases are zero).

        e_l = gamma f'_l^2,   t_{l-1} = inverse_l((1 - e_l) h_l + e_l t_l),   delta_0 = gamma^-(L-1) f'_1 (h_1 - t_1)

    (docs/published/gait.md 2.) The subtraction loses (L - 1) |log10 gamma| digits; the context has enough.

    weights  [W_0 … W_{L-1}], floats (n, n), orthogonal to a few digits
    inputs   floats (m, n)
    target   floats (m, classes)
    gamma    float, taken as the number that it is exactly, as are all floats here
    slope    float, f' below zero
    Returns  [dW_0 (n, n), db_0 (n,)], float64
    """
    hidden = len(weights) - 1
    with decimal.localcontext(decimal.Context(prec=SPARE_DIGITS + math.ceil(-hidden * math.log10(gamma)))):
        gamma, slope, one = decimal.Decimal(gamma), decimal.Decimal(slope), decimal.Decimal(1)
        trace = [decimals(inputs)]
        for w in weights:
            z = trace[-1] @ decimals(w)
            trace.append(z * np.where(z >= 0, one, slope))
        t = trace[-1].copy()
        t[:, : target.shape[1]] = decimals(target)
        for w, h in zip(weights[:0:-1], trace[:1:-1], strict=True):
            step = gamma * np.where(h >= 0, one, slope) ** 2
            y = (one - step) * h + step * t
            t = exact_solve(w, y / np.where(y >= 0, one, slope))
        delta = np.where(trace[1] >= 0, one, slope) * (trace[1] - t) / gamma**hidden / len(inputs)
        return [(trace[0].T @ delta).astype(float), delta.sum(axis=0).astype(float)]


def exact_solve(w, rows):
    """Returns rows W^-1 (m, n) to the digits of the context.

    A solve in float64 is repeated for the residual (iterative refinement).

    w     floats (n, n), well conditioned
    rows  decimals (m, n)
    """
    transposed, matrix = w.T.astype(float), decimals(w)
    solution = decimals(np.linalg.solve(transposed, rows.astype(float).T).T)
    for _ in range(math.ceil(decimal.getcontext().prec / FLOAT_DIGITS) - 1):
        left = rows - solution @ matrix
        solution = solution + decimals(np.linalg.solve(transposed, left.astype(float).T).T)
    return solution


def measure(options):
    """Returns the arrays of SHAPES: hidden layers (d,), seeds (s,), and relative deviations (s, d).

    |g - g*|_F / |g*|_F,   g = (dW_0, db_0), g* the exact update
    """
    images, labels = first_images(options, IMAGES)
    images = images.reshape(len(images), 14, 2, 14, 2).mean(axis=(2, 4)).reshape(len(images), -1).astype("float32")
    depths, seeds = np.arange(options.hidden_layers + 1), np.arange(1, options.nb_seeds + 1)
    found = {case: np.zeros((len(seeds), len(depths))) for case in CASES}
    with tqdm(total=len(seeds) * len(depths), unit="network", disable=options.quiet or None) as bar:
        for s, seed in enumerate(seeds.tolist()):
            # The weights are single floats, so that both formats hold the same network.
            size = images.shape[-1]
            streams = [stream(seed, "init", l) for l in depths.tolist()]
            draw = [haar_orthogonal(each, size, size).astype("float32") for each in streams]
            for d, depth in enumerate(depths.tolist()):
                for case, deviation in deviations(draw[: depth + 1], images, labels).items():
                    found[case][s, d] = deviation
                bar.update()
    return {"hidden_layers": depths, "seeds": seeds, **found}


def deviations(weights, inputs, labels):
    """Returns {case: relative deviation of the first layer's update from the exact one} of one network.

    weights, inputs  float32
    """
    gamma, found = RULES["GAIT"].Options().gamma, {}
    truth = _flat(exact_update(weights, inputs, one_hot(labels, 10, "float64"), gamma, LEAKY_RELU.negative_slope))
    for case in CASES:
        form, precision = case.split("_")
        biases = [np.zeros(len(w), dtype=precision) for w in weights]
        net = SquareInvNet([w.astype(precision) for w in weights], biases, LEAKY_RELU, 10)
        trace = net.forward(inputs.astype(precision))
        options = RULES["GAIT"].Options(gamma=gamma, target_form=form)
        update = batch_update(net, RULES["GAIT"], options, trace, one_hot(labels, 10, precision))
        found[case] = np.linalg.norm(_flat(update[:2]) - truth) / np.linalg.norm(truth)
    return found


def _flat(arrays):
    return np.concatenate([each.ravel().astype(float) for each in arrays])


def draw(arrays):
    """Returns a Figure of the deviations on a logarithmic axis.

    Raises  UsageError if matplotlib is missing
    """
    figure = new_figure(7.0, 5.0)
    axes = figure.subplots()
    for index, case in enumerate(CASES):
        form, precision = case.split("_")
        draw_seeds(axes, arrays["hidden_layers"], arrays[case], index, f"{FORMS[form]}, {precision}")
    axes.set_yscale("log")
    finish(axes)
    axes.set_ylabel("relative deviation of the first layer's update")
    axes.axhline(1.0, color="0.5", linewidth=0.8)
    axes.annotate(
        "no digit right", (1.0, 1.0), (-2, 2), ("axes fraction", "data"), "offset points", ha="right", color="0.3"
    )
    settings = {"loc": "outside lower center", "ncols": 2, "frameon": False, "handlelength": 4}
    figure.legend(
        *axes.get_legend_handles_labels(), title=f"median and range of {len(arrays['seeds'])} seeds", **settings
    )
    return figure


def main(argv=None):
    """Measures and draws; returns the exit status."""
    return run(__file__, first_paragraph(__doc__), SHAPES, measure, draw, argv)


if __name__ == "__main__":
    sys.exit(main())
