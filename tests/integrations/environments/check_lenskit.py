"""The component in LensKit's own pipelines, batch runner, metrics and conformance tests."""

from __future__ import annotations

import pickle
from typing import ClassVar

import numpy as np
import pandas as pd
import pytest
from lenskit.als import ImplicitMFScorer
from lenskit.basic import PopScorer
from lenskit.batch import recommend
from lenskit.data import ItemList, RecQuery, from_interactions_df
from lenskit.metrics import NDCG, Recall, RunAnalysis
from lenskit.pipeline import topn_pipeline
from lenskit.splitting import SampleFrac, sample_users
from lenskit.testing import (  # its tests, and the fixtures that they need
    BasicComponentTests,
    ScorerTests,
    ml_100k,  # noqa: F401
    ml_ds,  # noqa: F401
    ml_ds_unchecked,  # noqa: F401
    ml_ratings,  # noqa: F401
)
from lenskit.training import TrainingOptions

from cml_fast.integrations.lenskit import CMLConfig, CMLScorer

SETTINGS = {"n_dims": 32, "n_epochs": 15, "temperature": 0.3}


@pytest.fixture
def rng():
    return np.random.default_rng(0)


class TestConformance(BasicComponentTests, ScorerTests):
    """The tests that LensKit publishes for components and scorers."""

    component = CMLScorer
    config = CMLConfig(**{**SETTINGS, "n_epochs": 2})
    configs: ClassVar = [{}, SETTINGS, {"loss": "warp", "margin": 0.5}]

    def verify_models_equivalent(self, orig, copy):
        assert np.array_equal(orig.model.user_vectors, copy.model.user_vectors)


@pytest.fixture(scope="module")
def likes(ratings: pd.DataFrame) -> pd.DataFrame:
    liked = ratings[ratings.rating >= 4]
    return liked.rename(columns={"userId": "user_id", "movieId": "item_id"})


@pytest.fixture(scope="module")
def split(likes):
    data = from_interactions_df(likes[["user_id", "item_id", "rating"]])
    return sample_users(data, 150, SampleFrac(0.2, rng=1), rng=1)


@pytest.fixture(scope="module")
def pipeline(split):
    made = topn_pipeline(CMLScorer(**SETTINGS))
    made.train(split.train)
    return made


def ndcg(pipeline, split) -> float:
    analysis = RunAnalysis()
    analysis.add_metric(NDCG(n=20))
    analysis.add_metric(Recall(n=20))
    results = analysis.measure(recommend(pipeline, split.test, n=20), split.test)
    return float(results.list_summary().loc["NDCG@20", "mean"])


def test_the_batch_runner_and_the_metrics_find_it_better_than_popularity(pipeline, split):
    popular = topn_pipeline(PopScorer())
    popular.train(split.train)
    als = topn_pipeline(ImplicitMFScorer(embedding_size=32, epochs=15))
    als.train(split.train)
    ours, theirs = ndcg(pipeline, split), ndcg(als, split)
    print(f"\nNDCG@20 in LensKit: CML {ours:.3f}, its ImplicitMF {theirs:.3f}")
    assert ours > 1.2 * ndcg(popular, split)
    assert ours > 0.7 * theirs


def test_recommendations_are_those_of_the_model(pipeline, split):
    scorer = pipeline.component("scorer")
    user = next(iter(split.test))[0].user_id
    row = scorer.users.number(user)
    likes = split.train.interactions().matrix().scipy(layout="csr")
    rows, distances = scorer.model.recommend(row, 10, exclude=likes)
    [(_, found)] = list(recommend(pipeline, [user], n=10))
    assert found.ids().tolist() == scorer.items.ids(rows).tolist()
    assert np.allclose(found.scores(), -distances)


def test_a_new_user_is_placed_by_the_items_of_the_query(pipeline, split):
    scorer = pipeline.component("scorer")
    likes = split.train.interactions().matrix().scipy(layout="csr")
    row = int(np.argmax(np.diff(likes.indptr)))  # the user with the most likes
    history = ItemList(item_nums=likes[[row]].indices, vocabulary=scorer.items)
    everything = ItemList.from_vocabulary(scorer.items)
    known = scorer(RecQuery(user_id=scorer.users.id(row)), everything).scores()
    new = scorer(RecQuery(user_id=-5, history_items=history), everything).scores()
    assert not np.array_equal(known, new)
    assert np.corrcoef(known, new)[0, 1] > 0.8
    nobody = scorer(RecQuery(user_id=-5), everything).scores()
    assert np.isnan(nobody).all()


def test_a_pickled_pipeline_recommends_the_same(pipeline, split):
    again = pickle.loads(pickle.dumps(pipeline))
    for (key, ours), (_, theirs) in zip(
        recommend(pipeline, split.test, n=5), recommend(again, split.test, n=5), strict=True
    ):
        assert ours.ids().tolist() == theirs.ids().tolist(), key


def test_the_weight_is_an_attribute_of_the_interactions(split):
    def trained(**settings):
        scorer = CMLScorer(**{**SETTINGS, "n_epochs": 1}, **settings)
        scorer.train(split.train, TrainingOptions())
        return scorer.model.item_vectors

    assert not np.array_equal(trained(weight="rating"), trained())


def test_options_of_training_are_passed_on(split):
    def trained(**options):
        scorer = CMLScorer(**{**SETTINGS, "n_epochs": 1})
        scorer.train(split.train, TrainingOptions(**options))
        return scorer.model.item_vectors

    assert not np.array_equal(trained(rng=5), trained())
    assert np.array_equal(trained(rng=5), trained(rng=5))
    with pytest.raises(ValueError, match="device"):
        trained(device="abacus")


def test_an_unknown_option_is_refused():
    with pytest.raises(ValueError, match="n_dim\n"):
        CMLScorer(n_dim=3)
