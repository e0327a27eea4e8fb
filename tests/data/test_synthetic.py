"""The generator: exact sizes, readable ids, and tastes that are worth learning."""

from __future__ import annotations

import re

import numpy as np
import pytest

from cml_fast.data import Synthetic, split, synthetic


@pytest.fixture(scope="module")
def made() -> Synthetic:
    return synthetic(2000, 1000, 60_000)


@pytest.mark.parametrize(
    ("n_users", "n_items", "n_interactions", "options"),
    [
        (300, 200, 5000, {}),
        (10, 8, 20, {}),  # as small and as dense as allowed
        (200, 100, 5000, {}),  # as dense as allowed
        (50, 40, 400, {"n_tastes": 40}),
        (50, 43, 400, {"n_tastes": 1}),
        (50, 43, 400, {"n_tastes": 7, "noise": 1}),
        (50, 43, 200, {"n_tastes": 3, "noise": 0}),
    ],
)
def test_sizes_are_exact(
    n_users: int, n_items: int, n_interactions: int, options: dict[str, float]
) -> None:
    made = synthetic(n_users, n_items, n_interactions, **options)
    matrix, n_tastes = made.interactions.matrix, int(options.get("n_tastes", 8))
    assert matrix.shape == (n_users, n_items)
    assert matrix.nnz == n_interactions
    assert matrix.has_canonical_format
    assert matrix.dtype == np.float32
    assert set(matrix.data.tolist()) == {1.0}
    assert np.diff(matrix.indptr).min() >= 1
    assert made.user_tastes.shape == (n_users,)
    assert made.item_tastes.shape == (n_items,)
    assert made.user_shares.shape == (n_users, n_tastes)
    assert made.user_tastes.dtype == made.item_tastes.dtype == np.int64
    assert made.user_shares.dtype == np.float32
    assert set(made.item_tastes.tolist()) == set(range(n_tastes))
    assert len(made.taste_names) == n_tastes == len(set(made.taste_names))
    np.testing.assert_allclose(made.user_shares.sum(axis=1), 1, rtol=1e-5)


def test_ids_can_be_read(made: Synthetic) -> None:
    users, items = made.interactions.user_ids, made.interactions.item_ids
    assert users[12] == "user-00012"
    assert np.unique(users).size == 2000
    assert np.unique(items).size == 1000
    for item, taste in zip(items.tolist(), made.item_tastes.tolist(), strict=True):
        assert re.fullmatch(rf"{made.taste_names[taste]}-\d{{4}}", item)
    assert "jazz-0017" in synthetic(50, 300, 1000, n_tastes=16).interactions.item_ids


def test_same_state_same_data() -> None:
    one, two, other = (synthetic(100, 80, 1000, random_state=state) for state in (3, 3, 4))
    assert (one.interactions.matrix != two.interactions.matrix).nnz == 0
    np.testing.assert_array_equal(one.user_shares, two.user_shares)
    assert (one.interactions.matrix != other.interactions.matrix).nnz > 0


def likes_by_taste(made: Synthetic) -> np.ndarray:
    """How many of each user's likes are of each taste."""
    member = np.eye(made.user_shares.shape[1])[made.item_tastes]
    return np.asarray(made.interactions.matrix @ member)


def test_users_like_what_their_shares_say(made: Synthetic) -> None:
    likes = likes_by_taste(made)
    main = likes[np.arange(len(likes)), made.user_tastes]
    assert main.sum() / likes.sum() > 0.5
    observed = likes / likes.sum(axis=1, keepdims=True)
    assert np.corrcoef(observed.ravel(), made.user_shares.ravel())[0, 1] > 0.9


def test_users_have_one_taste_or_a_few(made: Synthetic) -> None:
    counts = (made.user_shares > 0.1).sum(axis=1)
    assert (counts <= 3).mean() > 0.9
    assert (counts == 1).mean() > 0.15
    assert (counts > 1).mean() > 0.5


@pytest.mark.parametrize("noise", [0.0, 0.3, 1.0])
def test_noise_is_the_share_of_likes_of_any_taste(noise: float) -> None:
    made = synthetic(2000, 5000, 50_000, noise=noise)
    strangers = made.user_shares < 1e-3  # tastes that only noise can give
    likes = likes_by_taste(made)
    expected = noise * (strangers.mean(axis=1) * likes.sum(axis=1)).sum()
    # A little more than noise alone: the shares are small, not zero.
    assert expected * 0.95 <= likes[strangers].sum() <= expected * 1.05 + 30


def test_popularity_and_activity_have_long_tails(made: Synthetic) -> None:
    per_item = np.sort(made.interactions.matrix.sum(axis=0))[::-1]
    per_user = np.sort(np.diff(made.interactions.matrix.indptr))[::-1]
    assert per_item[:100].sum() / per_item.sum() > 0.25  # an even spread would give 0.1
    assert per_user[:200].sum() / per_user.sum() > 0.2
    assert np.diff(made.interactions.matrix.indptr).min() >= 5


def test_items_of_a_taste_come_by_popularity(made: Synthetic) -> None:
    per_item = made.interactions.matrix.sum(axis=0)
    for taste in range(8):
        mine = per_item[made.item_tastes == taste]
        quarter = mine.size // 4
        assert mine[:quarter].mean() > 2 * mine[-quarter:].mean()


def test_knowing_the_tastes_beats_popularity_by_far(made: Synthetic) -> None:
    train, test = (part.matrix for part in split(made.interactions, (0.8, 0.2)))
    popularity = np.asarray(train.sum(axis=0))

    def recall(scores: np.ndarray) -> float:
        top = np.argsort(np.where(train.toarray() > 0, -np.inf, scores), axis=1)[:, -50:]
        hits = np.take_along_axis(test.toarray(), top, axis=1).sum(axis=1)
        return float((hits / np.diff(test.indptr)).mean())

    by_popularity = recall(np.broadcast_to(popularity, train.shape))
    by_taste = recall(made.user_shares[:, made.item_tastes] * popularity)
    assert by_taste > 2 * by_popularity
    assert by_taste > 0.3


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"n_users": 0}, "n_users"),
        ({"n_items": 7}, "n_items"),
        ({"n_interactions": 199}, "n_interactions must be between 200 and 1250"),
        ({"n_interactions": 1251}, "n_interactions must be between 200 and 1250"),
        ({"n_tastes": 0}, "n_tastes"),
        ({"n_tastes": 51}, "n_tastes must be between 1 and 50"),
        ({"noise": 1.1}, "noise must be between 0 and 1"),
        ({"noise": -0.1}, "noise"),
        ({"random_state": -1}, "random_state"),
    ],
)
def test_arguments_are_checked(changes: dict[str, float], match: str) -> None:
    good = {"n_users": 100, "n_items": 50, "n_interactions": 500}
    with pytest.raises(ValueError, match=match):
        synthetic(**{**good, **changes})


def test_what_cannot_be_drawn_is_refused() -> None:
    with pytest.raises(ValueError, match=r"n_interactions=400 are more.*fewer tastes"):
        synthetic(50, 40, 400, n_tastes=40, noise=0)


@pytest.mark.parametrize("name", ["n_users", "n_items", "n_interactions", "n_tastes", "noise"])
def test_types_are_checked(name: str) -> None:
    good = {"n_users": 100, "n_items": 50, "n_interactions": 500}
    with pytest.raises(TypeError, match=name):
        synthetic(**{**good, name: "10"})
