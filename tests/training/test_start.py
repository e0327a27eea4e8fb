"""The vectors that a training begins with."""

import numpy as np
import pytest
import scipy.sparse as sp
from support.trainers import trainer, vectors

from cml_fast._compute.tables import random_vectors
from cml_fast._training.start import ROUNDS, first_vectors
from cml_fast.data import split, synthetic
from cml_fast.metrics import measure

LIKES = synthetic(60, 40, 500, n_tastes=4, random_state=1).interactions.matrix


def begin(likes, n_dims=8, max_norm=1.0, seed=0):
    return first_vectors(likes, n_dims, max_norm, np.random.default_rng(seed))


def added_up(rows, n_dims):
    """Their sum in float32, one after the other."""
    total = np.zeros(n_dims, np.float32)
    for row in rows:
        total = total + row
    return total


def by_hand(likes, n_dims, max_norm, seed):
    """One row at a time, in the order of the stored likes."""
    rng = np.random.default_rng(seed)
    users, items = (random_vectors((n, n_dims), max_norm, rng) for n in likes.shape)
    dense = likes.toarray() > 0
    liked = [np.flatnonzero(row) for row in dense]
    likers = [np.flatnonzero(column) for column in dense.T]
    counts = [np.float32(max(len(these), 1)) for these in likers]
    smooth = [item / np.sqrt(count) for item, count in zip(items, counts, strict=True)]
    weighted = [np.float32(len(these)) * item for these, item in zip(likers, smooth, strict=True)]
    centre = added_up(weighted, n_dims) / np.float32(likes.nnz)
    smooth = [item - centre for item in smooth]
    for _ in range(ROUNDS):
        means = [
            added_up([smooth[j] for j in these], n_dims) / np.float32(max(len(these), 1))
            for these in liked
        ]
        smooth = [
            added_up([means[i] for i in these], n_dims) / count
            for these, count in zip(likers, counts, strict=True)
        ]
    means = [
        added_up([smooth[j] for j in these], n_dims) / np.float32(max(len(these), 1))
        for these in liked
    ]
    for rows, found in ((users, means), (items, smooth)):
        for row, one in zip(rows, found, strict=True):
            norm = np.linalg.norm(one[None], axis=1)
            if norm > 0:
                row[:] = one * (np.float32(max_norm) / norm)
    return users, items


@pytest.mark.parametrize(("n_dims", "max_norm"), [(1, 1.0), (8, 1.0), (33, 0.3)])
def test_every_bit_is_that_of_sums_by_hand(n_dims, max_norm):
    likes = LIKES.toarray()
    likes[7], likes[:, 9] = 0, 0
    likes = sp.csr_array(likes)
    for found, expected in zip(
        begin(likes, n_dims, max_norm, 5), by_hand(likes, n_dims, max_norm, 5), strict=True
    ):
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, expected)


def test_they_lie_on_the_edge_or_are_random():
    likes = LIKES.toarray()
    likes[7], likes[:, 9] = 0, 0
    found = begin(sp.csr_array(likes), max_norm=0.5)
    rng = np.random.default_rng(0)
    drawn = [random_vectors((n, 8), 0.5, rng) for n in likes.shape]
    for rows, others, without in zip(found, drawn, (7, 9), strict=True):
        norms = np.linalg.norm(rows, axis=1)
        np.testing.assert_allclose(np.delete(norms, without), 0.5, rtol=1e-6)
        np.testing.assert_array_equal(rows[without], others[without])
        assert norms[without] <= 0.5


def test_training_begins_there():
    """Users without likes never move, and those of the last fit are kept."""
    likes = LIKES.toarray()
    likes[7] = 0
    likes = sp.csr_array(likes)
    rng = np.random.default_rng(3)
    rng.integers(2**63)  # the seed of the kernels
    users, items = first_vectors(likes, 8, 1.0, rng)
    still = trainer(random_state=3, learning_rate=1e-20).fit(likes)
    np.testing.assert_allclose(vectors(still), np.concatenate([users, items]), atol=1e-6)
    np.testing.assert_array_equal(still.model_.user_vectors[7], users[7])


