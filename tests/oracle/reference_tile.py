"""The oracle of the losses whose pairs share negatives: a tile of pairs in plain NumPy.

As in reference.py the kernels are tested against it to the bit. Every element of a matrix product
is a chain of multiply-adds, each rounded once, from the first term to the last; exponentials and
logarithms are polynomials.

Sources: the softmax over sampled negatives, Bengio and Senecal (2008); the contrastive loss, Mao et
al., "SimpleX", CIKM 2021, eq. 3, as a loss on squared distances.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp

from . import reference

if TYPE_CHECKING:
    from .reference import Settings, Tables

SHARED_NEGATIVES = 5  # the generator's purpose
LOWEST_EXPONENT = -40


# --- arithmetic -------------------------------------------------------------------------------


def fma(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> np.ndarray:
    """a b + c, in float32 rounded once.

    The product of two float32 is exact in float64. The sum is rounded to odd there (Boldo and
    Melquiond, 2008), so that rounding it to float32 is as good as rounding once.
    """
    if c.dtype != np.float32:
        return np.asarray(a * b + c)
    product, addend = np.float64(a) * np.float64(b), np.float64(c)
    total = product + addend
    part = total - product
    rest = (product - (total - part)) + (addend - part)  # exactly what the sum lacks
    odd = np.nextafter(total, np.copysign(np.inf, rest))
    even = (np.asarray(total).view(np.int64) & 1) == 0
    rounded: np.ndarray = np.where((rest != 0) & even, odd, total).astype(np.float32)
    return rounded


def product(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The matrix product of (m, t) and (t, n)."""
    sums = np.zeros((a.shape[0], b.shape[1]), dtype=a.dtype)
    for t in range(a.shape[1]):
        sums = fma(a[:, t, None], b[t], sums)
    return sums


def exp(x: np.ndarray) -> np.ndarray:
    """exp(x); zero below e^-40."""
    number = x.dtype.type
    if number is not np.float32:
        return np.asarray(np.exp(x))
    inside = np.maximum(x, number(LOWEST_EXPONENT))
    n = np.rint(np.float64(inside) * np.float64(number(1.44269504))).astype(number)
    r = fma(n, number(2.12194440e-4), fma(n, number(-0.693359375), inside))
    p = np.full_like(r, 1.9875691500e-4)
    for coefficient in (
        1.3981999507e-3,
        8.3334519073e-3,
        4.1665795894e-2,
        1.6666665459e-1,
        5.0000001201e-1,
    ):
        p = fma(p, r, np.full_like(r, coefficient))
    p = fma(p, r * r, r) + number(1)
    scaled = np.ldexp(p, n.astype(np.int64))
    return np.asarray(np.where(x > LOWEST_EXPONENT, scaled, number(0)), dtype=number)


def log(x: np.ndarray) -> np.ndarray:
    """log(x) for x > 0, from log m = 2 artanh((m - 1) / (m + 1)), m in [1, 2)."""
    number = x.dtype.type
    if number is not np.float32:
        return np.asarray(np.log(x))
    half, exponent = np.frexp(x)
    m = half * number(2)
    s = (m - number(1)) / (m + number(1))
    series = np.full_like(x, number(2) / number(13))
    for k in (11, 9, 7, 5, 3, 1):
        series = fma(series, s * s, np.full_like(x, number(2) / number(k)))
    return fma((exponent - 1).astype(number), np.full_like(x, 0.693147181), series * s)


# --- draws ------------------------------------------------------------------------------------


