"""Runs several trainings, each in its own process and some at the same time; finished ones are skipped."""

import os
import re
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from core.files import FileError
from core.locks import alone
from core.machine import default_count
from core.options import UsageError
from core.paths import time_of_change
from core.program import EXIT_DIVERGED, EXIT_USAGE, say
from core.recording import LOG, RunFolder
from core.signals import STOP_SIGNALS, StopRequest, name_of
from sweeps import children
from sweeps.logs import open_log
from sweeps.progress import Progress

MAIN = Path(__file__).resolve().parent.parent / "main.py"
POLL_SECONDS = 0.05


class Interrupted(Exception):
    """Says that a sweep was asked to stop, and has stopped its runs.

    signal   number of the signal
    lost     for each run that ended without saving its state, its name and the reason
    earlier  folders of earlier runs that --overwrite was to delete, and that are still there
    """

    def __init__(self, number, lost=()):
        super().__init__(signal.Signals(number).name)
        self.signal, self.lost, self.earlier = number, lost, []


@dataclass(frozen=True)
class Job:
    """Describes one run of a sweep; its run folder tells how much of it is done.

    name      its name in messages
    folder    its own run folder
    argv      the command line of the program, without the words for the output folder and for an earlier run
    settings  {flag: value} that an earlier run in the folder must have had, as in its config.json
    epochs    number of epochs in all
    program   main.py, or another script in the same folder
    place     words that make the program write into `folder`; None: --out_dir=folder
    cost      seconds that an epoch takes; only the ratios between jobs matter
    layers    number of layers whose weights a finished run must have saved
    seed      --random_seed, which `argv` then lacks, of a job that may share a process with others that differ only in
              it; their folders lie next to each other, named by core.seeds.folder_of
    """

    name: str
    folder: Path
    argv: list
    settings: dict
    epochs: int
    program: str = MAIN.name
    place: tuple | None = None
    cost: float = 1.0
    layers: int = 0
    seed: int | None = None


def command(jobs, threads, overwrite=False):
    """Returns the words of the command that runs some jobs in one process, in the current folder.

    Paths below the current folder are relative.

    jobs       list of Job, one or several that may share a process
    threads    number of threads on the CPU, unless the job's own words set another number
    overwrite  whether it starts anew; otherwise an earlier run is continued
    """
    job = jobs[0]
    program = MAIN.with_name(job.program)
    place = (f"--out_dir={job.folder}",) if job.place is None else job.place
    if len(jobs) > 1:
        place = (f"--seeds={','.join(str(each.seed) for each in jobs)}", f"--out_dir={job.folder.parent}")
    elif job.seed is not None:
        place = (f"--random_seed={job.seed}", *place)
    own = any(word.startswith("--threads=") for word in job.argv)
    divided = [] if own else [f"--threads={threads}"]
    words = [_nearby(sys.executable), _nearby(program), *divided, *job.argv, *place, "--quiet"]
    return [*words, "--overwrite" if overwrite else "--load_or_start"]


def _nearby(path):
    path, here = Path(path), Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)


