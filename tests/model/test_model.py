"""The public model: arguments, conventions, ids."""

import copy
import pickle

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.spatial.distance import cdist
from support.trainers import trainer

import cml_fast
from cml_fast.data import synthetic
from cml_fast.data.interactions import Interactions
from cml_fast.errors import DataError
from cml_fast.model import Model

RNG = np.random.default_rng(0)
USERS = RNG.standard_normal((7, 3)).astype(np.float32)
ITEMS = RNG.standard_normal((11, 3)).astype(np.float32)
TRAIN = sp.csr_array((RNG.random((7, 11)) < 0.4).astype(np.float32))


@pytest.fixture
def model():
    return Model(USERS, ITEMS)


def test_attributes(model):
    np.testing.assert_array_equal(model.user_vectors, USERS)
    np.testing.assert_array_equal(model.item_vectors, ITEMS)
    np.testing.assert_array_equal(model.user_ids, np.arange(7))
    np.testing.assert_array_equal(model.item_ids, np.arange(11))
    assert model.user_ids.dtype == model.item_ids.dtype == np.int64
    assert model.version == cml_fast.__version__
    assert model.hyperparameters == {}
    assert repr(model) == "Model(n_users=7, n_items=11, r=3)"


def test_vectors_are_readonly_copies():
    vectors = np.asfortranarray(ITEMS.astype(np.float64))
    model = Model(USERS, vectors)
    vectors[:] = 0
    np.testing.assert_array_equal(model.item_vectors, ITEMS)
    assert model.item_vectors.dtype == np.float32 and model.item_vectors.flags.c_contiguous
    with pytest.raises(ValueError, match="read-only"):
        model.item_vectors[0, 0] = 1
    with pytest.raises(AttributeError):
        model.item_vectors = ITEMS


@pytest.mark.parametrize(
    "again",
    [lambda m: m, copy.copy, copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))],
    ids=["made", "copied", "deeply copied", "pickled"],
)
def test_nothing_of_a_model_can_be_changed(again):
    given = {"n_dims": 3, "nested": {"list": [1, 2]}}
    ids = {"user_ids": list("abcdefg"), "item_ids": np.arange(11) * 2}
    epochs = [{"epoch": 0, "loss": 0.5}]
    original = Model(USERS, ITEMS, **ids, hyperparameters=given, history=epochs)
    original = original._with(_version="0.0.9")
    model = again(original)
    for name in ("user_vectors", "item_vectors", "user_ids", "item_ids"):
        array = getattr(model, name)
        np.testing.assert_array_equal(array, getattr(original, name))
        assert array.dtype == getattr(original, name).dtype
        with pytest.raises(ValueError, match="read-only"):
            array[0] = array[1]
        with pytest.raises(AttributeError):
            setattr(model, name, array)
    for change in (
        lambda: given.update(n_dims=4),
        lambda: model.hyperparameters.update(n_dims=4),
        lambda: model.hyperparameters["nested"]["list"].append(3),
    ):
        change()
        assert model.hyperparameters == {"n_dims": 3, "nested": {"list": [1, 2]}}
    for change in (lambda: epochs.clear(), lambda: model.history[0].update(loss=0)):
        change()
        assert model.history == [{"epoch": 0, "loss": 0.5}]
    for name in ("hyperparameters", "history", "version"):
        with pytest.raises(AttributeError):
            setattr(model, name, {})
    assert model.version == "0.0.9"
    assert model.user_rows("b") == 1


def test_networks_survive_pickling():
    tags = np.random.default_rng(1).random((90, 4), dtype=np.float32)
    likes = synthetic(200, 90, 3000, random_state=1).interactions
    model = trainer(n_epochs=1).fit(likes, item_features=tags).model_
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(again.embed_items(tags), model.embed_items(tags))


def test_new_models_keep_the_version():
    tags = np.random.default_rng(1).random((90, 4), dtype=np.float32)
    likes = synthetic(200, 90, 3000, random_state=1).interactions
    plain = trainer(n_epochs=1).fit(likes).model_._with(_version="0.0.9")
    assert plain.with_popularity_bias(likes).version == "0.0.9"
    described = trainer(n_epochs=1).fit(likes, item_features=tags).model_
    more = described._with(_version="0.0.9").add_items(["new"], tags[:1])
    assert more.version == "0.0.9"
    assert more.user_ids.tolist() == likes.user_ids.tolist()
    assert more.item_ids.tolist() == [*likes.item_ids.tolist(), "new"]
    np.testing.assert_array_equal(more.item_vectors[:-1], described.item_vectors)
    np.testing.assert_array_equal(more.item_vectors[-1:], described.embed_items(tags[:1]))


