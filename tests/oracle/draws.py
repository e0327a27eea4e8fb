"""Random numbers by counters: the generator, the order of samples, the negatives."""

from __future__ import annotations

import numpy as np

WORD = 2**64 - 1  # the largest
# The second half of the generator's key says what the words are for.
NEGATIVES, SAMPLE_ORDER, SHARED_NEGATIVES = 0, 1, 5


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


def sample_order(n: int, seed: int, epoch: int, position: int, pairs_per_part: int = 0) -> int:
    """The liked pair at this position of an epoch: a keyed bijection of [0, n).

    Parts of successive pairs are visited one after another, in an order of their own; the last
    part, which may be shorter, at any place among them. 0 pairs per part: there is one part.
    """
    words: list[int] = []
    for call in range(2):
        words += philox((seed, SAMPLE_ORDER), (call, 0, epoch, 0))
    size = pairs_per_part or n + 1
    n_whole, n_last = divmod(n, size)
    last_begin = last_part(n, seed, epoch, size)
    if last_begin <= position < last_begin + n_last:
        within = _shuffled(position - last_begin, n_last, words, n_whole)
        return n_whole * size + within
    if position >= last_begin:
        position -= n_last
    number, within = divmod(position, size)
    part = _shuffled(number, n_whole, words, WORD)
    return part * size + _shuffled(within, size, words, part)


def last_part(n: int, seed: int, epoch: int, size: int) -> int:
    """The position at which an epoch visits the last part, which may be shorter than the others."""
    word = philox((seed, SAMPLE_ORDER), (1, 0, epoch, 0))[3]
    return (word * (n // size + 1) >> 64) * size


def _shuffled(x: int, n: int, keys: list[int], part: int) -> int:
    """A keyed bijection of [0, n), one for each part."""
    bits = (n - 1).bit_length()
    low_bits = bits - bits // 2
    low_mask = (1 << low_bits) - 1
    high_size = (n + low_mask) >> low_bits
    keys = [key ^ (part * 0x9E3779B97F4A7C15 & WORD) for key in keys]

    def mix(x: int, key: int) -> int:
        x = (x ^ key) * 0xBF58476D1CE4E5B9 & WORD
        return x ^ x >> 32

    while True:
        low, high = x & low_mask, x >> low_bits
        for i in range(0, 6, 2):
            high = (high + ((mix(low, keys[i]) & 0xFFFFFFFF) * high_size >> 32)) % high_size
            low ^= mix(high, keys[i + 1]) & low_mask
        x = high << low_bits | low
        if x < n:
            return x


def position_of(pair: int, n: int, seed: int, epoch: int) -> int:
    """The inverse of `sample_order` where there is one part: its rounds backwards."""
    bits = (n - 1).bit_length()
    low_bits = bits - bits // 2
    low_mask = (1 << low_bits) - 1
    high_size = (n + low_mask) >> low_bits
    keys = [word for call in range(2) for word in philox((seed, SAMPLE_ORDER), (call, 0, epoch, 0))]

    def mix(x: int, key: int) -> int:
        x = (x ^ key) * 0xBF58476D1CE4E5B9 & WORD
        return x ^ x >> 32

    x = pair
    while True:
        low, high = x & low_mask, x >> low_bits
        for i in (4, 2, 0):
            low ^= mix(high, keys[i + 1]) & low_mask
            high = (high - ((mix(low, keys[i]) & 0xFFFFFFFF) * high_size >> 32)) % high_size
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


def draw_shared_negatives(
    n_items: int, n_negatives: int, seed: int, epoch: int, position: int
) -> np.ndarray:
    """The negatives of the tile that begins at this position of an epoch, ascending.

    One is drawn from each of ``n_negatives`` equal parts of the item numbers.
    """
    negatives: list[int] = []
    for call in range(-(-n_negatives // 4)):
        for word in philox((seed, SHARED_NEGATIVES), (call, position, epoch, 0)):
            stratum = len(negatives)
            negatives.append((stratum * n_items + (word * n_items >> 64)) // n_negatives)
    return np.array(negatives[:n_negatives])
