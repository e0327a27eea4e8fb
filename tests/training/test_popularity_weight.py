"""The popularity bias that a training gives its model."""

import numpy as np
import pytest
from support.trainers import trainer, vectors

from cml_fast import Model, Trainer
from cml_fast._training.hyperparameters import FIRST_TEMPERATURE
from cml_fast.data import split, synthetic
from cml_fast.metrics import measure

LIKES = synthetic(200, 90, 3000, random_state=1).interactions
TRAIN, VALIDATION = split(LIKES, (0.8, 0.2), random_state=0)


def assert_equal(one: Model, other: Model) -> None:
    np.testing.assert_array_equal(one.user_vectors, other.user_vectors)
    np.testing.assert_array_equal(one.item_vectors, other.item_vectors)
    assert one.hyperparameters == other.hyperparameters


def test_with_the_softmax_it_is_that_of_with_popularity_bias():
    fitted = trainer(popularity_weight=None).fit(LIKES)
    plain = trainer(popularity_weight=0).fit(LIKES).model_
    assert plain.item_vectors.shape == (90, 8)
    assert fitted.model_.item_vectors.shape == (90, 9)
    assert fitted.popularity_weight_ == 0.3 / 4
    assert_equal(fitted.model_, plain.with_popularity_bias())
    assert_equal(plain, fitted.model_.with_popularity_bias(weight=0))
    strong = trainer(popularity_weight=0.2).fit(LIKES).model_
    assert_equal(strong, plain.with_popularity_bias(weight=0.2))
    assert (strong.item_vectors[:, 8] != fitted.model_.item_vectors[:, 8]).any()


def test_the_temperature_that_was_chosen_gives_the_weight():
    fitted = trainer(temperature=None, n_epochs=1, popularity_weight=None).fit(LIKES)
    assert fitted.popularity_weight_ == fitted.temperature_ / 4
    assert fitted.model_.hyperparameters["popularity_weight"] == fitted.popularity_weight_
    assert fitted.temperature_ != FIRST_TEMPERATURE
    plain = trainer(temperature=None, n_epochs=1).fit(LIKES).model_
    assert_equal(fitted.model_, plain.with_popularity_bias())


@pytest.mark.parametrize("loss", ["warp", "shared_warp", "contrastive"])
def test_another_loss_has_one_only_if_a_weight_is_set(loss):
    fitted = trainer(loss=loss, popularity_weight=None).fit(LIKES)
    assert fitted.popularity_weight_ == 0
    assert fitted.model_.item_vectors.shape == (90, 8)
    biased = trainer(loss=loss, popularity_weight=0.05).fit(LIKES)
    assert_equal(biased.model_, fitted.model_.with_popularity_bias(weight=0.05))
    assert biased.model_.item_vectors[:, 8].any()


def test_with_features_there_is_none():
    tags = np.eye(90, 4, dtype=np.float32)
    fitted = trainer(popularity_weight=None).fit(LIKES, item_features=tags)
    assert fitted.popularity_weight_ == 0
    assert fitted.model_.item_vectors.shape == (90, 8)
    trainer(popularity_weight=0).fit(LIKES, item_features=tags)
    with pytest.raises(ValueError, match=r"popularity_weight=0.1 is not possible with features"):
        trainer(popularity_weight=0.1).fit(LIKES, item_features=tags)


@pytest.mark.parametrize("bad", [-0.1, float("nan"), "much"])
def test_a_weight_that_is_none_is_refused(bad):
    with pytest.raises((TypeError, ValueError), match="popularity_weight must be"):
        Trainer(popularity_weight=bad).fit(LIKES)


def test_training_does_not_depend_on_it():
    """Nor does what goes on from it."""
    one, other = (trainer(popularity_weight=weight).fit(LIKES) for weight in (0, None))
    np.testing.assert_array_equal(vectors(one), vectors(other)[:, :8])
    for go_on in (
        lambda fitted: fitted.partial_fit(VALIDATION, n_epochs=1),
        lambda fitted: fitted.forget(LIKES.user_ids[[3]], LIKES.item_ids[[7]], n_epochs=1),
        lambda fitted: fitted.set_params(warm_start=True).fit(fitted._likes),
    ):
        for fitted in (one, other):
            go_on(fitted)
        np.testing.assert_array_equal(vectors(one), vectors(other)[:, :8])
        assert vectors(other).shape[1] == 9


def test_the_recall_of_an_epoch_is_that_of_the_model():
    found = []

    def callback(fitted, report):
        measured = measure(
            fitted.model_.user_vectors,
            fitted.model_.item_vectors,
            VALIDATION.matrix,
            TRAIN.matrix,
            [50],
        )
        found.append(measured.recall[50])

    fitted = trainer(n_epochs=3, popularity_weight=None).fit(
        TRAIN, validation=VALIDATION, callbacks=[callback]
    )
    assert [report.recall for report in fitted.history_] == found
    without = trainer(n_epochs=3, popularity_weight=0).fit(TRAIN, validation=VALIDATION)
    assert [report.recall for report in without.history_] != found


def test_a_checkpoint_goes_on_with_it(tmp_path):
    settings = {"n_epochs": 3, "popularity_weight": 0.04}
    whole = trainer(**settings).fit(LIKES)

    def crash(fitted, report):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        trainer(**settings).fit(LIKES, checkpoint=tmp_path / "run", callbacks=[crash])
    resumed = Trainer.resume(tmp_path / "run", LIKES)
    assert resumed.popularity_weight_ == 0.04
    assert_equal(resumed.model_, whole.model_)


def test_a_trainer_can_be_made_of_what_the_model_records():
    model = trainer(popularity_weight=None).fit(LIKES).model_
    recorded = {k: v for k, v in model.hyperparameters.items() if k != "device"}
    again = Trainer(**{**recorded, "device": "cpu"}, verbose=False).fit(LIKES)
    np.testing.assert_array_equal(again.model_.item_vectors, model.item_vectors)
