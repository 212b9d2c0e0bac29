"""Runs the commands that make the cells of the published tables (docs/published/tables.csv), cheapest first.

It can also list the runs or their state. The same command continues a campaign that was interrupted; finished
runs are not repeated.
"""

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent))
    from core.signals import start

    start()

import shlex
from dataclasses import dataclass, replace

import list_seeds
import run_seed_robustness
from configs import to_argv
from core.backend import PRECISIONS
from core.files import FileError
from core.options import Parser, UsageError, add_arguments, option
from core.program import complain
from core.recording import LOG
from run_config import split
from sweeps import listing
from sweeps.processes import run_all
from sweeps.script import run_sweep
from tables.published import read_cells

PROG = "campaign.py"
LOCK = Path("logs", "campaign")
EPILOG = "docs/sweeps.md shows a campaign from its first run to its page."


@dataclass(frozen=True)
class Selection:
    """Says which cells are chosen, and how their runs are made."""

    table: str = option("", "tables, as dfc,gait; default: all", metavar="NAMES", group="cells")
    task: str = option("", "tasks, as MNIST,Fashion-MNIST; default: all", metavar="NAMES", group="cells")
    method: str = option("", "methods, as BP,GAIT or 'DFC-SSA fixed'; default: all", metavar="NAMES", group="cells")
    nb_seeds: int = option(0, "runs of each cell; 0: as many as published", bounds="[0, 100]", group="runs")
    epochs: int = option(0, "epochs of each run, for a trial; 0: as many as published", bounds="[0, inf)", group="runs")
    train_samples: int = option(
        0, "learn from the first N training samples only; 0: all", bounds="[0, inf)", group="runs"
    )
    precision: str = option("float32", "float type of all arithmetic", choices=PRECISIONS, group="runs")


@dataclass(frozen=True)
class Options(Selection, listing.ListOptions):
    """Holds the options of campaign.py."""

    jobs: int = option(1, "runs at a time, each on one core", bounds="[1, 64]")
    quiet: bool = option(False, f"print only what went wrong and the cells at the end; each run writes {LOG} anyway")
    # This option does not exist, because a campaign is always continued.
    overwrite = False


def chosen(cells, selection):
    """Returns the cells that a Selection names, the cheapest first.

    Raises  UsageError for a name that no cell has
    """
    for name in ("table", "task", "method"):
        wanted = [word.strip() for word in getattr(selection, name).split(",") if word.strip()]
        known = {getattr(cell, name).lower(): getattr(cell, name) for cell in cells}
        for word in wanted:
            if word.lower() not in known:
                raise UsageError(f"--{name}={word}: is not one of {', '.join(known.values())}")
        cells = [cell for cell in cells if not wanted or getattr(cell, name).lower() in map(str.lower, wanted)]
    return sorted(cells, key=lambda cell: cell.seconds * cell.epochs)


def words_of(cell, selection):
    """Returns the words of the command that makes a cell as a Selection asks, for the suite's folder."""
    script, *words = shlex.split(cell.command)
    seeds = selection.nb_seeds or cell.n
    if script == "run.py":
        further = {"nb_epochs": selection.epochs or cell.epochs, "train_samples": selection.train_samples}
        words += [f"--{name}={value}" for name, value in further.items() if value]
        words += [f"--precision={selection.precision}"] * (selection.precision != "float64") + ["--threads=1"]
        return ["./sweep_seeds.sh", f"1-{seeds}", *words]
    words = [f"{word}{_suffix(selection)}" if word.startswith("--name=") else word for word in words]
    words += [f"--nb_seeds={seeds}"] * (seeds != run_seed_robustness.Options.nb_seeds)
    words += to_argv({"epochs": selection.epochs} if selection.epochs else {})
    words += to_argv({"train_samples": selection.train_samples} if selection.train_samples else {})
    return ["python", script, *words, *["--single_precision"] * (selection.precision == "float32"), "--threads=1"]


def _suffix(selection):
    """Returns a suffix that distinguishes the folders of runs of another precision or number of samples.

    run.py needs none, because the names of its folders contain both.
    """
    samples = f"_{selection.train_samples}samples" if selection.train_samples else ""
    return samples + (f"_{selection.precision}" if selection.precision != "float32" else "")


