"""Pictures as every machine draws them: by matplotlib in its default style and into memory, whatever settings a user has.

matplotlib is imported on first use.
"""

import contextlib
import os
import sys
import textwrap

from core.options import UsageError

DPI = 150  # dots an inch
LABEL_LINES = 4  # of a name in a legend or above a panel; what is longer is cut


def require_matplotlib(what="drawing"):
    """The module matplotlib.  Raises UsageError, a sentence that begins with `what`, where it is missing or does not start."""
    try:
        return _import_matplotlib()
    except ImportError as error:
        raise UsageError(f"{what} needs matplotlib: pip install matplotlib ({error})") from None
    except Exception as error:  # whatever a broken file of settings makes it raise
        first = (str(error).splitlines() or [type(error).__name__])[0]
        raise UsageError(f"{what} needs matplotlib, which does not start here: {first}") from None


def _import_matplotlib():
    """Import matplotlib; a window system that the environment names and that is not there, as a notebook's, does not matter."""
    wanted = None if "matplotlib" in sys.modules else os.environ.pop("MPLBACKEND", None)
    try:
        import matplotlib.figure
        import matplotlib.style
    finally:
        if wanted is not None:
            os.environ["MPLBACKEND"] = wanted
    if wanted:
        with contextlib.suppress(ValueError):
            matplotlib.rcParams["backend"] = wanted
    return matplotlib


@contextlib.contextmanager
def default_style():
    """Draw and save in matplotlib's default style within the block; the user's settings are back afterwards.

    Raises  UsageError where matplotlib is missing
    """
    with require_matplotlib().style.context("default"):
        yield


def new_figure(width, height, dpi=DPI):
    """An empty matplotlib.figure.Figure, in inches, on a canvas in memory; matplotlib's global state is left alone.

    Raises  UsageError if matplotlib is missing
    """
    require_matplotlib()
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=dpi, layout="constrained")
    FigureCanvasAgg(figure)  # attaches itself
    return figure


def legible(name, width=None):
    """A name for a legend or a title: LaTeX where it can be read as such, else as it is; lines of at most `width` letters."""
    from matplotlib.mathtext import MathTextParser

    lines = textwrap.wrap(name, width) if width and len(name) > width else [name]
    if len(lines) > LABEL_LINES:
        lines = [*lines[: LABEL_LINES - 1], f"{lines[LABEL_LINES - 1][: width - 2]} …"]
    text = "\n".join(lines)
    try:
        for line in lines:
            MathTextParser("path").parse(line)
    except ValueError:
        text = text.replace("$", r"\$")
    return f" {text}" if text.startswith("_") else text  # such labels are left out of legends
