"""Reads run folders of both systems: settings, series, outcomes, groups over seeds; nothing is drawn here."""

import csv
import functools
import io
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from core.files import FileError, read_bytes, read_json
from core.options import UsageError
from core.paths import exists, is_folder
from core.recording import RunFolder
from core.training import LARGEST_LOSS
from datasets import CATALOGUE

# Settings whose value is a name by itself.
SELF_EXPLAINING = ("algorithm", "dataset")
# {name in main.py: name in run.py} of columns of the series, entries of DONE and settings.
COMPARABLE = {
    "acc_train": "training_acc", "loss_train": "training_loss", "acc_test": "test_acc", "loss_test": "test_loss",
    "random_seed": "seed",
}  # fmt: skip
# Settings that together determine the learning rule of main.py.
SWITCHES = ("network_type", "ndi", "grad_deltav_cont")


class NothingMeasured(FileError):
    """Says that a run has not reached the epoch that was asked for; its folder is undamaged."""


@dataclass(frozen=True)
class Run:
    """Holds one run folder.

    path      the folder
    settings  {option: value} of everything that the numbers depend on; main.py's with the rule's name as "algorithm"
    options   {option: value} of all options
    outcome   the content of DONE, a dict; None while the run is unfinished
    program   "run.py" or "main.py", whose names are replaced by those of run.py (COMPARABLE)
    """

    path: Path
    settings: dict
    options: dict
    outcome: dict | None
    program: str = "run.py"

    @property
    def state(self):
        """Returns the state of the run in words, such as "finished" or "diverged in epoch 3"."""
        if self.outcome is None:
            return "unfinished"
        kind = self.outcome["outcome"]
        return kind if kind == "finished" else f"{kind} in epoch {self.outcome['epoch']}"

    @property
    def failed(self):
        """Returns whether the run ended without finishing."""
        return self.state not in ("finished", "unfinished")


@dataclass(frozen=True)
class Curve:
    """Holds the mean over the seeds of one setting.

    name   a name that distinguishes it from the other curves
    seeds  number of runs in the mean
    x      epochs (n,) that all of them have reached, increasing
    mean   {column: array like x}
    std    {column: array like x}, the sample standard deviation; None for one seed
    """

    name: str
    seeds: int
    x: np.ndarray
    mean: dict
    std: dict | None


def read_runs(folders):
    """Reads the Runs of several folders, each folder once even if given under two names.  Raises FileError."""
    unique = {Path(folder).resolve(): folder for folder in reversed(folders)}
    return [read_run(folder) for folder in reversed(unique.values())]


def read_run(folder):
    """Returns the Run in a folder, without its series.

    Raises  FileError if it is no run folder or a file of it is damaged
    """
    path = Path(folder)
    if not is_folder(path):
        raise FileError(f"{folder} is not a run folder: it is " + ("a file" if exists(path) else "not there"))
    if not exists(path / "config.json"):
        raise FileError(f"{folder} is not a run folder: it has no config.json")
    config = read_json(path / "config.json", settings=dict, options=dict)
    settings = config["settings"]
    if SWITCHES[0] not in settings:
        return Run(path, settings, config["options"], RunFolder(path, settings).outcome)
    outcome = RunFolder(path, settings, measures=()).outcome
    own = {"algorithm": _rule(settings)} | {name: value for name, value in settings.items() if name not in SWITCHES}
    return Run(path, _renamed(own), config["options"], outcome and _renamed(outcome), "main.py")


def _renamed(named):
    return {COMPARABLE.get(name, name): value for name, value in named.items()}


def _rule(settings):
    """Returns the name of the learning rule that settings of main.py stand for."""
    kind, ndi, continuous = (settings.get(name) for name in SWITCHES)
    return kind if kind != "DFC" else "DFC-SSA" if ndi else "DFC" if continuous else "DFC-SS"


