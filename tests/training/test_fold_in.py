"""New users, placed from likes alone: the kernel against the oracle, the model, and quality."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from oracle import training
from oracle.problem import Tables
from support.kernels import (
    assert_same_tables,
    job_arguments,
    make_job,
    oracle_of,
    oracle_settings,
    random_likes,
    random_tables,
    settings,
    snapshot,
)
from support.trainers import popularity_recall, trainer

from cml_fast import Model, _core
from cml_fast.data import Interactions, load_interactions, split, synthetic
from cml_fast.errors import DataError, TrainingDiverged
from cml_fast.evaluation import evaluate

# --- the kernel -------------------------------------------------------------------------------


@pytest.mark.parametrize(("n_negatives", "weighted"), [(1, False), (7, True), (33, False)])
@pytest.mark.parametrize("n_dims", [1, 16, 31, 33, 100, 256, 300, 2048])
def test_equals_the_oracle(isa: str, n_dims: int, n_negatives: int, weighted: bool) -> None:
    """Users with one like, every item, every item but one, and none are among them."""
    rng = np.random.default_rng([n_dims, n_negatives, weighted])
    likes = random_likes(rng, 9, 21, density=0.1, weighted=weighted)
    # A margin at which some pairs are active and others are not.
    chosen = settings(n_dims=n_dims, n_negatives=n_negatives, margin=1.0)
    tables = random_tables("cpu", likes.shape, chosen)
    tables.arrays["user_accumulators"][:, :n_dims] = 0.01  # training may have begun
    oracle, before = oracle_of(tables), snapshot(tables)
    assert make_job(tables, likes, chosen).fold_in(0, 9, 3) is None
    training.fold_in(oracle, likes, 3, oracle_settings(chosen))
    assert_same_tables(tables, oracle)
    after = snapshot(tables)
    for name in ("items", "item_accumulators"):
        np.testing.assert_array_equal(after[name], before[name], name)
    moved = (after["users"] != before["users"]).any(axis=1)
    n_liked = np.diff(likes.indptr)
    assert not moved[(n_liked == 0) | (n_liked == 21)].any()
    assert moved.any()


@pytest.mark.parametrize("loss", ["softmax", "warp"])
def test_users_are_drawn_back_between_epochs(isa: str, loss: str) -> None:
    rng = np.random.default_rng(3)
    likes = random_likes(rng, 9, 21, density=0.2)
    tile = {"tile_size": 128} if loss == "softmax" else {}
    chosen = settings(n_dims=20, n_negatives=5, margin=1.0, loss=loss, **tile)
    tables = random_tables("cpu", likes.shape, chosen)
    oracle = oracle_of(tables)
    assert make_job(tables, likes, chosen).fold_in(0, 9, 4, 0.25) is None
    training.fold_in(oracle, likes, 4, oracle_settings(chosen), 0.25)
    assert_same_tables(tables, oracle)


def test_a_retention_above_all_is_refused(isa: str) -> None:
    likes = random_likes(np.random.default_rng(3), 9, 21, density=0.2)
    job = make_job(random_tables("cpu", likes.shape, settings()), likes, settings())
    with pytest.raises(ValueError, match=r"retention must be between 0 and 1, got 1\.5"):
        job.fold_in(0, 9, 1, 1.5)


@pytest.mark.parametrize("loss", ["softmax", "contrastive", "shared_warp"])
@pytest.mark.parametrize("rowwise", [False, True])
@pytest.mark.parametrize("n_dims", [1, 33, 100])
def test_tiles_equal_the_oracle(isa: str, loss: str, rowwise: bool, n_dims: int) -> None:
    """The pairs of a tile, all of one user, make one step together."""
    likes = random_likes(np.random.default_rng(n_dims), 4, 150, density=0.6, weighted=True)
    chosen = settings(
        n_dims=n_dims, loss=loss, rowwise=rowwise, tile_size=128, n_negatives=40, margin=1.0
    )
    tables = random_tables("cpu", likes.shape, chosen)
    oracle, before = oracle_of(tables), snapshot(tables)
    assert make_job(tables, likes, chosen).fold_in(0, 4, 2) is None
    training.fold_in(oracle, likes, 2, oracle_settings(chosen))
    assert_same_tables(tables, oracle)
    for name in ("items", "item_accumulators"):
        np.testing.assert_array_equal(snapshot(tables)[name], before[name], name)
    assert (snapshot(tables)["users"] != before["users"]).any()


def many(n_threads: int = 1) -> tuple[Any, sp.csr_array, Any]:
    likes = random_likes(np.random.default_rng(1), 300, 80, density=0.2, weighted=True)
    chosen = settings(n_threads=n_threads, batch_size=64)  # mini-batches make no difference
    return random_tables("cpu", likes.shape, chosen), likes, chosen


def test_any_number_of_threads(isa: str) -> None:
    expected = None
    for n_threads in (1, 2, 7):
        tables, likes, chosen = many(n_threads)
        assert make_job(tables, likes, chosen).fold_in(0, 300, 4) is None
        expected = snapshot(tables) if expected is None else expected
        for name, array in snapshot(tables).items():
            np.testing.assert_array_equal(array, expected[name], name)


def test_any_split_of_the_users() -> None:
    whole, likes, chosen = many()
    make_job(whole, likes, chosen).fold_in(0, 300, 2)
    parts, _, _ = many()
    job = make_job(parts, likes, chosen)
    for begin, end in ((200, 300), (0, 0), (0, 1), (1, 200), (300, 300)):
        assert job.fold_in(begin, end, 2) is None
    np.testing.assert_array_equal(snapshot(parts)["users"], snapshot(whole)["users"])


@pytest.mark.parametrize("n_threads", [1, 3])
def test_the_first_user_with_a_value_that_is_not_finite(n_threads: int) -> None:
    tables, likes, chosen = many(n_threads)
    bad = np.flatnonzero(np.diff(likes.indptr) == 20)[[0, -1]]
    for user in bad:
        likes.data[likes.indptr[user] : likes.indptr[user + 1]] = 1e30
    job = make_job(tables, likes, chosen)
    assert job.fold_in(0, 300, 1) == bad[0]
    assert job.fold_in(bad[0] + 1, 300, 1) == bad[1]
    assert job.fold_in(bad[1] + 1, 300, 1) is None
    assert np.isfinite(snapshot(tables)["users"]).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((-1, 1, 1), "0 <= begin <= end <= 2, got -1 and 1"),
        ((0, 3, 1), "0 <= begin <= end <= 2, got 0 and 3"),
        ((2, 1, 1), "0 <= begin <= end <= 2, got 2 and 1"),
        ((0, 2, 0), r"n_epochs must be between 1 and 2\*\*31 - 1, got 0"),
        ((0, 2, 2**31), r"n_epochs must be between 1 and 2\*\*31 - 1, got 2147483648"),
    ],
)
def test_what_a_job_refuses(arguments: tuple[int, int, int], message: str) -> None:
    given = job_arguments()
    before = given["users"].copy()
    with pytest.raises(ValueError, match=message):
        _core.Job("cpu", **given).fold_in(*arguments)
    np.testing.assert_array_equal(given["users"], before)


# --- the model --------------------------------------------------------------------------------

RNG = np.random.default_rng(0)
ITEMS = RNG.uniform(-0.4, 0.4, (30, 6)).astype(np.float32)
LIKES = random_likes(RNG, 12, 30, weighted=True)
LIKES = sp.csr_array(LIKES[np.diff(LIKES.indptr) > 0])
NAMES = np.array([f"item {n}" for n in range(30)])


def make_model(**hyperparameters: Any) -> Model:
    """With the paper's loss and procedure, where it is not told another."""
    paper = {"loss": "warp", "n_negatives": 20, "optimizer": "adagrad"}
    return Model(ITEMS[:2], ITEMS, item_ids=NAMES, hyperparameters={**paper, **hyperparameters})


