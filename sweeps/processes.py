"""Several runs of main.py, each a process of its own, some of them at a time; what is done already is not done again."""

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from core.files import FileError
from core.options import UsageError
from core.outcomes import EXIT_DIVERGED
from core.recording import RunFolder
from core.training import StopRequest, say
from core.workers import default_count

try:
    import fcntl
except ImportError:  # not on Windows, where two sweeps of one folder are not noticed
    fcntl = None

MAIN = Path(__file__).resolve().parent.parent / "main.py"
LOG = "log.txt"  # in the folder of each run: all that main.py printed
THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
POLL_SECONDS = 0.05
PR_SET_PDEATHSIG = 1  # of Linux's prctl


class Interrupted(Exception):
    """A sweep was asked to stop, and its runs were; `signal` is the number of what asked."""

    def __init__(self, number):
        super().__init__(signal.Signals(number).name)
        self.signal = number


@dataclass(frozen=True)
class Run:
    """One run of a sweep.

    name      what it is called in what is printed
    folder    its own run folder
    argv      the command line of main.py, without what says where the results go and what becomes of an earlier run
    settings  {flag: value} that an earlier run in the folder must have had, as in its config.json
    epochs    number of epochs in all
    """

    name: str
    folder: Path
    argv: list
    settings: dict
    epochs: int


def run_all(runs, folder, ended, jobs=1, quiet=False, overwrite=False):
    """Bring every run to an outcome; one that fails does not stop the others.

    runs       list of Run
    folder     of the sweep; no two sweeps work in it at a time, the second one waits
    ended      function (run, error), called as soon as a run has ended, those that had ended earlier first; error: None after
               an outcome (finished, stopped, diverged), else one sentence
    jobs       number of processes at a time; the cores are divided among them
    quiet      no progress bar and none of what the runs print; it is in LOG anyway
    overwrite  start every run anew
    Raises     UsageError if an earlier run in one of the folders differs, FileError; Interrupted after SIGINT or SIGTERM, by
               when the runs have saved where they are, so that the same call goes on there
    """
    with _alone(Path(folder)) as lock:
        over = [] if overwrite else [run for run in runs if is_over(run)]
        waiting = [run for run in runs if run not in over]
        for run in over:
            ended(run, None)
        with tqdm(total=len(runs), initial=len(over), unit="run", disable=quiet or None) as bar:
            _work_off(waiting, lock, jobs, overwrite, None if quiet else say, bar, ended)


def _work_off(waiting, lock, jobs, overwrite, tell, bar, ended):
    """Start the waiting runs, `jobs` at a time, until all have ended or a signal asks to stop."""
    live, told, cut_short = [], False, False
    with StopRequest() as stop:
        try:
            while live or (waiting and not stop.signal):
                while waiting and len(live) < jobs and not stop.signal:
                    live.append(_Process(waiting.pop(0), jobs, lock, overwrite, tell))
                if stop.signal and not told:
                    told = True
                    _signal(live, stop.signal)
                time.sleep(POLL_SECONDS)
                for process in [process for process in live if process.has_ended()]:
                    live.remove(process)
                    bar.update()
                    if process.error and told:
                        cut_short = True
                    else:
                        ended(process.run, process.error)
        finally:
            _signal(live, signal.SIGTERM)
            for process in live:
                process.wait()
    if waiting or cut_short:
        raise Interrupted(stop.signal)


def _signal(processes, number):
    for process in processes:
        process.send_signal(number)


def is_over(run):
    """Whether the run in the run's folder has nothing left to do.  Raises UsageError if its settings are others; FileError."""
    folder = RunFolder(run.folder, run.settings, measures=())
    try:
        folder.open(load_or_start=True)
        outcome = folder.outcome
    except UsageError as error:
        raise UsageError(str(error).removeprefix("--load: ")) from None
    finally:
        folder.close()
    if outcome is None or outcome["outcome"] != "finished":
        return outcome is not None
    if outcome["epochs"] > run.epochs:
        raise UsageError(f"--epochs={run.epochs}: {run.folder} holds a run of {outcome['epochs']} epochs already")
    return outcome["epochs"] == run.epochs


@contextlib.contextmanager
def _alone(folder):
    """Keep other sweeps out of the folder; the processes of this one inherit the lock, and hold it should they outlive it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = os.open(folder, os.O_RDONLY) if fcntl else None
    except OSError as error:
        raise FileError(f"cannot use the folder {folder}: {error.strerror}") from error
    try:
        if lock is not None:
            _wait_for(lock, folder)
        yield lock
    finally:
        if lock is not None:
            os.close(lock)


def _wait_for(lock, folder):
    with contextlib.suppress(OSError):  # a file system without locks
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"waiting for another sweep in {folder}, or what is left of it, to end", file=sys.stderr, flush=True)
            fcntl.flock(lock, fcntl.LOCK_EX)


def threads_each(jobs):
    """Number of threads for each of `jobs` runs: the cores divided among them, at most what a run alone would use."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(default_count(), cores // jobs))


class _Process:
    """main.py at work on one run, what it prints going to LOG and, with a prefix, to `tell` (None: nowhere else)."""

    def __init__(self, run, jobs, lock, overwrite, tell):
        self.run, self.error, self._tell = run, None, tell
        threads = str(threads_each(jobs))
        words = [f"--threads={threads}", *run.argv, f"--out_dir={run.folder}", "--quiet"]
        words.append("--overwrite" if overwrite else "--load_or_start")
        try:
            run.folder.mkdir(parents=True, exist_ok=True)
            with open(run.folder / LOG, "wb" if overwrite else "ab") as log:
                begin = log.tell()
                # a session of its own, else a Ctrl-C at the terminal would reach it twice and end it before it has saved
                self._process = subprocess.Popen(
                    [sys.executable, str(MAIN), *words],
                    env=os.environ | dict.fromkeys(THREAD_VARIABLES, threads),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                    pass_fds=() if lock is None else (lock,),
                    preexec_fn=_follower(),
                )
        except OSError as error:
            raise FileError(f"cannot start {run.name} in {run.folder}: {error.strerror}") from error
        self._printed = open(run.folder / LOG, encoding="utf-8", errors="replace")
        self._printed.seek(begin)
        self._rest, self._last = "", ""

    def send_signal(self, number):
        self._process.send_signal(number)

    def has_ended(self):
        """Pass on what was printed; once the process has ended, `error` is None or the sentence that tells why."""
        status = self._process.poll()  # first, so that nothing is printed after the last look
        *lines, self._rest = (self._rest + self._printed.read()).split("\n")
        for line in filter(str.strip, lines):
            self._last = line
            if self._tell:
                self._tell(f"{self.run.name}: {line}")
        if status is None:
            return False
        self._printed.close()
        if status < 0:
            self.error = f"ended by {signal.Signals(-status).name}"
        elif status not in (0, EXIT_DIVERGED):
            self.error = self._last.removeprefix(f"{MAIN.name}: ") or f"exit status {status}"
        return True

    def wait(self):
        self._process.wait()
        self._printed.close()


def _follower():
    """What a process does first so that it is asked to end when its parent is gone, be it killed; Linux only."""
    prctl = getattr(ctypes.CDLL(None), "prctl", None) if sys.platform == "linux" else None
    return prctl and (lambda: prctl(PR_SET_PDEATHSIG, signal.SIGTERM))
