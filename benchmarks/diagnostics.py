"""Compares time and memory of system 2's measurements with those of the direct way.

The measurements never form the Jacobian of the parameters.

    python benchmarks/diagnostics.py [--samples 32] [--threads 1] [--rounds 5]

The direct way forms the Jacobian of one sample after the other (of the whole batch for the null space) and solves
with it, by the definitions in docs/published/dfc.md G. Both ways get the same random network and batch, and take
turns. The table has medians over the rounds, also of the ratio, and the largest relative difference of the
results.
"""

import argparse
import sys
import time
import tracemalloc
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

CLASSIFIER, AUTOENCODER, SMALL = (784, 256, 256, 256, 10), (784, 256, 32, 256, 784), (784, 64, 64, 10)
GAMMA = 1.0


def make_problem(sizes, samples):
    """Returns (network, feedforward pass, targets): tanh, linear output, squared error."""
    from core.streams import xavier_normal
    from dfc.functions import ACTIVATIONS, SQUARED_ERROR
    from dfc.network import FeedbackNetwork

    random = np.random.default_rng(0)
    shapes = list(zip(sizes[1:], sizes[:-1], strict=True))
    weights = [xavier_normal(random, *shape) for shape in shapes]
    biases = [0.1 * random.standard_normal(n) for n in sizes[1:]]
    feedback = [random.standard_normal((n, sizes[-1])) for n in sizes[1:-1]] + [np.eye(sizes[-1])]
    activations = [ACTIVATIONS["tanh"]] * (len(shapes) - 1) + [ACTIVATIONS["linear"]]
    net = FeedbackNetwork(weights, biases, feedback, activations, SQUARED_ERROR)
    return net, net.forward(random.standard_normal((samples, sizes[0]))), random.standard_normal((samples, sizes[-1]))


def direct_gauss_newton(net, activities, target):
    """Returns the mean of M(Jt_b, E_b, gamma), with the Jacobian by the parameters written out per sample."""
    from dfc.jacobian import jacobian_blocks
    from dfc.measures.angles import loss_gradient
    from dfc.measures.least_squares import damped_pseudo_inverse

    error, total = loss_gradient(net, activities, target), 0.0
    for b in range(activities.batch_size):
        columns = []
        for l, block in enumerate(jacobian_blocks(net, [v[b : b + 1] for v in activities.v])):
            columns += [(block[0][:, :, None] * activities.presynaptic(l)[b]).reshape(len(block[0]), -1), block[0]]
        total = total + damped_pseudo_inverse(np.concatenate(columns, axis=-1), GAMMA) @ error[b]
    return total / activities.batch_size


def direct_minimum_norm(net, activities, target):
    """Returns g = M(Jbar, E, gamma), with Jbar written out for all samples."""
    from dfc.jacobian import output_jacobian
    from dfc.measures.angles import loss_gradient
    from dfc.measures.least_squares import damped_pseudo_inverse

    inverse = damped_pseudo_inverse(output_jacobian(net, activities.v), GAMMA)
    return (inverse @ loss_gradient(net, activities, target)[..., None])[..., 0]


def direct_fit(net, activities, target):
    """Returns condition 2 and the two angles, with Jbar, its pseudo-inverse and Qbar written out."""
    from core.angles import angle
    from dfc.jacobian import output_jacobian, stacked_feedback
    from dfc.measures.least_squares import damped_pseudo_inverse

    q, total = stacked_feedback(net), 0.0
    for j in output_jacobian(net, activities.v):
        projected = j.T @ np.linalg.solve(j @ j.T, j @ q)
        share = np.linalg.norm(projected) / np.linalg.norm(q)
        total = total + np.array([share, angle(j.T, q), angle(damped_pseudo_inverse(j, GAMMA), q)])
    return total / activities.batch_size


