"""How training goes: epochs, validation, callbacks, interruptions, warm starts."""

from __future__ import annotations

import copy
import dataclasses
import os
import pickle
import signal
import threading
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from support.trainers import assert_same, trainer, vectors

from cml_fast import EpochReport, Trainer
from cml_fast._compute import devices
from cml_fast._training import loop
from cml_fast._training.reports import Counters
from cml_fast._training.state import TrainingState
from cml_fast.data import split, synthetic
from cml_fast.errors import TrainingDiverged
from cml_fast.evaluation import evaluate
from cml_fast.metrics import measure

WHOLE = synthetic(120, 80, 1200, n_tastes=4).interactions
TRAIN, VALIDATION = split(WHOLE, (0.8, 0.2))


def assert_usable(fitted: Trainer) -> None:
    assert fitted.model_.user_vectors.shape == (120, fitted.n_dims)
    assert fitted.model_.item_vectors.shape == (80, fitted.n_dims)
    assert np.isfinite(vectors(fitted)).all()
    ids, _ = fitted.model_.recommend(0, 5)
    assert len(set(ids.tolist())) == 5


class Recorder:
    """A callback that keeps what it was shown."""

    def __init__(self) -> None:
        self.reports: list[EpochReport] = []
        self.vectors: list[np.ndarray] = []

    def __call__(self, fitted: Trainer, report: EpochReport) -> None:
        self.reports.append(report)
        self.vectors.append(vectors(fitted).copy())


# Epochs and launches


def test_history(device: str) -> None:
    one = trainer(device=device, n_epochs=np.int8(3)).fit(TRAIN)
    assert [report.epoch for report in one.history_] == [0, 1, 2]
    assert (one.best_epoch_, one.n_epochs_, one.device_) == (2, 3, device)
    for report in one.history_:
        assert (report.pairs, report.skipped, report.recall) == (TRAIN.matrix.nnz, 0, None)
        assert report.loss > 0
        assert report.seconds > 0
        assert 0 < report.impostor_share <= report.active_share <= 1


def test_the_model_keeps_the_history() -> None:
    fitted = trainer(n_epochs=3).fit(TRAIN, validation=VALIDATION)
    without_times = [
        {key: value for key, value in dataclasses.asdict(report).items() if "seconds" not in key}
        for report in fitted.history_
    ]
    assert fitted.model_.history == without_times and len(without_times) == 3
    again = trainer(n_epochs=3).fit(TRAIN, validation=VALIDATION)
    assert again.model_.history == fitted.model_.history


def at(position: int) -> TrainingState:
    """At the start of an epoch of a million pairs."""
    none: Any = None
    return TrainingState(none, 0, {}, n_pairs=1_000_000, first_epoch=0, position=position)


@pytest.mark.parametrize(("speed", "expected"), [(1e6, 300_000), (100_000, 30_000), (10, 1024)])
def test_launches_last_a_third_of_a_second(
    monkeypatch: pytest.MonkeyPatch, speed: float, expected: int
) -> None:
    """With two threads; but the slowest have enough to do for both."""
    clock, launches, told = [0.0], [], []

    def run(begin: int, end: int) -> Counters:
        launches.append((begin, end))
        clock[0] += (end - begin) / speed
        counts = {"loss": 1.0, "active": 2, "impostors": 3, "skipped": 0, "pairs": end - begin}
        return Counters(**counts)

    monkeypatch.setattr(loop, "time", SimpleNamespace(perf_counter=lambda: clock[0]))
    state = at(3_000_000)
    loop.run_epoch(SimpleNamespace(run=run), state, 2, told.append)
    report = state.counters.report(state.epoch, n_negatives=5)
    assert launches[0][0] == 3_000_000
    assert launches[-1][1] == 4_000_000
    assert [begin for begin, _ in launches[1:]] == [end for _, end in launches[:-1]]
    sizes = [end - begin for begin, end in launches]
    assert told == sizes
    assert sizes[0] == 1024
    assert all(abs(size - expected) <= 1 for size in sizes[1:-1])
    assert report.loss == pytest.approx(len(sizes) / 1e6)
    assert report.impostor_share == pytest.approx(3 * len(sizes) / 5e6)
    assert report.seconds == pytest.approx(1e6 / speed)


