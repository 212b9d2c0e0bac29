"""Train a network by Deep Feedback Control (DFC, DFC-SS, DFC-SSA), direct feedback alignment (DFA) or backpropagation (BP).

Meulemans, Farinha, Garcia Ordonez, Vilimelis Aceituno, Sacramento, Grewe, "Credit Assignment in Neural Networks through Deep
Feedback Control", NeurIPS 2021, arXiv:2106.07887.
"""

import sys
from pathlib import Path

if __name__ == "__main__":  # before the imports that take long, for signals; PYTHONSAFEPATH hides the folder
    sys.path.insert(0, str(Path(__file__).resolve().parent))
    from core.signals import start

    start()

import contextlib
import datetime
import shlex

import numpy as np

from core import backend as backends
from core import rehearsal
from core.options import UsageError
from core.outcomes import EXIT_DIVERGED, run_program, run_to_an_outcome
from core.paths import make_numbered
from core.recording import provenance
from core.signals import StopRequest
from core.training import Loop, Schedule, say
from core.workers import Workers, default_count
from dfc import settings as command_line
from dfc.build import build_system
from dfc.draws import Draws
from dfc.evaluation import Evaluation
from dfc.measures.summary import SummaryFolder
from dfc.measures.watchers import build_watchers, check_packages
from dfc.network import load_weights
from dfc.protocol import PROTOCOLS
from dfc.tasks import load_task
from rules import FEEDBACK_NET_RULES


def parse(argv=None, prog="main.py"):
    """The dfc.settings.Settings of a command line; exits with status 2 and one sentence on a mistake."""
    return command_line.parse(argv, FEEDBACK_NET_RULES, prog)


def train(settings):
    """One run from its data to its files: (outcome, folder), the outcome a dict as in DONE.

    Raises  UserError before the first batch; StoppedByError afterwards
    """
    with machine(settings) as (backend, workers, draws):
        return _train(settings, backend, workers, draws)


@contextlib.contextmanager
def machine(settings):
    """Yield what a run computes with: (Backend, Workers, Draws).  Raises UserError where something is missing."""
    check_packages(settings)
    backend = backends.select_backend(settings.backend, settings.device, settings.precision)
    threads = (settings.threads or default_count()) if backend.device is None else 1
    draws = Draws(settings.random_seed, backend)
    # also for the teacher's products, whose rounding must not depend on BLAS's own threads
    with Workers(threads) as workers:
        yield backend, workers, draws


def _train(settings, backend, workers, draws):
    task = task_of(settings, backend, draws)
    folder = SummaryFolder(run_folder(settings), result_settings(settings), settings.args, timed=not settings.rule.reference)
    try:
        folder.open(settings.load, settings.load_or_start, settings.overwrite)
        tell(settings, folder, backend, workers.count)
        loop = build_loop(settings, backend, task, workers, draws, folder)
        own = own_settings(settings) | {"data_dir": settings.data_dir}
        own |= {"backend": backend.name, "device": backend.device, "threads": workers.count}
        every = settings.args | settings.successor_flags | own
        return run_unless_singular(loop, folder, provenance(backend, workers.count, every)), folder
    finally:
        folder.close()


def task_of(settings, backend, draws):
    """The samples of a run.  Raises UsageError where a batch has more than there are."""
    split, download = split_of(settings, draws), not settings.dry_run
    task = load_task(settings, backend, draws.teacher, settings.quiet, split, download)
    if settings.batch_size > len(task.train):
        raise UsageError(f"--batch_size={settings.batch_size}: must be in [1, {len(task.train)}], the number of training samples")
    return task


def rehearse(settings):
    """Tell what a run would be, and write nothing; returns the exit status.  Raises UserError, StoppedByError."""
    with machine(settings) as (backend, workers, draws):
        task = task_of(settings, backend, draws)
        system = build_system(settings, backend, workers, draws)
        schedule, watchers = schedule_of(settings, system.plan), [Evaluation(settings, task, workers)]
        loop = Loop(system.learner, task.train, schedule, watchers, None, quiet=settings.quiet, plan=system.plan)
        folder = settings.out_dir or "a new one in logs/runs, named after the time"
        about = [f"{backend.describe()}, threads: {workers.count}", *(f"note: {note}" for note in settings.notes)]
        about += ["angles are measured too, in time that is not counted here"] * settings.angles_wanted
        rehearsal.tell([folder], settings.args | settings.successor_flags | own_settings(settings), loop, about)
    return 0


def schedule_of(settings, plan):
    ends_early = settings.train_only_feedback_parameters and plan.prelude
    return Schedule(0 if ends_early else settings.epochs, settings.batch_size, first_batches=settings.first_batches)


