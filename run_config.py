"""Trains one experiment: main.py with the options of a module in configs/, or of any other module.

That module must have a dict `config`.
"""

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent))
    from core.signals import start

    start()

from dataclasses import dataclass

import main as program
from configs import load, to_argv
from core.options import Parser, UsageError, add_arguments, option
from core.program import run_program
from dfc.measures.summary import read_summary
from dfc.settings import add_flags
from dfc.settings.flags import PUBLISHED
from rules import FEEDBACK_NET_RULES
from sweeps.processes import Job

CONFIG_MODULE = "configs.configs_mnist.mnist_dfc_ssa"
EPILOG = (
    "All other options are those of main.py (python main.py --help) and replace the module's. "
    "A switch that the module turns on cannot be turned off."
)


@dataclass(frozen=True)
class Options:
    """Holds the options of run_config.py itself."""

    config_module: str = option(CONFIG_MODULE, "module whose `config` is run", metavar="MODULE")


def run(config_module=CONFIG_MODULE, overrides=None):
    """Trains an experiment and returns its summary: {published key: number, string, list or array}.

    The keys are those of docs/published/dfc.md I.7.

    overrides  {flag of main.py: value}, instead of the module's; out_dir names the run folder
    Raises     UsageError for an unusable module; the errors of main.train; SystemExit for flags that main.py refuses;
               KeyboardInterrupt if a signal stopped the run, after it has saved its state
    """
    settings = program.parse(to_argv(load(config_module) | (overrides or {})))
    if settings.dry_run:
        raise UsageError("--dry_run: gives no summary; run_config.main tells what a run would be")
    if settings.seeds:
        raise UsageError(f"--seeds={settings.seeds}: gives several summaries; run_config.main trains several seeds")
    outcome, folder = program.train(settings)
    program.conclude(outcome, folder.path)
    if outcome["outcome"] == "interrupted":
        raise KeyboardInterrupt
    return read_summary(folder.path)


def split(parser, record, argv, reserved=None):
    """Returns (a `record`, the rest) of the command line of a script that passes the rest to main.py.

    parser    of the script; a mistake ends it
    record    dataclass of the script's own options, which cannot be abbreviated
    reserved  {flag of main.py: why it must not be in the rest}
    """
    add_arguments(parser, record, "this script")
    own, rest = parser.parse_known_args(argv)
    others = Parser(prog=parser.prog, add_help=False, abbreviated=PUBLISHED)
    add_flags(others, FEEDBACK_NET_RULES)
    for name in vars(others.parse_args(rest)):
        if name == "dry_run" and reserved is not None:
            parser.error(
                "--dry_run: tells about a single run (run_config.py, main.py); --list prints the runs of this script"
            )
        if name in (reserved or {}):
            parser.error(f"--{name}: {reserved[name]}")
    return record(**vars(own)), rest


def job_and_settings(name, folder, config, overrides, prog):
    """Returns the Job and the Settings of a config {flag: value} and a command line, whose flags win.

    A mistake ends the program.
    """
    argv = [*to_argv(config), *overrides]
    settings = program.parse([*argv, "--load_or_start"], prog)
    if settings.machine.backend == "cupy":
        # main.py refuses more threads on a GPU.
        argv.append("--threads=1")
    layers = len(settings.task.sizes) - 1
    numbers = program.result_settings(settings)
    return Job(name, Path(folder), argv, numbers, settings.flags["epochs"], layers=layers), settings


def main(argv=None):
    """Runs one command line; returns the exit status, which is that of main.py."""
    options, overrides = split(Parser(prog="run_config.py", description=__doc__, epilog=EPILOG), Options, argv)

    def train():
        argv = [*to_argv(load(options.config_module)), *overrides]
        return program.train_or_rehearse(program.parse(argv, "run_config.py"))

    return run_program("run_config.py", train)


if __name__ == "__main__":
    # Modules in the current folder can be imported.
    sys.path.append("")
    sys.exit(main())
