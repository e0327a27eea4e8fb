"""Made-up likes of very different kinds, whose structure is known, and small enough to be quick.

    from benchmarks.common import datasets, made_up
    for name in made_up.KINDS:
        train, validation, test = datasets.load(name, seed=0)  # 60/20/20 for each user

``datasets.load`` knows them by name, so every benchmark with ``--data`` or ``--names`` takes them,
too. A new kind is one function, decorated with ``@kind``.

In each kind, a user draws a number of different items, with odds that are the kind's own. The data
are always the same; the seed of ``datasets.load`` determines the split.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp

from cml_fast.data import Interactions, split

# The standard deviation of the logarithm of a user's activity.
ACTIVITY = 0.7
# The fewest likes of a user: one each for training, validation and test.
LEAST = 3
# At most this share of all items is liked by a user.
MOST = 0.5
# Of training, validation and test, unless a kind has its own.
SHARES = (0.6, 0.2, 0.2)


class Odds(NamedTuple):
    """What likes are drawn from."""

    log_odds: np.ndarray  # of each item for each user, (n_users, n_items)
    mean_likes: float  # of a user
    activity: float = ACTIVITY  # 0: all users have equally many
    shares: tuple[float, float, float] = SHARES


KINDS: dict[str, Callable[[np.random.Generator], Odds | Interactions]] = {}


def kind(
    draw: Callable[[np.random.Generator], Odds | Interactions],
) -> Callable[[np.random.Generator], Odds | Interactions]:
    """Add a kind to the registry, under the name of its function."""
    KINDS[draw.__name__.replace("_", " ")] = draw
    return draw


def load(name: str, seed: int) -> tuple[Interactions, Interactions, Interactions]:
    """Draw the likes of one kind, and split those of each user with ``seed``."""
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    odds = KINDS[name](rng)
    if isinstance(odds, Interactions):
        likes, shares = odds, SHARES
    else:
        likes, shares = _drawn(odds, rng), odds.shares
    train, validation, test = split(likes, shares, seed, min_interactions=LEAST)
    return train, validation, test


def describe(name: str) -> str:
    """One sentence: what the users of a kind like."""
    return " ".join((KINDS[name].__doc__ or "").split())


def _drawn(odds: Odds, rng: np.random.Generator) -> Interactions:
    """Let each user draw different items, one after another, with these odds.

    The items with the largest log(odds) + Gumbel noise are distributed like that (Vieira, 2014).
    """
    n_users, n_items = odds.log_odds.shape
    mean = np.log(odds.mean_likes) - odds.activity**2 / 2
    activity = np.exp(mean + odds.activity * rng.standard_normal(n_users))
    n_likes = np.clip(np.rint(activity), LEAST, int(MOST * n_items)).astype(np.int64)
    keys = odds.log_odds + rng.gumbel(size=(n_users, n_items))
    ranked = np.argsort(-keys, axis=1)[:, : n_likes.max()]
    chosen = ranked[np.arange(n_likes.max()) < n_likes[:, None]]
    indptr = np.concatenate([[0], np.cumsum(n_likes)])
    ones = np.ones(len(chosen), dtype=np.float32)
    matrix = sp.csr_array((ones, chosen, indptr), shape=(n_users, n_items))
    matrix.sort_indices()
    return Interactions(matrix, np.arange(n_users), np.arange(n_items))


# --- odds ---------------------------------------------------------------------------------------


def _popularity(n_items: int, exponent: float, rng: np.random.Generator) -> np.ndarray:
    """Log-odds of items by a power law of their rank, in random order."""
    return -exponent * np.log(rng.permutation(n_items) + 5.0)


def _tastes(
    shape: tuple[int, int], n_tastes: int, noise: float, rng: np.random.Generator
) -> np.ndarray:
    """Log-odds of users who mix a few tastes; each item belongs to one."""
    shares = rng.dirichlet(np.full(n_tastes, 1 / n_tastes), size=shape[0])
    mixture = (1 - noise) * shares + noise / n_tastes
    of_items = np.arange(shape[1]) % n_tastes
    found: np.ndarray = np.log(mixture)[:, of_items] + _popularity(shape[1], 0.8, rng)
    return found


def _factors(
    shape: tuple[int, int], n_factors: int, deviation: float, rng: np.random.Generator
) -> np.ndarray:
    """Log-odds that are products of normally distributed factors."""
    users, items = (rng.standard_normal((n, n_factors)) for n in shape)
    found: np.ndarray = deviation / np.sqrt(n_factors) * users @ items.T
    return found


# --- the kinds ----------------------------------------------------------------------------------


@kind
def demo(rng: np.random.Generator) -> Interactions:
    """Six tastes, mixed, with little noise: the likes of `cml-fast demo`."""
    from cml_fast._cli.demo import planted_likes

    return planted_likes().interactions


@kind
def few_tastes(rng: np.random.Generator) -> Odds:
    """Three tastes, mixed by each user."""
    return Odds(_tastes((1200, 800), 3, 0.1, rng), 25)


@kind
def many_tastes(rng: np.random.Generator) -> Odds:
    """A hundred tastes, of which each user has a few."""
    return Odds(_tastes((2000, 2000), 100, 0.1, rng), 20)


@kind
def popularity_only(rng: np.random.Generator) -> Odds:
    """All users have the same taste: some items are more popular, and that is all."""
    return Odds(np.tile(_popularity(600, 1.0, rng), (1000, 1)), 20)


@kind
def blocks(rng: np.random.Generator) -> Odds:
    """Twenty groups of users, each with its own group of equally popular items, and some noise."""
    n_users, n_items, n_blocks = 1000, 1000, 20
    same = (np.arange(n_users) % n_blocks)[:, None] == np.arange(n_items) % n_blocks
    return Odds(5.0 * same, 15)


@kind
def long_tail(rng: np.random.Generator) -> Odds:
    """Ten factors, and a catalogue of which most items have one like or none."""
    shape = 1500, 5000
    return Odds(_factors(shape, 10, 1.5, rng) + _popularity(shape[1], 1.2, rng), 12)


@kind
def tiny(rng: np.random.Generator) -> Odds:
    """Fifty users and a hundred items of four tastes."""
    return Odds(_tastes((50, 100), 4, 0.1, rng), 12)


@kind
def dense(rng: np.random.Generator) -> Odds:
    """Eight factors, and 5% of all pairs are likes."""
    shape = 1000, 800
    return Odds(_factors(shape, 8, 1.5, rng) + _popularity(shape[1], 0.7, rng), 40)


@kind
def one_like(rng: np.random.Generator) -> Odds:
    """Ten tastes, and every user has a single like to learn from."""
    third = 1 / LEAST
    return Odds(_tastes((3000, 600), 10, 0.05, rng), LEAST, 0.0, (third, third, third))


@kind
def factors(rng: np.random.Generator) -> Odds:
    """Twenty factors, and no item is more popular than others but for these."""
    return Odds(_factors((1500, 1000), 20, 2.0, rng), 25)


@kind
def plane(rng: np.random.Generator) -> Odds:
    """Users and items are places on a square, and users like what is near."""
    n_users, n_items, reach = 1500, 1500, 0.07
    users, items = rng.random((n_users, 2)), rng.random((n_items, 2))
    squares = ((users[:, None] - items) ** 2).sum(axis=2)
    return Odds(-squares / (2 * reach**2) + _popularity(n_items, 0.7, rng), 20)
