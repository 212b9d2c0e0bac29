"""Measures system 2 in a process of its own and prints the result as JSON.

    python benchmarks/dfc_peers.py SIDE PRECISION THREADS full|quick|tiny CASE [CASE …]
    python benchmarks/dfc_peers.py check SIDE [SIDE …]

SIDE is "suite" (this program), "torch" (dfc_torch.py) or "jax" (dfc_jax.py). All update the same network by the
same minibatches of 128 images, from bytes to weights, with the settings of the shipped configs. The images are
random: the time does not depend on their content. `check` compares the gradients and the updated weights of this
program and of the sides in float64, with the same noise.
"""

import json
import sys
from collections import Counter
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.dfc_cases import CASES
from benchmarks.dfc_costs import flops, median_seconds, noise_seconds, product_seconds, products

IMAGES, BATCH, CLASSES, LARGE = 2048, 128, 10, 2000
# Mean and spread of a pixel, by which all sides scale the inputs (dfc_jax.py contains the same numbers).
PIXELS = 0.1307, 0.3081
# Small sizes, to see that everything runs.
TINY = {"batch": 16, "large": 200, "tmax_di": 20, "tmax_di_fb": 6}


@dataclass
class Work:
    """Holds one case: its flags as attributes, System, Images, image numbers per minibatch, and the learner."""

    settings: Any
    run: Any
    data: Any
    order: Any
    learner: Any

    def step(self, i, watch=None):
        """Makes the step with minibatch i."""
        chosen = self.order[i % len(self.order)]
        self.learner.step(*self.data.batch(chosen), (0, i), watch)


def prepare(case, precision, workers, batch=BATCH, seed=0, library="numpy", **changed):
    """Returns the Work of a case on an array library.

    seed     that of the weights
    changed  further flags with other values than the case's
    """
    import numpy as np

    import configs
    from core.backend import select_backend
    from datasets.catalogue import BY_FLAG
    from datasets.samples import Images, published_table
    from dfc.build import build_system
    from dfc.draws import Draws
    from main import parse

    config = configs.load(f"configs.{case.config}") | case.changed | changed
    config["single_precision"] = precision == "float32"
    parsed = parse(configs.to_argv(config))
    settings = SimpleNamespace(**parsed.flags)
    backend = select_backend(library, 0, settings.precision)
    run = build_system(parsed.system, backend, workers, Draws(seed, backend))
    random = np.random.default_rng(0)
    pixels = random.integers(0, 256, (IMAGES, settings.sizes[0]), dtype=np.uint8)
    # About as many pixels are zero in a picture of a digit.
    pixels[random.random(pixels.shape) < 0.8] = 0
    labels, task = random.integers(0, CLASSES, IMAGES), BY_FLAG[settings.dataset].task
    if task == "regression":
        labels = random.standard_normal((IMAGES, settings.sizes[-1])).astype(settings.precision)
    data = Images(pixels, labels, published_table(*PIXELS), backend, "inputs" if task == "autoencoder" else "labels")
    order = random.permutation(IMAGES).reshape(-1, batch)
    return Work(settings, run, data, order, run.learner if case.phase == "forward" else run.feedback)


