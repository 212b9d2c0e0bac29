"""Trains the experiments of a collection one after the other, tabulates their results and draws them.

Each pipeline has its own folder, OUT_DIR/NAME__<time>, or --folder. The same command with --folder continues one
that was interrupted: finished runs are read, unfinished ones continue, and so are runs that run_toy_exp_fig3.py
made.
"""

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent))
    from core.signals import start

    start()

import datetime
import shlex
from dataclasses import dataclass, replace

from configs import load
from core.files import FileError
from core.options import Parser, UsageError, as_path, option
from core.paths import INSIDE, check_room, entries, make_numbered, shortened, unfit_name
from core.program import complain, say
from core.recording import LOG
from figures import fig_s1
from figures import pipeline as generic
from run_config import EPILOG, job_and_settings, split
from sweeps.listing import ListOptions
from sweeps.pipeline_results import RECORD, RESULTS, TABLE, PipelineFolder, read_record, recorded
from sweeps.processes import is_over
from sweeps.script import Sweep, run_sweep

PROG = "run_pipeline.py"
CONFIG_MODULE = "configs.pipeline_configs.mnist"
OWN_NAMES = (".", "..", RESULTS, generic.FOLDER, fig_s1.FOLDER, TABLE, RECORD)
# The most bytes, so that <key>_<name>.npy is a legal file name.
LONGEST_NAME = 150
CONTINUED = "runs in --folder are continued anyway, finished ones only read"
RESERVED = {"load": CONTINUED, "load_or_start": CONTINUED, "seeds": "all runs have one seed, that of --random_seed"}
RESERVED["out_dir"] = "must be written in full"


@dataclass(frozen=True)
class Options(ListOptions):
    """Holds the options of run_pipeline.py itself."""

    out_dir: str = option(
        "logs/pipeline", "folder in which the pipeline's own folder, NAME__<time>, is made", kind=as_path
    )
    experiment_name: str = option("experiment", "NAME of that folder", metavar="NAME")
    folder: str = option(
        "", "the pipeline's folder itself, instead of the two; an interrupted pipeline is continued", kind=as_path
    )
    config_module: str = option(CONFIG_MODULE, "module whose `config_collection` is run", metavar="MODULE")
    jobs: int = option(
        1, "runs at a time; the cores are divided among them, unless --threads is given", bounds="[1, 64]"
    )
    overwrite: bool = option(False, "delete earlier runs in --folder and start again")
    quiet: bool = option(False, f"print only what went wrong and the outcome; each run writes {LOG} anyway")


