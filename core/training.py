"""Runs epochs, batches, evaluations, checkpoints and stop conditions, without asking which rule it runs."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from core.files import FileError
from core.machine import peak_memory
from core.program import say
from core.together import run_together

POSITION = ("epoch", "passed", "batch", "seconds", "prelude_seconds")
# A run counts as diverged above this loss.  Targets are of order one; no run has recovered from here, although float64
# has not overflowed yet.
LARGEST_LOSS = 1e8


@dataclass(frozen=True)
class Schedule:
    """Holds how many epochs and batches a loop trains, and when it measures.

    epochs         number of epochs in all, those of an interrupted run included
    batch_size     samples in a batch; batches follow the order of the samples, the last one may be short
    first_batches  batches in every pass, the first ones of its order; 0: all
    eval_interval  None: measure after every epoch; k: after batches k, 2k, … below the number of batches of each epoch
    option         of the command line that gave `epochs`
    """

    epochs: int
    batch_size: int
    eval_interval: int | None = None
    first_batches: int = 0
    option: str = "--epochs"

    def batches(self, samples):
        """Returns the number of batches in a pass over these samples."""
        every = -(-len(samples) // self.batch_size)
        return min(every, self.first_batches or every)


@dataclass(frozen=True)
class EpochPlan:
    """Says which learners pass over the samples in an epoch, and in which order.

    epoch          list of learners; each makes one pass over the samples per epoch
    prelude        list of learners; each makes one pass before the first epoch
    order          function (passes before, number of samples) -> indices (samples,) on the device; None: as they are
    begin_epoch    function of the number of epochs before, called at the start of every epoch; None: nothing to do
    measure_start  whether the series begins with a row of the parameters before training
    """

    epoch: list
    prelude: list = field(default_factory=list)
    order: Callable | None = None
    begin_epoch: Callable | None = None
    measure_start: bool = True

    def learner(self, passed):
        """Returns the learner of a pass; `passed` is the number of passes before it."""
        ahead = passed - len(self.prelude)
        return self.prelude[passed] if ahead < 0 else self.epoch[ahead % len(self.epoch)]

    @property
    def learners(self):
        """Returns every learner once."""
        return list({id(learner): learner for learner in (*self.epoch, *self.prelude)}.values())

    def passes(self, epochs):
        """Returns the number of passes in so many epochs, the prelude included."""
        return len(self.prelude) + epochs * len(self.epoch)


def required_names(state):
    """Returns the names that every checkpoint of this network contains.

    Measurements (seen_…) may be missing: they depend on the flags of the run that wrote the checkpoint.
    """
    return {name for name in state if not name.startswith("seen_")}


class Loop:
    """Trains learners through a schedule and records the run.

    learner   core.roles.BaseLearner; its network is the one that is measured and saved
    samples   the samples to learn from
    schedule  Schedule
    watchers  list of core.roles.Watcher
    folder    core.recording.RunFolder
    report    function of a line of text, called after every epoch
    quiet     no progress bar
    plan      EpochPlan; None: every epoch is one pass of `learner` in file order
    """

    def __init__(self, learner, samples, schedule, watchers, folder, report=say, quiet=False, plan=None):
        self.learner, self.samples, self.schedule = learner, samples, schedule
        self.plan = plan or EpochPlan([learner])
        self.watchers, self.folder, self.report, self.quiet = watchers, folder, report, quiet
        self.batches = schedule.batches(samples)
        self.epoch = self.passed = self.batch = 0
        self.series = {"epoch": [], "batch": []}
        # The network before training, until it has been measured.
        self._before = None
        # The order of the samples in this pass.
        self._order = None
        self._seconds = self._prelude_seconds = 0.0
        self._clock = time.perf_counter()

    def restore(self, checkpoint):
        """Continues from a checkpoint, {name: host array}; raises FileError if it is of another run."""
        try:
            state = {name: checkpoint[name] for name in checkpoint if name not in POSITION and name[:7] != "series_"}
            if required_names(state) != required_names(self._state()):
                raise ValueError("it has another number of layers")
            for part in (*self.plan.learners, *self.watchers):
                part.restore(state)
            self.epoch, self.passed, self.batch = (int(checkpoint[name]) for name in ("epoch", "passed", "batch"))
            self._seconds, self._prelude_seconds = float(checkpoint["seconds"]), float(checkpoint["prelude_seconds"])
            self.series = {name[7:]: values.tolist() for name, values in checkpoint.items() if name[:7] == "series_"}
        except (KeyError, ValueError, TypeError) as error:
            raise FileError(f"{self.folder.path / 'checkpoint.npz'} does not fit this network ({error})") from None

    def run(self):
        """Trains until the schedule ends, a signal asks to stop, or the numbers blow up.

        Returns  {"outcome": "finished", "diverged" or "interrupted", …}; all but "interrupted" are also written to DONE
        Raises   FileError if the record cannot be written
        """
        return run_together([self])[0]

    def begin(self):
        """Starts the clock, and copies the network before training if it is still to be measured."""
        self._clock = time.perf_counter()
        if self.plan.measure_start and not self.series["epoch"]:
            # Measured with the first row of training: for MNIST and four hidden layers it takes some 4 s.
            self._before = self.learner.net.copy()

    @property
    def position(self):
        """Returns (passes before, batches before in this pass), which determines a run's next step."""
        return self.passed, self.batch

    def end(self):
        """Ends the run if nothing is left to do or a watcher stops it; returns the content of DONE or None."""
        if reason := self._reason_to_stop():
            self.folder.save_weights(self.learner.net)
            return self.give_up("stopped", reason=reason)
        more = self.epoch < self.schedule.epochs or self.passed < len(self.plan.prelude)
        return None if more else self._finished()

    def _reason_to_stop(self):
        """Returns a watcher's reason to stop after a whole epoch, or None; a restarted run asks again."""
        if self.epoch and self.batch == 0 and self._begins_an_epoch():
            return next(filter(None, (watcher.stop(self.series) for watcher in self.watchers)), None)
        return None

    def _begins_an_epoch(self):
        """Returns whether the next pass is the first of an epoch."""
        ahead = self.passed - len(self.plan.prelude)
        return ahead >= 0 and ahead % len(self.plan.epoch) == 0

    def begin_pass(self):
        """Prepares the rest of the current pass and returns its learner."""
        if self.plan.begin_epoch and self.batch == 0 and self._begins_an_epoch():
            self.plan.begin_epoch(self.epoch)
        self._order = self.plan.order(self.passed, len(self.samples)) if self.plan.order else None
        return self.plan.learner(self.passed)

    @property
    def pass_ended(self):
        """Returns whether all batches of the pass have been trained."""
        return self.batch == self.batches

    @property
    def rows(self):
        """Returns the samples of the next batch: a slice, or an array of their indices on the device."""
        size = self.schedule.batch_size
        rows = slice(self.batch * size, min((self.batch + 1) * size, len(self.samples)))
        return rows if self._order is None else self._order[rows]

    @property
    def due(self):
        """Returns whether a row is to be measured after the batches of this pass so far."""
        interval = self.schedule.eval_interval
        return interval and self.batch % interval == 0 and self.batch < self.batches

    @property
    def watched(self):
        """Returns whether a watcher wants a report of the next batch."""
        return any(watcher.wants(self.position) for watcher in self.watchers)

    def show_batch(self, report, moved=False):
        """Reports a batch to the watchers, before its update or, where the weights have `moved`, after it."""
        for watcher in self.watchers:
            (watcher.moved if moved else watcher.batch)(report)

    def end_pass(self, bar):
        """Counts a pass, measures at the end of an epoch, and saves; returns False if the numbers blew up."""
        self.learner.net.check_solved()
        if not self.learner.finite():
            return False
        self.passed, self.batch = self.passed + 1, 0
        ended = self._begins_an_epoch() and self.passed > len(self.plan.prelude)
        if ended:
            seen = {name: value for learner in self.plan.learners for name, value in learner.end_epoch().items()}
            if not self.schedule.eval_interval and not self.measure(bar, self.epoch + 1, 0, seen):
                return False
            self.epoch += 1
        elif self.passed == len(self.plan.prelude):
            self._prelude_seconds = self._elapsed()
        self._save()
        if ended:
            shown = "  ".join(f"{name} {value:.6g}" for name, value in self._last().items())
            self.report(f"epoch {self.epoch}/{self.schedule.epochs}  {shown}")
        return True

    def measure(self, bar, epoch, batch, seen=None):
        """Adds one row to the series and writes it; returns False if a loss is not finite or too large."""
        self.learner.net.check_solved()
        self._measure_start()
        row = self._add_row(self.learner.net, epoch, batch, self._elapsed(), seen)
        self._write_series()
        bar.set_postfix({name: f"{value:.4f}" for name, value in row.items() if "acc" in name}, refresh=True)
        # The comparison is false for nan and inf, too.
        return all(value < LARGEST_LOSS for name, value in row.items() if "loss" in name)

    def _measure_start(self):
        """Adds the row of the network before training, if it is still missing."""
        before, self._before = self._before, None
        if before:
            self._add_row(before, 0, 0, 0.0)

    def _add_row(self, net, epoch, batch, seconds, seen=None):
        row = {"epoch": epoch, "batch": batch} | (seen or {}) | self._columns(net, epoch)
        row["seconds"] = round(seconds, 3)
        for name, value in row.items():
            self.series.setdefault(name, []).append(value)
        return row

    def _columns(self, net, epoch):
        """Returns {column: number} of everything that the watchers measure."""
        return {name: value for watcher in self.watchers for name, value in watcher.row(net, epoch).items()}

    def _write_series(self):
        self.folder.save_series(self.series)
        for watcher in self.watchers:
            watcher.written(self.series)

    def _save(self):
        now = (self.epoch, self.passed, self.batch, self._elapsed(), self._prelude_seconds)
        position = dict(zip(POSITION, now, strict=True))
        series = {f"series_{name}": np.array(values) for name, values in self.series.items()}
        self.folder.save_checkpoint(position | series | self._state())

    def _state(self):
        """Returns {name: array} of everything that the next step and the measurements depend on."""
        return {name: array for part in (*self.plan.learners, *self.watchers) for name, array in part.state().items()}

    def _elapsed(self):
        return self._seconds + time.perf_counter() - self._clock

    @property
    def progress(self):
        """Returns (number of batches so far, number of batches in all)."""
        return self.passed * self.batches + self.batch, self.plan.passes(self.schedule.epochs) * self.batches

    def _last(self):
        return {name: values[-1] for name, values in self.series.items() if name not in ("epoch", "batch")}

    def interrupt(self, stop):
        """Saves a run that was stopped by a signal, so that it can go on; returns the outcome."""
        self.learner.net.check_solved()
        if not self.learner.finite():
            return self.give_up("diverged")
        self._measure_start()
        self._write_series()
        self._save()
        self.folder.save_weights(self.learner.net)
        return {"outcome": "interrupted", "epoch": self.epoch, "batch": self.batch, "signal": int(stop.signal)}

    def give_up(self, outcome, **reasons):
        """Ends a run early and returns the content of DONE; its series and last checkpoint stay."""
        self._measure_start()
        self._write_series()
        told = {"outcome": outcome, "epoch": self.epoch + (outcome != "stopped"), "batch": self.batch} | reasons
        self.folder.finish(told)
        return told

    def _finished(self):
        self.folder.save_weights(self.learner.net)
        now = {"seconds": round(self._elapsed(), 3)}
        if (peak := peak_memory()) is not None:
            now["peak_memory_mb"] = round(peak / 1e6, 1)
        if self.schedule.eval_interval:
            # The last row of the series is some batches old.
            now |= self._columns(self.learner.net, self.epoch)
        outcome = {"outcome": "finished", "epochs": self.epoch} | self._last() | now
        self.folder.finish(outcome)
        return outcome
