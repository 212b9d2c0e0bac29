"""Runs the toy experiment of figures 3 and S1: the conditions and the alignment of four methods.

Each method trains a 15-10-10-5 network, with feedback weights that are learned or fixed. Finished runs are only
read, also those of run_pipeline.py in the same folder. The same command continues an interrupted one.
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
from dataclasses import dataclass
from itertools import zip_longest

from configs import load
from core.files import write_text
from core.options import Parser, UsageError, as_path, first_paragraph, option
from core.paths import entries, exists, is_folder
from core.recording import LOG
from dfc.measures.summary import Frame
from figures import fig3, fig_s1
from figures.toy import both, draw_or_note
from run_config import job_and_settings, split
from sweeps.listing import ListOptions
from sweeps.pipeline_results import RECORD, PipelineFolder, recorded
from sweeps.script import Sweep, run_sweep

PROG = "run_toy_exp_fig3.py"
OUT_DIR = "./logs/toy_experiments/fig3"
DATA = "fig3.csv"
CONFIGS = "configs.toy_experiments.configs_fig3"
MODULES = {"DFC": "config_dfc", "DFC-SS": "config_dfc_ss", "DFC-SSA": "config_dfc_ssa", "DFA": "config_dfa"}
FEEDBACK = {"TrainFB_RandomInit_Pretrain": "trained", "FreezeFB_WeightProduct": "fixed", "DFA": "random"}
# Such a small network is fastest on one core.
TOY = {"backend": "numpy", "threads": 1, "save_logs": False}
QUICK = {"epochs": 8, "num_train": 512, "num_test": 256, "num_val": 256, "tmax_di": 500}
QUICK_TRAINED = {"epochs_fb": 5}
EPILOG = "All other options are those of main.py (python main.py --help), for all runs."
CONTINUED = "interrupted runs are continued anyway, finished ones only read"
RESERVED = {
    "load": CONTINUED,
    "load_or_start": CONTINUED,
    "seeds": "there is one seed, that of --seed",
} | dict.fromkeys(("out_dir", "random_seed"), "must be written in full")
# {column: place among the four matrices of an event}
EIGENVALUES = {"lambda_max_A_PI": 3, "lambda_max_A_instI": 2}
# {column: frame of the summary}
FRAMES = {
    "condition_2": "condition_gn_angles",
    "mn_angle_deg": "gnt_angles_network",
    "gn_angle_deg": "gn_angles_network",
    "ssa_angle_deg": "ndi_angles_network",
}


@dataclass(frozen=True)
class Options(ListOptions):
    """Holds the options of run_toy_exp_fig3.py itself."""

    out_dir: str = option(
        "", f"folder of runs, data and picture; default {OUT_DIR}, with --quick {OUT_DIR}_quick", kind=as_path
    )
    seed: int = option(
        None, "seed of all runs; default: the published 42", bounds="[0, inf)", kind=int, names=("--random_seed",)
    )
    jobs: int = option(1, "runs at a time; each uses one core, unless --threads is given", bounds="[1, 64]")
    quick: bool = option(
        False, f"{QUICK['epochs']} epochs, {QUICK['num_train']} training samples, half the time points"
    )
    overwrite: bool = option(False, "delete earlier runs and start again")
    quiet: bool = option(False, f"print only what went wrong and the files; each run writes {LOG} anyway")


def method_of(name):
    """Returns the method whose runs a folder of this name holds; None for other folders.

    The names are those of docs/published/dfc.md K.8.
    """
    name = name.lower()
    for part, method in (("dfc_ssa", "DFC-SSA"), ("dfc_ss", "DFC-SS"), ("dfc", "DFC"), ("dfa", "DFA")):
        if part in name:
            return None if method == "DFC" and "nois" in name else method
    return None


def home(folder, method):
    """Returns the folder of the runs of a method: the last existing one by name, or a new one."""
    found = [folder / name for name in entries(folder) if method_of(name) == method and is_folder(folder / name)]
    return found[-1] if found else folder / MODULES[method].replace("config", "fig3")


class Experiment(Sweep):
    """Holds the runs of one command.

    options    Options
    overrides  command line for main.py, which wins over the configs
    Raises     UsageError for mistakes found before any work; SystemExit for flags that main.py refuses
    """

    of_stopped = "its curves end there"

    def __init__(self, options, overrides):
        super().__init__(PROG, Path(options.out_dir or OUT_DIR + ("_quick" if options.quick else "")), [], options)
        self.names, self.events, self.records = {}, {}, {}
        self.pipelines = {
            method: PipelineFolder(home(self.folder, method), load(f"{CONFIGS}.{module}", collection=True))
            for method, module in MODULES.items()
        }
        for method, pipeline in self.pipelines.items():
            experiments = pipeline.collection.experiments
            self.records[method] = {
                entry: self._add(method, entry, pipeline.path / entry, experiments[entry], overrides)
                for entry in sorted(experiments, key=list(FEEDBACK).index)
            }

    def _add(self, method, entry, folder, config, overrides):
        """Plans a run; returns the record of it."""
        config = config | TOY | (QUICK if self.options.quick else {})
        if self.options.quick and "epochs_fb" in config:
            config |= QUICK_TRAINED
        if self.options.seed is not None:
            config["random_seed"] = self.options.seed
        run, settings = job_and_settings(f"{method}, {FEEDBACK[entry]} feedback", folder, config, overrides, PROG)
        batches = settings.schedule.batches(range(settings.task.num_train))
        self.runs.append(run)
        self.names[run.name] = method, FEEDBACK[entry]
        self.events[run.name] = math.ceil(batches / settings.watchers.measurements.log_interval)
        return recorded(run, settings)

    def run(self):
        """Runs every job to its outcome and writes the data; raises as sweeps.script.Sweep does."""
        try:
            super().run()
        except UsageError as error:
            # The error is about an earlier run.
            raise UsageError(f"{error}; give another --out_dir, or --overwrite to start again") from None

    def begin(self):
        """Deletes the results of an earlier run if --overwrite is given."""
        super().begin()
        for pipeline in self.pipelines.values() if self.options.overwrite else ():
            if exists(pipeline.path / RECORD):
                pipeline.write({})

    def write(self, run):
        write_text(self.folder / DATA, self.table())
        method, _ = self.names[run.name]
        # DFA has no controller, and so no figure S1.
        ended = self._ended(method) if method != "DFA" else {}
        if ended:
            pipeline = self.pipelines[method]
            pipeline.begin(f"{CONFIGS}.{MODULES[method]}", self.records[method])
            for name in ended:
                pipeline.add(name, ended)

    def _ended(self, method):
        """Returns {experiment: summary} of a method's runs when all of them have ended; {} before."""
        runs = [run for run in self.runs if self.names[run.name][0] == method]
        ended = {run.folder.name: self.summaries[run.name] for run in runs if run.name in self.summaries}
        return ended if len(ended) == len(runs) else {}

    def conclude(self):
        """Draws the figures that have data and prints where they are."""
        if not self.summaries or not draw_or_note(fig3.write, self.folder / DATA, both(self.folder / fig3.NAME)):
            return
        for method, pipeline in self.pipelines.items():
            figures = pipeline.path / fig_s1.FOLDER
            # The folders of all but DFA are those of pipelines by now.
            if (
                method != "DFA"
                and self._ended(method)
                and fig_s1.draw_all(pipeline.path, figures, quiet=self.options.quiet)
            ):
                print(figures)

    def table(self):
        """Returns the data as CSV, in the order of the runs: one row per event, numbers with all digits.

        An entry without a number is "".
        """
        text = io.StringIO()
        lines = csv.writer(text, lineterminator="\n")
        lines.writerow(fig3.COLUMNS)
        for run in self.runs:
            if run.name in self.summaries:
                series = curves(self.summaries[run.name])
                rows = zip_longest(*(series.get(column, []) for column in fig3.COLUMNS[3:]), fillvalue="")
                lines.writerows(
                    [*self.names[run.name], event / self.events[run.name], *row] for event, row in enumerate(rows)
                )
        return text.getvalue()


