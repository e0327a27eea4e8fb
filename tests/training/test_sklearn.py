"""scikit-learn, for real: searches, pipelines, routing of features, copies, and its own checks."""

from __future__ import annotations

import copy
import dataclasses
import io
import pickle
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from support.trainers import assert_same, trainer

from cml_fast import Trainer
from cml_fast.data import Interactions, split, synthetic
from cml_fast.errors import DataError
from cml_fast.evaluation import evaluate
from cml_fast.model_selection import Pairs, RankingScore, WeightTransformer

sklearn = pytest.importorskip("sklearn")
from sklearn.base import clone  # noqa: E402
from sklearn.exceptions import NotFittedError  # noqa: E402
from sklearn.model_selection import (  # noqa: E402
    GridSearchCV,
    KFold,
    RandomizedSearchCV,
    ShuffleSplit,
    cross_val_score,
    cross_validate,
    train_test_split,
)
from sklearn.pipeline import Pipeline, make_pipeline  # noqa: E402
from sklearn.utils.validation import check_is_fitted  # noqa: E402


def version() -> tuple[int, ...]:
    return tuple(int(part) for part in sklearn.__version__.split(".")[:2])


needs_tags = pytest.mark.skipif(version() < (1, 6), reason="tags are objects from 1.6 on")
needs_routing = pytest.mark.skipif(version() < (1, 4), reason="searches route from 1.4 on")


LIKES = synthetic(60, 200, 1500).interactions
TRAIN, TEST = split(LIKES, (0.8, 0.2))
FEATURES = np.eye(200, 5, dtype=np.float32)
GRID = {"n_dims": [1, 12]}


def pairs_of(likes: Any) -> set[tuple[int, int]]:
    matrix = likes.matrix if isinstance(likes, Interactions) else likes
    return set(zip(*(part.tolist() for part in matrix.nonzero()), strict=True))


# fit and what needs it


def test_fit_takes_and_ignores_y() -> None:
    assert_same(trainer().fit(TRAIN, None), trainer().fit(TRAIN))
    assert_same(trainer().fit(TRAIN, np.zeros(60)), trainer().fit(TRAIN))
    assert_same(trainer().fit(Pairs(TRAIN)), trainer().fit(TRAIN))


@pytest.mark.parametrize("y", [TEST, TEST.matrix, Pairs(TEST)])
def test_likes_as_y_are_a_mistake(y: Any) -> None:
    with pytest.raises(TypeError, match=r"second argument of fit is y.*validation="):
        trainer().fit(TRAIN, y)


def test_validation_may_be_pairs() -> None:
    one = trainer().fit(TRAIN, validation=Pairs(TEST))
    assert_same(one, trainer().fit(TRAIN, validation=TEST))
    assert one.history_[0].recall is not None


def test_resume_takes_pairs(tmp_path: Path) -> None:
    begun = trainer(n_epochs=4).fit(TRAIN, checkpoint=tmp_path, callbacks=[lambda *_: True])
    assert Trainer.resume(tmp_path, Pairs(TRAIN)).score(Pairs(TEST)) == begun.score(TEST)


NEEDS_FIT: dict[str, Callable[[Trainer], Any]] = {
    "score": lambda one: one.score(TEST),
    "transform": lambda one: one.transform(LIKES),
    "get_feature_names_out": lambda one: one.get_feature_names_out(),
    "check_is_fitted": check_is_fitted,
}


@pytest.mark.parametrize("name", NEEDS_FIT)
def test_before_fit(name: str) -> None:
    with pytest.raises(NotFittedError, match=r"(?i)this Trainer"):
        NEEDS_FIT[name](trainer())
    NEEDS_FIT[name](trainer().fit(LIKES))


WITHOUT = """\
import sys
from cml_fast import Trainer
from cml_fast.data import split, synthetic
train, test = split(synthetic(60, 200, 1500).interactions, (0.8, 0.2))
one = Trainer(n_dims=4, n_epochs=1, temperature=0.3, device="cpu", verbose=False)
try:
    one.score(test)
except ValueError as error:
    print(type(error).__name__, error)
one.fit(train).score(test)
one.transform(train)
print([name for name in ("sklearn", "optuna") if name in sys.modules])
"""


