"""Reads run folders of both systems, or archives of them, into one vocabulary; nothing is written.

Columns acc_train of main.py and training_acc of run.py are train_acc here, and so on for train, val, test and
acc, loss.
"""

import contextlib
import csv
import io
import json
import math
import os
import re
import tarfile
import zlib
from dataclasses import dataclass
from pathlib import Path

from core.files import FileError, read_bytes
from core.paths import exists, is_folder
from core.recording import LOG
from datasets.catalogue import DATA_SETS
from sweeps.listing import in_use

ENDING = ".tar.gz"
# These files of a run are read, in a folder or in an archive.
FILES = ("config.json", "DONE", "metrics.csv", "results.json")
# Tables of main.py.
ANGLES = re.compile(r"\w+_angles(_network)?\.csv")
# Number of last lines of a log that are kept.
TAIL = 12
DATASETS = {row.flag: row.name for row in DATA_SETS} | {row.autoencoder: f"{row.name} autoencoder" for row in DATA_SETS}


@dataclass(frozen=True)
class Record:
    """Holds one run, as its folder describes it.

    name      its folder, as it was given or found
    config    the content of config.json, a dict
    outcome   the content of DONE in the common vocabulary, a dict; None while the run is unfinished
    series    {column in the common vocabulary: list of floats}, NaN where there is no number; {} before the first
              evaluation
    frames    {name: (layers, steps, rows of floats)} of tables of angles
    tail      last lines of the log, a str
    running   whether a process has the folder open
    files     {name: bytes} of FILES and tables of angles
    """

    name: str
    config: dict
    outcome: dict | None
    series: dict
    frames: dict
    tail: str
    running: bool
    files: dict

    @property
    def options(self):
        """Returns {option: value} of the command line."""
        return self.config["options"]

    @property
    def settings(self):
        """Returns {option: value} of everything that the numbers depend on."""
        return self.config["settings"]

    @property
    def program(self):
        """Returns the script that made the run, such as run.py."""
        words = self.config.get("command") or [""]
        name = Path(str(words[0])).name
        return name if name.endswith(".py") else "run.py" if "algorithm" in self.options else "main.py"

    @property
    def rule(self):
        """Returns the name of the learning rule, as the README has it."""
        options = self.options
        if "algorithm" in options:
            return str(options["algorithm"])
        if options.get("network_type") != "DFC":
            return str(options.get("network_type", ""))
        return "DFC-SSA" if options.get("ndi") else "DFC" if options.get("grad_deltav_cont") else "DFC-SS"

    @property
    def dataset(self):
        """Returns the name of the data set, as the catalogue has it."""
        name = str(self.options.get("dataset", ""))
        return DATASETS.get(name, name)

    @property
    def seed(self):
        """Returns the seed of the run."""
        return self.options.get("seed", self.options.get("random_seed"))

    @property
    def precision(self):
        """Returns "float64" or "float32"."""
        return str(self.options.get("precision", "float32" if self.options.get("single_precision") else "float64"))

    @property
    def epochs_asked(self):
        """Returns the number of epochs that the command line asked for."""
        return self.options.get("nb_epochs", self.options.get("epochs"))

    @property
    def epochs(self):
        """Returns the number of whole epochs that have been measured."""
        if self.finished and isinstance(self.outcome.get("epochs"), int):
            return self.outcome["epochs"]
        return int(max((epoch for epoch in self.series.get("epoch", ()) if epoch == epoch), default=0))

    @property
    def finished(self):
        """Returns whether the run finished all its epochs."""
        return self.outcome is not None and self.outcome["outcome"] == "finished"

    @property
    def state(self):
        """Returns finished, running, unfinished, or how the run ended otherwise: diverged, stopped, singular."""
        return self.outcome["outcome"] if self.outcome else "running" if self.running else "unfinished"

    @property
    def failed(self):
        """Returns whether the run ended without finishing."""
        return self.state not in ("finished", "running", "unfinished")

    @property
    def identity(self):
        """Returns a text that identifies the run by its settings and seed, not by the name of its folder."""
        return json.dumps(self.settings | {"seed": self.seed}, sort_keys=True)


def find(paths):
    """Returns the Records below several paths, and one sentence for each run or path that is left out.

    paths   run folders, folders that hold run folders at any depth or archives, archives of `tables.packing`
    Raises  FileError for a path that is not there, or an archive that cannot be read
    """
    records, notes = {}, []
    for path in paths:
        nothing, told = True, len(notes)
        for name, files, running in _runs(Path(path), notes):
            nothing = False
            try:
                record = _record(name, files, running)
            except FileError as damage:
                notes.append(f"left out: {damage}")
                continue
            earlier = records.get(record.identity)
            if earlier is not None and earlier.config.get("time") != record.config.get("time"):
                notes.append(
                    f"{earlier.name} and {name} are the same setting and seed: the one with more epochs counts"
                )
            if earlier is None or (record.epochs, record.finished) > (earlier.epochs, earlier.finished):
                records[record.identity] = record
        if nothing and len(notes) == told:
            notes.append(f"{path} holds no run")
    return list(records.values()), notes