def groups(jobs, together, processes=1):
    """Returns the jobs in lists of those that share a process.

    together   most jobs in a list; 0: all, divided among the processes
    processes  number of processes at a time
    """
    size = together or max(1, -(-len(jobs) // processes))
    return [jobs[first : first + size] for first in range(0, len(jobs), size)]


def run_all(runs, folder, ended, jobs=1, quiet=False, overwrite=False, together=1, begin=None):
    """Runs every job to its outcome; a job that fails does not stop the others.

    runs       list of Job
    folder     of the sweep; only one sweep works in it at a time, a second one waits
    ended      function (job, error), called as soon as a job has ended, and first for those that had ended earlier;
               error: None after an outcome (finished, stopped, diverged), else one sentence
    jobs       number of processes at a time; the cores are divided among them
    quiet      whether neither a progress bar nor the output of the runs is printed; LOG has that output
    overwrite  whether every run starts anew
    together   runs in each process, see `groups`
    begin      function (), called as soon as no other sweep works in `folder`
    Raises     UsageError if an earlier run in one of the folders differs, FileError; Interrupted after a signal that
               asks to stop: by then the runs have saved their state, so that the same call continues them
    """
    with alone(folder) as lock:
        if begin:
            begin()
        over = [] if overwrite else [job for job in runs if is_over(job)]
        waiting = [job for job in runs if job not in over]
        for job in over:
            ended(job, None)
        with Progress(runs, over, overwrite, quiet) as progress:
            _work_off(groups(waiting, together, jobs), lock, jobs, overwrite, None if quiet else say, progress, ended)


def _work_off(waiting, lock, jobs, overwrite, tell, progress, ended):
    """Runs the waiting groups, `jobs` processes at a time, until all have ended or a signal asks to stop."""
    live, told, cut_short, lost = [], False, False, []
    with StopRequest() as stop:
        try:
            while live or (waiting and not stop.signal):
                while waiting and len(live) < jobs and not stop.signal:
                    live.append(_Process(waiting.pop(0), jobs, lock, overwrite, tell, progress))
                if stop.signal and not told:
                    told = True
                    _ask_to_stop(live, stop.signal)
                time.sleep(POLL_SECONDS)
                for process in [process for process in live if process.has_ended()]:
                    live.remove(process)
                    if process.refused and len(process.jobs) > 1:
                        # The reason may lie in one run, for example in a damaged file, and all are as they were.
                        waiting[:0] = groups(process.jobs, 0, 2)
                        continue
                    for job in process.jobs:
                        progress.end(job)
                        error = process.error_of(job)
                        if error and told:
                            cut_short = True
                            lost += [] if process.saved else [f"{job.name} ({error})"]
                        else:
                            ended(job, error)
        finally:
            # Otherwise a run that is about to save would be told twice.
            if not told:
                _ask_to_stop(live, signal.SIGTERM)
            for process in live:
                process.wait()
    if waiting or cut_short:
        raise Interrupted(stop.signal, lost)


def _ask_to_stop(processes, number):
    """Passes a signal on: SIGINT as it is, others as SIGTERM, which every program knows."""
    for process in processes:
        process.send_signal(number if number == signal.SIGINT else signal.SIGTERM)


def is_over(job):
    """Returns whether nothing is left to do for a job; nothing is written.

    Raises  UsageError if the folder's run has other settings, or in main.py more epochs; FileError
    """
    folder = RunFolder(job.folder, job.settings, measures=())
    try:
        folder.check()
        outcome = folder.outcome
    except UsageError as error:
        raise UsageError(str(error).removeprefix("--load: ")) from None
    if outcome is None or outcome["outcome"] != "finished":
        return outcome is not None
    # The rows of a table must be of the same number of epochs. The sweep of run.py makes none: a longer run is over.
    if outcome["epochs"] > job.epochs and job.program == MAIN.name:
        raise UsageError(f"--epochs={job.epochs}: {job.folder} holds a run of {outcome['epochs']} epochs already")
    folder.check_weights(f"{l}Lweights" for l in range(job.layers))
    return outcome["epochs"] >= job.epochs


def threads_each(jobs):
    """Returns the number of threads for each of `jobs` runs: the cores divided among them.

    It is at most the number that a single run would use.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(default_count(), cores // jobs))


class _Process:
    """Holds the process of a group of jobs.

    Its output goes to LOG of each job and, with a prefix, to the function `tell`, if any. The process writes to
    LOG of the first job, from where it is copied to the others.
    """

    def __init__(self, group, jobs, lock, overwrite, tell, progress):
        self.jobs, self.error, self._tell, self._progress = group, None, tell, progress
        self._before = {job.name: time_of_change(job.folder / "DONE") for job in group}
        self._by_seed = {str(job.seed): job for job in group if len(group) > 1}
        threads, job = str(threads_each(jobs)), group[0]
        try:
            for each in group:
                each.folder.mkdir(parents=True, exist_ok=True)
            self._copies = [open_log(each.folder, overwrite) for each in group[1:]]
            with open_log(job.folder, overwrite) as log:
                begin = log.tell()
                self._process = children.start(command(group, threads, overwrite), threads, log, lock)
        except OSError as error:
            raise FileError(f"cannot start {job.name} in {job.folder}: {error.strerror}") from error
        self._printed = open(job.folder / LOG, encoding="utf-8", errors="replace")
        self._printed.seek(begin)
        self._rest, self._last = "", ""

    def send_signal(self, number):
        """Sends a signal to the process."""
        self._process.send_signal(number)

    @property
    def saved(self):
        """Returns whether a process that has ended was stopped by a signal and could save."""
        return self._process.returncode in {128 + number for number in STOP_SIGNALS}

    @property
    def refused(self):
        """Returns whether a process that has ended began no run."""
        return self._process.returncode == EXIT_USAGE

    def has_ended(self):
        """Passes on what was printed; returns whether the process has ended.

        Then `error` is None, or the sentence that tells why it failed.
        """
        # The status is asked for first, so that nothing is printed after the last reading.
        status = self._process.poll()
        text = self._printed.read()
        self._copy(text)
        *lines, self._rest = (self._rest + text).split("\n")
        for line in filter(str.strip, lines):
            self._last = line
            self._pass_on(line)
        if status is None:
            return False
        self._close()
        if status < 0:
            self.error = f"ended by {name_of(-status)}"
        elif status not in (0, EXIT_DIVERGED):
            self.error = self._last.removeprefix(f"{self.jobs[0].program}: ") or f"exit status {status}"
        return True

    def _pass_on(self, line):
        """Prints a line of the output, and counts the epoch that it reports."""
        about, text = self._by_seed.get(line.removeprefix("seed ").partition(":")[0]), line
        if about:
            text = line.partition(": ")[2]
        if epoch := re.match(r"epoch (\d+)/", text):
            self._progress.reached(about or self.jobs[0], int(epoch[1]))
        if self._tell:
            self._tell(f"{' and '.join(job.name for job in ([about] if about else self.jobs))}: {text}")

    def _copy(self, text):
        for copy in self._copies:
            copy.write(text.encode(errors="replace"))
            copy.flush()

    def error_of(self, job):
        """Returns why a job has failed; None if it reached its outcome before its process failed."""
        changed = time_of_change(job.folder / "DONE")
        reached = len(self.jobs) > 1 and changed not in (None, self._before[job.name])
        return None if reached else self.error

    def wait(self):
        """Waits until the process has ended."""
        self._process.wait()
        self._copy(self._printed.read())
        self._close()

    def _close(self):
        for file in (self._printed, *self._copies):
            file.close()
