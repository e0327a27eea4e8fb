"""Every target returns what was exported to it, and finds the same nearest items as the model."""

from __future__ import annotations

import datetime

import numpy as np
import pyarrow as pa
import pytest
import scipy.sparse as sp

from cml_fast import Model
from cml_fast._export import tables
from cml_fast.errors import DataError, ExportError

N_USERS, N_ITEMS, R = 20, 300, 16
IDS = {
    "int": (np.arange(N_USERS) + 2**40, np.arange(N_ITEMS) * 7 - 5),
    "str": ([f"user {row}" for row in range(N_USERS)], [f"Über-{row}" for row in range(N_ITEMS)]),
}
TAGS = np.array(["jazz", "soul", "folk"])[np.arange(N_ITEMS) % 3]


def make(kind: str = "str", seed: int = 0) -> Model:
    rng = np.random.default_rng(seed)
    user_ids, item_ids = IDS[kind]
    users, items = rng.normal(size=(N_USERS, R)), rng.normal(size=(N_ITEMS, R))
    return Model(users, items, user_ids=user_ids, item_ids=item_ids)


def metadata_of(model: Model) -> dict:
    """Metadata in another order than the items, without the last of them."""
    rows = np.random.default_rng(1).permutation(N_ITEMS - 1)
    when = datetime.datetime(2024, 1, 31, 12, 30)
    return {
        "id": model.item_ids[rows],
        "tag": TAGS[rows],
        "price": rows / 4,
        "stock": rows,
        "sold": rows % 2 == 0,
        "day": [when.date()] * len(rows),
        "time": [when] * len(rows),
        "words": [["a", f"word {row}"] for row in rows],
    }


@pytest.fixture(autouse=True)
def small_batches(monkeypatch):
    """Several batches, the last one shorter."""
    monkeypatch.setattr(tables, "BATCH_BYTES", 64 * R * 4)


@pytest.mark.parametrize("kind", IDS)
def test_the_same_nearest_items_as_the_model(place, kind):
    model = make(kind)
    model.export(place.destination, item_metadata=metadata_of(model), **place.connection)
    rng = np.random.default_rng(2)
    exclude = sp.csr_array(rng.random((N_USERS, N_ITEMS)) < 0.1)
    for user in range(N_USERS):
        rows, distances = model.recommend(user, n=N_ITEMS)
        vector = model.user_vectors[user]
        left = ~np.isin(rows, exclude[[user]].indices)
        without = model.item_ids[rows[~left]].tolist()
        assert without
        for tag in (None, "soul"):
            # The last item has no metadata, so no tag.
            tagged = (TAGS[rows] == tag) & (rows < N_ITEMS - 1) if tag else np.ones(N_ITEMS, bool)
            for kept, excluded in ((tagged, []), (tagged & left, without)):
                ids, found = place.nearest(vector, 10, tag, excluded)
                assert ids == model.item_ids[rows[kept]][:10].tolist()
                np.testing.assert_allclose(found, distances[kept][:10], rtol=1e-5)


def test_every_row_comes_back(place):
    model = make()
    metadata = metadata_of(model)
    written = model.export(place.destination, item_metadata=metadata, **place.connection)
    assert list(written.values()) == [N_ITEMS]
    rows = place.rows("cml_items")
    assert [row["id"] for row in rows] == model.item_ids.tolist()
    vectors = np.array([row["vector"] for row in rows], dtype=np.float32)
    np.testing.assert_array_equal(vectors, model.item_vectors)
    at = {id: row for row, id in enumerate(metadata["id"].tolist())}
    for row in rows[:-1]:
        for name in ("tag", "price", "stock", "sold", "words"):
            expected = metadata[name][at[row["id"]]]
            assert row[name] == (expected if name == "words" else expected.item())
        # Payloads of Qdrant are JSON, which has neither dates nor times.
        assert str(row["day"]) == "2024-01-31"
        assert str(row["time"]).replace("T", " ") == "2024-01-31 12:30:00"
    assert all(value is None for name, value in rows[-1].items() if name not in ("id", "vector"))


def test_items_and_users_with_a_prefix(database):
    model = make()
    plans = {"id": ["user 3"], "plan": ["free"]}
    written = model.export(
        database.destination, "both", prefix="shop_", user_metadata=plans, **database.connection
    )
    assert written == {"shop_items": N_ITEMS, "shop_users": N_USERS}
    assert database.names() == {"shop_items", "shop_users"}
    users = database.rows("shop_users")
    vectors = np.array([row["vector"] for row in users], dtype=np.float32)
    np.testing.assert_array_equal(vectors, model.user_vectors)
    assert [row["id"] for row in users if row["plan"]] == ["user 3"]


