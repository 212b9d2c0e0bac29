"""Writes and reads the series of a run: metrics.csv, and the published text files of one number per line."""

import contextlib
import csv
import io

from core.files import read_bytes, write_text

PUBLISHED_SERIES = ("training_acc", "training_loss", "test_acc", "test_loss")


def write_series(folder, series):
    """Writes metrics.csv, with one row per evaluation, and the published text files.

    folder  path of the run folder
    series  {column: list of numbers}
    """
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(series)
    rows.writerows(zip(*series.values(), strict=True))
    write_text(folder / "metrics.csv", text.getvalue())
    for name in PUBLISHED_SERIES:
        if name in series:
            write_text(folder / f"{name}.txt", "".join(f"{value!r}\n" for value in series[name]))


def read_series(folder):
    """Returns {column: numbers} of metrics.csv; {} where that cannot be read."""
    try:
        header, *rows = csv.reader(io.StringIO(read_bytes(folder / "metrics.csv").decode()))
        columns = zip(*([float(text) for text in row] for row in rows), strict=True)
        return dict(zip(header, columns, strict=False))
    except (OSError, ValueError, csv.Error):
        return {}


def published_rows(folder, name):
    """Returns the lines of a published text file; [] where it cannot be read."""
    with contextlib.suppress(OSError, ValueError):
        return read_bytes(folder / f"{name}.txt").splitlines()
    return []


def differ(known, values):
    """Returns whether two lists of numbers differ before the shorter one ends; NaN equals NaN."""
    return any(a != b and (a == a or b == b) for a, b in zip(known, values, strict=False))
