"""The loop: epochs, batches, evaluations, checkpoints, stop conditions.  Written once; it never asks which rule it runs."""

import contextlib
import signal
import sys
import time
from dataclasses import dataclass

import numpy as np
from tqdm import tqdm

from core.files import FileError

POSITION = ("epoch", "batch", "seconds")
LARGEST_LOSS = 1e8  # of targets of order one: weights beyond it do not come back, though float64 can still write them down


@dataclass(frozen=True)
class Schedule:
    """What the loop counts.

    epochs         number of epochs in all, those of an interrupted run included
    batch_size     samples in a batch; batches follow the order of the samples, the last one may be short
    eval_interval  None: measure after every epoch; k: after batches k, 2k, … below the number of batches of each epoch
    """

    epochs: int
    batch_size: int
    eval_interval: int | None = None


def say(line):
    """Print a line above the progress bars, at once, also into a file that somebody watches."""
    tqdm.write(line)
    sys.stdout.flush()


class StopRequest:
    """Turns SIGINT and SIGTERM into a wish that the loop looks at; a second signal ends the process at once."""

    def __init__(self):
        self.signal = None
        self._previous = {}

    def __enter__(self):
        with contextlib.suppress(ValueError):  # outside the main thread signals stay with the caller
            for number in (signal.SIGINT, signal.SIGTERM):
                self._previous[number] = signal.signal(number, self._remember)
        return self

    def __exit__(self, *exception):
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _remember(self, number, frame):
        self.signal = number
        for each in self._previous:
            signal.signal(each, signal.SIG_DFL)


