"""The temperature of the softmax where none is named."""

import numpy as np
import pytest
import scipy.sparse as sp
from support.trainers import assert_same, trainer

import cml_fast.trainer
from cml_fast import Model, Trainer
from cml_fast._persistence.folder import read_info
from cml_fast._training import hyperparameters, temperature, trials
from cml_fast._training.hyperparameters import FIRST_TEMPERATURE
from cml_fast.data import split, synthetic
from cml_fast.errors import TrainingDiverged

LIKES = synthetic(300, 120, 4000, random_state=3).interactions.matrix


class Judged:
    """In place of the measure: recalls of two users, by the order of the trials.

    A trial's recalls are a mean, which both users have, or one for each of them.
    """

    def __init__(self, monkeypatch, *recalls):
        self.left = [np.broadcast_to(recall, 2) for recall in recalls]
        self.seen = []
        monkeypatch.setattr(trials, "measure", self)

    def __call__(self, users, items, wanted, known, ks, *, n_threads):
        self.seen.append((items, wanted, known))
        return type("Found", (), {"per_user": {"ndcg": {ks[0]: self.left.pop(0)}}})


@pytest.mark.parametrize(
    ("recalls", "expected"),
    [
        ((0.3, 0.2, 0.2), 0.3),
        ((0.3, 0.2, 0.1), 0.27),  # between the neighbours, nearer to the better one
        ((0.3, 0.1, 0.2), 0.34),
        ((0.1, 0.2, 0.3, 0.2), 0.075),  # on and on while that is better
        ((0.1, 0.1, 0.2, 0.3, 0.4, 0.3), 2.4),
        ((0.3, 0.3, 0.3), 0.3),  # among equals the first
        ((0.3, 0.1, 0.3), 0.42),  # at most half way to the next
    ],
)
def test_the_best_is_taken_and_trains_as_if_named(monkeypatch, recalls, expected):
    judged = Judged(monkeypatch, *recalls)
    one = trainer(temperature=None).fit(LIKES)
    assert not judged.left
    assert one.temperature_ == expected
    assert one.temperature is None
    assert_same(one, trainer(temperature=expected).fit(LIKES))
    assert one.model_.hyperparameters["temperature"] == expected
    assert len(one.history_) == 2


@pytest.mark.parametrize(
    ("recalls", "expected"),
    [
        ((0.3, 0.2, 0.2), 0.25),  # 0.3 is not far from it
        ((0.3, 0.1, 0.2), 0.27),  # 0.8 times 0.34
        ((0.1, 0.2, 0.3, 0.2), 0.094),  # 1.25 times 0.075
    ],
)
@pytest.mark.parametrize("max_norm", [1.0, 2.0])
def test_with_features_of_items_it_is_near_a_quarter(monkeypatch, recalls, expected, max_norm):
    features = np.eye(120, 6, dtype=np.float32)
    Judged(monkeypatch, *recalls)
    one = trainer(temperature=None, n_hidden=4, max_norm=max_norm)
    one.fit(LIKES, item_features=features)
    assert one.temperature_ == pytest.approx(max_norm**2 * expected, rel=0.03)
    Judged(monkeypatch, 0.3, 0.2, 0.2)
    other = trainer(temperature=None, n_hidden=4).fit(LIKES, user_features=np.eye(300, 6))
    assert other.temperature_ == 0.3


def test_what_the_error_does_not_tell_from_chance_is_no_reason_to_go_on(monkeypatch):
    """The mean is higher by 0.1, its standard error is 0.28, and nothing else is tried."""
    judged = Judged(monkeypatch, 0.3, (0.0, 0.8), (0.8, 0.0))
    assert trainer(temperature=None).fit(LIKES).temperature_ == FIRST_TEMPERATURE
    assert len(judged.seen) == 3


def test_the_search_ends(monkeypatch):
    judged = Judged(monkeypatch, *np.linspace(0, 1, 1 + temperature.MAX_STEPS))
    one = trainer(temperature=None).fit(LIKES)
    assert not judged.left
    assert one.temperature_ == float(f"{FIRST_TEMPERATURE / 2**temperature.MAX_STEPS:.2g}")


def test_the_unit_is_the_ball(monkeypatch):
    Judged(monkeypatch, 0.3, 0.2, 0.2)
    one = trainer(temperature=None, max_norm=0.1, learning_rate=0.01).fit(LIKES)
    assert one.temperature_ == 0.003


# --- real searches --------------------------------------------------------------------------------


def chosen(likes):
    train, validation = split(likes, (0.9, 0.1))
    fixed = {"n_dims": 32, "n_epochs": 1, "verbose": False, "device": "cpu", "n_threads": 1}
    return Trainer(**fixed).fit(train, validation=validation).temperature_


def test_few_tastes_want_a_high_one():
    """Dense likes of a few smooth tastes: there is much chance in which of them are seen."""
    dense = synthetic(600, 300, 20_000, n_tastes=4, noise=0.1).interactions.matrix
    assert 0.4 <= chosen(dense) <= 1.5


def test_many_small_groups_want_a_low_one():
    """Far more groups of items than dimensions: a user must be told from what is next to it."""
    rng = np.random.default_rng(0)
    groups = np.concatenate([rng.choice(1000, 5, replace=False) for _ in range(1500)])
    users, items = np.repeat(np.arange(1500), 25), (5 * groups[:, None] + np.arange(5)).ravel()
    kept = rng.random(len(users)) < 0.8
    likes = sp.csr_array((np.ones(kept.sum(), np.float32), (users[kept], items[kept])))
    assert 0.1 <= chosen(likes) <= 0.22


