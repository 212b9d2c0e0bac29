"""Reads run folders of run.py and main.py into tidy tables, or packs their small files into an archive.

Both tables can be read in pandas, R or a spreadsheet without options: numbers are strict, and missing ones are
empty.
"""

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent))
    from core.signals import start

    start()

from core.files import is_stream, write_text
from core.options import Parser, UsageError, as_output, as_path
from core.program import complain, run_program
from core.recording import prepare_outputs
from tables.packing import pack
from tables.records import ENDING, find
from tables.tidy import runs_text, series_text

PROG = "tidy.py"
EPILOG = "All runs: python tidy.py results logs docs/results/runs.tar.gz"


def main(argv=None):
    """Runs one command line; returns the exit status, 0 or 2 for a mistake."""
    parser = Parser(prog=PROG, description=__doc__, epilog=EPILOG)
    told = "run folders, folders with run folders at any depth, archives"
    parser.add_argument("runs", nargs="+", type=as_path, metavar="RUNS", help=told)
    told = "table to write, one row per run; default runs.csv, none with --pack"
    parser.add_argument("--output", type=as_output, metavar="FILE", help=told)
    parser.add_argument(
        "--series", type=as_output, metavar="FILE", help="table to write, one row per epoch and quantity"
    )
    told = "archive to write, of the runs that ended: config.json, DONE, metrics.csv, results.json and angles"
    parser.add_argument("--pack", type=as_output, metavar=f"FILE{ENDING}", help=told)
    options = parser.parse_args(argv)

    def run():
        # An archive may be packed anew together with further runs.
        inputs = [path for path in options.runs if path != options.pack]
        output = options.output or (None if options.pack else "runs.csv")
        prepare_outputs(output, options.series, options.pack, inputs=inputs)
        if options.pack and not (options.pack.endswith(ENDING) or is_stream(options.pack)):
            raise UsageError(f"--pack={options.pack}: the name must end in {ENDING}")
        records, notes = find(options.runs)
        for note in notes:
            complain(f"note: {note}")
        if not records:
            raise UsageError(f"no run in {', '.join(options.runs)}")
        if output:
            write_text(output, runs_text(records))
        if options.series:
            write_text(options.series, series_text(records))
        told = f", {pack(records, options.pack)} of them in {options.pack}" if options.pack else ""
        print(f"{len(records)} runs{told}")
        return 0

    return run_program(PROG, run, "interrupted")


if __name__ == "__main__":
    sys.exit(main())
