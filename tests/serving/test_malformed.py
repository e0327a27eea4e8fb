"""Many malformed requests: the server refuses them, and goes on."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from support.malformed import VALID, send_all
from support.serving import Server, made_up, need_the_extra, running

need_the_extra()

A_FEW, MANY = 2_000, 15_000
# 200: of a few the strange part does no harm.
STATUSES = {-1, 200, 400, 404, 405, 413, 422}


def check(server: Server, n: int, n_clients: int) -> None:
    with ThreadPoolExecutor(n_clients) as clients:
        each = [n // n_clients] * n_clients
        counts = clients.map(send_all, [server.port] * n_clients, each, range(n_clients))
        total = sum(counts, start=next(counts))
    assert sum(total.values()) == n
    assert set(total) <= STATUSES, total
    assert {400, 404, 405, 422} <= set(total), total
    assert total[422] > n / 4
    for path, body in VALID.items():
        assert server.ask("POST", path, body)[0] == 200
    log = server.log.read_text()
    assert "Traceback" not in log
    assert "a request failed" not in log


@pytest.mark.parametrize("n", [A_FEW, pytest.param(MANY, marks=pytest.mark.slow)])
def test_malformed_requests_do_no_harm(tmp_path: Path, n: int) -> None:
    made_up().build_index("exact").save(tmp_path / "model")
    with running(tmp_path / "model", tmp_path) as server:
        check(server, n, n_clients=2)
        assert server.process.poll() is None