def read_series(run, columns):
    """Returns the numbers of metrics.csv.

    columns  names that must be there, in addition to epoch and batch
    Returns  {column: float array (rows,)} of all columns, and "x": epochs, fractions of one included
    Raises   NothingMeasured if the run has not measured them, FileError if the file is missing, empty or damaged
    """
    path = run.path / "metrics.csv"
    header, rows = _read_table(run, path)
    missing = [name for name in ("epoch", "batch", *columns) if name not in header]
    if missing and run.program == "main.py":
        raise NothingMeasured(f"{run.path} has no {missing[0]}, as {run.settings.get('dataset')} is no classification")
    if missing:
        raise FileError(f"{path} is damaged: it has no column {missing[0]}")
    values = np.array([_numbers(path, line, row, len(header)) for line, row in enumerate(rows, 2)])
    series = dict(zip(header, values.T, strict=True))
    series["x"] = series["epoch"] + (series["batch"] / _batches(run) if series["batch"].any() else 0.0)
    if not (np.diff(series["x"]) > 0).all():
        raise FileError(f"{path} is damaged: its epochs do not increase from row to row")
    return series


def _read_table(run, path):
    """Returns (header, rows) of a run's metrics.csv, lists of text, with the names of run.py.

    There is at least one row.
    """
    never = run.outcome is None or run.state != "finished" or not run.outcome["epochs"]
    try:
        header, *rows = csv.reader(io.StringIO(read_bytes(path).decode()))
    except FileNotFoundError:
        kind = NothingMeasured if never else FileError
        raise kind(f"{run.path} has no metrics.csv: nothing has been measured yet") from None
    except OSError as error:
        raise FileError(f"cannot read {path}: {error.strerror}") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise FileError(f"{path} is damaged ({error})") from None
    except ValueError:
        # There is not even a header to unpack.
        raise FileError(f"{path} is empty") from None
    if not rows:
        raise (NothingMeasured if never else FileError)(f"{path} is empty: it has a header and no rows")
    return [COMPARABLE.get(name, name) for name in header] if run.program == "main.py" else header, rows


def drawable(runs, columns, start=0.0):
    """Returns (the runs that have measured these columns, at least one, and sentences about the others).

    columns  function of a Run -> names of columns in metrics.csv
    start    epoch that they must have reached
    Raises   FileError, NothingMeasured if no run is left
    """
    kept, left_out = [], []
    for run in runs:
        try:
            reached = _while_finite(run, read_series(run, columns(run)))["x"][-1]
            if not reached >= start:
                raise NothingMeasured(f"{run.path} has nothing to draw from epoch {start:g} on")
            kept.append(run)
        except NothingMeasured as reason:
            left_out.append(reason)
    if not kept:
        raise left_out[0]
    return kept, [f"{reason}; left out" for reason in left_out]


def _numbers(path, line, row, width):
    try:
        if len(row) == width:
            return [float(value) for value in row]
    except ValueError:
        pass
    raise FileError(f"{path} is damaged: line {line} is not {width} numbers")


