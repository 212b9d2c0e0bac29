"""Finds the files of a data set, in the folders that this project, torchvision, Kaggle and others use."""

import os
import re
from pathlib import Path


def taken(path):
    """Returns whether something lies at a path; a broken link counts.  Raises OSError where one must not look."""
    try:
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def _plain(name):
    """Reduces the spellings Fashion-MNIST, fashion_mnist, FashionMNIST and fashion-mnist-dataset of a folder's name to one."""
    letters = re.sub("[^a-z0-9]", "", name.lower())
    return letters.removesuffix("dataset").removesuffix("data")


def _within(folder):
    try:
        return sorted(os.listdir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return []


def own_folders(root, names):
    """Returns the folders that bear one of a data set's names, in the order in which they are searched.

    They are root/NAME, other spellings of it, and `root` itself if it is called so; in each of them the folder raw/ that
    torchvision makes, and once more all of this.  Raises OSError for a folder that one must not search.

    root   pathlib.Path
    names  the name of this project first
    """
    known = {_plain(name) for name in names}

    def below(folder):
        return [folder / name for name in _within(folder) if _plain(name) in known and name != names[0]]

    folders = [root / names[0], *below(root)] + [root] * (_plain(root.resolve().name) in known)
    nested = [inner for folder in folders if folder != root for inner in (folder / names[0], *below(folder))]
    return [place for folder in (*folders, *nested) for place in (folder, folder / "raw")]


def spellings(name):
    """Returns the names that a file of a data set has: packed first, and with a dot before idx, as Kaggle has it."""
    return [spelling + ending for spelling in (name, name.replace("-idx", ".idx")) for ending in (".gz", "")]


def find(name, folders):
    """Returns the first path that bears one of a file's names, or lies in a folder that does; None if there is none.

    Raises OSError for a folder that one must not search
    """
    for folder in map(Path, folders):
        for path in (folder / spelling for spelling in spellings(name)):
            if path.is_dir():
                return find(name, [path]) or path
            if taken(path):
                return path
    return None
