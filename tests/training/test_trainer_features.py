"""Training with features: networks that place objects by what is known of them."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from support.trainers import assert_same, trainer, vectors

from cml_fast import Model, Trainer
from cml_fast._compute.feature_network import FeatureNetwork
from cml_fast.data import Features, synthetic
from cml_fast.errors import DataError, ModelError, TrainingDiverged
from cml_fast.evaluation import evaluate

# Six tastes; whom an item is for decides its tags, and noise some more.
MADE = synthetic(300, 200, 6000, n_tastes=6)
LIKES = MADE.interactions.matrix


def tags(seed: int = 0) -> sp.csr_array:
    rng = np.random.default_rng(seed)
    n_items, n_tags = LIKES.shape[1], 60
    own = rng.permutation(60).reshape(6, 10)[MADE.item_tastes]
    dense = np.zeros((n_items, n_tags), dtype=np.float32)
    for item, likely in enumerate(own):
        dense[item, rng.choice(likely, 4, replace=False)] = 1
        dense[item, rng.integers(n_tags)] = 1
    return sp.csr_array(dense)


TAGS = tags()
OPTIONS = {
    "n_dims": 16,
    "n_epochs": 6,
    "feature_interval": 300,
    "feature_weight": 10.0,
    "n_hidden": 32,
}


def fitted(train: Any = LIKES, *, item_features: Any = TAGS, **params: Any) -> Trainer:
    return trainer(**{**OPTIONS, **params}).fit(train, item_features=item_features)


def distance_to_network(model: Model, features: Any = TAGS) -> float:
    return float(np.square(model.embed_items(features) - model.item_vectors).sum(axis=1).mean())


# --- what is learned --------------------------------------------------------------------------


@pytest.mark.parametrize("update", ["sync", "async"])
def test_vectors_and_network_approach_each_other(device: str, update: str) -> None:
    apart = fitted(device=device, update=update, feature_weight=0.0)
    near = fitted(device=device, update=update)
    assert distance_to_network(near.model_) < 0.6 * distance_to_network(apart.model_)
    assert np.linalg.norm(vectors(near), axis=1).max() < 1 + 1e-6
    assert all(0 < report.seconds_between < report.seconds for report in near.history_)


def test_the_learning_rate_is_that_of_epoch_10() -> None:
    falling = fitted(learning_rate=0.4, learning_rate_decay=0.3)
    assert_same(falling, fitted(learning_rate=0.1, learning_rate_decay=0.0))


COLD = np.arange(LIKES.shape[1]) % 10 == 0


def without_likes_of(side: str, cold: np.ndarray) -> sp.csr_array:
    likes = sp.coo_array(LIKES)
    keep = ~cold[likes.row if side == "users" else likes.col]
    return sp.csr_array((likes.data[keep], (likes.row[keep], likes.col[keep])), shape=likes.shape)


def test_items_that_were_never_liked_are_found(device: str) -> None:
    """A tenth of the items is left out of training and placed by tags alone."""
    train, held_out = without_likes_of("items", COLD), without_likes_of("items", ~COLD)
    model = fitted(train, device=device, n_epochs=20, random_state=1).model_
    mixed = model.item_vectors.copy()
    mixed[COLD] = np.random.default_rng(0).permutation(mixed[COLD])
    found, by_chance = (
        evaluate(m, held_out, exclude=train, ks=(20,)).recall[20]
        for m in (model, Model(model.user_vectors, mixed))
    )
    assert found > 2 * by_chance


@pytest.mark.parametrize("side", ["users", "items"])
def test_those_without_likes_are_placed_by_features_and_teach_nothing(
    device: str, side: str
) -> None:
    tastes = MADE.user_tastes if side == "users" else MADE.item_tastes
    cold = np.arange(len(tastes)) % 10 == 0
    train = without_likes_of(side, cold)
    features = np.eye(6, dtype=np.float32)[tastes]
    others = features.copy()
    others[cold] = 9 - features[cold]
    models = [
        trainer(**{**OPTIONS, "device": device})
        .fit(train, **{f"{side[:-1]}_features": given})
        .model_
        for given in (features, others)
    ]
    for model, given in zip(models, (features, others), strict=True):
        own = model.user_vectors if side == "users" else model.item_vectors
        others_like_them = Model(own[~cold], own[~cold], networks={side: model._networks[side]})
        embed = getattr(others_like_them, f"embed_{side}")
        np.testing.assert_allclose(own[cold], embed(given[cold]), atol=1e-6)
    one, other = (
        [m.user_vectors[~cold], m.item_vectors]
        if side == "users"
        else [m.user_vectors, m.item_vectors[~cold]]
        for m in models
    )
    for mine, its in zip(one, other, strict=True):
        np.testing.assert_array_equal(mine, its)


def test_sparse_and_dense_features_are_the_same(device: str) -> None:
    dense = fitted(item_features=TAGS.toarray(), device=device, n_epochs=1)
    sparse = fitted(device=device, n_epochs=1)
    np.testing.assert_allclose(vectors(dense), vectors(sparse), atol=2e-3)


def test_the_numbers_of_all_columns_are_made_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Dense features take all, as do those on a GPU, to which a copy in each step takes time."""
    seen = []
    real = FeatureNetwork.part

    def part(network: FeatureNetwork, columns: Any, groups: Any) -> FeatureNetwork:
        seen.append(columns)
        return real(network, columns, groups)

    monkeypatch.setattr(FeatureNetwork, "part", part)
    fitted(item_features=TAGS.toarray(), n_epochs=1)
    assert len(seen) > 5
    assert all(columns is seen[0] for columns in seen)


