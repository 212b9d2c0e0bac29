"""Computes the content of a report's page, as plain values for its template report.html.j2."""

import shlex
from collections import Counter
from pathlib import Path

from core.options import UsageError
from tables import pictures
from tables.comparison import PROVENANCE
from tables.published import QUANTITIES
from tables.tidy import COLUMNS, row_of, runs_text

TEMPLATE = Path(__file__).with_name("report.html.j2")
TITLES = {
    "dfc": "Deep Feedback Control, Table 1",
    "gait": "GAIT-prop: rules, networks, data sets",
    "strong_dfc": "Strong-DFC",
}
# {state of a row: (sign, words)}; the signs differ in shape, not in colour alone.
STATES = {
    "complete": ("●", "complete"),
    "partial": ("◐", "not all runs"),
    "short": ("◔", "shortened"),
    "running": ("▶", "running"),
    "failed": ("✕", "failed"),
    "missing": ("○", "not run"),
    "refused": ("⚠", "command refused"),
    "none": ("–", "no command yet"),
}
MINUS = "\N{MINUS SIGN}"
# Marks an interval of our mean alone, where the published spread is not known.
OURS_ALONE = " †"
# Columns of the table of all runs: column of the tidy table, heading, decimals.
RUN_COLUMNS = (
    ("run", "run", None), ("rule", "rule", None), ("dataset", "data", None), ("seed", "seed", 0),
    ("precision", "precision", None), ("outcome", "state", None), ("epochs", "epochs", 0),
    ("test_acc", "test accuracy", 4), ("test_loss", "test loss", 4), ("seconds_per_epoch", "s/epoch", 2),
    ("seconds", "seconds", 0),
)  # fmt: skip


def number(value, digits):
    """Returns a number as text with so many decimals and a true minus sign; a dash for None."""
    return "–" if value is None else f"{value:.{digits}f}".replace("-", MINUS)


def measure(value, digits, std=None):
    """Returns a mean as text, with its standard deviation if there is one.

    Small numbers are written by their significant digits.
    """
    if value is None:
        return "–"
    if digits > 2:
        return f"{value:.3g}" + (f" ± {std:.2g}" if std is not None else "")
    return number(value, digits) + (f" ± {number(std, digits)}" if std is not None else "")


def render(context):
    """Returns the page as text.  Raises UsageError if jinja2 is missing."""
    try:
        from jinja2 import Environment, StrictUndefined
    except ImportError as error:
        raise UsageError(f"the report needs jinja2: pip install jinja2 ({error})") from None
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.globals |= {"number": number, "states": STATES}
    return environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(context)


def context_of(rows, records, notes, command):
    """Returns the values for the template.

    rows     tables.comparison.Row of every cell, in the order of the published tables
    records  all tables.record.Record
    notes    sentences on what was left out
    command  function (Row) -> words of the command that makes or completes it
    """
    tables = {}
    for row in rows:
        tables.setdefault(row.cell.table, []).append(row)
    shown = [table_of(name, found, command) for name, found in tables.items()]
    figures = [figure for table in shown for figure in table["figures"]]
    angles = angles_of(records)
    return {
        "counts": Counter(row.state for row in _first(rows)),
        "cells": len(_first(rows)),
        "runs": Counter("failed" if record.failed else record.state for record in records),
        "tables": shown,
        "has_figures": bool(figures),
        "angles": angles,
        "failures": [failure_of(record) for record in records if record.failed or _gave_up(record)],
        "notes": notes,
        "costs": costs_of(records),
        "provenance": provenance_of(records),
        "provenance_columns": (*PROVENANCE, "python", "device"),
        "run_columns": [(heading, digits is not None) for _, heading, digits in RUN_COLUMNS],
        "all_runs": [run_of(record) for record in records],
        "runs_csv": runs_text(records) if records else ",".join(COLUMNS) + "\n",
    }


def _first(rows):
    """Returns the first row of each cell."""
    return list({id(row.cell): row for row in reversed(rows)}.values())