def test_a_user_begins_at_the_mean_and_is_trained() -> None:
    chosen = settings(n_dims=6, n_negatives=20, margin=1.25, learning_rate=0.1, seed=0)
    weights = LIKES.toarray().astype(float)
    means = (weights @ ITEMS) / weights.sum(axis=1, keepdims=True)
    tables = Tables(
        means.astype(np.float32), np.zeros_like(means, np.float32), ITEMS, np.zeros_like(ITEMS)
    )
    seed = int(np.random.default_rng(7).integers(2**63))
    training.fold_in(tables, LIKES, 3, oracle_settings(settings(**{**vars(chosen), "seed": seed})))
    found = make_model().fold_in_users(LIKES, n_epochs=3, random_state=7)
    assert found.dtype == np.float32 and found.shape == (len(means), 6)
    np.testing.assert_allclose(found, tables.users, atol=1e-5)
    all_liked = np.flatnonzero(np.diff(LIKES.indptr) == 30)
    np.testing.assert_allclose(found[all_liked], means[all_liked], atol=1e-6)


def test_the_start_is_in_the_ball() -> None:
    everything = sp.csr_array(np.ones((1, 30)))
    model = Model(ITEMS[:2], ITEMS + 1)
    assert np.linalg.norm(model.fold_in_users(everything, max_norm=50.0)) > 2
    for max_norm in (0.5, 1.0):
        start = model.fold_in_users(everything, max_norm=max_norm)
        assert np.linalg.norm(start) == pytest.approx(max_norm)


