"""`Model.update_users`: users are placed anew by their likes of today, in a new model."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp

from cml_fast import Model
from cml_fast.data import Interactions
from cml_fast.errors import DataError

RNG = np.random.default_rng(0)
N_USERS, N_ITEMS = 30, 40
LIKES = sp.csr_array((RNG.random((3, N_ITEMS)) < 0.2).astype(np.float32))
ROWS = [4, 0, 29]
PLAIN = {"loss": "softmax", "temperature": 0.3, "n_dims": 8}


def make_model(**options: Any) -> Model:
    counts = {"user_counts": np.full(N_USERS, 5), "item_counts": np.full(N_ITEMS, 4)}
    vectors = (RNG.standard_normal((n, 8)).astype(np.float32) * 0.3 for n in (N_USERS, N_ITEMS))
    return Model(*vectors, hyperparameters=PLAIN, **{**counts, **options})


MODEL = make_model()
NAMED = make_model(
    user_ids=[f"u{n}" for n in range(N_USERS)], item_ids=[f"i{n}" for n in range(N_ITEMS)]
)


def test_the_new_vectors_are_those_of_folding_in_and_all_else_stays() -> None:
    before = MODEL.user_vectors.copy()
    updated = MODEL.update_users(LIKES, ROWS)
    expected = before.copy()
    expected[ROWS] = MODEL.fold_in_users(LIKES, n_epochs=20)
    np.testing.assert_array_equal(updated.user_vectors, expected)
    np.testing.assert_array_equal(MODEL.user_vectors, before)
    assert updated.item_vectors is MODEL.item_vectors
    assert updated.user_counts[ROWS].tolist() == np.diff(LIKES.indptr).tolist()
    assert np.delete(updated.user_counts, ROWS).tolist() == [5] * (N_USERS - 3)
    assert not updated.user_vectors.flags.writeable and not updated.user_counts.flags.writeable
    again = updated.update_users(LIKES, ROWS)  # it does not matter where a user was before
    np.testing.assert_array_equal(again.user_vectors, updated.user_vectors)


def test_ids_rows_and_whole_matrices_name_the_same_users() -> None:
    expected = NAMED.update_users(LIKES, ROWS).user_vectors
    whole = sp.lil_array((N_USERS, N_ITEMS), dtype=np.float32)
    whole[ROWS] = LIKES.toarray()
    by_id = Interactions(LIKES, [f"u{row}" for row in ROWS], NAMED.item_ids)
    for updated in (
        NAMED.update_users(LIKES, [f"u{row}" for row in ROWS], ids=True),
        NAMED.update_users(whole.tocsr()),
        NAMED.update_users(by_id),
        NAMED.update_users(LIKES, np.array(ROWS), n_threads=3),
    ):
        np.testing.assert_array_equal(updated.user_vectors, expected)


def test_an_index_stays_and_cold_users_become_known() -> None:
    counts = np.full(N_USERS, 5)
    counts[4] = 0
    placed = np.arange(N_USERS) == 29
    model = make_model(user_counts=counts, placed_users=placed).build_index("annoy")
    with pytest.warns(UserWarning):
        model.recommend(4)
    updated = model.update_users(LIKES, ROWS)
    rows, _ = updated.recommend(4, n=3, approximate=True)
    assert rows.shape == (3,)
    assert updated.index_info == model.index_info
    assert model.placed_users[29] and not updated.placed_users[29]  # but by likes


def test_a_popularity_bias_stays() -> None:
    biased = MODEL.with_popularity_bias(sp.csr_array(RNG.random((N_USERS, N_ITEMS)) < 0.3) * 1.0)
    updated = biased.update_users(LIKES, ROWS)
    np.testing.assert_array_equal(
        updated.user_vectors[ROWS], biased.fold_in_users(LIKES, n_epochs=20)
    )


@pytest.mark.parametrize(
    ("model", "likes", "options", "error", "message"),
    [
        (MODEL, LIKES, {}, DataError, "a row for each of the 30 users, got 3; users= says"),
        (MODEL, LIKES, {"users": [1, 2]}, DataError, "a row for each of users, 2, got 3"),
        (MODEL, LIKES, {"users": [1, 2, 1]}, ValueError, "users must be different"),
        (MODEL, LIKES, {"users": [1, 2, 30]}, ValueError, r"users must be in \[0, 30\)"),
        (MODEL, sp.csr_array((3, 40), dtype="f"), {"users": ROWS}, DataError, "3 rows without a"),
        (MODEL, sp.csr_array((30, 40), dtype="f"), {}, DataError, "likes has no interactions"),
        (
            NAMED,
            Interactions(LIKES, ["u1", "u2", "ann"], NAMED.item_ids),
            {},
            ValueError,
            "the model has no user 'ann'",
        ),
        (
            NAMED,
            Interactions(LIKES, ["u1", "u2", "u3"], NAMED.item_ids),
            {"users": ROWS},
            TypeError,
            "leave out users",
        ),
        (MODEL, LIKES, {"users": ROWS, "n_epochs": 0}, ValueError, "n_epochs must be"),
    ],
)
def test_bad_arguments(
    model: Model, likes: Any, options: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        model.update_users(likes, **options)