def test_scikit_learn_is_not_imported() -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines() == [
        "ValueError this Trainer has learned nothing yet: call fit first",
        "[]",
    ]


def test_transform_places_users_by_their_likes() -> None:
    one = trainer().fit(LIKES)
    placed = one.model_.fold_in_users(TEST.matrix[:5])
    np.testing.assert_array_equal(one.transform(TEST.matrix[:5]), placed)
    np.testing.assert_array_equal(one.transform(Pairs(TEST.matrix[:5])), placed)
    np.testing.assert_array_equal(trainer().fit_transform(LIKES), one.transform(LIKES))
    assert one.n_features_in_ == 200
    names = one.get_feature_names_out()
    assert names.dtype == object
    assert names.tolist() == [f"trainer{i}" for i in range(8)]


# score


@pytest.mark.parametrize("convert", [lambda x: x, lambda x: x.matrix, Pairs])
def test_score_ranks_held_out_likes(convert: Any) -> None:
    one = trainer(n_epochs=5).fit(convert(TRAIN))
    expected = evaluate(one.model_, TEST.matrix, exclude=TRAIN.matrix, ks=[3, 50])
    assert one.score(convert(TEST)) == expected.recall[50]
    assert one.score(convert(TEST), metric="ndcg", k=3) == expected.ndcg[3]
    assert expected.ndcg[3] != expected.recall[50]


def test_score_of_training_likes_leaves_out_only_the_others() -> None:
    one = trainer(n_epochs=5).fit(TRAIN)
    assert one.score(TRAIN, k=10) == evaluate(one.model_, TRAIN, ks=[10]).recall[10]
    part = Pairs(TRAIN)[::2]
    rest = Pairs(TRAIN)[1::2]
    expected = evaluate(one.model_, part.likes, exclude=rest.likes, ks=[10])
    assert one.score(part, k=10) == expected.recall[10]


def test_score_refuses_likes_that_are_partly_of_the_training() -> None:
    """What happens where a matrix is divided into equal halves of users."""
    n = len(pairs_of(LIKES)), len(pairs_of(TRAIN))
    with pytest.raises(DataError, match=f"X has {n[1]} likes .* and {n[0] - n[1]} others"):
        trainer().fit(TRAIN).score(LIKES)


def test_score_of_new_users_hides_a_fifth_of_their_likes() -> None:
    one = trainer(n_epochs=5).fit(LIKES.matrix[:40])
    new = LIKES.matrix[40:]
    known, hidden = split(new, (0.8, 0.2), min_interactions=2)
    assert hidden.nnz > 10
    placed = one.model_.fold_in_users(known)
    rows, _ = one.model_.recommend_from_vectors(placed, 10, exclude=known)
    recalls = [
        np.isin(hidden[[user]].indices, rows[user]).mean()
        for user in np.flatnonzero(np.diff(hidden.indptr))
    ]
    assert one.score(new, k=10) == pytest.approx(np.mean(recalls))
    assert one.score(new) == one.score(new)


def test_score_of_new_users_by_their_ids() -> None:
    """As many users as in training, but others; their items are found by their ids."""
    first = Interactions(LIKES.matrix[:30], LIKES.user_ids[:30], LIKES.item_ids)
    second = Interactions(LIKES.matrix[30:], LIKES.user_ids[30:], LIKES.item_ids)
    one = trainer(n_epochs=5).fit(first)
    expected = trainer(n_epochs=5).fit(first.matrix).score(vstack(second, first)[:31], k=10)
    turned = Interactions(second.matrix[:, ::-1], second.user_ids, LIKES.item_ids[::-1])
    assert one.score(second, k=10) == one.score(turned, k=10)
    assert one.score(second, k=10) == pytest.approx(expected, abs=0.1)
    with pytest.raises(DataError, match="30 users of the training and 30 new ones"):
        one.score(LIKES)
    with pytest.raises(DataError, match="10 users of the training and 0 new ones, of 30"):
        one.score(Interactions(LIKES.matrix[:10], LIKES.user_ids[:10], LIKES.item_ids))


