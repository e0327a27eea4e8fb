"""The process may end at any moment of a training or search in a daemon thread."""

from __future__ import annotations

import itertools
import signal

import pytest

from . import nursery

WORK = ("async", "sync", "validated", "fold_in", "recommend", "unique")
# Seconds after a thread has begun to work; what happens then does not depend on them.
MOMENTS = (0.0, 0.01, 0.04)
# How Python ends after each of these; see scenarios.exits.
STATUS = {"exit": 7, "exception": 1, "interrupt": -signal.SIGINT}


def _check(cases: list[tuple[str, str, float]]) -> None:
    found = nursery.outcomes([("scenarios.exits", list(case)) for case in cases])
    wrong = [
        (case, outcome)
        for case, outcome in zip(cases, found, strict=True)
        if outcome.status != STATUS[case[1]]
    ]
    assert not wrong


def test_exit_while_a_daemon_thread_trains() -> None:
    _check([("async", "exit", 0.02), ("sync", "exit", 0.02), ("sync", "interrupt", 0.02)])
    _check([("unique", "exit", seconds) for seconds in (0.02, 0.03, 0.04)])


@pytest.mark.slow
@pytest.mark.parametrize("work", WORK)
def test_exits_at_many_moments(work: str) -> None:
    _check([(work, how, seconds) for how, seconds in itertools.product(STATUS, MOMENTS)])
