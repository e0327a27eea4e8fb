"""A process that is forked after threads have run computes the same bits, and does not hang."""

from __future__ import annotations

from . import nursery

GOOD = 7


def _check(cases: list[tuple[str, list[object]]]) -> None:
    found = nursery.outcomes([(f"forked.{name}", arguments) for name, arguments in cases])
    wrong = [pair for pair in zip(cases, found, strict=True) if pair[1].status != GOOD]
    assert not wrong


def test_forks_after_threads() -> None:
    _check([("after_threads", ["fork"]), ("after_threads", ["multiprocessing"])])


def test_a_fork_beside_a_limit_of_another_thread() -> None:
    _check([("beside_a_limit", [])])
