"""The recommender in Cornac's experiments, searches and approximate search."""

from __future__ import annotations

import numpy as np
import pytest
from cornac import Experiment
from cornac.eval_methods import RatioSplit
from cornac.exception import ScoreException
from cornac.hyperopt import Discrete, GridSearch
from cornac.metrics import NDCG, Recall
from cornac.models import BPR, FaissANN, MostPop, Recommender

from cml_fast.integrations.cornac import CML

SETTINGS = {"n_dims": 32, "n_epochs": 15, "temperature": 0.3}


@pytest.fixture(scope="module")
def split(ratings):
    liked = ratings[ratings.rating >= 4].astype({"userId": str, "movieId": str})
    triplets = list(liked[["userId", "movieId", "rating"]].itertuples(index=False, name=None))
    return RatioSplit(triplets, test_size=0.2, val_size=0.1, rating_threshold=4, seed=0)


@pytest.fixture(scope="module")
def model(split):
    return CML(**SETTINGS).fit(split.train_set)


def test_an_experiment_ranks_it_beside_its_own_models(split, capsys):
    models = [MostPop(), BPR(k=32, max_iter=50, num_threads=1, seed=0), CML(**SETTINGS)]
    experiment = Experiment(split, models, metrics=[Recall(k=20), NDCG(k=20)], user_based=True)
    experiment.run()
    recall = {
        result.model_name: result.metric_avg_results["Recall@20"] for result in experiment.result
    }
    with capsys.disabled():
        print(f"\nRecall@20 in Cornac: { {name: round(x, 3) for name, x in recall.items()} }")
    assert recall["CML"] > 1.2 * recall["MostPop"]
    assert recall["CML"] > recall["BPR"] * 0.8


def test_scores_are_negative_distances(split, model):
    vectors = model.model
    wanted = -np.linalg.norm(vectors.item_vectors - vectors.user_vectors[3], axis=1)
    assert np.allclose(model.score(3), wanted, atol=1e-6)
    assert model.score(3, 5) == pytest.approx(wanted[5], abs=1e-6)


def test_recommendations_are_those_of_the_model(split, model):
    rows, _ = model.model.recommend(3, 10, exclude=split.train_set.csr_matrix)
    wanted = [model.item_ids[row] for row in rows]
    found = model.recommend(model.user_ids[3], k=10, remove_seen=True, train_set=split.train_set)
    assert found == wanted


def test_users_and_items_that_training_did_not_have_get_no_score(model):
    with pytest.raises(ScoreException):
        model.score(10**6)
    with pytest.raises(ScoreException):
        model.score(0, 10**6)


def test_a_search_finds_hyperparameters_by_their_names(split):
    searched = GridSearch(
        model=CML(**{**SETTINGS, "n_epochs": 3}),
        space=[Discrete("n_dims", [2, 32])],
        metric=Recall(k=20),
        eval_method=split,
    )
    searched.fit(split.train_set, split.val_set)
    assert searched.best_params == {"n_dims": 32}


def test_a_clone_has_the_same_hyperparameters():
    model = CML("mine", loss="warp", margin=0.7, verbose=True)
    clone = model.clone({"n_dims": 7})
    assert (clone.name, clone.loss, clone.margin, clone.n_dims) == ("mine", "warp", 0.7, 7)
    assert clone.verbose


def test_validation_chooses_the_epoch(split, model):
    validated = CML(**{**SETTINGS, "patience": 1, "n_epochs": 40})
    validated.fit(split.train_set, split.val_set)
    unvalidated = CML(**{**SETTINGS, "patience": 1, "n_epochs": 40}).fit(split.train_set)
    assert not np.array_equal(validated.model.user_vectors, unvalidated.model.user_vectors)


def test_a_saved_model_scores_the_same(model, tmp_path):
    file = model.save(tmp_path)
    assert np.array_equal(Recommender.load(file).score(3), model.score(3))


def test_approximate_search_of_cornac_finds_nearly_the_same(split, model):
    approximate = FaissANN(model=model, nlist=10, nprobe=10, seed=0)
    approximate.fit(split.train_set)
    approximate.build_index()
    common = 0
    for user in range(20):
        found = approximate.recommend(model.user_ids[user], k=10)
        rows, _ = model.model.recommend(user, 10)
        common += len({*found} & {model.item_ids[row] for row in rows})
    assert common >= 0.9 * 200


def test_an_unknown_hyperparameter_is_refused():
    with pytest.raises(TypeError, match="n_dim"):
        CML(n_dim=3)
