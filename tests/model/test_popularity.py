"""Items that are the nearer, the more likes they have."""

import numpy as np
import pytest
import scipy.sparse as sp
from support.trainers import trainer

from cml_fast import Model
from cml_fast.data import Interactions, synthetic
from cml_fast.errors import DataError

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