def vstack(*likes: Interactions) -> sp.csr_array:
    return sp.csr_array(sp.vstack([one.matrix for one in likes]))


def one_like_each() -> sp.csr_array:
    return sp.csr_array((np.ones(3), ([0, 1, 2], [3, 4, 5])), shape=(3, 200))


@pytest.mark.parametrize(
    ("arguments", "options", "error", "message"),
    [
        ((TEST,), {"metric": "recal"}, ValueError, r"metric must be one of .*'recall'"),
        ((TEST,), {"k": 0}, ValueError, "k must be at least 1, got 0"),
        ((np.eye(60, 200),), {}, TypeError, "X must be a scipy.sparse matrix.*csr_array"),
        ((TEST.matrix[:, :30],), {}, DataError, r"X must have shape \(60, 200\)"),
        ((TEST.matrix[:9, :30],), {}, DataError, r"X must have shape \(9, 200\)"),
        ((one_like_each(),), {}, DataError, "X has no likes to be found"),
        ((sp.csr_array((60, 200)),), {}, DataError, "X has no likes to be found"),
    ],
)
def test_what_cannot_be_scored(
    arguments: tuple[Any], options: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        trainer().fit(TRAIN).score(*arguments, **options)


# Likes as samples


def test_pairs_are_indexed_like_an_array() -> None:
    rows, columns = LIKES.matrix.nonzero()
    pairs = Pairs(LIKES)
    assert len(pairs) == 1500 and pairs.shape == (1500,)
    mask = np.arange(1500) % 7 == 0
    for key in (slice(3, 40, 2), [5, 2, 9], np.array([1499, 0]), mask, mask.tolist(), range(4)):
        chosen = np.sort(np.arange(1500)[key])
        expected = set(zip(rows[chosen].tolist(), columns[chosen].tolist(), strict=True))
        for part in (pairs[key], pairs[key, ...]):
            assert pairs_of(part.likes) == expected
            assert part.shape == (len(chosen),)
            assert part.likes.matrix.shape == (60, 200)
            np.testing.assert_array_equal(part.likes.user_ids, LIKES.user_ids)
    assert pairs_of(Pairs(LIKES.matrix)[[5, 2]].likes) == pairs_of(pairs[[5, 2]].likes)
    assert len(pairs) == 1500


def test_pairs_keep_weights_and_timestamps() -> None:
    matrix = sp.csr_array(LIKES.matrix.copy())
    matrix.data = np.arange(1, 1501, dtype=np.float32)
    part = Pairs(dataclasses.replace(LIKES, matrix=matrix, timestamps=np.arange(1500)))[[7, 3]]
    assert part.likes.matrix.data.tolist() == [4, 8]
    assert part.likes.timestamps.tolist() == [3, 7]


@pytest.mark.parametrize(
    ("act", "error", "message"),
    [
        (lambda: Pairs(np.eye(3)), TypeError, "likes must be a scipy.sparse matrix"),
        (lambda: Pairs(LIKES)[3], IndexError, "by a slice or by several positions, got 3"),
        (lambda: Pairs(LIKES)[[3, 1500]], IndexError, "1500"),
        (lambda: Pairs(LIKES)[[3, 3]], ValueError, "chosen only once"),
        (lambda: Pairs(LIKES).folds(split(LIKES)), TypeError, "put a single split into"),
        (lambda: Pairs(LIKES).folds([split(LIKES)]), ValueError, r"\(train, test\), got 3 parts"),
        (lambda: Pairs(LIKES).folds([LIKES]), TypeError, "put a single split into"),
        (lambda: Pairs(TRAIN).folds([(TRAIN, TEST)]), DataError, "test has pairs that are not"),
        (lambda: Pairs(TRAIN).folds([(TRAIN, 1)]), TypeError, "test must be a scipy.sparse"),
        (
            lambda: Pairs(LIKES).folds([(TRAIN.matrix[:9], TEST)]),
            DataError,
            r"train must have shape \(60, 200\)",
        ),
    ],
)
def test_what_pairs_refuse(act: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        act()


@pytest.mark.parametrize("likes", [LIKES, LIKES.matrix])
def test_folds_are_the_splits(likes: Any) -> None:
    pairs = Pairs(likes)
    splits = [split(likes, (0.7, 0.3), random_state=seed) for seed in range(3)]
    folds = pairs.folds(iter(splits))
    assert len(folds) == 3
    for positions, parts in zip(folds, splits, strict=True):
        for chosen, part in zip(positions, parts, strict=True):
            assert chosen.dtype == np.int64
            assert pairs_of(pairs[chosen].likes) == pairs_of(part)


# Searches


def test_grid_search_over_splits_is_the_loop_by_hand() -> None:
    splits = [split(LIKES, (0.7, 0.3), random_state=seed) for seed in range(2)]
    pairs = Pairs(LIKES)
    search = GridSearchCV(trainer(), GRID, cv=pairs.folds(splits), return_train_score=True)
    search.fit(pairs)
    for number, (train, test) in enumerate(splits):
        for candidate, n_dims in enumerate(GRID["n_dims"]):
            one = trainer(n_dims=n_dims).fit(train)
            found = search.cv_results_
            assert found[f"split{number}_test_score"][candidate] == one.score(test)
            assert found[f"split{number}_train_score"][candidate] == one.score(train)
    assert search.best_params_ == {"n_dims": 12}
    assert_same(search.best_estimator_, trainer(n_dims=12).fit(LIKES))


@pytest.mark.parametrize("cv", [KFold(3, shuffle=True, random_state=0), ShuffleSplit(2)])
def test_searches_with_the_splitters_of_scikit_learn(cv: Any) -> None:
    search = RandomizedSearchCV(trainer(), {"n_dims": range(2, 9)}, n_iter=2, cv=cv, random_state=0)
    search.fit(Pairs(LIKES))
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    held_out = train_test_split(Pairs(LIKES), random_state=0)
    assert search.best_estimator_.fit(held_out[0]).score(held_out[1]) > 0


def test_a_matrix_is_divided_by_users() -> None:
    scores = cross_val_score(trainer(), LIKES.matrix, cv=KFold(3))
    expected = [
        trainer().fit(LIKES.matrix[train]).score(LIKES.matrix[test])
        for train, test in KFold(3).split(LIKES.matrix)
    ]
    assert scores.tolist() == expected
    assert GridSearchCV(trainer(), GRID, cv=3).fit(LIKES.matrix).best_params_ == {"n_dims": 12}


def test_equal_halves_of_users_are_not_mistaken_for_held_out_likes() -> None:
    with pytest.raises(DataError, match="the rows of X are other users"):
        cross_val_score(trainer(), LIKES.matrix, cv=KFold(2), error_score="raise")


def test_scoring_by_other_metrics() -> None:
    pairs = Pairs(LIKES)
    scoring = {"ndcg": RankingScore("ndcg", 10), "recall": RankingScore(k=5)}
    found = cross_validate(trainer(), pairs, cv=pairs.folds([(TRAIN, TEST)]), scoring=scoring)
    one = trainer().fit(TRAIN)
    assert found["test_ndcg"][0] == one.score(TEST, metric="ndcg", k=10)
    assert found["test_recall"][0] == one.score(TEST, k=5)
    with pytest.raises(ValueError, match=r"metric must be one of"):
        RankingScore("accuracy")
    with pytest.raises(ValueError, match="k must be at least 1"):
        RankingScore(k=0)


@pytest.mark.slow
def test_search_in_several_processes() -> None:
    pairs = Pairs(LIKES)
    folds = pairs.folds([(TRAIN, TEST)])
    one, two = (GridSearchCV(trainer(), GRID, cv=folds, n_jobs=n).fit(pairs) for n in (1, 2))
    assert (
        one.cv_results_["mean_test_score"].tolist() == two.cv_results_["mean_test_score"].tolist()
    )


# Pipelines


def counts() -> Interactions:
    matrix = LIKES.matrix.copy()
    matrix.data = np.random.default_rng(0).integers(1, 1000, 1500).astype(np.float32)
    return dataclasses.replace(LIKES, matrix=matrix)


@pytest.mark.parametrize("convert", [lambda x: x, lambda x: x.matrix, Pairs])
def test_pipeline_of_weights_and_trainer(convert: Any) -> None:
    plays = counts()
    logs = dataclasses.replace(plays, matrix=plays.matrix.log1p())
    pipe = make_pipeline(WeightTransformer(), trainer()).fit(convert(plays))
    assert_same(pipe[-1], trainer().fit(logs))
    assert vectors_differ(pipe[-1], trainer().fit(plays))
    check_is_fitted(pipe)
    placed = pipe[-1].transform(convert(logs))
    np.testing.assert_array_equal(pipe.transform(convert(plays)), placed)
    assert not np.array_equal(pipe[-1].transform(convert(plays)), placed)
    assert pipe.score(convert(plays)) == pipe[-1].score(convert(plays))
    score = pipe[-1].score(convert(plays), metric="ndcg", k=3)
    assert RankingScore("ndcg", 3)(pipe, convert(plays)) == score


def test_scoring_of_a_pipeline_changes_the_weights() -> None:
    """New users are placed by them."""
    plays = counts().matrix
    pipe = make_pipeline(WeightTransformer(), trainer(n_epochs=5)).fit(plays[:30])
    found = RankingScore("ndcg", 50)(pipe, plays[30:][:20])
    assert found == pipe[-1].score(plays.log1p()[30:][:20], metric="ndcg")
    assert found != pipe[-1].score(plays[30:][:20], metric="ndcg")


def vectors_differ(one: Trainer, other: Trainer) -> bool:
    return not np.array_equal(one.model_.item_vectors, other.model_.item_vectors)


def test_search_over_the_steps_of_a_pipeline() -> None:
    pairs = Pairs(counts())
    pipe = Pipeline([("weights", WeightTransformer()), ("cml", trainer())])
    grid = {"weights__function": [np.log1p, np.sqrt], "cml__n_dims": [1, 8]}
    search = GridSearchCV(pipe, grid, cv=pairs.folds([split(counts(), (0.8, 0.2))])).fit(pairs)
    assert len(search.cv_results_["params"]) == 4
    assert search.best_params_["cml__n_dims"] == 8


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda w: w - w, "finite and positive, got 0.0 for 1.0"),
        (lambda w: w * np.nan, "finite and positive, got nan for 1.0"),
        (lambda w: w[1:], r"1500 weights, one for each like, got an array of shape \(1499,\)"),
    ],
)
def test_functions_that_make_no_weights(function: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        WeightTransformer(function).fit_transform(LIKES)


def test_weight_transformer_changes_nothing_of_what_it_is_given() -> None:
    def doubled(weights: np.ndarray) -> np.ndarray:
        weights *= 2
        return weights

    timed = dataclasses.replace(LIKES, timestamps=np.arange(1500))
    changed = WeightTransformer(doubled).transform(timed)
    assert set(changed.matrix.data) == {2} and set(LIKES.matrix.data) == {1}
    assert changed.timestamps is timed.timestamps
    with pytest.raises(TypeError, match=r"X must be a scipy.sparse matrix"):
        WeightTransformer().transform(np.eye(3))


# Routing of features


@pytest.fixture
def routing() -> Iterator[None]:
    with sklearn.config_context(enable_metadata_routing=True):
        yield


@needs_routing
@pytest.mark.usefixtures("routing")
def test_features_are_routed_to_the_trainer() -> None:
    pairs = Pairs(LIKES)
    folds = pairs.folds([(TRAIN, TEST)])
    one = trainer().set_fit_request(item_features=True)
    expected = trainer().fit(TRAIN, item_features=FEATURES).score(TEST)
    assert expected != trainer().fit(TRAIN).score(TEST)
    for estimator, name in ((one, "n_dims"), (make_pipeline(WeightTransformer(), one), "n_dims")):
        prefix = "" if estimator is one else "trainer__"
        search = GridSearchCV(estimator, {prefix + name: [8]}, cv=folds)
        search.fit(pairs, item_features=FEATURES)
        fitted = search.best_estimator_ if estimator is one else search.best_estimator_[-1]
        assert fitted.model_.embed_items(FEATURES).shape == (200, 8)
        if estimator is one:
            assert search.cv_results_["mean_test_score"][0] == expected


@needs_routing
@pytest.mark.usefixtures("routing")
def test_requests() -> None:
    one = trainer().set_fit_request(item_features="tags", callbacks=False)
    search = GridSearchCV(one, GRID, cv=Pairs(LIKES).folds([(TRAIN, TEST)]))
    search.fit(Pairs(LIKES), tags=FEATURES)
    assert search.best_estimator_.model_.embed_items(FEATURES[:1]).shape[0] == 1
    for copied in (clone, copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))):
        asked = copied(one).set_fit_request(user_features=True).get_metadata_routing().fit.requests
        assert {name: asked[name] for name in ("item_features", "callbacks", "user_features")} == {
            "item_features": "tags",
            "callbacks": False,
            "user_features": True,
        }
        assert asked["validation"] is None
    assert set(asked) == {
        *("validation", "user_features", "item_features", "callbacks"),
        *("checkpoint", "checkpoint_every"),
    }
    with pytest.raises(ValueError, match="item_features"):
        GridSearchCV(trainer(), GRID, cv=2).fit(Pairs(LIKES), item_features=FEATURES)
    with pytest.raises(TypeError, match=r"fit has no argument 'features' to pass on; it has \['va"):
        one.set_fit_request(features=True)


