"""Tags in several columns, several in one field, and numbers as features."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cml_fast.data import Features, load_features
from cml_fast.errors import DataError

PEOPLE = b"id,gender,age,likes,score\n7,F,25,tea|rice,0.5\n3,M,,tea,0\n5,,,,\n"
ALL = {"tag": ["gender", "age"], "numbers": ["score"]}
EXPECTED = {(7, "gender=F"): 1.0, (7, "age=25"): 1.0, (7, "score"): 0.5, (3, "gender=M"): 1.0}


def triples(got: Features) -> dict[tuple[object, object], float]:
    assert got.ids is not None
    matrix = got.matrix.tocoo()
    keys = zip(got.ids[matrix.row].tolist(), got.names[matrix.col].tolist(), strict=True)
    return dict(zip(keys, matrix.data.tolist(), strict=True))


def counts(got: Features) -> dict[str, int]:
    report = vars(got.report)
    assert report["lines"] == sum(
        value
        for name, value in report.items()
        if name not in ("lines", "unknown", "merged", "pairs", "first_bad")
    )
    return {name: value for name, value in report.items() if value}


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (ALL, EXPECTED),
        ({"tag": ("gender",)}, {(7, "F"): 1, (3, "M"): 1}),
        ({"tag": "likes", "separator": "|"}, {(7, "tea"): 1, (7, "rice"): 1, (3, "tea"): 1}),
        ({"numbers": ["score"]}, {(7, "score"): 0.5}),
        ({"numbers": ["age", "score"]}, {(7, "age"): 25, (7, "score"): 0.5}),
        (
            {"tag": ["gender", "likes"], "separator": {"likes": "|"}},
            {
                **{(7, "gender=F"): 1, (7, "likes=tea"): 1, (7, "likes=rice"): 1},
                **{(3, "gender=M"): 1, (3, "likes=tea"): 1},
            },
        ),
        (
            {"tag": ["gender", "likes"], "separator": "|", "weight": "score", "where": {"id": 7}},
            {(7, "gender=F"): 0.5, (7, "likes=tea"): 0.5, (7, "likes=rice"): 0.5},
        ),
        ({"tag": [1, 2], "id": 0, "header": True}, {**EXPECTED, (7, "score"): None}),
        ({"tag": ["gender", "age"], "missing": ["F"]}, {(7, "age=25"): 1, (3, "gender=M"): 1}),
    ],
)
def test_text(options: dict[str, Any], expected: dict[tuple[object, object], float | None]) -> None:
    got = load_features(PEOPLE, format="csv", **options)
    assert triples(got) == {pair: value for pair, value in expected.items() if value is not None}
    counted = counts(got)
    if "where" not in options:
        assert got.ids is not None and got.ids.tolist() == [3, 5, 7]  # 5 is there without a tag
        assert counted["without_tag"] >= 1


def test_without_a_header_columns_are_named_by_their_position() -> None:
    got = load_features(b"7,F,25\n3,M,1\n", format="csv", header=False, id=0, tag=[1], numbers=[2])
    assert triples(got) == {(7, "1=F"): 1, (7, "2"): 25, (3, "1=M"): 1, (3, "2"): 1}


def table() -> pa.Table:
    return pa.table(
        {
            "id": [7, 3, 5],
            "gender": pa.array(["F", "M", None]).dictionary_encode(),
            "age": pa.array([25.0, None, None]),
            "likes": [["tea", "rice"], ["tea"], None],
            "score": pa.array([0.5, 0.0, None]),
            "is_new": [True, False, None],
        }
    )


@pytest.mark.parametrize("as_frame", [True, False])
@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (ALL, EXPECTED),
        ({"tag": "likes"}, {(7, "tea"): 1, (7, "rice"): 1, (3, "tea"): 1}),
        ({"tag": ["likes"]}, {(7, "tea"): 1, (7, "rice"): 1, (3, "tea"): 1}),
        ({"numbers": ["is_new"]}, {(7, "is_new"): 1}),
    ],
)
def test_parquet_and_frames(
    options: dict[str, Any], expected: dict[tuple[object, object], float], as_frame: bool
) -> None:
    sink = pa.BufferOutputStream()
    pq.write_table(table(), sink)
    source = table() if as_frame else sink.getvalue().to_pybytes()
    chosen = {} if as_frame else {"format": "parquet"}
    got = load_features(source, **chosen, **options)
    assert triples(got) == expected
    assert counts(got)["lines"] == 3


def test_a_part_of_a_frame() -> None:
    whole = pa.table({"id": [0, 1, 2, 3], "tag": [["x", "y"], ["a", "b"], None, ["c"]]})
    got = load_features(whole.slice(1))
    assert triples(got) == {(1, "a"): 1, (1, "b"): 1, (3, "c"): 1}
    assert counts(got)["without_tag"] == 1


@pytest.mark.parametrize(
    ("line", "match"),
    [
        (b",F,2", "line 2: id '' is missing"),
        (b"1,F,x", "line 2: age 'x' is not a finite number"),
        (b"1,F,1e39", "line 2: age '1e39' is not a finite number"),
        (b"1,F", "line 2 has 2 fields, expected 3"),
    ],
)
def test_a_bad_line_is_bad_as_a_whole(line: bytes, match: str) -> None:
    content = b"id,gender,age\n" + line + b"\n2,M|F,3\n"
    options: dict[str, Any] = {"tag": ["gender"], "numbers": ["age"], "separator": "|"}
    with pytest.raises(DataError, match=match):
        load_features(content, format="csv", **options)
    with pytest.warns(UserWarning, match=f"1 bad lines were skipped, the first: .*{match}"):
        got = load_features(content, format="csv", on_bad_lines="skip", **options)
    assert triples(got) == {(2, "gender=M"): 1, (2, "gender=F"): 1, (2, "age"): 3}
    assert counts(got) == {
        **{"lines": 3, "header": 1, "bad": 1, "kept": 1, "pairs": 3},
        "first_bad": got.report.first_bad,
    }


def test_lines_are_counted_once_however_many_tags_they_have() -> None:
    content = b"id,tag,w,kind\n1,a|b|c,0,x\n2,a|b|,1,x\n3,a|NULL,1,x\n4,a|b,1,y\n5,|,1,x\n"
    with pytest.warns(UserWarning, match="1 rows of weight 0"):
        got = load_features(
            content, format="csv", separator="|", weight="w", where={"kind": "x"}, missing=["NULL"]
        )
    assert triples(got) == {(2, "a"): 1, (2, "b"): 1, (3, "a"): 1}
    assert counts(got) == {
        **{"lines": 6, "header": 1, "zero_weight": 1, "filtered": 1, "without_tag": 1},
        **{"kept": 2, "pairs": 3},
    }


def test_a_bad_number_where_nobody_looks_is_no_fault() -> None:
    content = b"id,age,kind\n1,x,a\n2,3,b\n"
    got = load_features(content, format="csv", numbers=["age"], where={"kind": "b"})
    assert triples(got) == {(2, "age"): 3}


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"tag": []}, TypeError, r"tag must be a list of columns such as .* got \[\]"),
        ({"tag": ["gender", "gender"]}, ValueError, "tag must be a list of different columns"),
        ({"tag": [["gender"]]}, ValueError, "tag must be a list of different columns"),
        ({"numbers": "age"}, TypeError, "numbers must be a list of columns .* got 'age'"),
        ({"numbers": ["age"], "tag": ["age"]}, ValueError, "are the same column: 'age'"),
        ({"numbers": ["height"]}, DataError, "no column 'height'; .*numbers="),
        ({"tag": ["height"]}, DataError, "no column 'height'; .*tag="),
        ({"numbers": ["age"], "weight": "score"}, ValueError, "weight has no meaning with numbers"),
        ({"tag": "likes", "separator": ""}, ValueError, "separator must be text"),
        ({"tag": "likes", "separator": {"likes": 3}}, ValueError, "separator must be text"),
    ],
)
def test_arguments(options: dict[str, Any], error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        load_features(PEOPLE, format="csv", **options)


def test_tags_of_a_type_that_is_no_tag() -> None:
    frame = pa.table({"id": [1], "tag": [{"a": 1}]})
    with pytest.raises(DataError, match="the data frame: column of tag ids has type struct"):
        load_features(frame)
    with pytest.raises(DataError, match="the data frame: column of tag ids has type struct"):
        load_features(frame, tag=["tag"])
    with pytest.raises(DataError, match="the data frame: column tag has type struct"):
        load_features(frame, tag="tag", separator="|")
