"""What a pair, or a tile of pairs that share negatives, adds to the gradients."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import scipy.sparse as sp

from . import draws
from .arithmetic import LANES, fma, lane_sum, product, squared_distance, to_bfloat16
from .losses import PAIR_LOSSES, TILE_LOSSES
from .problem import Gradient, Settings, Tables


def step_gradients(
    tables: Tables,
    likes: sp.csr_array,
    samples: range,
    settings: Settings,
    counters: dict[str, float],
) -> Iterator[list[Gradient]]:
    """The gradients of one pair, or of one tile, after another; all samples are of one epoch.

    They are computed when they are asked for, so the tables may change between two steps.
    """
    if settings.loss in PAIR_LOSSES:
        for sample in samples:
            yield pair_gradients(tables, likes, sample, settings, counters)
    else:
        for begin in range(0, len(samples), settings.tile_size):
            tile = samples[begin : begin + settings.tile_size]
            yield tile_gradients(tables, likes, tile, settings, counters)


def pair_gradients(
    tables: Tables,
    likes: sp.csr_array,
    sample: int,
    settings: Settings,
    counters: dict[str, float],
) -> list[Gradient]:
    """The gradients of the pair with this sample index: of three rows, or of none."""
    n_items = likes.shape[1]
    number = tables.users.dtype.type
    epoch, position = divmod(sample, likes.nnz)
    pair = draws.sample_order(likes.nnz, settings.seed, epoch, position, settings.pairs_per_part)
    i = int(np.searchsorted(likes.indptr, pair, side="right")) - 1
    j = int(likes.indices[pair])
    liked = likes.indices[likes.indptr[i] : likes.indptr[i + 1]]
    counters["pairs"] += 1
    if len(liked) >= n_items:
        counters["skipped"] += 1
        return []

    drawn = draws.draw_negatives(liked, n_items, settings.n_negatives, settings.seed, pair, epoch)
    u, v_j = tables.users[i], tables.items[j]
    distances = np.array([squared_distance(u, tables.items[k]) for k in drawn])
    loss = PAIR_LOSSES[settings.loss](
        squared_distance(u, v_j), distances, likes.data[pair], n_items, settings
    )
    counters["impostors"] += loss.impostors
    if loss.negative < 0:
        return []
    counters["active"] += 1
    counters["loss"] += float(loss.value)

    k = int(drawn[loss.negative])
    v_k = tables.items[k]
    coefficient = number(2) * loss.weight
    return [
        ("user", i, coefficient * (v_k - v_j)),
        ("item", j, coefficient * (v_j - u)),
        ("item", k, coefficient * (u - v_k)),
    ]


def tile_gradients(
    tables: Tables,
    likes: sp.csr_array,
    samples: range,
    settings: Settings,
    counters: dict[str, float],
) -> list[Gradient]:
    """The gradients of a tile: of all users, then of all positives, then of all negatives.

    A row whose coefficients are zero is left out. With ``precision="bfloat16"`` the vectors are
    rounded when they are taken, and the coefficients of the negatives when the loss is known.
    """
    n_items = likes.shape[1]
    number = tables.users.dtype.type
    epoch, first = divmod(samples[0], likes.nnz)
    pairs = [
        draws.sample_order(likes.nnz, settings.seed, epoch, first + t, settings.pairs_per_part)
        for t in range(len(samples))
    ]
    i = np.searchsorted(likes.indptr, pairs, side="right") - 1
    j = likes.indices[pairs]
    k = draws.draw_shared_negatives(n_items, settings.n_negatives, settings.seed, epoch, first)
    u, v_j, v_k = tables.users[i], tables.items[j], tables.items[k]
    if settings.precision == "bfloat16":
        u, v_j, v_k = to_bfloat16(u), to_bfloat16(v_j), to_bfloat16(v_k)

    n_liked = np.diff(likes.indptr)[i]
    weights = np.where(n_liked < n_items, likes.data[pairs], 0).astype(number)
    distances = distances_to_all(u, v_k)
    for t, user in enumerate(i):
        liked = likes.indices[likes.indptr[user] : likes.indptr[user + 1]]
        distances[np.isin(k, liked), t] = np.inf
    loss = TILE_LOSSES[settings.loss](squared_norms(u - v_j), distances, weights, n_items, settings)

    counters["pairs"] += len(pairs)
    counters["skipped"] += int((n_liked >= n_items).sum())
    counters["active"] += int((loss.positive > 0).sum())
    counters["impostors"] += int(loss.impostors[weights > 0].sum())
    for begin in range(0, len(pairs), LANES):  # added up in float32, 32 pairs at a time
        counters["loss"] += float(lane_sum(loss.value[begin : begin + LANES]))

    of_user, of_positive, of_negatives = loss.user[:, None], loss.positive[:, None], loss.negatives
    if settings.precision == "bfloat16":
        of_negatives = to_bfloat16(of_negatives)
    totals = np.array([lane_sum(row) for row in of_negatives])
    users = product(of_negatives.T.copy(), v_k) + (of_user * u - of_positive * v_j)
    positives = of_positive * (v_j - u)
    negatives = product(of_negatives, u) - totals[:, None] * v_k
    active = np.flatnonzero(loss.positive > 0)
    return (
        [("user", int(i[t]), users[t]) for t in active]
        + [("item", int(j[t]), positives[t]) for t in active]
        + [("item", int(k[s]), negatives[s]) for s in np.flatnonzero(totals > 0)]
    )


def squared_norms(rows: np.ndarray) -> np.ndarray:
    return np.array([lane_sum(x * x) for x in rows], dtype=rows.dtype)


def distances_to_all(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Squared distances from v (n, r) to u (T, r) by way of a matrix product: (n, T)."""
    norms = squared_norms(u) + squared_norms(v)[:, None]
    doubled = np.full_like(norms, -2)
    return np.maximum(fma(doubled, product(v, u.T.copy()), norms), u.dtype.type(0))
