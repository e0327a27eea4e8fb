"""What is learned: good rankings, within the ball, and the same every time where it can be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.spatial.distance import cdist
from support.trainers import assert_same, popularity_recall, vectors
from support.trainers import trainer as small_trainer

from cml_fast import Model, Trainer
from cml_fast._training import loop
from cml_fast._training.start import first_vectors
from cml_fast.data import load_interactions, split, synthetic
from cml_fast.evaluation import evaluate

PLANTED = synthetic(500, 400, 15_000, n_tastes=8, noise=0.05).interactions.matrix
TRAIN, TEST = split(PLANTED, (0.8, 0.2))
TINY = synthetic(60, 40, 500, n_tastes=4).interactions.matrix


def trainer(**params: Any) -> Trainer:
    return small_trainer(**{"n_dims": 20, "n_negatives": 10, "n_epochs": 5, **params})


def recall(fitted: Trainer, train: Any = TRAIN, test: Any = TEST) -> float:
    return evaluate(fitted.model_, test, train, ks=(50,)).recall[50]


def first_of(likes: sp.csr_array, n_dims: int = 20) -> tuple[np.ndarray, np.ndarray]:
    """The vectors of users and items with which `trainer` begins."""
    generator = np.random.default_rng(0)
    generator.integers(2**63)  # the seed of the kernels
    return first_vectors(likes, n_dims, 1.0, generator)


# Quality


@pytest.mark.parametrize("n_threads", [1, None])
def test_beats_popularity(device: str, n_threads: int | None) -> None:
    one = trainer(device=device, n_threads=n_threads, n_epochs=10).fit(TRAIN)
    popular = popularity_recall(TRAIN, TEST)
    first = Model(*first_of(TRAIN))
    assert recall(one) > 1.02 * evaluate(first, TEST, TRAIN, ks=(50,)).recall[50]
    assert recall(one) > 1.5 * popular
    assert one.history_[-1].loss < 0.85 * one.history_[0].loss


@pytest.mark.parametrize(
    "params",
    [
        {"loss": "warp", "margin": 0.2},
        {"loss": "warp", "margin": 3.0},
        {"loss": "warp", "max_norm": 2.0, "margin": 4.0},
        {"loss": "warp", "max_norm": 0.1, "margin": 0.02, "learning_rate": 0.01},
        {"loss": "warp", "n_negatives": 1},
        {"loss": "warp", "optimizer": "rowwise_adagrad"},
        {"loss": "softmax", "temperature": 0.5},
        {"loss": "softmax", "optimizer": "adagrad", "ema_decay": 0},
        {"loss": "softmax", "update": "async"},
        {"loss": "softmax", "max_norm": 0.1, "temperature": 0.002, "learning_rate": 0.01},
        {"loss": "contrastive"},
        {"loss": "contrastive", "margin": 1.5, "negative_weight": 3},
        {"loss": "contrastive", "update": "async", "optimizer": "adagrad"},
        {"n_negatives": 256},
        {"n_dims": 300},
        {"n_dims": 8},
    ],
    ids=str,
)
def test_many_settings_learn(device: str, params: dict[str, Any]) -> None:
    one = trainer(device=device, **{"n_epochs": 10, **params}).fit(TRAIN)
    assert recall(one) > 1.5 * popularity_recall(TRAIN, TEST)


def test_one_dimension(device: str) -> None:
    """A line has room for two tastes."""
    own = np.kron(np.eye(2), np.ones((30, 20))) != 0
    liked = own & (np.random.default_rng(0).random(own.shape) < 0.8)
    one = trainer(device=device, n_dims=1, n_epochs=20).fit(sp.csr_array(liked))
    distances = cdist(one.model_.user_vectors, one.model_.item_vectors)
    assert distances[own].mean() < 0.5 * distances[~own].mean()


def test_recommendations_are_those_that_were_evaluated(device: str) -> None:
    one = trainer(device=device, validation_users=None).fit(TRAIN, validation=TEST)
    model = one.model_
    ids, distances = model.recommend(np.arange(500), 50, exclude=TRAIN)
    exact = cdist(model.user_vectors, model.item_vectors)
    np.testing.assert_allclose(distances, np.take_along_axis(exact, ids, 1), rtol=1e-4)
    exact[TRAIN.nonzero()] = np.inf
    np.testing.assert_allclose(distances, np.sort(exact)[:, :50], rtol=1e-4)
    hits = np.take_along_axis(TEST.toarray() != 0, ids, 1).sum(axis=1)
    n_wanted = np.diff(TEST.indptr)
    by_hand = (hits[n_wanted > 0] / n_wanted[n_wanted > 0]).mean()
    assert recall(one) == pytest.approx(by_hand)
    assert one.history_[one.best_epoch_].recall == pytest.approx(by_hand)


def test_movielens(device: str, shared_data: Path) -> None:
    path = shared_data / "ml-latest-small" / "ratings.csv"
    whole = load_interactions(path, user=0, item=1, rating=2, min_rating=4)
    train, test = split(whole, (0.8, 0.2))
    one = trainer(device=device, n_dims=50, n_negatives=20, n_epochs=10).fit(train)
    np.testing.assert_array_equal(one.model_.item_ids, whole.item_ids)
    assert recall(one, train, test) > 1.3 * popularity_recall(train.matrix, test.matrix)


# The ball


@pytest.mark.parametrize("max_norm", [0.1, 1.0, 2.0])
def test_all_vectors_are_in_the_ball(device: str, max_norm: float) -> None:
    """With so large a margin every pair pushes to the rim."""
    one = trainer(
        device=device,
        loss="warp",
        max_norm=max_norm,
        margin=100 * max_norm**2,
        learning_rate=0.1 * max_norm,
        ema_decay=0.0,  # an average of vectors on the rim lies within
    ).fit(TRAIN)
    assert one.history_[-1].active_share == 1
    norms = np.linalg.norm(vectors(one), axis=1)
    assert norms.max() <= max_norm * (1 + 1e-6)
    assert np.median(norms) > 0.9 * max_norm


# Odd users and items


def test_user_without_likes_stays(device: str) -> None:
    matrix = TINY.toarray()
    matrix[7] = 0
    likes = sp.csr_array(matrix)
    one = trainer(device=device).fit(likes)
    stays = (one.model_.user_vectors == first_of(likes)[0]).all(axis=1)
    assert np.flatnonzero(stays).tolist() == [7]


def test_users_who_like_everything(device: str) -> None:
    """They teach nothing, are counted, and are in nobody's way."""
    all_liked = np.arange(0, 500, 50)
    matrix = TRAIN.toarray()
    matrix[all_liked] = 1
    train = sp.csr_array(matrix)
    test = TEST.toarray()
    test[all_liked] = 0
    one = trainer(device=device, n_epochs=10).fit(train)
    assert [report.skipped for report in one.history_] == [10 * 400] * 10
    stays = (one.model_.user_vectors == first_of(train)[0]).all(axis=1)
    assert np.flatnonzero(stays).tolist() == all_liked.tolist()
    popular = popularity_recall(train, sp.csr_array(test))
    assert recall(one, train, sp.csr_array(test)) > 1.5 * popular


