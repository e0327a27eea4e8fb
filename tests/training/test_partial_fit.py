"""`Trainer.partial_fit`: new likes, users and items join a fitted trainer, and nothing is lost."""

from __future__ import annotations

import pickle
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from support.kernels import oracle_of, train_oracle
from support.trainers import assert_same, trainer, vectors

import cml_fast.trainer
from cml_fast import Trainer
from cml_fast._compute.settings import Settings
from cml_fast._compute.tables import Tables
from cml_fast._training import ema, hyperparameters, loop
from cml_fast._training.growing import SHARE_OF_ACCUMULATORS
from cml_fast._training.hyperparameters import negatives_of_update
from cml_fast._training.state import TrainingState
from cml_fast._training.update import choose_users, join, only_users
from cml_fast.data import Interactions, split, synthetic
from cml_fast.errors import DataError
from cml_fast.model_selection import Pairs

LIKES = synthetic(120, 80, 1500, n_tastes=4).interactions
OLD, _ = split(LIKES, (0.8, 0.2))
MATRIX = OLD.matrix
NEW = Interactions.from_arrays(
    ["user-00003", "ann", "ann", "bob", "bob"],
    ["new", "new", LIKES.item_ids[0], LIKES.item_ids[1], "newer"],
)


def tables_of(fitted: Trainer) -> dict[str, np.ndarray]:
    found: dict[str, np.ndarray] = fitted._state.tables.to_numpy()
    return found


def grown(matrix: sp.csr_array, users: int, items: int) -> sp.lil_array:
    """The same likes with empty rows and columns behind them."""
    larger = sp.csr_array(matrix, copy=True)
    larger.resize(matrix.shape[0] + users, matrix.shape[1] + items)
    return larger.tolil()


# --- what it does -----------------------------------------------------------------------------


def test_new_users_and_items_join_behind_the_known_ones(device: str) -> None:
    fitted = trainer(device=device).fit(OLD)
    model = fitted.model_
    assert fitted.partial_fit(NEW, n_epochs=3) is fitted
    assert fitted.model_.user_ids.tolist() == [*model.user_ids.tolist(), "ann", "bob"]
    assert fitted.model_.item_ids.tolist() == [*model.item_ids.tolist(), "new", "newer"]
    assert [report.epoch for report in fitted.history_] == [2, 3, 4]
    assert fitted.n_epochs_ == 5 and fitted.best_epoch_ == 4
    assert fitted.n_features_in_ == 82
    assert fitted.model_.user_counts.tolist() == [
        n + (id == "user-00003")
        for n, id in zip(model.user_counts.tolist(), model.user_ids.tolist(), strict=True)
    ] + [2, 2]
    assert fitted.model_.item_counts[-2:].tolist() == [2, 1]


def test_it_learns_the_new_likes_and_keeps_the_old_ones(device: str) -> None:
    train, later = split(LIKES, (0.7, 0.3))
    fitted = trainer(device=device, n_epochs=15).fit(train)
    before = fitted.score(train), fitted.score(later)
    fitted.partial_fit(later)
    assert fitted.score(later) > before[1] + 0.02
    assert fitted.score(train) > before[0] - 0.02


@pytest.fixture
def chosen(monkeypatch: pytest.MonkeyPatch) -> list[Settings]:
    """The settings of each job that is made."""
    made: list[Settings] = []
    make_job = cml_fast.trainer.make_job

    def spy(tables: Tables, likes: sp.csr_array, settings: Settings) -> Any:
        made.append(settings)
        return make_job(tables, likes, settings)

    monkeypatch.setattr(cml_fast.trainer, "make_job", spy)
    return made


