"""Trains one experiment with several seeds and tabulates the results, their mean and their deviation.

The same command continues a sweep that was interrupted: finished runs are read, and unfinished ones continue.
"""

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent))
    from core.signals import start

    start()

import csv
import io
import math
from dataclasses import dataclass, replace

import numpy as np

from configs import load
from core.files import write_text
from core.options import Parser, UsageError, as_path, option
from core.paths import check_output, shortened, unfit_name
from core.program import complain
from core.recording import LOG, RunFolder, prepare_outputs
from core.seeds import folder_of
from dfc.measures.summary import NOT_YET
from run_config import CONFIG_MODULE, EPILOG, job_and_settings, split
from sweeps.listing import ListOptions
from sweeps.script import Sweep, run_sweep

PROG = "run_seed_robustness.py"
# Seeds are below this number.
SEEDS = 10000
CLASSIFICATION_COLUMNS = (
    "acc_test_val_best", "acc_test_last", "acc_train_val_best", "acc_val_best", "acc_test_best", "acc_train_last",
    "acc_train_best", "acc_val_last", "loss_test_val_best", "loss_train_val_best", "loss_val_best", "loss_test_best",
    "loss_train_last", "loss_train_best", "epoch_best_loss", "epoch_best_acc",
)  # fmt: skip
REGRESSION_COLUMNS = (
    "loss_test_val_best", "loss_train_val_best", "loss_val_best", "loss_test_best", "loss_train_last",
    "loss_train_best", "epoch_best_loss",
)  # fmt: skip
CONTINUED = "interrupted runs are continued anyway, finished ones only read"
RESERVED = {
    "random_seed": "the seeds are drawn; see --nb_seeds and --base_seed",
    "seeds": "the seeds are drawn; see --nb_seeds and --base_seed",
    "load": CONTINUED,
    "load_or_start": CONTINUED,
    "out_dir": "must be written in full",
}


@dataclass(frozen=True)
class Options(ListOptions):
    """Holds the options of run_seed_robustness.py itself."""

    out_dir: str = option(
        "logs/seed_robustness/", "folder of the tables, and in it NAME/seed_<seed>/ of the runs", kind=as_path
    )
    name: str = option("default", "name of the table, NAME.csv, and of the folder of its runs", metavar="NAME")
    config_module: str = option(CONFIG_MODULE, "module whose `config` is run", metavar="MODULE")
    nb_seeds: int = option(5, "number of seeds; a smaller number gives the first of them", bounds=f"[1, {SEEDS}]")
    base_seed: int = option(0, "seed from which the seeds are drawn", bounds="[0, inf)")
    regression: bool = option(False, "tabulate losses only: for autoencoders and student-teacher")
    jobs: int = option(
        1, "runs at a time; the cores are divided among them, unless --threads is given", bounds="[1, 64]"
    )
    together: int = option(
        1,
        "seeds that train at once in each process, which pays for small networks; "
        "without a number: all, divided among --jobs",
        bounds=f"[1, {SEEDS}]",
        bare=0,
    )
    overwrite: bool = option(False, "delete earlier runs of these seeds and start again")
    quiet: bool = option(False, f"print only what went wrong and the table at the end; each run writes {LOG} anyway")


def draw_seeds(count, base_seed):
    """Returns `count` different integers in [0, SEEDS); a smaller count gives the first of them."""
    return [int(seed) for seed in np.random.default_rng(base_seed).permutation(SEEDS)[:count]]


def spread(values):
    """Returns (mean, sample standard deviation) of numbers.

    The deviation of a single number is nan, and without numbers both are nan.
    """
    mean = float(np.mean(values)) if len(values) else math.nan
    return mean, float(np.std(values, ddof=1)) if len(values) > 1 else math.nan


