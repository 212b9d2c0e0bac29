"""Writes files so that a crash at any moment leaves either the old content or the new one, never a part."""

import contextlib
import errno
import glob
import hashlib
import io
import json
import math
import os
import re
import shutil
import stat
import warnings
from pathlib import Path

import numpy as np

from core.errors import UserError

NOT_FINITE = "not_finite"
# Links that may lead from one to the next, as in Linux.
MOST_LINKS = 40


class FileError(UserError):
    """Says that a file could not be written or is damaged; the text names the file and the reason."""


def make_folder(path):
    """Makes a folder and those above it where they are missing; returns its Path.  Raises FileError."""
    path = Path(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:
        raise FileError(f"cannot use the folder {path}: {getattr(error, 'strerror', None) or error}") from error
    return path


@contextlib.contextmanager
def replacing(path):
    """Yields a file for writing bytes, and gives it the name `path` when the block ends without an error.

    The bytes go to a temporary file, which is flushed to the disk before it replaces `path`. A link stays, and
    the file that it leads to is replaced. A device, a pipe or an open file such as /dev/stdout is appended to.
    Raises  FileError
    """
    path = Path(path)
    try:
        if is_stream(path):
            content = io.BytesIO()
            yield content
            _pour(content.getvalue(), path)
        else:
            with _replacing(_end_of_links(path)) as file:
                yield file
    except OSError as error:
        kept = "" if is_stream(path) else "; what was there is unchanged"
        raise FileError(f"cannot write {path}: {error.strerror or error}{kept}") from error


@contextlib.contextmanager
def _replacing(path):
    """Does the same as `replacing` for a path that is no link and leads to a regular file or to nothing.

    Raises  OSError
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    remove_leftovers(path.parent, glob.escape(path.name))
    try:
        with open(temporary, "wb") as file:
            yield file
            file.flush()
            sync(file.fileno())
        _rename(temporary, path)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def _end_of_links(path):
    end = Path(os.path.realpath(path))
    # The links lead in a circle.
    if end.is_symlink():
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
    return end


def _rename(temporary, path):
    try:
        os.replace(temporary, path)
    except OSError as error:
        if error.errno != errno.EBUSY:
            raise
        # A single file that was mounted into a container can be written, but not replaced.
        with open(temporary, "rb") as source, open(path, "wb") as target:
            shutil.copyfileobj(source, target)


def remove_leftovers(folder, name="*"):
    """Deletes the temporary files of writers that were killed.

    name  of the file that they were writing; "*": of any file in the folder
    """
    with contextlib.suppress(OSError):
        for file in Path(folder).glob(f".{name}.*.tmp"):
            process = file.name.split(".")[-2]
            if process.isdecimal() and not _is_another(int(process)):
                file.unlink()


def _is_another(process):
    """Returns whether another process than this one has this number."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        # The process belongs to somebody else.
        return True
    return process != os.getpid()


def sync(descriptor):
    """Waits until an open file is on the disk, on file systems that support it.

    Raises  OSError if writing fails
    """
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP):
            raise


def is_stream(path):
    """Returns whether writing to a path means writing into something open: a device, a pipe, /dev/stdout."""
    if descriptor(path) is not None:
        return True
    try:
        kind = os.stat(path).st_mode
    except (OSError, ValueError):
        return False
    return not (stat.S_ISREG(kind) or stat.S_ISDIR(kind))


def descriptor(path):
    """Returns the number of the open file that a path like /dev/stdout or /dev/fd/63 stands for; else None."""
    path = os.path.abspath(path)
    for _ in range(MOST_LINKS):
        named = re.fullmatch(rf"(?:/dev|/proc/(?:self|{os.getpid()}))/fd/(\d+)", path)
        if named:
            return int(named[1])
        try:
            path = os.path.join(os.path.dirname(path), os.readlink(path))
        except (OSError, ValueError):
            # The path is not a link.
            return None
    return None


def _pour(content, path):
    """Writes bytes into a stream, after everything that was printed before.  Raises OSError."""
    number = descriptor(path)
    if number is not None:
        print(end="", flush=True)
    with open(path if number is None else os.dup(number), "wb") as file:
        file.write(content)


def write_text(path, text):
    """Writes a text file in one piece, as `replacing` does."""
    with replacing(path) as file:
        # File names in the text may consist of any bytes.
        file.write(text.encode(errors="surrogateescape"))


