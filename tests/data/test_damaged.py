"""Files and frames that were damaged in unusual ways: a DataError names them."""

from __future__ import annotations

import io
import struct
import zipfile
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from cml_fast.data import load_features, load_interactions
from cml_fast.errors import DataError


def npz(**changed: Any) -> bytes:
    members = {"format": b"csr", "shape": np.array([1, 1]), "data": np.ones(1, np.float32)}
    members |= {"indices": np.array([0]), "indptr": np.array([0, 1])}
    file = io.BytesIO()
    np.savez(file, **(members | changed))
    return file.getvalue()


def zipped(at: int, value: int) -> bytes:
    """A zip file with two bytes of its list of files changed."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("a.csv", "user,item\n1,2\n")
    content = bytearray(file.getvalue())
    at += content.find(b"PK\x01\x02")
    content[at : at + 2] = struct.pack("<H", value)
    return bytes(content)


@pytest.mark.parametrize(
    ("format", "content", "match"),
    [
        ("npz", npz(data=np.ones(1, complex)), "must hold real numbers, got dtype complex128"),
        ("npz", npz(data=np.array(["a"])), "must hold real numbers"),
        ("npz", npz(indices=np.array([0.5])), r"indices\.npy must hold integers, found float64"),
        ("npz", npz(shape=np.array(["1", "1"])), r"shape\.npy must hold integers"),
        ("csv", zipped(8, 1), "cannot be unpacked: .*encrypted"),
        ("csv", zipped(10, 99), "cannot be unpacked|cannot be read"),
        ("csv", zipped(42, 0xFFFF), "cannot be unpacked|cannot be read"),
    ],
)
def test_files(format: str, content: bytes, match: str) -> None:
    with pytest.raises(DataError, match=f"the bytes.*({match})"):
        load_interactions(content, format=format)


def test_a_place_before_the_begin_of_a_zip_file() -> None:
    content = bytearray(zipped(8, 0))
    end = content.find(b"PK\x05\x06")
    content[end + 16 : end + 20] = struct.pack("<I", 2**20)  # where the list of files is
    with pytest.raises(DataError, match=r"the bytes cannot be (unpacked|read)"):
        load_interactions(bytes(content), format="csv")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32"])
def test_text_that_does_not_say_its_byte_order(encoding: str) -> None:
    with pytest.raises(DataError, match=f"the bytes: line 1 is not {encoding} text"):
        load_interactions(b"user,item\n1,2\n", format="csv", encoding=encoding)


def test_half_of_a_character_of_two_parts() -> None:
    content = b"user,item\n1,+2AA-\n"
    with pytest.raises(DataError, match="the bytes: line 2 is not UTF-8 text"):
        load_interactions(content, format="csv", encoding="utf-7")


def test_columns_of_one_name() -> None:
    content = b"item_id:token\tcity:token\tcity:token\n1\ta\tb\n"
    with pytest.raises(DataError, match="the bytes has several columns 'city'"):
        load_features(content, format="recbole")


def test_ratings_that_are_not_there_are_a_fault_of_the_file() -> None:
    with pytest.raises(DataError, match="the bytes: min_rating needs rating"):
        load_interactions(b"user,item\n1,2\n", format="csv", min_rating=3)


def _with_offsets(offsets: list[int]) -> pa.Array:
    """Text whose offsets Arrow does not look at, as it would come from a damaged stream."""
    sink = pa.BufferOutputStream()
    table = pa.table({"user": ["abc", "def", "ghi"], "item": [1, 2, 3]})
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    good = np.array([0, 3, 6, 9], np.int32).tobytes()
    damaged = sink.getvalue().to_pybytes().replace(good, np.array(offsets, np.int32).tobytes())
    return pa.ipc.open_stream(damaged).read_all()


@pytest.mark.parametrize("offsets", [[0, 3, 6, 2**30], [0, 9, 3, 9], [0, -5, 6, 9]])
def test_frames_that_refer_to_memory_of_others(offsets: list[int]) -> None:
    with pytest.raises(DataError, match="the data frame: column of user is damaged"):
        load_interactions(_with_offsets(offsets))


def test_codes_outside_of_a_dictionary() -> None:
    codes = pa.array([0, 5, -3], pa.int32())
    users = pa.DictionaryArray.from_arrays(codes, pa.array(["a", "b"]), safe=False)
    with pytest.raises(DataError, match="the data frame: column of user is damaged"):
        load_interactions(pa.table({"user": users, "item": [1, 2, 3]}))
    tags = pa.ListArray.from_arrays(pa.array([0, 1, 3], pa.int32()), users)
    with pytest.raises(DataError, match="the data frame: column of tag is damaged"):
        load_features(pa.table({"id": [1, 2], "tag": tags}))


def test_text_that_is_not_utf8_is_a_fault_of_its_row() -> None:
    offsets = pa.array([0, 1, 2], pa.int32()).buffers()[1]
    users = pa.Array.from_buffers(pa.string(), 2, [None, offsets, pa.py_buffer(b"a\xff")])
    frame = pa.table({"user": users.dictionary_encode(), "item": [1, 2]})
    with pytest.raises(DataError, match=r"the data frame: row 1: user .* is not UTF-8"):
        load_interactions(frame)


def test_names_of_columns_that_are_not_text() -> None:
    sink = pa.BufferOutputStream()
    table = pa.table({"user": [1], "item": [2], "qqqq": [3]})
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    damaged = sink.getvalue().to_pybytes().replace(b"qqqq", b"\xffqqq")
    with pytest.raises(DataError, match="the data frame has a column whose name is not UTF-8"):
        load_interactions(pa.ipc.open_stream(damaged).read_all())
