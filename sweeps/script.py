"""Defines the skeleton of scripts that train several runs of main.py: how each run and the script end."""

import shlex

from core.errors import UserError
from core.files import FileError
from core.paths import check_room, time_of_change
from core.program import EXIT_DIVERGED, EXIT_FAILED, StoppedByError, complain, run_program
from core.recording import LOG, RunFolder
from dfc.measures.summary import DONE, read_summary
from sweeps import listing
from sweeps.processes import Interrupted, run_all


class Sweep:
    """Holds the runs of one command and their results so far.

    A subclass writes the results of a run in `write`; its constants are printed about a run that has not
    finished.

    prog       name of the script
    folder     of the sweep
    runs       list of sweeps.processes.Job
    options    sweeps.listing.ListOptions with jobs, quiet, overwrite
    together   runs in each process, see sweeps.processes.groups
    summaries  {name of a run: its summary}, as runs end
    failed     names of the runs that failed
    """

    together = 1
    # Whether a failed run counts with the numbers that it had reached.
    keeps_failed = False
    of_failed = " and is left out"
    of_stopped = "its row holds what it had reached, -1 where nothing"
    continued = "the same command continues"

    def __init__(self, prog, folder, runs, options):
        self.prog, self.folder, self.runs, self.options = prog, folder, runs, options
        self.summaries, self.failed, self._earlier = {}, [], {}

    def lines_asked_for(self):
        """Returns the lines that --list or --status print; None if neither was given."""
        return listing.lines_asked_for(self.runs, self.options, self.together, self.options.jobs)

    def run(self):
        """Runs every job to its outcome and writes its results.

        Raises  StoppedByError, and the errors of run_all and `begin`
        """
        options, how = self.options, (self.together, self.begin)
        for run in self.runs:
            check_room(run.folder)
        try:
            run_all(self.runs, self.folder, self._take, options.jobs, options.quiet, options.overwrite, *how)
        except Interrupted as stop:
            stop.earlier = [folder for folder, time in self._earlier.items() if time and time == _begun(folder)]
            raise

    def begin(self):
        """Prepares the folder, once no other sweep works in it; notes the runs that --overwrite is to delete.

        Raises  UsageError, FileError
        """
        self._earlier = {run.folder: _begun(run.folder) for run in self.runs if self.options.overwrite}

    def write(self, run):
        """Writes the results of the run that has just ended, together with those of all before it.

        Raises  FileError
        """
        raise NotImplementedError

    def words_to_continue(self):
        """Returns the words to add to the command line in order to continue this sweep."""
        return []

    def _take(self, run, error):
        summary = {}
        try:
            if error is not None:
                # In the folder of a run that has failed there may still be one of other settings.
                RunFolder(run.folder, run.settings, measures=()).check()
            summary = read_summary(run.folder)
        except UserError as problem:
            error = error or str(problem)
        if error is not None:
            self.failed.append(run.name)
            complain(f"{run.name} failed{self.of_failed}: {error} (see {run.folder / LOG})")
            if not self.keeps_failed:
                return
        elif summary["finished"] != DONE:
            complain(f"note: {run.name} diverged or was stopped early; {self.of_stopped}")
        self.summaries[run.name] = summary
        try:
            self.write(run)
        except FileError as problem:
            raise StoppedByError(f"{problem}; {self.continued}") from problem

    def finished(self, run):
        """Returns whether a run came to its own end."""
        return (
            run.name in self.summaries and run.name not in self.failed and self.summaries[run.name]["finished"] == DONE
        )

    @property
    def status(self):
        """Returns the exit status of a sweep that came to its end."""
        if self.failed:
            return EXIT_FAILED
        return 0 if all(map(self.finished, self.runs)) else EXIT_DIVERGED


def _begun(folder):
    return time_of_change(folder / "config.json")


def run_sweep(prog, argv, make, conclude):
    """Runs and concludes a sweep, or prints its state if its options say so; returns the exit status.

    It is 0; 1 if a run failed; 3 if one diverged or was stopped early; 2 for a mistake; 128 + its number after a
    signal.

    argv      the command line, which is printed after an interruption
    make      function () -> Sweep
    conclude  function of the Sweep whose runs have ended
    """

    def run():
        sweep = make()
        lines = sweep.lines_asked_for()
        if lines is not None:
            print(*lines, sep="\n", end="\n" if lines else "")
            return 0
        try:
            sweep.run()
        except Interrupted as stop:
            words = [word for word in argv if word != "--overwrite"]
            again = shlex.join(["python", prog, *words, *sweep.words_to_continue()])
            lost = f", but without saving {', '.join(stop.lost)}" if stop.lost else " and saved"
            # Otherwise they would be refused, or taken for runs of this sweep.
            left = shlex.join(map(str, stop.earlier))
            first = f"delete the earlier runs that --overwrite has not reached, {left}, then " if left else ""
            text = f"stopped{lost}; {first}this command continues: {again}"
            raise StoppedByError(text, 128 + stop.signal) from None
        conclude(sweep)
        return sweep.status

    return run_program(prog, run, "interrupted before the first run or after the last")
