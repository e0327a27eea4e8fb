"""Items that are the nearer, the more likes they have."""

import numpy as np
import pytest
import scipy.sparse as sp
from support.trainers import trainer

from cml_fast import Model
from cml_fast.data import Interactions, synthetic
from cml_fast.errors import DataError
from cml_fast.evaluation import evaluate

LIKES = synthetic(200, 90, 3000, random_state=1).interactions
PLAIN = trainer(n_epochs=4).fit(LIKES).model_
COUNTS = np.bincount(LIKES.matrix.indices, minlength=90)


def test_squared_distances_grow_by_the_log_of_the_likes():
    model = PLAIN.with_popularity_bias(LIKES, 0.3)
    assert model.item_vectors.shape == (90, 9)
    rows, distances = model.recommend(np.arange(200), n=90)
    plain, before = PLAIN.recommend(np.arange(200), n=90)
    grown = np.zeros((2, 200, 90))
    for at, (found, values) in enumerate([(rows, distances), (plain, before)]):
        np.put_along_axis(grown[at], found, values.astype(float) ** 2, axis=1)
    growth = 0.3 * np.log((COUNTS.max() + 1) / (COUNTS + 1))
    np.testing.assert_allclose(grown[0] - grown[1], np.tile(growth, (200, 1)), atol=1e-5)
    assert growth.min() == 0 < growth.max()


def test_users_and_the_rest_stay_as_they_were(tmp_path):
    model = PLAIN.with_popularity_bias(LIKES.matrix, 0.1)
    np.testing.assert_array_equal(model.user_vectors[:, :-1], PLAIN.user_vectors)
    assert not model.user_vectors[:, -1].any()
    np.testing.assert_array_equal(model.item_vectors[:, :-1], PLAIN.item_vectors)
    for one, other in zip(model.similar_users(3), PLAIN.similar_users(3), strict=True):
        np.testing.assert_array_equal(one, other)
    assert model.hyperparameters["n_dims"] == 8
    model.save(tmp_path / "model")
    loaded = Model.load(tmp_path / "model")
    np.testing.assert_array_equal(loaded.item_vectors, model.item_vectors)
    assert loaded.hyperparameters["popularity_weight"] == 0.1


def test_with_a_large_weight_all_users_get_the_most_popular_first():
    rows, _ = PLAIN.with_popularity_bias(LIKES, 1e3).recommend(np.arange(200), n=90)
    counts = COUNTS[rows]
    assert (np.diff(counts, axis=1) <= 0).all()


# Users want the most popular items, or those that are nearest to them.
POPULAR = np.argsort(-COUNTS, kind="stable")

# Not trained, so that the tests stay the same when trainings change.
DRAWN = Model(
    *(np.random.default_rng(n).normal(size=(n, 8)) / 4 for n in (200, 90)),
    user_ids=LIKES.user_ids,
    item_ids=LIKES.item_ids,
)
# The first weights that are tried.
GRID = np.square(DRAWN.item_vectors).sum(axis=1).max() * 2.0 ** np.arange(-8, -6)


def held_out(items_of) -> sp.csr_array:
    """Five items for each user, of those that the user has not liked yet, in an order."""
    rows, columns = [], []
    for user in range(200):
        order = items_of(user)
        order = order[~np.isin(order, LIKES.matrix[[user]].indices)][:5]
        rows += [user] * len(order)
        columns += order.tolist()
    return sp.csr_array((np.ones(len(rows), np.float32), (rows, columns)), shape=(200, 90))


def test_the_weight_is_chosen_on_held_out_likes():
    wanted = held_out(lambda user: POPULAR)
    model = DRAWN.with_popularity_bias(LIKES, validation=wanted, k=5)
    weight = model.hyperparameters["popularity_weight"]
    found = {
        w: evaluate(
            DRAWN.with_popularity_bias(LIKES, w), wanted, exclude=[LIKES], ks=(5,)
        ).per_user["ndcg"][5]
        for w in (weight / 4, weight / 2, weight, 2 * weight)
    }
    best = max(found.values(), key=np.mean)
    assert np.mean(best - found[weight]) <= np.std(best - found[weight]) / np.sqrt(200)
    # All smaller ones are worse by more than the standard error.
    for smaller in (weight / 4, weight / 2):
        gains = best - found[smaller]
        assert gains.mean() > gains.std() / np.sqrt(200)
    np.testing.assert_array_equal(
        model.item_vectors, DRAWN.with_popularity_bias(LIKES, weight).item_vectors
    )