def curves(summary):
    """Returns {column: list of numbers, one per event} of a run's summary, without what it did not measure.

    The columns are those of docs/published/dfc.md K.8. The eigenvalues are those before samples that did not
    converge are replaced, if the rule has such samples.
    """
    found = {}
    for column, name in FRAMES.items():
        frame = summary.get(name)
        if isinstance(frame, Frame) and len(frame.values):
            found[column] = frame.values[:, 0].tolist()
    if "norm_r_keys" in summary:
        found["condition_1"] = summary["dev_r_mean"].tolist()
    keys = summary.get("max_eig_keys")
    if keys:
        flat = [summary[name] for name in ("max_eig_bcn_mean", "max_eig_mean")]
        flat = next((vector for vector in flat if len(vector) >= len(keys)), [])
        found |= {column: [float(value) for value in flat[place :: len(keys)]] for column, place in EIGENVALUES.items()}
    return found


def main(argv=None):
    """Runs one command line; returns the exit status, that of sweeps.script.run_sweep."""
    argv = sys.argv[1:] if argv is None else argv
    parser = Parser(prog=PROG, description=first_paragraph(__doc__), epilog=EPILOG)
    options, overrides = split(parser, Options, argv, RESERVED)
    return run_sweep(PROG, argv, lambda: Experiment(options, overrides), Experiment.conclude)


if __name__ == "__main__":
    sys.exit(main())
