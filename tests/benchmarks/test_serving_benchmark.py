"""A tiny run of the benchmark of the server, with wrk."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
from support.serving import N_ITEMS, N_USERS, made_up, need_the_extra

need_the_extra()

from benchmarks.serving import __main__ as benchmark  # noqa: E402


def need_wrk() -> None:
    if shutil.which("wrk") is None:
        reason = "wrk is not installed: apt-get install wrk"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)


def test_requests_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    need_wrk()
    # Ids are those of rows, as in gowalla: random numbers below the sizes.
    model = made_up("int")
    model = type(model)(model.user_vectors, model.item_vectors).build_index("exact")
    model.save(tmp_path / "model")
    sp.save_npz(tmp_path / "likes.npz", sp.csr_array(np.eye(N_USERS, N_ITEMS, dtype=np.float32)))
    out = tmp_path / "out.json"
    options = ["--work", tmp_path, "--out", out, "--seconds", 1, "--requests", 1]
    monkeypatch.setattr(sys, "argv", ["x", *map(str, options)])
    benchmark.main()
    found = json.loads(out.read_text())
    kinds = {*benchmark.REQUESTS, benchmark.RELOADING}
    assert {name.rpartition(",")[0] for name in found["requests"]} == kinds
    assert all(measured["requests"] > 0 for measured in found["requests"].values())
    assert found["data"]["items"] == N_ITEMS
    assert all(megabytes > 10 for megabytes in found["resident memory"].values())


def test_a_request_that_fails_ends_the_run(tmp_path: Path) -> None:
    need_wrk()
    made_up("int").save(tmp_path / "model")
    likes = tmp_path / "likes.npz"
    sp.save_npz(likes, sp.csr_array(np.eye(1, dtype=np.float32)))
    lua = tmp_path / "requests.lua"
    lua.write_text(benchmark.script("/recommend", "'{\"users\":[-1]}'", made_up("int")))
    core = min(os.sched_getaffinity(0))
    with (
        benchmark.Server(tmp_path / "model", likes, tmp_path / "log", core) as server,
        pytest.raises(SystemExit, match="requests failed"),
    ):
        benchmark.load(server, lua, 1, 1, core)
