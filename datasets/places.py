"""Finds the files of a data set, in the folders that this project, torchvision, Kaggle and others use."""

import os
import re
from pathlib import Path


def taken(path):
    """Returns whether something lies at a path, even a broken link.

    Raises  OSError if it cannot be looked at
    """
    try:
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def _plain(name):
    """Returns one form for all spellings of a folder's name, such as Fashion-MNIST and fashion_mnist."""
    letters = re.sub("[^a-z0-9]", "", name.lower())
    return letters.removesuffix("dataset").removesuffix("data")


def _within(folder):
    try:
        return sorted(os.listdir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return []


def own_folders(root, names):
    """Returns the folders that have one of a data set's names, in the order in which they are searched.

    They are root/NAME, other spellings of it, and `root` itself if it has such a name; in each of them the folder
    raw/ that torchvision makes, and once more all of this.

    root    pathlib.Path
    names   the name in this project first
    Raises  OSError for a folder that must not be searched
    """
    known = {_plain(name) for name in names}

    def below(folder):
        return [folder / name for name in _within(folder) if _plain(name) in known and name != names[0]]

    folders = [root / names[0], *below(root)] + [root] * (_plain(root.resolve().name) in known)
    nested = [inner for folder in folders if folder != root for inner in (folder / names[0], *below(folder))]
    return [place for folder in (*folders, *nested) for place in (folder, folder / "raw")]


def spellings(name):
    """Returns the names that a file of a data set may have: packed first, and Kaggle's with a dot before idx."""
    return [spelling + ending for spelling in (name, name.replace("-idx", ".idx")) for ending in (".gz", "")]


def find(name, folders):
    """Returns the first path that has one of a file's names, or lies in such a folder; None if there is none.

    Raises  OSError for a folder that must not be searched
    """
    for folder in map(Path, folders):
        for path in (folder / spelling for spelling in spellings(name)):
            if path.is_dir():
                return find(name, [path]) or path
            if taken(path):
                return path
    return None
