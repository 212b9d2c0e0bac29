"""Downloads one file, so that a file under its final name is always complete and right."""

import glob
import os
from contextlib import closing, suppress

from core.files import sync

# Seconds without a byte from the server, not for the whole file.
TIMEOUT = 30.0
PIECE = 1 << 16


class DownloadError(Exception):
    """Says why a file could not be had from its server; errors of local files stay OSErrors."""


def fetch(url, target, limit, check, quiet=False):
    """Downloads a file under a temporary name in the folder of its target, checks it, and then renames it.

    url      of the file
    target   pathlib.Path to create; its folder is made if it is missing
    limit    the most bytes accepted
    check    function of the temporary path; it raises an error if the file is wrong
    quiet    whether there is no progress bar, as when stderr is not a terminal
    Returns  the result of check
    Raises   DownloadError for the server and the network, OSError if the folder cannot be written, and the errors of
             check; the temporary file is always removed, also after Ctrl-C
    """
    # The process and a random part in the name keep two simultaneous downloads apart.
    partial = target.with_name(f".{target.name}.{os.getpid()}-{os.urandom(4).hex()}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _remove_leftovers(target)
        with open(partial, "xb") as file, closing(_receive(url, limit, quiet)) as pieces:
            for piece in pieces:
                file.write(piece)
            file.flush()
            sync(file.fileno())
        checked = check(partial)
        # A file that appeared there meanwhile must not be replaced.
        if not os.path.lexists(target):
            os.rename(partial, target)
            _sync_folder(target.parent)
        return checked
    finally:
        with suppress(OSError):
            partial.unlink()


def _remove_leftovers(target):
    """Deletes the temporary files of killed downloads of this file; those of downloads in progress stay."""
    with suppress(OSError):
        for partial in target.parent.glob(f".{glob.escape(target.name)}.*-*.part"):
            process = partial.name.split(".")[-2].partition("-")[0]
            try:
                os.kill(int(process), 0)
            except ProcessLookupError:
                partial.unlink()
            except (OSError, ValueError, OverflowError):
                continue


def _receive(url, limit, quiet):
    """Yields the file in pieces; the caller's failure to write is not mistaken for one of the network."""
    # Imported here because most runs never download, and these cost more than the rest of the package.
    from http.client import HTTPException
    from urllib.error import HTTPError, URLError
    from urllib.request import urlopen

    from tqdm import tqdm

    try:
        with urlopen(url, timeout=TIMEOUT) as response:
            length = response.headers.get("Content-Length", "")
            total = int(length) if length.isdecimal() else None
            received = 0
            name = url.rpartition("/")[2]
            # With disable=None tqdm draws a bar only on a terminal.
            with tqdm(desc=name, total=total, unit="B", unit_scale=True, disable=quiet or None) as bar:
                while piece := response.read(PIECE):
                    received += len(piece)
                    if received > limit:
                        raise DownloadError(f"the server sends more than the {limit} bytes this file can have")
                    bar.update(len(piece))
                    yield piece
        # http.client passes over a connection closed early.
        if total is not None and received != total:
            raise DownloadError(f"the connection was cut after {received} of {total} bytes")
    except HTTPError as error:
        error.close()
        raise DownloadError(f"the server answered {error.code} {error.reason}") from error
    except URLError as error:
        raise DownloadError(f"no connection: {error.reason}") from error
    except (OSError, HTTPException) as error:
        # Some of these texts quote what the server sent, line ends included, and some are empty.
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DownloadError(f"the connection failed: {reason}") from error


def _sync_folder(folder):
    # The rename itself survives a power cut only once the folder is on disk; some systems cannot sync folders.
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
