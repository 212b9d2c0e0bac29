"""Measures what a minibatch of system 2 costs: its matrix products and random numbers, and their time alone."""

import statistics
import time


def median_seconds(function, repeats, warm_up):
    """Returns {step, cpu}: the medians of seconds and processor seconds of function(i), i = 0, 1, …."""
    for i in range(warm_up):
        function(i)
    times = []
    for i in range(repeats):
        start, cpu = time.perf_counter(), time.process_time()
        function(i)
        times.append((time.perf_counter() - start, time.process_time() - cpu))
    return dict(zip(("step", "cpu"), map(statistics.median, zip(*times, strict=True)), strict=True))


def products(work, phase, rows):
    """Returns [(times, m, k, n)]: the products (m, k) by (k, n) that one minibatch of `rows` images needs.

    Constant terms are counted once: the drive of the first layer under control, and its gradient. Solves,
    reductions and elementwise work are no products.
    """
    from dfc.time_block import TIME_BLOCK

    settings = work.settings
    below, sizes = settings.sizes[:-1], settings.sizes[1:]
    layers, out, steps = range(len(sizes)), sizes[-1], settings.steps - 1
    drive = [(1, rows, below[l], sizes[l]) for l in layers]
    gradient = [(1, sizes[l], rows, below[l]) for l in layers]
    control = [(1, rows, out, n) for n in sizes]

    # Small networks are controlled by one product for all layers, and products with the weights add the biases.
    small = work.run.learner.net.small
    step = control + drive[1:]
    if small:
        step = [(1, sum(sizes), out, rows), *((1, sizes[l], below[l] + 1, rows) for l in layers[1:])]

    def times(count, listed):
        return [(count * each, *shape) for each, *shape in listed]

    if phase == "feedback":
        pair = [(1, n, rows, out) for n in sizes]
        return drive + times(settings.steps_fb - 1, control + drive[1:] + pair)
    if settings.rule.name == "BP":
        return drive + gradient + [(1, rows, sizes[l], below[l]) for l in layers[1:]]
    if settings.rule.name == "DFA":
        return drive + gradient + control[:-1]
    if settings.rule.name == "DFC-SS":
        return drive + gradient + drive[1:] + times(steps, step)
    if settings.rule.name == "DFC":
        together = [(1 / TIME_BLOCK, n, TIME_BLOCK * rows, inputs) for _, n, _, inputs in gradient[1:]]
        return drive + gradient[:1] + times(steps, step + together)
    # The Woodbury identity then saves work (dfc/steady_state.py).
    few = work.run.learner.net.identity and below[-1] < out
    moved = [(1, rows * (below[-1] if few else out), below[l], sizes[l]) for l in (layers[1:-1] if few else layers[1:])]
    woodbury = [(1, n, out, below[-1]) for n in sizes[:-1]] + control[:-1] + drive[1:-1] + [(1, rows, below[-1], out)]
    return drive + moved + woodbury * few + control + drive[1:] + gradient


def product_seconds(workers, precision, shape, at_least):
    """Returns a worker's processor seconds for a product (m, k) by (k, n), while every worker computes one.

    The matrices are random.

    at_least  seconds of products from which the median is taken
    """
    import numpy as np

    m, k, n = shape

    def work(number):
        random = np.random.default_rng(number)
        a, b = random.random((m, k)).astype(precision), random.random((n, k)).astype(precision).T
        out, times = np.empty((m, n), dtype=precision), []
        while len(times) < 3 or sum(times) < at_least:
            start = time.thread_time()
            np.matmul(a, b, out=out)
            times.append(time.thread_time() - start)
        return statistics.median(times)

    return sum(workers.map(work, range(workers.count))) / workers.count


def noise_seconds(work, workers, parts):
    """Returns the processor seconds for the noise of one feedback minibatch, drawn as in the simulation."""
    import numpy as np

    from dfc.simulation import NOISE_BLOCK

    def draw(part):
        number, rows = part
        noise, left = work.learner.noise((0, 0), number), work.settings.steps_fb - 1
        like = [np.empty((rows.stop - rows.start, n), dtype=work.settings.precision) for n in work.settings.sizes[1:]]
        while left > 0:
            noise.fill(min(left, NOISE_BLOCK), like)
            left -= NOISE_BLOCK

    return median_seconds(lambda _: workers.map(draw, parts), 5, 1)["cpu"]


def flops(shape):
    """Returns the floating-point operations of a product (m, k) by (k, n)."""
    return 2 * shape[0] * shape[1] * shape[2]
