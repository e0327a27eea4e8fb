"""`Trainer.forget`: what is theirs is removed, and what others learned from them fades."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from support.trainers import assert_same, trainer, vectors

from cml_fast import Trainer
from cml_fast.data import Interactions, split, synthetic
from cml_fast.errors import DataError

LIKES, _ = split(synthetic(120, 80, 1500, n_tastes=4).interactions, (0.8, 0.2))
USERS, ITEMS = LIKES.user_ids[[0, 17, 119]], LIKES.item_ids[[5, 40]]
KEPT_USERS = np.setdiff1d(np.arange(120), [0, 17, 119])
KEPT_ITEMS = np.setdiff1d(np.arange(80), [5, 40])


def test_rows_accumulators_likes_ids_and_counts_are_removed(device: str) -> None:
    fitted = trainer(device=device).fit(LIKES)
    before, tables = fitted.model_, fitted._state.tables.to_numpy()
    forgotten = fitted.forget(USERS, ITEMS)
    model, left = fitted.model_, LIKES.matrix[KEPT_USERS][:, KEPT_ITEMS]
    np.testing.assert_array_equal(model.user_vectors, before.user_vectors[KEPT_USERS])
    np.testing.assert_array_equal(model.item_vectors, before.item_vectors[KEPT_ITEMS])
    assert model.user_ids.tolist() == LIKES.user_ids[KEPT_USERS].tolist()
    assert model.item_ids.tolist() == LIKES.item_ids[KEPT_ITEMS].tolist()
    assert model.user_counts.tolist() == np.diff(left.indptr).tolist()
    assert model.item_counts.tolist() == np.bincount(left.indices, minlength=78).tolist()
    after = fitted._state.tables.to_numpy()
    for name, kept in (("user_accumulators", KEPT_USERS), ("item_accumulators", KEPT_ITEMS)):
        np.testing.assert_array_equal(after[name], tables[name][kept])
    assert (fitted._likes != left).nnz == 0
    assert fitted._likes.shape == (117, 78)
    assert fitted.n_epochs_ == 2 and fitted.n_features_in_ == 78
    gone = LIKES.matrix.nnz - left.nnz
    assert (forgotten.users, forgotten.items, forgotten.likes) == (3, 2, gone)
    assert f"removed 3 users, 2 items and {gone} likes" in str(forgotten)


def test_it_says_who_had_learned_from_them() -> None:
    likes = sp.csr_array(np.array([[1, 1, 0, 0], [0, 1, 1, 0], [0, 0, 1, 1]], dtype=np.float32))
    forgotten = trainer(n_negatives=1).fit(likes).forget(users=0)
    assert (forgotten.likes, forgotten.touched_users, forgotten.touched_items) == (2, 0, 2)
    forgotten = trainer(n_negatives=1).fit(likes).forget(items=[1])
    assert (forgotten.likes, forgotten.touched_users, forgotten.touched_items) == (2, 2, 0)


def test_retraining_trains_what_is_left() -> None:
    fitted = trainer().fit(LIKES)
    before = fitted.model_
    assert fitted.forget(USERS, n_epochs=3).n_epochs == 3
    assert [report.epoch for report in fitted.history_] == [2, 3, 4]
    assert {report.pairs for report in fitted.history_} == {LIKES.matrix[KEPT_USERS].nnz}
    assert (fitted.model_.user_vectors != before.user_vectors[KEPT_USERS]).any(axis=1).all()


def test_who_is_forgotten_can_come_back_as_someone_new() -> None:
    fitted = trainer().fit(LIKES)
    fitted.forget(USERS[:1])
    fitted.partial_fit(Interactions.from_arrays(USERS[:1], LIKES.item_ids[:1]))
    assert fitted.model_.user_ids[-1] == USERS[0]
    assert fitted.model_.user_counts[-1] == 1


def test_row_numbers_name_users_of_a_matrix() -> None:
    by_row = trainer().fit(LIKES.matrix)
    by_row.forget(users=[0, 17, 119])
    named = trainer().fit(LIKES)
    named.forget(USERS)
    assert_same(by_row, named)


@pytest.mark.parametrize("n_epochs", [0, 2])
def test_a_checkpoint_holds_what_is_left(n_epochs: int, tmp_path: Path) -> None:
    fitted = trainer().fit(LIKES)
    fitted.forget(USERS, n_epochs=n_epochs, checkpoint=tmp_path / "run")
    resumed = Trainer.resume(tmp_path / "run")
    assert_same(resumed, fitted)
    assert resumed.model_.user_ids.tolist() == LIKES.user_ids[KEPT_USERS].tolist()
    assert_same(resumed.partial_fit(LIKES), fitted.partial_fit(LIKES))


def test_influence_fades_with_retraining() -> None:
    """Items that a user liked lie together; with retraining they go where they would else be."""
    rng = np.random.default_rng(0)
    made = synthetic(300, 200, 6000, n_tastes=4, random_state=1).interactions.matrix.tolil()
    odd = rng.choice(200, 40, replace=False)  # twenty users with one taste that nobody else has
    made[:20] = 0
    for user in range(20):
        made[user, rng.choice(odd, 20, replace=False)] = 1
    matrix = made.tocsr()
    fitted = trainer(n_epochs=20).fit(matrix)
    never = trainer(n_epochs=20).fit(matrix[20:])

    def spread(model: Any) -> float:
        items = model.item_vectors
        return float(np.linalg.norm(items[odd] - items[odd].mean(axis=0), axis=1).mean())

    remembered, without = spread(fitted.model_), spread(never.model_)
    fitted.forget(users=np.arange(20), n_epochs=20)
    assert remembered < 0.9 * without
    assert spread(fitted.model_) - remembered > 0.4 * (without - remembered)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({}, ValueError, "users and items are empty"),
        ({"users": ["nobody"]}, ValueError, "users has 1 unknown ids, the first 'nobody'"),
        ({"items": [7]}, ValueError, "items has 1 unknown ids, the first 7"),
        ({"users": [0.5]}, TypeError, "users must be a one-dimensional sequence of integers"),
        ({"users": LIKES.user_ids}, DataError, "without these 120 users and 0 items no like"),
        ({"users": USERS, "n_epochs": -1}, ValueError, "n_epochs must be"),
        ({"users": USERS, "callbacks": 3}, TypeError, "callbacks must be a list"),
    ],
    ids=str,
)
def test_bad_arguments_change_nothing(
    arguments: dict[str, Any], error: type[Exception], message: str
) -> None:
    fitted = trainer().fit(LIKES)
    model, before = fitted.model_, vectors(fitted)
    with pytest.raises(error, match=message):
        fitted.forget(**arguments)
    assert fitted.model_ is model
    np.testing.assert_array_equal(vectors(fitted), before)


def test_before_a_fit_there_is_nothing_to_forget() -> None:
    with pytest.raises(ValueError, match="learned nothing yet"):
        trainer().forget(users=0)
    fitted = trainer().fit(LIKES.matrix)
    with pytest.raises(ValueError, match="first 120; they must be row numbers below 120"):
        fitted.forget(users=120)