def test_recommend_leaves_out_excluded(model):
    rows, distances = model.recommend([3, 0, 3], n=4, exclude=TRAIN)
    expected = cdist(USERS, ITEMS)
    expected[TRAIN.toarray() != 0] = np.inf
    for row, user in enumerate([3, 0, 3]):
        np.testing.assert_array_equal(rows[row], np.argsort(expected[user])[:4])
        np.testing.assert_allclose(distances[row], np.sort(expected[user])[:4], rtol=1e-6)


def test_scalar_gives_one_row(model):
    rows, distances = model.recommend(2, n=5)
    many_rows, many_distances = model.recommend([2], n=5)
    assert rows.shape == distances.shape == (5,)
    assert many_rows.shape == (1, 5)
    np.testing.assert_array_equal(rows, many_rows[0])
    np.testing.assert_array_equal(distances, many_distances[0])
    assert model.similar_items(np.int32(1), n=2)[0].shape == (2,)
    assert model.similar_users(1, n=2)[0].shape == (2,)


def test_no_users(model):
    for exclude in (None, TRAIN):
        rows, distances = model.recommend([], n=5, exclude=exclude)
        assert rows.shape == distances.shape == (0, 5)


def test_padding(model):
    everything = sp.csr_array(np.ones((7, 11)))
    everything[4, 6] = 0
    everything.eliminate_zeros()
    rows, distances = model.recommend([4, 5], n=15, exclude=everything)
    assert rows[0].tolist() == [6] + [-1] * 14
    assert rows[1].tolist() == [-1] * 15
    assert np.isinf(distances[0, 1:]).all() and np.isfinite(distances[0, 0])


def test_similar_leaves_out_itself_even_among_duplicates():
    model = Model(USERS[[0, 0, 1]], ITEMS[[0, 0, 1, 0]])
    rows, distances = model.similar_items([0, 1, 2], n=5)
    assert rows.tolist() == [[1, 3, 2, -1, -1], [0, 3, 2, -1, -1], [0, 1, 3, -1, -1]]
    assert distances[0, 0] == 0
    rows, _ = model.similar_users([0, 1, 2], n=2)
    assert rows.tolist() == [[1, 2], [0, 2], [0, 1]]


def test_one_item_in_one_dimension():
    model = Model([[2.0]], [[5.0]])
    rows, distances = model.recommend(0, n=2)
    assert rows.tolist() == [0, -1] and distances.tolist() == [3, np.inf]
    assert model.similar_items(0, n=1)[0].tolist() == [-1]


@pytest.mark.parametrize("format", ["csr", "coo", "csc", "lil"])
def test_exclude_in_any_format(model, format):
    expected = model.recommend(range(7), exclude=TRAIN)[0]
    np.testing.assert_array_equal(
        model.recommend(range(7), exclude=TRAIN.asformat(format))[0], expected
    )
    np.testing.assert_array_equal(
        model.recommend(range(7), exclude=sp.csr_matrix(TRAIN))[0], expected
    )


def test_exclude_is_checked_and_faults_are_where_the_caller_sees_them(model):
    zero = TRAIN.copy()
    zero.data[zero.indptr[5]] = 0
    for exclude in (zero, zero.tocsc()):
        with pytest.warns(UserWarning, match="exclude: 1 explicit zeros") as caught:
            model.recommend([5], exclude=exclude)
        assert caught[0].filename == __file__
    bad = TRAIN.copy()
    bad.data[bad.indptr[5]] = np.nan
    with pytest.raises(DataError, match=r"exclude has 1 NaN .* at row 5, column"):
        model.recommend([5], exclude=bad)
    model.recommend([4], exclude=bad)  # only the rows of the users asked for are looked at


def test_exclude_interactions(model):
    ids = np.array(["a", "b", "c", "d", "e", "f", "g"])
    same = Interactions(TRAIN, model.user_ids, model.item_ids)
    np.testing.assert_array_equal(
        model.recommend(1, exclude=same)[0], model.recommend(1, exclude=TRAIN)[0]
    )
    for other in (
        Interactions(TRAIN, ids, model.item_ids),
        Interactions(TRAIN, model.user_ids, model.item_ids[::-1]),
    ):
        with pytest.raises(DataError, match="not those of the model"):
            model.recommend(1, exclude=other)