def test_without_routing_arguments_of_fit_are_passed_on() -> None:
    pairs = Pairs(LIKES)
    search = GridSearchCV(trainer(), GRID, cv=pairs.folds([(TRAIN, TEST)]))
    search.fit(pairs, item_features=FEATURES)
    assert search.best_estimator_.model_.embed_items(FEATURES).shape == (200, 12)


# Copies


def through_joblib(one: Any) -> Any:
    joblib = pytest.importorskip("joblib")
    file = io.BytesIO()
    joblib.dump(one, file)
    file.seek(0)
    return joblib.load(file)


COPIES: dict[str, Callable[[Any], Any]] = {
    "deepcopy": copy.deepcopy,
    "pickle": lambda one: pickle.loads(pickle.dumps(one)),
    "cloudpickle": lambda one: pickle.loads(pytest.importorskip("cloudpickle").dumps(one)),
    "joblib": through_joblib,
}


@pytest.mark.parametrize("copied", COPIES.values(), ids=COPIES)
@pytest.mark.parametrize("index", [False, True])
def test_copies_of_a_fitted_trainer(copied: Callable[[Any], Any], index: bool) -> None:
    one = trainer(warm_start=True).fit(TRAIN, item_features=FEATURES)
    if index:
        pytest.importorskip("annoy")
        one.model_ = one.model_.build_index()
    other = copied(one)
    assert other.get_params() == one.get_params()
    assert_same(other, one)
    assert other.score(TEST) == one.score(TEST)
    assert [report.loss for report in other.history_] == [report.loss for report in one.history_]
    if index:
        for found, expected in zip(
            other.model_.recommend(range(60), approximate=True),
            one.model_.recommend(range(60), approximate=True),
            strict=True,
        ):
            np.testing.assert_array_equal(found, expected)
    for array in (other.model_.user_vectors, other.model_.item_ids):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = array[1]
    assert_same(other.fit(TRAIN, item_features=FEATURES), one.fit(TRAIN, item_features=FEATURES))


