"""Locks folders, so that no two processes write into the same one, even on different machines."""

import contextlib
import errno
import os
import sys
from pathlib import Path

from core import machine
from core.errors import UserError
from core.files import FileError
from core.options import UsageError
from core.paths import exists

try:
    import fcntl
except ImportError:
    # Windows does not have this module.
    fcntl = None

NAME = ".lock"
# A pipe in place of the lock file is not waited for.
AT_ONCE = getattr(os, "O_NONBLOCK", 0)
# Errors of flock that mean that another process has the lock.
TAKEN = (errno.EAGAIN, errno.EWOULDBLOCK, errno.EACCES)
UNWRITABLE = (errno.EACCES, errno.EPERM, errno.EROFS)


class FolderLock:
    """Locks a folder for one process, from `take` to `close` or until the process ends.

    descriptor  of the open file that is locked, which a child process may inherit; None where there is none
    note        after `take`: a sentence if two processes in the folder would not be noticed; else ""
    Raises      FileError if the folder cannot be made or used
    """

    def __init__(self, folder):
        self.folder, self.descriptor, self.note = Path(folder), None, ""
        self._signed = self._made = False
        self._made_folders = []
        self._make()

    def take(self, wait=None):
        """Locks the folder; if another process has locked it, raises UsageError or waits for that process.

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
            wait(f"waiting for another sweep in {self.folder}, or its remaining runs, to end{holder}")
            self._lock(0)
        if self.descriptor is not None and not self._same():
            # The process that had it has deleted the file meanwhile, perhaps with its folder: another one may have
            # locked a new file of this name.
            self.close()
            self._make()
            return self.take(wait)
        if self.descriptor is not None:
            self._sign()

    def close(self, unused=False):
        """Unlocks the folder.

        unused  whether nothing was done there: then the lock file and the folders that were made for it are deleted
        """
        if self.descriptor is not None:
            with contextlib.suppress(OSError):
                if self._signed:
                    os.ftruncate(self.descriptor, 0)
                if self._signed and unused and self._made:
                    os.unlink(self.folder / NAME)
            os.close(self.descriptor)
        self.descriptor, self._signed = None, False
        with contextlib.suppress(OSError):
            for folder in self._made_folders if unused else ():
                folder.rmdir()

    def _make(self, trials=10):
        """Makes the folder and opens its lock file, again if another process deletes the folder in between."""
        missing = [above for above in (self.folder, *self.folder.parents) if not exists(above)]
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._made_folders = max(missing, self._made_folders, key=len)
            self._open()
        except OSError as error:
            if isinstance(error, FileNotFoundError) and trials > 1:
                return self._make(trials - 1)
            raise FileError(f"cannot use the folder {self.folder}: {error.strerror}") from error

    def _open(self):
        """Opens the lock file for writing, as network file systems lock only files that are open for writing.

        If the file cannot be written, no process can train in the folder either: it is opened for reading, or not
        at all.
        """
        if not fcntl:
            return
        path, self._made, self.descriptor = self.folder / NAME, False, None
        try:
            self.descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
            self._made = True
        except FileExistsError:
            self.descriptor = _opened(path)
        except OSError as error:
            if error.errno not in UNWRITABLE:
                raise

    def _same(self):
        """Returns whether the open file is still the one that other processes find in the folder."""
        try:
            return os.path.samestat(os.fstat(self.descriptor), os.stat(self.folder / NAME))
        except (FileNotFoundError, NotADirectoryError):
            return False

    def _lock(self, how):
        if self.descriptor is not None:
            fcntl.flock(self.descriptor, fcntl.LOCK_EX | how)
        elif not fcntl:
            self._go_without("not on this system")

    def _go_without(self, reason):
        if self._made:
            with contextlib.suppress(OSError):
                os.unlink(self.folder / NAME)
        self.close()
        self.note = f"note: {self.folder} cannot be locked ({reason}): make sure that no other process uses it"

    def _sign(self):
        """Writes into the file which process has the lock; on a full disk the file stays empty."""
        job = machine.job()
        text = f"host {machine.host()}, process {os.getpid()}" + (f", job {job}" if job else "")
        with contextlib.suppress(OSError):
            os.ftruncate(self.descriptor, 0)
            self._signed = True
            os.pwrite(self.descriptor, text.encode(errors="replace"), 0)

    def _holder(self):
        """Returns the process that has the lock, in brackets; "" if it is unknown."""
        try:
            text = os.pread(self.descriptor, 300, 0).decode(errors="replace").strip()
        except OSError:
            return ""
        return f" ({text})" if text and text.isprintable() else ""


def in_use(folder):
    """Returns whether a process has locked the folder, without writing anything.

    It is False where the file system or the operating system has no locks.
    """
    if fcntl is None:
        return False
    with contextlib.suppress(OSError):
        descriptor = os.open(Path(folder) / NAME, os.O_RDONLY | AT_ONCE)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError as error:
            return error.errno in TAKEN
        finally:
            os.close(descriptor)
    return False


@contextlib.contextmanager
def alone(folder):
    """Locks a folder within the block, after waiting for any other process that has locked it.

    Yields the descriptor of the lock. Child processes may inherit it: then the folder is locked until the last of
    them ends. If the block ends with a UserError, the lock file and folders that were made for it are deleted.
    """
    lock = FolderLock(folder)
    try:
        lock.take(lambda sentence: print(sentence, file=sys.stderr, flush=True))
        if lock.note:
            print(lock.note, file=sys.stderr, flush=True)
        yield lock.descriptor
    except UserError:
        lock.close(unused=True)
        raise
    finally:
        lock.close()


def _opened(path):
    """Returns the descriptor of a file opened for writing, or if not allowed for reading; None if neither is."""
    for how in (os.O_RDWR | os.O_CREAT, os.O_RDONLY):
        try:
            return os.open(path, how | AT_ONCE, 0o666)
        except OSError as error:
            if how != os.O_RDONLY and error.errno not in UNWRITABLE:
                raise
    return None
