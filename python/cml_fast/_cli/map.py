"""A picture of the learned space: items and users, projected to the plane by PCA."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Okabe and Ito's colours, which stay apart with the common kinds of colour blindness, less
# the yellow, which is faint on white, and black. Each comes with a shape of its own.
_MARKS = (
    *(("#0072B2", "o"), ("#E69F00", "s"), ("#009E73", "^"), ("#CC79A7", "D")),
    *(("#56B4E9", "v"), ("#D55E00", "P")),
)
_USER_COLOUR = "#b3b3b3"
# More points than these would only hide each other.
_MAX_USERS, _MAX_ITEMS = 2_000, 5_000
_FIGURE_INCHES, _DOTS_PER_INCH = (9, 8), 150
# Areas of markers, in square points.
_USER_AREA, _LEAST_ITEM_AREA, _MOST_ITEM_AREA, _LEGEND_AREA = 7, 10, 130, 50
_ITEM_STYLE: dict[str, Any] = {"alpha": 0.85, "edgecolors": "white", "linewidths": 0.4}
# Items are drawn in so many layers, see `_draw_by_taste`.
_N_LAYERS = 20
_LEGEND_COLUMNS = 7


def draw_map(
    users: np.ndarray,
    items: np.ndarray,
    popularity: np.ndarray,
    tastes: np.ndarray | None = None,
    taste_names: tuple[str, ...] = (),
) -> bytes:
    """Return a PNG of the plane in which the items differ most.

    Parameters
    ----------
    users, items : numpy.ndarray, (n_users, r) and (n_items, r), with r >= 2
        Their vectors.
    popularity : numpy.ndarray, (n_items,)
        How many users like each item: its area, and its colour where tastes are not known.
    tastes : numpy.ndarray, (n_items,), int, optional
        The taste that each item serves, of at most 6: its colour and shape.
    taste_names : tuple of str
        The name of each taste, for the legend.
    """
    from matplotlib.figure import Figure  # slow to import, and nothing else needs it

    plane, explained = _principal_plane(items)
    centre = items.mean(axis=0)
    some_users = np.linspace(0, len(users) - 1, min(len(users), _MAX_USERS)).astype(int)
    # The most popular first, so that the small ones are drawn on top of them.
    some_items = np.argsort(-popularity, kind="stable")[:_MAX_ITEMS]
    points = (items[some_items] - centre) @ plane
    likes = popularity[some_items]
    share_of_most = likes / max(likes.max(), 1)
    areas = _LEAST_ITEM_AREA + (_MOST_ITEM_AREA - _LEAST_ITEM_AREA) * share_of_most

    figure = Figure(figsize=_FIGURE_INCHES, layout="constrained")
    axes = figure.subplots()
    axes.set_aspect("equal", adjustable="datalim")
    x, y = ((users[some_users] - centre) @ plane).T
    axes.scatter(x, y, s=_USER_AREA, color=_USER_COLOUR, linewidths=0)
    if tastes is None:
        _draw_by_popularity(axes, points, areas, likes)
    else:
        _draw_by_taste(axes, points, areas, tastes[some_items], taste_names)
    _mark(axes, "users", _USER_COLOUR, ".")
    axes.legend(
        loc="upper center",
        bbox_to_anchor=(0.5, -0.08),  # below the axes
        ncols=_LEGEND_COLUMNS,
        frameon=False,
        handletextpad=0.2,
        columnspacing=1.5,
    )

    _label(
        axes,
        f"{_counted('items', len(some_items), len(items))}, larger where more users like them, and "
        f"{_counted('users', len(some_users), len(users))}",
        explained,
    )
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=_DOTS_PER_INCH)
    return picture.getvalue()


def _label(axes: Axes, subtitle: str, explained: np.ndarray) -> None:
    """Write the titles of the picture and of its axes, and draw a grid."""
    axes.set_title(
        "The learned space: users are near the items they like", loc="left", fontsize=14, pad=26
    )
    axes.text(
        0,
        1.015,
        subtitle,
        transform=axes.transAxes,
        color="#444444",
    )
    axes.set_xlabel(f"First principal axis ({explained[0]:.1%} of the items' variance)")
    axes.set_ylabel(f"Second principal axis ({explained[1]:.1%})")
    axes.grid(color="#eeeeee", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def _principal_plane(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the two directions of largest variance, (r, 2), and their shares of it."""
    variances, directions = np.linalg.eigh(np.cov(points.astype(np.float64), rowvar=False))
    plane = directions[:, [-1, -2]]
    # Directions come with either sign; with this one, the picture is the same everywhere.
    plane = plane * np.where(plane.sum(axis=0) < 0, -1, 1)
    return plane, variances[[-1, -2]] / max(variances.sum(), np.finfo(float).tiny)


def _draw_by_taste(
    axes: Axes, points: np.ndarray, areas: np.ndarray, tastes: np.ndarray, names: tuple[str, ...]
) -> None:
    # Each layer has items of every taste, so that no taste covers another where they mix.
    for layer in np.array_split(np.arange(len(points)), _N_LAYERS):
        for taste, (colour, shape) in enumerate(_MARKS):
            mine = layer[tastes[layer] == taste]
            axes.scatter(
                points[mine, 0],
                points[mine, 1],
                s=areas[mine],
                color=colour,
                marker=shape,
                **_ITEM_STYLE,
            )
    for name, (colour, shape) in zip(names, _MARKS, strict=False):
        _mark(axes, name, colour, shape)


def _draw_by_popularity(
    axes: Axes, points: np.ndarray, areas: np.ndarray, likes: np.ndarray
) -> None:
    from matplotlib.colors import LogNorm

    drawn = axes.scatter(
        points[:, 0],
        points[:, 1],
        s=areas,
        c=np.maximum(likes, 1),  # an item without likes has no logarithm
        norm=LogNorm(1, max(likes.max(), 2)),
        cmap="viridis_r",
        **_ITEM_STYLE,
    )
    figure = axes.get_figure()
    assert figure is not None
    figure.colorbar(drawn, ax=axes, label="users who like the item", format="{x:,.0f}", shrink=0.7)


def _mark(axes: Axes, label: str, colour: str, shape: str) -> None:
    """Add an entry to the legend, of one size whatever the sizes of the points."""
    axes.scatter([], [], s=_LEGEND_AREA, color=colour, marker=shape, linewidths=0, label=label)


def _counted(what: str, shown: int, total: int) -> str:
    return f"{shown:,} {what}" if shown == total else f"{shown:,} of {total:,} {what}"