@pytest.mark.parametrize("copied", [*COPIES.values(), clone], ids=[*COPIES, "clone"])
def test_copies_of_an_unfitted_trainer(copied: Callable[[Any], Any]) -> None:
    one = trainer(temperature=0.7)
    assert repr(copied(one)) == repr(one)
    assert_same(copied(one).fit(TRAIN), one.fit(TRAIN))


# scikit-learn's own checks

# They give dense matrices to `fit`, which a trainer refuses. `OfDense` takes them, so that all that
# is checked besides applies; it is only for these checks.
CANNOT_APPLY = {
    "check_n_features_in_after_fitting": "wants scikit-learn's words for a wrong number of items",
    "check_positive_only_tag_during_fit": "wants scikit-learn's words for negative weights",
    "check_estimators_empty_data_messages": "wants scikit-learn's words for no users and no items",
    "check_fit2d_predict1d": "wants scikit-learn's words for a matrix of one dimension",
    "check_complex_data": "wants a ValueError, not a TypeError, for complex weights",
    "check_dtype_object": "scipy.sparse has no matrices of objects",
    "check_estimators_dtypes": "has a user without likes, whom nothing places",
}


def sparse(X: Any) -> Any:
    if sp.issparse(X):
        return X
    array = np.asarray(X)
    if array.ndim != 2:  # older releases of SciPy make one row of it
        raise ValueError(f"two dimensions are needed, got {array.ndim}")
    return sp.csr_array(array)