def _runs(path, notes):
    """Yields (name, {file: bytes}, whether in use) of every run in an archive, or in a folder with archives.

    A file that cannot be read is a FileError in place of its bytes; for a folder that cannot be read a note is
    added.
    """
    if path.name.endswith(ENDING):
        yield from _archived(path)
        return
    if not is_folder(path):
        raise FileError(f"{path} is " + ("neither a folder nor an archive" if exists(path) else "not there"))
    for archive in sorted(path.glob(f"*{ENDING}")):
        yield from _archived(archive)
    yield from _folders(path, notes)


def _folders(top, notes):
    """Yields the same for every run folder below `top`."""

    def note(error):
        notes.append(f"cannot read {error.filename}: {error.strerror}")

    for place, inner, files in os.walk(top, onerror=note):
        inner.sort()
        if "config.json" in files:
            inner.clear()
            yield place, {name: _bytes(Path(place, name)) for name in sorted(files) if _of_use(name)}, in_use(place)


def _of_use(name):
    return name in (*FILES, LOG) or ANGLES.fullmatch(name)


def _bytes(path):
    try:
        return read_bytes(path)
    except OSError as error:
        return FileError(f"cannot read {path}: {error.strerror}")


def _archived(path):
    """Yields the same for every run in an archive."""
    folders = {}
    try:
        with tarfile.open(path, "r:gz") as archive:
            for member in archive:
                folder, _, file = member.name.rpartition("/")
                if member.isfile() and _of_use(file):
                    folders.setdefault(folder, {})[file] = archive.extractfile(member).read()
    except (OSError, EOFError, tarfile.TarError, zlib.error) as error:
        raise FileError(f"cannot read {path}: {getattr(error, 'strerror', None) or error}") from None
    yield from ((name, files, False) for name, files in sorted(folders.items()) if "config.json" in files)


def _record(name, files, running):
    log = files.get(LOG, b"")
    files = {file: data for file, data in files.items() if file != LOG}
    for data in files.values():
        if isinstance(data, FileError):
            raise data
    config = _json(name, "config.json", files, settings=dict, options=dict)
    outcome = _json(name, "DONE", files, outcome=str) if "DONE" in files else None
    if outcome:
        outcome = {common(key): value for key, value in outcome.items()}
    if isinstance(log, FileError) or (outcome and outcome["outcome"] == "finished"):
        log = b""
    tail = "\n".join(log.decode(errors="replace").splitlines()[-TAIL:])
    return Record(name, config, outcome, _series(name, files), _frames(files), tail, running and not outcome, files)


def _json(name, file, files, **expected):
    try:
        content = json.loads(files[file])
    except (ValueError, RecursionError) as error:
        raise FileError(f"{name}/{file} is damaged ({str(error).splitlines()[0]})") from None
    for key, kind in expected.items():
        if not isinstance(content, dict) or not isinstance(content.get(key), kind):
            raise FileError(f"{name}/{file} is damaged: it has no valid {key!r}")
    return content


def common(column):
    """Returns the name of a column of either system in the common vocabulary."""
    if match := re.fullmatch(r"(acc|loss)_(train|val|test)", column):
        return f"{match[2]}_{match[1]}"
    return re.sub(r"^training_(acc|loss)$", r"train_\1", column)


def _series(name, files):
    if not files.get("metrics.csv"):
        return {}
    try:
        header, *rows = csv.reader(io.StringIO(files["metrics.csv"].decode()))
        columns = [list(column) for column in zip(*([_number(text) for text in row] for row in rows), strict=True)]
        if (rows and len(columns) != len(header)) or "epoch" not in header:
            raise ValueError("its rows and its header do not fit")
    except (ValueError, csv.Error) as error:
        raise FileError(f"{name}/metrics.csv is damaged ({error})") from None
    return {common(column): values for column, values in zip(header, columns, strict=False)}


def _number(text):
    value = float(text)
    return value if math.isfinite(value) else math.nan


def _frames(files):
    """Returns {name: (layers, steps, rows)} of the tables of angles; damaged ones are left out."""
    found = {}
    for file in filter(ANGLES.fullmatch, files):
        with contextlib.suppress(ValueError, csv.Error):
            header, *rows = csv.reader(io.StringIO(files[file].decode()))
            numbers = [[_number(text) for text in row] for row in rows]
            if numbers and all(len(row) == len(header) for row in numbers):
                steps, rows = [int(row[0]) for row in numbers], [row[1:] for row in numbers]
                found[file.removesuffix(".csv")] = header[1:], steps, rows
    return found
