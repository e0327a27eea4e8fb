"""The temperature of the softmax where none is named."""

import numpy as np
import pytest
import scipy.sparse as sp
from support.trainers import assert_same, trainer

from cml_fast import Model, Trainer
from cml_fast._persistence.folder import read_info
from cml_fast._training import temperature
from cml_fast._training.hyperparameters import TEMPERATURES
from cml_fast.data import split, synthetic
from cml_fast.errors import TrainingDiverged

LIKES = synthetic(300, 120, 4000, random_state=3).interactions.matrix


class Judged:
    """In place of the measure: the recalls that are to be found, in the order of the trials."""

    def __init__(self, monkeypatch, *recalls):
        self.left = list(recalls)
        self.seen = []
        monkeypatch.setattr(temperature, "measure", self)

    def __call__(self, users, items, wanted, known, ks, *, n_threads):
        self.seen.append((items, wanted, known))
        return type("Found", (), {"recall": {ks[0]: self.left.pop(0)}})


@pytest.mark.parametrize("best", range(3))
def test_the_best_is_taken_and_trains_as_if_named(monkeypatch, best):
    Judged(monkeypatch, *(0.2 + 0.1 * (at == best) for at in range(3)))
    one = trainer(temperature=None).fit(LIKES)
    chosen = TEMPERATURES[best]
    assert one.temperature_ == chosen
    assert one.temperature is None
    assert_same(one, trainer(temperature=chosen).fit(LIKES))
    assert one.model_.hyperparameters["temperature"] == chosen
    assert len(one.history_) == 2


def test_among_equals_the_first_is_taken(monkeypatch):
    Judged(monkeypatch, 0.5, 0.5, 0.5)
    assert trainer(temperature=None).fit(LIKES).temperature_ == TEMPERATURES[0]


def test_what_is_held_out_is_neither_known_nor_wanted_twice(monkeypatch):
    judged = Judged(monkeypatch, 0.1, 0.2, 0.3)
    trainer(temperature=None).fit(LIKES)
    for items, wanted, known in judged.seen:
        assert items.shape == (120, 8)
        assert wanted.nnz > 0
        assert known.multiply(wanted).nnz == 0
        np.testing.assert_array_equal((known + wanted).toarray(), LIKES.toarray())
    one, other, _ = (items for items, _, _ in judged.seen)
    assert not np.array_equal(one, other)


def test_validation_data_judge_where_there_are_some(monkeypatch):
    train, validation = split(LIKES, (0.8, 0.2))
    judged = Judged(monkeypatch, 0.1, 0.2, 0.3)
    trainer(temperature=None).fit(train, validation=validation)
    for _, wanted, known in judged.seen:
        np.testing.assert_array_equal(wanted.toarray(), validation.toarray())
        np.testing.assert_array_equal(known.toarray(), train.toarray())


def test_the_choice_does_not_depend_on_the_seed():
    chosen = [trainer(temperature=None, random_state=seed).fit(LIKES) for seed in (0, 1, 2)]
    assert len({one.temperature_ for one in chosen}) == 1
    assert not np.array_equal(chosen[0].model_.item_vectors, chosen[1].model_.item_vectors)


def test_a_random_generator_is_left_as_it_was():
    """So that naming what was chosen repeats the training."""
    one = trainer(temperature=None, random_state=np.random.default_rng(5)).fit(LIKES)
    named = trainer(temperature=one.temperature_, random_state=np.random.default_rng(5))
    assert_same(one, named.fit(LIKES))


def test_nothing_to_hold_out():
    """Users of a single like each: there is nothing to judge by."""
    one = trainer(temperature=None).fit(sp.csr_array(np.eye(6, 9, dtype=np.float32)))
    assert one.temperature_ == TEMPERATURES[0]


def test_other_losses_have_none():
    for loss in ("warp", "contrastive"):
        one = trainer(loss=loss, temperature=None).fit(LIKES)
        assert one.temperature_ is None
        assert one.model_.hyperparameters["temperature"] is None


