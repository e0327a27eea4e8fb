"""Items that are the nearer, the more likes they have."""

import hashlib
import pickle

import numpy as np
import pytest
import scipy.sparse as sp
from support.trainers import trainer

from cml_fast import Model
from cml_fast.data import Interactions, synthetic
from cml_fast.errors import DataError
from cml_fast.evaluation import evaluate
from cml_fast.metrics import expected_likes as module
from cml_fast.metrics.expected_likes import expected_likes, expected_shares, sample_of_users
from cml_fast.metrics.popularity_bias import heights, log_ratios

LIKES = synthetic(200, 90, 3000, random_state=1).interactions
PLAIN = trainer(n_epochs=4, popularity_weight=0).fit(LIKES).model_
TEMPERATURE = 0.3  # of this trainer
COUNTS = np.bincount(LIKES.matrix.indices, minlength=90)
USER_COUNTS = np.diff(LIKES.matrix.indptr)


def expected(model, temperature):
    """In float64, with all distances at once."""
    users, items = model.user_vectors.astype(float), model.item_vectors.astype(float)
    odds = np.exp(-np.square(users[:, None] - items).sum(axis=2) / temperature)
    return USER_COUNTS @ (odds / odds.sum(axis=1, keepdims=True))


@pytest.mark.parametrize("calibrated", [False, True])
def test_squared_distances_grow_by_the_log_of_the_likes(calibrated):
    """Over those that the model expects, if it is calibrated."""
    model = PLAIN.with_popularity_bias(LIKES, 0.3, calibrated=calibrated)
    assert model.item_vectors.shape == (90, 9)
    rows, distances = model.recommend(np.arange(200), n=90)
    plain, before = PLAIN.recommend(np.arange(200), n=90)
    grown = np.zeros((2, 200, 90))
    for at, (found, values) in enumerate([(rows, distances), (plain, before)]):
        np.put_along_axis(grown[at], found, values.astype(float) ** 2, axis=1)
    ratios = (COUNTS + 1) / (1 + calibrated * expected(PLAIN, TEMPERATURE))
    growth = 0.3 * np.log(ratios.max() / ratios)
    tolerance = 3e-4 if calibrated else 1e-5
    np.testing.assert_allclose(grown[0] - grown[1], np.tile(growth, (200, 1)), atol=tolerance)
    assert growth.min() == 0 < growth.max()


@pytest.mark.parametrize("calibrated", [False, True])
def test_users_and_the_rest_stay_as_they_were(tmp_path, calibrated):
    model = PLAIN.with_popularity_bias(LIKES.matrix, 0.1, calibrated=calibrated)
    np.testing.assert_array_equal(model.user_vectors[:, :-1], PLAIN.user_vectors)
    assert not model.user_vectors[:, -1].any()
    np.testing.assert_array_equal(model.item_vectors[:, :-1], PLAIN.item_vectors)
    for one, other in zip(model.similar_users(3), PLAIN.similar_users(3), strict=True):
        np.testing.assert_array_equal(one, other)
    assert (str(PLAIN)[-4:], str(model)[-6:]) == ("r=8)", "r=8+1)")
    model.save(tmp_path / "model")
    for kept in (Model.load(tmp_path / "model"), pickle.loads(pickle.dumps(model))):
        np.testing.assert_array_equal(kept.item_vectors, model.item_vectors)
        assert kept.hyperparameters == model.hyperparameters
        assert kept.hyperparameters["popularity_weight"] == 0.1
        np.testing.assert_array_equal(
            kept.fold_in_users(LIKES.matrix[:7]), model.fold_in_users(LIKES.matrix[:7])
        )


def test_with_a_large_weight_all_users_get_the_most_popular_first():
    model = PLAIN.with_popularity_bias(LIKES, 1e3, calibrated=False)
    counts = COUNTS[model.recommend(np.arange(200), n=90)[0]]
    assert (np.diff(counts, axis=1) <= 0).all()