def direct_null_space(net, activities, update):
    """Returns the ratios by the singular vectors of the Jacobian of the whole batch."""
    from dfc.jacobian import jacobian_blocks

    ratios = []
    for l, block in enumerate(jacobian_blocks(net, activities.v)):
        rows = (block[..., None] * activities.presynaptic(l)[:, None, None, :]).reshape(-1, update[2 * l].size)
        _, s, v = np.linalg.svd(rows, full_matrices=False)
        kept = v[s >= 1e-12]
        g = update[2 * l].ravel()
        ratios.append(np.linalg.norm(g - kept.T @ (kept @ g)) / np.linalg.norm(g))
    return np.array(ratios)


def timed(function):
    """Returns (result, seconds) of a call."""
    start = time.perf_counter()
    result = function()
    return result, time.perf_counter() - start


def peak(function):
    """Returns the largest memory of arrays during a call, in MiB.

    It slows the interpreter down, so that it needs a call of its own.
    """
    tracemalloc.start()
    function()
    found = tracemalloc.get_traced_memory()[1] / 2**20
    tracemalloc.stop()
    return found


def cases(samples):
    """Returns [(name, our function, function of the direct way)]."""
    from dfc.measures.angles import gn_update, gnt_voltages, nullspace_ratios
    from dfc.measures.feedback_diagnostics import feedback_fit

    classifier, autoencoder, small = (make_problem(sizes, samples) for sizes in (CLASSIFIER, AUTOENCODER, SMALL))
    few = make_problem(AUTOENCODER, max(1, samples // 8))
    flat = lambda arrays: np.concatenate([each.ravel() for each in arrays])  # noqa: E731
    update = [np.random.default_rng(1).standard_normal(p.shape) for p in small[0].parameters]
    side = lambda problem: lambda: np.concatenate(gnt_voltages(*problem, GAMMA), axis=-1)  # noqa: E731
    fit = lambda problem: lambda: np.array(list(feedback_fit(*problem[:2], GAMMA).values()))  # noqa: E731
    yield (
        "Gauss-Newton, classifier",
        lambda: flat(gn_update(*classifier, GAMMA)),
        lambda: direct_gauss_newton(*classifier),
    )
    yield "minimum norm, classifier", side(classifier), lambda: direct_minimum_norm(*classifier)
    yield "minimum norm, autoencoder", side(autoencoder), lambda: direct_minimum_norm(*autoencoder)
    yield "fit of Q, classifier", fit(classifier), lambda: direct_fit(*classifier)
    yield "fit of Q, autoencoder (1/8)", fit(few), lambda: direct_fit(*few)
    yield (
        "null space, small",
        lambda: np.array(nullspace_ratios(*small[:2], update)),
        lambda: direct_null_space(*small[:2], update),
    )


def main():
    """Prints the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--samples", type=int, default=32, help="samples in the batch (default 32)")
    parser.add_argument("--threads", type=int, default=1, help="threads of BLAS, needs threadpoolctl (default 1)")
    parser.add_argument("--rounds", type=int, default=5, help="number of turns (default 5)")
    options = parser.parse_args()
    try:
        import threadpoolctl

        threadpoolctl.threadpool_limits(options.threads, user_api="blas")
    except ImportError:
        print("without threadpoolctl BLAS chooses its number of threads itself", file=sys.stderr)
    print(f"{'':30}{'seconds':>18}{'peak MiB':>18}{'faster':>9}{'smaller':>9}{'difference':>12}")
    for name, ours, direct in cases(options.samples):
        rounds = [(timed(ours), timed(direct)) for _ in range(options.rounds)]
        (found, _), (expected, _) = rounds[0]
        difference = np.abs(found - expected).max() / np.abs(expected).max()
        seconds = np.array([[time for _, time in each] for each in rounds])
        faster, sizes = np.median(seconds[:, 1] / seconds[:, 0]), (peak(ours), peak(direct))
        times = "".join(f"{number:9.4f}" for number in np.median(seconds, axis=0))
        memory = f"{sizes[0]:9.1f}{sizes[1]:9.1f}"
        gains = f"{faster:9.1f}{sizes[1] / sizes[0]:9.1f}"
        print(f"{name:30}{times}{memory}{gains}{difference:12.1e}", flush=True)


if __name__ == "__main__":
    main()