def test_the_learning_rate_does_not_fall_from_update_to_update(
    monkeypatch: pytest.MonkeyPatch, chosen: list[Settings]
) -> None:
    """It is that of epoch 10, and mini-batches follow the likes that are trained on."""
    monkeypatch.setattr(hyperparameters, "LEAST_BATCH", 1)
    fitted = trainer(learning_rate=0.4, learning_rate_decay=0.3, batch_size=None).fit(OLD)
    fitted.partial_fit(NEW, n_epochs=3, replay=0.1)
    fitted.partial_fit(NEW, n_epochs=1, replay=0)
    rates = [[settings.learning_rate_of(epoch) for epoch in (0, 5)] for settings in chosen]
    assert rates == pytest.approx(np.array([[0.4, 0.16], [0.1, 0.1], [0.1, 0.1]]))
    sizes = [settings.batch_size for settings in chosen]
    assert sizes[0] > sizes[1] > sizes[2]
    fitted.set_params(batch_size=70).partial_fit(NEW, n_epochs=1, replay=0)
    assert chosen[-1].batch_size == 70


def test_the_first_call_is_a_fit() -> None:
    assert_same(trainer().partial_fit(OLD), trainer().fit(OLD))


def test_ids_in_any_order_and_pairs_are_the_same_likes() -> None:
    order = np.random.default_rng(0).permutation(OLD.matrix.shape[0])
    shuffled = Interactions(OLD.matrix[order], OLD.user_ids[order], OLD.item_ids)
    one = trainer().fit(OLD).partial_fit(OLD)
    assert_same(one, trainer().fit(OLD).partial_fit(shuffled))
    assert_same(one, trainer().fit(OLD).partial_fit(Pairs(OLD)))
    assert_same(one, trainer().fit(OLD).partial_fit(OLD.matrix))


def test_a_matrix_has_the_known_rows_and_columns_first() -> None:
    new = grown(sp.csr_array(MATRIX.shape), 2, 1)
    new[120, [3, 80]] = 1
    new[121, 80] = 1
    fitted = trainer().fit(MATRIX).partial_fit(new.tocsr())
    assert fitted.model_.user_vectors.shape == (122, 8)
    assert fitted.model_.item_vectors.shape == (81, 8)
    assert fitted.model_.user_counts[120:].tolist() == [2, 1]


def test_a_known_pair_gets_its_new_weight_and_others_keep_theirs() -> None:
    old = sp.csr_array(np.array([[1, 2, 0], [0, 4, 0]], dtype=np.float32))
    new = sp.csr_array(np.array([[0, 8, 0], [0, 0, 16]], dtype=np.float32))
    everything, given, ids = join(old, {}, new, stacklevel=1)
    assert everything.toarray().tolist() == [[1, 8, 0], [0, 4, 16]]
    assert given.toarray().tolist() == new.toarray().tolist()
    assert ids == {}
    assert everything.has_canonical_format


@pytest.mark.parametrize("n_old", [0, 1, 20, 60])
def test_all_likes_are_old_and_new_ones_wherever_they_are(n_old: int) -> None:
    rng = np.random.default_rng(n_old)
    old, new = (
        sp.csr_array((rng.random(n, dtype=np.float32) + 1, np.divmod(at, 9)), shape=(8, 9))
        for n in (n_old, 30)
        for at in [rng.choice(72, n, replace=False)]
    )
    everything, _, _ = join(old, {}, new, stacklevel=1)
    expected = np.where(new.toarray() > 0, new.toarray(), old.toarray())
    np.testing.assert_array_equal(everything.toarray(), expected)
    assert everything.nnz == np.count_nonzero(expected)
    assert everything.has_canonical_format
    assert everything.indices.dtype == new.indices.dtype


def test_integer_ids_stay_integers() -> None:
    old = Interactions.from_arrays([3, 3, 5], [7, 8, 8])
    new = Interactions.from_arrays(["9", "3"], ["8", "10"])
    fitted = trainer(n_negatives=1).fit(old).partial_fit(new)
    assert fitted.model_.user_ids.tolist() == [3, 5, 9]
    assert fitted.model_.item_ids.tolist() == [7, 8, 10]


