"""The weights of likes: their scale, the weightings, and what raw counts get."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from support.trainers import assert_same, trainer, vectors

from cml_fast import EpochReport, Model, Trainer
from cml_fast._training.weighting import WEIGHTINGS, choose_weighting, user_medians, weigh
from cml_fast.data import split, synthetic
from cml_fast.errors import DataError
from cml_fast.evaluation import evaluate

LIKES = synthetic(120, 80, 1500, n_tastes=4).interactions.matrix
RNG = np.random.default_rng(0)
MODERATE = RNG.uniform(0.5, 3, LIKES.nnz)
COUNTS = np.ceil(RNG.lognormal(2, 2.4, LIKES.nnz))
AS_COUNTS = "train: its weights are as unequal as raw counts"
LOSSES = ("softmax", "contrastive", "warp", "shared_warp")


def weighted(values: Any, likes: sp.csr_array = LIKES) -> sp.csr_array:
    """Likes with these weights, as float32."""
    data = np.asarray(values, np.float32)
    return sp.csr_array((data, likes.indices, likes.indptr), likes.shape)


def user_of_pair(likes: sp.csr_array) -> np.ndarray:
    return np.repeat(np.arange(likes.shape[0]), np.diff(likes.indptr))


# --- the scale ------------------------------------------------------------------------------------


@pytest.mark.parametrize("scale", [1e-38, 1e-9, 1e-6, 0.1, 7, 40, 1e6, 1e38])
@pytest.mark.parametrize("loss", LOSSES)
def test_equal_weights_train_as_ones_do(loss: str, scale: float, device: str) -> None:
    plain = trainer(device=device, loss=loss).fit(LIKES)
    scaled = trainer(device=device, loss=loss).fit(weighted(np.full(LIKES.nnz, scale)))
    assert_same(scaled, plain)
    assert scaled.history_[0].loss == plain.history_[0].loss


@pytest.mark.parametrize("update", ["sync", "async"])
@pytest.mark.parametrize("loss", LOSSES)
def test_powers_of_two_change_no_bit(loss: str, update: str) -> None:
    for values, weighting in ((MODERATE, "linear"), (COUNTS, "linear"), (COUNTS, "saturating")):
        one, *scaled = (
            trainer(loss=loss, update=update, weighting=weighting).fit(weighted(values * scale))
            for scale in (1, 2.0**-60, 2.0**-20, 2.0**60)
        )
        for other in scaled:
            assert_same(other, one)
            assert other.history_[0].loss == one.history_[0].loss


@pytest.mark.parametrize("weighting", ["linear", "saturating"])
def test_other_factors_change_only_what_they_round(weighting: str) -> None:
    one = weigh(weighted(COUNTS), weighting)
    for scale in (1e-6, 0.3, 7, 1e30):
        other = weigh(weighted(COUNTS * scale), weighting)
        np.testing.assert_allclose(other.data, one.data, rtol=3e-7)


@pytest.mark.parametrize("weighting", WEIGHTINGS)
@pytest.mark.parametrize("values", [MODERATE, COUNTS, COUNTS * 1e-30])
def test_the_mean_is_one_and_the_argument_is_kept(values: Any, weighting: str) -> None:
    likes = weighted(values)
    before = likes.copy()
    found = weigh(likes, weighting)
    assert found.data.dtype == np.float32 and found.data.min() > 0
    assert np.mean(found.data, dtype=np.float64) == pytest.approx(1, abs=1e-6)
    np.testing.assert_array_equal(likes.data, before.data)
    np.testing.assert_array_equal(found.indices, before.indices)
    np.testing.assert_array_equal(found.indptr, before.indptr)


def test_no_like_gets_lost_beside_a_weight_that_is_far_larger() -> None:
    extremes = np.where(np.arange(LIKES.nnz) == 5, 3e38, 1e-38)
    for weighting in WEIGHTINGS:
        found = weigh(weighted(extremes), weighting)
        assert found.data.min() > 0 and np.isfinite(found.data).all()
        one = trainer(weighting=weighting).fit(weighted(extremes))
        assert one.history_[0].pairs == LIKES.nnz
        assert np.isfinite(vectors(one)).all()


def test_unweighted_likes_are_not_copied() -> None:
    for weighting in WEIGHTINGS:
        assert weigh(LIKES, weighting) is LIKES


# --- the weightings -------------------------------------------------------------------------------


def by_hand(weighting: str, likes: sp.csr_array) -> np.ndarray:
    """The weights of the likes, user by user, divided by their mean."""
    weights = []
    for row in np.split(likes.data.astype(np.float64), likes.indptr[1:-1]):
        if weighting == "binary":
            weights.append(np.ones(len(row)))
        elif weighting == "saturating" and len(row):
            weights.append(row / (row + np.median(row)))
        else:
            weights.append(row)
    flat = np.concatenate(weights)
    return flat / flat.mean()


@pytest.mark.parametrize("weighting", WEIGHTINGS)
def test_each_weighting_by_hand(weighting: str) -> None:
    likes = weighted(COUNTS).toarray()
    likes[[0, 7, 119]] = 0  # users without likes, the first and the last among them
    sparse = sp.csr_array(likes)
    found = weigh(sparse, weighting).data
    np.testing.assert_allclose(found, by_hand(weighting, sparse), rtol=1e-6)


def test_medians() -> None:
    table = np.array([[3, 0, 1, 2], [0, 0, 0, 0], [5, 0, 0, 1e-3], [0, 3e38, 0, 0]], np.float32)
    found = user_medians(sp.csr_array(table))
    np.testing.assert_array_equal(found[[0, 2]], [2, (5 + np.float64(np.float32(1e-3))) / 2])
    assert np.isnan(found[1]) and found[3] == np.float32(3e38)


def test_binary_ignores_the_weights() -> None:
    assert_same(trainer(weighting="binary").fit(weighted(COUNTS)), trainer().fit(LIKES))


def test_a_weighting_trains_with_its_weights() -> None:
    """And what a kernel gets for them are the ones worked out by hand."""
    for weighting in ("linear", "saturating"):
        one = trainer(weighting=weighting).fit(weighted(COUNTS))
        same = trainer(weighting="linear").fit(weighted(by_hand(weighting, weighted(COUNTS))))
        np.testing.assert_allclose(vectors(one), vectors(same), atol=1e-4)
        assert not np.allclose(vectors(one), vectors(trainer().fit(LIKES)), atol=1e-2)


# --- the default ----------------------------------------------------------------------------------


@pytest.mark.parametrize("scale", [1, 1e-9, 1e9])
def test_counts_get_a_warning_and_saturate(scale: float) -> None:
    with pytest.warns(UserWarning, match=AS_COUNTS) as caught:
        one = trainer().fit(weighted(COUNTS * scale))
    assert len(caught) == 1 and caught[0].filename == __file__
    for option in ("weighting='saturating'", "'linear'", "'binary'"):
        assert option in str(caught[0].message)
    assert one.weighting_ == "saturating"
    assert one.model_.hyperparameters["weighting"] == "saturating"
    assert one.get_params()["weighting"] is None
    named = trainer(weighting="saturating").fit(weighted(COUNTS * scale))  # without a warning
    assert_same(named, one)


@pytest.mark.parametrize("values", [np.ones(LIKES.nnz), np.full(LIKES.nnz, 1e-6), MODERATE])
def test_moderate_weights_are_linear(values: np.ndarray) -> None:
    one = trainer().fit(weighted(values))
    assert one.weighting_ == one.model_.hyperparameters["weighting"] == "linear"
    assert_same(one, trainer(weighting="linear").fit(weighted(values)))


def test_the_border_is_a_deviation_as_large_as_the_mean() -> None:
    """One weight w among n - 1 ones has that deviation at about sqrt(n) + 1."""
    values = np.ones(100)
    likes = sp.csr_array(np.ones((10, 10), np.float32))
    for value, expected in ((11.0, "linear"), (14.0, "saturating")):
        values[3] = value
        assert (values.std() > values.mean()) == (expected == "saturating")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            assert choose_weighting(weighted(values, likes), stacklevel=1) == expected


@pytest.mark.parametrize("weighting", [None, "saturating"])
def test_choosing_a_temperature_weighs_once(
    monkeypatch: pytest.MonkeyPatch, weighting: str | None
) -> None:
    """The trials train with the weights that the training has, and warn of nothing."""
    weighed = []

    def saturating(likes: sp.csr_array) -> np.ndarray:
        weighed.append(likes)
        found: np.ndarray = WEIGHTINGS["linear"](likes)
        return found

    monkeypatch.setitem(WEIGHTINGS, "saturating", saturating)
    few = {"n_dims": 4, "n_epochs": 1, "n_threads": 1, "device": "cpu", "verbose": False}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        Trainer(**few, weighting=weighting).fit(weighted(COUNTS))
    assert len(weighed) == 1
    assert len(caught) == (weighting is None)


@pytest.mark.parametrize("loss", LOSSES)
def test_counts_apart_from_taste_hardly_matter(loss: str) -> None:
    """Linear counts ruin a model; what fit does with them by default does not."""
    likes = synthetic(600, 400, 18_000, n_tastes=8).interactions.matrix
    counts = np.ceil(np.random.default_rng(1).lognormal(0, 2.4, likes.nnz))
    train, test = split(weighted(counts, likes), (0.8, 0.2))

    def recall(**params: Any) -> float:
        one = trainer(loss=loss, n_dims=16, n_negatives=20, n_epochs=15, **params).fit(train)
        return evaluate(one.model_, test, exclude=[train], ks=(10,)).recall[10]

    with pytest.warns(UserWarning, match=AS_COUNTS):
        default = recall()
    ones = recall(weighting="binary")
    assert default > 0.9 * ones
    assert recall(weighting="linear") < 0.75 * ones


# --- new users ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def item_vectors() -> np.ndarray:
    found: np.ndarray = trainer(n_epochs=5).fit(LIKES).model_.item_vectors
    return found


def model_with(item_vectors: np.ndarray, loss: str, **hyperparameters: Any) -> Model:
    temperature = {"temperature": 0.3} if loss == "softmax" else {}
    return Model(
        item_vectors[:1],
        item_vectors,
        hyperparameters={"loss": loss, "n_negatives": 5, **temperature, **hyperparameters},
    )


@pytest.mark.parametrize("loss", LOSSES)
def test_fold_in_does_not_depend_on_the_scale(item_vectors: np.ndarray, loss: str) -> None:
    model = model_with(item_vectors, loss)
    plain = model.fold_in_users(LIKES)
    for scale in (1e-30, 1e-6, 0.1, 1e30):
        found = model.fold_in_users(weighted(np.full(LIKES.nnz, scale)))
        np.testing.assert_array_equal(found, plain)
    one = model.fold_in_users(weighted(MODERATE))
    assert (one != plain).any()
    # Of each user alone, too.
    own = 2.0 ** RNG.integers(-40, 40, LIKES.shape[0])[user_of_pair(LIKES)]
    np.testing.assert_array_equal(model.fold_in_users(weighted(MODERATE * own)), one)


@pytest.mark.parametrize("weighting", WEIGHTINGS)
def test_fold_in_has_the_weighting_of_the_model(item_vectors: np.ndarray, weighting: str) -> None:
    likes = weighted(COUNTS)
    found = model_with(item_vectors, "softmax", weighting=weighting).fold_in_users(likes)
    linear = model_with(item_vectors, "softmax", weighting="linear")
    expected = linear.fold_in_users(weighted(by_hand(weighting, likes)))
    np.testing.assert_allclose(found, expected, atol=1e-4)
    # A model without a record takes the weights as they are, whatever their spread.
    unrecorded = model_with(item_vectors, "softmax").fold_in_users(likes)
    np.testing.assert_array_equal(unrecorded, linear.fold_in_users(likes))
    assert weighting == "linear" or not np.allclose(found, unrecorded, atol=1e-2)


def test_a_folded_in_user_ends_where_training_put_him(tmp_path: Path) -> None:
    """Nearer than with another weighting, also after the model was saved."""
    likes = synthetic(600, 400, 24_000, n_tastes=8).interactions.matrix
    likes = weighted(np.ceil(np.random.default_rng(1).lognormal(0, 2.4, likes.nnz)), likes)
    with pytest.warns(UserWarning, match=AS_COUNTS):
        one = trainer(n_dims=16, n_negatives=50, n_epochs=30).fit(likes)
    one.model_.save(tmp_path / "model")
    model = Model.load(tmp_path / "model")
    trained = model.user_vectors

    def mean_distance(placed: np.ndarray) -> float:
        return float(np.linalg.norm(placed - trained, axis=1).mean())

    own = mean_distance(model.fold_in_users(likes))
    record = {**model.hyperparameters, "weighting": "linear"}
    linear = Model(trained, model.item_vectors, hyperparameters=record)
    assert own < 0.5 * mean_distance(linear.fold_in_users(likes))


# --- checkpoints ----------------------------------------------------------------------------------


def test_resume_goes_on_with_the_same_weights(tmp_path: Path) -> None:
    def interrupt(one: Trainer, report: EpochReport) -> None:
        if report.epoch == 1:
            raise KeyboardInterrupt

    counts = weighted(COUNTS)
    with pytest.warns(UserWarning, match=AS_COUNTS):
        whole = trainer(n_epochs=4).fit(counts)
        with pytest.raises(KeyboardInterrupt):
            trainer(n_epochs=4).fit(counts, checkpoint=tmp_path / "c", callbacks=[interrupt])
        resumed = Trainer.resume(tmp_path / "c", counts)
    assert resumed.weighting_ == "saturating"
    assert_same(resumed, whole)


def test_resume_refuses_other_weights_but_not_another_scale(tmp_path: Path) -> None:
    one = trainer().fit(weighted(MODERATE), checkpoint=tmp_path / "c")
    assert_same(Trainer.resume(tmp_path / "c", weighted(MODERATE / 8)), one)
    with pytest.raises(DataError, match="made with other training data"):
        Trainer.resume(tmp_path / "c", LIKES)