def jobs_of(cell, selection):
    """Returns the Jobs of a cell, one per seed, named after it; [] if no command makes it.

    Raises  FileError, which names the line, if its command is none of this suite
    """
    if not cell.command:
        return []
    try:
        _, *words = words_of(cell, selection)
        if cell.command.startswith("run.py "):
            seeds = range(1, (selection.nb_seeds or cell.n) + 1)
            jobs = [list_seeds.job_of(words[1:], seed) for seed in seeds]
        elif cell.command.startswith("run_seed_robustness.py "):
            options, overrides = split(
                Parser(prog=PROG), run_seed_robustness.Options, words[1:], run_seed_robustness.RESERVED
            )
            jobs = run_seed_robustness.SeedSweep(options, overrides).runs
        else:
            raise UsageError(f"{cell.command.split()[0]} is neither run.py nor run_seed_robustness.py")
    except (UsageError, SystemExit) as error:
        reason = "its options are refused" if isinstance(error, SystemExit) else error
        raise FileError(f"docs/published/tables.csv, line {cell.line}: {reason}") from None
    return [replace(job, name=f"{cell.name}, {job.name}", cost=cell.seconds or 1.0) for job in jobs]


class Campaign:
    """Holds the runs of the chosen cells.

    options  Options
    runs     list of sweeps.processes.Job, in the order of cost
    failed   names of the runs that failed
    """

    def __init__(self, options):
        self.options, self.failed = options, []
        self.cells = {cell: jobs_of(cell, options) for cell in chosen(read_cells(), options)}
        self.runs = [job for jobs in self.cells.values() for job in jobs]

    def lines_asked_for(self):
        """Returns the lines of --list or --status; None without them."""
        listing.check(self.options)
        return listing.listed(self.runs) if self.options.list else self.standings() if self.options.status else None

    def standings(self):
        """Returns one line per cell, one per run that failed, and one line of counts."""
        width = max(len(cell.name) for cell in self.cells)
        lines, states, complete = [], [], 0
        for cell, jobs in self.cells.items():
            found = [listing.standing(job) for job in jobs]
            own = [state for state, _ in found]
            complete += own.count(listing.FINISHED) == len(jobs) > 0
            lines.append(f"{cell.name:<{width}}  {_told(own, [text for _, text in found])}")
            states += own
        return [*lines, f"{complete} of {len(self.cells)} cells complete; runs: {listing.counts(states)}"]

    def run(self):
        """Runs every job to its outcome."""
        run_all(self.runs, LOCK, self._take, self.options.jobs, self.options.quiet)

    def _take(self, job, error):
        if error is not None:
            self.failed.append(job.name)
            complain(f"{job.name} failed: {error} (see {job.folder / LOG})")

    def words_to_continue(self):
        """Returns []: the same command continues."""
        return []

    @property
    def status(self):
        """Returns the exit status: 1 if a run failed, 3 if one is not finished, else 0."""
        states = [listing.standing(job)[0] for job in self.runs]
        return 1 if self.failed else 0 if set(states) <= {listing.FINISHED} else 3


def _told(states, texts):
    if not states:
        return "no command makes it yet"
    if set(states) == {listing.FINISHED}:
        return f"complete ({len(states)} runs)"
    others = [text for state, text in zip(states, texts, strict=True) if state in (listing.RUNNING, listing.FAILED)]
    return "; ".join([listing.counts(states), *dict.fromkeys(others)])


def main(argv=None):
    """Runs one command line; returns the exit status, that of sweeps.script.run_sweep."""
    argv = sys.argv[1:] if argv is None else argv
    parser = Parser(prog=PROG, description=__doc__, epilog=EPILOG)
    add_arguments(parser, Options)
    options = Options(**vars(parser.parse_args(argv)))
    return run_sweep(PROG, argv, lambda: Campaign(options), lambda campaign: print(*campaign.standings(), sep="\n"))


if __name__ == "__main__":
    sys.exit(main())