def test_no_like_of_a_user_is_a_negative(monkeypatch: pytest.MonkeyPatch) -> None:
    """The job gets all likes of the users it trains, old and new; and no pair of others."""
    seen = []
    make_job = cml_fast.trainer.make_job

    def spy(tables: Any, likes: sp.csr_array, settings: Any) -> Any:
        seen.append(likes)
        return make_job(tables, likes, settings)

    fitted = trainer().fit(OLD)
    monkeypatch.setattr(cml_fast.trainer, "make_job", spy)
    fitted.partial_fit(NEW, replay=0)
    expected, _, _ = join(
        OLD.matrix, {"user_ids": OLD.user_ids, "item_ids": OLD.item_ids}, NEW, stacklevel=1
    )
    rows = [int(np.flatnonzero(OLD.user_ids == "user-00003")[0]), 120, 121]
    assert np.flatnonzero(np.diff(seen[0].indptr)).tolist() == rows
    np.testing.assert_array_equal(seen[0][rows].toarray() != 0, expected[rows].toarray() != 0)


# --- where rows begin, and what they keep ---------------------------------------------------------


@pytest.fixture
def before_training(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, np.ndarray]]:
    """The tables that trainings begin with."""
    begun: list[dict[str, np.ndarray]] = []
    train = Trainer._train

    def spy(self: Trainer, job: Any, inputs: Any, state: Any, *rest: Any, **options: Any) -> None:
        begun.append(state.tables.to_numpy())
        train(self, job, inputs, state, *rest, **options)

    monkeypatch.setattr(Trainer, "_train", spy)
    return begun


@pytest.mark.parametrize("loss", ["softmax", "warp"])
@pytest.mark.parametrize("decay", [0.0, 0.5])
def test_known_rows_begin_at_their_last_vectors_with_their_accumulators(
    decay: float, loss: str, before_training: list[dict[str, np.ndarray]]
) -> None:
    fitted = trainer(loss=loss, ema_decay=decay).fit(OLD)
    tables = tables_of(fitted)
    assert (decay == 0) == np.array_equal(tables["users"], fitted.model_.user_vectors)
    fitted.partial_fit(NEW)
    for name, n in (("users", 120), ("items", 80)):
        np.testing.assert_array_equal(before_training[-1][name][:n], tables[name])
        name = f"{name[:-1]}_accumulators"
        np.testing.assert_array_equal(before_training[-1][name][:n], tables[name])


def test_users_who_are_not_trained_begin_at_the_model(
    before_training: list[dict[str, np.ndarray]],
) -> None:
    fitted = trainer().fit(OLD)
    tables, model = tables_of(fitted), fitted.model_
    fitted.partial_fit(NEW, replay=0)
    begun = before_training[-1]["users"][:120]
    is_trained = OLD.user_ids == "user-00003"
    np.testing.assert_array_equal(begun[~is_trained], model.user_vectors[~is_trained])
    np.testing.assert_array_equal(begun[is_trained], tables["users"][is_trained])
    np.testing.assert_array_equal(before_training[-1]["items"][:80], tables["items"])


@pytest.fixture
def after_epochs(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, np.ndarray]]:
    """The tables at the end of each epoch."""
    ended: list[dict[str, np.ndarray]] = []
    average = TrainingState.average

    def spy(self: TrainingState, decay: float) -> None:
        ended.append(self.tables.to_numpy())
        average(self, decay)

    monkeypatch.setattr(TrainingState, "average", spy)
    return ended