# Validation


def test_recall_is_that_of_evaluate(device: str) -> None:
    recorder = Recorder()
    one = trainer(device=device, n_epochs=4, validation_users=None)
    one.fit(TRAIN, validation=VALIDATION, callbacks=[recorder])
    recalls = [report.recall for report in one.history_]
    assert one.best_epoch_ == np.argmax(recalls)
    assert recorder.reports == one.history_
    expected = evaluate(one.model_, VALIDATION, TRAIN, ks=(50,)).recall[50]
    assert recalls[one.best_epoch_] == expected
    assert 0 < expected < 1


@pytest.mark.parametrize(
    ("patience", "n_run"), [(1, 3), (2, 6), (3, 7), (None, 8)], ids=["1", "2", "3", "None"]
)
def test_patience(
    device: str, monkeypatch: pytest.MonkeyPatch, patience: int | None, n_run: int
) -> None:
    """Equal recall is no better; the best epoch is kept, however training ends."""
    script = iter([0.1, 0.3, 0.2, 0.4, 0.4, 0.3, 0.2, 0.1])
    best = 1 if patience == 1 else 3
    monkeypatch.setattr(
        loop, "measure", lambda *_, **__: SimpleNamespace(recall={50: next(script)})
    )
    recorder = Recorder()
    one = trainer(device=device, n_epochs=8, patience=patience)
    one.fit(TRAIN, validation=VALIDATION, callbacks=[recorder])
    assert len(one.history_) == n_run
    assert (one.best_epoch_, one.n_epochs_) == (best, best + 1)
    np.testing.assert_array_equal(vectors(one), recorder.vectors[best])
    assert not np.array_equal(vectors(one), recorder.vectors[-1])


def test_best_epoch_is_what_a_shorter_fit_gives() -> None:
    """Accumulators go back as well: going on from the best epoch is as if it had been the last."""
    recorder = Recorder()
    one = trainer(n_epochs=20, learning_rate=1.0, patience=1)
    one.fit(TRAIN, validation=VALIDATION, callbacks=[recorder])
    assert one.n_epochs_ < len(one.history_) < 20
    same = trainer(n_epochs=one.n_epochs_, learning_rate=1.0).fit(TRAIN)
    assert_same(one, same)
    for each in (one, same):
        each.set_params(warm_start=True, n_epochs=2).fit(TRAIN)
    assert_same(one, same)


def test_validation_users(monkeypatch: pytest.MonkeyPatch) -> None:
    ranked = []

    def spy(users: Any, items: Any, test: Any, *rest: Any, **options: Any) -> Any:
        result = measure(users, items, test, *rest, **options)
        ranked.append(result.users)
        rows = VALIDATION.matrix[result.users]
        np.testing.assert_array_equal(test[result.users].toarray(), rows.toarray())
        return result

    monkeypatch.setattr(loop, "measure", spy)
    n = np.count_nonzero(np.diff(VALIDATION.matrix.indptr))
    for limit, expected in ((n - 1, n - 1), (1, 1), (n, n), (10**6, n), (None, n)):
        ranked.clear()
        trainer(n_epochs=2, validation_users=limit).fit(TRAIN, validation=VALIDATION)
        assert [len(users) for users in ranked] == [expected] * 2
        np.testing.assert_array_equal(*ranked)  # the same users every time


# Callbacks


def test_callbacks_see_the_model_of_their_epoch(device: str) -> None:
    recorder = Recorder()
    one = trainer(device=device, n_epochs=3).fit(TRAIN, callbacks=(c for c in [recorder]))
    assert recorder.reports == one.history_
    assert len(recorder.vectors) == 3
    assert not np.array_equal(recorder.vectors[1], recorder.vectors[2])
    np.testing.assert_array_equal(recorder.vectors[2], vectors(one))


