"""Draws figure S1 of a pipeline of figure 3: stability of the controlled network, and its two conditions."""

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    from core.signals import start

    start()

from dataclasses import dataclass

from core.options import option
from figures.pipeline import Results, draw_frames, draw_vector, label, run, save_all

VECTORS = ("max_eig", "max_eig_bcn", "norm_r")
FRAMES = {
    "gnt_angles": "Angle GNT",
    "gn_angles": "Angle GN",
    "condition_gn_angles": None,
    "nullspace_relative_norm_angles": None,
}
# Logged batches.
SMOOTH = 5
# The folder of the pictures in the folder of the pipeline.
FOLDER = "figS1"


@dataclass(frozen=True)
class Options:
    """Holds the options of fig_s1.py that are numbers."""

    smooth: int = option(SMOOTH, "logged batches in a rolling mean: each of them and those after it", bounds="[1, inf)")


def draw(results, smooth=SMOOTH):
    """Yields (name of a file without its ending, function that draws its Figure) for every measurement."""
    for name in VECTORS:
        if results.vector(name)[1]:
            yield name, lambda name=name: draw_vector(results, name)
    for key, title in FRAMES.items():
        if results.frames(key):
            words = {"ylabel": title or label(key), "xlabel": "Iteration"}
            yield f"{key}_subplots", lambda key=key, words=words: draw_frames(results, key, smooth, **words)


def draw_all(folder, output, smooth=SMOOTH, quiet=False):
    """Draws figure S1 of a pipeline's folder into the folder `output`; returns the paths.

    Raises  UsageError, FileError
    """
    return save_all(draw(Results.read(folder), smooth), output, quiet)


def main(argv=None):
    """Draws the pictures of one pipeline; returns the exit status."""
    return run("fig_s1.py", __doc__, FOLDER, Options, argv, draw_all)


if __name__ == "__main__":
    sys.exit(main())
