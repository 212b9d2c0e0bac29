"""Writing files so that a crash at any moment leaves the old content or the new, never a part."""

import contextlib
import io
import json
import os
from pathlib import Path

import numpy as np


class FileError(Exception):
    """A file could not be written or is damaged; the text names it and says why."""


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


def read_json(path):
    """The content of a JSON file.  Raises FileError if it is damaged."""
    try:
        return json.loads(Path(path).read_text())
    except (OSError, ValueError) as error:
        raise FileError(f"{path} is damaged or unreadable ({error})") from None


def write_array(path, array):
    with replacing(path) as file:
        np.save(file, array, allow_pickle=False)


def write_arrays(path, arrays):
    """An uncompressed npz file of {name: host array}."""
    with replacing(path) as file:
        np.savez(file, **arrays)


def read_arrays(path):
    """{name: array} of an npz file; every byte is checked by the archive's CRC-32, and nothing is ever unpickled.

    Raises FileError if the file is truncated or altered.
    """
    try:
        data = Path(path).read_bytes()
        with np.load(io.BytesIO(data), allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except OSError as error:
        raise FileError(f"cannot read {path}: {error.strerror}") from error
    except Exception as error:  # zipfile, zlib, struct and numpy each raise their own on damaged bytes
        raise FileError(f"{path} is damaged ({error}); nothing was changed") from None