@pytest.mark.parametrize("answer", [True, np.True_])
def test_true_stops(device: str, answer: Any) -> None:
    recorder = Recorder()
    one = trainer(device=device, n_epochs=9)
    one.fit(TRAIN, callbacks=[lambda t, r: answer if r.epoch == 1 else None, recorder])
    assert len(one.history_) == len(recorder.reports) == one.n_epochs_ == 2


def test_exception_in_a_callback(device: str) -> None:
    def fail(fitted: Trainer, report: EpochReport) -> None:
        if report.epoch == 1:
            raise ZeroDivisionError("mine")

    one = trainer(device=device, n_epochs=9)
    with pytest.raises(ZeroDivisionError, match="mine"):
        one.fit(TRAIN, callbacks=[fail])
    assert_usable(one)
    assert one.n_epochs_ == len(one.history_) == 2


# Interruption and divergence


def interrupt_after(epoch: int) -> Any:
    def callback(fitted: Trainer, report: EpochReport) -> None:
        if report.epoch == epoch:
            raise KeyboardInterrupt

    return callback


def test_interrupted_training_can_go_on(device: str) -> None:
    one = trainer(device=device, n_epochs=9, warm_start=True)
    with pytest.raises(KeyboardInterrupt):
        one.fit(TRAIN, callbacks=[interrupt_after(1)])
    assert_usable(one)
    assert (one.n_epochs_, one.best_epoch_) == (2, 1)
    one.set_params(n_epochs=2).fit(TRAIN)
    assert one.n_epochs_ == 4
    if device == "cpu":
        assert_same(one, trainer(n_epochs=4).fit(TRAIN))


