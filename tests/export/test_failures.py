"""What goes wrong at a target: one sentence, without a password, and nothing half written."""

from __future__ import annotations

import gc
import json
import secrets
import shutil
import socket
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from support.places import PostgreSQL, need
from support.postgresql import PASSWORD

from cml_fast import Model
from cml_fast._export import qdrant, tables
from cml_fast.errors import ExportError

slow = pytest.mark.slow
# The client warns of keys that are sent without TLS.
insecure = pytest.mark.filterwarnings("ignore:Api key is used with an insecure connection")


def make(n_items: int = 300, ids=None) -> Model:
    rng = np.random.default_rng(0)
    return Model(rng.normal(size=(5, 16)), rng.normal(size=(n_items, 16)), item_ids=ids)


def unused_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def sentence_of(error: pytest.ExceptionInfo[ExportError]) -> str:
    message = str(error.value)
    assert "\n" not in message and len(message) < 500
    return message


FULL = """
    import resource, signal, sys, warnings
    import numpy as np
    from cml_fast import Model
    from cml_fast.errors import ExportError
    model = Model(np.ones((2, 64)), np.random.default_rng(0).normal(size=(20_000, 64)))
    if sys.argv[2] == "qdrant":
        model = Model(np.ones((2, 64)), model.item_vectors[:1000])
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))
    try:
        model.export(sys.argv[1], to=sys.argv[2])
    except ExportError as error:
        print(error)
"""


@pytest.mark.parametrize(
    "to",
    [
        "parquet",
        "arrow",
        pytest.param("duckdb", marks=slow),
        pytest.param("lancedb", marks=slow),
        pytest.param("qdrant", marks=slow),
    ],
)
def test_a_write_that_really_fails(to, tmp_path):
    """A limit on the size of files is met half way.

    Not by the compiled form of an imported module (-B): Python would keep half of it.
    """
    if to not in ("parquet", "arrow"):
        need({"qdrant": "qdrant_client"}.get(to, to))
    destination = tmp_path / "place"
    command = [sys.executable, "-B", "-c", textwrap.dedent(FULL), str(destination), to]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.stdout.startswith(f"{destination} cannot be written: "), done.stderr
    assert done.stdout.count("\n") == 1
    left = [path.name for path in tmp_path.rglob("*") if path.is_file()]
    # The list of collections, which is empty, and the lock of the folder.
    allowed = {"meta.json", ".lock"} if to == "qdrant" else set()
    assert set(left) <= allowed
    if to == "qdrant":
        known = json.loads((destination / "meta.json").read_text())
        assert not any(known.values())


@pytest.mark.parametrize("extension", ["parquet", "arrow"])
def test_a_folder_is_missing_or_in_the_way(extension, tmp_path):
    with pytest.raises(ExportError, match=r"nowhere/items.*cannot be written"):
        make().export(tmp_path / "nowhere" / f"items.{extension}")
    (tmp_path / f"items.{extension}").mkdir()
    with pytest.raises(ExportError, match="is a folder: give the path of a file"):
        make().export(tmp_path / f"items.{extension}", if_exists="replace")


