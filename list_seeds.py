"""Prints the commands that sweep_seeds.sh has yet to run, or the state of its seeds (--list and --status)."""

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent))
    from core.signals import start

    start()

from dataclasses import dataclass

import run as program
from core.options import Parser, UsageError, add_arguments
from core.program import run_program
from gait.settings import result_settings, run_name
from sweeps.listing import ListOptions, lines_asked_for
from sweeps.processes import Job

PROG = "list_seeds.py"


@dataclass(frozen=True)
class Options(ListOptions):
    """Holds the options of list_seeds.py itself."""

    overwrite = False


def job_of(argv, seed, cost=1.0):
    """Returns the Job of a command line of run.py and a seed; a mistake in it ends the program.

    cost  seconds that an epoch takes
    """
    words = [*argv, f"--seed={seed}"]
    options, rule_options = program.parse([*words, "--load_or_start"])
    folder = Path(options.results_dir, run_name(options, rule_options))
    settings = result_settings(options, rule_options)
    name, script = f"seed {seed}", Path(program.__file__).name
    # Every network has at least one layer.
    return Job(name, folder, words, settings, options.nb_epochs, script, (), cost, layers=1)


def main(argv=None):
    """Runs one command line; returns the exit status, 0 or 2 for a mistake."""
    parser = Parser(
        prog=PROG, description=__doc__, epilog="All other options are those of run.py (python run.py --help)."
    )
    parser.add_argument("seeds", metavar="SEEDS", help='whole numbers, as "1 2 5"')
    add_arguments(parser, Options)
    given, words = parser.parse_known_args(argv)
    own = vars(given)
    seeds = own.pop("seeds").split()
    if not all(seed.isdecimal() for seed in seeds):
        parser.error(f"SEEDS: {' '.join(seeds)!r} are not whole numbers")

    def run():
        lines = lines_asked_for([job_of(words, int(seed)) for seed in seeds], Options(**own))
        if lines is None:
            raise UsageError("give --list or --status; ./sweep_seeds.sh runs the seeds")
        print(*lines, sep="\n", end="\n" if lines else "")
        return 0

    return run_program(PROG, run, "interrupted")


if __name__ == "__main__":
    sys.exit(main())
