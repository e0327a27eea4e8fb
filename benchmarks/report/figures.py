"""How plots look: colours that colour-blind readers tell apart, markers, axes with units."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.ticker import FixedLocator, LogLocator, NullFormatter

# Okabe and Ito (2008), without yellow, which is faint on white. Ours is always the first.
COLOURS = ("#D55E00", "#0072B2", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")


class Figures:
    """Pictures of the page: PNG files in one folder, which Markdown names relative to the page."""

    def __init__(self, page: Path, folder: Path) -> None:
        self.page, self.folder = page, folder
        folder.mkdir(parents=True, exist_ok=True)

    def save(self, figure: Any, name: str, description: str) -> str:
        """Write ``name.png`` and return the Markdown that shows it."""
        path = self.folder / f"{name}.png"
        figure.savefig(path, dpi=130, metadata={"Software": None})  # the same bytes each time
        plt.close(figure)
        return f"![{description}]({path.relative_to(self.page.parent).as_posix()})"


def axes(n: int = 1, height: float = 3.6) -> tuple[Any, list[Any]]:
    """A figure as wide as the page with n axes beside each other."""
    figure, found = plt.subplots(1, n, figsize=(8.5, height), layout="constrained", squeeze=False)
    for ax in found[0]:
        ax.grid(alpha=0.3)
        ax.spines[["top", "right"]].set_visible(False)
    return figure, list(found[0])


def logarithmic(ax: Any, x_ticks: Sequence[float] | None = None) -> None:
    """Both axes, with plain numbers as labels: at 1, 2, 5, 10, ..., or x at these ticks."""
    if not any(len(line.get_xdata()) for line in ax.lines):
        return  # nothing to scale
    ax.set(xscale="log", yscale="log")
    if x_ticks:  # labels must not touch
        kept = [x_ticks[-1]]
        for tick in reversed(x_ticks):
            if tick < kept[-1] / 1.4:
                kept.append(tick)
        x_ticks = kept
    for axis, ticks in ((ax.xaxis, x_ticks), (ax.yaxis, None)):
        axis.set_major_locator(FixedLocator(ticks) if ticks else LogLocator(subs=(1, 2, 5)))
        axis.set_major_formatter("{x:,.0f}" if ticks else "{x:,g}")
        axis.set_minor_formatter(NullFormatter())


def line(ax: Any, at: int, x: Any, y: Any, label: str) -> None:
    """The at-th series of some axes, with a colour and a marker of its own.

    Points that are not finite, of work that was too short to time, are left out.
    """
    finite = np.isfinite(x) & np.isfinite(y)
    ax.plot(
        np.compress(finite, x),
        np.compress(finite, y),
        label=label,
        color=COLOURS[at % len(COLOURS)],
        marker=MARKERS[at % len(MARKERS)],
        markersize=4,
        linewidth=1.4,
    )
