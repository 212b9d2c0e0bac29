"""Writes the folder of a run so that nothing is lost: options, series, weights, checkpoint and outcome."""

import contextlib
import fnmatch
import os
from pathlib import Path

from core.backend import to_host
from core.files import (
    FileError,
    is_stream,
    read_arrays,
    read_json,
    remove_leftovers,
    write_array,
    write_arrays,
    write_json,
)  # fmt: skip
from core.locks import NAME as LOCK
from core.locks import FolderLock
from core.options import UsageError
from core.paths import check_room, entries, exists, shortened
from core.program import keep_standard_output
from core.series import PUBLISHED_SERIES, differ, published_rows, read_series, write_series

RUN_FILES = (
    "DONE", "checkpoint.npz", "*Lweights.npy", "*Lbiases.npy", "*Lfeedback.npy", "metrics.csv", "*_acc.txt",
    "*_loss.txt", "config.json", "args.txt", "performance_overview.txt", "results.json", "results.npz",
    "*_angles*.csv",
)  # fmt: skip
# Further files of main.py, which do not make a folder a run: logs, pictures and texts.
FURTHER_FILES = (
    "events.out.tfevents.*", "_Epoch[0-9]*__*.png", "optimal_gnt_damping_constant.txt",
    "autoencoder_images/*_epoch_*.png",
)  # fmt: skip
# A run folder is known by one of these files, even if it is damaged.
MARKS = ("config.json", "checkpoint.npz", "DONE", LOCK)
# This file holds the output of a run that was started by a sweep.
LOG = "log.txt"
ENDS = ("diverged", "singular", "stopped")
# Settings that a config.json has only where they differ from these: a GPU draws noise by itself unless the host does.
IMPLIED = {"unit_rows": False, "host_noise": True}
# Entries of config.json on which the last digits depend.
ROUNDING = ("threads", "versions", "device", "cpu", "blas")


def prepare_outputs(*paths, inputs=()):
    """Refuses files that must not be written, and prints on stderr if one of them is the standard output.

    paths   files that a script is about to write; None and "" are left out
    inputs  paths that it reads
    Raises  UsageError for a file of a run, one that two options name, or one that is read
    """
    outputs = [path for path in paths if path]
    taken = {os.path.realpath(path): "it is read, too" for path in inputs}
    for path in outputs:
        folder, name = os.path.split(os.path.realpath(path))
        own = any(fnmatch.fnmatchcase(name, pattern) for pattern in (*RUN_FILES, *FURTHER_FILES, LOG, LOCK))
        if own and any(exists(os.path.join(folder, mark)) for mark in MARKS):
            raise UsageError(f"cannot write {shortened(path)}: it is a file of the run in that folder")
        if os.path.realpath(path) in taken and not is_stream(path):
            raise UsageError(f"cannot write {shortened(path)}: {taken[os.path.realpath(path)]}")
        taken[os.path.realpath(path)] = "two options name it"
    keep_standard_output(*outputs)


