"""Opens and reads the logs of runs: files in their folders with all that the programs of a sweep print."""

import contextlib

from core.files import read_bytes
from core.locks import in_use
from core.recording import LOG


def open_log(folder, anew):
    """Returns the log in a run folder, open for writing at its end.  Raises OSError.

    anew  whether a new run starts there: then the log is emptied first, unless another process has the folder
    """
    path = folder / LOG
    if anew and not in_use(folder):
        path.write_bytes(b"")
    return open(path, "ab")


def last_error(job):
    """Returns the sentence with which the program ended a job's run, from its log; None if it logged none."""
    with contextlib.suppress(OSError):
        *_, last = read_bytes(job.folder / LOG).decode(errors="replace").splitlines() or [""]
        prefix = f"{job.program}: "
        if last.startswith(prefix) and not last.startswith(f"{prefix}note: "):
            return last.removeprefix(prefix)
    return None
