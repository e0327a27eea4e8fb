"""What a model recommends to users without likes in training."""

import pickle

import numpy as np
import pytest
import scipy.sparse as sp
from support.trainers import trainer

from cml_fast import Model
from cml_fast.data import Interactions, synthetic
from cml_fast.errors import ModelError

RNG = np.random.default_rng(0)
VECTORS = RNG.standard_normal((5, 3)), RNG.standard_normal((6, 3))
USER_COUNTS, ITEM_COUNTS = np.array([3, 0, 2, 0, 4]), np.array([1, 4, 0, 1, 2, 1])
MODEL = Model(*VECTORS, user_ids=list("abcde"), user_counts=USER_COUNTS, item_counts=ITEM_COUNTS)
PLAIN = Model(*VECTORS)


def test_they_get_the_most_popular_items_with_a_word():
    exclude = sp.csr_array(([1.0, 1.0], ([1, 0], [4, 1])), shape=(5, 6))
    with pytest.warns(UserWarning, match="^2 of 4 users have no likes in training") as caught:
        rows, distances = MODEL.recommend([0, 1, 3, 2], 4, exclude)
    assert caught[0].filename == __file__
    assert rows[1].tolist() == [1, 0, 3, 5] and rows[2].tolist() == [1, 4, 0, 3]
    assert np.isnan(distances[1:3]).all()
    expected = PLAIN.recommend([0, 2], 4, exclude)
    np.testing.assert_array_equal(rows[[0, 3]], expected[0])
    np.testing.assert_array_equal(distances[[0, 3]], expected[1])
    with pytest.warns(UserWarning, match="1 of 1 users"):
        rows, distances = MODEL.recommend(1, 8, exclude)
    assert rows.tolist() == [1, 0, 3, 5, 2, -1, -1, -1]
    assert np.isnan(distances[:5]).all() and np.isposinf(distances[5:]).all()


def test_they_are_refused_or_treated_as_others():
    with pytest.raises(ValueError, match="2 users have no likes in training: 'b', 'd'; leave them"):
        MODEL.recommend([1, 3, 0], cold_users="error")
    MODEL.recommend([0, 2], cold_users="error")
    found = MODEL.recommend(range(5), cold_users="vector")
    np.testing.assert_array_equal(found[0], PLAIN.recommend(range(5))[0])
    with pytest.raises(ValueError, match="cold_users must be one of"):
        MODEL.recommend(0, cold_users="random")
    many = Model(np.zeros((9, 1)), [[0.0]], user_counts=[0] * 9, item_counts=[0])
    with pytest.raises(ValueError, match=r"9 users .*: 0, 1, 2, 3, 4, \.\.\.; leave"):
        many.recommend(range(9), cold_users="error")


def test_a_model_without_counts_does_not_know_of_them():
    assert PLAIN.user_counts is None and PLAIN.item_counts is None
    PLAIN.recommend(range(5), cold_users="error")


def test_approximate_search():
    pytest.importorskip("annoy")
    with pytest.warns(UserWarning, match="2 of 5 users"):
        rows, _ = MODEL.build_index().recommend(range(5), 2, approximate=True)
    assert rows[1].tolist() == rows[3].tolist() == [1, 4]


def test_counts_are_kept(tmp_path):
    MODEL.save(tmp_path / "model")
    for model in (Model.load(tmp_path / "model"), pickle.loads(pickle.dumps(MODEL)), MODEL):
        for found, given in ((model.user_counts, USER_COUNTS), (model.item_counts, ITEM_COUNTS)):
            assert found.tolist() == given.tolist() and found.dtype == np.int64
            with pytest.raises(ValueError, match="read-only"):
                found[0] = 1
    biased = MODEL.with_popularity_bias(sp.csr_array(np.eye(5, 6)))
    assert biased.user_counts.tolist() == USER_COUNTS.tolist()
    PLAIN.save(tmp_path / "plain")
    assert Model.load(tmp_path / "plain").user_counts is None
    (file,) = (tmp_path / "model").glob("counts-*.safetensors")
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(ModelError, match="counts"):
        Model.load(tmp_path / "model")


def test_bad_counts():
    for arguments, error, message in (
        ({"user_counts": [1] * 5}, ValueError, "item_counts is missing"),
        ({"item_counts": [1] * 6}, ValueError, "user_counts is missing"),
        ({"user_counts": [1] * 4, "item_counts": [1] * 6}, TypeError, "user_counts must be 5"),
        ({"user_counts": [1.0] * 5, "item_counts": [1] * 6}, TypeError, "got an array of float64"),
        ({"user_counts": [1] * 5, "item_counts": [-1] * 6}, ValueError, "must not be negative"),
        ({"placed_users": [1] * 5}, TypeError, "placed_users must be 5 bools"),
        ({"placed_users": [True]}, TypeError, "placed_users must be 5 bools"),
    ):
        with pytest.raises(error, match=message):
            Model(*VECTORS, **arguments)


def test_training_records_them():
    likes = synthetic(60, 40, 600, random_state=1).interactions.matrix.toarray()
    likes[[3, 8]] = 0
    model = trainer(n_epochs=1).fit(sp.csr_array(likes * 0.5)).model_
    assert model.user_counts.tolist() == (likes > 0).sum(axis=1).tolist()
    assert model.item_counts.tolist() == (likes > 0).sum(axis=0).tolist()
    with pytest.warns(UserWarning, match="2 of 60 users"):
        rows, _ = model.recommend(range(60), 5)
    popular = np.argsort(-model.item_counts, kind="stable")[:5]
    assert rows[3].tolist() == rows[8].tolist() == popular.tolist()


def test_users_placed_by_features_keep_their_vectors(tmp_path):
    made = synthetic(60, 40, 600, random_state=1).interactions
    likes = made.matrix.toarray()
    likes[[3, 8]] = 0
    train = Interactions(sp.csr_array(likes), made.user_ids, made.item_ids)
    features = np.random.default_rng(0).random((60, 4), dtype=np.float32)
    features[8] = 0  # neither likes nor features
    model = trainer(n_epochs=1).fit(train, user_features=features).model_
    assert np.flatnonzero(model.placed_users).tolist() == [3]
    model.save(tmp_path / "model")
    for kept in (model, Model.load(tmp_path / "model"), pickle.loads(pickle.dumps(model))):
        assert kept.user_counts[3] == kept.user_counts[8] == 0
        np.testing.assert_array_equal(
            kept.recommend(3)[0], kept.recommend_from_vectors(kept.user_vectors[3])[0]
        )
        with pytest.raises(ValueError, match="1 users have no likes in training: 'user-00008'"):
            kept.recommend([3, 8, 9], cold_users="error")


def test_added_items_have_no_likes():
    likes = synthetic(60, 40, 600, random_state=1).interactions
    tags = np.random.default_rng(0).random((40, 4), dtype=np.float32)
    model = trainer(n_epochs=1).fit(likes, item_features=tags).model_
    more = model.add_items(["new"], tags[:1])
    assert more.item_counts.tolist() == [*model.item_counts.tolist(), 0]
    assert more.user_counts.tolist() == model.user_counts.tolist()
