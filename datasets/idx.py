"""Reads IDX files, packed with gzip or plain, and checks their content while reading.

The format (http://yann.lecun.com/exdb/mnist/) is: two zero bytes, a type byte (8: unsigned byte), the number of
axes, the length of each axis as a big-endian 32-bit integer, then the values in C order.
"""

import gzip
import hashlib
import math
import os
import struct
import zlib
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass

import numpy as np

# Large enough that the loop costs nothing, small enough that the unpacked copy of a piece does not count.
PIECE = 1 << 20


class IdxError(Exception):
    """Says what is wrong with a file, as a text to put after its name.

    sha256  the content's checksum if that is wrong; else None
    """

    def __init__(self, clause, sha256=None):
        super().__init__(clause)
        self.sha256 = sha256


@dataclass(frozen=True)
class IdxFile:
    """Describes how a file must be: its unpacked name, the lengths of its axes, and its checksum.

    `sha256` is that of the unpacked content. `gz_md5` is that of the packed file and counts only if `sha256` is
    None; a file with neither is always refused.
    """

    name: str
    shape: tuple
    sha256: str | None = None
    gz_md5: str | None = None

    @property
    def size(self):
        """Returns the length of the unpacked file, header and values, in bytes."""
        return 4 + 4 * len(self.shape) + math.prod(self.shape)


def read(path, expected, packed, classes=10):
    """Reads one file of images or labels, and refuses it unless every byte is as published.

    path      the file
    expected  the IdxFile that it must be, with the shape (count, rows, columns) for images and (count,) for labels
    packed    whether it is packed with gzip
    classes   number of classes; labels lie in 0 to classes - 1
    Returns   uint8 (count, rows * columns), C-contiguous, for images, or int64 (count,) for labels
    Raises    IdxError
    """
    if not packed and expected.sha256 is None:
        raise IdxError(f"cannot be checked, as only the packed file's checksum is published: supply {expected.name}.gz")
    with _as_idx_error(), open(path, "rb") as raw:
        if os.fstat(raw.fileno()).st_size == 0:
            raise IdxError("is empty (0 bytes)")
        with gzip.GzipFile(fileobj=raw) if packed else nullcontext(raw) as stream:
            values, sha256 = _content(stream, expected)
        # The range comes before the checksum because it says more about what is wrong.
        if values.ndim == 1:
            _check_labels(values, classes)
        if expected.sha256 is None:
            _check_md5(raw, expected.gz_md5)
        elif sha256 != expected.sha256:
            raise IdxError(f"has the wrong content (SHA-256 {sha256}, where {expected.sha256} is right)", sha256)
    return values.astype(np.int64) if values.ndim == 1 else values


@contextmanager
def _as_idx_error():
    try:
        yield
    except EOFError as error:
        raise IdxError("is truncated: its gzip data end too early") from error
    except (zlib.error, gzip.BadGzipFile) as error:
        raise IdxError(f"is not valid gzip data ({error})") from error
    except OSError as error:
        raise IdxError(f"cannot be read ({error.strerror or error})") from error


def _content(stream, expected):
    """Returns the values as uint8, (count,) or (count, rows * columns), and the SHA-256 of header and values."""
    header = stream.read(4 + 4 * len(expected.shape))
    _check_header(header, expected)
    # The size comes from what is expected, not from the header: a forged header cannot ask for memory.
    values = np.empty(math.prod(expected.shape), dtype=np.uint8)
    view = memoryview(values)
    digest = hashlib.sha256(header)
    done = 0
    while done < len(view):
        count = stream.readinto(view[done : done + PIECE])
        if not count:
            raise IdxError(f"is truncated: it ends after {len(header) + done} of {expected.size} unpacked bytes")
        digest.update(view[done : done + count])
        done += count
    # Asking for one byte more also makes gzip compare its own checksum at the end of the data.
    if stream.read(1):
        raise IdxError(f"is longer than the {expected.size} unpacked bytes that it should have")
    return values.reshape(expected.shape[0], -1) if len(expected.shape) > 1 else values, digest.hexdigest()


def _check_header(header, expected):
    axes = len(expected.shape)
    if header[:2] == b"\x1f\x8b":
        raise IdxError("is packed with gzip, but its name does not end in .gz")
    if len(header) < 4:
        raise IdxError(f"is truncated: it ends after {len(header)} of {expected.size} unpacked bytes")
    kinds = {0x801: "labels", 0x803: "images"}
    magic = struct.unpack(">I", header[:4])[0]
    if magic != 0x800 + axes:
        found = f"is a file of {kinds[magic]}" if magic in kinds else "is no IDX file of images or labels"
        raise IdxError(f"{found}: its magic number is {magic}, where {kinds[0x800 + axes]} have {0x800 + axes}")
    if len(header) < 4 + 4 * axes:
        raise IdxError(f"is truncated: it ends after {len(header)} of {expected.size} unpacked bytes")
    shape = struct.unpack(f">{axes}I", header[4:])
    if shape != tuple(expected.shape):
        raise IdxError(f"has the wrong shape: its header says {_times(shape)}, where {_times(expected.shape)} is right")


def _times(shape):
    return " x ".join(str(length) for length in shape)


def _check_labels(labels, classes):
    wrong = np.flatnonzero(labels >= classes)
    if wrong.size:
        raise IdxError(f"has the label {labels[wrong[0]]} at index {wrong[0]}, where labels lie in 0 to {classes - 1}")


def _check_md5(raw, right):
    # MD5 because nothing stronger is published: nobody can yet make a second file to a given MD5.
    digest = hashlib.new("md5", usedforsecurity=False)
    raw.seek(0)
    while piece := raw.read(PIECE):
        digest.update(piece)
    if digest.hexdigest() != right:
        raise IdxError(f"is not the published packed file (MD5 {digest.hexdigest()}, where {right} is right)")
