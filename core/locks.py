"""Locks folders, so that no two processes write into the same one, even on different machines."""

import contextlib
import errno
import os
from pathlib import Path

from core import machine
from core.files import FileError
from core.options import UsageError

try:
    import fcntl
except ImportError:  # not on Windows
    fcntl = None

# The file is never deleted: otherwise two processes could lock two files of this name.
NAME = ".lock"
# Errors of flock that mean that another process has the lock.
TAKEN = (errno.EAGAIN, errno.EWOULDBLOCK, errno.EACCES)
UNWRITABLE = (errno.EACCES, errno.EPERM, errno.EROFS)


class FolderLock:
    """A folder that only one process may use, from `take` to `close` or until the process ends.

    Raises FileError if the folder cannot be made or used.

    descriptor  of the open file that is locked, which a child process may inherit; None where there is none
    note        a sentence if two processes in the folder would not be noticed, after `take`; else ""
    """

    def __init__(self, folder):
        self.folder, self.descriptor, self.note = Path(folder), None, ""
        self._signed = False
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self.descriptor = _open(self.folder / NAME) if fcntl else None
        except OSError as error:
            raise FileError(f"cannot use the folder {self.folder}: {error.strerror}") from error

    def take(self, wait=None):
        """Lock the folder; if another process has locked it, raise UsageError or wait for that process.

        wait  function of a sentence, called before the waiting begins; None: do not wait
        """
        try:
            self._lock(fcntl.LOCK_NB if fcntl else 0)
        except OSError as error:
            if error.errno not in TAKEN:
                return self._go_without(error.strerror)
            holder = self._holder()
            if wait is None:
                self.close()
                raise UsageError(f"{self.folder} is in use by another process{holder}") from None
            wait(f"waiting for another sweep in {self.folder}, or what is left of it, to end{holder}")
            self._lock(0)
        if self.descriptor is not None:
            self._sign()

    def close(self):
        """Let other processes use the folder."""
        if self.descriptor is not None:
            with contextlib.suppress(OSError):
                if self._signed:
                    os.ftruncate(self.descriptor, 0)
            os.close(self.descriptor)
        self.descriptor, self._signed = None, False

    def _lock(self, how):
        if self.descriptor is not None:
            fcntl.flock(self.descriptor, fcntl.LOCK_EX | how)
        elif not fcntl:
            self._go_without("not on this system")

    def _go_without(self, reason):
        self.close()
        self.note = f"note: {self.folder} cannot be locked ({reason}): see to it yourself that no other process works in it"

    def _sign(self):
        """Write into the file which process has the lock; on a full disk the file stays empty."""
        job = machine.job()
        text = f"host {machine.host()}, process {os.getpid()}" + (f", job {job}" if job else "")
        with contextlib.suppress(OSError):
            os.ftruncate(self.descriptor, 0)
            self._signed = True
            os.pwrite(self.descriptor, text.encode(errors="replace"), 0)

    def _holder(self):
        """Return the process that has the lock, in brackets; "" if it is unknown."""
        try:
            text = os.pread(self.descriptor, 300, 0).decode(errors="replace").strip()
        except OSError:
            return ""
        return f" ({text})" if text and text.isprintable() else ""


def in_use(folder):
    """Whether a process has the folder; False where the file system or the operating system has no locks.  Nothing is written."""
    if fcntl is None:
        return False
    with contextlib.suppress(OSError):
        descriptor = os.open(Path(folder) / NAME, os.O_RDONLY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError as error:
            return error.errno in TAKEN
        finally:
            os.close(descriptor)
    return False


def _open(path):
    """A file opened for writing: network file systems refuse an exclusive lock on one that is opened for reading only.

    Returns a descriptor for reading, or None, if the file cannot be written: then no process can train in the folder either.
    """
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        if error.errno not in UNWRITABLE:
            raise
    try:
        return os.open(path, os.O_RDONLY)
    except OSError:
        return None
