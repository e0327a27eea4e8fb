"""The class with implicit's interface behaves as implicit's models do.

implicit itself is not needed; ``environments/check_implicit.py`` compares with it.
"""

from __future__ import annotations

import io
import pickle

import numpy as np
import pytest
import scipy.sparse as sp

from cml_fast.errors import ModelError
from cml_fast.integrations.implicit import CollaborativeMetricLearning

N_ROWS = 60


def checkerboard(n: int = N_ROWS) -> sp.csr_matrix:
    """Even users like even items and odd users odd ones, but not the item of their own number."""
    rows, columns = np.indices((n, n))
    return sp.csr_matrix(((rows + columns) % 2 == 0) & (rows != columns), dtype=np.float32)


def make_model(**settings) -> CollaborativeMetricLearning:
    options = {"factors": 8, "iterations": 15, "random_state": 0, "temperature": 0.3, **settings}
    return CollaborativeMetricLearning(**options)


@pytest.fixture(scope="module")
def likes() -> sp.csr_matrix:
    return checkerboard()


@pytest.fixture(scope="module")
def model(likes: sp.csr_matrix) -> CollaborativeMetricLearning:
    fitted = make_model()
    fitted.fit(likes, show_progress=False)
    return fitted


def test_the_item_held_out_comes_first(model, likes):
    for user in range(N_ROWS):
        ids, _ = model.recommend(user, likes[user], N=1)
        assert ids.tolist() == [user]


def test_a_batch_answers_as_single_users_do(model, likes):
    users = np.arange(0, N_ROWS, 3)
    ids, scores = model.recommend(users, likes[users], N=7)
    assert ids.shape == scores.shape == (len(users), 7)
    for row, user in enumerate(users):
        alone, alone_scores = model.recommend(user, likes[user], N=7)
        assert np.array_equal(ids[row], alone)
        assert np.array_equal(scores[row], alone_scores)


def test_ids_are_int32_and_larger_scores_are_better(model, likes):
    ids, scores = model.recommend(np.array([3, 4], dtype=np.int32), likes[[3, 4]])
    assert ids.dtype == np.int32 and scores.dtype == np.float32
    assert (np.diff(scores, axis=1) <= 0).all()
    distances = np.linalg.norm(model.item_factors[ids[0]] - model.user_factors[3], axis=1)
    assert np.allclose(scores[0], 1 / (1 + distances), atol=1e-6)


def test_liked_items_are_left_out_or_not(model, likes):
    ids, _ = model.recommend([0, 1], likes[[0, 1]], N=20)
    assert likes[[0, 1]][[[0], [1]], ids].sum() == 0
    ids, _ = model.recommend([0, 1], None, N=20, filter_already_liked_items=False)
    assert (ids % 2 == [[0], [1]]).all()


def test_the_answer_for_one_user_ends_where_items_end(model, likes):
    ids, scores = model.recommend(0, likes[0], N=1000)
    assert sorted(ids) == sorted(set(range(N_ROWS)) - set(likes[0].indices))
    assert len(scores) == len(ids)


def test_short_rows_of_several_users_end_with_minus_one(model):
    liked = sp.csr_matrix(np.array([[1] * (N_ROWS - 2) + [0, 0], [0] * N_ROWS]))
    ids, scores = model.recommend([0, 1], liked, N=5)
    assert sorted(ids[0, :2]) == [N_ROWS - 2, N_ROWS - 1]
    assert ids[0, 2:].tolist() == [-1] * 3 and scores[0, 2:].tolist() == [0] * 3
    assert (ids[1] >= 0).all()


def test_an_explicit_zero_is_no_liked_item(model):
    row = sp.csr_matrix((np.zeros(1), [6], [0, 1]), shape=(1, N_ROWS))
    assert 6 in model.recommend(0, row, N=N_ROWS)[0]


def test_filtered_items_are_left_out_for_everybody(model, likes):
    unfiltered, _ = model.recommend([0, 1], likes[[0, 1]], N=10)
    left_out = unfiltered[:, :3].ravel()
    ids, _ = model.recommend([0, 1], likes[[0, 1]], N=7, filter_items=left_out)
    assert not set(ids.ravel()) & set(left_out)
    for before, after in zip(unfiltered, ids, strict=True):
        kept = [i for i in before if i not in left_out]
        assert after[: len(kept)].tolist() == kept


