"""Lists the commands that a sweep still has to run, and the state of its runs, from the run folders alone.

Nothing is written or started.
"""

import shlex
from collections import Counter
from dataclasses import dataclass

from core.files import FileError
from core.locks import in_use
from core.options import UsageError, option
from core.recording import RunFolder
from sweeps.logs import last_error
from sweeps.processes import command, groups, is_over
from sweeps.progress import epochs_done

FINISHED, RUNNING, WAITING, FAILED = STATES = ("finished", "running", "waiting", "failed")


@dataclass(frozen=True)
class ListOptions:
    """Holds the options that make a script print the state of its sweep instead of running it."""

    list: bool = option(
        False,
        "print one shell command for each run that is not over, of one thread unless --threads is given; write nothing",
    )
    status: bool = option(False, "print the state of each run, read from its folder alone; write nothing")


def check(options):
    """Raises UsageError for ListOptions that contradict each other or --overwrite."""
    if options.list and options.status:
        raise UsageError("--list: contradicts --status; give one of them")
    if options.overwrite and (options.list or options.status):
        raise UsageError(f"--overwrite: contradicts --{'list' if options.list else 'status'}, which changes nothing")


def lines_asked_for(runs, options, together=1, processes=1):
    """Returns the lines that --list or --status print for a list of Job; None if neither was given.

    together, processes  see sweeps.processes.groups
    Raises               UsageError, FileError
    """
    check(options)
    return listed(runs, together, processes) if options.list else report(runs) if options.status else None


def listed(runs, together=1, processes=1):
    """Returns the commands of the jobs that are not over, quoted for a shell, for the current folder."""
    waiting = [job for job in runs if not is_over(job)]
    return [shlex.join(command(group, 1)) for group in groups(waiting, together, processes)]


def report(runs):
    """Returns one line per job, and one line of counts."""
    width = max((len(job.name) for job in runs), default=0)
    standings = [standing(job) for job in runs]
    lines = [f"{job.name:<{width}}  {text}" for job, (_, text) in zip(runs, standings, strict=True)]
    return [*lines, counts(state for state, _ in standings)]


def counts(states):
    """Returns the number of runs in each state: "finished 3, running 1, waiting 1, failed 0"."""
    found = Counter(states)
    return ", ".join(f"{state} {found[state]}" for state in STATES)


def standing(job):
    """Returns (one of STATES, a text with its epoch or the reason of its failure) of a job, from its folder."""
    try:
        folder = RunFolder(job.folder, job.settings, measures=())
        folder.check()
        outcome = folder.outcome
    except (UsageError, FileError) as error:
        return FAILED, f"failed ({str(error).removeprefix('--load: ')})"
    epochs = outcome["epochs"] if outcome and outcome["outcome"] == "finished" else epochs_done(job)
    where = f" (epoch {epochs}/{job.epochs})"
    if outcome and outcome["outcome"] != "finished":
        return FAILED, f"failed ({outcome['outcome']} in epoch {outcome['epoch']})"
    if outcome and epochs >= job.epochs:
        return FINISHED, FINISHED + (where if epochs > job.epochs else "")
    if in_use(job.folder):
        return RUNNING, RUNNING + where
    reason = None if outcome else last_error(job)
    if reason:
        return FAILED, f"failed{where}: {reason}"
    return WAITING, WAITING + (where if epochs else "")
