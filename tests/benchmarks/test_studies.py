"""Tiny runs of the benchmarks behind single figures: that none of them rots."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp

from benchmarks import cold_start, hyperparameters, memory, shared_negatives
from cml_fast.data import synthetic

MADE = synthetic(300, 200, 6000, n_tastes=6)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    likes = sp.coo_array(MADE.interactions.matrix)
    rows = [f"u{user},i{item}" for user, item in zip(likes.row, likes.col, strict=True)]
    path = tmp_path / "likes.csv"
    path.write_text("\n".join(["user,item", *rows]))
    return path


def result(monkeypatch: pytest.MonkeyPatch, module: Any, *arguments: object) -> dict[str, Any]:
    out = Path(str(arguments[0])) / "out.json"
    given = [str(argument) for argument in arguments[1:]]
    monkeypatch.setattr(sys, "argv", ["x", *given, "--out", str(out)])
    module.main()
    found: dict[str, Any] = json.loads(out.read_text())
    return found


def test_shared_negatives(tmp_path: Path, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = result(
        monkeypatch, shared_negatives, tmp_path, "--names", file, "--n-dims", 8, "--rounds", 3
    )
    for update in ("sync", "async"):
        measured = found[f"{file}, {update}"]
        for values in measured.values():
            assert 0 < values["least"] <= values["median"] <= values["most"]
        assert measured["shared / unshared"]["median"] > 1


def test_hyperparameters(tmp_path: Path, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = ["--names", file, "--vary", "learning_rate", 0.1, 1e-6, "--n-epochs", 5]
    found = result(monkeypatch, hyperparameters, tmp_path, *arguments)
    learned, not_learned = found["summary"][str(file)]
    assert learned["recall@50"] > not_learned["recall@50"]
    assert len(found["rows"]) == 2


@pytest.mark.skipif(sys.platform != "linux", reason="peak memory is read from Linux's /proc")
def test_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "ROWS", (100, 1000))
    monkeypatch.setattr(memory, "SECONDS", 0.01)
    size = ["--n-users", 5000, "--n-items", 2000, "--likes-per-user", 50, "--n-dims", 16]
    found = result(monkeypatch, memory, tmp_path, *size)
    assert [fit["pairs"] for fit in found["fits"]] == [250_000, 500_000]
    assert all(speed > 0 for of in found["bandwidths"].values() for speed in of.values())


def counted(rows: list[np.ndarray]) -> str:
    return "\n".join(" ".join(map(str, [len(row), *row])) for row in rows) + "\n"


def test_cold_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tags that tell whom an item is for find what nobody has liked yet; chance does not."""
    folder = tmp_path / "citeulike-t"
    folder.mkdir()
    likes = MADE.interactions.matrix
    of_users = np.split(likes.indices, likes.indptr[1:-1])
    (folder / "users.dat").write_text(counted(of_users))
    rng = np.random.default_rng(0)
    items_of_tags = [
        np.flatnonzero((MADE.item_tastes == taste) & (rng.random(200) < 0.5))
        for taste in np.repeat(np.arange(6), 5)
    ]
    (folder / "tag-item.dat").write_text(counted(items_of_tags))
    (folder / "tags.dat").write_text("".join(f"tag{n}\n" for n in range(len(items_of_tags))))
    monkeypatch.setattr(cold_start, "K", 10)
    arguments = ["--folder", tmp_path, "--seeds", 0, 1, "--n-epochs", 8]
    for run in result(monkeypatch, cold_start, tmp_path, *arguments)["runs"]:
        assert run["CML+F"] > 2 * run["by chance"]
        assert run["nearest tags"] > 2 * run["by chance"]