def test_expected_likes_are_those_of_the_softmax(monkeypatch):
    vectors = PLAIN.user_vectors, PLAIN.item_vectors
    found = [expected_likes(*vectors, USER_COUNTS, TEMPERATURE)]
    monkeypatch.setattr(module, "BLOCK_NUMBERS", 17 * 90)  # 12 blocks, the last one of 13
    monkeypatch.setattr(module, "CACHED_NUMBERS", 5 * 90)  # 4 parts of a block, the last one of 2
    found.append(expected_likes(*vectors, USER_COUNTS, TEMPERATURE))
    np.testing.assert_array_equal(*found)
    assert found[0].dtype == np.float64
    np.testing.assert_allclose(found[0], expected(PLAIN, TEMPERATURE), rtol=1e-3)
    assert found[0].sum() == pytest.approx(LIKES.matrix.nnz, rel=1e-7)


def test_the_expected_shares_are_the_same_in_any_order_of_the_sums():
    """Of dimensions, of users and of blocks of BLAS: so on any machine."""
    rng = np.random.default_rng(3)
    users, items = (rng.normal(size=(n, 37)).astype(np.float32) for n in (50, 300))
    shares = rng.random(50) / 50
    found = expected_shares(users, items, shares, 20.0)
    for _ in range(5):
        columns, rows, some = rng.permutation(37), rng.permutation(50), rng.permutation(300)
        other = expected_shares(
            users[rows][:, columns], items[some][:, columns], shares[rows], 20.0
        )
        np.testing.assert_array_equal(other, found[some])


def test_the_heights_have_always_had_these_bits():
    """Made of numbers that are the same everywhere, not drawn by a library."""
    users, items = (
        (np.arange(n * 24).reshape(n, 24) * 37 % 101 / 64 - 0.8).astype(np.float32)
        for n in (11, 200)
    )
    shares = expected_shares(users, items, np.arange(1, 12) / 66, 3.0)
    found = heights(log_ratios(np.arange(200) % 7, 500 * shares), 0.1)
    digest = hashlib.sha256(found.astype("<f4").tobytes()).hexdigest()
    assert digest == "a583aa8c65a645a625a9773616901dd56b7fd57d1be666e4e7f7ef075ee2fdd8"


def test_logarithms_are_those_of_numpy():
    counts = np.concatenate([np.arange(100), 2 ** np.arange(40)])
    for expected_count in (0.0, 1e-9, 0.4, 1 - 1e-16, 3.0, 1e12):
        np.testing.assert_allclose(
            log_ratios(counts, expected_count),
            np.log((counts + 1) / (expected_count + 1)),
            rtol=1e-15,
            atol=2e-16,
        )


