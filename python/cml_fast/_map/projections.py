"""The projections that a map can be made with, and which one is chosen."""

from __future__ import annotations

from .._validation.scalars import check_choice
from .pacmap import PACMAP
from .pca import PCA
from .projection import Projection
from .tsne import TSNE
from .umap import UMAP

# A new one needs a file of its own and a place here; see `projection.Projection`.
PROJECTIONS = {one.name: one for one in (TSNE, UMAP, PACMAP, PCA)}


def choose(method: str, n: int) -> tuple[Projection, str]:
    """Return the projection for n points, and why it is not t-SNE; "" if it is, or was asked for.

    Raises
    ------
    ValueError
        If there is no such method, or it needs more points.
    ImportError
        If its package is not installed.
    """
    check_choice("method", method, ("auto", *PROJECTIONS))
    if method == "auto":
        if n < TSNE.least:
            return PCA, f"t-SNE needs at least {TSNE.least} items"
        if not TSNE.is_installed():
            return PCA, f"openTSNE is not installed: pip install {TSNE.install}"
        TSNE.load()
        return TSNE, ""
    chosen = PROJECTIONS[method]
    if n < chosen.least:
        raise ValueError(
            f"method={method!r} needs at least {chosen.least} items, the model has {n}: use "
            "method='pca'"
        )
    chosen.load()
    return chosen, ""