def write_json(path, content):
    """Writes a dict as strict JSON, which cannot express numbers that are not finite.

    null stands for such a number, and an additional key tells its value: "not_finite": {"loss_test": "nan",
    "losses/3": "inf"}, where losses/3 is entry 3 of the list losses. `read_json` restores the numbers.
    Raises  FileError
    """
    write_text(path, json_text(content) + "\n")


def json_text(content, **settings):
    """Returns the text that `write_json` writes; further arguments go to json.dumps."""
    strange = {}
    strict = _finite(content, "", strange)
    return json.dumps(strict | ({NOT_FINITE: strange} if strange else {}), indent=2, allow_nan=False, **settings)


def _finite(content, place, strange):
    """Returns a copy of nested dicts and lists with None for every number that is not finite.

    Such a number is entered into the dict `strange` under its place.
    """
    if isinstance(content, dict):
        return {key: _finite(value, f"{place}/{key}", strange) for key, value in content.items()}
    if isinstance(content, (list, tuple)):
        return [_finite(value, f"{place}/{index}", strange) for index, value in enumerate(content)]
    if isinstance(content, float) and not math.isfinite(content):
        strange[place[1:]] = repr(float(content))
        return None
    return content


def _put_back(content):
    """Restores in `content` the numbers that `write_json` left out.

    Raises  LookupError, TypeError or ValueError
    """
    for place, word in content.pop(NOT_FINITE, {}).items():
        *way, last = place.split("/")
        inner = content
        for step in way:
            inner = inner[step if isinstance(inner, dict) else int(step)]
        inner[last if isinstance(inner, dict) else int(last)] = float(word)


def read_json(path, /, **expected):
    """Returns the content of a JSON file: a dict that has the keys `expected` with values of these types.

    Raises  FileError if the file is damaged
    """
    try:
        content = json.loads(read_bytes(path))
        if isinstance(content, dict):
            _put_back(content)
    except (OSError, ValueError, RecursionError, LookupError, TypeError, AttributeError) as error:
        raise FileError(f"{path} is damaged or unreadable ({_first_line(error)})") from None
    for key, kind in expected.items():
        if not isinstance(content, dict) or not isinstance(content.get(key), kind):
            raise FileError(f"{path} is damaged: it has no valid {key!r}")
    return content


def read_bytes(path):
    """Returns the content of a regular file; a pipe or a device, whose content may have no end, is not read.

    Raises  OSError
    """
    if is_stream(path):
        raise OSError(errno.EINVAL, "it is no regular file")
    return Path(path).read_bytes()


def write_array(path, array):
    """Writes a host array to an npy file, in one piece."""
    with replacing(path) as file:
        np.save(file, array, allow_pickle=False)


def write_arrays(path, arrays):
    """Writes {name: host array} to an uncompressed npz file, with a checksum of all arrays."""
    with replacing(path) as file:
        np.savez(file, **arrays, **{CHECKSUM: _checksum(arrays)})


def read_arrays(path):
    """Returns {name: array} of a file that `write_arrays` wrote; it never unpickles.

    Raises  FileError if the file is truncated or altered. The archive's own CRC-32 would not notice altered headers of
            arrays.
    """
    try:
        data = read_bytes(path)
        with warnings.catch_warnings(), np.load(io.BytesIO(data), allow_pickle=False) as archive:
            # Damage that numpy only warns of makes the checksum differ.
            warnings.simplefilter("ignore")
            arrays = {name: archive[name] for name in archive.files}
    except OSError as error:
        raise FileError(f"cannot read {path}: {_first_line(error.strerror or error)}") from error
    except Exception as error:
        # Of damaged bytes zipfile, zlib, struct, tokenize and numpy each raise errors of their own.
        raise FileError(f"{path} is damaged ({_first_line(error)}); nothing was changed") from None
    checksum = arrays.pop(CHECKSUM, None)
    if checksum is None or not np.array_equal(checksum, _checksum(arrays)):
        raise FileError(f"{path} is damaged (its checksum is wrong or missing); nothing was changed")
    return arrays


CHECKSUM = "sha256"


def _checksum(arrays):
    """Returns the SHA-256 of names, types, shapes and bytes, as 32 numbers."""
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = np.asarray(arrays[name])
        digest.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        digest.update(np.ascontiguousarray(array).view(np.uint8).reshape(-1).data if array.ndim else array.tobytes())
    return np.frombuffer(digest.digest(), dtype=np.uint8)


def _first_line(error):
    return (str(error).strip() or type(error).__name__).splitlines()[0]
