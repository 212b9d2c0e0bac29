"""Writing files so that a crash at any moment leaves the old content or the new, never a part."""

import contextlib
import hashlib
import io
import json
import os
import warnings
from pathlib import Path

import numpy as np


class FileError(Exception):
    """A file could not be written or is damaged; the text names it and says why."""


def make_folder(path):
    """Make a folder and those above it, unless it is there already, and return it as a Path.  Raises FileError."""
    path = Path(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:
        raise FileError(f"cannot use the folder {path}: {getattr(error, 'strerror', None) or error}") from error
    return path


@contextlib.contextmanager
def replacing(path):
    """Open a temporary file beside `path` for writing bytes; flush it to the disk and rename it when the block ends well."""
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        raise FileError(f"cannot write {path}: {error.strerror or error}; what was there is unchanged") from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def write_text(path, text):
    with replacing(path) as file:
        file.write(text.encode())


def write_json(path, content):
    write_text(path, json.dumps(content, indent=2) + "\n")


def read_json(path, **expected):
    """The content of a JSON file, a dict that holds the keys `expected` with values of these types.

    Raises FileError if it is damaged.
    """
    try:
        content = json.loads(Path(path).read_text())
    except (OSError, ValueError, RecursionError) as error:
        raise FileError(f"{path} is damaged or unreadable ({_first_line(error)})") from None
    for key, kind in expected.items():
        if not isinstance(content, dict) or not isinstance(content.get(key), kind):
            raise FileError(f"{path} is damaged: it says nothing of {key!r}")
    return content


def write_array(path, array):
    with replacing(path) as file:
        np.save(file, array, allow_pickle=False)


def write_arrays(path, arrays):
    """An uncompressed npz file of {name: host array}, with a checksum of them all."""
    with replacing(path) as file:
        np.savez(file, **arrays, **{CHECKSUM: _checksum(arrays)})


def read_arrays(path):
    """{name: array} of a file by `write_arrays`; nothing is ever unpickled.

    Raises FileError if the file is truncated or altered: the archive's own CRC-32 does not cover the headers of the arrays.
    """
    try:
        data = Path(path).read_bytes()
        with warnings.catch_warnings(), np.load(io.BytesIO(data), allow_pickle=False) as archive:
            warnings.simplefilter("ignore")  # whatever is odd shows in the checksum
            arrays = {name: archive[name] for name in archive.files}
    except OSError as error:
        raise FileError(f"cannot read {path}: {_first_line(error.strerror or error)}") from error
    except Exception as error:  # zipfile, zlib, struct, tokenize and numpy each raise their own on damaged bytes
        raise FileError(f"{path} is damaged ({_first_line(error)}); nothing was changed") from None
    checksum = arrays.pop(CHECKSUM, None)
    if checksum is None or not np.array_equal(checksum, _checksum(arrays)):
        raise FileError(f"{path} is damaged (its checksum is wrong or missing); nothing was changed")
    return arrays


CHECKSUM = "sha256"


def _checksum(arrays):
    """SHA-256 of names, types, shapes and bytes, as 32 numbers."""
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = np.asarray(arrays[name])
        digest.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        digest.update(np.ascontiguousarray(array).view(np.uint8).reshape(-1).data if array.ndim else array.tobytes())
    return np.frombuffer(digest.digest(), dtype=np.uint8)


def _first_line(error):
    return (str(error).strip() or type(error).__name__).splitlines()[0]
