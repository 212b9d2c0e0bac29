"""Runs the toy experiment of figure 2: random feedback weights that keep a small network stable.

They are compared with its damped pseudo-inverses. Feedback weights Q = J^T P with a random P span the row space
of the Jacobian J. Those that keep the controller stable are compared with J^T (J J^T + gamma I)^-1, the
pseudo-inverse and the transpose, all scaled to unit norm, in their two principal components.
"""

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent))
    from core.signals import start

    start()

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from core.files import make_folder, write_arrays
from core.options import Parser, add_arguments, as_path, first_paragraph, option
from core.program import run_program
from core.streams import PUBLISHED_INITIALISERS, stream
from dfc.functions import ACTIVATIONS, SQUARED_ERROR
from dfc.jacobian import output_jacobian
from dfc.measures.least_squares import damped_pseudo_inverse
from dfc.network import FeedbackNetwork
from figures import fig2
from figures.toy import both, draw_or_note

PROG = "run_toy_exp_fig2.py"
OUT_DIR = "./logs/toy_experiments/fig2"
DATA = "fig2.npz"
SIZES, HIDDEN = (5, 2, 2), "tanh"
# Exponents of the first and the last one, and their number.
DAMPINGS = (-5, 2, 100)
COUNT, QUICK_COUNT = 2000, 300


@dataclass(frozen=True)
class Options:
    """Holds the options of run_toy_exp_fig2.py."""

    out_dir: str = option(
        "", f"folder of data and picture; default {OUT_DIR}, with --quick {OUT_DIR}_quick", kind=as_path
    )
    seed: int = option(42, "seed of weights, input and feedback", bounds="[0, inf)", names=("--random_seed",))
    count: int = option(None, f"random Q; default {COUNT}, with --quick {QUICK_COUNT}", bounds="[1, 1000000]", kind=int)
    quick: bool = option(False, "fewer random Q")
    quiet: bool = option(False, "no effect: this takes a few seconds")


def small_jacobian(seed):
    """Returns J (2, 4), float32: the derivative of the output of a 5-2-2 network by its 4 pre-activations.

    The input is random.
    """
    layers = enumerate(pairwise(SIZES))
    draw = PUBLISHED_INITIALISERS["xavier_normal"]
    weights = [draw(stream(seed, "init", l), n, m).astype(np.float32) for l, (m, n) in layers]
    biases = [np.zeros(len(w), dtype=np.float32) for w in weights]
    net = FeedbackNetwork(weights, biases, [], [ACTIVATIONS[HIDDEN], ACTIVATIONS["linear"]], SQUARED_ERROR)
    x = stream(seed, "data").standard_normal((1, SIZES[0]), dtype=np.float32)
    return output_jacobian(net, net.forward(x).v)[0]


def stable_feedback(jacobian, count, random):
    """Returns Q = J^T P (count, N, n_L), P ~ N(0, 1), without eigenvalues of J Q with a negative real part.

    Each Q is drawn until that holds.

    jacobian  (n_L, N)
    random    numpy.random.Generator; a smaller count gives the first Q of a larger one
    """
    outputs, kept, found = len(jacobian), [], 0
    while found < count:
        q = jacobian.T @ random.standard_normal((count, outputs, outputs), dtype=jacobian.dtype)
        stable = (np.linalg.eigvals(jacobian @ q).real >= 0.0).all(axis=-1)
        kept.append(q[stable])
        found += int(stable.sum())
    return np.concatenate(kept)[:count]


def unit_rows(matrices):
    """Returns matrices (n, …), flattened and scaled to norm 1: (n, entries)."""
    rows = matrices.reshape(len(matrices), -1)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def principal_components(rows, count=2):
    """Returns (mean (m,), directions (count, m), their shares of the variance (count,)) of rows (n, m).

    They are computed by the SVD of the centred rows. The largest entry of each direction is positive.
    """
    mean = rows.mean(axis=0)
    _, values, directions = np.linalg.svd(rows - mean, full_matrices=False)
    directions, squares = directions[:count], values * values
    largest = directions[np.arange(count), abs(directions).argmax(axis=1)]
    return mean, directions * np.sign(largest)[:, None], squares[:count] / squares.sum()


def experiment(seed, count):
    """Returns {name: array} of the figure: the matrices, and their places by principal components.

    The arrays are those of docs/published/dfc.md K.7.
    """
    jacobian = small_jacobian(seed)
    gamma = np.logspace(*DAMPINGS)
    matrices = {
        "feedback": stable_feedback(jacobian, count, stream(seed, "feedback")),
        "damped": np.stack([damped_pseudo_inverse(jacobian, float(each)) for each in gamma]),
        "pseudo_inverse": damped_pseudo_inverse(jacobian, 0.0)[None],
        "transpose": jacobian.T[None],
    }
    rows = {name: unit_rows(each) for name, each in matrices.items()}
    mean, directions, shares = principal_components(np.concatenate(list(rows.values())))
    places = {f"{name}_places": (each - mean) @ directions.T for name, each in rows.items()}
    plane = {"mean": mean, "directions": directions, "variance_shares": shares}
    return {"jacobian": jacobian, "gamma": gamma} | matrices | places | plane


def main(argv=None):
    """Runs one command line; returns the exit status: 0, 2 for a mistake or an unusable folder, or 130."""
    parser = Parser(prog=PROG, description=first_paragraph(__doc__))
    add_arguments(parser, Options)
    options = Options(**vars(parser.parse_args(argv)))

    def run():
        folder = make_folder(options.out_dir or OUT_DIR + ("_quick" if options.quick else ""))
        # Kernels of BLAS may report invalid numbers where all are finite.
        with np.errstate(invalid="ignore"):
            arrays = experiment(options.seed, options.count or (QUICK_COUNT if options.quick else COUNT))
        write_arrays(folder / DATA, arrays)
        draw_or_note(fig2.write, folder / DATA, both(folder / fig2.NAME))
        return 0

    return run_program(PROG, run, "interrupted")


if __name__ == "__main__":
    sys.exit(main())