class Loop:
    """A learner on its way through a schedule, with its record.

    learner   core.learner.Learner
    samples   core.samples.Samples to learn from
    schedule  Schedule
    probes    functions () -> {column: Python float}, called at every evaluation; columns that end in _loss stay below
              LARGEST_LOSS, or the run has diverged
    folder    core.recording.RunFolder
    report    function of a line of text, called after every epoch
    quiet     no progress bar
    """

    def __init__(self, learner, samples, schedule, probes, folder, report=say, quiet=False):
        self.learner, self.samples, self.schedule = learner, samples, schedule
        self.probes, self.folder, self.report, self.quiet = probes, folder, report, quiet
        self.batches = -(-len(samples) // schedule.batch_size)
        self.epoch = self.batch = 0
        self.series = {"epoch": [], "batch": []}
        self._before = None  # parameters before training, until they have been measured
        self._seconds = 0.0
        self._clock = time.perf_counter()

    def restore(self, checkpoint):
        """Continue from a checkpoint, {name: host array}.  Raises FileError if it does not belong to this run."""
        try:
            state = {name: a for name, a in checkpoint.items() if name not in POSITION and not name.startswith("series_")}
            if state.keys() != self.learner.state().keys():
                raise ValueError("the number of layers is another")
            self.learner.restore(state)
            self.epoch, self.batch = int(checkpoint["epoch"]), int(checkpoint["batch"])
            self._seconds = float(checkpoint["seconds"])
            self.series = {name[7:]: values.tolist() for name, values in checkpoint.items() if name.startswith("series_")}
        except (KeyError, ValueError) as error:
            raise FileError(f"{self.folder.path / 'checkpoint.npz'} does not fit this network ({error})") from None

    def run(self):
        """Train until the schedule, a stop request or numbers that blow up end it.

        Returns  {"outcome": "finished", "diverged" or "interrupted", …}; all but "interrupted" also stand in DONE
        Raises   FileError if the record cannot be written
        """
        self._clock = time.perf_counter()
        with StopRequest() as stop, np.errstate(over="ignore", invalid="ignore", divide="ignore"), self._bar() as bar:
            if not self.series["epoch"]:
                # measured together with the first row of training, so that training begins at once
                self._before = [p.copy() for p in self.learner.net.parameters]
            alive = True
            while alive and self.epoch < self.schedule.epochs:
                alive = self._train_epoch(bar, stop)
                if alive and self.batch < self.batches:
                    return self._interrupted(stop)
                alive = alive and self._end_epoch(bar)
                if alive and stop.signal and self.epoch < self.schedule.epochs:
                    return self._interrupted(stop)
        return self._finished() if alive else self.give_up("diverged")

    def _train_epoch(self, bar, stop):
        """The rest of the current epoch; False if the numbers blew up.  Ends early at a stop request."""
        interval, size = self.schedule.eval_interval, self.schedule.batch_size
        while self.batch < self.batches:
            start = self.batch * size
            self.learner.step(*self.samples.batch(slice(start, start + size)))
            self.batch += 1
            bar.update()
            due = interval and self.batch % interval == 0 and self.batch < self.batches
            if due and not self._measure(bar, self.epoch, self.batch):
                return False
            if stop.signal:
                break
        return True

    def _end_epoch(self, bar):
        """Measure, save, count; False if the numbers blew up."""
        self.learner.net.check_solved()
        good = self.learner.finite() and (bool(self.schedule.eval_interval) or self._measure(bar, self.epoch + 1, 0))
        if good:
            self.epoch, self.batch = self.epoch + 1, 0
            self._save()
            shown = "  ".join(f"{name} {value:.6g}" for name, value in self._last().items())
            self.report(f"epoch {self.epoch}/{self.schedule.epochs}  {shown}")
        return good

    def _measure(self, bar, epoch, batch):
        """Add one row to the series and write it; False if a loss is not finite."""
        self.learner.net.check_solved()
        self._measure_start()
        row = self._add_row(epoch, batch, self._elapsed())
        self.folder.save_series(self.series)
        bar.set_postfix({name: f"{value:.4f}" for name, value in row.items() if name.endswith("_acc")}, refresh=True)
        # false for nan and inf too
        return all(value < LARGEST_LOSS for name, value in row.items() if name.endswith("_loss"))

    def _measure_start(self):
        """The row of the parameters before training, if it is still missing."""
        if self._before is None:
            return
        before, self._before = self._before, None
        now = [p.copy() for p in self.learner.net.parameters]
        self._set_parameters(before)
        self._add_row(0, 0, 0.0)
        self._set_parameters(now)

    def _set_parameters(self, values):
        for p, value in zip(self.learner.net.parameters, values, strict=True):
            p[...] = value
        self.learner.net.weights_changed()

    def _add_row(self, epoch, batch, seconds):
        row = {"epoch": epoch, "batch": batch}
        for probe in self.probes:
            row.update(probe())
        row["seconds"] = round(seconds, 3)
        for name, value in row.items():
            self.series.setdefault(name, []).append(value)
        return row

    def _save(self):
        position = dict(zip(POSITION, (self.epoch, self.batch, self._elapsed()), strict=True))
        series = {f"series_{name}": np.array(values) for name, values in self.series.items()}
        self.folder.save_checkpoint(position | series | self.learner.state())

    def _elapsed(self):
        return self._seconds + time.perf_counter() - self._clock

    def _bar(self):
        done = self.epoch * self.batches + self.batch
        return tqdm(
            total=self.schedule.epochs * self.batches, initial=done, unit="batch", smoothing=0.05, disable=self.quiet or None
        )

    def _last(self):
        return {name: values[-1] for name, values in self.series.items() if name not in ("epoch", "batch")}

    def _interrupted(self, stop):
        self.learner.net.check_solved()
        if not self.learner.finite():
            return self.give_up("diverged")
        self._measure_start()
        self.folder.save_series(self.series)
        self._save()
        self.folder.save_weights(self.learner.net)
        return {"outcome": "interrupted", "epoch": self.epoch, "batch": self.batch, "signal": int(stop.signal)}

    def give_up(self, outcome, **reasons):
        """End a run that cannot go on; its series and its last checkpoint stay.  Returns the content of DONE."""
        self._measure_start()
        self.folder.save_series(self.series)
        told = {"outcome": outcome, "epoch": self.epoch + 1, "batch": self.batch} | reasons
        self.folder.finish(told)
        return told

    def _finished(self):
        self.folder.save_weights(self.learner.net)
        now = {"seconds": round(self._elapsed(), 3)}
        if self.schedule.eval_interval:  # the last row of the series is some batches old
            for probe in self.probes:
                now |= probe()
        outcome = {"outcome": "finished", "epochs": self.epoch} | self._last() | now
        self.folder.finish(outcome)
        return outcome
