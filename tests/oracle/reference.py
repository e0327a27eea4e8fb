"""The training step in plain NumPy: what the kernels must compute, written to be read.

Slow, one pair or one tile at a time; reference_tile.py has the losses whose pairs share negatives.
The kernels are tested against it, to the bit on one CPU thread: sums
are therefore taken in the kernels' order, over 32 lanes (element d of a vector is in lane
d mod 32) and then by the butterfly 16, 8, 4, 2, 1.

Source: Hsieh et al., "Collaborative Metric Learning", WWW 2017 (eqs. 1 to 3, sections 3.2, 3.5).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from . import reference_tile

LANES = 32
WORD = 2**64 - 1
NEGATIVES, VISIT_ORDER = 0, 1  # the second half of the generator's key: what the words are for


# --- random numbers ---------------------------------------------------------------------------


def philox(key: tuple[int, int], counter: tuple[int, int, int, int]) -> tuple[int, ...]:
    """Philox4x64-10 (Salmon et al., SC 2011): four 64-bit words from a key and a counter."""
    a, b, c, d = counter
    key0, key1 = key
    for _ in range(10):
        first, second = 0xD2E7470EE14C6C93 * a, 0xCA5A826395121157 * c
        a, b, c, d = (
            (second >> 64) ^ b ^ key0,
            second & WORD,
            (first >> 64) ^ d ^ key1,
            first & WORD,
        )
        key0, key1 = (key0 + 0x9E3779B97F4A7C15) & WORD, (key1 + 0xBB67AE8584CAA73B) & WORD
    return a, b, c, d


def visit_order(n: int, seed: int, epoch: int, position: int) -> int:
    """The pair visited at a position of an epoch: a keyed bijection of [0, n)."""
    bits = (n - 1).bit_length()
    low_bits = bits - bits // 2
    low_mask = (1 << low_bits) - 1
    high_size = (n + low_mask) >> low_bits
    keys: list[int] = []
    for call in range(2):
        keys += philox((seed, VISIT_ORDER), (call, 0, epoch, 0))

    def mix(x: int, key: int) -> int:
        x = (x ^ key) * 0xBF58476D1CE4E5B9 & WORD
        return x ^ x >> 32

    x = position
    while True:
        low, high = x & low_mask, x >> low_bits
        for i in range(0, 6, 2):
            high = (high + ((mix(low, keys[i]) & 0xFFFFFFFF) * high_size >> 32)) % high_size
            low ^= mix(high, keys[i + 1]) & low_mask
        x = high << low_bits | low
        if x < n:
            return x


def draw_negatives(
    liked: np.ndarray, n_items: int, n_negatives: int, seed: int, pair: int, epoch: int
) -> np.ndarray:
    """Items that the user has not liked, uniform, with replacement. ``liked`` is sorted.

    A word is a number in [0, 1) with 64 binary places. Times the number of items it gives one draw
    before the point, and what is behind the point, times that number again, gives another.
    """
    free = np.setdiff1d(np.arange(n_items), liked)
    negatives: list[int] = []
    for call in range(-(-n_negatives // 8)):
        for word in philox((seed, NEGATIVES), (call, pair, epoch, 0)):
            first = word * len(free)
            second = (first & WORD) * len(free)
            negatives += [free[first >> 64], free[second >> 64]]
    return np.array(negatives[:n_negatives])


# --- the loss ---------------------------------------------------------------------------------


def lane_sum(x: np.ndarray) -> np.floating:
    """The sum of a vector in the order that every device keeps."""
    lanes = np.zeros(LANES, dtype=x.dtype)
    for start in range(0, len(x), LANES):
        chunk = x[start : start + LANES]
        lanes[: len(chunk)] += chunk
    for shift in (16, 8, 4, 2, 1):
        lanes = lanes + lanes[np.arange(LANES) ^ shift]
    total: np.floating = lanes[0]
    return total


def squared_distance(a: np.ndarray, b: np.ndarray) -> np.floating:
    """d(a, b)^2, eq. 1 squared."""
    return lane_sum((a - b) * (a - b))


def rank_weight(n_items: int, n_negatives: int, impostors: int) -> float:
    """w = log(floor(J * M / U) + 1), section 3.2."""
    return float(np.log(n_items * impostors // n_negatives + 1))


@dataclass
class Contribution:
    """What a pair asks for: push the negative in ``slot`` away with this weight."""

    slot: int
    impostors: int
    weight: np.floating
    loss: np.floating


def warp_loss(
    positive: np.floating,
    negatives: np.ndarray,
    margin: float,
    n_items: int,
    pair_weight: float,
) -> Contribution:
    """The weighted hinge of the negative that violates most (eqs. 1 and 3, section 3.5).

    ``positive`` and ``negatives`` are squared distances. Without impostor, slot is -1.
    """
    number = negatives.dtype.type
    hinges = np.maximum(number(margin) + positive - negatives, number(0))
    impostors = int((hinges > 0).sum())
    weight = number(rank_weight(n_items, len(negatives), impostors)) * number(pair_weight)
    slot = int(np.argmax(hinges)) if impostors else -1
    return Contribution(slot, impostors, weight, weight * hinges.max())


# --- one update -------------------------------------------------------------------------------


def adagrad(
    x: np.ndarray,
    accumulator: np.ndarray,
    gradient: np.ndarray,
    rate: float,
    epsilon: float,
    rowwise: bool = False,
) -> np.ndarray:
    """One AdaGrad step; the accumulator is updated in place, the new vector returned.

    There is one for each element, or one for the row, of the mean of the elements' squares.
    """
    number = x.dtype.type
    if rowwise:
        accumulator += lane_sum(gradient * gradient) / number(len(x))
        step = number(rate) / np.sqrt(accumulator + number(epsilon))
        return np.asarray(x - step * gradient)
    accumulator += gradient * gradient
    stepped: np.ndarray = x - number(rate) * gradient / np.sqrt(accumulator + number(epsilon))
    return stepped


def censor(x: np.ndarray, max_norm: float) -> np.ndarray:
    """Pull a vector back into the ball of radius ``max_norm`` (section 3.5)."""
    number = x.dtype.type
    norm = np.sqrt(lane_sum(x * x))
    inside: np.ndarray = x * (number(max_norm) / max(norm, number(max_norm)))
    return inside


@dataclass
class Tables:
    """Vectors and AdaGrad accumulators of users and items, (n, r) each; changed in place.

    With one accumulator a row these are (n, 1).
    """

    users: np.ndarray
    user_accumulators: np.ndarray
    items: np.ndarray
    item_accumulators: np.ndarray


@dataclass(frozen=True)
class Settings:
    """Hyper-parameters of a training step."""

    n_negatives: int
    margin: float
    learning_rate: float
    epsilon: float
    max_norm: float
    seed: int
    batch_size: int = 0  # 0: each pair is applied at once
    rowwise: bool = False  # one AdaGrad accumulator for each row
    loss: str = "warp"
    # For the other losses, see reference_tile.py.
    tile_size: int = 1
    temperature: float = 1.0
    importance_weight: float = 1.0
    negative_weight: float = 1.0


def update_row(
    tables: Tables, name: str, row: int, gradient: np.ndarray, settings: Settings
) -> None:
    """AdaGrad and censoring of one row of the table ``name``, "user" or "item"."""
    vectors, accumulators = getattr(tables, name + "s"), getattr(tables, name + "_accumulators")
    stepped = adagrad(
        vectors[row],
        accumulators[row],
        gradient,
        settings.learning_rate,
        settings.epsilon,
        settings.rowwise,
    )
    vectors[row] = censor(stepped, settings.max_norm)


def gradients(
    tables: Tables, likes: sp.csr_array, visit: int, settings: Settings, counters: dict[str, float]
) -> list[tuple[str, int, np.ndarray]]:
    """What the pair of a visit asks for: (table, row, gradient) of three rows, or nothing."""
    n_items = likes.shape[1]
    number = tables.users.dtype.type
    epoch, position = divmod(visit, likes.nnz)
    pair = visit_order(likes.nnz, settings.seed, epoch, position)
    i = int(np.searchsorted(likes.indptr, pair, side="right")) - 1
    j = int(likes.indices[pair])
    liked = likes.indices[likes.indptr[i] : likes.indptr[i + 1]]
    counters["pairs"] += 1
    if len(liked) >= n_items:
        counters["skipped"] += 1
        return []

    negatives = draw_negatives(liked, n_items, settings.n_negatives, settings.seed, pair, epoch)
    u, v_j = tables.users[i], tables.items[j]
    distances = np.array([squared_distance(u, tables.items[k]) for k in negatives])
    c = warp_loss(squared_distance(u, v_j), distances, settings.margin, n_items, likes.data[pair])
    counters["impostors"] += c.impostors
    if c.slot < 0:
        return []
    counters["active"] += 1
    counters["loss"] += float(c.loss)

    k = int(negatives[c.slot])
    v_k = tables.items[k]
    factor = number(2) * c.weight
    return [
        ("user", i, factor * (v_k - v_j)),
        ("item", j, factor * (v_j - u)),
        ("item", k, factor * (u - v_k)),
    ]


# --- synchronous mini-batches -----------------------------------------------------------------


def unit_of(n_items: int, largest_weight: float, settings: Settings) -> float:
    """Gradients of a batch are rounded to multiples of this power of two, and so added exactly.

    A gradient is 2 w (a - b), w at most the largest rank weight times the largest of a pair, and
    the kernels bound its norm by 8 w max_norm. 2^exponent is above that bound. Where pairs share
    negatives, a tile takes the place of a pair.
    """
    if settings.loss == "warp":
        largest = rank_weight(n_items, settings.n_negatives, settings.n_negatives) * largest_weight
        bound, summands = 1.001 * 8 * largest * settings.max_norm, settings.batch_size
    else:
        bound = reference_tile.largest_gradient(largest_weight, settings)
        summands = -(-settings.batch_size // settings.tile_size)
    exponent = np.frexp(np.clip(bound, 1e-15, 1e15))[1]
    bits = min(50, 62 - int(np.ceil(np.log2(summands))))
    return float(2.0 ** (exponent - bits))


def steps(
    tables: Tables,
    likes: sp.csr_array,
    visits: range,
    settings: Settings,
    counters: dict[str, float],
) -> Iterator[list[tuple[str, int, np.ndarray]]]:
    """The gradients of a pair, or of a tile of pairs, after another; all visits are of one epoch.

    They are taken when they are asked for, so the tables may change from one to the next.
    """
    if settings.loss == "warp":
        for visit in visits:
            yield gradients(tables, likes, visit, settings, counters)
    else:
        for at in range(0, len(visits), settings.tile_size):
            tile = visits[at : at + settings.tile_size]
            yield reference_tile.tile_gradients(tables, likes, tile, settings, counters)


def train_batch(
    tables: Tables,
    likes: sp.csr_array,
    visits: range,
    settings: Settings,
    counters: dict[str, float],
) -> None:
    """Add up the gradients at the present parameters; then update each touched row once."""
    unit = unit_of(likes.shape[1], float(likes.data.max()), settings)
    sums: dict[tuple[str, int], np.ndarray] = {}
    for step in steps(tables, likes, visits, settings, counters):
        for name, row, gradient in step:
            units = np.rint(gradient / np.float64(unit)).astype(np.int64)
            sums[name, row] = sums.get((name, row), 0) + units
    for (name, row), units in sums.items():
        gradient = units.astype(tables.users.dtype) * tables.users.dtype.type(unit)
        update_row(tables, name, row, gradient, settings)


def train(
    tables: Tables, likes: sp.csr_array, begin: int, end: int, settings: Settings
) -> dict[str, float]:
    """Walk the visits [begin, end) in order; visit t belongs to epoch t // n_pairs.

    With ``settings.batch_size`` they are whole batches: a batch is so many successive visits, or
    what is left of an epoch.
    """
    counters = {"pairs": 0, "active": 0, "impostors": 0, "skipped": 0, "loss": 0.0}
    while begin < end:
        epoch_end = (begin // likes.nnz + 1) * likes.nnz
        if settings.batch_size:
            last = min(begin + settings.batch_size, epoch_end, end)
            train_batch(tables, likes, range(begin, last), settings, counters)
        else:
            last = min(epoch_end, end)
            for step in steps(tables, likes, range(begin, last), settings, counters):
                for name, row, gradient in step:
                    update_row(tables, name, row, gradient, settings)
        begin = last
    return counters


# --- folding in -------------------------------------------------------------------------------


def fold_in(tables: Tables, likes: sp.csr_array, n_epochs: int, settings: Settings) -> None:
    """Train the users, each alone and on their own pairs, with the items fixed."""
    counters: dict[str, float] = defaultdict(float)
    for i in range(likes.shape[0]):
        own = likes[[i]]
        user = tables.users[i : i + 1], tables.user_accumulators[i : i + 1]
        alone = Tables(*user, tables.items, tables.item_accumulators)
        for epoch in range(n_epochs):
            visits = range(epoch * own.nnz, (epoch + 1) * own.nnz)
            for step in steps(alone, own, visits, settings, counters):
                of_user = [gradient for name, _, gradient in step if name == "user"]
                if of_user:  # the pairs of a tile make one step together
                    total = np.zeros_like(of_user[0])
                    for gradient in of_user:
                        total = total + gradient
                    update_row(alone, "user", 0, total, settings)