def test_items_without_features_are_left_alone() -> None:
    features = TAGS.toarray()
    features[7] = 0
    lone = sp.csr_array(([1.0], ([0], [5])), shape=LIKES.shape)
    start = fitted(lone, item_features=features, feature_weight=0.0, n_epochs=4).model_
    moved = fitted(lone, item_features=features, n_epochs=4).model_
    still = np.flatnonzero((start.item_vectors == moved.item_vectors).all(axis=1))
    assert still.tolist() == [7]


def test_features_of_users(device: str) -> None:
    users = sp.csr_array(np.eye(6, dtype=np.float32)[MADE.user_tastes])
    one = trainer(**{**OPTIONS, "device": device}).fit(LIKES, user_features=users)
    placed = one.model_.embed_users(users)
    assert placed.shape == one.model_.user_vectors.shape
    rest = np.square(placed - one.model_.user_vectors).sum()
    assert rest < 0.8 * np.square(one.model_.user_vectors).sum()


def test_it_repeats() -> None:
    assert_same(fitted(), fitted())
    assert not np.array_equal(vectors(fitted(random_state=1)), vectors(fitted()))
    assert not np.array_equal(vectors(fitted(feature_weight=9.0)), vectors(fitted()))


def test_warm_up_begins_anew() -> None:
    """After it the vectors are where the network had placed them, and are trained from there."""
    plain, anew = fitted(feature_weight=1e-9), fitted(feature_weight=1e-9, feature_warm_up=5)
    assert distance_to_network(anew.model_) < 0.9 * distance_to_network(plain.model_)
    assert [r.loss for r in plain.history_[:5]] == [r.loss for r in anew.history_[:5]]
    assert plain.history_[5].loss < anew.history_[5].loss
    sums = [one._state.tables.arrays["item_accumulators"].sum() for one in (plain, anew)]
    assert sums[1] < 0.5 * sums[0]  # five epochs of them were forgotten


def test_divergence() -> None:
    with pytest.raises(TrainingDiverged):
        fitted(feature_weight=1e30)
    with pytest.raises(TrainingDiverged):
        fitted(feature_learning_rate=1e30)


# --- going on ---------------------------------------------------------------------------------


class Stop(Exception):
    pass


def stop_after(epoch: int) -> Any:
    def callback(_: Trainer, report: Any) -> None:
        if report.epoch == epoch:
            raise Stop

    return callback


def networks(one: Trainer) -> dict[str, np.ndarray]:
    return {
        f"{side}.{name}": array
        for side, network in one._state.networks.items()
        for name, array in network.to_arrays().items()
    }


@pytest.mark.parametrize("validated", [False, True])
def test_resumed_ends_like_uninterrupted(tmp_path: Path, validated: bool) -> None:
    options: dict[str, Any] = {"item_features": TAGS}
    if validated:
        liked = LIKES.toarray() != 0
        options["validation"] = sp.csr_array((liked[:, ::-1] & ~liked).astype(np.float32))
    expected = trainer(**OPTIONS).fit(LIKES, **options)
    with pytest.raises(Stop):
        trainer(**OPTIONS).fit(
            LIKES,
            **options,
            checkpoint=tmp_path / "run",
            checkpoint_every=0.3,
            callbacks=[stop_after(2)],
        )
    resumed = Trainer.resume(tmp_path / "run", LIKES, **options)
    assert_same(resumed, expected)
    for name, array in networks(expected).items():
        np.testing.assert_array_equal(networks(resumed)[name], array)
    other = {**options, "item_features": tags(1)}
    with pytest.raises(DataError, match="made with other item feature data"):
        Trainer.resume(tmp_path / "run", LIKES, **other)
    with pytest.raises(DataError, match="made with item feature data, and none is given now"):
        Trainer.resume(tmp_path / "run", LIKES, **{**options, "item_features": None})


def test_the_best_epoch_has_its_network() -> None:
    """Vectors that nothing trains any more: the first epoch stays the best, the network goes on."""
    liked = LIKES.toarray() != 0
    validation = sp.csr_array((liked[:, ::-1] & ~liked).astype(np.float32))
    placed = []
    one = trainer(**{**OPTIONS, "learning_rate": 1e-9, "patience": None})
    one.fit(
        LIKES,
        validation=validation,
        item_features=TAGS,
        callbacks=[lambda trainer, _: placed.append(trainer.model_.embed_items(TAGS))],
    )
    assert one.best_epoch_ == 0
    np.testing.assert_array_equal(one.model_.embed_items(TAGS), placed[0])
    assert not np.array_equal(placed[0], placed[-1])


