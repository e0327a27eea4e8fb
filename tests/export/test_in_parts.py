"""A model whose users are in parts is exported like one that is in memory."""

from __future__ import annotations

import weakref
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from cml_fast import Model
from cml_fast._cli.app import main
from cml_fast._export import tables
from cml_fast.distributed import PartitionedModel, _exporting
from cml_fast.errors import DataError, ExportError, ModelError

N_USERS, N_ITEMS, R = 50, 30, 4
IDS = {
    "int": (np.arange(N_USERS) * 7 - 5, np.arange(N_ITEMS) + 2**40),
    "str": ([f"user {row}" for row in range(N_USERS)], [f"Über-{row}" for row in range(N_ITEMS)]),
}


def a_model(kind: str = "str") -> Model:
    rng = np.random.default_rng(0)
    user_ids, item_ids = IDS[kind]
    users, items = rng.normal(size=(N_USERS, R)), rng.normal(size=(N_ITEMS, R))
    return Model(users, items, user_ids=user_ids, item_ids=item_ids)


def in_parts(model: Model, folder: Path) -> PartitionedModel:
    """Three parts, of 20, 20 and 10 users."""
    return PartitionedModel.of(model, folder / "parts", users_per_part=20)


def plans_of(model: Model) -> dict:
    """Metadata in another order than the users, without one of each part."""
    rows = np.random.default_rng(1).permutation(N_USERS)
    rows = rows[~np.isin(rows, (3, 25, 49))]
    return {"id": model.user_ids[rows], "plan": [f"plan {row}" for row in rows]}


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several batches of each part, the last one shorter."""
    monkeypatch.setattr(tables, "BATCH_BYTES", 8 * R * 4)


@pytest.mark.parametrize("kind", IDS)
@pytest.mark.parametrize("what", ["users", "items"])
def test_the_rows_are_those_of_the_model(place, kind, what, tmp_path):
    model = a_model(kind)
    metadata = {"user_metadata": plans_of(model)} if what == "users" else {}
    model.export(place.destination, what, **metadata, **place.connection)
    wanted = place.rows(f"cml_{what}")
    written = in_parts(model, tmp_path / "model").export(
        place.destination, what, if_exists="replace", **metadata, **place.connection
    )
    assert list(written.values()) == [len(wanted)]
    assert place.rows(f"cml_{what}") == wanted
    assert [row["id"] for row in wanted] == list(getattr(model, f"{what[:-1]}_ids"))


def test_users_and_items_together(database, tmp_path):
    model = a_model()
    written = in_parts(model, tmp_path / "model").export(
        database.destination, "both", **database.connection
    )
    assert written == {"cml_items": N_ITEMS, "cml_users": N_USERS}
    users = database.rows("cml_users")
    vectors = np.array([row["vector"] for row in users], dtype=np.float32)
    np.testing.assert_array_equal(vectors, model.user_vectors)


def test_a_damaged_part_leaves_what_was_there(place, tmp_path):
    model = a_model()
    model.export(place.destination, "users", **place.connection)
    partitioned = in_parts(model, tmp_path / "model")
    before, names = place.rows("cml_users"), place.names()
    part = Path(partitioned.folder, "users-00000-0001.parquet")
    part.write_bytes(bytes(part.stat().st_size))
    with pytest.raises((ModelError, ExportError), match=r"users-00000-0001\.parquet is damaged"):
        partitioned.export(place.destination, "users", if_exists="replace", **place.connection)
    assert (place.rows("cml_users"), place.names()) == (before, names)


def test_at_most_two_parts_are_in_memory(tmp_path, monkeypatch):
    """A consumer may hold the last batch of one while the next one is read."""
    read, tables_read = _exporting.read_table, []
    alive = []

    def watched(*arguments):
        table = read(*arguments)
        tables_read.append(weakref.ref(table))
        alive.append(sum(one() is not None for one in tables_read))
        return table

    monkeypatch.setattr(_exporting, "read_table", watched)
    partitioned = PartitionedModel.of(a_model(), tmp_path / "model", users_per_part=5)
    partitioned.export(tmp_path / "users.parquet", "users", user_metadata=plans_of(a_model()))
    assert len(alive) == 21  # all ten for their ids, one for the type of these, all for the vectors
    assert max(alive) <= 2


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        (["user 3", "nobody", "user 45"], "has 1 ids that the model does not have: 'nobody'"),
        (["user 45", "user 3", "user 45"], "has 2 rows with the id 'user 45': keep one"),
    ],
)
def test_metadata_are_checked_before_anything_is_written(ids, message, tmp_path):
    partitioned = in_parts(a_model(), tmp_path)
    out = tmp_path / "users.parquet"
    with pytest.raises(DataError, match=f"user_metadata {message}"):
        partitioned.export(out, "users", user_metadata={"id": ids})
    assert not out.exists()


def test_metadata_of_others_are_dropped_with_a_warning(tmp_path):
    partitioned = in_parts(a_model(), tmp_path)
    out, plans = tmp_path / "users.parquet", {"id": ["user 45", "nobody"], "plan": ["free", "all"]}
    with pytest.warns(UserWarning, match="1 rows of user_metadata are of ids that") as warned:
        partitioned.export(out, "users", user_metadata=plans, unknown="drop")
    assert warned[0].filename == __file__
    column = pyarrow.parquet.read_table(out)["plan"].to_pylist()
    assert [(row, plan) for row, plan in enumerate(column) if plan] == [(45, "free")]


def test_the_command(tmp_path, capsys):
    model = a_model()
    partitioned = in_parts(model, tmp_path)
    files = [str(tmp_path / f"{name}.arrow") for name in ("whole", "parts")]
    model.export(files[0], "users")
    assert main(["export", partitioned.folder, files[1], "--what", "users"]) == 0
    assert capsys.readouterr().out == f"{N_USERS} rows in {files[1]}\n"
    whole, parts = (pa.ipc.open_file(file).read_all() for file in files)
    assert parts == whole
    assert main(["recommend", partitioned.folder, "--user", "user 3"]) == 3
    assert "in parts: open it with cml_fast.distributed.Partiti" in capsys.readouterr().err