class OfDense(Trainer):
    def fit(self, X: Any, y: Any = None) -> OfDense:
        super().fit(sparse(X), y)
        return self

    def partial_fit(self, X: Any, y: Any = None) -> OfDense:
        super().partial_fit(sparse(X), y)
        return self

    def transform(self, X: Any) -> np.ndarray:
        self._check_fitted("model_")
        return super().transform(sparse(X))

    def fit_transform(self, X: Any, y: Any = None) -> np.ndarray:
        return self.fit(X, y).transform(X)

    def score(self, X: Any, y: Any = None) -> float:
        return super().score(sparse(X), y)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = True
        return tags


@needs_tags
def test_checks_of_scikit_learn() -> None:
    from sklearn.utils.estimator_checks import check_estimator

    small = trainer(n_dims=4, n_epochs=1).get_params()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that the classes do not derive from BaseEstimator
        results = check_estimator(
            OfDense(**small), on_fail=None, expected_failed_checks=CANNOT_APPLY
        )
    by_status: dict[str, set[str]] = {}
    for result in results:
        by_status.setdefault(result["status"], set()).add(result["check_name"])
    assert by_status.get("failed", set()) == set()
    assert by_status["xfail"] == set(CANNOT_APPLY)
    assert {"check_transformer_general", "check_estimators_pickle"} <= by_status["passed"]
    assert len(by_status["passed"]) >= 30


@pytest.mark.parametrize("estimator", [Trainer(), WeightTransformer()])
def test_default_constructible(estimator: Any) -> None:
    from sklearn.utils.estimator_checks import (
        check_get_params_invariance,
        check_no_attributes_set_in_init,
        check_parameters_default_constructible,
        check_set_params,
    )

    name = type(estimator).__name__
    check_parameters_default_constructible(name, estimator)
    check_no_attributes_set_in_init(name, estimator)
    check_get_params_invariance(name, estimator)
    check_set_params(name, estimator)


@needs_tags
def test_tags() -> None:
    from sklearn.utils import get_tags

    tags = get_tags(Trainer())
    assert tags.estimator_type is None and tags.requires_fit and not tags.target_tags.required
    inputs = tags.input_tags
    assert inputs.sparse and inputs.positive_only and not inputs.two_d_array
    assert not get_tags(WeightTransformer()).requires_fit
    check_is_fitted(WeightTransformer())


def test_a_search_over_interactions_says_what_to_give():
    search = GridSearchCV(trainer(), GRID, cv=2)
    with pytest.raises(TypeError, match=r"give their \.matrix or, to .*Pairs\(likes\)"):
        search.fit(LIKES)