@pytest.mark.parametrize("n_threads", [1, None])
@pytest.mark.parametrize(
    ("matrix", "skipped"),
    [
        ([[1]], 1),
        ([[1, 0, 0, 1, 0]], 0),
        ([[1], [0], [1]], 2),
        ([[0, 0], [1, 0]], 0),
        ([[1, 1], [1, 0]], 2),
    ],
    ids=["1 x 1", "one user", "one item", "one like", "one choice"],
)
def test_hardly_any_data(
    device: str, matrix: list[list[int]], skipped: int, n_threads: int | None
) -> None:
    likes = sp.csr_array(np.array(matrix))
    one = trainer(device=device, n_threads=n_threads).fit(likes)
    assert [(r.pairs, r.skipped) for r in one.history_] == [(likes.nnz, skipped)] * 5
    assert np.isfinite(vectors(one)).all()
    moved = vectors(one) != np.concatenate(first_of(likes))
    trained = likes.nnz > skipped
    assert moved.any() == trained
    assert (one.history_[-1].loss > 0) == trained
    if trained:  # the likes are nearer than the rest
        ids, _ = one.model_.recommend(likes.shape[0] - 1, likes.shape[1])
        liked = likes[[likes.shape[0] - 1]].indices
        assert set(ids[: len(liked)].tolist()) == set(liked.tolist())


