"""The targets as the tests see them: where to export to, and how to search there.

What `nearest` does is what the guide tells users to write: the plain L2 search of each database.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

Found = tuple[list[Any], list[float]]  # ids, nearest first, and plain distances


def need(module: str, extra: str = "databases") -> None:
    """Skip where a package is not installed; fail in CI, which installs all of them."""
    if find_spec(module) is None:
        reason = f"{module} is not installed: pip install cml-fast[{extra}]"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)


class Place(Protocol):
    """One target, ready for exports."""

    destination: str
    connection: dict[str, Any]

    def nearest(
        self, vector: np.ndarray, n: int, tag: str | None = None, without: Sequence[Any] = ()
    ) -> Found:
        """Search the items, of those with this tag and without these ids."""

    def rows(self, name: str) -> list[dict[str, Any]] | None:
        """Return the rows of a table in order, None if there is no such table."""

    def names(self) -> set[str]:
        """Return all that there is: tables, collections or files."""


class File:
    """A file of Parquet or Arrow, searched with NumPy."""

    def __init__(self, folder: Path, extension: str) -> None:
        self.folder = folder
        self.destination = str(folder / f"items.{extension}")
        self.connection: dict[str, Any] = {}

    def _read(self) -> pa.Table:
        if self.destination.endswith(".parquet"):
            return pyarrow.parquet.read_table(self.destination)
        with pa.ipc.open_file(self.destination) as file:
            return file.read_all()

    def nearest(
        self, vector: np.ndarray, n: int, tag: str | None = None, without: Sequence[Any] = ()
    ) -> Found:
        table = self._read()
        vectors = table["vector"].combine_chunks().flatten().to_numpy().reshape(len(table), -1)
        distances = np.linalg.norm(vectors - vector, axis=1)
        ids = table["id"].to_pylist()
        allowed = np.array([id not in without for id in ids])
        if tag is not None:
            allowed &= np.array(table["tag"].to_pylist(), dtype=object) == tag
        order = [row for row in np.argsort(distances) if allowed[row]][:n]
        return [ids[row] for row in order], distances[order].tolist()

    def rows(self, name: str) -> list[dict[str, Any]] | None:
        return self._read().to_pylist() if Path(self.destination).exists() else None

    def names(self) -> set[str]:
        return {path.name for path in self.folder.iterdir()}


class DuckDB:
    def __init__(self, folder: Path) -> None:
        self.destination = str(folder / "shop.duckdb")
        self.connection: dict[str, Any] = {}

    def _query(self, query: str, arguments: Sequence[Any] = ()) -> list[dict[str, Any]]:
        import duckdb

        with duckdb.connect(self.destination, read_only=True) as database:
            found = database.execute(query, arguments)
            names = [column[0] for column in found.description]
            return [dict(zip(names, row, strict=True)) for row in found.fetchall()]

    def nearest(
        self, vector: np.ndarray, n: int, tag: str | None = None, without: Sequence[Any] = ()
    ) -> Found:
        found = self._query(
            f"""
            SELECT id, array_distance(vector, ?::FLOAT[{len(vector)}]) AS distance FROM cml_items
            WHERE (? IS NULL OR tag = ?) AND NOT list_contains(?, id)
            ORDER BY distance LIMIT ?
            """,
            [vector.tolist(), tag, tag, list(without), n],
        )
        return [row["id"] for row in found], [row["distance"] for row in found]

    def rows(self, name: str) -> list[dict[str, Any]] | None:
        return self._query(f'SELECT * FROM "{name}"') if name in self.names() else None

    def names(self) -> set[str]:
        if not Path(self.destination).exists():
            return set()
        rows = self._query("SELECT table_name FROM duckdb_tables()")
        return {row["table_name"] for row in rows}


class LanceDB:
    def __init__(self, folder: Path) -> None:
        self.destination = str(folder / "shop.lancedb")
        self.connection: dict[str, Any] = {}

    def nearest(
        self, vector: np.ndarray, n: int, tag: str | None = None, without: Sequence[Any] = ()
    ) -> Found:
        import lancedb

        search = lancedb.connect(self.destination).open_table("cml_items").search(vector)
        conditions = [] if tag is None else [f"tag = '{tag}'"]
        if len(without):
            conditions.append(f"id NOT IN ({', '.join(map(repr, without))})")
        if conditions:
            search = search.where(" AND ".join(conditions), prefilter=True)
        found = search.distance_type("l2").limit(n).to_arrow()
        return found["id"].to_pylist(), np.sqrt(found["_distance"].to_numpy()).tolist()

    def rows(self, name: str) -> list[dict[str, Any]] | None:
        import lancedb

        if name not in self.names():
            return None
        return lancedb.connect(self.destination).open_table(name).to_arrow().to_pylist()

    def names(self) -> set[str]:
        folder = Path(self.destination)
        return {path.stem for path in folder.iterdir()} if folder.exists() else set()


class Qdrant:
    def __init__(self, folder: Path) -> None:
        self.destination = str(folder / "shop.qdrant")
        self.connection: dict[str, Any] = {}

    def _client(self) -> Any:
        from qdrant_client import QdrantClient

        return contextlib.closing(QdrantClient(path=self.destination))

    def nearest(
        self, vector: np.ndarray, n: int, tag: str | None = None, without: Sequence[Any] = ()
    ) -> Found:
        from qdrant_client.models import FieldCondition, Filter, MatchAny, MatchValue

        must = [] if tag is None else [FieldCondition(key="tag", match=MatchValue(value=tag))]
        must_not = (
            [FieldCondition(key="id", match=MatchAny(any=list(without)))] if len(without) else []
        )
        with self._client() as client:
            points = client.query_points(
                "cml_items",
                query=vector.tolist(),
                query_filter=Filter(must=must, must_not=must_not),
                limit=n,
            ).points
        return [point.payload["id"] for point in points], [point.score for point in points]

    def rows(self, name: str) -> list[dict[str, Any]] | None:
        with self._client() as client:
            if not client.collection_exists(name):
                return None
            points, _ = client.scroll(name, limit=100_000, with_vectors=True)
        return [{**point.payload, "vector": point.vector} for point in points]

    def names(self) -> set[str]:
        with self._client() as client:
            collections = [row.name for row in client.get_collections().collections]
            aliases = {row.collection_name: row.alias_name for row in client.get_aliases().aliases}
        return {aliases.get(name, name) for name in collections}


class PostgreSQL:
    def __init__(self, url: str) -> None:
        self.destination = url
        self.connection: dict[str, Any] = {"connect_timeout": 10}

    def _query(self, query: str, arguments: Sequence[Any] = ()) -> list[dict[str, Any]]:
        import psycopg
        from psycopg.rows import dict_row

        with psycopg.connect(self.destination, row_factory=dict_row) as database:
            return database.execute(query, arguments).fetchall()

    def nearest(
        self, vector: np.ndarray, n: int, tag: str | None = None, without: Sequence[Any] = ()
    ) -> Found:
        where, arguments = "true", []
        if tag is not None:
            where, arguments = "tag = %s", [tag]
        found = self._query(
            f"""
            SELECT id, vector <-> %s::vector AS distance FROM cml_items
            WHERE {where} AND NOT id = ANY(%s) ORDER BY distance LIMIT %s
            """,
            [str(vector.tolist()), *arguments, list(without), n],
        )
        return [row["id"] for row in found], [row["distance"] for row in found]

    def rows(self, name: str) -> list[dict[str, Any]] | None:
        if name not in self.names():
            return None
        rows = self._query(f"SELECT *, vector::real[] AS vector FROM {name} ORDER BY ctid")
        return rows

    def names(self) -> set[str]:
        rows = self._query("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        return {row["tablename"] for row in rows}
