"""Writes and reads the results of a pipeline of experiments: a table of statistics, and the results of each.

The files are those of docs/published/dfc.md K.3:

results.csv    one row per experiment
result_dict/   <key>_<name>.npy (arrays, numbers, lists of names) and <key>_<name>.csv (frames);
               keys.txt and names.txt, one name per line;
               is_array.npy, which says for each line of keys.txt whether its files are .npy
pipeline.json  the experiments and their flags
"""

import csv
import io
from pathlib import Path

import numpy as np

from core.files import FileError, make_folder, read_bytes, read_json, write_array, write_json, write_text
from core.paths import exists
from core.training import Schedule
from datasets.catalogue import BY_FLAG
from dfc.measures.summary import Frame

TABLE, RESULTS, RECORD = "results.csv", "result_dict", "pipeline.json"


class PipelineFolder:
    """Writes the results of a pipeline into its folder, as its experiments end.

    path        the folder
    collection  configs.Collection: the experiments' names in their order, and which results are kept
    """

    def __init__(self, path, collection):
        self.path, self.collection = Path(path), collection

    def keys(self, name):
        """Returns the names of the results that are kept for an experiment."""
        return self.collection.result_keys_DFA if name == "DFA" else self.collection.result_keys

    def begin(self, config_module, record):
        """Records the experiments and their flags in pipeline.json.  Raises FileError.

        record  {name: what `recorded` returned for the experiment}
        """
        experiments = {name: record[name] for name in self.collection.experiments}
        write_json(self.path / RECORD, {"config_module": config_module, "experiments": experiments})

    def add(self, name, summaries):
        """Writes the results of an experiment that has just ended, and the table and lists of all.

        summaries  {name: summary} of all that have ended
        Raises     FileError
        """
        write_results(self.path, name, summaries[name], self.keys(name))
        self.write(summaries)

    def write(self, summaries):
        """Writes the table and the lists, in the order of the collection.  Raises FileError."""
        collection = self.collection
        ended = {name: summaries[name] for name in collection.experiments if name in summaries}
        rows = {
            name: statistics(summary, collection.statistics_keys, self.keys(name)) for name, summary in ended.items()
        }
        write_text(self.path / TABLE, table_text(rows, collection.statistics_keys))
        write_lists(self.path, ended, dict.fromkeys([*collection.result_keys, *collection.result_keys_DFA]))


def recorded(run, settings):
    """Returns {flag: value} of an experiment for pipeline.json: those that determine its results.

    run, settings  sweeps.processes.Job and dfc.settings.Settings
    """
    measures = [flag for flag in settings.args if flag.startswith("save_") and flag != "save_logs"]
    return run.settings | {flag: settings.args[flag] for flag in ("log_interval", *measures)}


def batches_in_a_pass(flags):
    """Returns the number of batches in a pass of a `recorded` experiment; None if it is unknown."""
    about = BY_FLAG.get(flags.get("dataset"))
    if about is None:
        return None
    if about.task == "regression":
        count = None if flags["load_ST_dataset"] else flags.get("num_train")
    else:
        count = flags.get("train_samples") or about.training - (0 if flags["no_val_set"] else about.validation)
    schedule = Schedule(0, flags["batch_size"], first_batches=flags.get("first_batches") or 0)
    return count and schedule.batches(range(count))


def column_means(rows):
    """Returns the mean (m,) of each column of an array (n, m) over the entries that are not NaN, or NaN."""
    known = ~np.isnan(rows)
    with np.errstate(invalid="ignore"):
        return np.where(known, rows, 0.0).sum(axis=0) / known.sum(axis=0)


def angle_statistics(key, frame):
    """Returns {name: number} of a Frame of angles: means over all rows and over each half, and its first row.

    The means are those of all layers and of each (docs/published/dfc.md K.3). The first half is rows [0, n // 2),
    so that its mean is NaN if there is a single row. NaN entries, such as the angle with a zero update, are left
    out of all means.
    """
    middle = len(frame.values) // 2
    means = {
        f"avg_{key}": column_means(frame.values),
        f"{key}avgfirsthalf": column_means(frame.values[:middle]),
        f"{key}avgsecondhalf": column_means(frame.values[middle:]),
    }
    of_all = {name: column_means(each[:, None])[0] for name, each in means.items()}
    layers = {
        f"{name}_layer{column}": number
        for name, each in (means | {f"initial_{key}": frame.values[0]}).items()
        for column, number in zip(frame.columns, each, strict=True)
    }
    return {name: float(number) for name, number in (of_all | layers).items()}


