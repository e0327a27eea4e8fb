"""The targets as fixtures. Those that need a package are slow: `make check` installs it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
from places import DuckDB, File, LanceDB, Place, PostgreSQL, Qdrant, new_database

FILES = ("parquet", "arrow")
CLIENTS = {
    "duckdb": "duckdb",
    "lancedb": "lancedb",
    "qdrant": "qdrant_client",
    "postgresql": "psycopg",
}
FOLDERS = {"duckdb": DuckDB, "lancedb": LanceDB, "qdrant": Qdrant}
DATABASES = [pytest.param(name, marks=pytest.mark.slow) for name in CLIENTS]


def need(module: str) -> None:
    """Skip where a package is not installed; fail in CI, which installs all of them."""
    if find_spec(module) is None:
        reason = f"{module} is not installed: pip install cml-fast[databases]"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)


def make_place(name: str, folder: Path, request: pytest.FixtureRequest) -> Place:
    if name in FILES:
        return File(folder, name)
    need(CLIENTS[name])
    if name in FOLDERS:
        return FOLDERS[name](folder)
    with new_database(request.getfixturevalue("postgresql_server")) as url:
        return PostgreSQL(url)


@pytest.fixture(params=[*FILES, *DATABASES])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """Each target in turn."""
    yield make_place(request.param, tmp_path, request)


@pytest.fixture(params=DATABASES)
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """Each target that holds several tables."""
    yield make_place(request.param, tmp_path, request)
