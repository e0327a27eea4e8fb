"""ScheduledStep between launches: after the same visits, however these are split into launches."""

from __future__ import annotations

import dataclasses
import itertools
import math
from types import SimpleNamespace

import numpy as np
import pytest
from support.kernels import settings
from support.trainers import assert_same, trainer, vectors

from cml_fast import Trainer
from cml_fast._compute.tables import Tables
from cml_fast._training.covariance import CovarianceStep
from cml_fast._training.reports import Counters
from cml_fast._training.scheduled import ScheduledJob
from cml_fast.data import split, synthetic
from cml_fast.errors import TrainingDiverged

N = 1000
TRAIN, VALIDATION = split(synthetic(120, 80, 1500, n_tastes=4).interactions, (0.8, 0.2))


@dataclasses.dataclass
class Recorder:
    """Stands for a job and for the work between its launches."""

    interval: int
    log: list[tuple[object, ...]] = dataclasses.field(default_factory=list)
    fails_at: tuple[int, int] | None = None
    learning_rate: float = math.nan
    rates: list[float] = dataclasses.field(default_factory=list)

    def run(self, begin: int, end: int) -> Counters:
        self.log.append(("run", begin, end))
        self.rates.append(self.learning_rate)
        return Counters(pairs=end - begin, active=1, loss=0.5)

    def step(self, epoch: int, number: int) -> bool:
        self.log.append(("step", epoch, number))
        return (epoch, number) != self.fails_at

    def steps(self) -> list[tuple[int, tuple[object, ...]]]:
        """Each step with the visit after which it was made."""
        pairs = itertools.pairwise(self.log)
        return [(before[2], after[1:]) for before, after in pairs if after[0] == "step"]


def constant(epoch: int) -> float:
    return 0.1


@pytest.mark.parametrize(
    ("interval", "unit", "expected"),
    [(300, 1, [300, 600, 900]), (300, 128, [384, 768]), (1000, 1, [1000]), (5000, 64, [1000])],
)
def test_when(interval: int, unit: int, expected: list[int]) -> None:
    due = [
        (epoch * N + at, (epoch, number))
        for epoch in range(3)
        for number, at in enumerate(expected)
    ]
    for bounds in ([0, 3 * N], [0, 384, 768, 1000, 1128, 3 * N], [*range(0, 3 * N + 1, 8)]):
        recorder = Recorder(interval)
        job = ScheduledJob(recorder, N, unit, [recorder], constant)
        for begin, end in itertools.pairwise(bounds):
            launch = job.run(begin, end)
            assert launch.pairs == end - begin
            assert launch.first_non_finite is None
        assert recorder.steps() == due
        runs = [entry for entry in recorder.log if entry[0] == "run"]
        assert [begin for _, begin, _ in runs] == [0, *(end for _, _, end in runs[:-1])]


def test_counts_add_up() -> None:
    recorder = Recorder(100)
    launch = ScheduledJob(recorder, N, 1, [recorder], constant).run(50, 350)
    assert (launch.pairs, launch.active, launch.loss) == (300, 4, 2.0)
    assert launch.seconds_between > 0


def test_without_work_a_launch_ends_with_its_epoch() -> None:
    recorder = Recorder(1)
    ScheduledJob(recorder, N, 1, [], constant).run(10, 2500)
    assert recorder.log == [("run", 10, 1000), ("run", 1000, 2000), ("run", 2000, 2500)]


def test_work_that_fails_is_the_end() -> None:
    recorder = Recorder(100, fails_at=(0, 1))
    launch = ScheduledJob(recorder, N, 1, [recorder], constant).run(0, 500)
    assert launch.first_non_finite == 199
    assert recorder.log[-1] == ("step", 0, 1)


# --- the learning rate of an epoch ---------------------------------------------------------------


