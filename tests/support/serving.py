"""A server as a process of its own, on a free port of this machine."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cml_fast import Model

PATIENCE = 60  # seconds after which something that has to happen counts as failed
N_USERS, N_ITEMS, N_DIMS = 12, 40, 6
SERVE = """
import json, sys
from cml_fast.serving import serve

if __name__ == "__main__":
    serve(sys.argv[1], **json.loads(sys.argv[2]))
"""


def made_up(kind: str = "str", seed: int = 0) -> Model:
    """A model with ids that are integers ("int") or strings; user 3 has no likes in training."""
    rng = np.random.default_rng(seed)
    users = rng.permutation(N_USERS) * 10
    items = rng.permutation(N_ITEMS) * 10
    user_counts = np.full(N_USERS, 2)
    user_counts[3] = 0
    return Model(
        rng.standard_normal((N_USERS, N_DIMS)),
        rng.standard_normal((N_ITEMS, N_DIMS)),
        user_ids=users if kind == "int" else [f"user {number}" for number in users],
        item_ids=items if kind == "int" else [f'item "{number}" ß' for number in items],
        user_counts=user_counts,
        item_counts=rng.permutation(N_ITEMS),
    )


def need_the_extra() -> None:
    """Skip a module where the extra is not installed; in CI, which installs it, that is a fault."""
    missing = [name for name in ("fastapi", "uvicorn") if find_spec(name) is None]
    if missing and not os.environ.get("CI"):
        pytest.skip(f"{missing[0]} is not installed: cml-fast[server]", allow_module_level=True)


class Server:
    """A running server.

    Attributes
    ----------
    process : subprocess.Popen
    log : pathlib.Path
        What it writes on stderr.
    port : int
    """

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self.process, self.log = process, log
        self.port = 0
        wait_until(self._has_an_address, lambda: log.read_text())

    def _has_an_address(self) -> bool:
        assert self.process.poll() is None, self.log.read_text()
        found = re.search(r"at http://[\d.]+:(\d+)", self.log.read_text())
        if found is None:
            return False
        self.port = int(found[1])
        try:
            return self.ask("GET", "/health")[0] == 200
        except OSError:
            return False

    def ask(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """Send one request over a new connection; return the status and the parsed JSON."""
        with contextlib.closing(self.connect()) as connection:
            return exchange(connection, method, path, body)

    def connect(self) -> http.client.HTTPConnection:
        """Return a connection for several requests."""
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)

    def stop(self) -> int:
        """Ask it to stop as Ctrl-C does, and return the exit code."""
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(PATIENCE)


def exchange(
    connection: http.client.HTTPConnection, method: str, path: str, body: Any = None
) -> tuple[int, Any]:
    """Send one request, and return the status and the parsed JSON."""
    content = None if body is None else json.dumps(body)
    connection.request(method, path, content, {"content-type": "application/json"})
    response = connection.getresponse()
    return response.status, json.loads(response.read())


def wait_until(happened: Callable[[], bool], state: Callable[[], Any] = lambda: "") -> None:
    """Wait until something happens, or fail with the state of things."""
    deadline = time.monotonic() + PATIENCE
    while not happened():
        assert time.monotonic() < deadline, state()
        time.sleep(0.02)


@contextlib.contextmanager
def running(folder: Path, work: Path, **options: Any) -> Iterator[Server]:
    """Serve a model with these options of `serve` while the block runs."""
    script = work / "run_server.py"
    script.write_text(SERVE)
    with started([str(script), str(folder), json.dumps({"port": 0, **options})], work) as server:
        yield server


@contextlib.contextmanager
def started(arguments: list[str], work: Path) -> Iterator[Server]:
    """Let Python run a server while the block runs."""
    log = work / "server.log"
    with log.open("wb") as stderr:
        process = subprocess.Popen([sys.executable, *arguments], stderr=stderr, stdout=stderr)
    try:
        yield Server(process, log)
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait(PATIENCE)
