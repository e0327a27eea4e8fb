"""The model in RecTools' cross-validation, configs and recommendations."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from implicit.als import AlternatingLeastSquares
from rectools import Columns
from rectools.dataset import Dataset
from rectools.metrics import NDCG, Recall
from rectools.model_selection import TimeRangeSplitter, cross_validate
from rectools.models import ImplicitALSWrapperModel, PopularModel, load_model, model_from_config

import cml_fast
from cml_fast.data import load_interactions
from cml_fast.integrations.rectools import CMLModel

SETTINGS = {"n_dims": 32, "n_epochs": 15, "temperature": 0.3}


def test_the_package_works_with_this_numpy():
    assert np.__version__.startswith("1.26."), "RecTools allows NumPy 2 now: tidy this up"
    data = load_interactions(
        Path("data/ml-latest-small/ratings.csv"),
        user="userId",
        item="movieId",
        rating="rating",
        min_rating=4,
    )
    assert data.matrix.nnz > 10_000
    assert cml_fast.build_info()["version"] == cml_fast.__version__


@pytest.fixture(scope="module")
def interactions(ratings: pd.DataFrame) -> pd.DataFrame:
    liked = ratings[ratings.rating >= 4].rename(
        columns={"userId": Columns.User, "movieId": Columns.Item, "timestamp": Columns.Datetime}
    )
    liked[Columns.Datetime] = pd.to_datetime(liked[Columns.Datetime], unit="s")
    return liked.assign(**{Columns.Weight: 1.0}).drop(columns="rating")


@pytest.fixture(scope="module")
def dataset(interactions: pd.DataFrame) -> Dataset:
    return Dataset.construct(interactions)


@pytest.fixture(scope="module")
def model(dataset: Dataset) -> CMLModel:
    return CMLModel(**SETTINGS).fit(dataset)


def test_cross_validation_finds_it_better_than_popularity(interactions):
    # Random times: whole users of MovieLens rate within a day, and would be cold.
    shuffled = interactions.copy()
    days = np.random.default_rng(0).integers(100, size=len(shuffled))
    shuffled[Columns.Datetime] = pd.Timestamp("2020-01-01") + pd.to_timedelta(days, unit="D")
    als = ImplicitALSWrapperModel(AlternatingLeastSquares(32, iterations=15, random_state=0))
    found = cross_validate(
        dataset=Dataset.construct(shuffled),
        splitter=TimeRangeSplitter("10D", n_splits=2),
        models={"cml": CMLModel(**SETTINGS), "als": als, "popular": PopularModel()},
        metrics={"recall": Recall(k=10), "ndcg": NDCG(k=10)},
        k=10,
        filter_viewed=True,
    )
    recall = pd.DataFrame(found["metrics"]).groupby("model")["recall"].mean()
    print(f"\nRecall@10 in RecTools: {recall.round(3).to_dict()}")
    assert recall["cml"] > 1.2 * recall["popular"]
    assert recall["cml"] > 0.7 * recall["als"]


def ids_of(dataset: Dataset, rows: np.ndarray) -> list[int]:
    return dataset.item_id_map.convert_to_external(rows.ravel()).tolist()


def test_recommendations_are_those_of_the_model(dataset, model):
    users = dataset.user_id_map.external_ids[:20]
    recos = model.recommend(users, dataset, k=10, filter_viewed=True)
    likes = dataset.get_user_item_matrix(include_weights=False)
    rows, distances = model.model.recommend(np.arange(20), 10, exclude=likes)
    assert recos[Columns.Item].tolist() == ids_of(dataset, rows)
    assert np.allclose(recos[Columns.Score], -distances.ravel())
    viewed = model.recommend(users, dataset, k=10, filter_viewed=False)
    rows, _ = model.model.recommend(np.arange(20), 10)
    assert viewed[Columns.Item].tolist() == ids_of(dataset, rows)


def test_only_listed_items_are_recommended(dataset, model):
    users, listed = dataset.user_id_map.external_ids[:20], dataset.item_id_map.external_ids[50:57]
    recos = model.recommend(users, dataset, k=10, filter_viewed=True, items_to_recommend=listed)
    assert set(recos[Columns.Item]) <= set(listed)
    viewed = dataset.get_user_item_matrix(include_weights=False)[:20, 50:57]
    assert len(recos) == 20 * 7 - viewed.nnz  # all that exist, fewer than k


def test_items_are_similar_to_others(dataset, model):
    items = dataset.item_id_map.external_ids[:20]
    recos = model.recommend_to_items(items, dataset, k=5)
    rows, _ = model.model.similar_items(np.arange(20), 5)
    assert recos[Columns.Item].tolist() == ids_of(dataset, rows)
    listed = dataset.item_id_map.external_ids[50:57]
    among = model.recommend_to_items(items, dataset, k=3, items_to_recommend=listed)
    assert set(among[Columns.Item]) <= set(listed)
    with_itself = model.recommend_to_items(items, dataset, k=1, filter_itself=False)
    assert with_itself[Columns.Item].tolist() == items.tolist()


def test_unknown_users_are_refused(dataset, model):
    with pytest.raises(ValueError, match="cold"):
        model.recommend([-5], dataset, k=5, filter_viewed=True)


def test_fitting_again_begins_anew(dataset, model):
    again = CMLModel(**SETTINGS).fit(dataset).fit(dataset)
    assert np.array_equal(again.model.user_vectors, model.model.user_vectors)


def test_a_config_makes_the_same_model_again():
    default = CMLModel()
    assert CMLModel.from_config({}).get_config() == default.get_config()
    config = CMLModel(**SETTINGS, verbose=1).get_config(simple_types=True)
    assert config["cls"] == "cml_fast.integrations.rectools.CMLModel"
    made = model_from_config(json.loads(json.dumps(config)))
    assert type(made) is CMLModel
    assert made.get_config(simple_types=True) == config
    assert made.get_params()["n_dims"] == 32
    with pytest.raises(ValueError, match="n_dim\n"):
        CMLModel.from_config({"n_dim": 3})


def test_a_saved_model_recommends_the_same(dataset, model, tmp_path):
    model.save(tmp_path / "model.pkl")
    users = dataset.user_id_map.external_ids[:20]
    wanted = model.recommend(users, dataset, k=5, filter_viewed=True)
    found = load_model(tmp_path / "model.pkl").recommend(users, dataset, k=5, filter_viewed=True)
    pd.testing.assert_frame_equal(found, wanted)


def test_weights_of_the_dataset_are_weights_of_the_likes(interactions, dataset):
    weights = np.where(np.arange(len(interactions)) % 2, 1.0, 5.0)
    weighted = Dataset.construct(interactions.assign(**{Columns.Weight: weights}))
    one = CMLModel(**{**SETTINGS, "n_epochs": 1})
    vectors = one.fit(dataset).model.item_vectors
    assert not np.array_equal(one.fit(weighted).model.item_vectors, vectors)
