"""Files of well-known data sets load as they are distributed, by name and by themselves."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import pytest

from cml_fast.data import Features, Interactions, load_features, load_interactions
from cml_fast.data._readers.files import sources
from cml_fast.data._readers.formats import _recognise
from cml_fast.data._readers.pairs import INTERACTIONS
from cml_fast.errors import DataError

USER = "00000c289a1829a808ac09c00daf10bc3c4e223b"
MBID = "3bd73256-3905-4f3a-97e2-8b341527f805"


def pairs(got: Interactions | Features) -> dict[tuple[object, object], float]:
    """What is in a matrix as {(id of the row, id of the column): value}."""
    if isinstance(got, Interactions):
        rows, columns = got.user_ids, got.item_ids
    else:
        assert got.ids is not None
        rows, columns = got.ids, got.names
    matrix = got.matrix.tocoo()
    keys = zip(rows[matrix.row].tolist(), columns[matrix.col].tolist(), strict=True)
    return dict(zip(keys, matrix.data.tolist(), strict=True))


def check_counts(got: Interactions | Features) -> None:
    """Every line is a pair, or is counted."""
    report = vars(got.report)
    counts = set(report) - {"lines", "unknown", "merged", "pairs", "first_bad"}
    assert report["lines"] == sum(report[name] for name in counts)


# name, format, content, options, what is read (user, item, weight)
LIKES: list[tuple[str, str, bytes, dict[str, Any], set[tuple[object, object, float]]]] = [
    (
        "ml-100k.inter",
        "recbole",
        b"user_id:token\titem_id:token\trating:float\ttimestamp:float\n"
        b"196\t242\t3\t881250949\n186\t302\t4\t891717742\n",
        {"min_rating": 4},
        {(186, 302, 1)},
    ),
    (
        "gowalla.inter",
        "recbole",
        b"user_id:token\titem_id:token\ncheck\tin\n",
        {},
        {("check", "in", 1)},
    ),
    (
        "BX-Book-Ratings.csv",
        "bookcrossing",
        b'"User-ID";"ISBN";"Book-Rating"\r\n"276725";"034545104X";"0"\r\n'
        b'"276726";"0155061224";"5"\r\n"130499";"\\"0432534220\\"";"6"\r\n"2";"\xe9";"8"\r\n',
        {"min_rating": 1},
        {(276726, "0155061224", 1), (130499, '"0432534220"', 1), (2, "é", 1)},
    ),
    (
        "Ratings.csv",
        "bookcrossing",
        b"User-ID,ISBN,Book-Rating\n276725,034545104X,0\n276726,0155061224,5\n",
        {"min_rating": 5},
        {(276726, "0155061224", 1)},
    ),
    (
        "usersha1-artmbid-artname-plays.tsv",
        "lastfm",
        f'{USER}\t{MBID}\tbetty "blowtorch\t2137\n{USER}\t\tdie Ärzte\t1099\n'.encode(),
        {},
        {(USER, MBID, 2137), (USER, "die Ärzte", 1099)},
    ),
    (
        "usersha1-artmbid-artname-plays.tsv",
        "lastfm",
        f"{USER}\t{MBID}\tbetty\t21\n{USER}\t\tdie Ärzte\t10\n".encode(),
        {"item": "artist"},
        {(USER, "betty", 21), (USER, "die Ärzte", 10)},
    ),
    (
        "user_artists.dat",
        "lastfm",
        b"userID\tartistID\tweight\r\n2\t51\t13883\r\n2\t52\t11690\r\n",
        {},
        {(2, 51, 13883), (2, 52, 11690)},
    ),
    (
        "ratings_Books.csv",
        "amazon",
        b"AH2L9G3DQHHAJ,0000000116,4.0,1019865600\nA2IIIDRK3PRRZY,B000031887,1.0,1395619200\n",
        {"min_rating": 4},
        {("AH2L9G3DQHHAJ", "0000000116", 1)},
    ),
    (
        "Books.csv",
        "amazon",
        b"0001713353,A1C6M8LCIX4M6M,5.0,1123804800\n000171287X,A1REUF3A1YCPHM,4.0,1112140800\n",
        {"min_rating": 5},
        {("A1C6M8LCIX4M6M", "0001713353", 1)},
    ),
    (
        "All_Beauty.csv",
        "amazon",
        b"user_id,parent_asin,rating,timestamp\nAGKHLEW2SOWHNMFQIJGBECAF7INQ,B081TJ8YS3,4.0,1588615855070\n",
        {"min_rating": 4},
        {("AGKHLEW2SOWHNMFQIJGBECAF7INQ", "B081TJ8YS3", 1)},
    ),
    (
        "steam-200k.csv",
        "steam",
        b"151603712,The Elder Scrolls V Skyrim,purchase,1.0,0\n"
        b'151603712,The Elder Scrolls V Skyrim,play,273.0,0\n15,"Warhammer, 40",play,0.5,0\n',
        {"where": {"event": "play"}, "weight": "value"},
        {(151603712, "The Elder Scrolls V Skyrim", 273), (15, "Warhammer, 40", 0.5)},
    ),
    (
        "events.csv",
        "retailrocket",
        b"timestamp,visitorid,event,itemid,transactionid\n1433221332117,257597,view,355908,\n"
        b"1433224214164,992329,transaction,248676,7\n",
        {"where": {"event": "transaction"}},
        {(992329, 248676, 1)},
    ),
    (
        "combined_data_1.txt",
        "netflix",
        b"1:\n1488844,3,2005-09-06\n822109,5,2005-05-13\n\n2:\r\n2059652,4,2005-09-05\r\n",
        {"min_rating": 4},
        {(822109, 1, 1), (2059652, 2, 1)},
    ),
    (
        "likes.jsonl",
        "jsonl",
        '{"user": 1, "item": "tea", "n": 2.5}\n\n{"item": "Käse", "user": "x", "n": 1}\n'.encode(),
        {"weight": "n"},
        {("1", "tea", 2.5), ("x", "Käse", 1)},
    ),
    (
        "likes.ndjson.gz",
        "jsonl",
        gzip.compress(b'{"user": 1.0, "item": 7, "kind": true}\n{"user": 2, "item": 8}', mtime=0),
        {"where": {"kind": True}},
        {(1, 7, 1)},
    ),
    (
        "u1.base",
        "movielens",
        b"1\t1\t5\t874965758\n1\t2\t3\t876893171\n",
        {"min_rating": 4},
        {(1, 1, 1)},
    ),
]


@pytest.mark.parametrize(("name", "format", "content", "options", "expected"), LIKES)
def test_likes(
    tmp_path: Path,
    name: str,
    format: str,
    content: bytes,
    options: dict[str, Any],
    expected: set[tuple[object, object, float]],
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    for chosen in ("auto", format):
        got = load_interactions(path, format=chosen, **options)
        assert {(*pair, weight) for pair, weight in pairs(got).items()} == expected
        check_counts(got)


def test_times_are_read(tmp_path: Path) -> None:
    for name, _, content, options, _ in LIKES:
        if any(word in content for word in (b"timestamp", b"2005-09", b"1019865600", b"874965758")):
            path = tmp_path / name
            path.write_bytes(content)
            assert load_interactions(path, **options).timestamps is not None, name


@pytest.mark.parametrize(
    ("format", "content"),
    [row[1:3] for row in LIKES if "min_rating" in row[3] and row[0] != "All_Beauty.csv"],
)
def test_ratings_that_nobody_asked_for_come_with_a_word(format: str, content: bytes) -> None:
    with pytest.warns(UserWarning, match="rows count as likes, whatever their rating"):
        load_interactions(content, format=format)


def test_netflix_blocks_in_several_files_and_small_blocks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mv_0000001.txt").write_bytes(b"1:\n7,3,2005-09-06\n8,5,2005-05-13\n")
    (tmp_path / "mv_0000002.txt").write_bytes(b"2:\n7,4,2005-09-05\n")
    expected = {(7, 1): 1.0, (8, 1): 1.0, (7, 2): 1.0}
    monkeypatch.setattr("cml_fast.data._readers.text.BLOCK_BYTES", 3)
    monkeypatch.setattr("cml_fast.data._readers.files.HEAD_BYTES", 2)
    with pytest.warns(UserWarning, match="count as likes"):
        got = load_interactions(tmp_path)
    assert pairs(got) == expected
    assert (got.report.lines, got.report.header, got.report.kept) == (5, 2, 3)
    assert got.timestamps is not None and got.timestamps.dtype.kind == "M"


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (b"7,3,2005-09-06\n1:\n7,3,2005-09-06\n", "line 1: item None is missing"),
        (b"1:\n7,3,2005-09-06\n8,5\n", "line 3 has 2 fields, expected 3"),
        (b"1:\n7;3;2005-09-06\n", "line 2 has 1 fields, expected 3"),
        (b"1:\n7,3,2005-09-06\n2 :\n8,1,2005-09-06\n", "line 3 has 1 fields"),
        (b"1:\n7,3,2005-09-06\nx,2,today\n", "line 3: timestamp 'today' is neither"),
        (b"1:\n2:\n", "has no ratings"),
    ],
)
def test_bad_netflix_blocks(content: bytes, match: str) -> None:
    with pytest.raises(DataError, match=match):
        load_interactions(content, format="netflix", min_rating=1)


@pytest.mark.parametrize(
    ("line", "match"),
    [
        (b"{", "line 2 is not JSON"),
        (b"[1, 2]", "line 2 is no JSON object"),
        (b"\xff", "line 2 is not UTF-8 text"),
        (b'{"user": NaN, "item": 2}', "line 2 is not JSON: NaN is no number"),
        (b'{"user": true, "item": 2}', "line 2 has a bad user: true is neither"),
        (b'{"user": [1], "item": 2}', "line 2 has a bad user: it is nested"),
        (b'{"user": 1.5, "item": 2}', r"line 2 has a bad user: 1\.5 is not a whole number"),
        (b'{"user": "\\ud800", "item": 2}', "line 2 has a bad user: it has half of"),
        (b'{"item": 2}', "line 2: user None is missing"),
        (b'{"user": null, "item": 2}', "line 2: user None is missing"),
        (b'{"user": "", "item": 2}', "line 2: user '' is missing"),
        (b'{"user": 2, "item": 2, "n": "x"}', "line 2: weight 'x' is not a finite number"),
        (b'{"user": 2, "item": 2, "n": 1e999}', "line 2: weight 'inf' is not a finite number"),
        (b"[" * 100_000, "line 2 is not JSON"),
        (b"1" * 5_000, "line 2 is not JSON"),
    ],
)
def test_bad_lines_of_json(line: bytes, match: str) -> None:
    content = b'{"user": 1, "item": 2, "n": 1}\n' + line + b'\n{"user": 3, "item": 2, "n": 1}\n'
    with pytest.raises(DataError, match=match):
        load_interactions(content, format="jsonl", weight="n")
    with pytest.warns(UserWarning, match=f"1 bad lines were skipped, the first: .*{match}"):
        got = load_interactions(content, format="jsonl", weight="n", on_bad_lines="skip")
    assert got.user_ids.tolist() == [1, 3]
    check_counts(got)


def test_columns_of_json_are_keys() -> None:
    with pytest.raises(DataError, match=r"no column 'user'; the columns are: u, item"):
        load_interactions(b'{"u": 1, "item": 2}', format="jsonl")
    got = load_interactions(b'{"u": 1, "item": 2}', format="jsonl", user="u")
    assert pairs(got) == {(1, 2): 1}
    with pytest.raises(ValueError, match="user=0 is a position; columns of jsonl are keys"):
        load_interactions(b'{"u": 1, "item": 2}', format="jsonl", user=0)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.txt", b"1 2 3\n"),
        ("a.txt", b"1: 2\n"),
        ("a.dat", b"userID\tartistID\n"),
        ("a.data", b"1\t2\n"),
        ("a.inter", b"user_id\titem_id\n1\t2\n"),
        ("a.inter", b"user_id:token\titem_id:int\n1\t2\n"),
        ("a.json", b'{"user": 1, "item": 2}\n'),
    ],
)
def test_what_may_be_anything_is_not_guessed(tmp_path: Path, name: str, content: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(ValueError, match="does not tell its format by its name"):
        load_interactions(path)


@pytest.mark.parametrize(
    "content",
    [
        b"user,item,rating,timestamp\n1,2,3,4\n",
        b"userId,movieId,rating\n1,2,3\n",
        b"1,2,5.0,1123804800\n",
        b"AB,0001713353,5.0,1123804800\n",
        b"1,Portal,bought,1.0,0\n",
        b"timestamp,visitorid,event,itemid\n1,2,view,3\n",
    ],
)
def test_a_csv_file_is_of_a_data_set_only_if_its_first_line_is(
    tmp_path: Path, content: bytes
) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(content)
    (format,) = (_recognise(one, INTERACTIONS) for one in sources(path))
    assert format.name == "csv"


def test_the_order_of_amazons_columns_is_asked_for_where_it_is_not_certain(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b"0001713353,B000031887,5.0,1123804800\n")
    with pytest.raises(DataError, match=r"which of the first two .*pass user=0 and item=1"):
        load_interactions(path, format="amazon")
    got = load_interactions(path, format="amazon", user=1, item=0, min_rating=1)
    assert pairs(got) == {("B000031887", "0001713353"): 1}
    with pytest.raises(DataError, match=r"may be a header or data|no column 'user'"):
        load_interactions(path)  # which is not told to be Amazon's by itself


@pytest.mark.parametrize(
    "format", ["recbole", "bookcrossing", "lastfm", "steam", "retailrocket", "movielens"]
)
def test_another_table_is_refused(format: str) -> None:
    with pytest.raises(DataError, match="the bytes does not begin as"):
        load_interactions(b"who,what\n1,2\n", format=format)


# Features

TAGS: list[tuple[str, str, bytes, dict[str, Any], dict[tuple[object, object], float], int]] = [
    (
        "movies.dat",
        "movielens",
        b"1::A Plain Title (1991)::Comedy|Drama\n2::Wars: Part IV (1977)::Sci-Fi\n"
        b"3::Mis\xe9rables, Les (1935)::Drama|Musical\n4::B (1990)::(no genres listed)\n",
        {"encoding": "latin-1"},
        {(1, "Comedy"): 1, (1, "Drama"): 1, (2, "Sci-Fi"): 1, (3, "Drama"): 1, (3, "Musical"): 1},
        1,
    ),
    (
        "users.dat",
        "movielens",
        b"1::F::1::10::48067\n2::M::56::16::70072\n",
        {},
        {
            **{(1, "gender=F"): 1, (1, "age=1"): 1, (1, "occupation=10"): 1},
            **{(2, "gender=M"): 1, (2, "age=56"): 1, (2, "occupation=16"): 1},
        },
        0,
    ),
    (
        "users.dat",
        "movielens",
        b"1::F::1::10::48067\n2::M::56::16::70072\n",
        {"tag": "zip"},
        {(1, 48067): 1, (2, 70072): 1},
        0,
    ),
    (
        "u.user",
        "movielens",
        b"1|24|M|technician|85711\n2|53|F|other|94043\n",
        {},
        {
            **{(1, "gender=M"): 1, (1, "age=24"): 1, (1, "occupation=technician"): 1},
            **{(2, "gender=F"): 1, (2, "age=53"): 1, (2, "occupation=other"): 1},
        },
        0,
    ),
    (
        "u.item",
        "movielens",
        b"1|Toy Story (1995)|01-Jan-1995||http://x|0|0|0|1|1|1|0|0|0|0|0|0|0|0|0|0|0|0|0\n"
        b"2|Caf\xe9 (1995)|01-Jan-1995||http://x|0|0|0|0|0|0|0|0|0|0|0|0|0|0|0|0|0|0|1\n"
        b"267|unknown||||0|0|0|0|0|0|0|0|0|0|0|0|0|0|0|0|0|0|0\n",
        {"encoding": "latin-1"},
        {(1, "Animation"): 1, (1, "Children's"): 1, (1, "Comedy"): 1, (2, "Western"): 1},
        1,
    ),
    (
        "u-latin1.item",  # with fewer columns than u.item
        "movielens",
        b"1|Toy (1995)|01-Jan-1995||http://x|0|0|0|1|1\n"
        b"2|Caf\xe9 (1995)|01-Jan-1995||http://x|0|1|1|0|0\n",
        {},
        {(1, "Animation"): 1, (1, "Children's"): 1, (2, "Action"): 1, (2, "Adventure"): 1},
        0,
    ),
    (
        "tags.csv",
        "movielens",
        b"userId,movieId,tag,timestamp\n3,260,classic,1\n4,7569,,1\n",
        {},
        {(260, "classic"): 1},
        1,
    ),
    (
        "tags.dat",
        "movielens",
        b"15::4973::excellent!::1215184630\n20::1747::politics::1188263867\n",
        {},
        {(4973, "excellent!"): 1, (1747, "politics"): 1},
        0,
    ),
    (
        "ml.item",
        "recbole",
        b"item_id:token\tmovie_title:token_seq\tcity:token\tyear:float\n"
        b"1\tToy Story\tLos Angeles\t1995\n2\t\t\t\n",
        {},
        {
            **{(1, "movie_title=Toy"): 1, (1, "movie_title=Story"): 1},
            **{(1, "city=Los Angeles"): 1, (1, "year"): 1995},
        },
        1,
    ),
    (
        "ml.user",
        "recbole",
        b"user_id:token\tv:float_seq\tgender:token\n1\t0.5 1\tM\n2\t1 1\tF\n",
        {"tag": "gender:token"},
        {(1, "M"): 1, (2, "F"): 1},
        0,
    ),
    (
        "BX-Books.csv",
        "bookcrossing",
        b'"ISBN";"Book-Title";"Book-Author";"Year-Of-Publication";"Publisher"\n'
        b'"0195153448";"Cat \\"Who\\"; the";"Mark";"2002";"Oxford"\n'
        b'"0002";"Caf\xe9";"Ann";"2";""\n',
        {},
        {
            **{("0195153448", "Book-Author=Mark"): 1, ("0195153448", "Publisher=Oxford"): 1},
            ("0002", "Book-Author=Ann"): 1,
        },
        0,
    ),
    (
        "BX-Users.csv",
        "bookcrossing",
        b'"User-ID";"Location";"Age"\n"1";"nyc, new york, usa";NULL\n"2";"x, usa";"18"\n',
        {},
        {(1, "Location=nyc, new york, usa"): 1, (2, "Location=x, usa"): 1, (2, "Age=18"): 1},
        0,
    ),
    (
        "user_taggedartists.dat",
        "lastfm",
        b"userID\tartistID\ttagID\tday\tmonth\tyear\r\n2\t52\t13\t1\t4\t2009\r\n",
        {},
        {(52, 13): 1},
        0,
    ),
    (
        "user_taggedartists-timestamps.dat",
        "lastfm",
        b"userID\tartistID\ttagID\ttimestamp\n2\t52\t13\t1238536800000\n",
        {},
        {(52, 13): 1},
        0,
    ),
    (
        "tags.jsonl",
        "jsonl",
        b'{"id": 1, "tag": "red", "big": true}\n{"id": 2, "big": 0}\n{"id": 3, "big": 1}\n',
        {"tag": ["tag"], "numbers": ["big"]},
        {(1, "tag=red"): 1, (1, "big"): 1, (3, "big"): 1},
        1,
    ),
]


@pytest.mark.parametrize(("name", "format", "content", "options", "expected", "without"), TAGS)
def test_tags(
    tmp_path: Path,
    name: str,
    format: str,
    content: bytes,
    options: dict[str, Any],
    expected: dict[tuple[object, object], float],
    without: int,
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    for chosen in ("auto", format):
        got = load_features(path, format=chosen, **options)
        assert pairs(got) == expected
        assert got.report.without_tag == without
        check_counts(got)


def test_an_object_whose_tag_is_blank_has_a_row() -> None:
    content = b"userId,movieId,tag,timestamp\n3,260,classic,1\n4,7569,,1\n"
    got = load_features(content, format="movielens")
    assert got.ids is not None and got.ids.tolist() == [260, 7569]
    assert got.matrix.toarray().tolist() == [[1], [0]]


def test_tags_of_the_caller_go_before_those_of_the_data_set() -> None:
    content = b"1|Toy (1995)|01-Jan-1995||http://x|0|0|0|1|1\n"
    assert pairs(load_features(content, format="movielens", tag="title")) == {(1, "Toy (1995)"): 1}
    got = load_features(content, format="movielens", numbers=["Animation"])
    assert pairs(got) == {(1, "Animation"): 1}


def test_ratings_are_no_tags() -> None:
    with pytest.raises(DataError, match="does not begin as a file of films, users or tags"):
        load_features(b"1::1193::5::978300760\n", format="movielens")


def test_vectors_of_recbole_are_refused() -> None:
    content = b"item_id:token\tclass:token_seq\tv:float_seq\tyear:float\n1\ta b\t0.5 1\t1995\n"
    with pytest.raises(DataError, match=r"'v' is a float_seq.*tag=\['class'\] or numbers=\['year'"):
        load_features(content, format="recbole")
    got = load_features(content, format="recbole", tag=["class"], numbers=["year"])
    assert pairs(got) == {(1, "class=a"): 1, (1, "class=b"): 1, (1, "year"): 1995}


def test_text_in_latin_1() -> None:
    content = "user,item\n1,Sigur Rós\n2,Björk\n".encode("latin-1")
    with pytest.raises(DataError, match=r"line 2 is not UTF-8 text; .*encoding='latin-1'"):
        load_interactions(content, format="csv")
    got = load_interactions(content, format="csv", encoding="latin-1")
    assert pairs(got) == {(1, "Sigur Rós"): 1, (2, "Björk"): 1}


def test_backslashes_within_quotes() -> None:
    content = b'user,item,text\n1,"a \\"b\\", c","x\\\\"\n2,"d ""e""",\\"\n3,f\\g,"h\\i"\n'
    got = load_interactions(content, format="csv", quoting="backslash")
    assert pairs(got) == {(1, 'a "b", c'): 1, (2, 'd "e"'): 1, (3, "f\\g"): 1}
    got = load_interactions(b'user,item\n1,"a\\\\b"\n', format="csv", quoting="backslash")
    assert pairs(got) == {(1, "a\\b"): 1}
    with pytest.raises(DataError, match=r"line 2 has 'b' after a quoted field"):
        load_interactions(content, format="csv")


