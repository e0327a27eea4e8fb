"""Groups of workers that gather: what they ask of a GPU, and of Ray's collectives."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from cml_fast.distributed import _gathering


def test_a_gpu_is_waited_for_before_and_after_it_sends(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray copies what NCCL wrote in the stream that is current, and orders it with nothing else."""
    pytest.importorskip("ray", reason="Ray is not installed: pip install cml-fast[ray]")
    from ray.util import collective

    done: list[str] = []

    @contextlib.contextmanager
    def null() -> Iterator[None]:
        done.append("the default stream becomes current")
        yield
        done.append("the default stream was current")

    def waiting_for(what: str) -> SimpleNamespace:
        return SimpleNamespace(synchronize=lambda: done.append(f"wait for {what}"))

    def allgather(found: list[Any], array: Any, name: str) -> None:
        done.append(f"gather {len(found)} by {name}")
        for number, each in enumerate(found):
            each[...] = array + number

    cuda = SimpleNamespace(
        get_current_stream=lambda: waiting_for("the current stream"),
        Stream=SimpleNamespace(null=null()),
        Device=lambda: waiting_for("the device"),
    )
    xp = SimpleNamespace(cuda=cuda, empty_like=np.empty_like)
    monkeypatch.setattr(_gathering, "namespace_of", lambda array: xp)
    monkeypatch.setattr(collective, "init_collective_group", lambda *group: done.append(f"{group}"))
    monkeypatch.setattr(collective, "allgather", allgather)
    group = _gathering.Group("NCCL", "ours", 3, 1)
    found = group.gather(np.arange(2.0))
    assert [each.tolist() for each in found] == [[0, 1], [1, 2], [2, 3]]
    assert done == [
        "(3, 1, 'NCCL', 'ours')",
        "wait for the current stream",
        "the default stream becomes current",
        "gather 3 by ours",
        "the default stream was current",
        "wait for the device",
    ]


def test_why_a_worker_cannot_gather(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ray", reason="Ray is not installed: pip install cml-fast[ray]")
    from ray.util import collective

    monkeypatch.setattr(collective, "is_backend_available", lambda backend: backend == "there")
    assert _gathering.problem("there") is None
    assert "NCCL is not there: CuPy finds it where" in str(_gathering.problem("NCCL"))
