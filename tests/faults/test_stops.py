"""The loop stopped after any batch and restored equals the loop that went on, bit for bit."""

import os
import signal

import numpy as np
import pytest

from core.files import FileError
from tests.faults.tiny_loop import Memory, Run, taken_without, weights_of


def send(number):
    return lambda learner: os.kill(os.getpid(), number)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("interval", [None, 2])
def test_stopped_after_any_batch_and_restored_equals_the_whole_run(number, interval):
    """Bit for bit: parameters, moments, series; with nothing trained twice and nothing left out."""
    whole = Run(epochs=3, interval=interval)
    assert whole.go()["outcome"] == "finished"
    before = signal.getsignal(number)
    for step in range(1, 9):
        first = Run(epochs=3, interval=interval, at=step, surprise=send(number))
        outcome = first.go()
        assert outcome == {"outcome": "interrupted", "epoch": step // 3, "batch": step % 3, "signal": number}
        assert signal.getsignal(number) == before
        assert first.kinds().count("step") == step
        assert first.details("finish") == []
        assert [p.tobytes() for p in first.details("weights")[-1]] == weights_of(first.learner)

        second = Run(epochs=3, interval=interval)
        second.loop.restore(first.details("checkpoint")[-1])
        assert second.go()["outcome"] == "finished"
        assert second.kinds().count("step") == 9 - step
        assert second.saved() == whole.saved()
        assert weights_of(second.learner) == weights_of(whole.learner)


def test_stop_in_the_last_batch_of_all_is_the_end():
    run = Run(epochs=2, at=6, surprise=send(signal.SIGTERM))
    assert run.go()["outcome"] == "finished"


def test_any_checkpoint_goes_on_with_more_epochs():
    whole = Run(epochs=4)
    whole.go()
    for arrays in whole.details("checkpoint")[:-1]:
        more = Run(epochs=4)
        more.loop.restore(arrays)
        more.go()
        assert more.saved() == whole.saved()
        assert weights_of(more.learner) == weights_of(whole.learner)


def test_a_shorter_run_is_the_beginning_of_a_longer_one():
    """How many epochs are planned changes nothing before the last; and a checkpoint does not
    change after it is saved."""
    whole, one = Run(epochs=3), Run(epochs=1)
    whole.go()
    one.go()
    first = {name: a.tobytes() for name, a in whole.details("checkpoint")[0].items() if "seconds" not in name}
    assert first == one.saved()


def test_restoring_goes_on_with_the_clock():
    run = Run(epochs=1)
    run.go()
    arrays = run.details("checkpoint")[-1]
    arrays["seconds"] = np.array(1000.0)
    more = Run(epochs=2)
    more.loop.restore(arrays)
    more.go()
    assert 1000 <= more.details("series")[-1]["seconds"][-1] < 1100


def test_checkpoint_that_lacks_something_is_named():
    """A missing moment would train differently.  (Columns of the series cannot get lost: the file has a checksum.)"""
    run = Run(epochs=1)
    run.go()
    assert taken_without(run.details("checkpoint")[-1], lambda rest: Run(epochs=2).loop.restore(rest)) == []


def test_checkpoint_of_other_shapes_is_named():
    run = Run(epochs=1)
    run.go()
    good, taken = run.details("checkpoint")[-1], []
    for name in (name for name in run.learner.state() if good[name].ndim):
        for other in (good[name][:-1], good[name][:1], np.float64(1.0), np.stack([good[name]] * 2)):
            try:
                Run(epochs=2).loop.restore({**good, name: other})
            except FileError as error:
                assert "checkpoint.npz" in str(error)
            else:
                taken.append((name, np.shape(other)))
    assert taken == []


def test_checkpoint_with_more_layers_than_the_network_is_named():
    run = Run(epochs=1)
    run.go()
    good = run.details("checkpoint")[-1]
    with pytest.raises(FileError, match=r"checkpoint\.npz"):
        Run(epochs=2).loop.restore({**good, "p4": good["p0"], "optimiser_m4": good["p0"], "optimiser_v4": good["p0"]})


def test_file_that_cannot_be_written_ends_the_run_with_its_reason():
    class Full(Memory):
        def save_checkpoint(self, arrays):
            if int(arrays["epoch"]) == 2:
                raise FileError("cannot write it: no space")
            super().save_checkpoint(arrays)

    before = signal.getsignal(signal.SIGTERM)
    run = Run(epochs=5, folder=Full)
    with pytest.raises(FileError, match="no space"):
        run.go()
    assert len(run.details("checkpoint")) == 1 and run.details("finish") == []
    assert signal.getsignal(signal.SIGTERM) == before
