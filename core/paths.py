"""Handles paths as users give them: expands `~`, checks that names fit, and reports every failure."""

import contextlib
import itertools
import os
import stat
import sys
from pathlib import Path

from core.files import FileError, make_folder

# Bytes, on all usual file systems; a path ends with one more byte, a zero.
LONGEST_NAME, LONGEST_PATH = 255, 4095
# A temporary name is at most so many bytes longer than the final one.
SPARE = 32
# Bytes of the longest path below a run folder, including its temporary name.
INSIDE = 160


def expanded(text):
    """Returns the path that `text` means, as text, with `~` or `~user` replaced by that home.

    Raises  ValueError if the path is empty or no file can have that name; its text continues the name of an option
    """
    if not text:
        raise ValueError("is empty: must be the name of a folder or of a file; . is the current folder")
    path = os.path.expanduser(text)
    problem = unfit(path)
    if problem:
        raise ValueError(problem)
    return path


def unfit(path, spare=0, inside=0):
    """Returns why nothing can be written at a path, as a text that continues its name; None if its names fit.

    spare   bytes that its last name must leave free
    inside  bytes that must be left for what is written below it
    """
    try:
        data = os.fsencode(path)
    except UnicodeEncodeError:
        return "holds a character that no file name can have"
    if b"\0" in data:
        return "holds a zero byte, which no file name can have"
    *parents, last = data.split(b"/")
    longest = max([len(last) + spare, *map(len, parents)])
    if longest > LONGEST_NAME:
        own = f", {LONGEST_NAME - spare} for the last one" if spare else ""
        return f"has a name too long: {max(map(len, (last, *parents)))} bytes, where {LONGEST_NAME} are the most{own}"
    if len(data) + max(spare, inside) > LONGEST_PATH:
        return f"is too long: {len(data)} bytes, where {LONGEST_PATH - max(spare, inside)} are the most"
    return None


def unfit_name(name):
    """Returns why a text cannot be the name of a file in a given folder; None if it can."""
    try:
        name.encode()
    except UnicodeEncodeError:
        encoding = sys.getfilesystemencoding()
        return f"holds bytes that are no characters in this locale ({encoding}); LC_ALL=C.UTF-8 knows most"
    if name in (".", "..") or not name.isprintable() or "/" in name or "\\" in name:
        return "must be the name of a folder or of a file, without another folder in front of it"
    return None


def check_room(path, inside=INSIDE):
    """Raises FileError for a folder whose files would have names that are too long."""
    problem = unfit(path, inside=inside)
    if problem:
        raise FileError(f"cannot use the folder {shortened(path)}: it {problem}")


def unfit_output(path):
    """Returns why no file can be written at a path, as a text that continues its name; None if it can.

    The temporary name of the file must fit, too.
    """
    return unfit(path, spare=SPARE) or ("is a folder" if os.path.isdir(path) else None)


def check_output(path):
    """Raises FileError for a file that could not be written: see `unfit_output`."""
    problem = unfit_output(path)
    if problem:
        raise FileError(f"cannot write {shortened(path)}: it {problem}")


def shortened(path):
    """Returns a path as text for an error: only both ends of a long one, and unprintable characters escaped."""
    text = printable(path)
    return text if len(text) <= 1000 else f"{text[:90]} ... {text[-90:]}"


def printable(text):
    """Returns a text on one line: line ends and all other characters that cannot be printed are escaped."""
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in str(text))


def time_of_change(path):
    """Returns when a file was written, in ns; None if it cannot be looked at."""
    with contextlib.suppress(OSError):
        return os.stat(path).st_mtime_ns
    return None


def exists(path):
    """Returns whether something lies at a path, after following links.

    Raises  FileError where that cannot be found out
    """
    return _mode(path) is not None


def is_folder(path):
    """Returns whether a path is a folder, after following links.

    Raises  FileError where that cannot be found out
    """
    mode = _mode(path)
    return mode is not None and stat.S_ISDIR(mode)


def entries(folder):
    """Returns the names in a folder in alphabetical order; [] where there is no such folder.

    Raises  FileError
    """
    try:
        return sorted(os.listdir(folder))
    except FileNotFoundError:
        return []
    except (OSError, ValueError) as error:
        raise FileError(f"cannot use the folder {shortened(folder)}: {reason(error)}") from None


def reason(error):
    """Returns what an OSError or another error says, without the path."""
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def make_numbered(path):
    """Makes and returns a new folder with the name of `path`, or with that name and _2, _3, ….

    No two processes make the same one.
    Raises  FileError
    """
    path = Path(path)
    make_folder(path.parent)
    for number in itertools.count(1):
        folder = path.with_name(path.name + (f"_{number}" if number > 1 else ""))
        try:
            folder.mkdir()
            return folder
        except FileExistsError:
            continue
        except (OSError, ValueError) as error:
            raise FileError(f"cannot use the folder {shortened(folder)}: {reason(error)}") from error


def remove_if_empty(folder):
    """Deletes a folder, if it is empty."""
    with contextlib.suppress(OSError):
        os.rmdir(folder)


def _mode(path):
    try:
        return os.stat(path).st_mode
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        raise FileError(f"cannot look at {shortened(path)}: {reason(error)}") from None