def test_the_best_epoch_has_its_places_of_items_without_likes() -> None:
    train, held_out = without_likes_of("items", COLD), without_likes_of("items", ~COLD)
    places = []
    one = trainer(
        **{**OPTIONS, "learning_rate": 1e-9, "patience": None, "feature_learning_rate": 0.1}
    ).fit(
        train,
        validation=held_out,
        item_features=TAGS,
        callbacks=[lambda trainer, _: places.append(trainer.model_.item_vectors.copy())],
    )
    assert one.best_epoch_ < 5
    np.testing.assert_array_equal(one.model_.item_vectors, places[one.best_epoch_])


def test_warm_start_keeps_the_network() -> None:
    one = trainer(**OPTIONS, warm_start=True)
    one.n_epochs = 3
    one.fit(LIKES, item_features=TAGS).fit(LIKES, item_features=TAGS)
    assert_same(one, fitted())
    with pytest.raises(ValueError, match="goes on with a network for 60 features of items"):
        one.fit(LIKES, item_features=TAGS[:, :50])


# --- the model --------------------------------------------------------------------------------


def test_saved_and_loaded(tmp_path: Path) -> None:
    model = fitted().model_
    model.save(tmp_path / "model")
    loaded = Model.load(tmp_path / "model")
    np.testing.assert_array_equal(loaded.embed_items(TAGS), model.embed_items(TAGS))
    with pytest.raises(ValueError, match="not trained with features of users"):
        loaded.embed_users(TAGS)


def test_damaged_networks(tmp_path: Path) -> None:
    fitted().model_.save(tmp_path / "model")
    (file,) = (tmp_path / "model").glob("networks*")
    file.write_bytes(file.read_bytes()[:-4])
    with pytest.raises(ModelError, match="networks"):
        Model.load(tmp_path / "model")


def test_added_items_are_recommended() -> None:
    model = fitted().model_
    with_twin = model.add_items([1000], TAGS[[7]])
    assert with_twin.item_ids.tolist() == [*range(200), 1000]
    np.testing.assert_array_equal(with_twin.item_vectors[:200], model.item_vectors)
    found, _ = with_twin.recommend(np.arange(300), n=20)
    assert (found == 200).any()
    assert with_twin.add_items([1001], TAGS[[8]]).item_ids[-1] == 1001
    with pytest.raises(ValueError, match="7"):
        model.add_items([7], TAGS[[7]])
    with pytest.raises(ValueError, match="one for each row"):
        model.add_items([1000, 1001], TAGS[[7]])


# --- what cannot be ---------------------------------------------------------------------------


def with_value(value: float) -> sp.csr_array:
    features = TAGS.copy()
    features.data[3] = value
    return features


@pytest.mark.parametrize(
    ("features", "error", "message"),
    [
        (TAGS[:199], DataError, "item_features must have 200 rows, got 199"),
        (TAGS.toarray()[:199], DataError, "item_features must have 200 rows"),
        (with_value(np.nan), DataError, "item_features"),
        (with_value(np.inf), DataError, "item_features"),
        (with_value(np.nan).toarray(), DataError, "item_features must be finite"),
        (sp.csr_array((200, 9)), DataError, "at least one feature"),
        (np.zeros((200, 9)), DataError, "at least one feature"),
        (np.zeros((200, 0)), DataError, "a column at least"),
        ([["a"]] * 200, TypeError, "item_features must be a scipy.sparse matrix or"),
        ("tags.csv", TypeError, "item_features must be .* cml_fast.data.load_features reads files"),
    ],
)
def test_bad_features(features: Any, error: type[Exception], message: str) -> None:
    one = trainer(**OPTIONS)
    with pytest.raises(error, match=message):
        one.fit(LIKES, item_features=features)
    assert not hasattr(one, "model_")


@pytest.mark.parametrize("dense", [False, True])
def test_features_of_none_that_has_likes(dense: bool) -> None:
    features = sp.csr_array(sp.dia_array((COLD[None].astype(np.float32), [0]), shape=(200, 200)))
    features.eliminate_zeros()
    one = trainer(**OPTIONS)
    with pytest.raises(DataError, match="item_features must describe some of the items that have"):
        one.fit(
            without_likes_of("items", COLD),
            item_features=features.toarray() if dense else features,
        )
    assert not hasattr(one, "model_")


def test_features_of_other_items() -> None:
    likes = MADE.interactions
    features = Features(TAGS, likes.item_ids, np.arange(60))
    trainer(**OPTIONS).fit(likes, item_features=features)
    other = dataclasses.replace(features, ids=likes.item_ids[::-1])
    with pytest.raises(DataError, match="item_features must have the ids of train"):
        trainer(**OPTIONS).fit(likes, item_features=other)


@pytest.mark.parametrize(
    "params",
    [
        {"feature_weight": -1.0},
        {"feature_learning_rate": 0.0},
        {"feature_interval": 0},
        {"feature_warm_up": -1},
        {"n_hidden": 0},
    ],
    ids=str,
)
def test_bad_hyperparameters(params: dict[str, Any]) -> None:
    (name,) = params
    with pytest.raises(ValueError, match=f"{name} must be"):
        fitted(**params)
