"""The targets as fixtures. Those that need a package are slow: `make check` installs it."""

from __future__ import annotations

import contextlib
import secrets
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.places import DuckDB, File, LanceDB, Place, PostgreSQL, Qdrant, need

FILES = ("parquet", "arrow")
CLIENTS = {
    "duckdb": "duckdb",
    "lancedb": "lancedb",
    "qdrant": "qdrant_client",
    "postgresql": "psycopg",
}
FOLDERS = {"duckdb": DuckDB, "lancedb": LanceDB}
MEMORY = "/dev/shm"
DATABASES = [pytest.param(name, marks=pytest.mark.slow) for name in CLIENTS]


@contextlib.contextmanager
def make_place(name: str, folder: Path, request: pytest.FixtureRequest) -> Iterator[Place]:
    if name in FILES:
        yield File(folder, name)
        return
    need(CLIENTS[name])
    if name == "postgresql":
        server = request.getfixturevalue("postgresql_server")
        yield PostgreSQL(server.create(f"shop_{secrets.token_hex(4)}"))
    elif name == "qdrant":
        # In memory where possible: its client waits for the disk after each point.
        with tempfile.TemporaryDirectory(dir=MEMORY if Path(MEMORY).is_dir() else None) as memory:
            yield Qdrant(Path(memory))
    else:
        yield FOLDERS[name](folder)


@pytest.fixture(params=[*FILES, *DATABASES])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """Each target in turn."""
    with make_place(request.param, tmp_path, request) as made:
        yield made


@pytest.fixture(params=DATABASES)
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """Each target that holds several tables."""
    with make_place(request.param, tmp_path, request) as made:
        yield made
