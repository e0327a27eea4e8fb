"""Checkpoints: an interrupted training ends as if it had not been, and nothing else is accepted."""

from __future__ import annotations

import dataclasses
import errno
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from support.trainers import WithRun, assert_same, trainer, vectors

import cml_fast.trainer
from cml_fast import EpochReport, Model, Trainer
from cml_fast._compute.losses import LOSSES
from cml_fast._persistence import folder as folders
from cml_fast._training import checkpoint as checkpoints
from cml_fast._training import loop
from cml_fast._training.checkpoint import Checkpoint
from cml_fast._training.reports import Counters
from cml_fast._training.state import TrainingState
from cml_fast.data import Interactions, split, synthetic
from cml_fast.errors import DataError, ModelError, TrainingDiverged

TRAIN, VALIDATION = split(synthetic(120, 80, 1500, n_tastes=4).interactions, (0.8, 0.2))
N = TRAIN.matrix.nnz
NEVER_MIND = {"n_epochs": 4, "patience": None, "learning_rate": 0.5}


def outcome(fitted: Trainer) -> tuple[Any, ...]:
    """All that must not depend on interruptions."""
    digest = hashlib.sha256()
    for table in fitted._state.tables.to_numpy().values():
        digest.update(table.tobytes())
    return (
        digest.hexdigest(),
        vectors(fitted).tobytes(),
        [dataclasses.replace(report, seconds=0, seconds_between=0) for report in fitted.history_],
        fitted.best_epoch_,
        fitted.n_epochs_,
    )


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def manifest(folder: Path) -> dict[str, Any]:
    info: dict[str, Any] = json.loads((folder / "checkpoint.json").read_text())["info"]
    return info


