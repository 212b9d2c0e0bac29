"""Draws the pictures of a page as SVG text; the same numbers give the same bytes."""

import io
import math
import re

import numpy as np

from core.drawing import default_style
from figures.drawing import curve_style, new_figure

# Inches; text of 9 points stays legible where a page of 400 pixels shrinks it.
SIZE = 4.6, 3.1
# Inches per row of the legend.
LEGEND_ROW = 0.18
# Markers along a curve.
MARKS = 6


def band(series):
    """Returns (x, mean, std, count) of several curves over the epochs that all have reached, or None.

    series   list of (epochs, values), NaN where there is no number
    Returns  arrays x, mean, std (number of epochs,), and the number of curves; std is None for a single curve
    """
    known = [{x: y for x, y in zip(epochs, values, strict=False) if y == y} for epochs, values in series]
    known = [curve for curve in known if curve]
    x = sorted(set.intersection(*map(set, known))) if known else []
    if not x:
        return None
    values = np.array([[curve[at] for at in x] for curve in known])
    return np.array(x), values.mean(axis=0), values.std(axis=0, ddof=1) if len(known) > 1 else None, len(known)


@default_style()
def curves(bands, xlabel, ylabel, prefix):
    """Returns the SVG of curves with bands of one standard deviation.

    bands   {name: result of `band`}
    prefix  of the ids in it
    Raises  UsageError if matplotlib is missing
    """
    figure = new_figure(SIZE[0], SIZE[1] + LEGEND_ROW * max(0, (len(bands) + 1) // 2 - 2))
    axes = figure.subplots()
    tops = []
    for index, (name, (x, mean, std, count)) in enumerate(bands.items()):
        step = max(1, -(-len(x) // MARKS))
        marked = (index * step // len(bands), step) if len(x) > MARKS else 1
        style, label = curve_style(index), f"{name}, {count} seeds" if count > 1 else name
        axes.plot(x, mean, linewidth=1.5, markevery=marked, label=label, **style)
        if std is not None:
            axes.fill_between(x, mean - std, mean + std, color=style["color"], alpha=0.2, linewidth=0)
        tops.append(mean)
    _scale(axes, tops)
    axes.set_xlabel(xlabel)
    axes.set_ylabel(ylabel)
    axes.grid(color="0.9", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside lower center", ncols=2, frameon=False, fontsize=9.5, handlelength=3.5)
    return svg(figure, prefix)


def _scale(axes, means):
    """Chooses the range of the axis by the later epochs; the first ones may lie outside the picture."""
    from matplotlib.ticker import MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    late = np.concatenate([mean[len(mean) // 10 :] for mean in means])
    low, high = float(late.min()), float(late.max())
    if math.isfinite(high - low) and high > low and max(len(mean) for mean in means) > 3:
        axes.set_ylim(low - 0.12 * (high - low), high + 0.12 * (high - low))


def svg(figure, prefix):
    """Returns the SVG element of a figure, without dates and random ids; its ids begin with `prefix`."""
    import matplotlib

    content = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "report", "font.family": "sans-serif"}):
        figure.savefig(content, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    tag, end, rest = content.getvalue().partition("<svg")[2].partition(">")
    tag = re.sub(r' (width|height|xmlns:xlink|xmlns|version)="[^"]*"', "", tag)
    text = f'<svg{tag} role="img" aria-hidden="true"{end}{rest}'
    text = re.sub(r"<metadata>.*?</metadata>\s*", "", text, flags=re.S)
    text = re.sub(r' id="', f' id="{prefix}-', text)
    return re.sub(r'(xlink:)?href="#', f'href="#{prefix}-', text).replace("url(#", f"url(#{prefix}-").strip()
