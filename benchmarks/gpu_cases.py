"""Makes the training steps that gpu.py measures, of one network or of several at once, on any array library."""

import contextlib
import dataclasses
import statistics
import sys
import time
from functools import partial

import numpy as np

from benchmarks import dfc_peers, peers
from benchmarks.dfc_costs import flops, products
from benchmarks.speed import CASES, model_flops
from core.backend import Workers, select_backend
from core.replay import Replay
from core.together import joined, united

PRECISION = "float32"
# (program, rule, strength of the regulariser)
SYSTEM_1 = tuple(("run.py", *case[:2]) for case in CASES)
SYSTEM_2 = tuple(("main.py", rule, 0.0) for rule in ("BP", "DFA", "DFC-SSA", "DFC-SSA, feedback", "DFC-SS", "DFC"))


@dataclasses.dataclass(frozen=True)
class Extent:
    """Says how much is measured.

    The fields are seconds per case, most steps of a case, side of the large product, and flags of small
    simulations.
    """

    seconds: float = 2.0
    steps: int = 50
    side: int = 8192
    changed: dict = dataclasses.field(default_factory=dict)


TINY = Extent(0.0, 1, 64, dfc_peers.sizes_of("tiny")[0])
EXTENTS = {"full": Extent(), "tiny": TINY}


@contextlib.contextmanager
def training(case, seeds, backend, extent, rows=dfc_peers.BATCH):
    """Yields (learner, steps, operations of a step) of so many networks, from images in bytes to weights.

    case   one of SYSTEM_1 or SYSTEM_2
    rows   images in a minibatch of main.py
    steps  {"written", "recorded"}: function of i that makes one step, as it is written or from a recorded graph
    """
    with Workers(1) as workers:
        make = _system_1 if case[0] == "run.py" else _system_2
        learner, samples, order, operations = make(case, seeds, backend, workers, extent, rows)

        def batch(chosen):
            return united([samples.batch(each) for each in chosen])

        def chosen(i):
            return [order[i % len(order)]] * seeds

        replay = Replay(learner, batch)
        steps = {
            "written": lambda i: learner.step(*batch(chosen(i)), (0, i)),
            "recorded": lambda i: replay.step(chosen(i), (0, i)),
        }
        yield learner, steps, seeds * operations


def _system_1(case, seeds, backend, workers, extent, rows):
    import run
    from datasets.samples import Images, divided_table

    _, rule, strength = case
    words = [
        f"--algorithm={rule}",
        f"--orthogonal_reg={strength}",
        f"--nb_layers={peers.LAYERS - 1}",
        f"--precision={PRECISION}",
    ]
    options, own = run.parse(words)
    pixels, labels = peers.images(8)
    samples = Images(pixels, labels, divided_table(255, backend.dtype), backend, "one_hot", peers.CLASSES)
    build = partial(run.build_learner, rule_options=own, samples=samples, backend=backend, workers=workers)
    learner = joined([build(dataclasses.replace(options, seed=seed)) for seed in range(1, seeds + 1)])
    order = backend.bytes(np.arange(8 * peers.BATCH)).reshape(8, -1)
    return learner, samples, order, model_flops(rule, strength)


def _system_2(case, seeds, backend, workers, extent, rows):
    about = dfc_peers.CASES[case[1]]
    build = partial(dfc_peers.prepare, about, PRECISION, workers, rows, library=backend.name, **extent.changed)
    works = [build(seed=seed) for seed in range(1, seeds + 1)]
    order = [backend.bytes(chosen) for chosen in works[0].order]
    count = sum(times * flops(shape) for times, *shape in products(works[0], about.phase, rows))
    return joined([work.learner for work in works]), works[0].data, order, count


def seconds_of(learner, step, extent):
    """Returns the seconds of a step, without the first two, which compile kernels and record a graph.

    The device is waited for only at the end.
    """
    for i in range(2):
        step(i)
    learner.finite()
    count, start = 0, time.perf_counter()
    while count < extent.steps and (count == 0 or time.perf_counter() - start < extent.seconds):
        step(2 + count)
        count += 1
    learner.finite()
    return (time.perf_counter() - start) / count


def launches_of(case, seeds, extent):
    """Returns the number of kernels and library calls of a step.

    The tests' stand-in for cupy counts them (tests/device/strict_cupy.py). Their number does not depend on the size of
    a minibatch, so that a small one serves.
    """
    with (
        stand_in() as gpu,
        training(case, seeds, select_backend("cupy", 0, PRECISION), extent, rows=16) as (_, steps, _),
    ):
        for i in range(2):
            gpu.launches.clear()
            steps["written"](i)
        return gpu.launches.total()


@contextlib.contextmanager
def stand_in():
    """Puts the tests' stand-in for cupy in the place of the real one, and yields it."""
    from tests.device.strict_cupy import StandIn

    found, gpu = sys.modules.get("cupy"), StandIn(PRECISION)
    sys.modules["cupy"] = gpu.cupy
    try:
        yield gpu
    finally:
        del sys.modules["cupy"]
        if found is not None:
            sys.modules["cupy"] = found


def matmul_rate(backend, side):
    """Returns the operations per second of a large product on the device, the median of five."""
    xp = backend.xp
    a = xp.ones((side, side), dtype=backend.dtype)
    times = []
    for _ in range(6):
        start = time.perf_counter()
        float((a @ a)[0, 0])
        times.append(time.perf_counter() - start)
    return 2 * side**3 / statistics.median(times[1:])