def test_without_a_gain_the_model_stays_as_it_is():
    nearest = DRAWN.recommend(np.arange(200), n=90, exclude=LIKES)[0]
    wanted = held_out(lambda user: nearest[user])
    assert DRAWN.with_popularity_bias(LIKES, validation=wanted) is DRAWN


def test_a_gain_within_the_noise_is_none():
    rng = np.random.default_rng(5)
    wanted = held_out(lambda user: rng.permutation(90))
    found = {
        w: evaluate(m, wanted, exclude=[LIKES], ks=(20,)).ndcg[20]
        for w, m in [(0, DRAWN), *((w, DRAWN.with_popularity_bias(LIKES, w)) for w in GRID)]
    }
    assert max(found, key=found.get) > 0
    assert DRAWN.with_popularity_bias(LIKES, validation=wanted) is DRAWN


def test_the_metric_decides():
    """By recall of all 90 items nothing can be gained, by that of the first five much."""
    wanted = held_out(lambda user: POPULAR)
    assert DRAWN.with_popularity_bias(LIKES, validation=wanted, metric="recall", k=90) is DRAWN
    assert DRAWN.with_popularity_bias(LIKES, validation=wanted, metric="recall", k=5) is not DRAWN


def test_the_scale_of_the_vectors_scales_the_weight():
    wanted = held_out(lambda user: POPULAR)
    triple = Model(3 * DRAWN.user_vectors, 3 * DRAWN.item_vectors)
    one, nine = (
        model.with_popularity_bias(LIKES.matrix, validation=wanted).hyperparameters
        for model in (DRAWN, triple)
    )
    assert nine["popularity_weight"] == pytest.approx(9 * one["popularity_weight"], rel=0.05)


def test_without_validation_the_weight_is_that_of_the_docs():
    assert DRAWN.with_popularity_bias(LIKES).hyperparameters["popularity_weight"] == 0.02


def test_validation_that_cannot_choose_is_refused():
    wanted = held_out(lambda user: POPULAR)
    with pytest.raises(ValueError, match=r"weight=0.1 leaves nothing to choose by validation"):
        DRAWN.with_popularity_bias(LIKES, 0.1, validation=wanted)
    with pytest.raises(DataError, match="validation has no likes"):
        DRAWN.with_popularity_bias(LIKES, validation=sp.csr_array((200, 90), dtype=np.float32))
    with pytest.raises(DataError, match=f"validation has {LIKES.matrix.nnz} likes of interactions"):
        DRAWN.with_popularity_bias(LIKES, validation=LIKES)
    with pytest.raises(DataError, match="validation"):
        DRAWN.with_popularity_bias(LIKES, validation=wanted[:5])
    with pytest.raises(ValueError, match="metric must be one of"):
        DRAWN.with_popularity_bias(LIKES, validation=wanted, metric="novelty")
    with pytest.raises(ValueError, match="k must be"):
        DRAWN.with_popularity_bias(LIKES, validation=wanted, k=0)


def test_interactions_with_other_ids_are_refused():
    order = np.random.default_rng(0).permutation(90)
    shuffled = Interactions(
        sp.csr_array(LIKES.matrix[:, order]), LIKES.user_ids, LIKES.item_ids[order]
    )
    with pytest.raises(DataError, match="item_ids are not those"):
        PLAIN.with_popularity_bias(shuffled, 0.1)


def test_new_users_are_placed_among_the_items_of_training():
    model = PLAIN.with_popularity_bias(LIKES, 0.1)
    placed = model.fold_in_users(LIKES.matrix[:7])
    assert placed.shape == (7, 9)
    np.testing.assert_array_equal(placed[:, :-1], PLAIN.fold_in_users(LIKES.matrix[:7]))
    assert not placed[:, -1].any()
    assert model.recommend_from_vectors(placed, n=3)[0].shape == (7, 3)


def test_what_cannot_be_done():
    for bad in (0, -1.0, np.nan, np.inf):
        with pytest.raises(ValueError, match="weight must be"):
            PLAIN.with_popularity_bias(LIKES, bad)
    with pytest.raises(TypeError, match="weight must be"):
        PLAIN.with_popularity_bias(LIKES, "much")
    with pytest.raises(DataError, match="interactions"):
        PLAIN.with_popularity_bias(LIKES.matrix[:5])
    with pytest.raises(ValueError, match="already"):
        PLAIN.with_popularity_bias(LIKES, 0.1).with_popularity_bias(LIKES)
    tags = np.eye(90, 4, dtype=np.float32)
    described = trainer().fit(LIKES, item_features=tags).model_
    with pytest.raises(ValueError, match="features"):
        described.with_popularity_bias(LIKES)
