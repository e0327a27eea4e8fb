"""What users keep of their vectors when an epoch begins, named or chosen; and hints after a fit."""

import numpy as np
import pytest
import scipy.sparse as sp
from support.trainers import assert_same, trainer, vectors

from cml_fast import Trainer
from cml_fast._training import retention, trials
from cml_fast.data import split, synthetic
from cml_fast.errors import TrainingDiverged

LIKES = synthetic(300, 120, 4000, random_state=3).interactions.matrix
CHOOSING = {"temperature": 0.3, "user_retention": None}
# Figures of users who keep all and who keep nothing, half-way and at the end.
NOTHING_IS_BETTER = (0.1, 0.2, 0.1, 0.2)


def judged(monkeypatch, *ndcg):
    """Trials get these figures of users, in their order; returns what they were measured on."""
    left, seen = list(ndcg), []

    def measure(users, items, wanted, known, ks, *, n_threads):
        seen.append((wanted, known))
        n_users = np.count_nonzero(np.diff(wanted.indptr))
        return type("Found", (), {"per_user": {"ndcg": {ks[0]: np.resize(left.pop(0), n_users)}}})

    monkeypatch.setattr(trials, "measure", measure)
    return seen


@pytest.mark.parametrize("kept", [0.0, 0.5])
@pytest.mark.parametrize("update", ["sync", "async"])
def test_users_are_multiplied_when_an_epoch_begins(kept, update):
    whole = trainer(user_retention=kept, ema_decay=0, update=update, n_epochs=3).fit(LIKES)
    by_hand = trainer(ema_decay=0, update=update, n_epochs=1, warm_start=True)
    for epoch in range(3):
        if epoch > 0:
            by_hand._state.tables.arrays["users"] *= np.float32(kept)
        by_hand.fit(LIKES)
    assert_same(whole, by_hand)
    assert not np.array_equal(vectors(whole), vectors(trainer(ema_decay=0, n_epochs=3).fit(LIKES)))


def test_an_interrupted_training_ends_the_same(tmp_path):
    settings = {"user_retention": 0.5, "n_epochs": 3}
    whole = trainer(**settings).fit(LIKES)

    def interrupt(one, report):
        raise KeyboardInterrupt

    for every in (0.4, 1):  # within an epoch, and where the next one begins
        folder = tmp_path / str(every)
        with pytest.raises(KeyboardInterrupt):
            trainer(**settings).fit(
                LIKES, checkpoint=folder, checkpoint_every=every, callbacks=[interrupt]
            )
        assert_same(Trainer.resume(folder, LIKES, verbose=False), whole)


def test_resuming_keeps_the_choice(tmp_path, monkeypatch):
    judged(monkeypatch, *NOTHING_IS_BETTER)
    whole = trainer(**CHOOSING).fit(LIKES)
    judged(monkeypatch, *NOTHING_IS_BETTER)
    begun = trainer(**CHOOSING).fit(LIKES, checkpoint=tmp_path, callbacks=[lambda *_: True])
    assert begun.n_epochs_ == 1
    # Stopped by a callback, a training is finished; begin again from its first checkpoint.
    resumed = Trainer.resume(tmp_path, LIKES, verbose=False)
    assert resumed.user_retention_ == whole.user_retention_ == retention.LITTLE


# As figures of users who keep nothing are 0, the mean of these is 1.7 to 2 standard errors above.
A_LITTLE_BETTER = ([1.0, -0.8], 0.0)


@pytest.mark.parametrize(
    ("figures", "kept"),
    [
        (NOTHING_IS_BETTER, 0.3),
        ((0.2, 0.1), 1),  # which is clear half-way
        ((*A_LITTLE_BETTER, *A_LITTLE_BETTER), 1),
        ((*A_LITTLE_BETTER, 0.1, 0.1), 1),  # in the mean of both
        ((0.1, 0.1, *A_LITTLE_BETTER), 1),
        ((*A_LITTLE_BETTER, 0.0, 0.1), 0.3),
    ],
)
def test_the_better_one_is_taken_and_trains_as_if_named(monkeypatch, figures, kept):
    judged(monkeypatch, *figures)
    one = trainer(**CHOOSING).fit(LIKES)
    assert one.user_retention_ == kept
    assert one.user_retention is None
    assert one.model_.hyperparameters["user_retention"] == kept
    assert_same(one, trainer(user_retention=kept).fit(LIKES))