@slow
def test_duckdb_that_another_process_uses(tmp_path):
    need("duckdb")
    path = tmp_path / "shop.duckdb"
    make().export(path)
    code = (
        "import duckdb, sys; d = duckdb.connect(sys.argv[1]); print('ready', flush=True); input()"
    )
    command = [sys.executable, "-c", code, str(path)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "ready\n"
        with pytest.raises(ExportError, match=r"shop.duckdb cannot be written: .*lock") as error:
            make().export(path, if_exists="replace")
        process.stdin.write("\n")
    sentence_of(error)


@slow
def test_a_file_that_is_no_duckdb_stays_as_it_is(tmp_path):
    need("duckdb")
    path = tmp_path / "shop.duckdb"
    path.write_bytes(b"something else" * 1000)
    with pytest.raises(ExportError, match="not a valid DuckDB"):
        make().export(path, if_exists="replace")
    assert path.read_bytes() == b"something else" * 1000


@slow
def test_lancedb_where_a_file_is(tmp_path):
    need("lancedb")
    path = tmp_path / "shop.lancedb"
    path.write_text("something else")
    with pytest.raises(ExportError) as error:
        make().export(path)
    sentence_of(error)
    assert path.read_text() == "something else"


@slow
def test_lancedb_leaves_no_folder_of_its_own(tmp_path, monkeypatch):
    need("lancedb")

    def full(self):
        raise OSError("no space left")
        yield

    monkeypatch.setattr(tables.Table, "batches", full)
    with pytest.raises(ExportError, match="no space left"):
        make().export(tmp_path / "shop.lancedb")
    assert list(tmp_path.iterdir()) == []


@slow
@pytest.mark.parametrize("scheme", ["postgresql", "http"])
def test_a_server_that_is_away(scheme):
    need({"postgresql": "psycopg", "http": "qdrant_client"}[scheme])
    port = unused_port()
    with pytest.raises(ExportError, match=r"[Cc]onnection refused") as error:
        make().export(f"{scheme}://127.0.0.1:{port}")
    assert str(port) in sentence_of(error)


@pytest.fixture
def postgresql(postgresql_server) -> PostgreSQL:
    return PostgreSQL(postgresql_server.create(f"shop_{secrets.token_hex(4)}"))


@slow
def test_postgresql_a_wrong_password(postgresql_server):
    need("psycopg")
    with pytest.raises(ExportError, match="password authentication failed") as error:
        make().export(postgresql_server.url("postgres", "mistaken"))
    assert "mistaken" not in sentence_of(error)


@slow
def test_postgresql_a_password_apart_and_a_database_that_is_not_there(postgresql_server):
    need("psycopg")
    url = postgresql_server.url("nowhere", "mistaken")
    with pytest.raises(ExportError, match='database "nowhere" does not exist') as error:
        make().export(url, password=PASSWORD)
    assert PASSWORD not in sentence_of(error) and "mistaken" not in sentence_of(error)


@slow
def test_postgresql_no_address():
    need("psycopg")
    with pytest.raises(ExportError, match="it must be like postgresql://") as error:
        make().export("user me password hidden", to="postgresql")
    assert "hidden" not in sentence_of(error)


@slow
def test_postgresql_a_user_who_may_not_create_tables(postgresql_server, postgresql):
    import psycopg

    with psycopg.connect(postgresql.destination) as database:
        database.execute("CREATE EXTENSION vector")
        database.execute("CREATE ROLE guest LOGIN PASSWORD 'guest'")
    with pytest.raises(ExportError, match="permission denied for schema public") as error:
        make().export(postgresql.destination, user="guest", password="guest")
    sentence_of(error)
    assert postgresql.names() == set()


@slow
def test_postgresql_without_the_extension(postgresql_server, postgresql, monkeypatch):
    """A user who may not install it."""
    import psycopg

    with psycopg.connect(postgresql.destination) as database:
        database.execute("CREATE ROLE visitor LOGIN PASSWORD 'visitor'")
    with pytest.raises(ExportError, match=r"has no extension pgvector.*CREATE EXTENSION") as error:
        make().export(postgresql.destination, user="visitor", password="visitor")
    sentence_of(error)


@slow
def test_postgresql_a_text_that_it_cannot_hold(postgresql):
    ids = [f"item {row}" for row in range(299)] + ["with \0 in it"]
    with pytest.raises(ExportError, match=r"0x00.*column id") as error:
        make(ids=ids).export(postgresql.destination)
    sentence_of(error)
    assert postgresql.names() == set()


@slow
def test_postgresql_a_table_that_a_view_needs_is_not_replaced(postgresql):
    import psycopg

    make().export(postgresql.destination)
    with psycopg.connect(postgresql.destination) as database:
        database.execute("CREATE VIEW near AS SELECT id FROM cml_items")
    before = postgresql.rows("cml_items")
    with pytest.raises(ExportError, match="other objects depend on it") as error:
        make(10).export(postgresql.destination, if_exists="replace")
    sentence_of(error)
    assert postgresql.rows("cml_items") == before and postgresql.names() == {"cml_items"}


@slow
def test_postgresql_readers_do_not_wait(postgresql, monkeypatch):
    """While a table is replaced, the old one can be read."""
    import psycopg

    make(10).export(postgresql.destination)
    whole, counts = tables.Table.batches, []

    def batches(self):
        yield from whole(self)
        with psycopg.connect(postgresql.destination) as database:
            database.execute("SET lock_timeout = '5s'")
            counts.append(database.execute("SELECT count(*) FROM cml_items").fetchone()[0])

    monkeypatch.setattr(tables.Table, "batches", batches)
    make(20).export(postgresql.destination, if_exists="replace")
    assert counts == [10]
    assert len(postgresql.rows("cml_items")) == 20


@slow
@pytest.mark.filterwarnings(
    "ignore:unclosed file", "ignore::pytest.PytestUnraisableExceptionWarning"
)
def test_qdrant_a_folder_that_is_in_use(tmp_path):
    need("qdrant_client")
    from qdrant_client import QdrantClient

    client = QdrantClient(path=str(tmp_path / "shop.qdrant"))
    with pytest.raises(ExportError, match="already accessed by another instance") as error:
        make(5).export(tmp_path / "shop.qdrant")
    sentence_of(error)
    client.close()
    del error
    gc.collect()  # the client forgets to close a file


@slow
def test_qdrant_a_collection_of_somebody_else(tmp_path):
    need("qdrant_client")
    from qdrant_client import QdrantClient, models

    path = tmp_path / "shop.qdrant"
    client = QdrantClient(path=str(path))
    size = models.VectorParams(size=2, distance=models.Distance.DOT)
    client.create_collection("cml_items", vectors_config=size)
    client.close()
    with pytest.raises(ExportError, match="that no export has made") as error:
        make(5).export(path, if_exists="replace")
    sentence_of(error)
    shutil.rmtree(path)


class QdrantDouble(BaseHTTPRequestHandler):
    """As much of a Qdrant server as an export calls. No package brings a real one."""

    key = "secret"
    room = 10_000  # points
    collections: dict[str, list]
    aliases: dict[str, str]

    def answer(self, result, status=200) -> None:
        body = json.dumps({"result": result, "status": "ok", "time": 0}).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def handle_request(self) -> None:
        length = int(self.headers.get("Content-Length", 0))
        body = json.loads(self.rfile.read(length)) if length else None
        if self.headers.get("api-key") != self.key:
            return self.answer("who are you?", 401)
        method, parts = self.command, self.path.partition("?")[0].strip("/").split("/")
        match method, parts:
            case "GET", ["aliases"]:
                rows = [
                    {"alias_name": alias, "collection_name": collection}
                    for alias, collection in self.aliases.items()
                ]
                return self.answer({"aliases": rows})
            case "GET", ["collections", name, "exists"]:
                known = name in self.collections or name in self.aliases
                return self.answer({"exists": known})
            case "PUT", ["collections", name]:
                assert body["vectors"] == {"size": 16, "distance": "Euclid"}
                self.collections[name] = []
                return self.answer(True)
            case "DELETE", ["collections", name]:
                del self.collections[name]
                return self.answer(True)
            case "PUT", ["collections", name, "points"]:
                batch = body["batch"]
                points = list(zip(batch["ids"], batch["vectors"], batch["payloads"], strict=True))
                if len(self.collections[name]) + len(points) > self.room:
                    return self.answer("No space left on device", 500)
                self.collections[name] += points
                return self.answer({"operation_id": 0, "status": "completed"})
            case "POST", ["collections", "aliases"]:
                for action in body["actions"]:
                    match action:
                        case {"delete_alias": {"alias_name": alias}}:
                            del self.aliases[alias]
                        case {"create_alias": new}:
                            self.aliases[new["alias_name"]] = new["collection_name"]
                return self.answer(True)
        return self.answer(f"unexpected {method} {self.path}", 404)

    do_GET = do_PUT = do_POST = do_DELETE = handle_request

    def log_message(self, *_: object) -> None:
        """Print nothing."""


@pytest.fixture
def qdrant_double() -> Iterator[tuple[str, type[QdrantDouble]]]:
    need("qdrant_client")
    handler = type("Handler", (QdrantDouble,), {"collections": {}, "aliases": {}})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", handler
        server.shutdown()
        thread.join()


@slow
@insecure
def test_qdrant_over_http(qdrant_double, monkeypatch):
    url, server = qdrant_double
    monkeypatch.setattr(qdrant, "_BATCH_POINTS", 7)
    monkeypatch.setenv(qdrant.API_KEY_VARIABLE, server.key)
    model = make(ids=[f"item {row}" for row in range(300)])
    metadata = {"id": ["item 2"], "day": np.array(["2024-01-31"], "datetime64[D]"), "price": [0.5]}
    assert model.export(url, item_metadata=metadata) == {"cml_items": 300}
    points = server.collections[server.aliases["cml_items"]]
    assert [id for id, _, _ in points] == list(range(300))
    np.testing.assert_array_equal(
        np.array([vector for _, vector, _ in points], np.float32), model.item_vectors
    )
    assert points[2][2] == {"id": "item 2", "day": "2024-01-31", "price": 0.5}
    assert points[3][2] == {"id": "item 3", "day": None, "price": None}

    model.export(url, "both", prefix="other_")
    before = dict(server.aliases)
    model.export(url, "both", prefix="other_", if_exists="replace")
    assert server.aliases.keys() == before.keys() == {"cml_items", "other_items", "other_users"}
    assert set(server.aliases.values()) == set(server.collections)
    assert server.aliases["other_items"] != before["other_items"]


@slow
@insecure
def test_qdrant_a_wrong_key(qdrant_double):
    url, server = qdrant_double
    with pytest.raises(ExportError, match="401") as error:
        make().export(url, api_key="mistaken")
    assert "mistaken" not in sentence_of(error)
    assert server.collections == {}


@slow
@insecure
def test_qdrant_a_server_that_is_full(qdrant_double):
    url, server = qdrant_double
    make().export(url, api_key=server.key)
    before = dict(server.aliases)
    server.room = 1500  # one batch and a half
    with pytest.raises(ExportError, match="No space left") as error:
        make(2000).export(url, api_key=server.key, if_exists="replace")
    sentence_of(error)
    assert server.aliases == before and list(server.collections) == list(before.values())
    assert len(server.collections[before["cml_items"]]) == 300


@slow
@pytest.mark.parametrize("name", ["duckdb", "lancedb", "qdrant", "postgresql"])
def test_an_option_that_the_client_does_not_have(name, tmp_path):
    need({"qdrant": "qdrant_client", "postgresql": "psycopg"}.get(name, name))
    urls = {"postgresql": "postgresql://127.0.0.1/shop", "qdrant": "http://127.0.0.1"}
    destination = urls.get(name, tmp_path / "shop")
    with pytest.raises(ExportError, match="cannot be written") as error:
        make(3).export(destination, to=name, colour="red")
    sentence_of(error)


def test_a_client_that_is_not_installed(monkeypatch, tmp_path):
    for module, name in (
        ("duckdb", "duckdb"),
        ("lancedb", "lancedb"),
        ("qdrant_client", "qdrant"),
        ("psycopg", "postgresql"),
    ):
        monkeypatch.setitem(sys.modules, module, None)
        with pytest.raises(ImportError, match=rf"pip install cml-fast\[{name}\]"):
            make().export(tmp_path / "place", to=name)
    assert list(Path(tmp_path).iterdir()) == []
