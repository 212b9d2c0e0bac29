"""The loop with an EpochPlan: several learners, passes before the first epoch, an order of the
samples, an end (dfc.md D.1).

The learners do sums that a person can follow; what the loop asks of them is all that is tested.
"""

import itertools
import math
import os
import signal

import numpy as np
import pytest

from core.backend import select_backend
from core.files import FileError
from core.optimisers import SGD
from core.roles import BaseLearner, Watcher
from core.training import EpochPlan, Loop, Schedule
from datasets.samples import Arrays
from tests.faults.tiny_loop import Memory, taken_without

# The last batch is a short one.
COUNT, SIZE, BATCHES = 7, 3, 3


class Net:
    """Two arrays: the first is measured, the second only learned along."""

    def __init__(self):
        self.arrays = [np.zeros(2), np.zeros(3)]
        self.parameters = self.arrays[:1]

    def copy(self):
        other = Net()
        other.arrays = [array.copy() for array in self.arrays]
        other.parameters = other.arrays[:1]
        return other

    def weights_changed(self):
        pass

    def check_solved(self):
        pass


class Summing(BaseLearner):
    """Moves one array of the net by the sum of the inputs, with momentum."""

    def __init__(self, net, index, name, events):
        super().__init__(net, SGD([net.arrays[index]], 0.1, momentum=0.5), name)
        self.name, self.index, self.events = name, index, events
        self.at = self.surprise = None

    def step(self, inputs, target, place, watch):
        self.events.append(("step", self.name, place, inputs[:, 0].astype(int).tolist()))
        array = self.net.arrays[self.index]
        self.optimiser.step([np.full_like(array, inputs.sum() + 0.01 * place[0] + 0.001 * place[1]) + 0.1 * array])
        watch((self.name, float(inputs.sum()) / 3.0))
        if sum(event[0] == "step" for event in self.events) == self.at:
            self.surprise(self)


class Seen(Watcher):
    """Counts what one learner has seen in the epoch."""

    def __init__(self, name):
        self.name, self.seen, self.batches = name, 0, 0

    def batch(self, report):
        name, seen = report
        if name == self.name:
            self.seen += seen
            self.batches += 1

    def row(self, net, epoch):
        row = {f"seen_{self.name}": self.seen / max(1, self.batches)}
        self.seen = self.batches = 0
        return row

    def state(self):
        return {f"{self.name}_seen": np.array(self.seen), f"{self.name}_batches": self.batches}

    def restore(self, named):
        self.seen, self.batches = float(named[f"{self.name}_seen"]), int(named[f"{self.name}_batches"])


class Probe(Watcher):
    """Measures both arrays, and asks `stop` whether it is enough."""

    def __init__(self, stop):
        self.stop = stop

    def row(self, net, epoch):
        return {"test_loss": float(np.abs(net.arrays[0]).sum()), "other": float(net.arrays[1].sum())}


class Folder(Memory):
    """The same of a network of system 2."""

    def save_weights(self, net):
        self.events.append(("weights", [p.copy() for p in net.arrays]))


def order(passed, count):
    return np.random.default_rng(passed).permutation(count)


