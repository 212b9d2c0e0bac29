"""Makes tidy tables of runs as CSV: one with one row per run, one with one row per number of the series."""

import csv
import io
import json
import math

PARTS, MEASURES = ("train", "val", "test"), ("acc", "loss")
FINAL = tuple(f"{part}_{measure}" for measure in MEASURES for part in PARTS)
BEST = tuple(f"{part}_{measure}_val_best" for measure in MEASURES for part in PARTS)
COLUMNS = (
    "run", "program", "rule", "dataset", "seed", "outcome", "epochs", "epochs_asked", "precision", *FINAL, *BEST,
    "epoch_acc_val_best", "epoch_loss_val_best", "seconds", "seconds_per_epoch", "peak_memory_mb", "threads",
    "device", "machine", "cpu", "blas", "host", "python", "numpy", "cupy", "commit", "started",
)  # fmt: skip
SERIES_COLUMNS = ("run", "seed", "epoch", "batch", "quantity", "value")
NOT_MEASURED = ("epoch", "batch")


def row_of(record):
    """Returns {column of COLUMNS: text, number or None} of a Record, and its options as option_<name>."""
    config, versions = record.config, record.config.get("versions") or {}
    row = {
        "run": record.name,
        "program": record.program,
        "rule": record.rule,
        "dataset": record.dataset,
        "seed": record.seed,
        "outcome": record.state,
        "epochs": record.epochs,
        "epochs_asked": record.epochs_asked,
        "precision": record.precision,
        "seconds": seconds(record),
        "seconds_per_epoch": seconds_per_epoch(record),
        "peak_memory_mb": (record.outcome or {}).get("peak_memory_mb"),
        "commit": config.get("git_commit"),
        "started": config.get("time"),
    }
    row |= {name: config.get(name) for name in ("threads", "device", "machine", "cpu", "blas", "host")}
    row |= {name: versions.get(name) for name in ("python", "numpy", "cupy")}
    row |= {name: final(record, name) for name in FINAL} | best(record)
    return row | {f"option_{name}": value for name, value in record.options.items()}


def final(record, name):
    """Returns the last number of a column, or that of the saved weights if the outcome has it; else None."""
    told = (record.outcome or {}).get(name)
    values = record.series.get(name) or [None]
    return told if isinstance(told, (int, float)) else values[-1]


def best(record):
    """Returns {column: number} at the epochs of the best validation accuracy and of the lowest loss."""
    found = {}
    for measure, pick in (("acc", max), ("loss", min)):
        values = [value for value in record.series.get(f"val_{measure}", ()) if value == value]
        if not values:
            continue
        place = record.series[f"val_{measure}"].index(pick(values))
        found[f"epoch_{measure}_val_best"] = int(record.series["epoch"][place])
        for part in PARTS:
            if f"{part}_{measure}" in record.series:
                found[f"{part}_{measure}_val_best"] = record.series[f"{part}_{measure}"][place]
    return found


def seconds(record):
    """Returns the seconds of training so far; None if nothing has been measured."""
    told = (record.outcome or {}).get("seconds")
    return told if isinstance(told, (int, float)) else (record.series.get("seconds") or [None])[-1]


def seconds_per_epoch(record):
    """Returns the mean seconds per epoch, from the first evaluation to the last; None if unknown."""
    epochs, times = record.epochs_of_rows, record.series.get("seconds", ())
    if len(times) != len(epochs) or not times:
        return None
    if epochs[-1] > epochs[0]:
        return (times[-1] - times[0]) / (epochs[-1] - epochs[0])
    return times[0] / epochs[0] if epochs[0] else None


def runs_text(records):
    """Returns the table of runs as CSV: COLUMNS, then all options that any of them has."""
    rows = [row_of(record) for record in records]
    options = dict.fromkeys(name for row in rows for name in row if name not in COLUMNS)
    return csv_text([*COLUMNS, *options], rows)


def series_text(records):
    """Returns the long table of measurements as CSV, with the columns SERIES_COLUMNS.

    The angles of main.py have one row per logged batch and layer.
    """
    return csv_text(SERIES_COLUMNS, (row for record in records for row in _measured(record)))


def _measured(record):
    series = record.series
    for place, (epoch, batch) in enumerate(zip(series.get("epoch", ()), series.get("batch", ()), strict=False)):
        at = {"run": record.name, "seed": record.seed, "epoch": int(epoch), "batch": int(batch)}
        measured = [name for name in series if name not in NOT_MEASURED]
        yield from (at | {"quantity": name, "value": series[name][place]} for name in measured)
    for name, (layers, steps, rows) in record.frames.items():
        for step, row in zip(steps, rows, strict=True):
            at = {"run": record.name, "seed": record.seed, "batch": step}
            yield from (
                at | {"quantity": f"{name}_{layer}", "value": value} for layer, value in zip(layers, row, strict=True)
            )


def csv_text(columns, rows):
    """Returns rows, {column: text, number, …}, as CSV: empty for None, NaN and infinities."""
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(columns)
    lines.writerows([_cell(row.get(column)) for column in columns] for row in rows)
    return text.getvalue()


def _cell(value):
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return ""
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, (list, dict)):
        return json.dumps(value)
    return " ".join(value.split()) if isinstance(value, str) else str(value)
