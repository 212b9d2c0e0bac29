"""The loop: what it calls, in which order, how often, and where numbers blow up.

How it stops and goes on: tests/faults/test_stops.py.
"""

import itertools
import math

import numpy as np
import pytest

from core.training import LARGEST_LOSS
from tests.faults.tiny_loop import COUNT, Run, losses_after, weights_of

# ---- order and counts


def test_order_of_a_run():
    """After each epoch the series is written before the checkpoint, and both before the word
    of it; the outcome last."""
    run = Run(epochs=2)
    run.go()
    kinds = [kind for kind in run.kinds() if kind != "probe"]
    # The row before training may be written before or with the next one.
    kinds = kinds[kinds.index("step") :]
    epoch = ["step"] * 3 + ["series", "checkpoint", "report"]
    assert kinds == [*epoch, *epoch, "weights", "finish"]


@pytest.mark.parametrize("size", [1, 7, 10, 24, 25])
def test_batches_are_all_samples_in_file_order_and_the_last_may_be_short(size):
    run = Run(epochs=2, batch_size=size)
    run.go()
    inputs, targets = run.samples.batch()
    batches = [event[1:] for event in run.events if event[0] == "step"]
    assert len(batches) == 2 * math.ceil(COUNT / size)
    for epoch in np.split(np.arange(len(batches)), 2):
        assert [len(batches[i][0]) for i in epoch][:-1] == [size] * (len(epoch) - 1)
        assert np.array_equal(np.concatenate([batches[i][0] for i in epoch]), inputs)
        assert np.array_equal(np.concatenate([batches[i][1] for i in epoch]), targets)


@pytest.mark.parametrize("epochs", [1, 3])
def test_one_evaluation_before_training_and_one_after_each_epoch(epochs):
    run = Run(epochs=epochs)
    run.go()
    series = run.details("series")[-1]
    assert series["epoch"] == list(range(epochs + 1)) and series["batch"] == [0] * (epochs + 1)
    assert run.kinds().count("probe") == epochs + 1
    assert run.kinds().count("checkpoint") == run.kinds().count("report") == epochs


@pytest.mark.parametrize("size, interval", [(5, 1), (5, 2), (5, 4), (1, 10), (6, 3), (6, 4)])
def test_interval_measures_between_batches_and_leaves_out_the_last_of_an_epoch(size, interval):
    run = Run(epochs=3, batch_size=size, interval=interval)
    run.go()
    batches = math.ceil(COUNT / size)
    expected = [(0, 0), *itertools.product(range(3), range(interval, batches, interval))]
    series = run.details("series")[-1]
    assert list(zip(series["epoch"], series["batch"], strict=True)) == expected
    # It is measured once more at the end: DONE tells of the weights that are saved.
    assert (
        run.kinds().count("probe") == len(expected) + 1
    )
    assert run.kinds().count("checkpoint") == run.kinds().count("report") == 3
    # and each is of the network after that many batches, not merely labelled so
    counts = [epoch * batches + batch for epoch, batch in expected]
    assert series["loss"] == losses_after(run.samples, size, counts)


def test_measuring_changes_nothing_that_is_learned():
    finals = []
    for interval in (None, 1, 2):
        run = Run(epochs=2, batch_size=5, interval=interval)
        run.go()
        finals.append(weights_of(run.learner))
    assert finals[0] == finals[1] == finals[2]


def test_probe_sees_the_network_as_it_is_at_that_moment():
    """The untrained one first, whenever it is measured; then the one after exactly the batches that the row names."""
    run = Run(epochs=2)
    run.go()
    losses = run.details("series")[-1]["loss"]
    assert losses == losses_after(run.samples, 10, [0, 3, 6])
    assert len(set(losses)) == 3


def test_every_probe_gets_its_columns_in_their_order():
    run = Run(epochs=1, probes=[lambda net: {"b": 1.0, "a": 2.0}, lambda net: {"c": 3.0}])
    run.go()
    series = run.details("series")[-1]
    assert list(series) == ["epoch", "batch", "loss", "b", "a", "c", "seconds"]
    assert (series["b"], series["a"], series["c"]) == ([1.0] * 2, [2.0] * 2, [3.0] * 2)


