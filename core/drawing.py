"""Draws pictures that look the same on every machine.

matplotlib draws in memory and in its default style, without the user's settings. It is imported at its first use.
"""

import contextlib
import os
import sys
import textwrap

from core.options import UsageError

# Dots per inch.
DPI = 150
# Lines of a name in a legend or above a panel; longer names are cut.
LABEL_LINES = 4


def require_matplotlib(what="drawing"):
    """Returns the module matplotlib.

    what    the beginning of the error's sentence, before "needs matplotlib"
    Raises  UsageError where matplotlib is missing or does not start
    """
    try:
        return _import_matplotlib()
    except ImportError as error:
        raise UsageError(f"{what} needs matplotlib: pip install matplotlib ({error})") from None
    except Exception as error:
        # A damaged file of settings makes matplotlib raise errors of any kind.
        first = (str(error).splitlines() or [type(error).__name__])[0]
        raise UsageError(f"{what} needs matplotlib, which does not start here: {first}") from None


def _import_matplotlib():
    """Imports matplotlib, even if MPLBACKEND names a window system that is missing here."""
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
    """Applies matplotlib's default style within the block; afterwards the user's settings hold again.

    Raises  UsageError where matplotlib is missing
    """
    with require_matplotlib().style.context("default"):
        yield


def new_figure(width, height, dpi=DPI):
    """Returns an empty matplotlib.figure.Figure, without changing matplotlib's global state.

    width, height  in inches
    dpi            dots per inch
    Raises         UsageError if matplotlib is missing
    """
    require_matplotlib()
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=dpi, layout="constrained")
    # The canvas attaches itself to the figure.
    FigureCanvasAgg(figure)
    return figure


def legible(name, width=None):
    """Returns a name as text for a legend or a title: LaTeX if matplotlib can parse it, else literal text.

    width  letters per line at most, over at most LABEL_LINES lines; None: one line
    """
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
    # Matplotlib leaves labels that begin with _ out of legends.
    return f" {text}" if text.startswith("_") else text