def test_only_the_listed_items_are_ranked(model, likes):
    listed = [7, 3, 12, 0, 3]
    ids, _ = model.recommend([0, 1], None, N=10, items=listed, filter_already_liked_items=False)
    assert ids.shape == (2, 4)
    everything, _ = model.recommend([0, 1], None, N=N_ROWS, filter_already_liked_items=False)
    for found, ranked in zip(ids, everything, strict=True):
        assert found.tolist() == [i for i in ranked if i in listed]
    ids, _ = model.recommend(1, likes[1], items=listed)
    assert sorted(ids) == [0, 12]  # 3 and 7 are liked


def test_an_empty_list_of_items_gives_an_empty_answer(model, likes):
    ids, scores = model.recommend(0, likes[0], items=[])
    assert len(ids) == len(scores) == 0
    assert model.recommend([0, 1], likes[[0, 1]], items=[])[0].shape == (2, 0)
    assert np.array_equal(
        model.recommend(0, likes[0], filter_items=[])[0], model.recommend(0, likes[0])[0]
    )


def test_a_recalculated_user_gets_what_the_likes_say(model, likes):
    for user in range(0, N_ROWS, 7):
        # The number of the user plays no part: it may be one that training did not have.
        ids, _ = model.recommend(10**6, likes[user], N=1, recalculate_user=True)
        assert ids.tolist() == [user]


@pytest.mark.parametrize("what", ["items", "users"])
def test_similar_ones_begin_with_itself(model, what):
    find = getattr(model, f"similar_{what}")
    ids, scores = find(np.arange(N_ROWS), N=10)
    assert ids[:, 0].tolist() == list(range(N_ROWS))
    assert scores[:, 0].tolist() == [1.0] * N_ROWS
    assert (np.diff(scores, axis=1) <= 0).all()
    assert (ids % 2 == np.arange(N_ROWS)[:, None] % 2).all()
    alone, _ = find(4, N=10)
    assert np.array_equal(alone, ids[4])


@pytest.mark.parametrize("what", ["items", "users"])
def test_similar_ones_can_be_filtered(model, what):
    find = getattr(model, f"similar_{what}")
    left_out = np.arange(0, N_ROWS, 5)
    ids, _ = find(np.arange(20), N=10, **{f"filter_{what}": left_out})
    assert (ids % 5 > 0).all()
    ids, _ = find(np.arange(20), N=10, **{what: np.arange(10)})
    assert all(set(row) == set(range(10)) for row in ids)
    assert ids[:10, 0].tolist() == list(range(10))  # the others are not among themselves


def test_itself_comes_first_among_items_with_the_same_vector(model):
    same = make_model()
    same._model = type(model.model)(np.zeros((2, 3)), np.zeros((30, 3)))
    assert same.similar_items(20, N=5)[0].tolist() == [20, 0, 1, 2, 3]
    assert same.similar_items(20, N=1)[0].tolist() == [20]


def test_an_item_without_likes_is_similar_to_nobody():
    likes = checkerboard().tolil()
    likes[42] = 0
    likes[:, 42] = 0
    fitted = make_model(factors=16)
    fitted.fit(likes.tocsr(), show_progress=False)
    ids, _ = fitted.similar_items(np.arange(40), N=10)
    assert 42 not in ids


@pytest.mark.parametrize("dtype", [np.float64, np.int32])
def test_values_may_be_of_any_type(dtype, likes, model):
    fitted = make_model()
    fitted.fit(likes.astype(dtype), show_progress=False)
    assert np.array_equal(fitted.user_factors, model.user_factors)


def test_the_callback_gets_every_epoch(likes):
    calls = []
    make_model(iterations=4).fit(
        likes, show_progress=False, callback=lambda *epoch: calls.append(epoch)
    )
    assert [epoch for epoch, _, _ in calls] == [0, 1, 2, 3]
    assert all(seconds > 0 and loss > 0 for _, seconds, loss in calls)


def test_progress_is_shown_or_not(likes, capsys):
    make_model(iterations=2).fit(likes, show_progress=False)
    assert capsys.readouterr() == ("", "")
    make_model(iterations=2).fit(likes)
    assert "training on" in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["path", "path without .npz", "file object"])
