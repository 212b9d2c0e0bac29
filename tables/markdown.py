"""Writes the published cells and our runs as tables of Markdown, for a page of docs/."""

from tables.page import TITLES, line_of

HEADER = """\
# Published cells and our runs

Written by `python report.py RUNS --markdown FILE`. Published and ours: mean ± sample standard deviation over n runs;
small numbers by their significant digits. Difference: ours minus published where the runs are as long as the published
ones, with Welch's 95 % interval; † where no published spread is known: the interval of our mean alone; ≠ where Welch's
interval excludes zero or the difference exceeds one published standard deviation. The command makes or completes \
a cell.
"""
HEADINGS = ("task", "method", "published", "ours", "n", "difference, 95 % interval", "epochs", "state", "command")
ALIGNMENT = "|---|---|---:|---:|---:|---|---:|---|---|"


def markdown(rows, command):
    """Returns the text: one table per published table, one line per row of it.

    rows     tables.comparison.Row of every cell, in the order of the published tables
    command  function (Row) -> words of the command that makes or completes it
    """
    tables = {}
    for row in rows:
        tables.setdefault(row.cell.table, []).append(line_of(row, "", command))
    return "\n".join(
        [HEADER, *(part for name, lines in tables.items() for part in _table(TITLES.get(name, name), lines))]
    )


def _table(title, lines):
    source = lines[0]["row"].cell.source
    table = [f"| {' | '.join(HEADINGS)} |", ALIGNMENT, *map(_line, lines)]
    return [f"## {title}", "", f"Source: {source}.", "", *table, ""]


def _line(line):
    row = line["row"]
    cell, quantity = row.cell, line["quantity"]
    difference = " ".join(filter(None, ("≠" if row.apart else "", line["difference"], line["interval"])))
    state = "; ".join((line["state"][1], *line["remarks"]))
    command = f"`{line['command']}`" if line["command"] else "–"
    told = (f"{cell.task}: {quantity}", cell.method, line["published"], line["ours"], row.n, difference,
            f"{row.epochs} of {cell.epochs}", state, command)  # fmt: skip
    return "| " + " | ".join(str(part).replace("|", "\\|") for part in told) + " |"