def table_of(name, rows, command):
    """Returns the values of one published table: a map of its cells, its rows and its curves."""
    tasks, methods = (list(dict.fromkeys(getattr(row.cell, part) for row in rows)) for part in ("task", "method"))
    first = {(row.cell.task, row.cell.method): row for row in reversed(rows)}
    lines = [line_of(row, f"{name}-{place}", command) for place, row in enumerate(rows)]
    anchors = {id(row): line["id"] for row, line in zip(rows, lines, strict=True)}
    grid = [(task, [_mark(first.get((task, method)), anchors) for method in methods]) for task in tasks]
    figures = [figure for place, task in enumerate(tasks) if (figure := figure_of(task, rows, f"{name}-f{place}"))]
    title = TITLES.get(name, name)
    waiting = [row for row in rows if not row.records]
    hours = sum(row.cell.seconds * row.cell.epochs * row.cell.n for row in waiting if row.state == "missing") / 3600
    return {"id": name, "title": title, "methods": methods, "grid": grid, "lines": lines, "figures": figures,
            "source": rows[0].cell.source, "waiting": len(waiting), "hours": round(hours)}  # fmt: skip


def _mark(row, anchors):
    """Returns (id of the row, its state, text of the mark) of a place on the map; None without a cell."""
    return row and (anchors[id(row)], row.state, f"{row.cell.method}, {row.cell.task}: {STATES[row.state][1]}")


def line_of(row, anchor, command):
    """Returns one row of a table as text and numbers."""
    cell, digits = row.cell, QUANTITIES[row.cell.quantity].digits
    return {
        "id": anchor,
        "row": row,
        "digits": digits,
        "quantity": cell.quantity,
        "published": measure(cell.mean, digits, cell.std),
        "ours": measure(row.mean, digits, row.std),
        "difference": _signed(row.difference, digits),
        "interval": _interval(row.interval, digits) or _interval(row.own_interval, digits, OURS_ALONE),
        "plot": interval_plot(row) if row.interval else None,
        "state": STATES[row.state],
        "remarks": remarks_of(row),
        "command": shlex.join(command(row)) if cell.command else "",
    }


def _signed(value, digits):
    text = "–" if value is None else f"{value:+.{digits}f}" if digits <= 2 else f"{value:+.2g}"
    return text.replace("-", MINUS)


def _interval(interval, digits, mark=""):
    return interval and f"[{_signed(interval[0], digits)}, {_signed(interval[1], digits)}]{mark}"


def remarks_of(row):
    """Returns short sentences that a reader of a row needs in addition to its numbers."""
    cell, found = row.cell, []
    if row.records:
        found.append(f"{row.n} of {cell.n} runs" + (f" in {row.precision}" if row.precision else ""))
    if row.n and row.epochs != cell.epochs:
        found.append(f"{'shortened' if row.epochs < cell.epochs else 'longer'}: {row.epochs} of {cell.epochs} epochs")
    if row.samples:
        found.append(f"shortened: {row.samples} training samples")
    under_way = [record for record in row.records if record.outcome is None]
    found += [f"seed {record.seed} {record.state}, epoch {record.epochs} of {cell.epochs}" for record in under_way]
    found += [f"seed {record.seed} {record.state} in epoch {record.outcome.get('epoch')}" for record in row.failed]
    if row.mixed:
        found.append(row.mixed)
    if cell.mean is None and row.n:
        found.append("the published number is in none of our sources")
    return [*found, *filter(None, [row.problem])]


def interval_plot(row):
    """Returns places in [0, 100] for a small picture of the difference.

    They are those of zero, of one published standard deviation, of the difference and of its interval.
    """
    low, high = row.interval
    std = row.cell.std or 0.0
    reach = 1.1 * max(abs(low), abs(high), std) or 1.0
    place = {"std": std, "low": low, "high": high, "at": row.difference}
    return {name: round(50 + 50 * value / reach, 2) for name, value in place.items()}


def figure_of(task, rows, prefix):
    """Returns the learning curves of a task's methods; None if no run has two epochs."""
    bands, quantity = {}, None
    for row in rows:
        kind = QUANTITIES[row.cell.quantity]
        under_way = [record for record in row.records if not record.failed]
        good = [record for record in row.used or under_way if kind.curve in record.series]
        if row.cell.task != task or not good:
            continue
        series = [
            (record.series["epoch"], [kind.convert(value) for value in record.series[kind.curve]]) for record in good
        ]
        found = pictures.band(_after_start(series))
        quantity = quantity or row.cell.quantity.partition(",")[0]
        if found and len(found[0]) > 1 and quantity == row.cell.quantity.partition(",")[0]:
            bands[_named(row, bands)] = found
    return picture(task, bands, "epoch", quantity, prefix) if bands else None


