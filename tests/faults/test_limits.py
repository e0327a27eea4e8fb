"""Little memory and small files at many steps: success, or an error of ours, and nothing lost."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

import pytest

from cml_fast._search.index import KINDS

from . import nursery

MIB = 1 << 20
WRITING = ("checkpoint", "save", "csv of results", "parquet of results", "export", "likes")
READING = ("train", "resume", "load", "recommend", "read likes")
READERS = (
    *("read csv", "read features", "read jsonl", "read parquet"),
    *("build of csv", "build of parquet"),
)
# OpenBLAS, NumPy's library of linear algebra, ends the process when it gets no buffer.
EXCUSED = "OpenBLAS"
GOOD = 7


def _check(
    folder: Path,
    kind: str,
    tasks: Sequence[str],
    limits: Sequence[int],
    ends_expected: Collection[str] = ("done", "refused"),
) -> None:
    cases = [(task, kind, limit, str(folder)) for task in tasks for limit in limits]
    found = nursery.outcomes(
        [("limited.limited", list(case)) for case in cases],
        ("limited.prepare", [str(folder)]),
    )
    wrong, ends = [], []
    for case, (status, output) in zip(cases, found, strict=True):
        end = output.strip().split("\n")[-1]
        if status == GOOD and end in ("done", "refused"):
            ends.append(end)
        elif EXCUSED not in output:
            wrong.append((case[:3], status, output[-500:]))
    assert not wrong
    assert set(ends_expected) <= set(ends)


def test_a_few_limits_of_memory(tmp_path: Path) -> None:
    tasks = ("checkpoint", "resume", "recommend", "parquet of results", "index annoy")
    readers = ("read csv", "read features", "build of parquet")
    _check(tmp_path, "AS", (*tasks, *readers), (2 * MIB, 16 * MIB, 80 * MIB))


def test_a_few_limits_of_files(tmp_path: Path) -> None:
    _check(tmp_path, "FSIZE", WRITING, (1000, 300_000, 20 * MIB))


@pytest.mark.slow
@pytest.mark.parametrize("tasks", [WRITING, READING])
def test_many_limits_of_memory(tmp_path: Path, tasks: tuple[str, ...]) -> None:
    _check(tmp_path, "AS", tasks, [MIB << step for step in range(10)])


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_many_limits_of_indexes(tmp_path: Path, kind: str) -> None:
    if kind != "exact":
        pytest.importorskip(kind, reason=f"{kind} is not installed: pip install cml-fast[{kind}]")
    # Exact search takes so little that the smallest limit may be enough.
    ends = ("done",) if kind == "exact" else ("done", "refused")
    _check(tmp_path, "AS", [f"index {kind}"], [MIB << step for step in range(10)], ends)


@pytest.mark.slow
def test_many_limits_of_readers(tmp_path: Path) -> None:
    """Objects of Python, and threads of Arrow and DuckDB, find no memory at different limits."""
    steps = [5 * MIB * step for step in range(1, 7)] + [MIB << step for step in range(6, 11)]
    _check(tmp_path, "AS", READERS, steps)


@pytest.mark.slow
def test_many_limits_of_files(tmp_path: Path) -> None:
    _check(tmp_path, "FSIZE", WRITING, [500 * 3**step for step in range(11)])
