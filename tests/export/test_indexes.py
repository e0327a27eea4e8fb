"""What the guide says of the indexes of databases, with a filter that leaves few items."""

from __future__ import annotations

import secrets

import numpy as np
import pytest
from support.places import need

from cml_fast import Model

pytestmark = pytest.mark.slow
N_ITEMS, RARE = 2000, 50
TAGS = np.where(np.arange(N_ITEMS) % RARE == 0, "rare", "usual")


def make() -> Model:
    rng = np.random.default_rng(0)
    return Model(rng.normal(size=(5, 8)), rng.normal(size=(N_ITEMS, 8)), user_ids=range(100, 105))


def wanted(model: Model, n: int) -> list[int]:
    rows, _ = model.recommend(3, n=N_ITEMS)
    return rows[TAGS[rows] == "rare"][:n].tolist()


def test_pgvector_goes_on_until_there_are_n(postgresql_server):
    need("psycopg")
    import psycopg

    model = make()
    url = postgresql_server.create(f"shop_{secrets.token_hex(4)}")
    model.export(url, "both", item_metadata={"id": model.item_ids, "tag": TAGS})
    query = """
        SELECT id FROM cml_items WHERE tag = 'rare'
        ORDER BY vector <-> (SELECT vector FROM cml_users WHERE id = 103) LIMIT 10
    """
    with psycopg.connect(url) as database:
        database.execute("CREATE INDEX ON cml_items USING hnsw (vector vector_l2_ops)")
        database.execute("SET enable_seqscan = off")
        plan = "\n".join(line for (line,) in database.execute(f"EXPLAIN {query}").fetchall())
        assert "Index Scan using cml_items_vector_idx" in plan
        assert len(database.execute(query).fetchall()) < 10
        database.execute("SET hnsw.iterative_scan = strict_order")
        found = [id for (id,) in database.execute(query).fetchall()]
    assert len(found) == 10
    assert len({*found} & {*wanted(model, 10)}) >= 9


def test_lancedb_filters_first(tmp_path):
    need("lancedb")
    import lancedb

    model = make()
    model.export(tmp_path / "shop.lancedb", item_metadata={"id": model.item_ids, "tag": TAGS})
    table = lancedb.connect(tmp_path / "shop.lancedb").open_table("cml_items")
    search = table.search(model.user_vectors[3]).where("tag = 'rare'", prefilter=True)
    found = search.limit(10).to_arrow()
    # L2 is the default, and squared.
    assert found["id"].to_pylist() == wanted(model, 10)
    distances = model.recommend(3, n=N_ITEMS)[1]
    rows = model.recommend(3, n=N_ITEMS)[0]
    expected = distances[TAGS[rows] == "rare"][:10] ** 2
    np.testing.assert_allclose(found["_distance"].to_numpy(), expected, rtol=1e-5)