@pytest.mark.parametrize("rows_at_a_time", [7, 1024])
def test_averages_go_on_where_likes_are_the_same(
    rows_at_a_time: int,
    after_epochs: list[dict[str, np.ndarray]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A row weighs its earlier epochs by the share of likes that were known, to the power of 8."""
    monkeypatch.setattr(ema, "CACHED_ROWS", rows_at_a_time)
    decay = 0.5
    fitted = trainer(n_epochs=3, ema_decay=decay).fit(OLD)
    model = {"users": fitted.model_.user_vectors, "items": fitted.model_.item_vectors}
    fitted.partial_fit(NEW, n_epochs=2)
    known = {"users": np.diff(MATRIX.indptr), "items": np.bincount(MATRIX.indices, minlength=80)}
    counts = {"users": fitted.model_.user_counts, "items": fitted.model_.item_counts}
    found = {"users": fitted.model_.user_vectors, "items": fitted.model_.item_vectors}
    for entity, before in model.items():
        n = len(before)
        share = known[entity] / counts[entity][:n]
        assert (share == 1).any() and (share < 1).any()
        weight = (1 + decay + decay**2) * share**8  # of the last epoch of the fit: 1
        one, two = (epoch[entity] for epoch in after_epochs[-2:])
        sums = (decay**2 * weight)[:, None] * before + decay * one[:n] + two[:n]
        np.testing.assert_allclose(
            found[entity][:n], sums / (decay**2 * weight + decay + 1)[:, None], atol=1e-6
        )
        new = (decay * one[n:] + two[n:]) / (decay + 1)
        np.testing.assert_allclose(found[entity][n:], new, atol=1e-6)


def test_rows_that_have_no_likes_yet_begin_at_the_model(
    before_training: list[dict[str, np.ndarray]],
) -> None:
    fitted = trainer(n_negatives=40).fit(grown(MATRIX, 1, 1).tocsr())
    users, items = fitted.model_.user_vectors, fitted.model_.item_vectors
    fitted.partial_fit(grown(MATRIX, 1, 1).tocsr())
    np.testing.assert_array_equal(before_training[-1]["users"][120], users[120])
    np.testing.assert_array_equal(before_training[-1]["items"][80], items[80])
    assert (fitted.model_.item_vectors[80] != items[80]).any()  # as a negative
    assert np.isfinite(vectors(fitted)).all()


def test_an_update_without_averages_forgets_them() -> None:
    fitted = trainer(ema_decay=0.5).fit(OLD).set_params(ema_decay=0.0).partial_fit(NEW)
    np.testing.assert_array_equal(fitted.model_.user_vectors, tables_of(fitted)["users"])
    again = fitted.set_params(ema_decay=0.5).partial_fit(OLD, n_epochs=1)
    np.testing.assert_array_equal(again.model_.user_vectors, tables_of(again)["users"])


def test_a_warm_start_without_averages_forgets_them() -> None:
    fitted = trainer(ema_decay=0.5).fit(OLD)
    fitted.set_params(ema_decay=0.0, warm_start=True).fit(OLD)
    np.testing.assert_array_equal(fitted.model_.user_vectors, tables_of(fitted)["users"])


@pytest.mark.parametrize(("given", "drawn"), [(None, 128), (200, 200)])
@pytest.mark.parametrize("loss", ["softmax", "contrastive"])
def test_an_update_draws_fewer_negatives_if_their_number_is_not_set(
    loss: str, given: int | None, drawn: int, chosen: list[Settings]
) -> None:
    fitted = trainer(loss=loss, n_negatives=given, n_epochs=1).fit(OLD)
    fitted.partial_fit(NEW, n_epochs=1)
    fit, update = chosen
    assert (fit.n_negatives, update.n_negatives) == (given or 256, drawn)
    assert fitted.n_negatives_ == fitted.model_.hyperparameters["n_negatives"] == drawn
    assert update.importance_weight == pytest.approx(82 / drawn)
    assert update.negative_weight * drawn == pytest.approx(fit.negative_weight * fit.n_negatives)


def test_an_update_draws_more_negatives_from_many_items() -> None:
    found = [negatives_of_update(n) for n in (10, 33_023, 33_024, 34_815, 34_816, 10**9)]
    assert found == [128, 128, 129, 135, 136, 136]


def test_new_rows_begin_at_the_mean_of_those_they_are_linked_to(
    before_training: list[dict[str, np.ndarray]],
) -> None:
    fitted = trainer().fit(OLD)
    users, items = fitted.model_.user_vectors, fitted.model_.item_vectors
    fitted.partial_fit(NEW)
    begun = before_training[-1]
    linked = users[np.flatnonzero(OLD.user_ids == "user-00003")[0]]
    np.testing.assert_allclose(begun["items"][80], linked, rtol=1e-6)  # "new"
    np.testing.assert_allclose(begun["users"][120], (linked + items[0]) / 2, rtol=1e-5)  # "ann"
    np.testing.assert_allclose(begun["users"][121], items[1], rtol=1e-6)  # "bob"
    np.testing.assert_allclose(begun["items"][81], items[1], rtol=1e-6)  # "newer", of bob alone
    # More likes, more of what accumulators add up.
    sums = begun["item_accumulators"][80:, 0]
    assert 0 < sums[1] < sums[0] < np.median(begun["item_accumulators"][:80])


def test_known_rows_that_have_learned_nothing_begin_like_new_ones(
    before_training: list[dict[str, np.ndarray]],
) -> None:
    matrix = grown(MATRIX, 0, 1).tocsr()
    fitted = trainer().fit(matrix)
    assert fitted._state.tables.to_numpy()["item_accumulators"][80] > 0  # as a negative
    new = sp.csr_array((np.ones(2, np.float32), ([3, 5], [80, 80])), shape=matrix.shape)
    users = fitted.model_.user_vectors
    of_a_like = tables_of(fitted)["item_accumulators"].sum() / MATRIX.nnz
    fitted.partial_fit(new)
    begun = before_training[-1]
    np.testing.assert_allclose(begun["items"][80], users[[3, 5]].mean(axis=0), rtol=1e-5)
    sums = begun["item_accumulators"][80]
    np.testing.assert_allclose(sums, 2 * SHARE_OF_ACCUMULATORS * of_a_like, rtol=1e-5)


def test_rows_that_are_linked_to_nothing_known_begin_at_random(
    before_training: list[dict[str, np.ndarray]],
) -> None:
    fitted = trainer().fit(OLD)
    fitted.partial_fit(Interactions.from_arrays(["ann"], ["new"]), replay=0)
    begun = before_training[-1]
    norms = np.linalg.norm(np.concatenate([begun["users"][120:], begun["items"][80:]]), axis=1)
    assert (norms > 0).all() and (norms <= 1 + 1e-6).all()
    assert not np.allclose(begun["users"][120], begun["items"][80])


def test_features_place_new_items_without_links(
    before_training: list[dict[str, np.ndarray]],
) -> None:
    features = np.eye(4, dtype=np.float32)[np.arange(80) % 4]
    fitted = trainer(batch_size=None).fit(OLD, item_features=features)
    network = fitted._state.networks["items"].copy()
    more = np.vstack([features, features[:1]])
    fitted.partial_fit(Interactions.from_arrays(["ann"], ["new"]), item_features=more, n_epochs=1)
    place = network.embed(more[80:])[0]
    place /= max(np.linalg.norm(place), 1)
    np.testing.assert_allclose(before_training[-1]["items"][80], place, rtol=1e-5)
    assert fitted.model_.item_vectors.shape == (81, 8)


def test_the_temperature_and_the_weighting_are_kept() -> None:
    rng = np.random.default_rng(0)
    counts = sp.csr_array(OLD.matrix, copy=True)
    counts.data = np.ceil(np.exp(2 * rng.standard_normal(counts.nnz))).astype(np.float32)
    fitted = trainer()
    with pytest.warns(UserWarning, match="as unequal as raw counts"):
        fitted.fit(counts)
    ones = sp.csr_array((np.ones(1, np.float32), ([0], [0])), shape=counts.shape)
    fitted.partial_fit(ones)  # and no second warning
    assert fitted.weighting_ == "saturating"
    assert fitted.temperature_ == 0.3
    assert fitted.model_.hyperparameters["weighting"] == "saturating"


def test_validation_keeps_the_best_epoch_and_may_lack_new_rows() -> None:
    train, validation = split(OLD, (0.8, 0.2))
    fitted = trainer().fit(train)
    fitted.partial_fit(NEW, validation=validation.matrix, n_epochs=3)
    recalls = [report.recall for report in fitted.history_]
    assert fitted.best_epoch_ == 2 + int(np.argmax(recalls))
    by_ids = trainer().fit(train).partial_fit(NEW, validation=validation, n_epochs=3)
    assert [report.recall for report in by_ids.history_] == recalls
    with pytest.raises(DataError, match=r"validation.item_ids has 1 .* the first 'unheard'"):
        fitted.partial_fit(NEW, validation=Interactions.from_arrays(["ann"], ["unheard"]))


def test_a_callback_can_end_it() -> None:
    fitted = trainer().fit(OLD)
    seen = []
    fitted.partial_fit(NEW, n_epochs=5, callbacks=[lambda t, r: seen.append(r.epoch) or True])
    assert seen == [2] == [report.epoch for report in fitted.history_]


def test_asynchronous_updates_and_further_fits_go_on() -> None:
    fitted = trainer(update="async").fit(OLD).partial_fit(NEW)
    assert fitted.model_.user_vectors.shape == (122, 8)
    fitted.partial_fit(NEW)  # the same again: nobody new
    assert fitted.model_.user_vectors.shape == (122, 8)
    assert fitted.n_epochs_ == 2 + 2 * 4
    everything = Interactions(fitted._likes, **fitted._state.ids)
    fitted.set_params(warm_start=True).fit(everything)
    assert [report.epoch for report in fitted.history_] == [10, 11]


@pytest.mark.parametrize("loss", ["softmax", "warp"])
def test_the_vectors_are_those_of_the_oracle(
    loss: str, chosen: list[Settings], before_training: list[dict[str, np.ndarray]]
) -> None:
    """From where rows begin, on all likes of some users, with the epochs counted on."""
    small = synthetic(20, 16, 80, n_tastes=2).interactions
    fitted = trainer(loss=loss, n_dims=3, batch_size=40, ema_decay=0).fit(small)
    new = Interactions.from_arrays(["ann", "ann"], [small.item_ids[0], "new"])
    fitted.partial_fit(new, n_epochs=1, replay=0.2)
    oracle = oracle_of(fitted._state.tables)
    for name, table in before_training[-1].items():
        setattr(oracle, name, table)
    generator = np.random.default_rng([fitted._state.seed, 2])
    users = choose_users(fitted._likes, np.array([20]), 0.2, generator)
    assert 1 < len(users) < 20
    part = only_users(fitted._likes, users)
    train_oracle(oracle, part, 2 * part.nnz, 3 * part.nnz, chosen[-1])
    for name, table in tables_of(fitted).items():
        np.testing.assert_array_equal(table, getattr(oracle, name))


# --- replay -----------------------------------------------------------------------------------


def test_replay_is_a_share_of_the_likes_of_others() -> None:
    n_liked = np.diff(MATRIX.indptr)
    concerned = np.arange(60)
    others = n_liked.sum() - n_liked[concerned].sum()
    for share, seed in [(0, 0), (1, 0), *((0.3, seed) for seed in range(5))]:
        users = choose_users(MATRIX, concerned, share, np.random.default_rng(seed))
        assert np.isin(concerned, users).all() and (np.diff(users) > 0).all()
        replayed = n_liked[users].sum() - n_liked[concerned].sum()
        largest = 0 if share in (0, 1) else n_liked.max()  # of the last one, who is not divided
        assert share * others <= replayed <= share * others + largest
    one, other = (choose_users(MATRIX, concerned, 0.3, np.random.default_rng(s)) for s in (1, 2))
    assert not np.array_equal(one, other)


def test_without_replay_the_vectors_of_other_users_stay() -> None:
    fitted = trainer().fit(OLD)
    before = fitted.model_.user_vectors
    fitted.partial_fit(NEW, replay=0)
    changed = (fitted.model_.user_vectors[:120] != before).any(axis=1)
    assert OLD.user_ids[changed].tolist() == ["user-00003"]
    fitted.partial_fit(NEW, replay=1)
    assert (fitted.model_.user_vectors[:120] != before).any(axis=1).all()


def test_only_users_leaves_the_others_empty() -> None:
    part = only_users(MATRIX, np.array([3, 119]))
    assert np.flatnonzero(np.diff(part.indptr)).tolist() == [3, 119]
    np.testing.assert_array_equal(part[[3, 119]].toarray(), MATRIX[[3, 119]].toarray())


# --- the same bits ----------------------------------------------------------------------------


def test_threads_and_pickling_do_not_change_a_bit() -> None:
    one = trainer().fit(OLD).partial_fit(NEW)
    three = trainer(n_threads=3).fit(OLD).partial_fit(NEW)
    thawed = pickle.loads(pickle.dumps(trainer().fit(OLD))).partial_fit(NEW)
    for other in (three, thawed):
        assert_same(one, other)
        for name, table in tables_of(one).items():
            np.testing.assert_array_equal(table, tables_of(other)[name])


def test_the_draws_of_two_calls_differ() -> None:
    fitted = trainer().fit(OLD)
    states = [fitted._state]
    for _ in range(2):
        states.append(fitted.partial_fit(OLD, n_epochs=1)._state)
    assert len({state.seed for state in states}) == 1
    assert [state.first_epoch for state in states] == [0, 2, 3]  # the other half of every key


class Stop(BaseException):
    """Stands for a process that is killed."""


@pytest.mark.parametrize("launches", [0, 1, 5, 9])
def test_a_killed_one_resumes_to_the_same_bits(
    launches: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = trainer().fit(OLD).partial_fit(NEW, n_epochs=2)
    fitted = trainer().fit(OLD)
    monkeypatch.setattr(loop, "PAIRS_PER_THREAD", 200)
    monkeypatch.setattr(loop, "SECONDS_PER_LAUNCH", 0)
    left = [launches]
    run = cml_fast.trainer.ScheduledJob.run

    def dying(self: Any, begin: int, end: int) -> Any:
        if left[0] == 0:
            raise Stop
        left[0] -= 1
        return run(self, begin, end)

    monkeypatch.setattr(cml_fast.trainer.ScheduledJob, "run", dying)
    with pytest.raises(Stop):
        fitted.partial_fit(NEW, n_epochs=2, checkpoint=tmp_path / "run", checkpoint_every=0.1)
    left[0] = sys.maxsize
    if launches == 0:
        with pytest.raises(FileNotFoundError):
            Trainer.resume(tmp_path / "run")
        return
    resumed = Trainer.resume(tmp_path / "run", n_threads=2)
    assert_same(resumed, expected)
    for name, table in tables_of(expected).items():
        np.testing.assert_array_equal(table, tables_of(resumed)[name])
    assert resumed.n_epochs_ == expected.n_epochs_ == 4
    assert resumed.model_.user_ids.tolist() == expected.model_.user_ids.tolist()
    assert (resumed._likes != expected._likes).nnz == 0
    assert_same(resumed.partial_fit(OLD), expected.partial_fit(OLD))  # what comes next


def test_resume_wants_the_likes_of_a_fit_and_has_those_of_an_update(tmp_path: Path) -> None:
    fitted = trainer().fit(OLD, checkpoint=tmp_path / "fit")
    with pytest.raises(TypeError, match="holds a training of fit; give the same train"):
        Trainer.resume(tmp_path / "fit")
    day = Trainer.resume(tmp_path / "fit", OLD).partial_fit(NEW, checkpoint=tmp_path / "fit")
    assert_same(day, fitted.partial_fit(NEW))
    with pytest.raises(TypeError, match="leave out train"):
        Trainer.resume(tmp_path / "fit", OLD)
    assert_same(Trainer.resume(tmp_path / "fit"), day)


# --- what cannot be used ----------------------------------------------------------------------


NOTHING = sp.csr_array((120, 80), dtype=np.float32)
NAN = sp.csr_array(([np.nan], ([0], [0])), shape=(120, 80), dtype=np.float32)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"new": NOTHING}, DataError, "new_interactions has no interactions"),
        ({"new": NAN}, DataError, "new_interactions has 1 NaN or infinite values"),
        ({"new": MATRIX[:100]}, DataError, r"at least the 120 users and 80 items.*got \(100, 80\)"),
        ({"new": OLD}, DataError, "has ids, but the likes of the last fit had none"),
        ({"new": np.ones((120, 80))}, TypeError, "must be a scipy.sparse matrix"),
        ({"n_epochs": 0}, ValueError, "n_epochs must be"),
        ({"replay": -0.1}, ValueError, "replay must be"),
        ({"replay": 1.5}, ValueError, "replay must be between 0 and 1, got 1.5"),
        ({"replay": float("nan")}, ValueError, "replay must be"),
        ({"validation": grown(MATRIX, 1, 0).tocsr()}, DataError, "validation must have shape"),
        ({"y": MATRIX}, TypeError, "the second argument of partial_fit is y"),
        ({"callbacks": 3}, TypeError, "callbacks must be a list"),
        ({"checkpoint_every": 0}, ValueError, "checkpoint_every"),
        ({"params": {"n_dims": 9}}, ValueError, "vectors of n_dims=8, got n_dims=9"),
        ({"params": {"optimizer": "adagrad"}}, ValueError, "another optimizer"),
    ],
    ids=str,
)
def test_bad_arguments_change_nothing(
    arguments: dict[str, Any], error: type[Exception], message: str
) -> None:
    fitted = trainer().fit(MATRIX)
    before, state, model = vectors(fitted), tables_of(fitted), fitted.model_
    fitted.set_params(**arguments.pop("params", {}))
    new = arguments.pop("new", MATRIX)
    with pytest.raises(error, match=message):
        fitted.partial_fit(new, **arguments)
    assert fitted.model_ is model
    np.testing.assert_array_equal(vectors(fitted), before)
    for name, table in state.items():
        np.testing.assert_array_equal(table, tables_of(fitted)[name])
    assert fitted.n_epochs_ == 2


def test_bad_ids_and_missing_features() -> None:
    fitted = trainer().fit(OLD)
    with pytest.raises(DataError, match="give Interactions, so that the new ones have ids"):
        fitted.partial_fit(grown(MATRIX, 1, 0).tocsr())
    integers = trainer(n_negatives=1).fit(Interactions.from_arrays([3, 3, 5], [7, 8, 8]))
    with pytest.raises(DataError, match=r"user_ids has new ids that are no integers.*'ann'"):
        integers.partial_fit(Interactions.from_arrays(["ann"], [7]))
    features = np.eye(4, dtype=np.float32)[np.arange(80) % 4]
    fitted = trainer(batch_size=None).fit(OLD, item_features=features)
    with pytest.raises(ValueError, match="item_features is missing"):
        fitted.partial_fit(OLD)


def test_the_tables_of_the_last_fit_are_not_written_to() -> None:
    """An interrupted update leaves a trainer whose earlier model is whole."""
    fitted = trainer().fit(OLD)
    tables: Tables = fitted._state.tables
    before = tables.to_numpy()
    fitted.partial_fit(NEW)
    for name, table in before.items():
        np.testing.assert_array_equal(table, tables.to_numpy()[name])
