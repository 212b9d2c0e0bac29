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
from pathlib import Path

from core.files import FileError, read_bytes
from core.paths import exists, is_folder
from core.recording import LOCK, LOG, MARKS
from sweeps.listing import in_use
from tables.record import Record

ENDING = ".tar.gz"
# These files of a run are read, in a folder or in an archive.
FILES = ("config.json", "DONE", "metrics.csv", "results.json")
# A folder with one of these holds a run, even if its config.json is lost; sweeps lock their folders, too.
RUN_MARKS = {*MARKS} - {LOCK}
# Tables of main.py.
ANGLES = re.compile(r"\w+_angles(_network)?\.csv")
# Number of last lines of a log that are kept.
TAIL = 12


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

    seen = set()
    for place, inner, files in os.walk(top, onerror=note, followlinks=True):
        # Each folder is read once, also where links lead to it, and by its own name if it lies below `top`, too.
        inner.sort(key=lambda name: (os.path.islink(os.path.join(place, name)), name))
        if os.path.realpath(place) in seen:
            inner.clear()
            continue
        seen.add(os.path.realpath(place))
        if "config.json" not in files and not RUN_MARKS.isdisjoint(files):
            notes.append(f"left out: {place} has no config.json")
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
    series = _series(name, files)
    _check_end(name, config["options"], outcome, series)
    return Record(name, config, outcome, series, _frames(files), tail, running and not outcome, files)


def _check_end(name, options, outcome, series):
    """Raises FileError if the series of a finished run ends before the run did: its last lines were lost."""
    if outcome and outcome["outcome"] == "finished" and not options.get("eval_interval"):
        epochs, last = outcome.get("epochs"), (series.get("epoch") or [0])[-1]
        if isinstance(epochs, int) and last != epochs:
            raise FileError(f"{name}/metrics.csv is damaged or gone: it ends with epoch {last:g} of {epochs}")


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