def test_what_is_held_out_is_not_known(monkeypatch):
    seen = judged(monkeypatch, *NOTHING_IS_BETTER)
    trainer(**CHOOSING).fit(LIKES)
    assert len(seen) == 4
    for wanted, known in seen:
        assert wanted.nnz == pytest.approx(0.3 * LIKES.nnz, rel=0.1)
        assert known.multiply(wanted).nnz == 0
        np.testing.assert_array_equal((known + wanted).toarray(), LIKES.toarray())


def test_validation_data_judge_where_there_are_some(monkeypatch):
    train, validation = split(LIKES, (0.8, 0.2))
    seen = judged(monkeypatch, *NOTHING_IS_BETTER)
    trainer(**CHOOSING).fit(train, validation=validation)
    for wanted, known in seen:
        np.testing.assert_array_equal(wanted.toarray(), validation.toarray())
        np.testing.assert_array_equal(known.toarray(), train.toarray())


def test_large_data_are_tried_on_some_users(monkeypatch):
    monkeypatch.setattr(retention, "MAX_PAIRS", 1000)
    train, validation = split(LIKES, (0.8, 0.2))
    seen = judged(monkeypatch, *NOTHING_IS_BETTER, *NOTHING_IS_BETTER)
    trainer(**CHOOSING).fit(train, validation=validation)
    trainer(**CHOOSING).fit(train)
    for wanted, known in seen:
        assert known.nnz < 1500
        users = np.diff(known.indptr) > 0
        assert 0 < np.count_nonzero(users) < 150
        assert wanted.nnz > 0
        assert not np.diff(wanted.indptr)[~users].any()


def test_single_likes_cannot_be_judged(monkeypatch, capsys):
    seen = judged(monkeypatch)
    likes = sp.csr_array(np.eye(40, 20) + np.eye(40, 20, -20))
    one = trainer(**CHOOSING, verbose=True).fit(likes)
    assert one.user_retention_ == retention.LITTLE and not seen
    said = capsys.readouterr().err
    assert "user_retention 0.3, as no user has two likes" in said
    assert "100% of the users have a single like" in said


def test_a_trial_that_diverges_loses(monkeypatch):
    judged(monkeypatch, 0.2)
    trained = trials.Trials.train

    def diverging(self, state, n_epochs):
        if state.user_retention == 0:
            raise TrainingDiverged("made up")
        trained(self, state, n_epochs)

    monkeypatch.setattr(trials.Trials, "train", diverging)
    assert trainer(**CHOOSING).fit(LIKES).user_retention_ == 1


def test_it_follows_the_data():
    """Three tastes can be told from few likes; likes that repeat exactly are better learned."""
    few = synthetic(600, 400, 9000, n_tastes=3).interactions.matrix
    chosen = {"n_dims": 32, "n_negatives": 64, **CHOOSING}
    assert trainer(**chosen).fit(few).user_retention_ == retention.LITTLE


def test_a_warm_start_keeps_the_choice(monkeypatch):
    judged(monkeypatch, *NOTHING_IS_BETTER)
    one = trainer(**CHOOSING, warm_start=True).fit(LIKES).fit(LIKES)  # a second choice would fail
    assert one.user_retention_ == retention.LITTLE
    assert one.n_epochs_ == 4


def test_other_losses_and_single_epochs_keep_all(monkeypatch):
    judged(monkeypatch)  # a trial would fail
    assert trainer(loss="warp").fit(LIKES).user_retention_ == 1
    assert trainer(**CHOOSING, n_epochs=1).fit(LIKES).user_retention_ == 1