def suite(names, precision, threads, extent):
    """Returns the measurements of each case on this program.

    Returns  {case: {step: seconds; cpu: processor seconds of it; products, random: those of its products, of its
             noise alone; flops: operations of the products; rates: of two products while every worker computes one}}
             Processor times are those of all workers together, rates in FLOP per processor second
    """
    from core.backend import Workers

    changed, batch, large = sizes_of(extent)
    with Workers(threads) as workers:
        at_least = 0.0 if extent == "tiny" else 0.02
        seconds_of, alone = (
            partial(product_seconds, each, precision, at_least=at_least) for each in (workers, Workers(1))
        )
        shapes = {"small": (batch // threads, 256, 256), "large": (large // threads, large, large)}
        rates = {key: flops(shape) / seconds_of(shape) for key, shape in shapes.items()}
        found = {}
        for name in names:
            case, work = CASES[name], prepare(CASES[name], precision, workers, batch, **changed)
            feedback = case.phase == "feedback"
            parts = work.learner.parts(batch, feedback)
            asked = Counter()
            for count, *shape in products(work, case.phase, batch // len(parts)):
                asked[tuple(shape)] += count * len(parts)
            found[name] = median_seconds(work.step, *_repeats(case, extent)) | {
                "products": sum(
                    count * (alone if len(parts) == 1 else seconds_of)(shape) for shape, count in asked.items()
                ),
                "random": noise_seconds(work, workers, parts) if feedback else 0.0,
                "flops": sum(count * flops(shape) for shape, count in asked.items()),
                "rates": rates,
            }
    return found


def sizes_of(extent):
    """Returns (flags with other values, images in a minibatch, size of the large product)."""
    if extent != "tiny":
        return {}, BATCH, LARGE
    return {name: value for name, value in TINY.items() if name.startswith("tmax")}, TINY["batch"], TINY["large"]


def _repeats(case, extent):
    """Returns (batches, warm-up batches that do not count); the first batch compiles, on every side."""
    batches = {"tiny": 1, "quick": -(-case.batches // 3), "full": case.batches}[extent]
    return batches, min(2, max(1, batches - 1))


def torch_peer(names, precision, threads, extent):
    """Returns {case: {step, cpu: seconds}} of PyTorch."""
    import torch

    from benchmarks.dfc_torch import Peer
    from core.backend import Workers

    torch.set_num_threads(threads)
    changed, batch, _ = sizes_of(extent)
    found = {}
    for name in names:
        work = prepare(CASES[name], precision, Workers(1), batch, **changed)
        peer = Peer(work.settings, work.run.learner.net, CASES[name].phase, batch)
        found[name] = median_seconds(partial(torch_step, peer, work), *_repeats(CASES[name], extent))
    return found


def torch_step(peer, work, i):
    """Computes minibatch i of a Work by a Peer: pixels to inputs, then the update."""
    import torch

    mean, spread = PIXELS
    chosen = torch.from_numpy(work.order[i % len(work.order)])
    x = torch.from_numpy(work.data.pixels)[chosen].float().div_(255).sub_(mean).div_(spread).to(peer.weights[0].dtype)
    target = x if work.data.targets == "inputs" else torch.from_numpy(work.data.labels)[chosen]
    getattr(peer, f"{peer.phase}_step")(x, target)


def jax_peer(names, precision, threads, extent):
    """Returns {case: {step, cpu: seconds}} of JAX.

    Its processors are those of the process (see dfc_speed.child).
    """
    import jax

    jax.config.update("jax_enable_x64", precision == "float64")
    from benchmarks.dfc_jax import Peer
    from core.backend import Workers

    changed, batch, _ = sizes_of(extent)
    found = {}
    for name in names:
        work = prepare(CASES[name], precision, Workers(1), batch, **changed)
        peer = Peer(work.settings, work.run.learner.net, CASES[name].phase)
        found[name] = median_seconds(partial(jax_step, peer, work), *_repeats(CASES[name], extent))
    return found


def jax_step(peer, work, i):
    """Computes minibatch i of a Work by a Peer."""
    chosen = work.order[i % len(work.order)]
    peer.step(work.data.pixels[chosen], None if work.data.targets == "inputs" else work.data.labels[chosen])


class GivenNoise:
    """Gives the same noise to both sides: block by block to this program, by time point and layer to PyTorch."""

    def __init__(self, work, rows):
        import numpy as np

        random, steps = np.random.default_rng(1), work.settings.steps_fb
        self.layers = [random.standard_normal((steps, rows, n)) for n in work.settings.sizes[1:]]
        self._next = 0

    def fill(self, count, like):
        """Returns the next `count` time points, one array per layer."""
        start, self._next = self._next, self._next + count
        return [layer[start : self._next] for layer in self.layers]

    def draw(self, t, l, like):
        """Returns the noise of time point t and layer l."""
        import torch

        return torch.from_numpy(self.layers[l][t])


# XLA contracts the division of pixels by 255 and by the spread, so its inputs differ by a rounding of float32.
BOUNDS = {"torch": 1e-8, "jax": 2e-6}


def check(side, names=tuple(CASES), batch=8):
    """Returns {case: largest difference of gradients, in units of their largest entry}.

    Raises  SystemExit if one is not below BOUNDS
    """
    import numpy as np

    from core.backend import Workers

    found, bound = {}, BOUNDS[side]
    for name in names:
        phase, work, seen = CASES[name].phase, prepare(CASES[name], "float64", Workers(1), batch), []
        noise = GivenNoise(work, batch) if phase == "feedback" else None
        work.learner.noise = lambda place, part, noise=noise: noise
        net = work.run.learner.net
        gradients, moved = {"torch": _torch_update, "jax": _jax_update}[side](work, net, phase, batch, noise)

        def watch(report, moved=False, seen=seen):
            if not moved:
                seen.extend(g.copy() for g in report.gradients)

        work.step(0, watch)
        ours = net.parameters if phase == "forward" else net.feedback
        found[name] = max(float(np.abs(a - b).max() / np.abs(a).max()) for a, b in zip(seen, gradients, strict=True))
        apart = max(float(np.abs(a - b).max()) for a, b in zip(ours, moved, strict=True))
        if not (found[name] < bound and apart < bound):
            raise SystemExit(
                f"{name}: this program and {side} differ by {found[name]:.1e} in gradients, {apart:.1e} in weights"
            )
    return found


def _torch_update(work, net, phase, batch, noise):
    """Returns (gradients, updated arrays) of PyTorch after the first minibatch, in the network's order."""
    from benchmarks.dfc_torch import Peer

    peer = Peer(work.settings, net, phase, batch, noise and noise.draw)
    torch_step(peer, work, 0)
    moved = peer.parameters if phase == "forward" else peer.feedback
    return [p.grad.numpy() for p in moved], [p.detach().numpy() for p in moved]


def _jax_update(work, net, phase, batch, noise):
    """Returns the same of JAX, whose Peer keeps all weights before all biases."""
    import jax
    import numpy as np

    jax.config.update("jax_enable_x64", True)
    from benchmarks.dfc_jax import Peer

    peer = Peer(work.settings, net, phase, noise and noise.layers)
    jax_step(peer, work, 0)
    gradients, moved = peer.gradients, peer.feedback
    if phase == "forward":
        half = len(peer.weights)
        gradients = [g for pair in zip(gradients[:half], gradients[half:], strict=True) for g in pair]
        moved = [p for pair in zip(peer.weights, peer.biases, strict=True) for p in pair]
    return [np.asarray(g) for g in gradients], [np.asarray(p) for p in moved]


def main(side, *arguments):
    """Prints the result of one command line as JSON."""
    if side == "check":
        print(json.dumps({each: check(each) for each in arguments}))
        return
    precision, threads, extent, *names = arguments
    measure = {"suite": suite, "torch": torch_peer, "jax": jax_peer}[side]
    print(json.dumps(measure(names, precision, int(threads), extent)))


if __name__ == "__main__":
    main(*sys.argv[1:])
