"""Draws figure 2: stable random feedback weights and damped pseudo-inverses of the Jacobian.

They are drawn in their principal components.
"""

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    from core.signals import start

    start()

import numpy as np

from core.drawing import default_style
from core.options import UsageError
from figures.drawing import new_figure
from figures.toy import read_data, run, save_all

NAME = "pca_fitted_total"
SHAPES = {
    "gamma": "g", "feedback_places": "np", "damped_places": "gp", "pseudo_inverse_places": "1p",
    "transpose_places": "1p", "variance_shares": "p",
}  # fmt: skip
# Levels of the density.
LEVELS = 5
# Factor on the colour map Blues.
DARKER = 0.9
# Points along each axis.
GRID = 100
# Bandwidths that the grid reaches beyond the points.
BEYOND = 3


def density(points, at):
    """Returns the probability density at some places, estimated from points by a Gaussian kernel.

        p(y) = (1 / n) sum_i N(y; x_i, n^(-2 / (d + 4)) C),   C the sample covariance of the points x_i

    (Scott, Multivariate Density Estimation, 1992.)

    points   (n, d), n > d
    at       (m, d)
    Returns  (m,)
    Raises   UsageError if scipy is missing
    """
    try:
        from scipy.stats import gaussian_kde
    except ImportError as error:
        raise UsageError(f"figure 2 needs scipy: pip install scipy ({error})") from None
    return gaussian_kde(points.T)(at.T)


def grid(points):
    """Returns (x (GRID,), y (GRID,), density (GRID, GRID), rows along y) around points (n, 2)."""
    reach = BEYOND * len(points) ** (-1.0 / 6) * points.std(axis=0, ddof=1)
    x, y = np.linspace(points.min(axis=0) - reach, points.max(axis=0) + reach, GRID).T
    columns, rows = np.meshgrid(x, y)
    return x, y, density(points, np.stack([columns.ravel(), rows.ravel()], axis=1)).reshape(GRID, GRID)


def draw(data):
    """Draws the data of run_toy_exp_fig2.py: a panel with all matrices, one with enlarged pseudo-inverses."""
    figure = new_figure(11, 5.2)
    axes, enlarged = figure.subplots(1, 2, width_ratios=(1.75, 1))
    places = data["feedback_places"].astype(float)
    colours = _shades()
    # One or two points have no density.
    if len(places) > 2:
        _draw_density(figure, axes, places, colours)
    for panel in (axes, enlarged):
        _draw_places(panel, data)
        panel.set_aspect("equal")
    # The colour of the lowest band, which goes on beyond the grid.
    axes.set_facecolor(colours(0.5 / LEVELS))
    shares = 100 * data["variance_shares"]
    axes.set(xlabel=f"PC1 ({shares[0]:.0f} % of the variance)", ylabel=f"PC2 ({shares[1]:.0f} % of the variance)")
    axes.set(xticks=(-0.5, 0, 0.5), yticks=(-0.5, 0, 0.5))
    enlarged.set(xlabel="PC1", ylabel="PC2", title="the square, enlarged")
    places = [data[f"{name}_places"] for name in ("damped", "pseudo_inverse", "transpose")]
    _zoom(axes, enlarged, np.concatenate(places))
    handles = axes.get_legend_handles_labels()
    figure.legend(*handles, loc="outside upper center", ncols=4, frameon=False, columnspacing=1.2)
    return figure


def _draw_places(axes, data):
    smallest, largest = data["gamma"].min(), data["gamma"].max()
    dampings = rf"$J^T(JJ^T+\gamma I)^{{-1}}$, $\gamma$ = {smallest:g} … {largest:g}"
    edge = {"marker": "X", "edgecolors": "white", "linewidths": 0.5}
    axes.scatter(
        *data["feedback_places"].T, s=10, color="midnightblue", alpha=0.3, linewidths=0, label="$Q$", rasterized=True
    )
    axes.scatter(*data["damped_places"].T, s=50, color="orange", label=dampings, zorder=3, **edge)
    axes.scatter(*data["pseudo_inverse_places"].T, s=130, color="green", label=r"$J^\dagger$", zorder=4, **edge)
    axes.scatter(*data["transpose_places"].T, s=130, color="red", label="$J^T$", zorder=4, **edge)


def _zoom(axes, enlarged, places):
    """Shows a square around some places (n, 2), marks it in the other panel, and names its ends.

    The names help readers who see no colours.
    """
    from matplotlib.patches import Rectangle
    from matplotlib.patheffects import withStroke

    low, high = places.min(axis=0), places.max(axis=0)
    half = max(0.75 * (high - low).max(), 1e-3)
    corner = (low + high) / 2 - half
    axes.add_patch(Rectangle(corner, 2 * half, 2 * half, fill=False, edgecolor="black", linewidth=1, zorder=5))
    enlarged.set(xlim=(corner[0], corner[0] + 2 * half), ylim=(corner[1], corner[1] + 2 * half))
    effects = [withStroke(linewidth=3, foreground="white")]
    for text, place in ((r"$J^\dagger$", places[-2]), ("$J^T$", places[-1])):
        aside = {"xytext": (9, 7), "textcoords": "offset points", "fontsize": 13, "zorder": 5, "path_effects": effects}
        enlarged.annotate(text, place, **aside)


def _shades():
    """Returns a darker version of the colour map Blues."""
    import matplotlib
    from matplotlib.colors import ListedColormap

    shades = matplotlib.colormaps["Blues"](np.linspace(0, 1, 256))
    shades[:, :3] *= DARKER
    return ListedColormap(shades)


def _draw_density(figure, axes, places, colours):
    x, y, height = grid(places)
    levels = np.linspace(0, height.max(), LEVELS + 1)
    bands = axes.contourf(x, y, height, levels=levels, cmap=colours)
    figure.colorbar(bands, ax=axes, label="probability density", format="%.2f", shrink=0.8)


@default_style()
def write(data, outputs):
    """Draws a data file of run_toy_exp_fig2.py; returns the paths.

    Raises  UsageError if matplotlib is missing, FileError
    """
    arrays = read_data(data, SHAPES)
    return save_all({output: draw(arrays) for output in outputs})


def main(argv=None):
    """Draws the picture of one experiment; returns the exit status."""
    return run(__file__, __doc__, write, NAME, argv)


if __name__ == "__main__":
    sys.exit(main())