def test_a_saved_model_answers_the_same(model, likes, tmp_path, kind):
    if kind == "file object":
        file = io.BytesIO()
        model.save(file)
        file.seek(0)
    else:
        file = str(tmp_path / ("model.npz" if kind == "path" else "model"))
        model.save(file)
    loaded = CollaborativeMetricLearning.load(file)
    for recalculate in (False, True):
        ids, scores = loaded.recommend(3, likes[3], recalculate_user=recalculate)
        wanted, wanted_scores = model.recommend(3, likes[3], recalculate_user=recalculate)
        assert np.array_equal(ids, wanted) and np.array_equal(scores, wanted_scores)
    assert loaded.trainer.get_params()["n_dims"] == 8


def test_a_loaded_model_fits_as_the_saved_one_did(model, likes):
    file = io.BytesIO()
    model.save(file)
    file.seek(0)
    loaded = CollaborativeMetricLearning.load(file)
    loaded.fit(likes, show_progress=False)
    assert np.array_equal(loaded.user_factors, model.user_factors)


def test_a_pickled_model_answers_the_same(model, likes):
    again = pickle.loads(pickle.dumps(model))
    assert np.array_equal(again.recommend(3, likes[3])[0], model.recommend(3, likes[3])[0])


@pytest.mark.parametrize("content", [b"", b"no archive", None])
def test_a_file_that_is_no_model_is_refused(tmp_path, content):
    path = tmp_path / "model.npz"
    if content is None:
        np.savez(path, user_factors=np.zeros((1, 1)))
    else:
        path.write_bytes(content)
    with pytest.raises(ModelError, match=r"model\.npz is damaged, or not written by save"):
        CollaborativeMetricLearning.load(str(path))


def test_a_file_that_is_absent_is_said_to_be_absent(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"model\.npz"):
        CollaborativeMetricLearning.load(str(tmp_path / "model"))


def test_before_fit_everything_says_so(likes):
    unfitted = make_model()
    for call in (
        lambda: unfitted.recommend(0, likes[0]),
        lambda: unfitted.similar_items(0),
        lambda: unfitted.user_factors,
        lambda: unfitted.save(io.BytesIO()),
    ):
        with pytest.raises(ValueError, match=r"not fitted: call fit\(user_items\)"):
            call()


REFUSED = {
    "user out of range": (
        lambda m, x: m.recommend(60, x[0]),
        IndexError,
        r"userid must be in \[0, 60\), got 60",
    ),
    "negative user": (lambda m, x: m.recommend(-1, x[0]), IndexError, "userid .* got -1"),
    "user by name": (lambda m, x: m.recommend("ann", x[0]), TypeError, "userid must be an integer"),
    "no matrix": (lambda m, x: m.recommend(0, None), ValueError, "user_items must be a sparse"),
    "the whole matrix": (
        lambda m, x: m.recommend(0, x),
        ValueError,
        r"\(1, 60\), got \(60, 60\); give user_items\[userid\]",
    ),
    "rows of others": (lambda m, x: m.recommend([0, 1, 2], x[[0, 1]]), ValueError, "a row for"),
    "both filters": (
        lambda m, x: m.recommend(0, x[0], items=[1], filter_items=[2]),
        ValueError,
        "items and filter_items cannot both be set",
    ),
    "item out of range": (
        lambda m, x: m.recommend(0, x[0], items=[60]),
        IndexError,
        r"items must be in \[0, 60\), got 60",
    ),
    "filtered item out of range": (
        lambda m, x: m.recommend(0, x[0], filter_items=[60]),
        IndexError,
        "filter_items must be",
    ),
    "no items asked for": (lambda m, x: m.recommend(0, x[0], N=0), ValueError, "N must be"),
    "both filters of users": (
        lambda m, x: m.similar_users(0, users=[1], filter_users=[2]),
        ValueError,
        "users and filter_users cannot both be set",
    ),
    "similar to what is not there": (lambda m, x: m.similar_items(60), IndexError, "itemid"),
    "recalculated item": (
        lambda m, x: m.similar_items(0, recalculate_item=True),
        NotImplementedError,
        "recalculate_item",
    ),
    "an argument of ALS": (
        lambda m, x: CollaborativeMetricLearning(regularization=0.1),
        TypeError,
        "no parameter 'regularization'",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_wrong_arguments_are_refused_in_one_sentence(case, model, likes):
    call, kind, message = REFUSED[case]
    with pytest.raises(kind, match=message):
        call(model, likes)