def test_they_know_who_likes_what():
    """Recall of what was left out, without any training: far above that of random vectors."""
    likes = synthetic(500, 400, 15_000, n_tastes=8, noise=0.05).interactions.matrix
    known, wanted = split(likes, (0.8, 0.2))
    rng = np.random.default_rng(0)
    drawn = [random_vectors((n, 32), 1.0, rng) for n in likes.shape]
    recalls = [measure(*each, wanted, known, [50]).recall[50] for each in (begin(known, 32), drawn)]
    assert recalls[0] > 2 * recalls[1]


def test_the_weights_do_not_count_and_the_seed_does():
    heavier = LIKES * np.float32(3)
    np.testing.assert_array_equal(begin(heavier)[0], begin(LIKES)[0])
    assert not np.array_equal(begin(LIKES, seed=1)[0], begin(LIKES)[0])


@pytest.mark.parametrize("likes", [np.ones((1, 1)), np.ones((5, 7)), np.eye(3, 5)])
def test_where_there_is_nothing_in_common_to_find(likes):
    for rows in begin(sp.csr_array(likes.astype(np.float32))):
        assert np.isfinite(rows).all()
        assert (np.linalg.norm(rows, axis=1) <= 1 + 1e-6).all()


# --- features of items --------------------------------------------------------------------------

# Each item has two of twelve tags.
TAGS = sp.csr_array(
    (np.ones(80, np.float32), (np.repeat(np.arange(40), 2), (np.arange(80) * 7) % 12)),
    shape=(40, 12),
)


def begin_with(features, likes=LIKES, n_dims=8):
    return first_vectors(likes, n_dims, 1.0, np.random.default_rng(0), features)


@pytest.mark.parametrize("make", [sp.csr_array, sp.csr_array.toarray])
def test_items_are_averaged_along_their_features_too(make):
    likes = LIKES.toarray()
    likes[:, 9] = 0
    likes = sp.csr_array(likes)
    rng = np.random.default_rng(0)
    drawn = [random_vectors((n, 8), 1.0, rng) for n in likes.shape]
    items = drawn[1].astype(float)
    liked, has = likes.toarray() > 0, TAGS.toarray() > 0
    counts = liked.sum(axis=0)
    items /= np.sqrt(np.maximum(counts, 1))[:, None]
    items -= (counts[:, None] * items).sum(axis=0) / counts.sum()
    has &= (counts > 0)[:, None]  # item 9 has no likes, and says nothing of its tags
    weights = 2 * np.log(39 / has.sum(axis=0)) / np.log(39)
    for _ in range(ROUNDS):
        users = [items[row].mean(axis=0) for row in liked]
        tags = [items[column].mean(axis=0) for column in has.T]
        items = np.array(
            [
                sum((users[i] for i in np.flatnonzero(liked[:, j])), np.zeros(8))
                + sum(weights[t] * tags[t] for t in np.flatnonzero(has[j]))
                for j in range(40)
            ]
        ) / np.maximum(counts + has @ weights, 1).reshape(-1, 1)
    users = np.array([items[row].mean(axis=0) for row in liked])
    for found, expected, drawn_rows in zip(
        begin_with(make(TAGS), likes), (users, items), drawn, strict=True
    ):
        assert found.dtype == np.float32
        lengths = np.linalg.norm(expected, axis=1, keepdims=True)
        known = lengths[:, 0] > 0
        np.testing.assert_allclose(found[known], expected[known] / lengths[known], atol=1e-4)
        np.testing.assert_array_equal(found[~known], drawn_rows[~known])


def test_values_of_features_and_features_of_most_items_do_not_count():
    common = np.ones((40, 1), np.float32)
    common[:19] = 0
    both = sp.csr_array(sp.hstack([-3 * TAGS, sp.csr_array(common)]))
    for found, expected in zip(begin_with(both), begin_with(TAGS), strict=True):
        np.testing.assert_array_equal(found, expected)
    for found, expected in zip(begin_with(common), begin(LIKES), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_a_training_with_features_begins_there():
    rng = np.random.default_rng(3)
    rng.integers(2**63)  # the seed of the kernels
    expected = np.concatenate(first_vectors(LIKES, 8, 1.0, rng, TAGS))
    still = trainer(random_state=3, learning_rate=1e-20, n_hidden=4)
    still.fit(LIKES, item_features=TAGS)
    np.testing.assert_allclose(vectors(still), expected, atol=1e-6)
