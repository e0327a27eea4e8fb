"""What `Model.export` and ``cml-fast export`` are asked for, and refuse."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from cml_fast import Model
from cml_fast._cli.app import main
from cml_fast._cli.commands import export as command
from cml_fast._export import metadata, run, tables
from cml_fast._export.rows import InMemory
from cml_fast._export.targets import TARGETS, target_of
from cml_fast.data._ids import IdIndex

MODEL = Model(
    [[0.0, 0.5]], [[1.0, 2.0], [3.0, 4.0]], user_ids=["ann"], item_ids=["film-1", "film-2"]
)


@pytest.mark.parametrize(
    ("destination", "name"),
    [
        ("a/items.parquet", "parquet"),
        ("items.PQ", "parquet"),
        ("items.arrow", "arrow"),
        ("items.feather", "arrow"),
        ("shop.duckdb", "duckdb"),
        ("shop.lancedb/", "lancedb"),
        ("s3://bucket/shop.lancedb", None),
        ("shop.qdrant", "qdrant"),
        ("http://localhost:6333", "qdrant"),
        ("https://shop.parquet", "qdrant"),
        ("postgresql:///shop", "postgresql"),
        ("postgres://me@host/shop.duckdb", "postgresql"),
        ("shop", None),
        ("http-folder", None),
    ],
)
def test_a_destination_shows_what_it_is(destination, name):
    if name is not None:
        assert target_of(destination, None).name == name
        return
    with pytest.raises(ValueError, match="say it with to="):
        target_of(destination, None)
    assert target_of(destination, "lancedb").name == "lancedb"


def test_an_unknown_url_is_not_repeated_with_its_password():
    with pytest.raises(ValueError, match=r"'mysql://...'") as error:
        MODEL.export("mysql://me:hidden@host/shop")
    assert "hidden" not in str(error.value)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"to": "csv"}, r"to must be one of \('parquet', .*got 'csv'"),
        ({"what": "item"}, r"what must be one of .*got 'item'"),
        ({"what": "both"}, "a file of parquet holds one table: export what='items' and"),
        ({"if_exists": "append"}, "if_exists must be one of .*got 'append'"),
        ({"unknown": "keep"}, "unknown must be one of .*got 'keep'"),
        ({"prefix": "my-"}, "prefix must be at most 40 lower-case letters, .*got 'my-'"),
        ({"prefix": "My"}, "prefix must be at most 40 lower-case letters, .*got 'My'"),
        ({"prefix": ""}, "prefix must be at most 40 lower-case letters, .*got ''"),
        ({"prefix": "x" * 41}, "prefix must be at most 40 lower-case letters"),
        ({"user_metadata": {"id": ["ann"]}}, "user_metadata is given, but users are not exported"),
        (
            {"what": "users", "item_metadata": {"id": []}},
            "item_metadata is given, but items are not exported",
        ),
        ({"password": "x"}, "no option 'password': a file needs no connection"),
    ],
)
def test_refused(arguments, message, tmp_path):
    with pytest.raises((TypeError, ValueError), match=message):
        MODEL.export(tmp_path / "items.parquet", **arguments)
    assert list(tmp_path.iterdir()) == []


def test_a_file_elsewhere_and_a_destination_that_is_no_path():
    with pytest.raises(ValueError, match="destination must be a file of this machine"):
        MODEL.export("s3://bucket/items", to="parquet")
    with pytest.raises(TypeError):
        MODEL.export(5)
    with pytest.raises(TypeError, match="destination must be a path or a URL"):
        MODEL.export(b"items.parquet")


def test_ids_that_are_no_unicode(tmp_path):
    model = Model([[0.0]], [[1.0]], item_ids=["\ud800"])
    with pytest.raises(ValueError, match="of item_ids is no valid Unicode"):
        model.export(tmp_path / "items.parquet")
    assert list(tmp_path.iterdir()) == []


def test_a_path_of_a_file_is_its_key(tmp_path):
    path = tmp_path / "users.arrow"
    assert MODEL.export(path, "users") == {str(path): 1}


def test_batches_are_small(monkeypatch):
    """An export holds a batch at a time, whose vectors are not copied."""
    vectors = np.zeros((1000, 8), np.float32)
    monkeypatch.setattr(tables, "BATCH_BYTES", 100 * 8 * 4 + 5)
    rows = InMemory(IdIndex("item", None, 1000), vectors)
    table = tables.Table("x", rows, pa.table({}), None)
    sizes = []
    for batch in table.batches():
        sizes.append(len(batch))
        assert batch["vector"].flatten().buffers()[1].address >= vectors.ctypes.data
        assert batch["vector"].flatten().buffers()[1].address < vectors.ctypes.data + vectors.nbytes
    assert sizes == [100] * 10
    monkeypatch.setattr(tables, "BATCH_BYTES", 1)
    assert sum(1 for _ in table.batches()) == 1000


def test_the_package_is_loaded_without_what_exports_need():
    code = "import sys, cml_fast.model, cml_fast._cli.commands.export"
    code += "; print('cml_fast._export.run' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_the_command_offers_all_that_there_is():
    assert tuple(TARGETS) == command.TARGETS
    assert (command.WHAT, command.IF_EXISTS) == (run.WHAT, run.IF_EXISTS)
    assert command.UNKNOWN == metadata.UNKNOWN


def test_the_command(tmp_path, capsys):
    MODEL.save(tmp_path / "model")
    (tmp_path / "films.csv").write_text("film,title\nfilm-2,Second\nfilm-3,Third\n")
    out = str(tmp_path / "items.parquet")
    arguments = ["export", str(tmp_path / "model"), out, "--item-metadata"]
    arguments += [str(tmp_path / "films.csv"), "--id-column", "film"]
    assert main(arguments) == 3
    assert "1 ids that the model does not have: 'film-3'" in capsys.readouterr().err
    assert main([*arguments, "--unknown", "drop"]) == 0
    printed = capsys.readouterr()
    assert printed.out == f"2 rows in {out}\n"
    assert "1 rows of --item-metadata are of ids" in printed.err
    table = pyarrow.parquet.read_table(out)
    assert table.to_pylist() == [
        {"id": "film-1", "vector": [1.0, 2.0], "title": None},
        {"id": "film-2", "vector": [3.0, 4.0], "title": "Second"},
    ]
    users = ["export", str(tmp_path / "model"), out, "--what", "users", "--json"]
    assert main(users) == 3
    assert "exists already" in capsys.readouterr().err
    assert main([*users, "--if-exists", "replace"]) == 0
    assert json.loads(capsys.readouterr().out) == {"written": {out: 1}}


def test_the_command_without_the_client(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "lancedb", None)
    MODEL.save(tmp_path / "model")
    assert main(["export", str(tmp_path / "model"), str(tmp_path / "shop.lancedb")]) == 1
    err = capsys.readouterr().err
    assert err == (
        "cml-fast: error: export to lancedb needs the package lancedb: pip install "
        "cml-fast[lancedb]\n"
    )
