"""Writes and reads the published summary of a run of system 2, in files without pickle.

Its keys are those of docs/published/dfc.md I.7.
"""

import contextlib
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from core.files import FileError, json_text, read_bytes, read_json, replacing, write_json, write_text
from core.recording import RunFolder

NOT_YET = -1
INITIAL_KEYS = (
    "acc_train_last", "acc_train_best", "loss_train_last", "loss_train_best", "acc_test_last", "acc_test_best",
    "acc_val_last", "acc_val_best", "acc_test_val_best", "acc_train_val_best", "loss_test_val_best",
    "loss_train_val_best", "loss_val_best", "epoch_best_loss", "epoch_best_acc", "loss_test_last", "loss_test_best",
    "rec_loss", "rec_loss_last", "rec_loss_best", "rec_loss_first", "rec_loss_init", "rec_loss_var_av",
    "avg_time_per_epoch",
)  # fmt: skip
# Values of "finished".
RUNNING, DONE, STOPPED = 0, 1, -1


@dataclass
class Frame:
    """Holds a table of measurements: steps (logged batches, from 1) by columns (layers, from 0)."""

    steps: list
    columns: list
    values: np.ndarray

    def text(self):
        """Returns the table as csv, with the steps in the first column."""
        lines = [",".join(["", *map(str, self.columns)])]
        rows = zip(self.steps, self.values.tolist(), strict=True)
        lines += [",".join([str(step), *map(repr, row)]) for step, row in rows]
        return "\n".join(lines) + "\n"

    @classmethod
    def read(cls, text):
        """Returns the Frame that a `text` describes."""
        first, *lines = text.splitlines()
        columns = [int(name) for name in first.split(",")[1:]]
        rows = [[float(number) for number in line.split(",")] for line in lines]
        values = np.array(rows, dtype=float).reshape(len(rows), len(columns) + 1)
        return cls(values[:, 0].astype(int).tolist(), columns, values[:, 1:])


def summarise(series, finished, prelude_seconds=0.0, timed=True):
    """Returns the summary of the epochs done: {published key: number, or array (epochs,)}.

    series           {column: list of numbers}, one entry per epoch
    finished         RUNNING, DONE or STOPPED
    prelude_seconds  of training before the first epoch
    timed            whether it contains the mean time of an epoch; as published, not for BP
    """
    summary = dict.fromkeys(INITIAL_KEYS, NOT_YET) | {"finished": finished}
    if not series["epoch"]:
        return summary
    if timed:
        summary["avg_time_per_epoch"] = (series["seconds"][-1] - prelude_seconds) / len(series["epoch"])
    for quantity, best, at in (("loss", min, "epoch_best_loss"), ("acc", max, "epoch_best_acc")):
        for name in (f"{quantity}_{part}" for part in ("train", "test", "val")):
            if name in series:
                values = series[name]
                summary |= {f"{name}_last": values[-1], f"{name}_best": best(values), name: np.array(values)}
        if f"{quantity}_val" in series:
            epoch = series[f"{quantity}_val"].index(best(series[f"{quantity}_val"]))
            summary[at] = epoch
            summary |= {
                f"{quantity}_{part}_val_best": series[f"{quantity}_{part}"][epoch] for part in ("test", "train")
            }
    named = ("epoch", "batch", "seconds")
    return summary | {
        name: np.array(values) for name, values in series.items() if name not in named and name not in summary
    }


def write_summary(path, summary):
    """Writes results.json (numbers, strings, lists), results.npz (arrays) and performance_overview.txt."""
    path = Path(path)
    arrays = {name: value for name, value in summary.items() if isinstance(value, np.ndarray)}
    frames = {name: value for name, value in summary.items() if isinstance(value, Frame)}
    plain = {name: value for name, value in summary.items() if name not in arrays and name not in frames}
    for name, frame in frames.items():
        write_text(path / f"{name}.csv", frame.text())
    write_json(path / "results.json", plain)
    with replacing(path / "results.npz") as file:
        np.savez(file, **arrays)
    write_text(path / "performance_overview.txt", "".join(f"{name} {_shown(value)}\n" for name, value in plain.items()))