class Run:
    """A loop whose epoch is b, a, b; `before` passes of c come first.  `events` lists what happened, (kind, details…).

    at, surprise  a number of steps, and a function of the learner that is called after the last of them
    size          of a batch
    stop          what a watcher answers when it is asked whether to stop
    plan          in place of what EpochPlan is given here
    """

    def __init__(self, epochs=2, before=2, at=None, surprise=None, size=SIZE, stop=lambda series: None, **plan):
        self.events = []
        net = Net()
        a, b, c = (Summing(net, index, name, self.events) for index, name in ((0, "a"), (1, "b"), (1, "c")))
        for learner in (a, b, c):
            learner.at, learner.surprise = at, surprise
        plan = {"epoch": [b, a, b], "prelude": [c] * before, "order": order, "measure_start": False} | plan
        samples = Arrays(np.arange(2.0 * COUNT).reshape(COUNT, 2) / 2, np.zeros((COUNT, 1)), select_backend("numpy"))
        self.learner, self.plan = a, EpochPlan(**plan)
        self.loop = Loop(
            a,
            samples,
            Schedule(epochs, size),
            [*(Seen(name) for name in ("b", "a", "c")), Probe(stop)],
            Folder(self.events),
            report=lambda line: self.events.append(("report", line)),
            quiet=True,
            plan=self.plan,
        )

    def go(self):
        self.outcome = self.loop.run()
        return self.outcome

    def kinds(self):
        return [event[0] for event in self.events]

    def details(self, kind):
        return [event[1] for event in self.events if event[0] == kind]

    @property
    def steps(self):
        return [event[1:] for event in self.events if event[0] == "step"]

    def saved(self):
        """{name: bytes} of the last checkpoint, series included; times left out."""
        return bytes_of(self.details("checkpoint")[-1])


def bytes_of(checkpoint):
    return {name: array.tobytes() for name, array in checkpoint.items() if "seconds" not in name}


# ---- what an epoch is


def test_passes_follow_the_plan_each_over_all_samples():
    run = Run()
    run.go()
    found = [(name, place) for name, place, _ in run.steps]
    names = ["c", "c", *["b", "a", "b"] * 2]
    assert found == [(name, (passed, batch)) for passed, name in enumerate(names) for batch in range(BATCHES)]
    for passed, rows in enumerate(rows_of(run)):
        assert rows == order(passed, COUNT).tolist()