def test_a_delimiter_of_two_characters_within_quotes() -> None:
    got = load_interactions(b'1::"a::b"\n2::c\n', format="csv", delimiter="::", header=False)
    assert pairs(got) == {(1, "a::b"): 1, (2, "c"): 1}


def test_a_weight_with_a_least_rating_needs_the_rating() -> None:
    content = b"user,item,n,rating\n1,2,3,4\n1,3,3,1\n"
    got = load_interactions(content, format="csv", weight="n", min_rating=4)
    assert pairs(got) == {(1, 2): 3}
    with pytest.raises(ValueError, match="min_rating needs rating"):
        load_interactions(b"user,item,n\n1,2,3\n", format="csv", weight="n", min_rating=4)


def test_files_with_and_without_times_are_not_mixed(tmp_path: Path) -> None:
    (tmp_path / "a.dat").write_bytes(b"1::2::5::7\n")
    (tmp_path / "b.dat").write_bytes(b"1::3::5\n")
    with pytest.raises(DataError, match=r"b\.dat has no timestamp, and files before it have a"):
        load_interactions(tmp_path, min_rating=1)
    for name in ("a.dat", "b.dat"):
        assert load_interactions(tmp_path / name, min_rating=1).matrix.nnz == 1


def test_times_of_bad_lines_may_be_of_any_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cml_fast.data._readers.text.BLOCK_BYTES", 4)
    monkeypatch.setattr("cml_fast.data._readers.files.HEAD_BYTES", 4)
    content = b"user,item,t\n1,2,2024-01-31\n,2,7\n3,4,2024-02-01\n5,4,8\n"
    with pytest.warns(UserWarning, match="2 bad lines were skipped"):
        got = load_interactions(content, format="csv", timestamp="t", on_bad_lines="skip")
    assert got.timestamps is not None
    assert got.timestamps.astype(str).tolist() == [
        "2024-01-31T00:00:00.000000",
        "2024-02-01T00:00:00.000000",
    ]
