"""How a run of either system goes from its folder to its outcome, and what that means to the shell (README, "Exit status")."""

from core.files import FileError
from core.training import say

EXIT_FAILED, EXIT_USAGE, EXIT_DIVERGED = 1, 2, 3


class StoppedByError(Exception):
    """Training had to stop through no fault of the command line; the text says why and how to go on."""


def run_to_an_outcome(loop, folder, record):
    """Train from the folder's checkpoint or the beginning, unless nothing is left to do; returns the outcome.

    loop    core.training.Loop
    folder  core.recording.RunFolder, opened
    record  of core.recording.provenance
    Raises  FileError before the first batch, StoppedByError afterwards
    """
    ended = folder.outcome
    if ended and (ended["outcome"] != "finished" or ended["epochs"] >= loop.schedule.epochs):
        return ended
    checkpoint = folder.checkpoint()
    if checkpoint:
        loop.restore(checkpoint)
    changed = folder.begin(record)
    if checkpoint and changed:
        say(f"note: {', '.join(changed)} differ from those that this run began with, so that its last digits may")
    try:
        return loop.run()
    except (FileError, OSError) as error:  # the latter from pictures and logs, which others write
        raise StoppedByError(f"{error}. Training stopped in epoch {loop.epoch + 1}; --load continues it") from error