def run_unless_singular(loop, folder, record):
    """As run_to_an_outcome; equations that cannot be solved, which a CPU reports and a GPU answers with NaN, end the run too."""
    try:
        return run_to_an_outcome(loop, folder, record)
    except np.linalg.LinAlgError as error:
        return loop.give_up("singular" if loop.learner.finite() else "diverged", reason=str(error))


def split_of(settings, draws):
    """What draws the validation set where it depends on the seed; None where it is always alike."""
    return draws.split if PROTOCOLS[settings.protocol].seeded_split and "seeded_split" in settings.defects else None


def build_loop(settings, backend, task, workers, draws, folder):
    """The loop of a run: learners of W and Q on the task's training samples, evaluated after every epoch."""
    system = build_system(settings, backend, workers, draws)
    watchers = build_watchers(settings, system, task, workers, folder.path)
    folder.follow(watchers)
    if settings.start_from is not None:
        load_weights(system.learner.net, settings.start_from)
    schedule = schedule_of(settings, system.plan)
    return Loop(system.learner, task.train, schedule, watchers, folder, quiet=settings.quiet, plan=system.plan)


def run_folder(settings):
    """The folder of a run; without --out_dir a new one named after the time, made at once.  Raises UsageError, FileError."""
    if settings.out_dir is not None:
        return Path(settings.out_dir)
    if settings.load:
        raise UsageError("--load: needs --out_dir, the folder of the run")
    return make_numbered(Path("logs", "runs", f"run_{datetime.datetime.now():%Y-%m-%d_%H-%M-%S}"))


def result_settings(settings):
    """{flag: value} of all that the numbers depend on, the number of epochs excepted."""
    own = own_settings(settings)
    if settings.load_ST_dataset:
        own["data_dir"] = settings.data_dir  # another folder, other data
    published = {name: value for name, value in settings.args.items() if name not in NOT_SETTINGS and not name.startswith("save_")}
    return published | own


def own_settings(settings):
    """{flag: value} of the suite's and of the rule's own flags that the numbers depend on."""
    own = {name: getattr(settings, name) for name in OWN_SETTINGS} | settings.rule_flags
    return own | {name: value for name, value in settings.strong_flags.items() if not name.startswith("save_")}


def tell(settings, folder, backend, threads):
    """Say where the results go and what is special about the settings."""
    if not settings.quiet:
        note = f" ({backend.note})" if backend.note else ""
        say(f"{folder.path}\n{settings.rule.name} on {settings.dataset}; {backend.describe()}, threads: {threads}{note}")
    for note in () if settings.quiet else settings.notes:
        print(f"main.py: note: {note}", file=sys.stderr)


def main(argv=None):
    """Run one command line; returns the exit status (docs/files.md, "Exit status")."""

    def run():
        settings = parse(argv)
        if settings.dry_run:
            return rehearse(settings)
        outcome, folder = train(settings)
        with StopRequest():  # the run is over: a signal changes nothing any more
            return conclude(outcome, folder.path)

    return run_program("main.py", run)


def conclude(outcome, path):
    """Tell how the run ended; returns the exit status."""
    kind = outcome["outcome"]
    if kind == "finished":
        shown = [f"test accuracy {100 * outcome['acc_test']:.2f} %"] if "acc_test" in outcome else []
        shown += [f"test loss {outcome['loss_test']:.6g}"] if "loss_test" in outcome else []
        say(f"finished {outcome['epochs']} epochs: {', '.join(shown) or 'W was not trained'}; results in {path}")
        return 0
    if kind == "stopped":
        say(f"stopped after epoch {outcome['epoch']}: {outcome.get('reason')}; results in {path}")
        return 0
    if kind == "interrupted":
        again = shlex.quote(f"--out_dir={path}") + " --load"
        say(f"interrupted in epoch {outcome['epoch'] + 1} and saved in {path}; {again} continues it")
        return 128 + outcome["signal"]
    what = {
        "diverged": "diverged in epoch {epoch}: a loss or weight is not a finite number or beyond all bounds",
        "singular": "stopped in epoch {epoch}: equations that have no solution ({reason}); try a larger --alpha_di",
    }[kind].format_map({"reason": kind} | outcome)
    print(f"main.py: {what}. What was saved before stays in {path}", file=sys.stderr)
    return EXIT_DIVERGED


OWN_SETTINGS = ("sample0_error", "nan_test", "train_samples")
NOT_SETTINGS = ("epochs", "no_cuda", "hpsearch", "multiple_hpsearch", "out_dir", "log_interval", "cuda_deterministic")


if __name__ == "__main__":
    sys.exit(main())