def of_single_likes(n_users, n_with_two):
    """Likes of users of whom the last ones have two, the others one."""
    items = np.arange(n_users) % 40
    pairs = [(user, item) for user, item in enumerate(items)]
    pairs += [(user, items[user] + 1) for user in range(n_users - n_with_two, n_users)]
    users, liked = np.transpose(pairs)
    return sp.csr_array((np.ones(len(users)), (users, liked)), shape=(n_users, 41))


@pytest.mark.parametrize("loss", ["warp", "shared_warp", "contrastive"])
def test_users_with_a_single_like_keep_little_with_any_loss(loss):
    most, half = of_single_likes(100, 49), of_single_likes(100, 50)
    assert trainer(loss=loss).fit(most).user_retention_ == 0.3
    assert trainer(loss=loss).fit(half).user_retention_ == 1
    assert trainer(loss=loss, user_retention=1.0).fit(most).user_retention_ == 1


def test_a_catalogue_without_likes_is_told(capsys):
    for n_items, is_told in ((241, True), (240, False)):
        likes = LIKES.copy()
        likes.resize((LIKES.shape[0], n_items))
        trainer(verbose=True).fit(likes)
        told = capsys.readouterr().err
        assert ("of the items have no like: features of items" in told) is is_told
    likes.resize((LIKES.shape[0], 300))
    trainer(verbose=True, loss="warp").fit(likes)
    tags = np.eye(300, 4, dtype=np.float32)
    trainer(verbose=True).fit(likes, item_features=tags)  # places them
    assert "of the items have no like: " not in capsys.readouterr().err


@pytest.mark.parametrize("wrong", [-0.1, 1.5, float("nan")])
def test_what_cannot_be_kept_is_refused(wrong):
    with pytest.raises(ValueError, match="user_retention must be"):
        trainer(user_retention=wrong).fit(LIKES)


def test_a_first_epoch_that_is_the_best_is_told(monkeypatch, capsys):
    """The recall of the validation falls from the first epoch on, or from the second."""
    train, validation = split(LIKES, (0.8, 0.2))
    told = []
    for falling in ([0.5, 0.4, 0.3], [0.4, 0.5, 0.3]):
        left = iter(falling)
        monkeypatch.setattr(
            "cml_fast._training.loop.measure",
            lambda *_, left=left, **__: type("Found", (), {"recall": {50: next(left)}}),
        )
        trainer(verbose=True, n_epochs=3).fit(train, validation=validation)
        told.append("the first of 3 epochs was the best" in capsys.readouterr().err)
    assert told == [True, False]


def test_users_are_held_back_where_the_gain_is_within_the_error(monkeypatch):
    noisy = iter(2 * [np.array([0.7, 0.0, 0.0]), np.array([0.2, 0.2, 0.1])])

    def measure(users, items, wanted, known, ks, *, n_threads):
        return type("Found", (), {"per_user": {"ndcg": {ks[0]: next(noisy)}}})

    monkeypatch.setattr(trials, "measure", measure)
    assert trainer(**CHOOSING).fit(LIKES).user_retention_ == 0.3


@pytest.mark.parametrize(("of_nothing", "searched"), [(0.2, False), (0.0, True)])
def test_the_temperature_is_searched_where_users_keep_all(monkeypatch, of_nothing, searched):
    judged(monkeypatch, *(2 * (0.1, of_nothing)))
    monkeypatch.setattr("cml_fast.trainer.choose_temperature", lambda *_: 0.7)
    one = trainer(temperature=None, user_retention=None, max_norm=2.0).fit(LIKES)
    assert one.temperature_ == (0.7 if searched else pytest.approx(0.3 * 4))


def test_with_features_users_keep_all(monkeypatch):
    judged(monkeypatch)  # a trial would fail
    features = np.eye(LIKES.shape[1], 4, dtype=np.float32)
    fitted = trainer(**CHOOSING).fit(LIKES, item_features=features)
    assert fitted.user_retention_ == 1
