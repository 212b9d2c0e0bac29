"""Trains a network by Deep Feedback Control, direct feedback alignment (DFA) or backpropagation (BP).

Meulemans, Farinha, Garcia Ordonez, Vilimelis Aceituno, Sacramento, Grewe, "Credit Assignment in Neural Networks
through Deep Feedback Control", NeurIPS 2021, arXiv:2106.07887.
"""

import sys
from pathlib import Path

# Signals are caught before the imports, which take long; the folder is named because PYTHONSAFEPATH hides it.
if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent))
    from core.signals import start

    start()

import contextlib
import dataclasses
import datetime
import shlex

import numpy as np

from core import rehearsal
from core.backend import Workers, select_backend
from core.machine import check_memory, default_count, provenance
from core.options import UsageError
from core.paths import make_numbered, remove_if_empty, shortened
from core.program import complain, run_program, say, tell_end
from core.seeds import folder_of, parse_seeds, say_of
from core.signals import StopRequest
from core.together import run_to_outcomes
from core.training import Loop
from datasets.catalogue import BY_FLAG
from dfc import settings as command_line
from dfc.build import build_system, bytes_of_a_run
from dfc.draws import Draws, draws_on_device
from dfc.evaluation import Evaluation
from dfc.measures.pass_ends import BY_PROTOCOL
from dfc.measures.summary import SummaryFolder
from dfc.measures.watchers import build_watchers, check_packages
from dfc.tasks import load_task
from rules import FEEDBACK_NET_RULES


def parse(argv=None, prog="main.py"):
    """Returns the dfc.settings.Settings of a command line; exits with status 2 and one sentence on a mistake."""
    return command_line.parse(argv, FEEDBACK_NET_RULES, prog)


def train(settings):
    """Trains one run from its data to its files; returns (outcome, folder), the outcome a dict as in DONE.

    Raises  UserError before the first batch; StoppedByError afterwards
    """
    (ended,) = train_seeds(settings)
    return ended


def train_seeds(settings):
    """Trains one run per seed of a command line; returns [(outcome, folder), …]."""
    with machine(settings) as (backend, workers):
        runs = runs_of(settings)
        draws = [Draws(each.random_seed, backend, each.machine.host_noise) for each in runs]
        tasks, memory = tasks_of(runs, backend, draws)
        place = run_folder(settings)
        runs = placed(runs, place)
        folders = [
            SummaryFolder(run.out_dir, result_settings(run, backend), run.args, optional(run), not run.rule.reference)
            for run in runs
        ]
        with contextlib.ExitStack() as opened:
            if settings.out_dir is None:
                opened.callback(remove_if_empty, place)
            for folder in folders:
                opened.callback(folder.close)
                folder.open(settings.load, settings.load_or_start, settings.overwrite)
            announce(settings, folders, backend, workers.count, memory)
            loops = [
                build_loop(
                    each, backend, task, workers, own_draws, folder, say_of(each.random_seed) if each.seeds else say
                )
                for each, task, own_draws, folder in zip(runs, tasks, draws, folders, strict=True)
            ]
            records = [provenance(backend, workers.count, recorded(each, backend, workers)) for each in runs]
            return list(zip(run_to_outcomes(loops, folders, records, give_up), folders, strict=True))


@contextlib.contextmanager
def machine(settings):
    """Yields what runs compute with: (Backend, Workers).  Raises UserError if something is missing."""
    check_packages(settings.watchers.measurements)
    about = settings.machine
    backend = select_backend(about.backend, about.device, about.precision)
    threads = (about.threads or default_count()) if backend.device is None else 1
    # The workers exist before the teacher's products, whose rounding must not depend on BLAS's own threads.
    with Workers(threads) as workers:
        yield backend, workers


def runs_of(settings):
    """Returns the Settings of every run of a command line, one per seed."""
    return [settings.change(random_seed=seed) for seed in parse_seeds(settings.seeds)] if settings.seeds else [settings]


def placed(runs, folder):
    """Returns the Settings of the runs with their run folders, for several seeds subfolders of `folder`."""
    if not runs[0].seeds:
        return [dataclasses.replace(runs[0], out_dir=folder)]
    return [each.change(out_dir=str(Path(folder, folder_of(each.random_seed)))) for each in runs]


