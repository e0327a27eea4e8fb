"""Metadata in any form are aligned by id, or refused by a sentence."""

from __future__ import annotations

import datetime
import decimal

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from cml_fast import Model
from cml_fast.errors import DataError

MODEL = Model([[0.0]], [[1.0], [2.0], [3.0]], item_ids=["7", "b", "c\0"])
NUMBERED = Model([[0.0]], [[1.0], [2.0], [3.0]], item_ids=[7, -8, 2**62])


def exported(folder, metadata, model=MODEL, **arguments) -> pa.Table:
    path = folder / "items.parquet"
    model.export(path, item_metadata=metadata, if_exists="replace", **arguments)
    return pyarrow.parquet.read_table(path)


def column(folder, values, type=None):
    """The values of a column of metadata after an export, with its type."""
    ids = ["c\0", "7", "b"][: len(values)]
    table = exported(folder, pa.table({"id": ids, "x": pa.array(values, type)}))
    got = dict(zip(table["id"].to_pylist(), table["x"].to_pylist(), strict=True))
    return [got[id] for id in ids], table["x"].type


@pytest.mark.parametrize("form", ["dict", "numpy", "pyarrow", "pandas", "polars", "parquet", "csv"])
def test_forms(form, tmp_path):
    columns = {"id": ["c\0", "7"], "tag": ["x", "y"], "n": [1, 2]}
    if form == "csv":
        path = tmp_path / "metadata.csv"
        path.write_text('id,tag,n\nb,"x\ny",1\n7,y,2\n')
        table = exported(tmp_path, path)
        assert table["tag"].to_pylist() == ["y", "x\ny", None]
        assert table["n"].to_pylist() == [2, 1, None]
        return
    if form == "numpy":
        metadata = {name: np.array(values) for name, values in columns.items()}
        metadata["id"] = np.array(columns["id"], dtype=object)  # NumPy's text drops a last NUL
    elif form == "parquet":
        metadata = tmp_path / "metadata.parquet"
        pyarrow.parquet.write_table(pa.table(columns), metadata)
    elif form in ("pandas", "polars"):
        metadata = pytest.importorskip(form).DataFrame(columns)
    else:
        metadata = columns if form == "dict" else pa.table(columns)
    table = exported(tmp_path, metadata)
    assert table["id"].to_pylist() == ["7", "b", "c\0"]
    assert table["tag"].to_pylist() == ["y", None, "x"]
    assert table["n"].to_pylist() == [2, None, 1]


def test_ids_are_compared_as_texts(tmp_path):
    (tmp_path / "metadata.csv").write_text("film,title\n007,Bond\n7,Seven\n")
    with pytest.warns(
        UserWarning, match="1 rows of item_metadata are of ids that the model"
    ) as warned:
        table = exported(
            tmp_path, tmp_path / "metadata.csv", NUMBERED, id_column="film", unknown="drop"
        )
    assert warned[0].filename == __file__
    assert table["title"].to_pylist() == ["Seven", None, None]
    assert table["id"].type == pa.int64()
    assert exported(tmp_path, {"id": [7], "x": [1]})["x"].to_pylist() == [1, None, None]


def test_types(tmp_path):
    when = datetime.datetime(2024, 1, 31, 12, 30, 0, 5)
    utc = when.replace(tzinfo=datetime.timezone.utc)
    for values, given, kept in (
        ([1, None], pa.uint8(), pa.int64()),
        ([0.5, None], pa.float32(), pa.float64()),
        ([True, None], pa.bool_(), pa.bool_()),
        (["a", None], pa.large_string(), pa.string()),
        (["a", None], pa.dictionary(pa.int8(), pa.string()), pa.string()),
        ([None, None], pa.null(), pa.string()),
        ([when.date(), None], pa.date64(), pa.date32()),
        ([when, None], pa.timestamp("us"), pa.timestamp("us")),
        ([utc, None], pa.timestamp("us", tz="UTC"), pa.timestamp("us", tz="UTC")),
        ([["a", "b"], None], pa.large_list(pa.large_string()), None),
    ):
        got, type = column(tmp_path, values, given)
        assert got == values
        if kept is None:
            assert type.value_type == pa.string()
        else:
            assert type == kept
    assert column(tmp_path, [1.0, float("nan"), 2.0])[0] == [1.0, None, 2.0]
    decimals = pa.array([decimal.Decimal("0.25")], pa.decimal128(5, 2))
    assert column(tmp_path, decimals)[0] == [0.25]


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        (
            5,
            "item_metadata must be a data frame, a dict of columns or the path of .* got int",
        ),
        ({"id": ["b"], "x": [1, 2]}, "item_metadata cannot be made a table: .*length"),
        ({"id": ["b", "7"], "x": [1, "a"]}, "item_metadata cannot be made a table"),
        ({"name": ["b"], "x": [1]}, "no column 'id'; the columns are: name, x. .*id_column"),
        ({"id": ["b"], "vector": [1]}, "has a column 'vector', as the export itself"),
        ({"id": ["b", "b"]}, "has 2 rows with the id 'b': keep one"),
        ({"id": ["b", None]}, "has 1 rows without an id in 'id'"),
        ({"id": [0.5]}, r"item_metadata\['id'\] must be a one-dimensional sequence of integers"),
        ({"id": list("pqrstu")}, "6 ids that the model does not have: 'p', .*'t', ...; leave"),
        ({"id": ["b"], "x": [{"a": 1}]}, "column 'x' of type struct.*cannot be exported"),
        ({"id": ["b"], "x": [[[1]]]}, "column 'x' of type list.*cannot be exported"),
        ({"id": ["b"], "x": [b"a"]}, "column 'x' of type binary.*columns hold whole numbers"),
        (
            {"id": ["b"], "x": np.array([2**63], np.uint64)},
            "the column 'x' of item_metadata: .*not in range",
        ),
        ("nowhere.csv", "there is no file nowhere.csv"),
        ("nowhere.txt", "nowhere.txt must end in one of .parquet"),
    ],
)
def test_refused(metadata, message, tmp_path):
    with pytest.raises((TypeError, DataError, FileNotFoundError), match=message) as error:
        exported(tmp_path, metadata)
    assert "\n" not in str(error.value)
    assert list(tmp_path.iterdir()) == []


def test_two_columns_of_one_name(tmp_path):
    twice = pa.Table.from_arrays([pa.array(["b"]), pa.array([1]), pa.array([2])], ["id", "x", "x"])
    with pytest.raises(DataError, match="two columns 'x': rename one"):
        exported(tmp_path, twice)


def test_a_damaged_file(tmp_path):
    path = tmp_path / "metadata.parquet"
    path.write_bytes(b"PAR1 and no more")
    with pytest.raises(DataError, match=r"metadata\.parquet cannot be read"):
        exported(tmp_path, path)


def test_columns_named_as_the_ids_are(tmp_path):
    """The ids' column may have any name, "vector" too."""
    table = exported(tmp_path, {"vector": ["b"], "x": [1]}, id_column="vector")
    assert table.column_names == ["id", "vector", "x"]
    assert table["vector"].to_pylist() == [[1.0], [2.0], [3.0]]