def statistics(summary, statistics_keys, result_keys):
    """Returns {column: number}, the row of an experiment in the table, without what its summary lacks."""
    row = {key: summary[key] for key in statistics_keys if isinstance(summary.get(key), (int, float, str))}
    for key in result_keys:
        frame = summary.get(key)
        if "angles" in key and isinstance(frame, Frame) and len(frame.values):
            row |= angle_statistics(key, frame)
    return row


def table_text(rows, statistics_keys):
    """Returns the table {name: row} as CSV with all digits: the statistics in their order, then the angles.

    A row without a column has "" there.
    """
    found = dict.fromkeys(column for row in rows.values() for column in row)
    columns = [key for key in dict.fromkeys([*statistics_keys, *found]) if key in found]
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(["", *columns])
    lines.writerows([name, *(row.get(column, "") for column in columns)] for name, row in rows.items())
    return text.getvalue()


def write_results(folder, name, summary, keys):
    """Writes the results of one experiment into the folder result_dict.

    A key that its summary lacks gets no file.
    Raises  FileError
    """
    folder = make_folder(Path(folder, RESULTS))
    for key in keys:
        arrays, frames = (folder / f"{key}_{name}{ending}" for ending in (".npy", ".csv"))
        value = summary.get(key)
        if isinstance(value, Frame):
            write_text(frames, value.text())
        elif value is not None:
            write_array(arrays, np.asarray(value))
        framed = isinstance(value, Frame)
        for path, kept in ((arrays, value is not None and not framed), (frames, framed)):
            # The file is of an earlier run.
            if not kept:
                path.unlink(missing_ok=True)


def write_lists(folder, summaries, keys):
    """Writes keys.txt, names.txt and is_array.npy: the keys that any of the experiments {name: summary} has.

    Raises  FileError
    """
    folder = make_folder(Path(folder, RESULTS))
    values = {key: [summary[key] for summary in summaries.values() if key in summary] for key in keys}
    is_array = {key: not isinstance(found[0], Frame) for key, found in values.items() if found}
    write_array(folder / "is_array.npy", np.array(list(is_array.values()), dtype=bool))
    for file, lines in (("names.txt", summaries), ("keys.txt", is_array)):
        write_text(folder / file, "".join(f"{line}\n" for line in lines))


def read_results(folder):
    """Returns {key: {name: array or Frame}} of a pipeline's folder, both in the order of the pipeline.

    Missing results are left out. The file on the disk decides whether a result is an array or a Frame.
    Raises  FileError
    """
    path = Path(folder, RESULTS)
    try:
        keys, names = (read_bytes(path / file).decode().split("\n")[:-1] for file in ("keys.txt", "names.txt"))
    except (OSError, UnicodeDecodeError) as error:
        raise FileError(f"{folder} holds no results of run_pipeline.py ({_reason(error)})") from None
    found = {key: {name: _read(path / f"{key}_{name}") for name in names} for key in keys}
    return {key: {name: value for name, value in each.items() if value is not None} for key, each in found.items()}


def _read(stem):
    """Returns the array or Frame of a file without its ending; None if there is no such file."""
    for ending, read in ((".csv", lambda data: Frame.read(data.decode())), (".npy", _array)):
        path = stem.with_name(stem.name + ending)
        try:
            return read(read_bytes(path))
        except FileNotFoundError:
            continue
        except Exception as error:
            # Of damaged bytes numpy, the parser of its header and Frame each raise errors of their own.
            raise FileError(f"{path} is damaged or unreadable ({_reason(error)})") from None
    return None


def _array(data):
    return np.load(io.BytesIO(data), allow_pickle=False)


def _reason(error):
    return getattr(error, "strerror", None) or (str(error) or type(error).__name__).splitlines()[0]


def read_record(folder):
    """Returns {name: {flag: value}} of the experiments of a pipeline's folder, in their order.

    Raises  FileError
    """
    path = Path(folder, RECORD)
    if not exists(path):
        raise FileError(f"{folder} is not a folder of run_pipeline.py: it has no {RECORD}")
    experiments = read_json(path, experiments=dict)["experiments"]
    for name, flags in experiments.items():
        if not isinstance(flags, dict) or not isinstance(flags.get("log_interval"), int):
            raise FileError(f"{path} is damaged: it has no valid log_interval of {name!r}")
    return experiments