def tasks_of(runs, backend, draws):
    """Returns the samples of every run, and a sentence on the memory of several networks.

    Runs share samples that do not depend on the seed.
    Raises  UsageError if they do not fit into memory
    """
    first, about = task_of(runs[0], backend, draws[0]), runs[0].task
    own = BY_FLAG[about.dataset].task == "regression" or about.seeded_split
    needed = bytes_of_a_run(runs[0].system, runs[0].schedule.batch_size, backend)
    if own:
        needed += sum(samples.nbytes for samples in (first.train, first.validation, first.test) if samples)
    sizes = shortened(",".join(map(str, runs[0].system.network.sizes[1:-1])))
    flag = f"--seeds={runs[0].seeds}" if runs[0].seeds else f"--size_hidden={sizes}"
    memory = check_memory(len(runs), needed, backend, flag)
    others = zip(runs[1:], draws[1:], strict=True)
    return [first, *(task_of(each, backend, own_draws) if own else first for each, own_draws in others)], memory


def task_of(settings, backend, draws):
    """Returns the samples of a run.  Raises UsageError if a batch has more than there are."""
    split, size = draws.split if settings.task.seeded_split else None, settings.schedule.batch_size
    task = load_task(settings.task, backend, draws.teacher, settings.quiet, split, not settings.dry_run)
    if size > len(task.train):
        raise UsageError(f"--batch_size={size}: must be in [1, {len(task.train)}], the number of training samples")
    return task


def rehearse(settings):
    """Prints what a run would be, and writes nothing; returns the exit status.

    Raises  UserError, StoppedByError
    """
    with machine(settings) as (backend, workers):
        runs = placed(runs_of(settings), settings.out_dir or "a new one in logs/runs, named after the time")
        all_draws = [Draws(each.random_seed, backend, each.machine.host_noise) for each in runs]
        first, draws, ((task, *_), memory) = runs[0], all_draws[0], tasks_of(runs, backend, all_draws)
        system = build_system(first.system, backend, workers, draws)
        watchers = [Evaluation(first.watchers.evaluation, task, workers)]
        loop = Loop(system.learner, task.train, first.schedule, watchers, None, quiet=settings.quiet, plan=system.plan)
        about = [f"{backend.describe()}, threads: {workers.count}{memory}"]
        about += ["what follows is about the first seed alone"] * bool(memory)
        about += [f"note: {note}" for note in settings.notes]
        about += ["angles are measured too, in time that is not counted here"] * settings.angles_wanted
        options = first.args | first.successor_flags | own_settings(first)
        rehearsal.tell([each.out_dir for each in runs], options, loop, about)
    return 0


def give_up(loop, error):
    """Returns the outcome of a loop whose equations cannot be solved; other errors are raised.

    A CPU reports such equations, a GPU answers with NaN.
    """
    if isinstance(error, np.linalg.LinAlgError):
        return loop.give_up("singular" if loop.learner.finite() else "diverged", reason=str(error))
    raise error


def build_loop(settings, backend, task, workers, draws, folder, report=say):
    """Returns the loop of a run: learners of W and Q, training samples, and evaluations after every epoch."""
    system = build_system(settings.system, backend, workers, draws, start_from=settings.start_from)
    watchers = build_watchers(settings.watchers, system, task, workers, folder.path)
    folder.follow(watchers)
    return Loop(system.learner, task.train, settings.schedule, watchers, folder, report, settings.quiet, system.plan)


def run_folder(settings):
    """Returns the folder of a run, or of those of several seeds.

    Without --out_dir it is a new one named after the time, made at once.
    Raises  UsageError, FileError
    """
    if settings.out_dir is not None:
        return Path(settings.out_dir)
    if settings.load:
        raise UsageError("--load: needs --out_dir, the folder of the run")
    return make_numbered(Path("logs", "runs", f"run_{datetime.datetime.now():%Y-%m-%d_%H-%M-%S}"))


def result_settings(settings, backend=None):
    """Returns {flag: value} of all that metrics.csv depends on, except for the number of epochs.

    backend  core.backend.Backend, which decides where a run draws its noise; None: that entry is left out
    """
    own = own_settings(settings)
    if backend and (settings.system.feedback or settings.rule.noisy(settings.system.rule_options)):
        own["host_noise"] = not draws_on_device(backend, settings.machine.host_noise)
    if settings.task.load_ST_dataset:
        # The numbers depend on this folder, because it contains the data.
        own["data_dir"] = settings.task.data_dir
    compared = [name for name in settings.args if name not in NOT_COMPARED and not name.startswith("save_")]
    return {name: settings.args[name] for name in compared} | own | _listed(optional(settings))