class Pipeline(Sweep):
    """Holds the experiments of one command, and their results so far.

    options    Options
    overrides  command line for main.py, which wins over the module's configs
    Raises     UsageError for mistakes found before any work; SystemExit for flags that main.py refuses
    """

    keeps_failed = True
    of_failed = ", its row holds what it had reached"

    def __init__(self, options, overrides):
        super().__init__(PROG, Path(options.folder) if options.folder else new_folder(options), [], options)
        self.results, self.record = PipelineFolder(self.folder, load(options.config_module, collection=True)), {}
        check_room(self.folder, LONGEST_NAME + INSIDE)
        self._check_names()
        for name, config in self.results.collection.experiments.items():
            run, settings = job_and_settings(name, self.folder / name, config, overrides, f"{PROG}: {name}")
            self.runs.append(run)
            self.record[name] = recorded(run, settings)
        self._check_folder()

    def _check_names(self):
        """Raises UsageError if an experiment's name is no folder name, or two results would share a file."""
        files = set()
        for name in self.results.collection.experiments:
            where = f"{self.options.config_module}.config_collection[{name!r}]"
            if name in OWN_NAMES or "/" in name or not name.isprintable() or not 0 < len(name.encode()) <= LONGEST_NAME:
                legal = f"a folder other than {', '.join(OWN_NAMES)}, of at most {LONGEST_NAME} bytes"
                raise UsageError(f"{where}: must be the name of {legal}")
            own = {f"{key}_{name}" for key in self.results.keys(name)}
            if own & files:
                raise UsageError(
                    f"{where}: its result {min(own & files)} would be written to the file of another experiment"
                )
            files |= own

    def _check_folder(self):
        """Raises UsageError if --folder holds anything but runs or a pipeline of these experiments.

        Raises  FileError
        """
        found = {name for name in entries(self.folder) if not name.startswith(".")}
        if RECORD not in found and not found <= set(self.record):
            raise UsageError(f"--folder={self.folder}: is not the folder of a pipeline")
        if self.options.overwrite:
            return
        hint = "give another --folder, or --overwrite to start again"
        if RECORD not in found:
            self._check_runs([run for run in self.runs if run.name in found], hint)
            return
        earlier = read_record(self.folder)
        if list(earlier) != list(self.record):
            raise UsageError(f"--folder={self.folder}: holds the experiments {', '.join(earlier)}; {hint}")
        for name, flags in self.record.items():
            for flag, value in flags.items():
                before = earlier[name].get(flag, value)
                if before != value:
                    raise UsageError(f"{self.folder / name} was made with {flag} = {before}, not {value}; {hint}")

    def _check_runs(self, runs, hint):
        """Raises UsageError for earlier runs of other settings, before the folder becomes a pipeline's.

        Raises  FileError
        """
        try:
            for run in runs:
                is_over(run)
        except UsageError as error:
            raise UsageError(f"{error}; {hint}") from None

    def run(self):
        """Runs every experiment to its outcome and writes its results; raises as sweeps.script.Sweep does."""
        if not self.options.folder:
            # Another pipeline that starts in the same second may have the same name.
            self.folder = self.results.path = make_numbered(self.folder)
            self.runs = [replace(run, folder=self.folder / run.name) for run in self.runs]
        super().run()

    def begin(self):
        """Records the purpose of the folder; --overwrite deletes an earlier pipeline's results."""
        super().begin()
        # Another pipeline may have had the folder meanwhile.
        self._check_folder()
        if not self.options.quiet:
            say(f"{self.folder}\n{len(self.runs)} experiments of {self.options.config_module}")
        if self.options.overwrite:
            # This comes first: whatever interrupts it, no results of before stand next to the new settings.
            self.results.write({})
        self.results.begin(self.options.config_module, self.record)

    @property
    def continued(self):
        """Returns how to continue, as part of a sentence."""
        return shlex.quote(f"--folder={self.folder}") + " continues"

    def words_to_continue(self):
        return [] if self.options.folder else [f"--folder={self.folder}"]

    def write(self, run):
        self.results.add(run.name, self.summaries)

    def draw(self):
        """Draws the published figures of these results; returns their folder, None if they cannot be drawn.

        For the pipelines of figure 3 they are those of figure S1.
        """
        of_figure_3 = "fig3" in self.options.config_module and "dfa" not in self.options.config_module
        script = fig_s1 if of_figure_3 else generic
        try:
            drawn = script.draw_all(self.folder, self.folder / script.FOLDER, quiet=self.options.quiet)
        except (UsageError, FileError) as error:
            again = f"python figures/{Path(script.__file__).name} {shlex.quote(str(self.folder))}"
            complain(f"note: no figures: {error}; the results are complete, and this draws them: {again}")
            return None
        return self.folder / script.FOLDER if drawn else None

    def conclude(self):
        """Draws the figures and prints how the experiments ended and where their results are."""
        figures = self.draw()
        ended = (
            f"{sum(map(self.finished, self.runs))} of {len(self.runs)} experiments finished; results in {self.folder}"
        )
        print(ended + (f", figures in {figures}" if figures else ""))


def new_folder(options):
    """Returns the folder OUT_DIR/NAME__<time> of a new pipeline, without making it.  Raises UsageError."""
    name = options.experiment_name
    problem = unfit_name(name)
    if problem:
        raise UsageError(f"--experiment_name={shortened(name)}: {problem}")
    if options.overwrite:
        raise UsageError("--overwrite: needs --folder; without it every pipeline has a new folder")
    if options.list or options.status:
        raise UsageError(
            f"--{'list' if options.list else 'status'}: needs --folder; without it every pipeline has a new folder"
        )
    return Path(options.out_dir, f"{name}__{datetime.datetime.now():%Y_%m_%d__%H_%M_%S}")


def main(argv=None):
    """Runs one command line; returns the exit status, that of sweeps.script.run_sweep."""
    argv = sys.argv[1:] if argv is None else argv
    options, overrides = split(Parser(prog=PROG, description=__doc__, epilog=EPILOG), Options, argv, RESERVED)
    return run_sweep(PROG, argv, lambda: Pipeline(options, overrides), Pipeline.conclude)


if __name__ == "__main__":
    # Modules in the current folder can be imported.
    sys.path.append("")
    sys.exit(main())