def _after_start(series):
    """Drops the numbers before training, which lie far from all others."""
    started = [[(x, y) for x, y in zip(*each, strict=True) if x > 0] for each in series]
    return [([x for x, _ in points], [y for _, y in points]) for points in started]


def _named(row, taken):
    name = row.cell.method + (f", {row.samples} samples" if row.samples else "")
    return f"{name}, {row.precision}" if name in taken else name


def picture(title, bands, xlabel, ylabel, prefix):
    """Returns a picture with its caption and the sentence that describes it."""
    digits = 2 if "%" in ylabel or "degree" in ylabel else 6
    ends = "; ".join(
        f"{name} {measure(float(mean[-1]), digits)} at {xlabel} {x[-1]:g}" for name, (x, mean, _, _) in bands.items()
    )
    svg = pictures.curves(bands, xlabel, ylabel, prefix)
    return {"id": prefix, "title": title, "svg": svg, "told": f"{ylabel[:1].upper()}{ylabel[1:]} by {xlabel}. {ends}."}


def angles_of(records):
    """Returns pictures of the angles between updates, by data set and quantity, if runs have measured them."""
    found = {}
    for record in records:
        if "bp_angle" in record.series:
            series = _after_start([(record.series["epoch"], record.series["bp_angle"])])[0]
            found.setdefault((record.dataset, "bp", "epoch"), {}).setdefault(record.rule, []).append(series)
        for name, (_, steps, rows) in record.frames.items():
            if name.endswith("_angles_network"):
                key = (record.dataset, name.removesuffix("_angles_network"), "logged batch")
                found.setdefault(key, {}).setdefault(record.rule, []).append((steps, [row[0] for row in rows]))
    shown = []
    for place, ((dataset, name, xlabel), by_rule) in enumerate(sorted(found.items())):
        bands = {rule: result for rule, series in by_rule.items() if (result := pictures.band(series))}
        if bands:
            other = {"bp": "backpropagation's", "gnt": "the minimum-norm update", "ndi": "DFC-SSA's"}.get(name, name)
            shown.append(picture(f"{dataset}, angle with {other}", bands, xlabel, "degrees", f"angle-{place}"))
    return shown


def _gave_up(record):
    """Returns whether an unfinished run's log ends with the sentence of an error."""
    last = record.tail.rpartition("\n")[2]
    who = f"{record.program}: "
    return record.state == "unfinished" and last.startswith(who) and f"{who}note: " not in last


def failure_of(record):
    """Returns the values of a run that failed: when, why, and the end of its log."""
    outcome = record.outcome or {}
    when = (
        f"{record.state} in epoch {outcome['epoch']}" if "epoch" in outcome else f"stopped after epoch {record.epochs}"
    )
    return {"name": record.name, "rule": record.rule, "dataset": record.dataset, "seed": record.seed, "when": when,
            "reason": outcome.get("reason", ""), "tail": record.tail}  # fmt: skip


def costs_of(records):
    """Returns times and memory by program, rule, data and precision.

    Each row is (names, number of runs, least, median and most seconds per epoch, hours, MB).
    """
    groups = {}
    for record in records:
        row = row_of(record)
        groups.setdefault((record.program, record.rule, record.dataset, record.precision), []).append(row)
    found = []
    for names, rows in groups.items():
        each = sorted(row["seconds_per_epoch"] for row in rows if row["seconds_per_epoch"] is not None)
        memory = [row["peak_memory_mb"] for row in rows if row["peak_memory_mb"] is not None]
        hours = sum(row["seconds"] or 0 for row in rows) / 3600
        spread = (each[0], each[len(each) // 2], each[-1]) if each else (None, None, None)
        found.append((names, len(rows), *spread, hours, max(memory, default=None)))
    return found


def provenance_of(records):
    """Returns [((versions, processor, …), number of runs)], the most frequent first."""
    found = Counter()
    for record in records:
        config = record.config
        told = [part(config) for part in PROVENANCE.values()]
        found[(*map(str, told), (config.get("versions") or {}).get("python", ""), str(config.get("device", "")))] += 1
    return found.most_common()


def run_of(record):
    """Returns [(value, text)] of a run, one pair per column of RUN_COLUMNS."""
    row = row_of(record)
    return [
        (row[name], number(row[name], digits) if digits is not None else row[name]) for name, _, digits in RUN_COLUMNS
    ]
