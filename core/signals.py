"""Handles signals that ask a program to stop.

Every script imports this module before modules that load slowly (see `start`), so it must not import any of those
itself.
"""

import contextlib
import importlib.util
import os
import signal
import sys
import time

NAMES = ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGXCPU")
STOP_SIGNALS = tuple(getattr(signal, name) for name in NAMES if hasattr(signal, name))
# Packages that every program needs; the others are optional.
NEEDED = ("numpy", "tqdm")
# Signals that end a program at once when they come a second time.
IMPATIENT = (signal.SIGINT, signal.SIGTERM)
# The reading and the writing end of the pipe of `_note_arrivals`, once it is open.
_pipe = []
# Launchers send a signal twice: within so many seconds of the first signal a second one changes nothing.
SAME_WISH = 1.0


def name_of(number):
    """Returns the name of a signal; "signal 35" where it has no name of its own."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


class Stopped(KeyboardInterrupt):
    """Says that a signal arrived while there was nothing to save; `signal` is its number."""

    def __init__(self, number):
        super().__init__(signal.Signals(number).name)
        self.signal = number


class StopRequest:
    """Records a signal that asks to stop, within a block: `signal` is its number, None before.

    The first signal counts. Further ones change nothing, except that SIGINT and SIGTERM end the process at once if
    they come more than SAME_WISH seconds later. Requests may be nested: the inner one starts with what the outer one
    has recorded, and passes on what it records itself. Signals that were ignored when the program began stay ignored,
    as with nohup, except for SIGINT and SIGTERM, which shells ignore for programs in the background. Signals that a
    host program handles outside of Python stay with that program.

    answer  function of the number, called at the first signal; it may raise an error
    """

    def __init__(self, answer=None):
        self.signal, self._since, self._answer = None, None, answer
        self._outer, self._previous = None, {}

    def __enter__(self):
        # Outside the main thread Python allows no handlers: there signals stay with the caller.
        with contextlib.suppress(ValueError):
            _note_arrivals()
            for number in STOP_SIGNALS:
                before = signal.getsignal(number)
                if before is None or (before == signal.SIG_IGN and number not in IMPATIENT):
                    continue
                owner = getattr(before, "__self__", None)
                if isinstance(owner, StopRequest):
                    self._outer = owner
                    self.signal, self._since = owner.signal, owner._since
                signal.signal(number, self._hear)
                self._previous[number] = before
        return self

    def __exit__(self, *exception):
        if self._outer and self._outer.signal is None:
            self._outer.signal, self._outer._since = self.signal, self._since
        for number, before in self._previous.items():
            signal.signal(number, before)

    def _hear(self, number, frame):
        now, arrived = time.monotonic(), _arrived()
        if self.signal is None:
            self.signal, self._since = next(filter(self._previous.__contains__, arrived), number), now
            if self._answer:
                self._answer(self.signal)
        elif number in IMPATIENT and now - self._since > SAME_WISH:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)


def _note_arrivals():
    """Makes Python write the number of every signal into a pipe, in the order in which they arrive.

    Of signals that arrive while a library computes, Python calls the handler of the lowest number first. A host
    program that has such a pipe keeps its own.
    Raises  ValueError outside the main thread
    """
    host = signal.set_wakeup_fd(-1)
    if host == -1 and not _pipe:
        _pipe.extend(os.pipe())
        for end in _pipe:
            os.set_blocking(end, False)
    signal.set_wakeup_fd(_pipe[1] if host == -1 else host, warn_on_full_buffer=False)


def _arrived():
    """Returns the numbers of the signals that have arrived since the last call, as bytes."""
    with contextlib.suppress(BlockingIOError, IndexError):
        return os.read(_pipe[0], 1000)
    return b""


class _Start(StopRequest):
    """Ends a program at a signal before its work begins, and ignores signals after its work is done."""

    def __init__(self):
        super().__init__(self._leave)

    def _leave(self, number):
        with contextlib.suppress(OSError):
            os.write(2, f"{os.path.basename(sys.argv[0])}: interrupted before it began\n".encode(errors="replace"))
        os._exit(128 + number)

    def let_go(self):
        """Ignores these signals from now on.

        The interpreter resets handlers at its end, where the second of two signals would otherwise kill the
        process.
        """
        for number in self._previous:
            signal.signal(number, signal.SIG_IGN)


def start():
    """Makes every signal that asks to stop end the program, with one line and status 128 + its number.

    Every script calls this before its other imports, which take long; it adds its own folder to the path of modules
    because PYTHONSAFEPATH hides it.  Where a package is missing that all programs need, it ends the program with one
    sentence and status 2.
    """
    occupy_standard_files()
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        who = os.path.basename(sys.argv[0])
        lacks = " and no ".join(missing)
        print(f"{who}: {sys.executable} has no {lacks}: pip install -r requirements.txt", file=sys.stderr)
        raise SystemExit(2)
    _Start().__enter__()


@contextlib.contextmanager
def stoppable():
    """Raises Stopped at the first signal that asks to stop, within the block.

    A StopRequest inside the block takes the signal instead.
    """

    def answer(number):
        raise Stopped(number)

    request = StopRequest(answer)
    try:
        with request:
            yield
    finally:
        if isinstance(request._outer, _Start):
            request._outer.let_go()


def occupy_standard_files():
    """Opens the standard files that are closed.

    Otherwise another file could get the number 1 or 2, and would receive all that libraries print.
    """
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            with contextlib.suppress(OSError):
                # The system gives it the lowest number that is free, which is this one.
                os.open(os.devnull, os.O_RDWR)