def _shown(value):
    if isinstance(value, (list, tuple)):
        return " ".join(map(_shown, value))
    return f"{value:.6f}" if isinstance(value, float) else str(value)


def read_summary(path):
    """Returns the summary of a run folder, a dict.

    It has numbers, strings and lists of results.json, arrays of results.npz, and a Frame for each csv.
    Raises  FileError if a file is missing or damaged
    """
    path = Path(path)
    summary = read_json(path / "results.json", finished=int)
    try:
        with np.load(io.BytesIO(read_bytes(path / "results.npz")), allow_pickle=False) as arrays:
            summary |= {name: arrays[name] for name in arrays.files}
    except Exception as error:
        # For damaged bytes zipfile, zlib, struct and numpy each raise errors of their own.
        reason = " ".join(str(error).split())
        raise FileError(f"{path / 'results.npz'} is damaged or unreadable ({reason})") from None
    for file in path.glob("*_angles*.csv"):
        try:
            summary[file.stem] = Frame.read(read_bytes(file).decode())
        except (OSError, ValueError) as error:
            raise FileError(f"{file} is damaged or unreadable ({error})") from None
    return summary


class SummaryFolder(RunFolder):
    """Keeps the published summary in a run folder, up to date after every epoch.

    path, settings, optional  see RunFolder
    args                      the flags for args.txt
    timed                     see `summarise`

    """

    def __init__(self, path, settings, args, optional=(), timed=True):
        super().__init__(path, settings, measures=(), optional=optional)
        self.args, self.timed = args, timed
        self._watchers = ()
        self._series, self.prelude_seconds = {"epoch": []}, 0.0
        self._checkpoint = None

    def follow(self, watchers):
        """Adds the entries of these core.roles.Watcher to the summary; they replace none of its own.

        Their files are on the disk before each checkpoint, and are closed with the folder.
        """
        self._watchers = watchers

    def checkpoint(self):
        self._checkpoint = super().checkpoint()
        return self._checkpoint

    def _tells_more(self, series):
        """Returns whether the summary tells of an epoch, or of a bad end, where there is no checkpoint.

        A run that finished no epoch has no checkpoint either.
        """
        if self._checkpoint is None:
            with contextlib.suppress(FileError):
                summary = read_json(self.path / "results.json", finished=int)
                return summary["finished"] not in (RUNNING, DONE) or summary.get("loss_train_last", NOT_YET) != NOT_YET
        return False

    def begin(self, record):
        # This comes first: without config.json the run could not be continued.
        changed = super().begin(record)
        write_text(self.path / "args.txt", json_text(self.args, sort_keys=True) + "\n")
        if self._checkpoint:
            # The summary keeps the numbers of earlier epochs.
            self._series |= {
                name[7:]: values.tolist() for name, values in self._checkpoint.items() if name.startswith("series_")
            }
            self.prelude_seconds = float(self._checkpoint["prelude_seconds"])
        self._write(RUNNING)
        return changed

    def save_series(self, series):
        super().save_series(series)
        self._series = series
        self._write(RUNNING)

    def save_checkpoint(self, arrays):
        self.prelude_seconds = float(arrays["prelude_seconds"])
        for watcher in self._watchers:
            watcher.flush()
        super().save_checkpoint(arrays)

    def close(self):
        for watcher in self._watchers:
            watcher.close()
        super().close()

    def finish(self, outcome):
        self._write(DONE if outcome["outcome"] == "finished" else STOPPED)
        super().finish(outcome)

    def _write(self, finished):
        summary = summarise(self._series, finished, self.prelude_seconds, self.timed)
        own = set(summary)
        for watcher in self._watchers:
            summary |= {name: value for name, value in watcher.summary().items() if name not in own}
        write_summary(self.path, summary)