# Weights


def weighted(values: Any) -> sp.csr_array:
    return sp.csr_array((np.asarray(values, np.float32), TINY.indices, TINY.indptr), TINY.shape)


def test_weight_one_is_no_weight() -> None:
    plain = trainer().fit(TINY.astype(bool))
    assert_same(trainer().fit(weighted(np.ones(TINY.nnz))), plain)
    heavier = weighted(np.r_[1.5, np.ones(TINY.nnz - 1)])
    assert not np.array_equal(vectors(trainer().fit(heavier)), vectors(plain))


def test_weights_draw_users_to_what_they_like_most(device: str) -> None:
    likes = np.random.default_rng(0).random(TINY.nnz) < 0.5
    one = trainer(device=device, n_epochs=20, n_dims=3)
    one.fit(weighted(np.where(likes, 20, 1)))
    users, items = one.model_.user_vectors, one.model_.item_vectors
    rows = np.repeat(np.arange(60), np.diff(TINY.indptr))
    distances = np.linalg.norm(users[rows] - items[TINY.indices], axis=1)
    assert distances[likes].mean() < 0.9 * distances[~likes].mean()


def test_weight_zero_is_no_like() -> None:
    zeros = np.arange(TINY.nnz) % 5 == 0
    with pytest.warns(UserWarning, match=f"train: {zeros.sum()} explicit zeros were dropped"):
        one = trainer().fit(weighted(~zeros))
    without = weighted(~zeros)
    without.eliminate_zeros()
    assert_same(one, trainer().fit(without))
    assert one.history_[0].pairs == (~zeros).sum()


# Repeatability


def test_same_random_state_same_vectors(monkeypatch: pytest.MonkeyPatch) -> None:
    one = trainer().fit(TINY)
    assert_same(trainer().fit(TINY), one)
    assert not np.array_equal(vectors(trainer(random_state=1).fit(TINY)), vectors(one))
    # Launches, which depend on the clock, make no difference.
    monkeypatch.setattr(loop, "PAIRS_PER_THREAD", 7)
    monkeypatch.setattr(loop, "SECONDS_PER_LAUNCH", 0)
    assert_same(trainer().fit(TINY), one)


@pytest.mark.parametrize("kind", [np.random.default_rng, np.random.RandomState])
def test_generators(kind: Any) -> None:
    assert_same(trainer(random_state=kind(5)).fit(TINY), trainer(random_state=kind(5)).fit(TINY))
    one = trainer(random_state=kind(5)).fit(TINY)
    first = vectors(one)
    assert not np.array_equal(first, vectors(one.fit(TINY)))  # a generator moves on


def test_no_random_state_differs_every_time() -> None:
    one, other = (trainer(random_state=None).fit(TINY) for _ in range(2))
    assert not np.array_equal(vectors(one), vectors(other))


def test_many_threads(device: str) -> None:
    one = trainer(device=device, n_threads=4, n_epochs=3).fit(TINY)
    assert np.isfinite(vectors(one)).all()
    assert [report.pairs for report in one.history_] == [TINY.nnz] * 3
