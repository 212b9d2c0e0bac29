"""Several loops at once: each sees its own samples in its own order, and what it saves is what it saves alone."""

import dataclasses

import numpy as np
import pytest

from core.roles import Watcher
from core.streams import stream
from core.together import run_together
from gait.learner import Learner
from tests.faults.tiny_loop import Run


def make_run(seed, epochs=3, interval=None):
    """A run of one seed: its own initial weights, its own order in every pass."""
    run = Run(epochs=epochs, interval=interval)
    # It does without the log of batches, which is that of one learner.
    run.learner.__class__ = Learner
    for p in run.learner.net.parameters:
        p += 0.1 * stream(seed, "init").standard_normal(p.shape)
    run.learner.net.weights_changed()

    def order(passed, count):
        return stream(seed, "shuffle", passed).permutation(count)

    run.loop.plan = dataclasses.replace(run.loop.plan, order=order)
    return run


class Enough(Watcher):
    """Stops a run after its second epoch."""

    def stop(self, series):
        return "enough" if len(series["epoch"]) > 2 else None


@pytest.mark.parametrize("interval", (None, 2))
def test_loops_with_orders_of_their_own(interval):
    together, alone = ([make_run(seed, interval=interval) for seed in (1, 2, 3)] for _ in range(2))
    outcomes = run_together([run.loop for run in together])
    for run, other, outcome in zip(together, alone, outcomes, strict=True):
        assert outcome["outcome"] == other.go()["outcome"] == "finished"
        assert run.saved() == other.saved()
        assert run.kinds() == other.kinds()
    assert together[0].saved() != together[1].saved()


def test_loops_of_different_lengths_and_a_condition_that_stops_one():
    together, alone = ([make_run(seed, epochs) for seed, epochs in ((1, 1), (2, 4), (3, 4))] for _ in range(2))
    for group in (together, alone):
        loop = group[1].loop
        loop.watchers.append(Enough())
    outcomes = run_together([run.loop for run in together])
    assert [outcome["outcome"] for outcome in outcomes] == ["finished", "stopped", "finished"]
    for run, other in zip(together, alone, strict=True):
        other.go()
        assert run.saved() == other.saved()


def test_weights_of_one_loop_that_are_no_numbers_end_that_loop():
    together, alone = ([make_run(seed) for seed in (1, 2, 3)] for _ in range(2))
    for group in (together, alone):
        group[2].learner.net.parameters[0][0, 0] = np.inf
    outcomes = run_together([run.loop for run in together])
    assert [outcome["outcome"] for outcome in outcomes] == ["finished", "finished", "diverged"]
    assert outcomes[2] == alone[2].go() and outcomes[2]["epoch"] == 1
    for run, other in zip(together[:2], alone[:2], strict=True):
        other.go()
        assert run.saved() == other.saved()