def rows_of(run):
    """The samples of each pass, in the order in which they were learned."""
    for passed in range(len(run.steps) // BATCHES):
        yield [row for _, _, rows in run.steps[passed * BATCHES : (passed + 1) * BATCHES] for row in rows]


def test_without_an_order_every_pass_goes_through_the_file():
    run = Run(order=None)
    run.go()
    assert list(rows_of(run)) == [list(range(COUNT))] * 8


def test_order_is_asked_for_once_a_pass():
    asked = []

    def watched(passed, count):
        asked.append((passed, count))
        return order(passed, count)

    Run(order=watched).go()
    assert asked == [(passed, COUNT) for passed in range(8)]


def test_plan_knows_its_learners():
    run = Run(epochs=3)
    assert [run.plan.learner(passed).name for passed in range(8)] == ["c", "c", "b", "a", "b", "b", "a", "b"]
    assert sorted(learner.name for learner in run.plan.learners) == ["a", "b", "c"]
    assert [run.plan.passes(epochs) for epochs in (0, 1, 3)] == [2, 5, 11]


def test_every_epoch_begins_once_and_before_its_first_pass():
    begun = []
    run = Run(epochs=3, begin_epoch=lambda epoch: begun.append((epoch, len(run.steps))))
    run.go()
    assert begun == [(epoch, (2 + 3 * epoch) * BATCHES) for epoch in range(3)]


def test_series_have_one_row_an_epoch_with_what_every_learner_saw():
    run = Run(epochs=3)
    run.go()
    series = run.details("series")[-1]
    assert list(series) == ["epoch", "batch", "seen_b", "seen_a", "seen_c", "test_loss", "other", "seconds"]
    assert (series["epoch"], series["batch"]) == ([1, 2, 3], [0, 0, 0])
    # It is the mean over batches of a third of the sum of the inputs.
    whole = sum(range(2 * COUNT)) / 2 / 3.0 / BATCHES
    assert series["seen_a"] == pytest.approx([whole] * 3) and series["seen_b"] == pytest.approx([whole] * 3)
    # It learns before the first epoch, and not again.
    assert series["seen_c"] == pytest.approx([whole, 0, 0])


def test_row_before_training_is_there_where_the_plan_wants_it():
    run = Run(epochs=2, measure_start=True, before=0)
    run.go()
    series = {name: values for name, values in run.details("series")[-1].items() if not name.startswith("seen")}
    assert series["epoch"] == [0, 1, 2] and series["test_loss"][0] == 0.0


def test_every_pass_ends_with_a_checkpoint_and_every_epoch_with_a_row_before_it():
    run = Run(epochs=1)
    run.go()
    kinds = [kind for kind, _ in itertools.groupby(run.kinds())]
    assert kinds == ["step", "checkpoint"] * 4 + ["step", "series", "checkpoint", "report", "weights", "finish"]
    found = [tuple(int(each[name]) for name in ("epoch", "passed", "batch")) for each in run.details("checkpoint")]
    assert found == [(0, 1, 0), (0, 2, 0), (0, 3, 0), (0, 4, 0), (1, 5, 0)]


def test_passes_before_the_first_epoch_can_be_all():
    run = Run(epochs=0, before=3)
    told = run.go()
    assert told == {
        "outcome": "finished",
        "epochs": 0,
        "seconds": told["seconds"],
        "peak_memory_mb": told["peak_memory_mb"],
    }
    assert [name for name, _, _ in run.steps] == ["c"] * 3 * BATCHES
    assert run.kinds().count("checkpoint") == 3 and len(run.details("weights")) == 1 and "report" not in run.kinds()


def test_time_before_the_first_epoch_is_kept_apart(monkeypatch):
    clock = [100.0]
    monkeypatch.setattr("core.training.time.perf_counter", lambda: clock[0])
    step = Summing.step

    def slow(self, *batch):
        clock[0] += 1
        step(self, *batch)

    monkeypatch.setattr(Summing, "step", slow)
    run = Run()
    run.go()
    last = run.details("checkpoint")[-1]
    assert (float(last["prelude_seconds"]), float(last["seconds"])) == (2 * BATCHES, 8 * BATCHES)
    again = Run(epochs=3)
    again.loop.restore(last)
    again.go()
    assert float(again.details("checkpoint")[-1]["prelude_seconds"]) == 2 * BATCHES


def test_a_finished_run_tells_the_most_memory_of_its_process(monkeypatch):
    """In 10^6 bytes; a system that does not tell leaves no entry."""
    monkeypatch.setattr("core.training.peak_memory", lambda: 123_456_789)
    assert Run(epochs=1).go()["peak_memory_mb"] == 123.5
    monkeypatch.setattr("core.training.peak_memory", lambda: None)
    assert "peak_memory_mb" not in Run(epochs=1).go()


# ---- its end


def test_watchers_are_asked_after_every_epoch_whether_to_stop():
    asked = []

    def stop(series):
        asked.append(list(series["epoch"]))
        return "it is enough" if len(asked) == 3 else None

    run = Run(epochs=9, stop=stop)
    assert run.go() == {"outcome": "stopped", "epoch": 3, "batch": 0, "reason": "it is enough"}
    assert asked == [[1], [1, 2], [1, 2, 3]]
    assert run.details("finish") == [run.outcome]
    assert len(run.steps) == (2 + 3 * 3) * BATCHES
    assert int(run.details("checkpoint")[-1]["epoch"]) == 3 and run.details("series")[-1]["epoch"] == [1, 2, 3]


def test_stop_in_the_last_epoch_is_a_stop():
    run = Run(epochs=2, stop=lambda series: "now" if len(series["epoch"]) == 2 else None)
    assert run.go()["outcome"] == "stopped"


def test_a_process_that_died_before_it_could_ask_is_asked_again():
    """The checkpoint of an epoch is there before the question; whoever goes on from it must not learn another epoch."""

    def stop(series):
        return "enough" if len(series["epoch"]) == 2 else None

    whole = Run(epochs=9)
    whole.go()
    second = next(each for each in whole.details("checkpoint") if each["epoch"] == 2)
    run = Run(epochs=9, stop=stop)
    run.loop.restore(second)
    assert run.go() == {"outcome": "stopped", "epoch": 2, "batch": 0, "reason": "enough"}
    assert run.steps == []


@pytest.mark.parametrize("step", range(1, 8 * BATCHES + 1))
def test_numbers_that_blow_up_in_any_pass_end_the_run_with_it(step):
    """The checkpoint of the pass before is the last; DONE names the epoch, the first one for passes before it."""

    def spoil(learner):
        learner.net.arrays[learner.index][1] = math.nan

    run = Run(at=step, surprise=spoil)
    outcome = run.go()
    passed = (step - 1) // BATCHES
    assert outcome["outcome"] == "diverged" and outcome["epoch"] == 1 + max(0, passed - 2) // 3
    assert [int(each["passed"]) for each in run.details("checkpoint")] == list(range(1, passed + 1))
    assert len(run.steps) == BATCHES * (passed + 1) and run.details("weights") == []
    assert all(np.isfinite(array).all() for each in run.details("checkpoint") for array in each.values())


# ---- stopped and restored


def send(number):
    return lambda learner: os.kill(os.getpid(), number)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopped_after_any_batch_and_restored_equals_the_whole_run(number):
    """Bit for bit: parameters, moments of every learner, totals of the epoch, series; nothing
    learned twice or left out."""
    begun = []
    whole = Run(begin_epoch=begun.append)
    assert whole.go()["outcome"] == "finished" and begun == [0, 1]
    for step in range(1, 8 * BATCHES):
        begun = []
        first = Run(at=step, surprise=send(number), begin_epoch=begun.append)
        passed, batch = divmod(step, BATCHES)
        assert first.go() == {
            "outcome": "interrupted",
            "epoch": max(0, passed - 2) // 3,
            "batch": batch,
            "signal": number,
        }
        assert len(first.steps) == step and first.details("finish") == []
        second = Run(begin_epoch=begun.append)
        second.loop.restore(first.details("checkpoint")[-1])
        assert second.go()["outcome"] == "finished"
        assert first.steps + second.steps == whole.steps
        assert second.saved() == whole.saved()
        # It does not begin again in the middle of an epoch.
        assert begun == [0, 1]


def test_any_checkpoint_goes_on_with_more_epochs():
    whole = Run(epochs=4)
    whole.go()
    for passed, arrays in enumerate(whole.details("checkpoint")[:-1], start=1):
        more = Run(epochs=4)
        more.loop.restore(arrays)
        more.go()
        assert more.steps == whole.steps[passed * BATCHES :]
        assert more.saved() == whole.saved()


@pytest.mark.parametrize("size", [SIZE, COUNT])
def test_signal_before_the_first_epoch_is_answered_also_where_no_epoch_follows(size):
    """With one batch a pass, too, where a pass is over when the signal is seen."""
    run = Run(epochs=0, before=4, at=2, surprise=send(signal.SIGTERM), size=size)
    assert run.go()["outcome"] == "interrupted"
    assert len(run.steps) == 2
    assert Run(epochs=0, before=1, at=1, surprise=send(signal.SIGTERM), size=COUNT).go()["outcome"] == "finished"


def test_checkpoint_that_lacks_anything_of_any_learner_is_named():
    run = Run(epochs=1)
    run.go()
    arrays = run.details("checkpoint")[-1]
    assert {"a_optimiser_b0", "b_optimiser_b0", "c_optimiser_b0", "a_seen", "p0", "p1"} <= arrays.keys()
    assert taken_without(arrays, lambda rest: Run(epochs=2).loop.restore(rest)) == []


def test_checkpoint_of_other_learners_is_named():
    run = Run(epochs=1)
    run.go()
    with pytest.raises(FileError, match=r"checkpoint\.npz"):
        Run(epochs=1, before=0).loop.restore(run.details("checkpoint")[-1])
