"""Collections of a Qdrant server, or of the folder in which its client keeps them without one.

The ids of Qdrant's points are whole numbers or UUIDs. So a point has the number of its row, and the
external id is in the payload, beside the metadata. A collection is written under a name of its
own; then an alias, which has the name of the table and is set in one step, points at it.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import sqlite3
from collections.abc import Sequence
from typing import Any

from ..errors import ExportError
from .tables import VECTOR, Table, vectors_of
from .target import Target, import_client, reported, table_exists

# Points in one request: a server refuses requests of more than 32 MiB of JSON.
_BATCH_POINTS = 1000
API_KEY_VARIABLE = "QDRANT_API_KEY"


def _write(
    destination: str, tables: Sequence[Table], replace: bool, connection: dict[str, Any]
) -> None:
    qdrant = import_client("qdrant_client", "qdrant")
    from qdrant_client import models
    from qdrant_client.http.exceptions import ApiException

    errors = (ApiException, RuntimeError, ValueError, OSError, sqlite3.Error)
    wrong_options = (TypeError, AssertionError)
    with (
        reported(destination, *errors, *wrong_options),
        contextlib.closing(_connect(qdrant, destination, connection)) as client,
    ):
        old = {alias.alias_name: alias.collection_name for alias in client.get_aliases().aliases}
        _check_names(client, destination, tables, old, replace)
        new = {table.name: f"{table.name}-{secrets.token_hex(4)}" for table in tables}
        try:
            for table in tables:
                _upload(models, client, table, new[table.name])
            _point_aliases(models, client, old, new)
        except BaseException:
            _delete(client, new.values(), errors)
            raise
        # The new points are in force: what is left over is no reason to fail.
        _delete(client, [old[name] for name in new if name in old], errors)


def _connect(qdrant: Any, destination: str, connection: dict[str, Any]) -> Any:
    if "://" not in destination:
        return qdrant.QdrantClient(path=destination, **connection)
    key = {"api_key": os.environ[API_KEY_VARIABLE]} if API_KEY_VARIABLE in os.environ else {}
    # The client's own check of the server's version is a warning that another server is away.
    return qdrant.QdrantClient(destination, **{"check_compatibility": False, **key, **connection})


def _check_names(
    client: Any, destination: str, tables: Sequence[Table], old: dict[str, str], replace: bool
) -> None:
    for table in tables:
        if table.name in old:
            if not replace:
                raise table_exists(destination, table.name)
        elif client.collection_exists(table.name):
            raise ExportError(
                f"{destination} has a collection {table.name!r} that no export has made: choose "
                "another prefix, or delete it"
            )


def _upload(models: Any, client: Any, table: Table, collection: str) -> None:
    client.create_collection(
        collection,
        vectors_config=models.VectorParams(size=table.rows.n_dims, distance=models.Distance.EUCLID),
    )
    first = 0
    for batch in table.batches():
        for start in range(0, len(batch), _BATCH_POINTS):
            part = batch.slice(start, _BATCH_POINTS)
            rows = list(range(first, first + len(part)))
            payloads = [_json(row) for row in part.drop_columns([VECTOR]).to_pylist()]
            vectors = vectors_of(part).tolist()
            points = models.Batch(ids=rows, vectors=vectors, payloads=payloads)
            client.upsert(collection, points=points, wait=True)
            first += len(part)


def _json(row: dict[str, Any]) -> dict[str, Any]:
    """Return a payload; dates and times as texts of ISO 8601, by which Qdrant filters."""
    return {
        name: value.isoformat() if hasattr(value, "isoformat") else value
        for name, value in row.items()
    }


def _point_aliases(models: Any, client: Any, old: dict[str, str], new: dict[str, str]) -> None:
    """Set the aliases of all tables in one step."""
    removed = [
        models.DeleteAliasOperation(delete_alias=models.DeleteAlias(alias_name=name))
        for name in new
        if name in old
    ]
    added = [
        models.CreateAliasOperation(
            create_alias=models.CreateAlias(collection_name=collection, alias_name=name)
        )
        for name, collection in new.items()
    ]
    client.update_collection_aliases([*removed, *added])


def _delete(client: Any, collections: Any, errors: tuple[type[BaseException], ...]) -> None:
    for collection in collections:
        with contextlib.suppress(*errors):
            client.delete_collection(collection)


QDRANT = Target("qdrant", _write, suffixes=(".qdrant",), schemes=("http", "https"))
