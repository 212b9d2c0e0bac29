"""Draws one page, report.html, of the published numbers and those of runs; it opens without a network.

Per published table it shows every cell with the published number, ours, their difference with Welch's 95 %
interval, and the command that makes or completes it; then learning curves, angles, times and versions. It only
reads.
"""

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent))
    from core.signals import start

    start()

import campaign
from core.files import FileError, write_text
from core.options import Parser, as_output, as_path
from core.program import complain, run_program
from core.recording import prepare_outputs
from figures.drawing import tell
from tables import published
from tables.comparison import rows_of
from tables.markdown import markdown
from tables.page import context_of, render
from tables.records import find

PROG = "report.py"
EPILOG = "make report reads all runs in results/, logs/ and docs/results/runs."


def rows(cells, records):
    """Returns the tables.comparison.Rows of the cells, together with the runs that belong to them."""
    found = []
    for cell in cells:
        try:
            jobs, problem = campaign.jobs_of(cell, campaign.Selection(nb_seeds=1)), ""
        except FileError as refused:
            jobs, problem = [], str(refused)
        found += rows_of(cell, jobs, records, problem)
    return found


def command(row):
    """Returns the words of the command that makes or completes a Row, for the suite's folder."""
    precision = row.precision or campaign.Selection.precision
    return campaign.words_of(row.cell, campaign.Selection(precision=precision))


def main(argv=None):
    """Runs one command line; returns the exit status, 0 or 2 for a mistake."""
    parser = Parser(prog=PROG, description=__doc__, epilog=EPILOG)
    told = "run folders, folders with run folders at any depth, archives of tidy.py"
    parser.add_argument("runs", nargs="*", type=as_path, metavar="RUNS", help=told)
    told = "page to write; default report.html"
    parser.add_argument("--output", type=as_output, default="report.html", metavar="FILE", help=told)
    told = "file for the cells as tables of Markdown"
    parser.add_argument("--markdown", type=as_output, metavar="FILE", help=told)
    where = "published cells; default docs/published/tables.csv"
    parser.add_argument("--cells", type=as_path, default=published.PATH, metavar="FILE", help=where)
    options = parser.parse_args(argv)

    def run():
        prepare_outputs(options.output, options.markdown, inputs=[options.cells, *options.runs])
        cells = published.read_cells(options.cells)
        records, notes = find(options.runs)
        records = sorted(records, key=lambda record: (record.program, record.dataset, record.rule, record.name))
        found = rows(cells, records)
        write_text(options.output, render(context_of(found, records, notes, command)))
        if options.markdown:
            write_text(options.markdown, markdown(found, command))
        for note in notes:
            complain(f"note: {note}")
        tell(filter(None, [options.output, options.markdown]))
        return 0

    return run_program(PROG, run, "interrupted")


if __name__ == "__main__":
    sys.exit(main())