def test_each_launch_has_the_rate_of_its_epoch() -> None:
    recorder = Recorder(500)
    job = ScheduledJob(recorder, N, 1, [recorder], [0.4, 0.2, 0.1].__getitem__)
    job.run(200, 2 * N)
    job.run(2 * N, 2 * N + 10)
    assert [begin for _, begin, _ in filter(is_run, recorder.log)] == [200, 500, 1000, 1500, 2000]
    assert recorder.rates == [0.4, 0.4, 0.2, 0.2, 0.1]


def is_run(entry: tuple[object, ...]) -> bool:
    return entry[0] == "run"


def test_the_rate_falls_with_the_number_of_the_epoch() -> None:
    falling = settings(learning_rate=0.2, learning_rate_decay=0.125)
    assert [falling.learning_rate_of(epoch) for epoch in (0, 4, 8, 24)] == pytest.approx(
        [0.2, 0.2 / 1.5, 0.1, 0.05]
    )
    assert settings(learning_rate=0.2, learning_rate_decay=0.0).learning_rate_of(9) == 0.2


def test_a_training_of_one_epoch_after_another_is_one_training() -> None:
    whole = trainer(learning_rate_decay=0.5, n_epochs=3).fit(TRAIN)
    one = trainer(learning_rate_decay=0.5, n_epochs=1, warm_start=True)
    for _ in range(3):
        one.fit(TRAIN)
    assert_same(whole, one)
    constant = trainer(learning_rate_decay=0.0, n_epochs=3).fit(TRAIN)
    assert not np.array_equal(vectors(whole), vectors(constant))


# --- covariance regularisation in training ------------------------------------------------------


def fitted(**params: object) -> Trainer:
    params = {"n_epochs": 4, "cov_weight": 10.0, "patience": None, **params}
    if params["cov_weight"]:
        params = {"cov_interval": 300, **params}
    return trainer(**params).fit(TRAIN, validation=VALIDATION)


def off_diagonal(one: Trainer) -> float:
    covariance = np.cov(vectors(one).T.astype(np.float64))
    return float(np.square(covariance).sum() - np.square(np.diag(covariance)).sum())


@pytest.mark.parametrize("update", ["sync", "async"])
def test_it_decorrelates(device: str, update: str) -> None:
    without = fitted(device=device, update=update, cov_weight=0.0)
    with_it = fitted(device=device, update=update)
    assert off_diagonal(with_it) < 0.7 * off_diagonal(without)
    assert np.linalg.norm(vectors(with_it), axis=1).max() < 1 + 1e-6
    assert all(0 < r.seconds_between < r.seconds for r in with_it.history_)


def test_it_repeats_and_depends_on_the_seed() -> None:
    assert_same(fitted(), fitted())
    assert not np.array_equal(vectors(fitted(random_state=1)), vectors(fitted()))
    assert not np.array_equal(vectors(fitted(cov_interval=400)), vectors(fitted()))


def test_each_step_takes_other_rows() -> None:
    taken = []

    def step(table: str, rows: np.ndarray, gradients: np.ndarray) -> None:
        assert len(gradients) == len(rows)
        taken.append((table, rows.tobytes()))

    tables = Tables.random("cpu", (5000, 4000), 8, 1.0, np.random.default_rng(0))
    work = CovarianceStep(tables, SimpleNamespace(step=step), settings(cov_weight=1.0, n_dims=8))
    for epoch, number in [(0, 0), (0, 1), (1, 0)]:
        assert work.step(epoch, number)
    assert [table for table, _ in taken] == ["users", "items"] * 3
    assert len(set(taken)) == 6
    assert work.step(0, 1)
    assert taken[-2:] == taken[2:4]


def test_too_large_a_weight_diverges() -> None:
    with pytest.raises(TrainingDiverged, match="epoch 0"):
        fitted(cov_weight=1e30)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"cov_weight": -1}, "cov_weight must be"),
        ({"cov_weight": float("nan")}, "cov_weight must be"),
        ({"cov_interval": 0}, "cov_interval must be"),
    ],
)
def test_bad_arguments(params: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        fitted(**params)
