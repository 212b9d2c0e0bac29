"""Loads the image sets MNIST, Fashion-MNIST and KMNIST, and checks every byte before it is used."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from core.errors import UserError
from datasets.catalogue import DATA_SETS, ROLES
from datasets.download import DownloadError, fetch
from datasets.idx import IdxError, read
from datasets.places import find, own_folders


class DataError(UserError):
    """Says that a data set is missing or is not as it was published, in one sentence that says what to do."""


# Compared by identity: arrays have no single truth value, so a generated == would raise.
@dataclass(frozen=True, eq=False)
class Dataset:
    """Holds one image set in memory.

    Images are uint8 (count, 784), row by row; labels are int64 (count,), 0 to classes - 1.
    """

    name: str
    train_images: np.ndarray
    train_labels: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray
    classes: int = 10


# The image sets that `load` finds by name.
CATALOGUE = {row.name: row.source for row in DATA_SETS if row.source}


def load(name, data_dir=None, quiet=False, catalogue=None, download=True):
    """Loads an image set from its folder, after downloading the files that are in none of the known places.

    name       a key of the catalogue, such as "MNIST"
    data_dir   the folder that holds or will hold a folder of that name; None: this package's
    quiet      whether there is no progress bar
    catalogue  {name: Source}; None: CATALOGUE
    download   whether missing files are fetched; else DataError names them
    Returns    Dataset; the checksum of every file is the published one
    Raises     DataError for an unknown name, a wrong file (which is left alone), a failed download, a folder that
               cannot be written
    """
    catalogue = CATALOGUE if catalogue is None else catalogue
    if name not in catalogue:
        raise DataError(f"there is no data set {name!r}; the names are {', '.join(sorted(catalogue))}")
    source = catalogue[name]
    root = Path(__file__).parent.resolve() if data_dir is None else Path(data_dir)
    files = {role: getattr(source, role) for role in ROLES}
    found, elsewhere = _search(name, root, source)
    # What is there is judged before anything is downloaded, so that a wrong file costs no wait and changes nothing.
    arrays = {role: _read(path, files[role], source, catalogue) for role, path in found.items() if path is not None}
    others = {role: _read_if_right(elsewhere[role], files[role], source) for role in ROLES if role not in arrays}
    arrays |= {role: array for role, array in others.items() if array is not None}
    missing, folder = [role for role in ROLES if role not in arrays], root / name
    if missing and not download:
        names = ", ".join(files[role].name + ".gz" for role in missing)
        raise DataError(f"{folder}: {names} would have to be downloaded first")
    for index, role in enumerate(missing):
        still = [files[later].name + ".gz" for later in missing[index:]]
        arrays[role] = _download(files[role], source, folder, still, quiet)
    return Dataset(name, **arrays, classes=source.classes)


def _search(name, root, source):
    """Returns ({role: path of its file or None}, {role: the same in a folder without a set's name}).

    Raises  DataError
    """
    try:
        own = [*own_folders(root, (name, *source.names)), *source.folders]
        places = own, [place for place in (root, root / "raw") if place not in own]
        return [{role: find(getattr(source, role).name, folders) for role in ROLES} for folders in places]
    except OSError as error:
        raise DataError(f"{error.filename or root} cannot be searched ({error.strerror or error})") from error


def _read_if_right(path, file, source):
    """Returns the content of a file; None if it belongs to another set, as all sets use the same file names."""
    try:
        return None if path is None else read(path, file, path.suffix == ".gz", source.classes)
    except IdxError:
        return None


def _read(path, file, source, catalogue):
    try:
        return read(path, file, path.suffix == ".gz", source.classes)
    except IdxError as error:
        raise DataError(
            f"{path} {error}{_owner(error.sha256, catalogue)}; nothing was changed or downloaded: put the right file "
            "in its place, or remove it to have it downloaded"
        ) from error


def _owner(sha256, catalogue):
    """Names the file of the catalogue whose content a wrong file has, if any."""
    for name, source in catalogue.items():
        for role in ROLES:
            if sha256 is not None and getattr(source, role).sha256 == sha256:
                return f", it is {getattr(source, role).name} of {name}"
    return ""


def _download(file, source, folder, missing, quiet):
    """Downloads one file into the folder and returns its array; an error names all files still `missing`."""
    url = source.url + file.name + ".gz"
    by_hand = f"put {', '.join(missing)} into {folder} by hand or try again"
    try:
        # A packed file is never much longer than its content; the margin is for gzip's own header.
        check = partial(read, expected=file, packed=True, classes=source.classes)
        return fetch(url, folder / (file.name + ".gz"), file.size + 65536, check, quiet)
    except DownloadError as error:
        raise DataError(f"{url} could not be downloaded, {error}; {by_hand}") from error
    except IdxError as error:
        raise DataError(f"{url} was downloaded and thrown away, because the file {error}; {by_hand}") from error
    except OSError as error:
        raise DataError(
            f"{folder} cannot be written ({error.strerror or error}), so {url} was not kept; make room there or choose "
            f"another folder, or {by_hand}"
        ) from error