def test_ids():
    model = Model(USERS, ITEMS, user_ids=list("gfedcba"), item_ids=np.arange(11)[::-1] * 10)
    assert model.user_rows("f") == 1
    assert model.user_rows(["a", "g", "a"]).tolist() == [6, 0, 6]
    assert model.item_rows(np.array([0, 100])).tolist() == [10, 0]
    assert model.item_rows([]).tolist() == []
    assert model.item_rows(["50", "0"]).tolist() == [5, 10]  # integers, as text
    rows, _ = model.recommend(model.user_rows("f"), n=3)
    assert rows.shape == (3,)
    np.testing.assert_array_equal(model.item_rows(model.item_ids[rows]), rows)
    for call, error, message in (
        (lambda: model.user_rows(["a", "nobody"]), ValueError, "no user 'nobody'"),
        (lambda: model.item_rows(55), ValueError, "no item 55"),
        (lambda: model.item_rows("055"), ValueError, "no item '055'"),
        (lambda: model.user_rows(3), ValueError, "no user 3"),
        (lambda: model.item_rows([[1]]), TypeError, "one-dimensional"),
    ):
        with pytest.raises(error, match=message):
            call()


@pytest.mark.parametrize(
    "ids, error, message",
    [
        (list("aabcdef"), ValueError, "user_ids must be unique, 'a' occurs twice"),
        ([1, 2, 3], ValueError, "must be 7 ids, one per row, got 3"),
        ([1, 2, 3, 4, 5, 6, "7"], TypeError, "integers, or of strings"),
        (np.arange(7.0), TypeError, "float64"),
        ([True] * 7, TypeError, "integers, or of strings"),
        (np.arange(7, dtype=np.uint64) + np.uint64(2**63), ValueError, "int64"),
        ("abcdefg", TypeError, "one-dimensional"),
    ],
)
def test_bad_ids(ids, error, message):
    with pytest.raises(error, match=message):
        Model(USERS, ITEMS, user_ids=ids)


@pytest.mark.parametrize(
    "change, error, message",
    [
        ({"user_vectors": USERS[0]}, TypeError, "user_vectors must be a two-dimensional"),
        ({"item_vectors": np.ones((2, 3), dtype=int)}, TypeError, "item_vectors must be .* floats"),
        ({"item_vectors": ITEMS[:, :2]}, ValueError, "same number of columns, got 3 and 2"),
        ({"item_vectors": ITEMS[:0]}, ValueError, "at least one row"),
        ({"item_vectors": [[0.0, 1.0, np.nan]]}, ValueError, "got nan at row 0, column 2"),
        ({"user_vectors": [[0.0, -np.inf, 0.0]]}, ValueError, "got -inf at row 0, column 1"),
        ({"user_vectors": [[1e16, 0.0, 0.0]]}, ValueError, "within 1e"),
        ({"hyperparameters": {"a": np.float32(1)}}, TypeError, "plain JSON"),
        ({"hyperparameters": {"a": float("nan")}}, TypeError, "plain JSON"),
        ({"hyperparameters": [1]}, TypeError, "must be a dict"),
    ],
)
def test_bad_constructor_arguments(change, error, message):
    arguments = {"user_vectors": USERS, "item_vectors": ITEMS, **change}
    with pytest.raises(error, match=message):
        Model(**arguments)


@pytest.mark.parametrize(
    "arguments, error, message",
    [
        ({"users": 7}, ValueError, r"users must be in \[0, 7\), got 7"),
        ({"users": -1}, ValueError, r"users must be in \[0, 7\), got -1"),
        ({"users": "a"}, TypeError, "translate external ids first, or give ids=True"),
        ({"users": 0, "n": 0}, ValueError, "n must be at least 1, got 0"),
        ({"users": 0, "n": 1.0}, TypeError, "n must be an integer"),
        ({"users": 0, "exclude": TRAIN[:3]}, DataError, r"exclude must have shape \(7, 11\)"),
        ({"users": 0, "exclude": TRAIN.toarray()}, TypeError, "wrap it"),
        ({"users": 0, "approximate": True}, ValueError, "build_index"),
        ({"users": 0, "search_k": 5}, ValueError, "needs approximate=True"),
    ],
)
def test_bad_recommend_arguments(model, arguments, error, message):
    with pytest.raises(error, match=message):
        model.recommend(**arguments)


def test_bad_similar_arguments(model):
    with pytest.raises(ValueError, match=r"items must be in \[0, 11\)"):
        model.similar_items(11)
    with pytest.raises(ValueError, match=r"users must be in \[0, 7\)"):
        model.similar_users(7)
    with pytest.raises(ValueError, match="n must be at least 1"):
        model.similar_users(0, n=0)
