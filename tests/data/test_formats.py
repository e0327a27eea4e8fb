"""The registry of file formats: how one is found, and what a new one needs."""

from __future__ import annotations

import gzip
import re
from pathlib import Path

import pyarrow as pa
import pytest

from cml_fast.data import load_features, load_interactions
from cml_fast.data._readers import formats
from cml_fast.data._readers.builder import PairBuilder
from cml_fast.data._readers.delimited import COLUMN_OPTIONS
from cml_fast.data._readers.files import Source, sources
from cml_fast.data._readers.pairs import FEATURES, INTERACTIONS, Format, PairKind

LOADERS = {INTERACTIONS: load_interactions, FEATURES: load_features}


@pytest.mark.parametrize("kind", LOADERS)
def test_every_format_and_option_is_documented(kind: PairKind) -> None:
    loader = LOADERS[kind]
    documented = re.findall(r"^    - ``(\w+)``: ", loader.__doc__ or "", re.MULTILINE)
    assert documented == list(formats.formats_of(kind))
    options = {option for row in formats.formats_of(kind).values() for option in row.options}
    arguments = set(loader.__annotations__)
    # Of the columns, those of the other kind are no arguments.
    assert options - arguments <= {*COLUMN_OPTIONS, "min_rating"}
    others = {"source", "format", "return", "user_ids", "item_ids", "on_bad_lines"}
    others |= {"ids", "names", "unknown", "min_count"}
    assert arguments - options <= others


@pytest.mark.parametrize(
    ("kind", "name", "content", "format"),
    [
        (INTERACTIONS, "a.csv", b"user,item,genres\n", "csv"),
        (INTERACTIONS, "a.TSV.gz", gzip.compress(b"user\titem\n", mtime=0), "tsv"),
        (INTERACTIONS, "a.dat", b"1::2\n", "movielens"),
        (INTERACTIONS, "u.data", b"196\t242\t3\t881250949\n", "movielens"),
        (INTERACTIONS, "a.csv", b"userId,movieId,rating,timestamp\r\n", "movielens"),
        (INTERACTIONS, "a.npz", b"PK", "npz"),
        (FEATURES, "a.csv", b"id,tag\n1,genres\n", "csv"),
        (FEATURES, "a.csv", b"movieId,title,genres\n", "genres"),
        (FEATURES, "a.csv", b"movieId,subgenres\n", "csv"),
        (FEATURES, "a.dat", b"1::2\n", "citeulike"),
        (FEATURES, "a.parquet", b"PAR1", "parquet"),
    ],
)
def test_auto(tmp_path: Path, kind: PairKind, name: str, content: bytes, format: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    (source,) = ((one, formats._recognise(one, kind)) for one in sources(path))
    assert source[1].name == format


def test_a_new_format_is_a_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def read(source: Source, builder: PairBuilder, *, delimiter: str = "/") -> None:
        pairs = [line.split(delimiter) for line in source.read().decode().split()]
        users, items = zip(*pairs, strict=True)
        builder.tally.lines += len(pairs)
        columns = {"user": pa.array(users), "item": pa.array(items)}
        builder.add(source.name, columns, lambda row: f"line {row + 1}")

    row = Format("slashes", read, ("delimiter",), (".pairs",), kinds=(INTERACTIONS,))
    monkeypatch.setattr(formats, "FORMATS", (*formats.FORMATS, row))
    path = tmp_path / "a.pairs"
    path.write_text("ann/tea\nbob/tea\nbob/rice\n")
    likes = load_interactions(path)
    assert likes.user_ids.tolist() == ["ann", "bob"]
    assert likes.matrix.toarray().tolist() == [[0, 1], [1, 1]]
    path.write_text("ann-tea\n")
    assert load_interactions(path, delimiter="-").item_ids.tolist() == ["tea"]
    with pytest.raises(ValueError, match=r"header is an option of csv, tsv, .* not of slashes"):
        load_interactions(path, header=False)
    with pytest.raises(ValueError, match="delimiter is an option of csv, slashes, not of tsv"):
        load_interactions(path, format="tsv", delimiter="-")
    with pytest.raises(ValueError, match=r"format must be auto or one of csv.*got 'slashes'"):
        load_features(path, format="slashes")
