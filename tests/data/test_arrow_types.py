"""Columns of every type that Parquet and frames have load, or are an error that says why."""

from __future__ import annotations

import contextlib
import datetime
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cml_fast.data import load_interactions
from cml_fast.errors import DataError


def parquet(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink)
    return sink.getvalue().to_pybytes()  # type: ignore[no-any-return]


def read(table: pa.Table, **options: Any) -> Any:
    """Return what is read from a table as Parquet, after a check that a frame gives the same."""
    results: list[Any] = []
    for source, format in ((parquet(table), "parquet"), (table, "auto")):
        try:
            got = load_interactions(source, format=format, **options)
            matrix = got.matrix.tocoo()
            users = got.user_ids[matrix.row].tolist()
            items = got.item_ids[matrix.col].tolist()
            values = got.matrix.data.tolist()
            results.append((list(zip(users, items, values, strict=True)), got.timestamps))
        except DataError as error:
            # Parquet has another name for the values of a list.
            results.append(str(error).partition(":")[2].replace("<element:", "<item:"))
    if isinstance(results[0], str):
        assert results[0] == results[1]
    else:
        assert results[0][0] == results[1][0]
    return results[0]


# Types that hold 10 and 7, as ids.
WHOLE = [
    *(pa.int8(), pa.int16(), pa.int32(), pa.int64()),
    *(pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64()),
    *(pa.float32(), pa.float64(), pa.decimal128(10, 0), pa.decimal128(10, 2), pa.decimal256(60, 3)),
]
TEXT = [
    *(pa.string(), pa.large_string(), pa.string_view()),
    *(pa.binary(), pa.large_binary(), pa.binary_view()),
]

# Called text, as some Parquet files do with bytes.
NO_TEXT = pa.Array.from_buffers(
    pa.string(), 2, [None, pa.py_buffer(np.array([0, 1, 2], np.int32)), pa.py_buffer(b"a\xff")]
)
ROLES = ("weight", "timestamp", "where")


@pytest.mark.parametrize("kind", [*WHOLE, *TEXT, pa.float16()], ids=str)
@pytest.mark.parametrize("code", [None, pa.int8(), pa.uint8(), pa.uint32(), pa.int64()], ids=str)
def test_ids_of_every_type(kind: pa.DataType, code: pa.DataType | None) -> None:
    if kind in TEXT:
        users = pa.array(["10", "7"]).cast(kind)
    elif pa.types.is_decimal(kind):
        users = pa.array([Decimal(10), Decimal(7)], kind)
    else:
        users = pa.array([10, 7]).cast(kind)
    items = pa.array(["a", "b"])
    if code is not None:
        users = pa.DictionaryArray.from_arrays(pa.array([0, 1], code), users)
    try:
        table = pa.table({"user": users, "item": items})
        parquet(table)
    except pa.ArrowException:
        pytest.skip("Parquet has no such type")
    assert read(table)[0] == [(7, "b", 1), (10, "a", 1)]


@pytest.mark.parametrize(
    ("users", "expected"),
    [
        (pa.array([2**63, 5], pa.uint64()), [("5", "b", 1), ("9223372036854775808", "a", 1)]),
        (pa.array([Decimal(10) ** 30, Decimal(2)]), [(str(10**30), "a", 1), ("2", "b", 1)]),
        (pa.array([-1.0, 2.0**53 - 1]), [(-1, "a", 1), (2**53 - 1, "b", 1)]),
        (pa.array([b"ab", b"cd"], pa.binary(2)), [("ab", "a", 1), ("cd", "b", 1)]),
        (pa.array(["é\0", "x"]), [("x", "b", 1), ("é\0", "a", 1)]),
    ],
)
def test_ids_at_the_limits(users: pa.Array, expected: list[tuple[object, str, float]]) -> None:
    assert read(pa.table({"user": users, "item": ["a", "b"]}))[0] == expected