def _batches(run):
    """Returns the number of batches per epoch."""
    try:
        count = run.options["train_samples"] or CATALOGUE[run.settings["dataset"]].train_images.shape[0]
        return -(-count // run.options["batch_size"])
    except (KeyError, TypeError, ZeroDivisionError):
        raise FileError(f"{run.path / 'config.json'} is damaged: train_samples or batch_size is no number") from None


def group_by_setting(runs):
    """Returns lists of runs that differ only in the seed, in the order of their first runs.

    Seeds increase within a list.
    Raises  UsageError if two folders are of the same setting and seed: such a pair says nothing about the spread
    """
    groups = {}
    for run in runs:
        seeds = groups.setdefault(json.dumps(_without_seed(run), sort_keys=True), {})
        other = seeds.setdefault(run.settings.get("seed"), run)
        if other is not run:
            raise UsageError(f"{other.path} and {run.path} are the same setting and seed: give one of them only")
    return [[seeds[seed] for seed in sorted(seeds, key=lambda seed: seed or 0)] for seeds in groups.values()]


def names(groups):
    """Returns one name per group, made of the settings in which they differ; a single group has the rule's."""
    settings = [_without_seed(group[0]) for group in groups]
    keys = dict.fromkeys(key for each in settings for key in each)
    # A setting that only some have, as an option of their rule, distinguishes them only if its values differ.
    differing = [key for key in keys if len({json.dumps(each[key]) for each in settings if key in each}) > 1]
    found = [", ".join(_phrase(key, each[key]) for key in differing if key in each) for each in settings]
    found = [name or str(each.get("algorithm", "run")) for name, each in zip(found, settings, strict=True)]
    return [
        name if found.count(name) == 1 else f"{name}, {group[0].path.name}"
        for name, group in zip(found, groups, strict=True)
    ]


def common_setting(runs, key):
    """Returns the value of a setting in which all runs agree, as text; "" if they do not."""
    values = {str(run.settings.get(key, "")) for run in runs}
    return values.pop() if len(values) == 1 else ""


def _without_seed(run):
    return {key: value for key, value in run.settings.items() if key != "seed"}


def _phrase(key, value):
    if key in SELF_EXPLAINING:
        return str(value)
    if isinstance(value, bool):
        return key if value else f"not {key}"
    return f"{key} {value:.15g}" if isinstance(value, float) else f"{key} {value}"


def load_curves(runs, columns, start=0.0):
    """Returns the curves of any set of runs; those that differ only in the seed are averaged.

    runs     list of Run
    columns  names of columns in metrics.csv
    start    epoch at which the curves begin
    Returns  (list of Curve, list of sentences on runs that are left out)
    Raises   FileError, UsageError
    """
    curves, notes = [], []
    groups = group_by_setting(runs)
    for group, name in zip(groups, names(groups), strict=True):
        used = [run for run in group if not run.failed] or group
        left_out = [run for run in group if run not in used]
        notes += [f"{run.path} {run.state} and is not in the mean of its seeds" for run in left_out]
        series = [_while_finite(run, read_series(run, columns)) for run in used]
        x = functools.reduce(np.intersect1d, [each["x"][each["x"] >= start] for each in series])
        if not len(x):
            raise UsageError(f"{used[0].path} has nothing to draw from epoch {start:g} on")
        if any(each["x"][-1] > x[-1] for each in series):
            notes.append(f"the curve of {name} ends at epoch {x[-1]:g}, which its {len(used)} seeds have all reached")
        values = {column: np.array([each[column][np.isin(each["x"], x)] for each in series]) for column in columns}
        mean = {column: rows.mean(axis=0) for column, rows in values.items()}
        std = {column: rows.std(axis=0, ddof=1) for column, rows in values.items()} if len(used) > 1 else None
        curves.append(Curve(_with_count(name, used, left_out), len(used), x, mean, std))
    return curves, notes


def _with_count(name, used, left_out):
    """Returns the name of a curve with the number of seeds, and how many failed."""
    remarks = []
    if len(used) > 1 or left_out:
        remarks.append(f"{len(used)} seed{'s' * (len(used) > 1)}")
    if used[0].failed:
        remarks.append("all failed" if len(used) > 1 else used[0].state)
    if left_out:
        remarks.append(f"{len(left_out)} more failed")
    return f"{name} ({', '.join(remarks)})" if remarks else name


def _while_finite(run, series):
    """Returns the series up to where the numbers blew up; later ones would flatten the rest of a picture."""
    good = np.ones(len(series["x"]), dtype=bool)
    for name, values in series.items():
        good &= np.isfinite(values) & (values < LARGEST_LOSS if name.endswith("_loss") else True)
    if not good.any():
        raise NothingMeasured(f"{run.path / 'metrics.csv'} has no row of finite numbers")
    return {name: values[good] for name, values in series.items()}