def test_interrupted_training_keeps_the_best_epoch(
    device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = iter([0.1, 0.3, 0.2, 0.2])
    monkeypatch.setattr(
        loop, "measure", lambda *_, **__: SimpleNamespace(recall={50: next(script)})
    )
    recorder = Recorder()
    one = trainer(device=device, n_epochs=9)
    with pytest.raises(KeyboardInterrupt):
        one.fit(TRAIN, validation=VALIDATION, callbacks=[recorder, interrupt_after(3)])
    assert (len(one.history_), one.best_epoch_, one.n_epochs_) == (4, 1, 2)
    np.testing.assert_array_equal(vectors(one), recorder.vectors[1])


@pytest.mark.parametrize("n_threads", [1, 2])
def test_control_c(device: str, n_threads: int) -> None:
    one = trainer(device=device, n_epochs=1, n_threads=n_threads, warm_start=True).fit(TRAIN)
    one.set_params(n_epochs=10**9)  # now that all is loaded, so that training is interrupted
    # Started in the background of a shell, a process would ignore the signal.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    timer = threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        one.fit(TRAIN)
    timer.join()
    assert_usable(one)
    done = one.n_epochs_
    assert done > 2
    assert done - 1 - len(one.history_) in (0, 1)  # it may come just between the two
    before = vectors(one)
    one.set_params(n_epochs=2).fit(TRAIN)
    assert [report.epoch for report in one.history_] == [done, done + 1]
    assert one.n_epochs_ == done + 2
    # It went on from there: steps have become small.
    moved = np.abs(vectors(one) - before).max()
    assert 0 < moved < np.abs(vectors(trainer(device=device).fit(TRAIN)) - before).max()


def test_divergence(device: str) -> None:
    one = trainer(device=device, n_epochs=2, warm_start=True).fit(TRAIN)
    with pytest.raises(TrainingDiverged, match=r"epoch 2: .*learning_rate"):
        one.set_params(learning_rate=1e38).fit(TRAIN)
    assert_usable(one)
    assert (one.history_, one.n_epochs_) == ([], 2)
    one.set_params(learning_rate=0.1).fit(TRAIN)
    assert_usable(one)
    assert one.n_epochs_ == 4


def test_divergence_leaves_nothing_for_the_next_fit(device: str) -> None:
    one = trainer(device=device, learning_rate=1e38)
    with pytest.raises(TrainingDiverged, match="epoch 0: "):
        one.fit(TRAIN)
    assert_usable(one)
    one.set_params(learning_rate=0.1).fit(TRAIN)
    assert [report.epoch for report in one.history_] == [0, 1]
    if device == "cpu":
        assert_same(one, trainer(learning_rate=0.1).fit(TRAIN))


# Warm start


def test_warm_start_goes_on(device: str) -> None:
    one = trainer(device=device, warm_start=True).fit(TRAIN).fit(TRAIN)
    assert [report.epoch for report in one.history_] == [2, 3]
    assert (one.best_epoch_, one.n_epochs_) == (3, 4)
    if device == "cpu":
        assert_same(one, trainer(n_epochs=4).fit(TRAIN))
        # Another random_state is for another beginning.
        two = trainer(warm_start=True).fit(TRAIN).set_params(random_state=9).fit(TRAIN)
        assert_same(two, one)


def test_without_warm_start_all_begins_anew(device: str) -> None:
    one = trainer(device=device).fit(WHOLE).fit(TRAIN)
    assert [report.epoch for report in one.history_] == [0, 1]
    assert one.n_epochs_ == 2
    if device == "cpu":
        assert_same(one, trainer().fit(TRAIN))


@pytest.mark.parametrize(
    ("change", "train", "message"),
    [
        ({"n_dims": 9}, TRAIN, r"n_dims=8.*n_dims=9"),
        ({}, TRAIN.matrix[:100], r"\(120, 80\).*\(100, 80\)"),
        ({}, TRAIN.matrix[:, :70], r"\(120, 80\).*\(120, 70\)"),
        ({"device": "cuda"}, TRAIN, "tables on cpu.*cuda"),
    ],
    ids=["n_dims", "users", "items", "device"],
)
def test_warm_start_elsewhere(
    monkeypatch: pytest.MonkeyPatch, change: dict[str, Any], train: Any, message: str
) -> None:
    monkeypatch.setattr(devices, "cuda_problem", lambda: None)
    one = trainer(device="cpu", warm_start=True).fit(TRAIN)
    before = {name: value for name, value in vars(one).items() if name.endswith("_")}
    with pytest.raises(ValueError, match=f"{message}.*warm_start=False"):
        one.set_params(**change).fit(train)
    for name, value in before.items():
        assert getattr(one, name) is value
    assert_same(one.set_params(n_dims=8, device="cpu").fit(TRAIN), trainer(n_epochs=4).fit(TRAIN))


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one))])
def test_a_copy_goes_on_like_the_original(copied: Any) -> None:
    one = trainer(warm_start=True, n_dims=20).fit(TRAIN)
    other = copied(one)
    assert_same(one.fit(TRAIN), other.fit(TRAIN))
    assert other.n_epochs_ == 4


@pytest.mark.parametrize("axis", ["user_ids", "item_ids"])
def test_warm_start_refuses_other_ids(axis: str) -> None:
    one = trainer(warm_start=True).fit(TRAIN)
    before = vectors(one)
    renamed = dataclasses.replace(TRAIN, **{axis: getattr(TRAIN, axis)[::-1]})
    with pytest.raises(ValueError, match="ids of train differ"):
        one.fit(renamed)
    np.testing.assert_array_equal(vectors(one), before)
    assert_same(one.fit(TRAIN), trainer(n_epochs=4).fit(TRAIN))


def test_warm_start_keeps_ids() -> None:
    """A matrix without ids leaves those of the fit before; ids that come later are taken up."""
    one = trainer(warm_start=True).fit(TRAIN.matrix)
    assert one.model_.user_ids.tolist() == list(range(120))
    assert one.fit(TRAIN).model_.user_ids.tolist() == TRAIN.user_ids.tolist()
    assert one.fit(TRAIN.matrix).model_.item_ids.tolist() == TRAIN.item_ids.tolist()
