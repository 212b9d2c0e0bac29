"""Runs a script to its exit status (docs/files.md): errors are one sentence, and printing cannot fail.

A closed pipe, a full disk or a lost terminal does not end a training.
"""

import contextlib
import contextvars
import io
import os
import signal
import sys
from pathlib import Path

from tqdm import tqdm

from core.errors import UserError
from core.files import descriptor
from core.paths import printable
from core.signals import occupy_standard_files, stoppable

# The script that was called: one that hands its work to another keeps its own name.
_program = contextvars.ContextVar("program")

EXIT_FAILED, EXIT_USAGE, EXIT_DIVERGED = 1, 2, 3


class StoppedByError(Exception):
    """Says that work had to stop for a reason outside the command line; the text tells how to go on.

    status  the exit status
    """

    def __init__(self, text, status=EXIT_FAILED):
        super().__init__(text)
        self.status = status


def complain(sentence):
    """Prints the name of the script and a sentence on stderr, above the progress bars."""
    tqdm.write(f"{_program.get(Path(sys.argv[0]).name)}: {printable(sentence)}", file=sys.stderr)


def run_program(prog, run, interrupted="interrupted before training began; nothing was saved"):
    """Calls `run`, prints one sentence on stderr if it went wrong, and returns the exit status.

    Meanwhile text that cannot be printed is dropped, and does not change the exit status.

    prog         name of the script, with which every complaint begins, unless a script that was called before has named
                 itself
    run          function () -> exit status
    interrupted  the sentence for Ctrl-C, or another signal that asks to stop, if it arrives outside of a training loop
    """
    token = _program.set(_program.get(prog))
    try:
        with lossless(), stoppable():
            return _status(run, interrupted)
    finally:
        _program.reset(token)


def _status(run, interrupted):
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
    complain(sentence)
    return status


def shortage(error):
    """Returns, as part of a sentence, which resource was lacking (memory or threads); None for other errors."""
    if isinstance(error, MemoryError):
        return f"there is not enough memory ({error})" if str(error) else "there is not enough memory"
    if isinstance(error, RuntimeError) and "new thread" in str(error):
        return f"no more threads can be started ({error}); --threads=1 needs none"
    return None


def tell_end(outcome, endings, path, who="", **more):
    """Prints how a run ended; returns the exit status.

    outcome  what DONE contains, and the signal of an interruption
    endings  {outcome: sentence}; its fields in braces are those of `outcome` and of `more`, path, and begun, the epoch
             that was not finished
    who      the beginning of the sentence
    """
    kind = outcome["outcome"]
    known = {"reason": kind, "path": path, "begun": outcome.get("epoch", 0) + 1} | more | outcome
    sentence = who + endings[kind].format_map(known)
    if kind in ("diverged", "singular"):
        complain(f"{sentence}. Everything saved before stays in {path}")
        return EXIT_DIVERGED
    say(sentence)
    return 128 + outcome["signal"] if kind == "interrupted" else 0


def say(line):
    """Prints a line above the progress bars, and flushes it for those who follow a file."""
    tqdm.write(line)
    sys.stdout.flush()


@contextlib.contextmanager
def lossless():
    """Drops text that cannot be printed and escapes characters that cannot be encoded, within the block."""
    occupy_standard_files()
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = dropping = tuple(map(Dropping, before))
    try:
        yield
    finally:
        for stream in dropping:
            stream.give_up()
        sys.stdout, sys.stderr = before


def keep_standard_output(*paths):
    """Redirects printing to stderr until `lossless` ends, if one of these paths is the standard output.

    Then the standard output contains nothing but the file that is written there. A path may be None.
    """
    if any(path and descriptor(path) == 1 for path in paths):
        sys.stdout = sys.stderr


class Dropping:
    """Wraps a text stream so that `write` and `flush` never fail; `stream` is None where there is no stream."""

    def __init__(self, stream):
        self._stream = _Nowhere() if stream is None else stream

    def __getattr__(self, name):
        return getattr(self._stream, name)

    def write(self, text):
        """Writes text; returns the number of characters taken, also where they are lost."""
        try:
            return self._stream.write(text)
        except UnicodeError:
            encoding = getattr(self._stream, "encoding", None) or "ascii"
            return self.write(text.encode(encoding, "backslashreplace").decode(encoding))
        except (OSError, ValueError):
            # A closed stream raises ValueError.
            return len(text)

    def flush(self):
        """Flushes the stream, if it can be flushed."""
        with contextlib.suppress(OSError, ValueError):
            self._stream.flush()

    def give_up(self):
        """Flushes the stream and discards text that cannot be written.

        Otherwise the interpreter would try to write the text at its end and complain.
        """
        try:
            self._stream.flush()
        except (OSError, ValueError):
            with contextlib.suppress(OSError, ValueError):
                nowhere = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nowhere, self._stream.fileno())
                os.close(nowhere)
                self._stream.flush()


class _Nowhere(io.TextIOBase):
    """Takes the place of a stream that was closed before the program began."""

    encoding = "utf-8"

    def write(self, text):
        """Returns the number of characters taken; the text is lost."""
        return len(text)