def test_nobody_matters_to_another() -> None:
    """Alone, in another order, or in other numbers: the same bits."""
    model = make_model()
    together = model.fold_in_users(LIKES)
    order = np.random.default_rng(2).permutation(len(together))
    np.testing.assert_array_equal(model.fold_in_users(LIKES[order], n_threads=3), together[order])
    for row in range(len(together)):
        np.testing.assert_array_equal(model.fold_in_users(LIKES[[row]])[0], together[row])


def test_more_users_than_one_launch_has() -> None:
    model = make_model()
    likes = sp.csr_array(sp.vstack([LIKES] * 220))
    assert likes.shape[0] > 2048
    once = model.fold_in_users(LIKES, n_epochs=1)
    np.testing.assert_array_equal(model.fold_in_users(likes, n_epochs=1), np.tile(once, (220, 1)))


def test_the_seed() -> None:
    model = make_model()
    first = model.fold_in_users(LIKES)
    np.testing.assert_array_equal(model.fold_in_users(LIKES, random_state=0), first)
    assert (model.fold_in_users(LIKES, random_state=1) != first).any()
    generator = np.random.default_rng(0)
    np.testing.assert_array_equal(model.fold_in_users(LIKES, random_state=generator), first)
    assert (model.fold_in_users(LIKES, random_state=generator) != first).any()


@pytest.mark.parametrize(
    ("name", "value"),
    [("n_negatives", 3), ("margin", 0.2), ("learning_rate", 0.01), ("max_norm", 0.3)],
)
def test_hyperparameters_are_the_models(name: str, value: float) -> None:
    plain = make_model().fold_in_users(LIKES)
    asked = make_model().fold_in_users(LIKES, **{name: value})
    assert (asked != plain).any()
    stored = {name: value, "n_dims": 3, "feature_weight": 2, "n_epochs": 1}  # others do not matter
    np.testing.assert_array_equal(make_model(**stored).fold_in_users(LIKES), asked)
    other = make_model(**{name: value * 2}).fold_in_users(LIKES, **{name: value})
    np.testing.assert_array_equal(other, asked)


def test_the_learning_rate_is_that_of_epoch_10() -> None:
    """Throughout, unless it is given; models without a decay had one rate."""
    falling = make_model(learning_rate=0.3, learning_rate_decay=0.2)
    steady = make_model(learning_rate=0.3 / (1 + 0.2 * 10))
    found = falling.fold_in_users(LIKES)
    np.testing.assert_array_equal(found, steady.fold_in_users(LIKES))
    np.testing.assert_array_equal(found, make_model().fold_in_users(LIKES, learning_rate=0.1))
    np.testing.assert_array_equal(found, make_model().fold_in_users(LIKES))
    given = falling.fold_in_users(LIKES, learning_rate=0.3)
    np.testing.assert_array_equal(given, make_model(learning_rate=0.3).fold_in_users(LIKES))


def test_interactions_in_another_order() -> None:
    model = make_model()
    order = np.random.default_rng(3).permutation(30)
    shuffled = Interactions(sp.csr_array(LIKES[:, order]), np.arange(LIKES.shape[0]), NAMES[order])
    expected = model.fold_in_users(LIKES)
    np.testing.assert_array_equal(model.fold_in_users(shuffled), expected)
    some = np.flatnonzero(LIKES[[4]].toarray()[0])
    few = Interactions(sp.csr_array(LIKES[[4]][:, some]), np.array(["new"]), NAMES[some])
    np.testing.assert_array_equal(model.fold_in_users(few)[0], expected[4])
    ids, _ = model.recommend_from_vectors(expected, 30, exclude=shuffled)
    np.testing.assert_array_equal(ids, model.recommend_from_vectors(expected, 30, exclude=LIKES)[0])


@pytest.mark.parametrize("format", ["coo", "csc", "lil"])
def test_interactions_in_any_format(format: str) -> None:
    model = make_model()
    found = model.fold_in_users(LIKES.asformat(format))
    np.testing.assert_array_equal(found, model.fold_in_users(LIKES))


def with_value(value: float) -> sp.csr_array:
    likes = LIKES.copy()
    likes.data[likes.indptr[5]] = value
    return likes


