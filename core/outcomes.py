"""How a run of either system goes from its folder to its outcome, and which exit status follows (docs/files.md, "Exit status")."""

import signal
import sys

from tqdm import tqdm

from core.console import lossless
from core.errors import UserError
from core.files import FileError
from core.paths import printable
from core.signals import stoppable
from core.together import run_together
from core.training import say

EXIT_FAILED, EXIT_USAGE, EXIT_DIVERGED = 1, 2, 3


class StoppedByError(Exception):
    """Work had to stop through no fault of the command line; the text says why and how to go on, `status` is the exit status."""

    def __init__(self, text, status=EXIT_FAILED):
        super().__init__(text)
        self.status = status


def complain(prog, sentence):
    """Prints a sentence on stderr, above the progress bars."""
    tqdm.write(f"{prog}: {printable(sentence)}", file=sys.stderr)


def run_program(prog, run, interrupted="interrupted before training began; nothing was saved"):
    """Calls `run`, prints one sentence on stderr if it went wrong, and returns the exit status.

    What cannot be printed meanwhile is dropped, and changes no exit status.

    prog         name of the script
    run          function () -> exit status
    interrupted  what to say if Ctrl-C or another signal that asks to stop arrives where nothing catches it
    """
    with lossless(), stoppable():
        try:
            return run()
        except UserError as error:
            status, sentence = EXIT_USAGE, error
        except StoppedByError as error:
            status, sentence = error.status, error
        except (MemoryError, RuntimeError) as error:
            status, sentence = EXIT_FAILED, shortage(error)
            if sentence is None:
                raise
        except KeyboardInterrupt as stop:
            status, sentence = 128 + getattr(stop, "signal", signal.SIGINT), interrupted
        complain(prog, sentence)
        return status


def shortage(error):
    """Names, as part of a sentence, the resource whose lack caused an error (memory or threads); None for other errors."""
    if isinstance(error, MemoryError):
        return f"there is not enough memory ({error})" if str(error) else "there is not enough memory"
    if isinstance(error, RuntimeError) and "new thread" in str(error):
        return f"no more threads can be started ({error}); --threads=1 needs none"
    return None


def run_to_outcomes(loops, folders, records, fail=None):
    """Trains from the folders' checkpoints or the beginning, unless nothing is left to do; returns the outcome of each loop.

    loops    list of core.training.Loop of one setting that differ in the seed, which are trained together
    folders  their core.recording.RunFolder, opened
    records  of core.recording.provenance
    fail     see core.together.run_together
    Raises   FileError before the first batch, StoppedByError afterwards
    """
    ended = [_nothing_left(loop, folder) for loop, folder in zip(loops, folders, strict=True)]
    going = [index for index, outcome in enumerate(ended) if outcome is None]
    continued = [_continue(loops[index], folders[index]) for index in going]
    notes = [folders[index].note for index in going]
    for index, had_begun in zip(going, continued, strict=True):
        changed = folders[index].begin(records[index])
        if had_begun and changed:
            notes.append(f"note: {', '.join(changed)} differ from those that this run began with, so that its last digits may")
    for note in filter(None, dict.fromkeys(notes)):
        say(note)
    outcomes = _train([loops[index] for index in going], fail)
    return [outcome or next(outcomes) for outcome in ended]


def _nothing_left(loop, folder):
    """Returns the outcome of a run that has nothing left to do; else None."""
    ended = folder.outcome
    if not ended or (ended["outcome"] == "finished" and ended["epochs"] < loop.schedule.epochs):
        return None
    if ended["outcome"] in ("finished", "stopped"):
        folder.check_weights(loop.learner.net.named_arrays)
    return ended


def _continue(loop, folder):
    """Puts the loop where the folder's checkpoint is; returns whether there is one."""
    checkpoint = folder.checkpoint()
    if checkpoint:
        loop.restore(checkpoint)
    folder.check_progress(loop.learner.net, loop.epoch, loop.series, folder.outcome, bool(checkpoint))
    return bool(checkpoint)


def _train(loops, fail):
    """Returns an iterator over the outcomes of loops that have something to do."""
    try:
        return iter(run_together(loops, fail) if loops else [])
    except (FileError, OSError) as error:
        # An OSError comes from pictures and logs, which other libraries write.
        problem, status, cause = error, EXIT_FAILED, error
    except (MemoryError, RuntimeError) as error:
        problem, status, cause = shortage(error), EXIT_FAILED, error
        if problem is None:
            raise
    except KeyboardInterrupt as error:
        # A host program handles signals in place of the loop.
        problem, status, cause = "interrupted", 128 + signal.SIGINT, error
    epoch = 1 + min(loop.epoch for loop in loops)
    raise StoppedByError(f"{problem}. Training stopped in epoch {epoch}; --load continues it", status) from cause