@pytest.mark.parametrize(
    ("users", "match"),
    [
        (pa.array([1, None]), "row 1: user None is missing"),
        (pa.array([1, None]).dictionary_encode(), "row 1: user None is missing"),
        (pa.array(["a", ""]), "row 1: user '' is missing"),
        (pa.array(["a", None], pa.string_view()), "row 1: user None is missing"),
        (pa.array([1.0, float("nan")]), "row 1: user nan is missing"),
        (pa.array([1, 1.5]), "row 1: user 1.5 is not a whole number"),
        (pa.array([1, float("inf")]), "row 1: user inf is not a whole number"),
        (pa.array([1, 2.0**53]), r"row 1: user 9007199254740992\.0 is not a whole number"),
        (pa.array([Decimal("1.00"), Decimal("1.50")]), "row 1: user .*1.50.* not a whole number"),
        (pa.array([b"a", b"\xff"]), "row 1: user .*xff.* is not UTF-8 text"),
        (NO_TEXT, "row 1: user b'.xff' is not UTF-8 text"),
        (pa.array([b"a", b"\xff"], pa.large_binary()), "row 1: user .*xff.* is not UTF-8 text"),
        (pa.array([True, False]), "user ids has type bool; ids are integers or text"),
        (pa.array([[1], [2]]), "user ids has type list"),
        (pa.array([{"a": 1}, {"a": 2}]), "user ids has type struct"),
        (pa.array([datetime.date(2024, 1, 1)] * 2), "user ids has type date32"),
        (pa.array([datetime.timedelta(1)] * 2), "user ids has type duration"),
        (pa.nulls(2), "row 0: user None is missing"),
    ],
)
def test_what_is_no_id(users: pa.Array, match: str) -> None:
    message = read(pa.table({"user": users, "item": ["a", "b"]}))
    assert isinstance(message, str)
    with pytest.raises(DataError, match=match):
        raise DataError(message)


@pytest.mark.parametrize("kind", [*WHOLE, *TEXT, pa.float16()], ids=str)
def test_weights_of_every_type(kind: pa.DataType) -> None:
    if kind in TEXT:
        weights = pa.array(["10", "7"]).cast(kind)
    elif pa.types.is_decimal(kind):
        weights = pa.array([Decimal(10), Decimal(7)], kind)
    else:
        weights = pa.array([10, 7]).cast(kind)
    columns = [weights]
    with contextlib.suppress(pa.ArrowNotImplementedError):  # of half floats in older releases
        columns.append(weights.dictionary_encode())
    for column in columns:
        table = pa.table({"user": [1, 2], "item": ["a", "b"], "w": column})
        try:
            parquet(table)
        except pa.ArrowException:
            continue
        assert read(table, weight="w")[0] == [(1, "a", 10), (2, "b", 7)]


@pytest.mark.parametrize(
    ("column", "role", "match"),
    [
        *((pa.array([[1], [2]]), role, "column {} has type list") for role in ROLES),
        *((pa.array([{"a": 1}] * 2), role, "column {} has type struct") for role in ROLES),
        (pa.array([datetime.timedelta(1)] * 2), "weight", "column weight has type duration"),
        (pa.array([datetime.timedelta(1)] * 2), "timestamp", "column timestamp has type duration"),
        (pa.array([1, None]), "weight", "row 1: weight None is not a finite number"),
        (pa.array([1, None]), "timestamp", "row 1: timestamp None is"),
    ],
)
def test_what_is_no_number(column: pa.Array, role: str, match: str) -> None:
    table = pa.table({"user": [1, 2], "item": ["a", "b"], "w": column})
    message = read(table, **({"where": {"w": "1"}} if role == "where" else {role: "w"}))
    with pytest.raises(DataError, match=match.format("w" if role == "where" else role)):
        raise DataError(message)


def test_times_of_every_type() -> None:
    moment = datetime.datetime(2024, 1, 31, 12, tzinfo=datetime.timezone.utc)
    for unit in ("s", "ms", "us", "ns"):
        for zone in (None, "UTC", "Europe/Zurich", "+02:00"):
            times = pa.array([moment, moment], pa.timestamp(unit, zone))
            table = pa.table({"user": [1, 2], "item": ["a", "b"], "t": times})
            _, got = read(table, timestamp="t")
            assert got.tolist() == [moment.replace(tzinfo=None)] * 2
    for kind in (pa.date32(), pa.date64()):
        times = pa.array([moment.date()] * 2, kind)
        table = pa.table({"user": [1, 2], "item": ["a", "b"], "t": times})
        _, got = read(table, timestamp="t")
        assert got.astype("datetime64[D]").astype(str).tolist() == ["2024-01-31"] * 2


def test_columns_of_the_same_name() -> None:
    table = pa.table([[1], [2], [3]], names=["user", "item", "item"])
    assert read(table) == read(table)
    with pytest.raises(DataError, match="several columns 'item'"):
        load_interactions(parquet(table), format="parquet")
    with pytest.raises(DataError, match="several columns 'item'"):
        load_interactions(parquet(table), format="parquet", item=2)