class RunFolder:
    """Holds one run on disk.

    path      the folder
    settings  {option: value} of everything that the numbers depend on, except for the number of epochs
    measures  names of numbers that the outcome of a finished run must hold
    optional  names of settings that config.json has among its options alone
    changed   whether files of the run were deleted or written since the folder was opened
    """

    def __init__(self, path, settings, measures=("test_acc",), optional=()):
        self.path = Path(path)
        self.settings, self.measures, self.optional = settings, measures, optional
        self._lock, self.changed, self._replaces = None, False, False

    @property
    def outcome(self):
        """Returns the content of DONE, a dict; None while the run is unfinished.

        Raises  FileError if it is damaged
        """
        path = self.path / "DONE"
        if not exists(path):
            return None
        outcome = read_json(path, outcome=str)
        numbers = dict.fromkeys(outcome.keys() - {"outcome", "reason"}, (int, float))
        if outcome["outcome"] == "finished":
            return read_json(path, **numbers | dict.fromkeys(self.measures, float) | {"epochs": int})
        if outcome["outcome"] not in ENDS:
            raise FileError(f"{path} is damaged: {outcome['outcome']!r} is not a valid outcome")
        return read_json(path, **numbers | {"epoch": int})

    def _files(self, patterns):
        """Returns the files in the folder whose names match these patterns.  Raises FileError."""
        found, names = [], {}
        for folder, _, pattern in (each.rpartition("/") for each in patterns):
            if folder not in names:
                names[folder] = entries(self.path / folder)
            found += [self.path / folder / name for name in fnmatch.filter(names[folder], pattern)]
        return found

    def open(self, load=False, load_or_start=False, overwrite=False):
        """Takes the folder for this process, creates it or continues in it.

        load           continue an unfinished or finished run of the same settings
        load_or_start  the same, or start a run in a new folder
        overwrite      delete what an earlier run left here, when `clear` is called
        Raises         UsageError, FileError
        """
        check_room(self.path)
        holds = bool(self._files(RUN_FILES))
        if load and not holds:
            raise UsageError(f"--load: there is no run to load in {self.path}; leave out --load to start one")
        if holds and not (load or load_or_start or overwrite):
            state = f"a run with outcome {self.outcome['outcome']!r}" if self.outcome else "an unfinished run"
            raise UsageError(f"{self.path} holds {state}: give --load to continue it or --overwrite to start again")
        if not overwrite:
            # This comes before a file of this process is made in the folder of another run.
            self.check()
        self._lock = FolderLock(self.path)
        self._lock.take()
        remove_leftovers(self.path)
        self._replaces = overwrite
        if overwrite:
            self._check_deletable()
        else:
            # Another process may have had the folder meanwhile.
            self.check()

    def check(self):
        """Raises UsageError if the folder holds a run of other settings; nothing is written.

        Raises  FileError if the run is damaged
        """
        if not self._files(RUN_FILES):
            return
        for file in filter(is_stream, self._files(RUN_FILES + FURTHER_FILES)):
            raise FileError(f"{file} is a pipe or a device, where a run has a file; nothing was changed")
        config = read_json(self.path / "config.json", settings=dict, options=dict)
        told = IMPLIED | config["options"] | config["settings"]
        for name, value in self.settings.items():
            if told.get(name, value) != value:
                raise UsageError(f"--load: {self.path} was made with {name} = {told[name]}, not {value}")

    @property
    def note(self):
        """Returns a sentence if the folder could not be locked when it was opened; else ""."""
        return self._lock.note if self._lock is not None else ""

    def check_weights(self, names):
        """Raises FileError if the weights of a run that has ended are missing.

        names  of the arrays
        """
        for name in names:
            if not exists(self.path / f"{name}.npy"):
                missing = f"its {name}.npy is missing; --overwrite starts again"
                raise FileError(f"{self.path} holds a run that has ended, but {missing}")

    def check_progress(self, net, epochs, series, outcome, saved):
        """Raises FileError if the folder holds more epochs than the run would continue from.

        That happens when the checkpoint was deleted or replaced by an old one. A process that was killed may have
        measured the epoch after its last checkpoint, but no more.

        net, epochs, series  where the run would continue, and what it had measured until then
        outcome              content of DONE, or None
        saved                whether there is a checkpoint
        """
        measured = read_series(self.path)
        if any(differ(series.get(name, ()), values) for name, values in measured.items()):
            raise FileError(
                f"--load: {self.path / 'checkpoint.npz'} is that of another run: metrics.csv has other numbers; "
                "nothing was changed"
            )
        shown = max(max(measured.get("epoch", ()), default=0) - 1, outcome["epochs"] if outcome else 0)
        # metrics.csv is written before these files: if only these exist, the other files of the run were deleted.
        if not measured and self._tells_more(series):
            shown = epochs + 1
        # The checkpoint is saved before the weights.
        interrupted = not outcome and any(map(exists, self._weight_files(net)))
        if shown <= epochs and (saved or not interrupted):
            return
        has = f"ends at epoch {epochs}" if saved else "is missing"
        raise FileError(
            f"--load: {self.path} holds more than can be continued: its checkpoint.npz {has}; nothing was changed; "
            "--overwrite starts anew"
        )

    def _tells_more(self, series):
        """Returns whether files that are written after metrics.csv tell of more measurements than `series`."""
        return any(len(published_rows(self.path, name)) > len(series.get(name, ())) for name in PUBLISHED_SERIES)

    def _weight_files(self, net):
        return [self.path / f"{name}.npy" for name in net.named_arrays]

    def checkpoint(self):
        """Returns {name: host array} of the checkpoint; None if there is none yet.

        Raises  FileError if it is damaged
        """
        path = self.path / "checkpoint.npz"
        return read_arrays(path) if exists(path) else None

    def begin(self, record):
        """Writes config.json before training: the settings and `record`; earlier records stay.

        From here on the run has no outcome until it ends again.

        record   options, versions, device and so on, see `provenance`
        Returns  the entries of ROUNDING that have changed since the run began
        """
        path, changed = self.path / "config.json", []
        if exists(path):
            config = read_json(path, settings=dict)
            changed = [name for name in ROUNDING if config.get(name, record.get(name)) != record.get(name)]
            now = {name: record.get(name) for name in ("time", *ROUNDING, "host", "job", "git_commit")}
            config.update(options=record["options"], resumed=[*config.get("resumed", []), now])
        else:
            unsaid = {name for name, value in IMPLIED.items() if self.settings.get(name) == value}.union(self.optional)
            told = {name: value for name, value in self.settings.items() if name not in unsaid}
            config = {**record, "settings": told}
        write_json(path, config)
        self.changed = True
        (self.path / "DONE").unlink(missing_ok=True)
        return changed

    def _check_deletable(self):
        for file in self._files(RUN_FILES + FURTHER_FILES):
            if file.is_dir() and not file.is_symlink():
                raise FileError(f"cannot delete {file}: it is a folder, where a run has a file")
            if not os.access(file.parent, os.W_OK | os.X_OK):
                raise FileError(f"cannot delete {file}: files in its folder cannot be changed")

    def clear(self):
        """Deletes what an earlier run left here, if the folder was opened with `overwrite`.

        It is called when nothing can be refused any more, as a refusal must change nothing.
        """
        if not self._replaces:
            return
        for file in self._files(RUN_FILES + FURTHER_FILES):
            self.changed = True
            try:
                file.unlink()
            except OSError as error:
                raise FileError(f"cannot delete {file}: {error.strerror}") from error
        for folder in {pattern.rpartition("/")[0] for pattern in FURTHER_FILES} - {""}:
            with contextlib.suppress(OSError):
                # The folder is missing, or contains other files.
                (self.path / folder).rmdir()

    def close(self):
        """Unlocks the folder; if no run was begun there, the lock file and new folders are deleted."""
        if self._lock is not None:
            self._lock.close(unused=not self.changed)
            self._lock = None

    def save_series(self, series):
        """Writes metrics.csv and the published text files of a series, {column: list of numbers}."""
        write_series(self.path, series)

    def save_checkpoint(self, arrays):
        """Writes {name: array} of everything that is needed to continue bit for bit."""
        write_arrays(self.path / "checkpoint.npz", {name: to_host(array) for name, array in arrays.items()})

    def save_weights(self, net):
        """Writes each array of the network to a file of its published name, such as 0Lweights.npy."""
        for file, array in zip(self._weight_files(net), net.named_arrays.values(), strict=True):
            write_array(file, to_host(array))

    def finish(self, outcome):
        """Writes DONE, the last file of a run; `outcome` is a dict with the key "outcome"."""
        write_json(self.path / "DONE", outcome)