@pytest.mark.parametrize(
    ("pairs_of_like", "fewest", "most", "n_parts"),
    [(3, 1, 250, 3 * 2000 // 40), (3, 160, 250, 160), (3, 1, 20, 20), (10**6, 1, 250, None)],
)
def test_a_sample_of_users_stands_for_all_likes(monkeypatch, pairs_of_like, fewest, most, n_parts):
    for name, value in (
        ("PAIRS_OF_LIKE", pairs_of_like),
        ("FEWEST_USERS", fewest),
        ("MOST_USERS", most),
    ):
        monkeypatch.setattr(module, name, value)
    counts = np.zeros(500, np.int64)
    counts[1::2] = np.arange(250) % 5 + 1
    counts[101] += 2000 - counts.sum()  # most of the likes
    rows, shares = sample_of_users(counts, 40)
    assert counts[rows].all() and (np.diff(rows) > 0).all()
    assert shares.sum() == pytest.approx(1)
    if n_parts is None:
        np.testing.assert_array_equal(rows, np.flatnonzero(counts))
        np.testing.assert_allclose(shares, counts[rows] / 2000)
    else:
        assert len(rows) < n_parts
        np.testing.assert_allclose(shares * n_parts, np.rint(shares * n_parts))
        # Each part has the likes of one user, or of some that follow each other.
        assert abs(shares[rows == 101].sum() - counts[101] / 2000) <= 1 / n_parts
        assert shares[rows < 101].sum() == pytest.approx(counts[:101].sum() / 2000, abs=1 / n_parts)


def test_those_are_sampled_whose_the_likes_in_the_middle_of_the_parts_are(monkeypatch):
    monkeypatch.setattr(module, "FEWEST_USERS", 4)
    monkeypatch.setattr(module, "MOST_USERS", 4)
    rows, shares = sample_of_users(np.array([0, 1, 1, 1, 1, 1, 1]), 10)
    assert (rows.tolist(), shares.tolist()) == ([1, 3, 4, 6], [0.25] * 4)


def test_distances_of_any_size_have_expected_likes():
    nowhere = np.zeros((2, 3), np.float32)
    assert expected_likes(nowhere, nowhere, np.array([3, 1]), 0.1).tolist() == [2, 2]
    items = np.array([[0.0], [1e15], [-1e15]], np.float32)
    assert expected_likes(items[:1], items, np.array([4]), 1e-9).tolist() == [4, 0, 0]
    assert expected_likes(items, items, np.array([0, 0, 0]), 1.0).tolist() == [0, 0, 0]


# Users want the most popular items, or those that are nearest to them.
POPULAR = np.argsort(-COUNTS, kind="stable")

# Not trained, so that the tests stay the same when trainings change.
DRAWN, WARM = (
    Model(
        *(np.random.default_rng(n).normal(size=(n, 8)) / 4 for n in (200, 90)),
        user_ids=LIKES.user_ids,
        item_ids=LIKES.item_ids,
        hyperparameters=hyperparameters,
    )
    for hyperparameters in (None, {"temperature": 0.5})
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


def test_with_a_calibrated_bias_the_model_expects_the_likes():
    before = expected(WARM, 0.5)
    after = expected(WARM.with_popularity_bias(LIKES, 0.5), 0.5)
    too_many, too_few = before > 1.5 * COUNTS, 1.5 * before < COUNTS
    assert min(too_many.sum(), too_few.sum()) > 10
    assert (after[too_many] < before[too_many]).all()
    assert (after[too_few] > before[too_few]).all()
    assert np.abs(after - COUNTS).sum() < 0.1 * np.abs(before - COUNTS).sum()


def test_it_is_calibrated_after_training_with_the_softmax():
    """By default, and then with a quarter of the temperature."""
    warp = trainer(loss="warp").fit(LIKES).model_
    for plain, calibrated, weight in ((PLAIN, True, TEMPERATURE / 4), (warp, False, 0.02)):
        model = plain.with_popularity_bias(LIKES)
        same = plain.with_popularity_bias(LIKES, weight, calibrated=calibrated)
        np.testing.assert_array_equal(model.item_vectors, same.item_vectors)
        assert model.hyperparameters["popularity_weight"] == weight
        other = plain.with_popularity_bias(LIKES, calibrated=False)
        assert other.hyperparameters["popularity_weight"] == 0.02
        assert calibrated == (model.item_vectors != other.item_vectors).any()
    with pytest.raises(ValueError, match=r"calibrated=True needs the temperature.*'softmax'"):
        warp.with_popularity_bias(LIKES, calibrated=True)
    with pytest.raises(TypeError, match="calibrated must be True or False"):
        PLAIN.with_popularity_bias(LIKES, calibrated=1)
    wrong = Model(PLAIN.user_vectors, PLAIN.item_vectors, hyperparameters={"temperature": -1})
    with pytest.raises(ValueError, match="temperature must be"):
        wrong.with_popularity_bias(LIKES.matrix)


@pytest.mark.parametrize("plain", [DRAWN, WARM])
def test_the_weight_is_chosen_on_held_out_likes(plain):
    wanted = held_out(lambda user: POPULAR)
    model = plain.with_popularity_bias(LIKES, validation=wanted, k=5)
    weight = model.hyperparameters["popularity_weight"]
    found = {
        w: evaluate(
            plain.with_popularity_bias(LIKES, w), wanted, exclude=[LIKES], ks=(5,)
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
        model.item_vectors, plain.with_popularity_bias(LIKES, weight).item_vectors
    )


def weight_of(model) -> float:
    """That of its bias; without one, it has the vectors of ``DRAWN``."""
    weight = model.hyperparameters["popularity_weight"]
    if weight == 0:
        np.testing.assert_array_equal(model.item_vectors, DRAWN.item_vectors)
        np.testing.assert_array_equal(model.user_vectors, DRAWN.user_vectors)
    return weight


def test_without_a_gain_there_is_no_bias():
    nearest = DRAWN.recommend(np.arange(200), n=90, exclude=LIKES)[0]
    wanted = held_out(lambda user: nearest[user])
    assert weight_of(DRAWN.with_popularity_bias(LIKES, validation=wanted)) == 0


def test_another_bias_replaces_it():
    wanted = held_out(lambda user: POPULAR)
    biased = WARM.with_popularity_bias(LIKES, 0.7)
    for arguments in ({}, {"weight": 0.2}, {"validation": wanted, "k": 5}):
        once, twice = (m.with_popularity_bias(LIKES, **arguments) for m in (WARM, biased))
        np.testing.assert_array_equal(once.item_vectors, twice.item_vectors)
        assert once.hyperparameters == twice.hyperparameters
    without = biased.with_popularity_bias(LIKES, 0)
    np.testing.assert_array_equal(without.item_vectors, WARM.item_vectors)
    np.testing.assert_array_equal(without.user_vectors, WARM.user_vectors)
    assert without.hyperparameters["popularity_weight"] == 0
    assert str(without) == str(WARM)
    assert biased.user_counts is None  # the likes are not needed to leave a bias out
    np.testing.assert_array_equal(
        biased.with_popularity_bias(weight=0).item_vectors, WARM.item_vectors
    )
    with pytest.raises(DataError, match="interactions"):
        biased.with_popularity_bias(LIKES.matrix[:5], weight=0)


def test_a_gain_within_the_noise_is_none():
    rng = np.random.default_rng(5)
    wanted = held_out(lambda user: rng.permutation(90))
    found = {
        w: evaluate(m, wanted, exclude=[LIKES], ks=(20,)).ndcg[20]
        for w, m in [(0, DRAWN), *((w, DRAWN.with_popularity_bias(LIKES, w)) for w in GRID)]
    }
    assert max(found, key=found.get) > 0
    assert weight_of(DRAWN.with_popularity_bias(LIKES, validation=wanted)) == 0


def test_the_metric_decides():
    """By recall of all 90 items nothing can be gained, by that of the first five much."""
    wanted = held_out(lambda user: POPULAR)
    by_all, by_five = (
        DRAWN.with_popularity_bias(LIKES, validation=wanted, metric="recall", k=k) for k in (90, 5)
    )
    assert weight_of(by_all) == 0 < weight_of(by_five)


def test_the_scale_of_the_vectors_scales_the_weight():
    wanted = held_out(lambda user: POPULAR)
    triple = Model(3 * DRAWN.user_vectors, 3 * DRAWN.item_vectors)
    one, nine = (
        model.with_popularity_bias(LIKES.matrix, validation=wanted).hyperparameters
        for model in (DRAWN, triple)
    )
    assert nine["popularity_weight"] == pytest.approx(9 * one["popularity_weight"], rel=0.05)


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


def test_without_interactions_it_takes_the_likes_that_the_model_has_counted():
    for weight, calibrated in ((None, True), (0.1, False)):
        given, counted = (
            PLAIN.with_popularity_bias(likes, weight, calibrated=calibrated)
            for likes in (LIKES, None)
        )
        np.testing.assert_array_equal(given.item_vectors, counted.item_vectors)
    with pytest.raises(ValueError, match="has not counted likes of training; give interactions"):
        DRAWN.with_popularity_bias()
    with pytest.raises(ValueError, match="validation needs interactions"):
        PLAIN.with_popularity_bias(validation=LIKES)


def test_new_users_are_placed_among_the_items_of_training():
    model = PLAIN.with_popularity_bias(LIKES, 0.1)
    placed = model.fold_in_users(LIKES.matrix[:7])
    assert placed.shape == (7, 9)
    np.testing.assert_array_equal(placed[:, :-1], PLAIN.fold_in_users(LIKES.matrix[:7]))
    assert not placed[:, -1].any()
    assert model.recommend_from_vectors(placed, n=3)[0].shape == (7, 3)


def test_what_cannot_be_done():
    for bad in (-1.0, np.nan, np.inf):
        with pytest.raises(ValueError, match="weight must be"):
            PLAIN.with_popularity_bias(LIKES, bad)
    with pytest.raises(TypeError, match="weight must be"):
        PLAIN.with_popularity_bias(LIKES, "much")
    with pytest.raises(DataError, match="interactions"):
        PLAIN.with_popularity_bias(LIKES.matrix[:5])
    tags = np.eye(90, 4, dtype=np.float32)
    described = trainer().fit(LIKES, item_features=tags).model_
    with pytest.raises(ValueError, match="features"):
        described.with_popularity_bias(LIKES)
    same = described.with_popularity_bias(weight=0)  # nothing to leave out
    np.testing.assert_array_equal(same.item_vectors, described.item_vectors)