def optional(settings):
    """Returns {flag: value} of the result_settings that config.json has among its options alone.

    They are the flags of the group "Strong-DFC" that are equal to their defaults, and those that add columns.
    """
    names = [name for name in settings.successor_flags if name not in settings.strong_flags]
    names += BY_PROTOCOL[settings.flags["protocol"]] if settings.rule.controlled else ()
    return {name: settings.flags[name] for name in names}


def own_settings(settings):
    """Returns {flag: value} of the suite's and of the rule's own flags that the numbers depend on."""
    own = {name: settings.flags[name] for name in OWN_RESULT_FLAGS} | settings.rule_flags
    own |= {name: value for name, value in settings.strong_flags.items() if not name.startswith("save_")}
    return _listed(own)


def _listed(flags):
    # config.json, whose settings are compared with these when a run continues, has no tuples.
    return {name: list(value) if isinstance(value, tuple) else value for name, value in flags.items()}


def recorded(settings, backend, workers):
    """Returns {option: value} of all options of a run, for config.json."""
    own = own_settings(settings) | {"data_dir": settings.task.data_dir}
    own |= {"backend": backend.name, "device": backend.device, "threads": workers.count}
    own["host_noise"] = not draws_on_device(backend, settings.machine.host_noise)
    return settings.args | settings.successor_flags | own


def announce(settings, folders, backend, threads, memory):
    """Prints where the results go, and the notes on the settings."""
    if not settings.quiet:
        paths, note = "\n".join(str(folder.path) for folder in folders), f" ({backend.note})" if backend.note else ""
        about = f"{backend.describe()}, threads: {threads}{note}{memory}"
        say(f"{paths}\n{settings.rule.name} on {settings.task.dataset}; {about}")
    for note in () if settings.quiet else settings.notes:
        complain(f"note: {note}")


def main(argv=None):
    """Runs one command line; returns the exit status (docs/files.md, "Exit status")."""

    def run():
        return train_or_rehearse(parse(argv))

    return run_program("main.py", run)


def train_or_rehearse(settings):
    """Trains as the settings say and prints how it ended, or what it would be; returns the exit status."""
    if settings.dry_run:
        return rehearse(settings)
    ended = train_seeds(settings)
    with StopRequest():
        # The runs are over, so that a signal must not change anything.
        who = [f"seed {seed}: " for seed in parse_seeds(settings.seeds)] if settings.seeds else [""]
        return max(conclude(outcome, folder.path, each) for each, (outcome, folder) in zip(who, ended, strict=True))


def conclude(outcome, path, who=""):
    """Prints how a run ended; returns the exit status.

    who  the beginning of the sentence
    """
    measured = [f"test accuracy {100 * outcome['acc_test']:.2f} %"] if "acc_test" in outcome else []
    measured += [f"test loss {outcome['loss_test']:.6g}"] if "loss_test" in outcome else []
    again = "the same command with --load" if who else shlex.quote(f"--out_dir={path}") + " --load"
    return tell_end(outcome, ENDINGS, path, who, measured=", ".join(measured) or "W was not trained", again=again)


ENDINGS = {
    "finished": "finished {epochs} epochs: {measured}; results in {path}",
    "stopped": "stopped after epoch {epoch}: {reason}; results in {path}",
    "interrupted": "interrupted in epoch {begun} and saved in {path}; {again} continues it",
    "diverged": "diverged in epoch {epoch}: a loss or weight is too large or not a finite number",
    "singular": "stopped in epoch {epoch}: equations that have no solution ({reason}); try a larger --alpha_di",
}
# Flags of this program alone that change what a run learns, so that it continues only with the same ones.
OWN_RESULT_FLAGS = (
    "sample0_error",
    "nan_test",
    "train_samples",
)
NOT_COMPARED = ("epochs", "no_cuda", "hpsearch", "multiple_hpsearch", "out_dir", "log_interval", "cuda_deterministic")


if __name__ == "__main__":
    sys.exit(main())