def test_warnings_point_at_the_caller() -> None:
    model = make_model()
    for call in (
        lambda: model.fold_in_users(with_value(0)),
        lambda: model.recommend_from_vectors(ITEMS[: LIKES.shape[0]], exclude=with_value(0)),
    ):
        with pytest.warns(UserWarning, match="1 explicit zeros") as caught:
            call()
        assert caught[0].filename == __file__


ONE = sp.csr_array(np.eye(1, 30))
EMPTY_ROWS = sp.csr_array(np.eye(9, 30) * (np.arange(9) == 4)[:, None])


@pytest.mark.parametrize(
    ("interactions", "arguments", "error", "message"),
    [
        (LIKES.toarray(), {}, TypeError, "interactions must be .* wrap it"),
        ([[1]], {}, TypeError, "interactions must be a scipy.sparse matrix"),
        (LIKES[:, :29], {}, DataError, r"interactions must have shape \(\d+, 30\)"),
        (LIKES[:0], {}, DataError, "at least one user"),
        (with_value(np.nan), {}, DataError, "interactions has 1 NaN .* at row 5"),
        (with_value(-1), {}, DataError, "interactions has 1 negative values"),
        (EMPTY_ROWS, {}, DataError, r"8 rows without a like.*: 0, 1, 2, 3, 5, \.\.\.$"),
        (EMPTY_ROWS[3:6], {}, DataError, "2 rows without a like.*: 0, 2$"),
        (
            Interactions(ONE, np.arange(1), np.array([*NAMES[:27], "x", "y's", "z"])),
            {},
            ValueError,
            r"the model has no item 'x', \"y's\", 'z' \(3 unknown ids\)",
        ),
        (
            Interactions(ONE, np.arange(1), np.arange(30)),
            {},
            ValueError,
            "the model has no item 0, 1, 2, 3, 4 \\(30 unknown ids\\)",
        ),
        (
            Interactions(ONE, np.arange(1), np.repeat(NAMES[:15], 2)),
            {},
            ValueError,
            "interactions.item_ids must be unique, 'item 0' occurs twice",
        ),
        (ONE, {"n_epochs": 0}, ValueError, "n_epochs must be between 1 and"),
        (ONE, {"n_epochs": 1.5}, TypeError, "n_epochs must be an integer"),
        (ONE, {"n_negatives": 1025}, ValueError, "n_negatives must be between 1 and 1024"),
        (ONE, {"margin": 0}, ValueError, "margin must be a finite number above 0"),
        (ONE, {"learning_rate": np.inf}, ValueError, "learning_rate must be a finite number"),
        (ONE, {"max_norm": 1e7}, ValueError, "max_norm must be between 1e-06 and 1e\\+06"),
        (ONE, {"n_threads": 0}, ValueError, "n_threads must be between 1 and 4096"),
        (ONE, {"random_state": "x"}, TypeError, "random_state must be an integer"),
        (ONE, {"learning_rate": 1e38}, TrainingDiverged, "row 0 of interactions cannot be placed"),
    ],
)
def test_bad_arguments(
    interactions: Any, arguments: dict[str, Any], error: type[Exception], message: str
) -> None:
    model = make_model()
    generator = np.random.default_rng(0)
    with pytest.raises(error, match=message):
        model.fold_in_users(interactions, **{"random_state": generator, **arguments})
    assert generator.bit_generator.state == np.random.default_rng(0).bit_generator.state
    np.testing.assert_array_equal(model.item_vectors, ITEMS)


def test_bad_hyperparameters_of_a_model() -> None:
    with pytest.raises(TypeError, match="margin must be a number, got 'wide'"):
        make_model(margin="wide").fold_in_users(LIKES)
    found = make_model(margin="wide").fold_in_users(LIKES, margin=1.25)
    np.testing.assert_array_equal(found, make_model().fold_in_users(LIKES))


# --- recommendations for points ---------------------------------------------------------------

USERS = RNG.standard_normal((7, 6)).astype(np.float32)
SEEN = sp.csr_array((RNG.random((7, 30)) < 0.4).astype(np.float32))