def test_fifty_users_get_nothing_odd():
    for seed in range(4):
        tiny = synthetic(50, 80, 600, n_tastes=3, random_state=seed).interactions.matrix
        assert 0.05 <= trainer(temperature=None, random_state=seed).fit(tiny).temperature_ <= 2.4


# --- what it rests on -----------------------------------------------------------------------------


def test_what_is_held_out_is_neither_known_nor_wanted_twice(monkeypatch):
    judged = Judged(monkeypatch, 0.3, 0.2, 0.1)
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
    judged = Judged(monkeypatch, 0.3, 0.2, 0.1)
    trainer(temperature=None).fit(train, validation=validation)
    for _, wanted, known in judged.seen:
        np.testing.assert_array_equal(wanted.toarray(), validation.toarray())
        np.testing.assert_array_equal(known.toarray(), train.toarray())


def test_a_trial_is_a_short_training(monkeypatch):
    """To the bit that of a trainer with the candidate, two epochs and no average, at one rate."""
    train, validation = split(LIKES, (0.8, 0.2))
    judged = Judged(monkeypatch, 0.3, 0.2, 0.1)
    trainer(temperature=None, n_epochs=7).fit(train, validation=validation)
    for (items, _, _), candidate in zip(judged.seen, (0.3, 0.15, 0.6), strict=True):
        steady = {"learning_rate": 0.15 / (1 + 0.05 * 10), "learning_rate_decay": 0.0}
        one = trainer(temperature=candidate, n_epochs=2, ema_decay=0.0, **steady).fit(train)
        # Both draw the seed of the kernels, then the first vectors.
        np.testing.assert_array_equal(items, one.model_.item_vectors)


def test_mini_batches_of_trials_follow_their_likes(monkeypatch):
    """However large those of the training are."""
    sizes = []
    make_job = cml_fast.trainer.make_job

    def spy(tables, likes, settings):
        sizes.append((likes.nnz, settings.batch_size))
        return make_job(tables, likes, settings)

    monkeypatch.setattr(cml_fast.trainer, "make_job", spy)
    monkeypatch.setattr(hyperparameters, "LEAST_BATCH", 1)
    trainer(temperature=None, batch_size=1000).fit(LIKES)
    *trials, training = sizes
    assert training == (LIKES.nnz, 1000)
    assert trials
    for n_pairs, size in trials:
        assert size == hyperparameters.batch_size_of(n_pairs) < n_pairs / 31


def test_the_choice_does_not_depend_on_the_seed():
    tried = [trainer(temperature=None, random_state=seed).fit(LIKES) for seed in (0, 1, 2)]
    assert len({one.temperature_ for one in tried}) == 1
    assert not np.array_equal(tried[0].model_.item_vectors, tried[1].model_.item_vectors)


def test_a_random_generator_is_left_as_it_was():
    """So that naming what was chosen repeats the training."""
    one = trainer(temperature=None, random_state=np.random.default_rng(5)).fit(LIKES)
    named = trainer(temperature=one.temperature_, random_state=np.random.default_rng(5))
    assert_same(one, named.fit(LIKES))


def test_nothing_to_hold_out():
    """Users of a single like each: there is nothing to judge by."""
    one = trainer(temperature=None).fit(sp.csr_array(np.eye(6, 9, dtype=np.float32)))
    assert one.temperature_ == FIRST_TEMPERATURE


def test_other_losses_have_none():
    for loss in ("warp", "contrastive"):
        one = trainer(loss=loss, temperature=None).fit(LIKES)
        assert one.temperature_ is None
        assert one.model_.hyperparameters["temperature"] is None


def test_warm_starts_go_on_with_it(monkeypatch):
    Judged(monkeypatch, 0.1, 0.2, 0.1)  # and not once more
    one = trainer(temperature=None, warm_start=True).fit(LIKES)
    one.fit(LIKES)
    assert one.temperature_ == 0.15
    assert one.n_epochs_ == 4
    assert_same(one, trainer(temperature=one.temperature_, n_epochs=4).fit(LIKES))


def test_checkpoints_know_it(monkeypatch, tmp_path):
    Judged(monkeypatch, 0.1, 0.2, 0.1)
    whole = trainer(temperature=None, n_epochs=3).fit(LIKES)
    Judged(monkeypatch, 0.1, 0.2, 0.1)
    one = trainer(temperature=None, n_epochs=3)
    one.fit(LIKES, checkpoint=tmp_path, callbacks=[lambda *_: True])
    info = read_info(tmp_path, "checkpoint")
    assert info["temperature"] == one.temperature_ == 0.15
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
    run_epoch, left = trials.run_epoch, [True, False, True]

    def maybe(job, state, *args, **options):
        if state.position == 0 and left.pop(0):
            raise TrainingDiverged("not finite")
        run_epoch(job, state, *args, **options)

    monkeypatch.setattr(trials, "run_epoch", maybe)
    assert trainer(temperature=None).fit(LIKES).temperature_ == 0.15  # of these the second
    left[:] = [True, True, True]
    assert trainer(temperature=None).fit(LIKES).temperature_ == FIRST_TEMPERATURE


def test_it_is_said(capsys):
    one = trainer(temperature=None, verbose=True).fit(LIKES)
    lines = [line for line in capsys.readouterr().err.splitlines() if "temperature" in line]
    assert len(lines) == 1
    assert lines[0].startswith(f"cml_fast: temperature {one.temperature_:g}, by NDCG@50 after 2 ")


def test_a_bad_argument_is_refused_before_any_trial(monkeypatch, tmp_path):
    Judged(monkeypatch)  # has no recall to give
    with pytest.raises(ValueError, match="learning_rate must be"):
        trainer(temperature=None, learning_rate=-1.0).fit(LIKES)
    with pytest.raises(ValueError, match="random_state must be"):
        trainer(temperature=None, random_state=-1).fit(LIKES)