class SeedSweep(Sweep):
    """Holds the runs of one command, and their results so far.

    options    Options
    overrides  command line for main.py, which wins over the module's config
    Raises     UsageError for mistakes found before any work; SystemExit for flags that main.py refuses
    """

    def __init__(self, options, overrides):
        name = options.name.removesuffix(".csv")
        problem = unfit_name(name) if name else "must be the name of a file"
        if problem:
            raise UsageError(f"--name={shortened(options.name)}: {problem}")
        folder, self.path = Path(options.out_dir, name), Path(options.out_dir, f"{name}.csv")
        check_output(self.path)
        prepare_outputs(self.path)
        run, self.settings = job_and_settings(name, folder, load(options.config_module), overrides, PROG)
        self.seeds = {folder_of(seed): seed for seed in draw_seeds(options.nb_seeds, options.base_seed)}
        runs = [
            replace(
                run,
                name=name,
                folder=folder / name,
                seed=seed,
                settings=run.settings | {"random_seed": seed},
            )
            for name, seed in self.seeds.items()
        ]
        super().__init__(PROG, folder, runs, options)
        self.together = options.together

    def run(self):
        """Runs every seed to its outcome and writes the table; raises as sweeps.script.Sweep does."""
        if not self.settings.system.network.classification and not self.options.regression:
            data = self.settings.task.dataset
            complain(f"note: {data} has no accuracies; their columns hold -1, --regression leaves them out")
        try:
            super().run()
        except UsageError as error:
            # The error is about an earlier run.
            raise UsageError(f"{error}; give another --name, or --overwrite to start again") from None

    def write(self, run):
        write_text(self.path, self.table())

    def table(self):
        """Returns the published table as CSV: one row per seed in the order drawn, then mean and std.

        Numbers have all digits. The column "outcome" tells how each seed ended; mean and std are those of the
        seeds that finished.
        """
        columns = REGRESSION_COLUMNS if self.options.regression else CLASSIFICATION_COLUMNS
        ended = [run for run in self.runs if run.name in self.summaries]
        rows = [self._row(run.name, columns) for run in ended]
        finished = [row for run, row in zip(ended, rows, strict=True) if self.finished(run)]
        measured = [[row[column] for row in finished] for column in range(len(columns) + 1)]
        means, stds = zip(*map(spread, measured), strict=True)
        text = io.StringIO()
        lines = csv.writer(text, lineterminator="\n")
        lines.writerow(["", "seed", *columns, "outcome"])
        for index, (run, row) in enumerate(zip(ended, rows, strict=True)):
            lines.writerow([index, *row, self._outcome(run)])
        lines.writerows([["mean", *means, ""], ["std", *stds, ""]])
        return text.getvalue()

    def _row(self, name, columns):
        """Returns the numbers of a seed: the seed itself, and those of its summary."""
        return [self.seeds[name], *(self.summaries[name].get(column, NOT_YET) for column in columns)]

    def _outcome(self, run):
        """Returns how a run ended, in one word."""
        if self.finished(run):
            return "finished"
        outcome = RunFolder(run.folder, run.settings, measures=()).outcome
        return outcome["outcome"] if outcome else "stopped"

    def report(self):
        """Returns lines of text with the numbers that the paper tabulates, over the seeds that finished."""
        finished = [self.summaries[run.name] for run in self.runs if self.finished(run)]
        lines = [
            f"{len(finished)} of {len(self.runs)} seeds finished" + (f"; table: {self.path}" if self.summaries else "")
        ]
        if not finished or "loss_test" not in finished[0]:
            return lines
        at, when = "val_best", "epoch of the best validation result"
        if self.settings.task.no_val_set:
            at, when = "last", "last epoch"
        if self.settings.system.network.classification and not self.options.regression:
            accuracies = [100 * summary[f"acc_test_{at}"] for summary in finished]
            quantities = {"test accuracy %": accuracies, "test error %": [100 - each for each in accuracies]}
        else:
            quantities = {
                f"{part} loss": [summary[f"loss_{part}_{at}"] for summary in finished] for part in ("test", "train")
            }
        lines.append(f"mean and standard deviation at the {when}:")
        for name, values in quantities.items():
            mean, std = (format(number, ".2f" if "%" in name else ".5g") for number in spread(values))
            lines.append(f"  {name:<16}{mean:>9} +- {std if len(values) > 1 else '-'}")
        return lines


def main(argv=None):
    """Runs one command line; returns the exit status, that of sweeps.script.run_sweep."""
    argv = sys.argv[1:] if argv is None else argv
    options, overrides = split(Parser(prog=PROG, description=__doc__, epilog=EPILOG), Options, argv, RESERVED)
    return run_sweep(PROG, argv, lambda: SeedSweep(options, overrides), lambda sweep: print("\n".join(sweep.report())))


if __name__ == "__main__":
    # Modules in the current folder can be imported.
    sys.path.append("")
    sys.exit(main())