def test_warm_starts_go_on_with_it(monkeypatch):
    Judged(monkeypatch, 0.1, 0.1, 0.2)  # and not once more
    one = trainer(temperature=None, warm_start=True).fit(LIKES)
    one.fit(LIKES)
    assert one.temperature_ == TEMPERATURES[2]
    assert one.n_epochs_ == 4
    assert_same(one, trainer(temperature=one.temperature_, n_epochs=4).fit(LIKES))


@pytest.mark.parametrize(
    ("n_epochs", "warm_start", "tried"),
    [(9, False, 5), (2, False, 2), (9, True, 5), (1, True, 5)],
)
def test_how_long_they_are_tried(monkeypatch, n_epochs, warm_start, tried):
    """A warm start goes on: what its first fit does says nothing of the whole training."""
    Judged(monkeypatch, 0.1, 0.1, 0.2)
    fit, trained = Trainer.fit, []

    def spy(self, *args, **options):
        trained.append(self.n_epochs)
        return fit(self, *args, **options)

    monkeypatch.setattr(Trainer, "fit", spy)
    one = trainer(temperature=None, n_epochs=n_epochs, warm_start=warm_start).fit(LIKES)
    assert one.n_epochs_ == n_epochs
    assert trained == [n_epochs, tried, tried, tried]


def test_checkpoints_know_it(monkeypatch, tmp_path):
    Judged(monkeypatch, 0.1, 0.2, 0.1)
    whole = trainer(temperature=None, n_epochs=3).fit(LIKES)
    Judged(monkeypatch, 0.1, 0.2, 0.1)
    one = trainer(temperature=None, n_epochs=3)
    one.fit(LIKES, checkpoint=tmp_path, callbacks=[lambda *_: True])
    info = read_info(tmp_path, "checkpoint")
    assert info["temperature"] == one.temperature_ == TEMPERATURES[1]
    assert info["hyperparameters"]["temperature"] is None
    resumed = Trainer.resume(tmp_path, LIKES, verbose=False)
    assert resumed.temperature_ == one.temperature_
    assert_same(resumed, one)

    def interrupt(*_):
        raise KeyboardInterrupt

    other = tmp_path / "other"
    Judged(monkeypatch, 0.1, 0.2, 0.1)
    with pytest.raises(KeyboardInterrupt):
        trainer(temperature=None, n_epochs=3).fit(LIKES, checkpoint=other, callbacks=[interrupt])
    assert_same(Trainer.resume(other, LIKES, verbose=False), whole)


def test_new_users_are_placed_with_it(tmp_path):
    one = trainer(temperature=None).fit(LIKES)
    one.model_.save(tmp_path / "model")
    placed = Model.load(tmp_path / "model").fold_in_users(LIKES[:5])
    named = trainer(temperature=one.temperature_).fit(LIKES).model_.fold_in_users(LIKES[:5])
    np.testing.assert_array_equal(placed, named)


def test_a_trial_that_diverges_recalls_nothing(monkeypatch):
    """If all do, so does the training, which then has what it had."""
    fit = Trainer.fit
    diverging = [0.21]

    def maybe(self, *args, **options):
        if self.temperature in diverging:
            raise TrainingDiverged("not finite")
        return fit(self, *args, **options)

    monkeypatch.setattr(Trainer, "fit", maybe)
    Judged(monkeypatch, 0.1, 0.2)  # of the two others
    assert trainer(temperature=None).fit(LIKES).temperature_ == 0.15
    diverging += [0.3, 0.15]
    assert trainer(temperature=None).fit(LIKES).temperature_ == TEMPERATURES[0]


def test_it_is_said(capsys):
    one = trainer(temperature=None, verbose=True).fit(LIKES)
    lines = [line for line in capsys.readouterr().err.splitlines() if "temperature" in line]
    assert len(lines) == 1
    assert lines[0].startswith(f"cml_fast: temperature {one.temperature_:g}, by recall@50 after 2 ")


def test_a_bad_argument_is_refused_before_any_trial(monkeypatch, tmp_path):
    Judged(monkeypatch)  # has no recall to give
    with pytest.raises(ValueError, match="learning_rate must be"):
        trainer(temperature=None, learning_rate=-1.0).fit(LIKES)
    with pytest.raises(ValueError, match="random_state must be"):
        trainer(temperature=None, random_state=-1).fit(LIKES)