@pytest.mark.parametrize("interval", [None, 2])
def test_each_evaluation_is_written_when_it_is_made(interval):
    """Who watches a long run reads the file; no row may wait for the next batch."""
    run = Run(epochs=3, interval=interval)
    run.go()
    rows = 0
    for kind, *details in run.events[run.kinds().index("series") :]:
        if kind == "series":
            rows = len(details[0]["epoch"])
        elif kind == "probe":
            rows = None
        elif kind == "step":
            assert rows is not None


def test_report_tells_epoch_of_epochs_and_every_column():
    run = Run(epochs=2)
    run.go()
    first, second = run.details("report")
    assert "1/2" in first and "2/2" in second
    series = run.details("series")[-1]
    assert f"loss {series['loss'][1]:.6g}" in first and f"loss {series['loss'][2]:.6g}" in second
    assert "\n" not in first


def test_outcome_of_a_finished_run_is_what_stands_in_done():
    run = Run(epochs=2)
    assert run.go() == run.details("finish")[0]
    series = run.details("series")[-1]
    assert run.outcome["outcome"] == "finished" and run.outcome["epochs"] == 2
    assert run.outcome["loss"] == series["loss"][-1]
    assert [p.tobytes() for p in run.details("weights")[0]] == weights_of(run.learner)


def test_seconds_never_go_back():
    run = Run(epochs=4)
    run.go()
    seconds = run.details("series")[-1]["seconds"]
    assert seconds == sorted(seconds) and seconds[0] >= 0


# ---- numbers that blow up


def spoil(value):
    def surprise(learner):
        learner.net.parameters[2][0, 1] = value

    return surprise


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_weights_that_are_no_numbers_end_the_run_at_that_epoch(value):
    """Even where no probe notices.  The last checkpoint is the good one of the epoch before; no
    weights are published."""
    run = Run(epochs=5, at=5, surprise=spoil(value))
    outcome = run.go()
    assert outcome["outcome"] == "diverged" and outcome["epoch"] == 2
    assert run.details("finish") == [outcome]
    assert run.kinds().count("step") == 6
    assert [int(arrays["epoch"]) for arrays in run.details("checkpoint")] == [1]
    assert all(np.isfinite(run.details("checkpoint")[0][name]).all() for name in run.learner.state())
    assert run.details("weights") == []


@pytest.mark.parametrize("value", [math.nan, math.inf, LARGEST_LOSS, 10 * LARGEST_LOSS])
@pytest.mark.parametrize("interval", [None, 2])
def test_loss_beyond_all_bounds_ends_the_run_at_that_epoch(value, interval):
    """Measured at the end of the second epoch or, with an interval, in its middle: DONE names the second either way."""
    calls = itertools.count()
    run = Run(epochs=5, interval=interval, probes=[lambda net: {"test_loss": 1.0 if next(calls) < 2 else value}])
    outcome = run.go()
    assert outcome["outcome"] == "diverged" and outcome["epoch"] == 2
    assert run.details("finish") == [outcome]
    assert run.kinds().count("step") == (6 if interval is None else 5)
    assert [int(arrays["epoch"]) for arrays in run.details("checkpoint")] == [1]
    assert run.details("weights") == []
    # The bad number itself is on record.
    assert len(run.details("series")[-1]["test_loss"]) == 3


def test_loss_that_is_bad_from_the_start_saves_nothing():
    run = Run(epochs=3, probes=[lambda net: {"test_loss": math.nan}])
    assert run.go()["outcome"] == "diverged"
    assert run.kinds().count("step") <= 3
    assert "checkpoint" not in run.kinds() and "weights" not in run.kinds()


def test_large_numbers_that_are_no_loss_are_nobodys_business():
    run = Run(
        epochs=2,
        probes=[lambda net: {"norm": 1e300, "angle": math.nan}, lambda net: {"test_loss": 0.99 * LARGEST_LOSS}],
    )
    assert run.go()["outcome"] == "finished"