def draw_shared(n_items: int, n_negatives: int, seed: int, epoch: int, position: int) -> np.ndarray:
    """The negatives of the tile that begins at this position of an epoch, ascending: one from each
    of ``n_negatives`` equal parts of the item numbers."""
    negatives: list[int] = []
    for call in range(-(-n_negatives // 4)):
        for word in reference.philox((seed, SHARED_NEGATIVES), (call, position, epoch, 0)):
            s = len(negatives)
            negatives.append((s * n_items + (word * n_items >> 64)) // n_negatives)
    return np.array(negatives[:n_negatives])


# --- losses -----------------------------------------------------------------------------------


@dataclass
class Terms:
    """What a loss asks of T pairs and their n negatives; see csrc/core/losses/policy.h."""

    own: np.ndarray  # (T,)
    pull: np.ndarray  # (T,)
    push: np.ndarray  # (n, T)
    loss: np.ndarray  # (T,)
    impostors: np.ndarray  # (T,)


def softmax_loss(
    positive: np.ndarray, negatives: np.ndarray, weights: np.ndarray, settings: Settings
) -> Terms:
    """-log of the positive's share of the softmax over itself and ``importance_weight`` times the
    negatives. ``positive`` (T,) and ``negatives`` (n, T) are squared distances; an infinite one is
    no negative of that pair."""
    number = positive.dtype.type
    rate = number(1) / number(settings.temperature)
    nearest = np.minimum(positive, negatives.min(axis=0))
    p = number(settings.importance_weight) * exp((nearest - negatives) * rate)
    others = np.zeros_like(positive)
    for row in p:
        others = others + row
    everything = exp((nearest - positive) * rate) + others
    scale = number(2) * rate * weights / everything
    loss = weights * (log(everything) + (positive - nearest) * rate)
    impostors = ((positive - negatives) > 0).sum(axis=0)
    return Terms(np.zeros_like(positive), others * scale, p * scale, loss, impostors)


def contrastive_loss(
    positive: np.ndarray, negatives: np.ndarray, weights: np.ndarray, settings: Settings
) -> Terms:
    """d_ij^2 + ``negative_weight`` times the sum of the hinges [margin - d_ik^2]_+."""
    number = positive.dtype.type
    hinges = np.maximum(number(settings.margin) - negatives, number(0))
    impostors = (hinges > 0).sum(axis=0)
    pull = number(2) * weights
    push = number(settings.negative_weight) * pull
    total = np.zeros_like(positive)
    for row in hinges:
        total = total + row
    return Terms(
        own=pull - push * impostors.astype(number),
        pull=pull,
        push=np.where(hinges > 0, push, number(0)),
        loss=weights * (positive + number(settings.negative_weight) * total),
        impostors=impostors,
    )


LOSSES = {"softmax": softmax_loss, "contrastive": contrastive_loss}


# --- a tile -----------------------------------------------------------------------------------


def tile_gradients(
    tables: Tables,
    likes: sp.csr_array,
    visits: range,
    settings: Settings,
    counters: dict[str, float],
) -> list[tuple[str, int, np.ndarray]]:
    """What the pairs of these visits, of one epoch, ask for: (table, row, gradient) of all users,
    of all positives and of all negatives. A row whose coefficients are zero is left out."""
    n_items = likes.shape[1]
    number = tables.users.dtype.type
    epoch, first = divmod(visits[0], likes.nnz)
    pairs = [
        reference.visit_order(likes.nnz, settings.seed, epoch, first + t)
        for t in range(len(visits))
    ]
    i = np.searchsorted(likes.indptr, pairs, side="right") - 1
    j = likes.indices[pairs]
    k = draw_shared(n_items, settings.n_negatives, settings.seed, epoch, first)
    u, v_j, v_k = tables.users[i], tables.items[j], tables.items[k]

    def squares(rows: np.ndarray) -> np.ndarray:
        return np.array([reference.lane_sum(x * x) for x in rows], dtype=number)

    n_liked = np.diff(likes.indptr)[i]
    weights = np.where(n_liked < n_items, likes.data[pairs], 0).astype(number)
    norms = squares(u) + squares(v_k)[:, None]
    doubled = np.full_like(norms, -2)
    distances = np.maximum(fma(doubled, product(v_k, u.T.copy()), norms), number(0))
    for t, user in enumerate(i):
        liked = likes.indices[likes.indptr[user] : likes.indptr[user + 1]]
        distances[np.isin(k, liked), t] = np.inf
    terms = LOSSES[settings.loss](squares(u - v_j), distances, weights, settings)

    counters["pairs"] += len(pairs)
    counters["skipped"] += int((n_liked >= n_items).sum())
    counters["active"] += int((terms.pull > 0).sum())
    counters["impostors"] += int(terms.impostors[weights > 0].sum())
    for begin in range(0, len(pairs), reference.LANES):  # added up in float32, 32 pairs at a time
        block = terms.loss[begin : begin + reference.LANES]
        counters["loss"] += float(reference.lane_sum(block))

    totals = np.array([reference.lane_sum(row) for row in terms.push])
    own, pull = terms.own[:, None], terms.pull[:, None]
    users = product(terms.push.T.copy(), v_k) + (own * u - pull * v_j)
    positives = pull * (v_j - u)
    negatives = product(terms.push, u) - totals[:, None] * v_k
    there = np.flatnonzero(terms.pull > 0)
    return (
        [("user", int(i[t]), users[t]) for t in there]
        + [("item", int(j[t]), positives[t]) for t in there]
        + [("item", int(k[s]), negatives[s]) for s in np.flatnonzero(totals > 0)]
    )


def largest_gradient(largest_weight: float, settings: Any) -> float:
    """Above every sum of the gradients that a tile gives a row, for rows in the ball and up to
    twice as far out. With coefficients c in all, a pair gives 2 c w (a - b)."""
    total = 1 / settings.temperature
    if settings.loss == "contrastive":
        total = 1 + settings.n_negatives * settings.negative_weight
    bound: float = 1.001 * 16 * settings.tile_size * total * largest_weight * settings.max_norm
    return bound
