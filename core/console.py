"""Printing that cannot fail: a closed pipe, a full disk or a terminal that is gone does not end a training."""

import contextlib
import io
import os
import sys

from core.files import descriptor


@contextlib.contextmanager
def lossless():
    """Within this block, text that cannot be printed is dropped, and characters that cannot be encoded are escaped."""
    _occupy_standard_files()
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = dropping = tuple(map(Dropping, before))
    try:
        yield
    finally:
        for stream in dropping:
            stream.give_up()
        sys.stdout, sys.stderr = before


def keep_standard_output(*paths):
    """Prints on stderr until `lossless` ends, if one of these paths (None: no path) is the standard output.

    The file that is written there then stands there alone.
    """
    if any(path and descriptor(path) == 1 for path in paths):
        sys.stdout = sys.stderr


class Dropping:
    """Wraps the text stream `stream`, which is None where there is none, so that `write` and `flush` never fail."""

    def __init__(self, stream):
        self._stream = _Nowhere() if stream is None else stream

    def __getattr__(self, name):
        return getattr(self._stream, name)

    def write(self, text):
        try:
            return self._stream.write(text)
        except UnicodeError:
            encoding = getattr(self._stream, "encoding", None) or "ascii"
            return self.write(text.encode(encoding, "backslashreplace").decode(encoding))
        except (OSError, ValueError):  # the latter from a stream that was closed
            return len(text)

    def flush(self):
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
        return len(text)


def _occupy_standard_files():
    """Opens the standard files that are closed; otherwise a result file could get number 1 or 2 and all that libraries print."""
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            with contextlib.suppress(OSError):
                # The system gives it the lowest number that is free, which is this one.
                os.open(os.devnull, os.O_RDWR)