@pytest.mark.parametrize("exclude", [None, SEEN, SEEN.tocoo()])
def test_points_are_recommended_what_users_are(exclude: Any) -> None:
    model = Model(USERS, ITEMS)
    expected = model.recommend(range(7), 9, exclude)
    for found, wanted in zip(
        model.recommend_from_vectors(USERS, 9, exclude), expected, strict=True
    ):
        np.testing.assert_array_equal(found, wanted)
    one = None if exclude is None else SEEN[[3]]
    for found, wanted in zip(model.recommend_from_vectors(USERS[3], 9, one), expected, strict=True):
        assert found.shape == (9,)
        np.testing.assert_array_equal(found, wanted[3])
    single = model.recommend_from_vectors(USERS[[3]].tolist(), 9, one)
    assert single[0].shape == (1, 9)


def test_points_and_approximate_search() -> None:
    pytest.importorskip("annoy", reason="annoy is not installed: pip install cml-fast[annoy]")
    model = Model(USERS, ITEMS).build_index("annoy", recall=None)
    for search_k in (-1, 500):
        given = {"approximate": True, "search_k": search_k}
        expected = model.recommend(range(7), 5, SEEN, **given)
        for found, wanted in zip(
            model.recommend_from_vectors(USERS, 5, SEEN, **given), expected, strict=True
        ):
            np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"vectors": 0.5}, TypeError, "vectors must be a two-dimensional array of floats"),
        ({"vectors": [1, 2, 3, 4, 5, 6]}, TypeError, "vectors must be .* of floats, got int64"),
        ({"vectors": "abc"}, TypeError, "vectors must be a two-dimensional array of floats"),
        ({"vectors": USERS[None]}, TypeError, r"got float32 with shape \(1, 7, 6\)"),
        ({"vectors": USERS[:, :5]}, ValueError, "vectors must have 6 columns, got 5"),
        ({"vectors": USERS[0, :5]}, ValueError, "vectors must have 6 columns, got 5"),
        ({"vectors": USERS[:0]}, ValueError, "vectors must have at least one row"),
        ({"vectors": USERS * np.nan}, ValueError, "vectors must be finite"),
        ({"n": 0}, ValueError, "n must be at least 1, got 0"),
        ({"exclude": SEEN[:3]}, DataError, "exclude must have 7 rows, got 3"),
        ({"exclude": SEEN[:, :3]}, DataError, r"exclude must have shape \(7, 30\)"),
        ({"exclude": SEEN.toarray()}, TypeError, "exclude must be .* wrap it"),
        (
            {"exclude": Interactions(SEEN, np.arange(7), np.arange(30) + 1)},
            ValueError,
            r"the model has no item 30 \(1 unknown ids\)",
        ),
        ({"approximate": True}, ValueError, "build_index"),
        ({"search_k": 5}, ValueError, "needs approximate=True"),
    ],
)
def test_bad_recommend_for_arguments(
    arguments: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        Model(USERS, ITEMS).recommend_from_vectors(**{"vectors": USERS, **arguments})


# --- quality ----------------------------------------------------------------------------------


def recalls_of_new_users(likes: sp.csr_array, **params: Any) -> tuple[float, float, float]:
    """Recall@50 of a tenth of the users on a fifth of their likes: by popularity; placed from their
    other likes by a model that was trained without them; and trained like everyone."""
    seen, hidden = split(likes, (0.8, 0.2), random_state=0)
    new = np.random.default_rng(0).permutation(likes.shape[0]) < likes.shape[0] // 10
    others, wanted = seen.tolil(), hidden.tolil()
    others[new], wanted[~new] = 0, 0
    others, wanted = sp.csr_array(others), sp.csr_array(wanted)
    assert not others[new].nnz and wanted.nnz == hidden[new].nnz > 100
    without = trainer(**params).fit(others).model_
    everyone = trainer(**params).fit(seen).model_
    users = without.user_vectors.copy()
    users[new] = without.fold_in_users(seen[new])
    placed = Model(users, without.item_vectors)
    return (
        popularity_recall(seen, wanted),
        *(evaluate(model, wanted, seen, ks=(50,)).recall[50] for model in (placed, everyone)),
    )


def test_new_users_are_served_well() -> None:
    likes = synthetic(600, 400, 18_000, n_tastes=8, noise=0.05).interactions.matrix
    popular, placed, trained = recalls_of_new_users(likes, n_dims=20, n_epochs=10)
    assert placed > 1.5 * popular
    assert placed > 0.9 * trained


def test_movielens(shared_data: Path) -> None:
    path = shared_data / "ml-latest-small" / "ratings.csv"
    likes = load_interactions(path, user=0, item=1, rating=2, min_rating=4).matrix
    params = {"n_dims": 50, "n_negatives": 20, "n_epochs": 10}
    popular, placed, trained = recalls_of_new_users(likes, **params)
    assert placed > 1.3 * popular
    assert placed > 0.9 * trained