def test_users_alone(place):
    model = make()
    model.export(place.destination, "users", **place.connection)
    assert [row["id"] for row in place.rows("cml_users")] == model.user_ids.tolist()


def test_a_table_that_exists_is_replaced_only_when_asked(place):
    old, new = make(seed=0), make(seed=3)
    old.export(place.destination, item_metadata=metadata_of(old), **place.connection)
    before, names = place.rows("cml_items"), place.names()
    with pytest.raises(ExportError, match=r"already.*if_exists='replace'"):
        new.export(place.destination, **place.connection)
    assert (place.rows("cml_items"), place.names()) == (before, names)

    new.export(place.destination, if_exists="replace", **place.connection)
    assert place.names() == names
    rows = place.rows("cml_items")
    assert rows[0].keys() == {"id", "vector"}
    vectors = np.array([row["vector"] for row in rows], dtype=np.float32)
    np.testing.assert_array_equal(vectors, new.item_vectors)


def test_one_of_two_tables_exists(database):
    model = make()
    model.export(database.destination, "users", **database.connection)
    with pytest.raises(ExportError, match="'cml_users' already"):
        model.export(database.destination, "both", **database.connection)
    assert database.names() == {"cml_users"}


class Broken(Exception):
    """What interrupts an export."""


def break_second_batch_of(name, monkeypatch):
    whole = tables.Table.batches

    def batches(self):
        rows = whole(self)
        yield next(rows)
        if self.name == name:
            raise OSError("no space left on this device")
        yield from rows

    monkeypatch.setattr(tables.Table, "batches", batches)


@pytest.mark.parametrize("if_exists", ["error", "replace"])
def test_nothing_is_half_written_to_a_file_or_table(place, if_exists, monkeypatch):
    old = make(seed=4)
    if if_exists == "replace":
        old.export(place.destination, **place.connection)
    before, names = place.rows("cml_items"), place.names()
    break_second_batch_of("cml_items", monkeypatch)
    with pytest.raises(ExportError, match="no space left on this device"):
        make().export(place.destination, if_exists=if_exists, **place.connection)
    monkeypatch.undo()
    assert (place.rows("cml_items"), place.names()) == (before, names)
    make().export(place.destination, if_exists=if_exists, **place.connection)
    assert len(place.rows("cml_items")) == N_ITEMS


@pytest.mark.parametrize("if_exists", ["error", "replace"])
def test_all_tables_are_written_or_none(database, if_exists, monkeypatch):
    if if_exists == "replace":
        make(seed=4).export(database.destination, "both", **database.connection)
    before, names = database.rows("cml_items"), database.names()
    monkeypatch.setattr(tables, "BATCH_BYTES", 8 * R * 4)  # two batches of users, too
    break_second_batch_of("cml_users", monkeypatch)
    with pytest.raises(ExportError, match="no space left on this device"):
        make().export(database.destination, "both", if_exists=if_exists, **database.connection)
    assert (database.rows("cml_items"), database.names()) == (before, names)


def test_an_interrupt_leaves_nothing(place, monkeypatch):
    def interrupted(self):
        raise KeyboardInterrupt
        yield

    names = place.names()
    monkeypatch.setattr(tables.Table, "batches", interrupted)
    with pytest.raises((KeyboardInterrupt, ExportError)):
        make().export(place.destination, **place.connection)
    assert place.names() == names


def test_metadata_of_unknown_ids_are_refused_before_anything_is_written(place):
    names = place.names()
    with pytest.raises(DataError, match="item_metadata has 1 ids that the model does not have"):
        make().export(place.destination, item_metadata={"id": ["x"]}, **place.connection)
    assert place.names() == names


def test_awkward_names_and_texts(place):
    """Names that are words of SQL or have quotes in them, and texts likewise."""
    model = make()
    metadata = {
        "id": model.item_ids[:3],
        "select": ["a", None, "it's"],
        'so "called"': ["\\.", "\t", 'x"y'],
        "größe %s": [1, 2, 3],
    }
    model.export(place.destination, item_metadata=pa.table(metadata), **place.connection)
    rows = place.rows("cml_items")
    for name in ("select", 'so "called"', "größe %s"):
        assert [row[name] for row in rows[:4]] == [*metadata[name], None]
