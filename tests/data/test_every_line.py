"""Every line is a pair, or is counted in the report, or is an error that names it.

Files are generated from pieces that are known to be difficult. A parser of a few lines says what
is in them, and the reader must say the same: once with pyarrow, once line by line, and in blocks of
a few bytes.
"""

from __future__ import annotations

import csv
import json
import re
import warnings
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from cml_fast.data import Interactions, load_interactions
from cml_fast.data._readers import text
from cml_fast.data._readers.delimited import QUOTING
from cml_fast.errors import DataError

PIECES = (
    *(b"a", b"b", b"7", b"007", b" ", b";", b"NULL", b"\xc3\xa9", b"\xe9", b"\0", b"\x1f"),
    *(b",", b",", b",", b"\n", b"\n", b"\n", b"\r\n", b"\r", b'"', b'"', b'""', b"::", b":"),
    *(b"a,b\n", b"b,a,7\n", b'"a",b\n', b'a,"b"\r\n', b'"a\nb",c\n', b'x,"y"",z"\n', b"\n\n"),
    *(b"a::b\n", b"1::2::3\n", b"ann,tea\n", b"\xef\xbb\xbf"),
)
contents = st.lists(st.sampled_from(PIECES), min_size=1, max_size=14).map(b"".join)
options = st.fixed_dictionaries(
    {
        "header": st.booleans(),
        "quoting": st.sampled_from(QUOTING),
        "on_bad_lines": st.sampled_from(("error", "skip")),
        "delimiter": st.sampled_from((",", ",", ",", "::", ";")),
    }
)
COUNTS = ("header", "empty", "continued", "bad", "filtered", "below_min_rating", "zero_weight")


def read(content: bytes, **chosen: Any) -> Interactions | str:
    """Return what is read, or the message of the error."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return load_interactions(content, format="csv", user=0, item=1, **chosen)
        except DataError as error:
            return str(error)


def seen(result: Interactions | str) -> Any:
    """What must be the same however a file is read."""
    if isinstance(result, str):
        return result
    rows, columns = result.matrix.nonzero()
    pairs = zip(result.user_ids[rows].tolist(), result.item_ids[columns].tolist(), strict=True)
    return list(pairs), result.report


def physical_lines(content: bytes) -> list[bytes]:
    content = content.removeprefix(b"\xef\xbb\xbf")
    lines = re.split(rb"\r\n|\n|\r", content)
    return lines if lines[-1] else lines[:-1]


def check_counts(content: bytes, result: Interactions | str) -> None:
    if isinstance(result, str):
        n_lines = len(physical_lines(content))
        named = re.search(r"line (\d+)", result)
        assert (named and 1 <= int(named[1]) <= n_lines) or re.search(
            r"is empty|only empty lines|no interactions|no column|UTF-16", result
        ), result
        return
    report = result.report
    assert report.lines == len(physical_lines(content))
    assert report.lines == sum(getattr(report, name) for name in COUNTS) + report.kept
    assert report.kept == report.unknown + report.merged + report.pairs
    assert report.pairs == result.matrix.nnz > 0


def check(content: bytes, chosen: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    result = read(content, **chosen)
    check_counts(content, result)
    with monkeypatch.context() as patch:
        patch.setattr(text.TextTable, "_parse_fast", lambda *_: None)
        assert seen(read(content, **chosen)) == seen(result)
        patch.setattr(text, "PIECE_BYTES", len(content) % 5)
        assert seen(read(content, **chosen)) == seen(result)
    with monkeypatch.context() as patch:
        patch.setattr(text, "BLOCK_BYTES", 3 + len(content) % 5)
        patch.setattr("cml_fast.data._readers.files.HEAD_BYTES", 4)
        assert seen(read(content, **chosen)) == seen(result)


def test_any_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    _any_bytes(400, monkeypatch)


@pytest.mark.slow
def test_any_bytes_many(monkeypatch: pytest.MonkeyPatch) -> None:
    _any_bytes(1_500, monkeypatch, seed=1)


def _any_bytes(n_files: int, monkeypatch: pytest.MonkeyPatch, seed: int = 0) -> None:
    import hypothesis

    @hypothesis.seed(seed)
    @settings(
        max_examples=n_files,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(content=contents, chosen=options)
    def run(content: bytes, chosen: dict[str, Any]) -> None:
        check(content, chosen, monkeypatch)

    run()


# Fields as people have them, each written with quotes or, where that is possible, without.
fields = st.text(st.sampled_from('ab7é;:"\n, '), max_size=4)
ids = st.text(st.sampled_from("ab7é;:'-"), min_size=1, max_size=3)


@settings(max_examples=300, deadline=None)
@given(
    rows=st.lists(st.tuples(ids, fields, ids), min_size=1, max_size=8),
    quote_all=st.booleans(),
    line_end=st.sampled_from(("\n", "\r\n")),
)
def test_what_a_csv_writer_writes_is_read_back(
    rows: list[tuple[str, str, str]], quote_all: bool, line_end: str
) -> None:
    import io

    file = io.StringIO()
    writer = csv.writer(
        file, quoting=csv.QUOTE_ALL if quote_all else csv.QUOTE_MINIMAL, lineterminator=line_end
    )
    writer.writerows([("user", "text", "item"), *rows])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        got = load_interactions(file.getvalue().encode(), format="csv", quoting="multiline")
    pairs, report = seen(got)
    assert {tuple(map(str, pair)) for pair in pairs} == {(user, item) for user, _, item in rows}
    assert report.kept == len(rows)


def test_a_large_file_with_faults_far_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks with and without faults take turns, and every line keeps its number."""
    rng = np.random.default_rng(0)
    pairs = rng.permutation(500 * 500)[:20_000]
    lines = [f"u{pair // 500},i{pair % 500}" for pair in pairs]
    faults = {3: "only", 7_000: 'a,"b', 12_345: "a,b,c", 19_999: ",x"}
    for at, fault in faults.items():
        lines[at] = fault
    content = ("user,item\n" + "\n".join(lines)).encode()
    monkeypatch.setattr(text, "BLOCK_BYTES", 1 << 12)
    with pytest.warns(UserWarning, match="4 bad lines were skipped, the first: .*: line 5 has 1"):
        got = load_interactions(content, format="csv", on_bad_lines="skip", header=True)
    report = json.loads(json.dumps(vars(got.report)))
    assert (report["lines"], report["bad"], report["kept"]) == (20_001, 4, 19_996)
    for at, fault in faults.items():
        rest = [line if n == at or n not in faults else "x,y" for n, line in enumerate(lines)]
        assert rest[at] == fault
        with pytest.raises(DataError, match=rf"line {at + 2}\b"):
            load_interactions(("user,item\n" + "\n".join(rest)).encode(), format="csv")


def test_lines_of_json_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [f'{{"user": {at}, "item": "{"i" * (at % 9)}x"}}\n' for at in range(40)]
    content = "".join(lines).encode()
    whole = seen(load_interactions(content, format="jsonl"))
    for n_bytes in (0, 70):
        monkeypatch.setattr(text, "PIECE_BYTES", n_bytes)
        assert seen(load_interactions(content, format="jsonl")) == whole
        with pytest.raises(DataError, match=r"line 38\b"):
            load_interactions(content.replace(b"37, ", b"37; "), format="jsonl")
