"""Groups of workers that gather: what they ask of a GPU, and of Ray's collectives."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from cml_fast.distributed import _gathering


def test_one_thread_gathers_in_the_default_stream_and_another_one_works_beside_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Ray copies what NCCL wrote in the default stream, and orders it with nothing else."""
    pytest.importorskip("ray", reason="Ray is not installed: pip install cml-fast[ray]")
    from ray.util import collective

    done: list[str] = []

    class Stream:
        def __init__(self, non_blocking: bool) -> None:
            self.name = "own stream" if non_blocking else "default stream"

        def __enter__(self) -> None:
            done.append(f"the {self.name} becomes current")

        def __exit__(self, *_: object) -> None:
            done.append(f"the {self.name} was current")

        def synchronize(self) -> None:
            done.append(f"wait for the {self.name}")

    def allgather(found: list[Any], array: Any, name: str) -> None:
        done.append(f"gather {len(found)} by {name}")
        for number, each in enumerate(found):
            each[...] = array + number

    null = Stream(non_blocking=False)
    xp = SimpleNamespace(cuda=SimpleNamespace(Stream=Stream), empty_like=np.empty_like)
    monkeypatch.setattr(Stream, "null", null, raising=False)
    monkeypatch.setattr(collective, "init_collective_group", lambda *group: done.append(f"{group}"))
    monkeypatch.setattr(collective, "allgather", allgather)
    group = _gathering.Group("NCCL", "ours", 3, 1, xp)
    found = group.gather(np.arange(2.0))
    group.wait()
    with group.beside():
        done.append("train")
    assert [each.tolist() for each in found] == [[0, 1], [1, 2], [2, 3]]
    assert done == [
        "wait for the default stream",
        "(3, 1, 'NCCL', 'ours')",
        "gather 3 by ours",
        "wait for the default stream",
        "the own stream becomes current",
        "train",
        "the own stream was current",
        "wait for the own stream",
    ]


def test_arrays_of_the_cpu_need_no_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ray", reason="Ray is not installed: pip install cml-fast[ray]")
    from ray.util import collective

    monkeypatch.setattr(collective, "init_collective_group", lambda *group: None)
    group = _gathering.Group("another", "ours", 1, 0, np)
    with group.beside():
        group.wait()


def test_why_a_worker_cannot_gather(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ray", reason="Ray is not installed: pip install cml-fast[ray]")
    from ray.util import collective

    monkeypatch.setattr(collective, "is_backend_available", lambda backend: backend == "there")
    assert _gathering.problem("there") is None
    assert "NCCL is not there: CuPy finds it where" in str(_gathering.problem("NCCL"))