def rewrite(folder: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    """Change the manifest and make its checksum fit, as a forger or another release would."""
    path = folder / "checkpoint.json"
    whole = json.loads(path.read_text())
    change(whole)
    whole["checksum"] = folders._checksum({key: whole[key] for key in ("kind", "info", "files")})
    path.write_text(json.dumps(whole))


class Stop(BaseException):
    """Stands for a process that is killed: no code of the package handles it."""


class Killer:
    """Lets a training die, or be interrupted, after so many launches, of so many pairs each."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, pairs: int) -> None:
        self.left = sys.maxsize
        self.error: type[BaseException] = Stop
        self.launches: list[tuple[int, int]] = []
        monkeypatch.setattr(loop, "PAIRS_PER_THREAD", pairs)
        monkeypatch.setattr(loop, "SECONDS_PER_LAUNCH", 0)
        make_job = cml_fast.trainer.make_job
        monkeypatch.setattr(cml_fast.trainer, "make_job", lambda *a: self.wrapped(make_job(*a)))

    def wrapped(self, job: Any) -> Any:
        def run(begin: int, end: int) -> Any:
            if self.left == 0:
                raise self.error
            self.left -= 1
            self.launches.append((begin, end))
            return job.run(begin, end)

        return WithRun(job, run)


@pytest.fixture
def killer(monkeypatch: pytest.MonkeyPatch) -> Killer:
    return Killer(monkeypatch, pairs=100)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "run"


def interrupted(
    folder: Path, killer: Killer, launches: int, error: type[BaseException], **options: Any
) -> None:
    """Begin a training and stop it."""
    params = {**NEVER_MIND, **options.pop("params", {})}
    killer.left, killer.error = launches, error
    with pytest.raises(error):
        trainer(**params).fit(TRAIN, validation=VALIDATION, checkpoint=folder, **options)
    killer.left = sys.maxsize


# Going on


@pytest.mark.parametrize("update", ["sync", "async"])
@pytest.mark.parametrize("every", [0.05, 0.3, 1.0, 1.7, 100])
@pytest.mark.parametrize("error", [Stop, KeyboardInterrupt])
def test_resumed_ends_like_uninterrupted(
    folder: Path, killer: Killer, error: type[BaseException], every: float, update: str
) -> None:
    """Stopped after any number of launches, and then after every further seventh."""
    params = {**NEVER_MIND, "update": update}
    expected = outcome(trainer(**params).fit(TRAIN, validation=VALIDATION))
    n_launches = len(killer.launches)
    assert n_launches > 4 * N // 130
    for first in range(1, n_launches, 13):
        shutil.rmtree(folder, ignore_errors=True)
        interrupted(folder, killer, first, error, params=params, checkpoint_every=every)
        for _ in range(3):
            killer.left = 7
            try:
                one = Trainer.resume(folder, TRAIN, validation=VALIDATION)
            except (FileNotFoundError, error):
                continue
            break
        killer.left = sys.maxsize
        try:
            one = Trainer.resume(folder, TRAIN, validation=VALIDATION)
        except FileNotFoundError:
            # Only if it was killed before the first checkpoint was due.
            assert error is Stop
            assert killer.launches[-1][1] <= every * N + 128
            continue
        assert outcome(one) == expected


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_goes_on_with_its_precision(folder: Path, killer: Killer, precision: str) -> None:
    params = {**NEVER_MIND, "precision": precision}
    interrupted(folder, killer, 20, KeyboardInterrupt, params=params)
    if precision == "float32":  # as in a checkpoint of a release that had no other
        rewrite(folder, lambda whole: whole["info"]["hyperparameters"].pop("precision"))
    stored = checkpoints.read_settings(folder)
    assert stored is not None and stored["precision"] == precision
    for other in ("float32", "bfloat16"):
        with pytest.raises(TypeError, match="only verbose, device and n_threads, got 'precision'"):
            Trainer.resume(folder, TRAIN, validation=VALIDATION, precision=other)
    resumed = Trainer.resume(folder, TRAIN, validation=VALIDATION)
    assert resumed.get_params()["precision"] == precision
    assert outcome(resumed) == outcome(trainer(**params).fit(TRAIN, validation=VALIDATION))


@pytest.mark.parametrize("validation", [None, VALIDATION])
def test_goes_on_where_it_stopped(folder: Path, killer: Killer, validation: Any) -> None:
    killer.left, killer.error = 20, KeyboardInterrupt
    one = trainer(**NEVER_MIND)
    with pytest.raises(KeyboardInterrupt):
        one.fit(TRAIN, validation=validation, checkpoint=folder)
    last = killer.launches[-1][1]
    assert manifest(folder)["position"] == last
    assert last % N > 0
    assert manifest(folder)["counts"]["pairs"] == last % N
    killer.left = sys.maxsize
    two = Trainer.resume(folder, TRAIN, validation=validation)
    assert killer.launches[20][0] == last
    assert sum(end - begin for begin, end in killer.launches) == 4 * N
    assert outcome(two) == outcome(trainer(**NEVER_MIND).fit(TRAIN, validation=validation))


@pytest.mark.parametrize("every", [0.07, 0.5, 1, 1.5, 3, 50])
@pytest.mark.parametrize("update", ["sync", "async"])
def test_when_checkpoints_are_written(
    folder: Path, monkeypatch: pytest.MonkeyPatch, killer: Killer, update: str, every: float
) -> None:
    written = []
    write = Checkpoint.write

    def spy(self: Checkpoint, state: TrainingState, *, finished: bool) -> None:
        written.append((state.position, len(state.history), finished))
        write(self, state, finished=finished)

    monkeypatch.setattr(Checkpoint, "write", spy)
    trainer(n_epochs=4, update=update).fit(TRAIN, checkpoint=folder, checkpoint_every=every)
    step = round(every * N)
    due = [*range(step, 4 * N, step), 4 * N]
    # With the batch or tile under way.
    unit = 100 if update == "sync" else LOSSES["softmax"].tile_size
    due = sorted({at // N * N + min(-(-(at % N) // unit) * unit, N) for at in due})
    assert [position for position, _, _ in written] == due
    assert [epochs for _, epochs, _ in written] == [position // N for position in due]
    assert [finished for _, _, finished in written] == [False] * (len(due) - 1) + [True]


@pytest.mark.parametrize("granularity", [1, 7, 64, 1000, 5000])
def test_launches_end_at_multiples(monkeypatch: pytest.MonkeyPatch, granularity: int) -> None:
    """Counted from the start of the epoch, wherever training stops on the way."""
    monkeypatch.setattr(loop, "PAIRS_PER_THREAD", 130)
    launches = []

    def run(begin: int, end: int) -> Any:
        launches.append((begin, end))
        counts = {"loss": 1.0, "active": 2, "impostors": 3, "skipped": 0, "pairs": end - begin}
        return Counters(**counts)

    monkeypatch.setattr(loop, "time", SimpleNamespace(perf_counter=lambda: 0.0))
    monkeypatch.setattr(loop, "SECONDS_PER_LAUNCH", 0)
    none: Any = None
    n = 3001
    told: list[int] = []
    state = TrainingState(none, 0, {}, n_pairs=n, first_epoch=2, position=2 * n)
    stops = []
    for until in (2 * n + 1, 2 * n + 500, 2 * n + 1999.0, 10**9):
        until = max(until, state.position + 1)
        job: Any = SimpleNamespace(run=run)
        loop.run_epoch(job, state, 1, told.append, until=until, granularity=granularity)
        assert state.position >= min(until, 3 * n)
        assert state.position < until + granularity
        stops.append(state.position)
        if state.counters.pairs == n:
            break
    assert (state.position, state.counters.pairs) == (3 * n, n)
    assert launches[0][0] == 2 * n
    assert [begin for begin, _ in launches[1:]] == [end for _, end in launches[:-1]]
    for _, end in launches:
        assert end == 3 * n or (end - 2 * n) % granularity == 0
    assert set(stops) <= {end for _, end in launches}
    assert told == [end - begin for begin, end in launches]


def test_early_stopping_goes_on_counting(
    folder: Path, killer: Killer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Patience, and the best epoch with its accumulators, come from before the interruption."""
    script = [0.1, 0.3, 0.2, 0.2, 0.9]

    def fake(model: Any, *rest: Any, **options: Any) -> Any:
        return SimpleNamespace(recall={50: script[len(seen)]})

    seen: list[EpochReport] = []
    monkeypatch.setattr(loop, "measure", fake)
    options: dict[str, Any] = {"callbacks": [lambda _, report: seen.append(report)]}
    params = {"n_epochs": 9, "patience": 2}
    expected = outcome(trainer(**params).fit(TRAIN, validation=VALIDATION, **options))
    assert (len(seen), expected[3]) == (4, 1)
    seen.clear()
    per_epoch = -(-N // 100)
    interrupted(
        folder,
        killer,
        3 * per_epoch + 2,
        KeyboardInterrupt,
        params={**params, "learning_rate": 0.15},
        **options,
    )
    assert len(seen) == 3
    one = Trainer.resume(folder, TRAIN, validation=VALIDATION, **options)
    assert outcome(one) == expected
    one.set_params(warm_start=True, n_epochs=1).fit(TRAIN)
    two = trainer(n_epochs=3).fit(TRAIN)
    assert_same(one, two)


def test_interrupted_after_the_last_pair_of_an_epoch(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While recall is measured: no pair is visited twice, and the epoch gets its report."""
    expected = outcome(trainer(**NEVER_MIND).fit(TRAIN, validation=VALIDATION))
    measure, calls = loop.measure, []

    def fail(*args: Any, **options: Any) -> Any:
        calls.append(args)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return measure(*args, **options)

    monkeypatch.setattr(loop, "measure", fail)
    with pytest.raises(KeyboardInterrupt):
        trainer(**NEVER_MIND).fit(TRAIN, validation=VALIDATION, checkpoint=folder)
    assert (manifest(folder)["position"], len(manifest(folder)["history"])) == (2 * N, 1)
    assert outcome(Trainer.resume(folder, TRAIN, validation=VALIDATION)) == expected


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_during_a_launch(
    folder: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    """The launch is completed, and counted, before the interruption."""
    before = signal.signal(number, signal.default_int_handler)
    expected = outcome(trainer(n_epochs=3).fit(TRAIN))
    for at in range(1, 12, 2):
        shutil.rmtree(folder, ignore_errors=True)
        with monkeypatch.context() as patch:
            killer = Killer(patch, pairs=300)
            wrapped = killer.wrapped

            def interrupting(
                job: Any, killer: Killer = killer, wrapped: Any = wrapped, at: int = at
            ) -> Any:
                run = wrapped(job).run

                def launch(begin: int, end: int) -> Any:
                    done = run(begin, end)
                    if len(killer.launches) == at:
                        os.kill(os.getpid(), number)
                    return done

                return WithRun(job, launch)

            killer.wrapped = interrupting  # type: ignore[method-assign]
            with pytest.raises(KeyboardInterrupt):
                trainer(n_epochs=3).fit(TRAIN, checkpoint=folder)
            assert len(killer.launches) == at
            assert manifest(folder)["position"] == killer.launches[-1][1]
        assert signal.getsignal(number) is signal.default_int_handler
        assert outcome(Trainer.resume(folder, TRAIN)) == expected
    signal.signal(number, before)


def test_loss_does_not_tell_where_launches_ended() -> None:
    launches = [Counters(pairs=1, active=1, impostors=1, loss=x) for x in (0.1, 0.2, 0.3)]
    whole = Counters(pairs=3, active=3, impostors=3, loss=0.1 + (0.2 + 0.3))
    parts = Counters()
    for launch in launches:
        parts = parts.plus(launch, 0.0)
    assert parts.loss != whole.loss
    assert parts.report(0, 5) == Counters().plus(whole, 0.0).report(0, 5)


def test_in_a_thread(folder: Path) -> None:
    """Where signals cannot be handled, training goes on without."""
    made: list[Trainer] = []
    thread = threading.Thread(target=lambda: made.append(trainer().fit(TRAIN, checkpoint=folder)))
    thread.start()
    thread.join()
    assert_same(made[0], trainer().fit(TRAIN))


def test_exception_in_a_callback_leaves_the_last_checkpoint(folder: Path) -> None:
    def fail(fitted: Trainer, report: EpochReport) -> None:
        if report.epoch == 2:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        trainer(n_epochs=4).fit(TRAIN, callbacks=[fail], checkpoint=folder)
    assert manifest(folder)["position"] == 2 * N
    seen: list[int] = []
    one = Trainer.resume(folder, TRAIN, callbacks=[lambda _, report: seen.append(report.epoch)])
    assert seen == [2, 3]
    assert outcome(one) == outcome(trainer(n_epochs=4).fit(TRAIN))


def test_divergence_leaves_the_last_checkpoint(folder: Path, killer: Killer) -> None:
    interrupted(folder, killer, 10, KeyboardInterrupt)
    rewrite(folder, lambda whole: whole["info"]["hyperparameters"].update(learning_rate=1e38))
    before = content(folder)
    with pytest.raises(TrainingDiverged):
        Trainer.resume(folder, TRAIN, validation=VALIDATION)
    assert content(folder) == before


# A finished training


@pytest.mark.parametrize("validation", [None, VALIDATION])
def test_finished_training_is_returned(
    folder: Path, validation: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = trainer(n_epochs=6, learning_rate=1.0, patience=1)
    one.fit(TRAIN, validation=validation, checkpoint=folder)
    before = content(folder)
    monkeypatch.setattr(Checkpoint, "write", lambda *_, **__: pytest.fail("written"))
    two = Trainer.resume(folder, TRAIN, validation=validation)
    assert outcome(two) == outcome(one)
    assert two.history_ == one.history_
    assert two.get_params() == one.get_params()
    assert two.model_.hyperparameters == one.model_.hyperparameters
    assert two.model_.user_ids.tolist() == one.model_.user_ids.tolist()
    assert content(folder) == before
    for each in (one, two):
        each.set_params(warm_start=True).fit(TRAIN)
    assert outcome(one) == outcome(two)


def test_stopped_by_a_callback_is_finished(folder: Path) -> None:
    one = trainer(n_epochs=9).fit(TRAIN, callbacks=[lambda *_: True], checkpoint=folder)
    assert manifest(folder)["finished"]
    assert outcome(Trainer.resume(folder, TRAIN)) == outcome(one)
    assert len(one.history_) == 1


def test_interrupted_after_the_last_epoch_is_finished(folder: Path) -> None:
    def interrupt(fitted: Trainer, report: EpochReport) -> None:
        if report.epoch == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        trainer().fit(TRAIN, callbacks=[interrupt], checkpoint=folder)
    assert manifest(folder)["finished"]
    assert outcome(Trainer.resume(folder, TRAIN)) == outcome(trainer().fit(TRAIN))


# Warm start


def test_warm_start(folder: Path, killer: Killer) -> None:
    """Positions count on from the fits before."""
    expected = outcome(trainer(warm_start=True).fit(TRAIN).fit(TRAIN, validation=VALIDATION))
    killer.launches.clear()
    one = trainer(warm_start=True).fit(TRAIN, checkpoint=folder)
    killer.left, killer.error = 5, KeyboardInterrupt
    with pytest.raises(KeyboardInterrupt):
        one.fit(TRAIN, validation=VALIDATION, checkpoint=folder)
    killer.left = sys.maxsize
    assert manifest(folder)["first_epoch"] == 2
    assert 2 * N < manifest(folder)["position"] < 3 * N
    two = Trainer.resume(folder, TRAIN, validation=VALIDATION)
    assert [report.epoch for report in two.history_] == [2, 3]
    assert outcome(two) == expected
    assert two.warm_start


# What is stored


@pytest.mark.parametrize(
    "make",
    [
        lambda: 3,
        lambda: np.int64(3),
        lambda: None,
        lambda: np.random.default_rng(3),
        lambda: np.random.RandomState(3),
    ],
)
def test_random_state(folder: Path, killer: Killer, make: Any) -> None:
    given = make()
    killer.left, killer.error = 3, KeyboardInterrupt
    one = trainer(random_state=given)
    with pytest.raises(KeyboardInterrupt):
        one.fit(TRAIN, checkpoint=folder)
    killer.left = sys.maxsize
    two = Trainer.resume(folder, TRAIN)
    if given is not None:
        assert outcome(two) == outcome(trainer(random_state=make()).fit(TRAIN))
        assert isinstance(two.random_state, int)
        assert two.random_state == 3 or not isinstance(given, (int, np.integer))
    else:
        assert two.random_state is None
    two.fit(TRAIN)


def test_numpy_hyperparameters(folder: Path) -> None:
    given = {
        "n_dims": np.int8(5),
        "temperature": np.float32(0.7),
        "verbose": np.False_,
        "warm_start": np.True_,
    }
    one = trainer(**given).fit(TRAIN, checkpoint=folder)
    two = Trainer.resume(folder, TRAIN)
    assert two.get_params() == one.get_params()
    assert {type(two.n_dims), type(two.temperature), type(two.verbose)} == {int, float, bool}


def test_ids(folder: Path, killer: Killer) -> None:
    """They are kept, for a matrix that has none, and must not be others."""
    odd = Interactions(
        TRAIN.matrix, np.arange(120) * 10, np.array([f"i\ud800{i}" for i in range(80)])
    )
    killer.left, killer.error = 3, KeyboardInterrupt
    with pytest.raises(KeyboardInterrupt):
        trainer().fit(odd, checkpoint=folder)
    killer.left = sys.maxsize
    for axis in ("user_ids", "item_ids"):
        other = dataclasses.replace(odd, **{axis: getattr(odd, axis)[::-1]})
        with pytest.raises(DataError, match="ids of train differ from those of the checkpoint"):
            Trainer.resume(folder, other)
    one = Trainer.resume(folder, TRAIN.matrix)
    assert one.model_.user_ids.tolist() == odd.user_ids.tolist()
    assert one.model_.item_ids.tolist() == odd.item_ids.tolist()
    assert one.model_.user_ids.dtype == np.int64
    two = Trainer.resume(folder, odd)
    assert two.model_.item_ids.tolist() == odd.item_ids.tolist()


def test_no_ids(folder: Path) -> None:
    trainer().fit(TRAIN.matrix, checkpoint=folder)
    assert {name.split("-")[0] for name in content(folder)} == {
        "averages",
        "checkpoint.json",
        "tables",
    }
    assert Trainer.resume(folder, TRAIN.matrix).model_.user_ids.tolist() == list(range(120))
    assert Trainer.resume(folder, TRAIN).model_.user_ids.tolist() == TRAIN.user_ids.tolist()


def test_no_pickle(folder: Path) -> None:
    trainer().fit(TRAIN, validation=VALIDATION, checkpoint=folder)
    files = sorted(name.split("-")[0] + Path(name).suffix for name in content(folder))
    assert files == [
        "averages.safetensors",
        "best.safetensors",
        "bestaverages.safetensors",
        "checkpoint.json.json",
        "ids.json",
        "tables.safetensors",
    ]


def test_overrides(folder: Path, killer: Killer, capfd: pytest.CaptureFixture[str]) -> None:
    interrupted(folder, killer, 3, KeyboardInterrupt)
    for name in ("n_epochs", "margin", "random_state", "checkpoint_every", "n_thread"):
        with pytest.raises(TypeError, match=f"only verbose, device and n_threads, got '{name}'"):
            Trainer.resume(folder, TRAIN, validation=VALIDATION, **{name: 3})
    with pytest.raises(ValueError, match="device must be"):
        Trainer.resume(folder, TRAIN, validation=VALIDATION, device="abacus")
    capfd.readouterr()
    one = Trainer.resume(
        folder, TRAIN, validation=VALIDATION, verbose=True, device="auto", n_threads=2
    )
    assert (one.verbose, one.device, one.n_threads) == (True, "auto", 2)
    err = capfd.readouterr().err
    assert "2 thread(s)" in err
    assert "100%" in err
    assert manifest(folder)["hyperparameters"]["n_threads"] == 2


def test_resume_on_another_device(folder: Path, killer: Killer, device: str) -> None:
    interrupted(folder, killer, 2 * -(-N // 100) + 3, KeyboardInterrupt)
    one = Trainer.resume(folder, TRAIN, validation=VALIDATION, device=device)
    assert one.device_ == device
    assert len(one.history_) == 4
    assert np.isfinite(vectors(one)).all()


@pytest.mark.parametrize("first", ["cpu", "the device"])
def test_mini_batches_end_alike_on_another_device(
    folder: Path, killer: Killer, device: str, first: str
) -> None:
    sync = {"update": "sync", "batch_size": 100}
    expected = outcome(trainer(**NEVER_MIND, **sync).fit(TRAIN, validation=VALIDATION))
    killer.left = sys.maxsize
    devices = ["cpu", device] if first == "cpu" else [device, "cpu"]
    interrupted(folder, killer, 8, KeyboardInterrupt, params={"device": devices[0], **sync})
    one = Trainer.resume(folder, TRAIN, validation=VALIDATION, device=devices[1], n_threads=2)
    assert one.device_ == devices[1]
    assert outcome(one) == expected


# Other data


def changed(what: str) -> Any:
    matrix = TRAIN.matrix.copy()
    if what == "weight":
        matrix.data[5] += 1
    elif what == "item":
        row = np.flatnonzero(np.diff(matrix.indptr))[0]
        free = set(range(80)) - set(matrix.indices[matrix.indptr[row] : matrix.indptr[row + 1]])
        dense = matrix.toarray()
        dense[row, matrix.indices[matrix.indptr[row]]] = 0
        dense[row, free.pop()] = 1
        matrix = sp.csr_array(dense)
    elif what == "users swapped":
        matrix = matrix[np.r_[1, 0, 2:120]]
    elif what == "shape":
        matrix = sp.csr_array((matrix.data, matrix.indices, matrix.indptr), shape=(120, 81))
    elif what == "pair less":
        matrix = matrix.copy()
        matrix.data[0] = 0
        matrix.eliminate_zeros()
    return matrix


@pytest.mark.parametrize("what", ["weight", "item", "users swapped", "shape", "pair less"])
def test_other_training_data(folder: Path, killer: Killer, what: str) -> None:
    killer.left, killer.error = 3, KeyboardInterrupt
    with pytest.raises(KeyboardInterrupt):
        trainer().fit(TRAIN, checkpoint=folder)
    killer.left = sys.maxsize
    before = content(folder)
    with pytest.raises(DataError, match=r"was made with other training data; give the data .* fit"):
        Trainer.resume(folder, changed(what))
    assert content(folder) == before


def test_same_items_of_other_users() -> None:
    one, other = sp.csr_array([[1, 1, 0], [0, 0, 1]]), sp.csr_array([[1, 0, 0], [0, 1, 1]])
    np.testing.assert_array_equal(one.indices, other.indices)
    assert checkpoints._fingerprint(one) != checkpoints._fingerprint(other)


def test_other_validation_data(folder: Path, killer: Killer) -> None:
    interrupted(folder, killer, 3, KeyboardInterrupt)
    before = content(folder)
    few = VALIDATION.matrix.copy()
    few.data[3] = 0
    few.eliminate_zeros()
    with pytest.raises(DataError, match="was made with validation data, and none is given"):
        Trainer.resume(folder, TRAIN)
    with pytest.raises(DataError, match="was made with other validation data"):
        Trainer.resume(folder, TRAIN, validation=few)
    assert content(folder) == before
    shutil.rmtree(folder)
    trainer().fit(TRAIN, checkpoint=folder)
    with pytest.raises(DataError, match="was made without validation data"):
        Trainer.resume(folder, TRAIN, validation=VALIDATION)


@pytest.mark.parametrize("kind", ["csc", "coo", "int64"])
def test_same_data_in_another_format(folder: Path, kind: str) -> None:
    one = trainer().fit(TRAIN, checkpoint=folder)
    matrix = TRAIN.matrix.copy()
    if kind == "int64":
        matrix.indices, matrix.indptr = (
            matrix.indices.astype(np.int64),
            matrix.indptr.astype(np.int64),
        )
    else:
        matrix = matrix.asformat(kind)
    assert_same(Trainer.resume(folder, matrix), one)


# Damage


def test_every_truncation_flip_and_loss_is_noticed(folder: Path) -> None:
    trainer(n_dims=1, n_epochs=1).fit(TRAIN, validation=VALIDATION, checkpoint=folder)
    intact = content(folder)
    assert len(intact) == 6
    hyper = Trainer().get_params()
    for name, data in intact.items():
        path = folder / name
        path.unlink()
        # Without its manifest it is what a killed first write leaves.
        lost = FileNotFoundError if name == "checkpoint.json" else ModelError
        with pytest.raises(lost, match="no checkpoint in" if lost is FileNotFoundError else name):
            Checkpoint.read(folder, hyper)
        for length in (0, 1, len(data) // 2, len(data) - 2):
            path.write_bytes(data[:length])
            with pytest.raises(ModelError, match=name):
                Checkpoint.read(folder, hyper)
        for at in range(0, len(data), 13):
            path.write_bytes(data[:at] + bytes([data[at] ^ 0x11]) + data[at + 1 :])
            with pytest.raises(ModelError, match=name):
                Checkpoint.read(folder, hyper)
        path.write_bytes(data)
    Checkpoint.read(folder, hyper)
    next(folder.glob("best-*")).unlink()
    with pytest.raises(ModelError, match=r"best-.*missing.*begin anew in another folder"):
        Trainer.resume(folder, TRAIN, validation=VALIDATION)


def test_absent(tmp_path: Path) -> None:
    for path in (tmp_path / "absent", tmp_path):
        with pytest.raises(FileNotFoundError, match=r"no checkpoint in .* fit"):
            Trainer.resume(path, TRAIN)
    (tmp_path / ".tmp-0123456789abcdef-tables.safetensors").write_text("left by a killed process")
    (tmp_path / "ids-0123456789abcdef.json").write_text("[]")
    with pytest.raises(FileNotFoundError, match=r"no checkpoint in .* fit"):
        Trainer.resume(str(tmp_path), TRAIN)
    trainer().fit(TRAIN, checkpoint=tmp_path)
    assert len(content(tmp_path)) == 4


def test_newer_format(folder: Path) -> None:
    trainer().fit(TRAIN, checkpoint=folder)
    rewrite(folder, lambda whole: whole.update(format_version=2))
    before = content(folder)
    for call in (
        lambda: Trainer.resume(folder, TRAIN),
        lambda: trainer().fit(TRAIN, checkpoint=folder),
    ):
        with pytest.raises(ModelError, match=r"checkpoint\.json has format 2; .* upgrade"):
            call()
    assert content(folder) == before


def test_other_kinds(tmp_path: Path) -> None:
    one = trainer().fit(TRAIN, checkpoint=tmp_path / "run")
    one.model_.save(tmp_path / "model")
    with pytest.raises(ModelError, match="not a checkpoint folder"):
        Trainer.resume(tmp_path / "model", TRAIN)
    with pytest.raises(FileExistsError, match="not a checkpoint folder"):
        trainer().fit(TRAIN, checkpoint=tmp_path / "model")
    with pytest.raises(ModelError, match="not a model folder"):
        Model.load(tmp_path / "run")
    with pytest.raises(FileExistsError, match="not a model folder"):
        one.model_.save(tmp_path / "run")
    os.rename(tmp_path / "model" / "model.json", tmp_path / "model" / "checkpoint.json")
    with pytest.raises(ModelError, match=r"checkpoint\.json is damaged"):
        Trainer.resume(tmp_path / "model", TRAIN)


@pytest.mark.parametrize(
    "change",
    [
        *(
            {name: None}
            for name in ("every", "hyperparameters", "data", "seed", "n_pairs", "history")
        ),
        *({name: "3"} for name in ("every", "data", "position", "counts", "best", "stopped")),
        *({"every": bad} for bad in (0, -1.0, True)),
        *({"position": bad} for bad in (-1, 5, 2 * N + 1, 2 * N - 1, 3 * N, 2.0 * N, 2**63)),
        *({"n_pairs": bad} for bad in (0, N + 1, 2 * N)),
        *({"first_epoch": bad} for bad in (1, -1)),
        *({"seed": bad} for bad in (-1, 2**63, 1.5)),
        *({"counts": bad} for bad in ({}, {"pairs": 3}, {"pairs": N}, {"loss": "x"}, {"x": 1})),
        *({"history": bad} for bad in ([], [3], [{}])),
        *({"best": bad} for bad in ({}, {"epoch": 7, "recall": 0.5}, {"epoch": 0, "recall": "x"})),
        {"hyperparameters": {"n_dims": 8, "colour": "red"}},
        {"hyperparameters": {"n_dims": 9}},
        {"hyperparameters": {}},
        {"position": 2 * N, "counts": {"pairs": 2 * N}, "history": [], "best": None},
        {"n_pairs": 2 * N, "position": 4 * N},
    ],
)
def test_info_that_describes_no_training(folder: Path, change: dict[str, Any]) -> None:
    trainer().fit(TRAIN, validation=VALIDATION, checkpoint=folder)
    rewrite(folder, lambda whole: whole["info"].update(change))
    if change == {"counts": {}}:
        assert len(Trainer.resume(folder, TRAIN, validation=VALIDATION).history_) == 2
        return
    with pytest.raises(ModelError, match=r"checkpoint\.json (does not describe|contradicts)"):
        Trainer.resume(folder, TRAIN, validation=VALIDATION)


USERS, ITEMS = np.ones((120, 8), np.float32), np.ones((80, 8), np.float32)
GOOD = {"users": USERS, "user_accumulators": USERS, "items": ITEMS, "item_accumulators": ITEMS}


@pytest.mark.parametrize(
    "change, message",
    [
        ({"users": None}, "must hold the arrays"),
        ({"items": ITEMS.astype(np.float64)}, "items must be float32"),
        ({"users": USERS[:5].copy()}, "shapes"),
        ({"users": USERS[0].copy()}, "shapes"),
        ({"items": ITEMS[:, :7].copy(), "item_accumulators": ITEMS[:, :7].copy()}, "shapes"),
        ({"users": USERS * np.float32(np.nan)}, "not finite"),
        ({"items": ITEMS * np.float32(-np.inf)}, "not finite"),
        ({"item_accumulators": -ITEMS}, "negative sums"),
        ({"user_accumulators": USERS * np.float32(np.inf)}, "not finite"),
    ],
)
def test_tables_that_cannot_be(folder: Path, change: dict[str, Any], message: str) -> None:
    trainer().fit(TRAIN, checkpoint=folder)
    arrays = {name: array for name, array in {**GOOD, **change}.items() if array is not None}
    name = "tables.safetensors"

    def swap(whole: dict[str, Any]) -> None:
        whole["files"][name] = folders._write_data_file(
            folder, name, lambda path: folders.write_arrays(path, arrays)
        )

    rewrite(folder, swap)
    with pytest.raises(ModelError, match=rf"tables-[0-9a-f]+\.safetensors.*{message}"):
        Trainer.resume(folder, TRAIN)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"user_weights": None}, "must hold the arrays"),
        ({"users": USERS[:5].copy()}, "of other tables"),
        ({"item_weights": np.ones(79)}, "weights of other tables"),
        ({"item_weights": np.full(80, -1.0)}, "not finite"),
        ({"user_weights": np.full(120, np.nan)}, "not finite"),
    ],
)
def test_averages_that_cannot_be(folder: Path, change: dict[str, Any], message: str) -> None:
    trainer().fit(TRAIN).partial_fit(TRAIN, checkpoint=folder)
    good = {"users": USERS, "items": ITEMS, "user_weights": np.ones(120)}
    good["item_weights"] = np.zeros(80)
    arrays = {name: array for name, array in {**good, **change}.items() if array is not None}

    def swap(whole: dict[str, Any], arrays: dict[str, np.ndarray] = arrays) -> None:
        whole["files"]["averages.safetensors"] = folders._write_data_file(
            folder, "averages.safetensors", lambda path: folders.write_arrays(path, arrays)
        )

    rewrite(folder, swap)
    with pytest.raises(ModelError, match=rf"averages-[0-9a-f]+\.safetensors.*{message}"):
        Trainer.resume(folder)
    rewrite(folder, lambda whole: swap(whole, good))
    assert Trainer.resume(folder).model_.user_vectors.min() == 1


# Bad arguments


def test_refused_before_anything_changes(tmp_path: Path) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "thesis.tex").write_text("precious")
    (tmp_path / "plain").write_text("precious")
    before = sorted(tmp_path.rglob("*"))
    cases: list[tuple[Any, Any, type[Exception], str]] = [
        *((bad, 1.0, TypeError, "checkpoint must be the path") for bad in (3, True, b"x", "", [])),
        (tmp_path / "thesis", 1.0, FileExistsError, r"thesis\.tex"),
        (tmp_path / "plain", 1.0, FileExistsError, "not a folder"),
        (tmp_path / "plain" / "run", 1.0, OSError, "cannot be written"),
        *(
            (tmp_path / "run", bad, ValueError, "checkpoint_every must be")
            for bad in (0, -1, float("nan"), float("inf"))
        ),
        *(
            (tmp_path / "run", bad, TypeError, "checkpoint_every must be")
            for bad in ("1", None, True)
        ),
        (None, -1, ValueError, "checkpoint_every must be"),
    ]
    generator = np.random.default_rng(5)
    state = generator.bit_generator.state
    one = trainer(random_state=generator)
    for checkpoint, every, error, match in cases:
        with pytest.raises(error, match=match):
            one.fit(TRAIN, checkpoint=checkpoint, checkpoint_every=every)
    assert not hasattr(one, "model_")
    assert generator.bit_generator.state == state
    assert sorted(tmp_path.rglob("*")) == before
    with pytest.raises(TypeError, match="path must be the path"):
        Trainer.resume(3, TRAIN)  # type: ignore[arg-type]


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write anywhere")
def test_unwritable_parent(tmp_path: Path) -> None:
    (tmp_path / "locked").mkdir(mode=0o500)
    with pytest.raises(OSError, match="cannot be written"):
        trainer().fit(TRAIN, checkpoint=tmp_path / "locked" / "run")


def test_resume_where_nothing_can_be_written(
    folder: Path, killer: Killer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Refused before training; but what is finished needs no writing."""

    def refuse(**_: Any) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    interrupted(folder, killer, 3, KeyboardInterrupt)
    launches = len(killer.launches)
    with monkeypatch.context() as patch:
        patch.setattr(folders.tempfile, "TemporaryFile", refuse)
        with pytest.raises(OSError, match="run cannot be written: Read-only"):
            Trainer.resume(folder, TRAIN, validation=VALIDATION)
    assert len(killer.launches) == launches
    one = Trainer.resume(folder, TRAIN, validation=VALIDATION)
    monkeypatch.setattr(folders.tempfile, "TemporaryFile", refuse)
    assert outcome(Trainer.resume(folder, TRAIN, validation=VALIDATION)) == outcome(one)


def test_relative_path_is_of_the_beginning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "elsewhere").mkdir()
    leave = [lambda *_: os.chdir(tmp_path / "elsewhere")]
    trainer().fit(TRAIN, checkpoint="run", callbacks=leave)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["elsewhere", "run"]
    assert not any((tmp_path / "elsewhere").iterdir())


def test_an_unfinished_training_is_not_overwritten(folder: Path, killer: Killer) -> None:
    interrupted(folder, killer, 3, KeyboardInterrupt)
    before = content(folder)
    with pytest.raises(FileExistsError, match=r"not finished: go on with it \(Trainer\.resume"):
        trainer().fit(TRAIN, checkpoint=folder)
    assert content(folder) == before
    Trainer.resume(folder, TRAIN, validation=VALIDATION)
    trainer(n_dims=3).fit(TRAIN, checkpoint=folder)  # a finished one is replaced
    assert Trainer.resume(folder, TRAIN).n_dims == 3


@pytest.mark.parametrize("every", [1e-300, 1.7e308, np.float32(0.5), 2])
def test_odd_intervals(folder: Path, every: Any) -> None:
    few = synthetic(12, 12, 24).interactions
    one = trainer().fit(few, checkpoint=folder, checkpoint_every=every)
    assert_same(Trainer.resume(folder, few), one)


# A disk that fails


def test_failing_writes_are_warnings(
    folder: Path, killer: Killer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Training goes on, the checkpoint before stays, and the next one is tried again."""

    def full(*args: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    expected = outcome(trainer(n_epochs=3).fit(TRAIN))
    before: dict[str, bytes] = {}

    def fill(fitted: Trainer, report: EpochReport) -> None:
        if report.epoch == 1:
            before.update(content(folder))
            monkeypatch.setattr(folders.os, "replace", full)

    one = trainer(n_epochs=3)
    with pytest.warns(
        UserWarning, match="could not be written, training goes on.*No space left"
    ) as record:
        one.fit(TRAIN, callbacks=[fill], checkpoint=folder)
    assert len(record) == 1  # although two were not written
    assert {warning.filename for warning in record} == {__file__}
    assert outcome(one) == expected
    assert content(folder) == before
    monkeypatch.undo()
    assert manifest(folder)["position"] == N
    assert outcome(Trainer.resume(folder, TRAIN)) == expected


def test_full_disk_from_the_start(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(checkpoints, "write_arrays", full)
    one = trainer()
    with pytest.warns(UserWarning, match="No space left"):
        one.fit(TRAIN, checkpoint=folder)
    assert_same(one, trainer().fit(TRAIN))
    assert not folder.exists()


# A process that is killed

SERVER = """
import os, sys
from cml_fast import Trainer
from cml_fast.data import split, synthetic

train, validation = split(synthetic(120, 80, 1500, n_tastes=4).interactions, (0.8, 0.2))

def train_on(folder, update, n_threads):
    try:
        Trainer.resume(folder, train, validation=validation, n_threads=n_threads)
    except FileNotFoundError:
        params = dict(n_dims=8, n_negatives=5, n_epochs=6, learning_rate=0.5, patience=None)
        params.update(update=update, n_threads=n_threads)
        params.update(temperature=0.3, user_retention=1.0, popularity_weight=0)
        if update == "sync":
            params.update(batch_size=100)
        one = Trainer(**params, device="cpu", verbose=False)
        one.fit(train, validation=validation, checkpoint=folder, checkpoint_every=0.07)

for n_threads in sys.stdin:
    child = os.fork()
    if child == 0:
        train_on(*sys.argv[1:], int(n_threads))
        os._exit(0)
    print(child, flush=True)
    sys.stdin.readline()  # until then its number stays its own
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


@pytest.mark.parametrize("n_kills", [15, pytest.param(50, marks=pytest.mark.slow)])
@pytest.mark.parametrize(("update", "most_threads"), [("async", 1), ("sync", 3)])
def test_killed_many_times(folder: Path, update: str, most_threads: int, n_kills: int) -> None:
    """At any moment the folder can be resumed from, and the end is that of an unharmed training.

    A server that has imported the package forks the processes to be killed, which saves the time
    of as many starts.
    """
    params = {"n_epochs": 6, "learning_rate": 0.5, "patience": None}
    params |= {"update": update}
    expected = outcome(trainer(**params).fit(TRAIN, validation=VALIDATION))
    hyper, rng = Trainer().get_params(), random.Random(0)
    kills = finished = resumed = within_a_write = position = 0
    longest = 0.2
    command = [sys.executable, "-c", SERVER, str(folder), update]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        while kills < n_kills or finished < 3:
            print(rng.randint(1, most_threads), file=server.stdin, flush=True)
            child = int(server.stdout.readline())
            time.sleep(rng.uniform(0, longest))
            os.kill(child, signal.SIGKILL)  # without effect if it has ended
            print("reap", file=server.stdin, flush=True)
            status = int(server.stdout.readline())
            assert status in (0, -signal.SIGKILL)
            kills += status != 0
            try:
                _, state = Checkpoint.read(folder, hyper)
            except FileNotFoundError:
                assert position == 0
                continue
            assert state.position >= position
            resumed += state.position > position > 0
            if state.position == position:
                longest *= 1.05  # the machine is slow: the training has to end some time
            position = state.position
            listed = json.loads((folder / "checkpoint.json").read_text())["files"]
            within_a_write += len(content(folder)) > len(listed) + 1
            if position == 6 * N and manifest(folder)["finished"]:
                assert outcome(Trainer.resume(folder, TRAIN, validation=VALIDATION)) == expected
                finished += 1
                position = 0
                shutil.rmtree(folder)
        server.stdin.close()
    assert resumed >= n_kills // 5
    assert within_a_write >= n_kills // 15, "too few kills hit the middle of a write"
