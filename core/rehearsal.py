"""Tells what a run would be before it is started: options, size and the time per epoch; writes nothing."""

import time

import numpy as np
from tqdm import tqdm

from core.machine import amount, peak_memory
from core.program import EXIT_DIVERGED, StoppedByError, say
from core.together import UNSOLVABLE

# Batches of a pass that are timed, after one that is not.
FEW = 3


def tell(folders, options, loop, about):
    """Prints what --dry_run tells.

    folders  of the runs: paths, or words in place of a path
    options  {option: value}, resolved
    loop     core.training.Loop that is not run; its network is trained on a few batches
    about    list of lines about the machine
    Raises   StoppedByError if the equations of the first batches have no solution
    """
    epoch, before = expected_seconds(loop)
    arrays = loop.learner.net.named_arrays.values()
    lines = ["options:", *(f"  {name} = {value}" for name, value in options.items())]
    lines += [*(f"folder: {folder}" for folder in folders), *about]
    lines.append(f"parameters: {sum(array.size for array in arrays)}, {amount(sum(array.nbytes for array in arrays))}")
    peak = peak_memory()
    lines += [f"memory of this process: {amount(peak)} at its peak"] * (peak is not None)
    counts = f"{loop.batches} batches of {loop.schedule.batch_size} of {len(loop.samples)} samples"
    lines.append(f"expected: {epoch:.3g} seconds per epoch ({counts}, and measuring)")
    lines += [f"expected: {before:.3g} seconds before the first epoch"] * (before > 0)
    total = before + epoch * loop.schedule.epochs
    lines.append(f"expected: {total:.3g} seconds for {loop.schedule.epochs} epochs")
    say("\n".join([*lines, "nothing was trained or written"]))


def expected_seconds(loop):
    """Returns (seconds per epoch, seconds before the first epoch), estimated by a few batches of each pass.

    Raises  StoppedByError if the equations of these batches have no solution
    """
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        try:
            passes = _seconds_of_passes(loop)
        except UNSOLVABLE as error:
            raise StoppedByError(f"the first batches have no solution ({error})", EXIT_DIVERGED) from None
    start = time.perf_counter()
    for watcher in loop.watchers:
        watcher.row(loop.learner.net, 0)
    measuring = time.perf_counter() - start
    interval = loop.schedule.eval_interval
    rows = (loop.batches - 1) // interval if interval else 1
    epoch, before = (sum(passes[id(each)] for each in made) for made in (loop.plan.epoch, loop.plan.prelude))
    return epoch + rows * measuring, before


def _seconds_of_passes(loop):
    """Returns {id of a learner: seconds that one pass of it takes}."""
    found = {}
    learners = [*loop.plan.prelude, *loop.plan.epoch]
    with tqdm(
        total=len(loop.plan.learners), desc="a few batches", unit="pass", leave=False, disable=loop.quiet or None
    ) as bar:
        for passed, learner in enumerate(learners):
            if id(learner) not in found:
                loop.passed, loop.batch = passed, 0
                found[id(learner)] = _seconds_of_a_pass(loop)
                bar.update()
    return found


def _seconds_of_a_pass(loop):
    learner = loop.begin_pass()
    for count in range(FEW + 1):
        if count == 1:
            start = time.perf_counter()
        loop.batch = count % loop.batches
        learner.step(*loop.samples.batch(loop.rows), loop.position)
        # This call waits for a GPU.
        learner.finite()
    return (time.perf_counter() - start) / FEW * loop.batches
