"""Reading features: what is read, in whose order, and that bad input is refused by name."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import scipy.sparse as sp

from benchmarks.common import datasets
from cml_fast.data import Features, load_features, load_interactions
from cml_fast.errors import DataError


def write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def triples(features: Features) -> dict[tuple[object, object], float]:
    """The features as {(id, name): weight}; rows without ids go by their number."""
    matrix = features.matrix.tocoo()
    ids = matrix.row if features.ids is None else features.ids[matrix.row]
    names = features.names[matrix.col].tolist()
    return dict(zip(zip(ids.tolist(), names, strict=True), matrix.data.tolist(), strict=True))


TAGS = "id,tag\n7,red\n3,big\n7,big\n5,old\n"
TAGGED = {(7, "red"): 1, (3, "big"): 1, (7, "big"): 1, (5, "old"): 1}
GENRES = "movieId,title,genres\n9,A,Action|Sci-Fi\n2,B,(no genres listed)\n4,C,Action\n"
GENRED = {(9, "Action"): 1, (9, "Sci-Fi"): 1, (4, "Action"): 1}


# Tables


def test_csv(tmp_path: Path) -> None:
    got = load_features(write(tmp_path / "a.csv", TAGS))
    assert triples(got) == TAGGED
    assert got.ids is not None and got.ids.tolist() == [3, 5, 7]
    assert got.names.tolist() == ["big", "old", "red"]
    assert got.matrix.dtype == np.float32
    assert isinstance(got.matrix, sp.csr_array)


@pytest.mark.parametrize(
    ("name", "text", "options"),
    [
        ("a.csv", "what,,who\nred,1,7\nbig,2,3\nbig,3,7\nold,4,5\n", {"id": 2, "tag": "what"}),
        ("a.csv", "7,red\n3,big\n7,big\n5,old\n", {"header": False}),
        ("a.csv", TAGS.replace(",", ";"), {"delimiter": ";"}),
        ("a.tsv", TAGS.replace(",", "\t"), {}),
        ("a.tags", TAGS, {"format": "csv"}),
        ("a.csv.gz", gzip.compress(TAGS.encode(), mtime=0), {}),
    ],
)
def test_text_tables(
    tmp_path: Path, name: str, text: str | bytes, options: dict[str, object]
) -> None:
    assert triples(load_features(write(tmp_path / name, text), **options)) == TAGGED


def test_parquet(tmp_path: Path) -> None:
    table = pa.table({"tag": ["red", "big", "big", "old"], "id": [7, 3, 7, 5]})
    pq.write_table(table, tmp_path / "a.parquet")
    assert triples(load_features(tmp_path / "a.parquet")) == TAGGED


def test_weights_may_be_negative(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "id,tag,w\nx,red,0.5\ny,red,-2\n")
    assert triples(load_features(path, weight="w")) == {("x", "red"): 0.5, ("y", "red"): -2}


def test_zero_weights_are_dropped_and_counted(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "id,tag,w\nx,red,0\ny,red,-2\n")
    with pytest.warns(UserWarning, match="1 rows of weight 0 were dropped") as caught:
        assert triples(load_features(path, weight="w")) == {("y", "red"): -2}
    assert caught[0].filename == __file__


def test_duplicates_are_merged_and_counted(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "id,tag,w\nx,red,2\nx,red,3\nx,old,1\nx,old,-1\n")
    with pytest.warns(UserWarning, match="2 duplicate rows were merged to one") as caught:
        assert triples(load_features(path)) == {("x", "red"): 1, ("x", "old"): 1}
    assert caught[0].filename == __file__
    with pytest.warns(UserWarning, match="2 duplicate rows were merged by adding"):
        got = load_features(path, weight="w")
    assert triples(got) == {("x", "red"): 5}  # and no stored zero for "old"


# Genres


@pytest.mark.parametrize(
    ("name", "text", "options"),
    [
        ("movies.csv", GENRES, {}),
        ("movies.csv", GENRES.replace("(no genres listed)", ""), {}),
        ("movies.csv.gz", gzip.compress(GENRES.encode(), mtime=0), {}),
        ("movies.csv", GENRES.replace("|", " | "), {}),
        ("movies.csv", GENRES.replace("|", "||"), {}),
        ("movies.csv", GENRES.replace("|", " and "), {"separator": " and "}),
        ("movies.csv", GENRES.replace(",", ";"), {"delimiter": ";"}),
        ("a.txt", GENRES, {"format": "genres"}),
        (
            "a.csv",
            GENRES.replace("movieId", "film").replace("genres\n", "kinds\n"),
            {"format": "genres", "id": "film", "tag": "kinds"},
        ),
        (
            "a.csv",
            GENRES.partition("\n")[2],
            {"format": "genres", "header": False, "tag": 2},
        ),
    ],
)
def test_genres(tmp_path: Path, name: str, text: str | bytes, options: dict[str, object]) -> None:
    got = load_features(write(tmp_path / name, text), **options)
    assert triples(got) == GENRED
    assert got.ids is not None and got.ids.tolist() == [2, 4, 9]  # 2 is named, though without


def test_weights_of_genres_are_those_of_their_row(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "movieId,genres,w\n1,B|A,3\n2,A,4\n1,C,5\n")
    got = load_features(path, weight="w")
    assert triples(got) == {(1, "A"): 3, (1, "B"): 3, (2, "A"): 4, (1, "C"): 5}


def test_genres_named_twice_are_merged_and_counted(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "movieId,genres\n1,A|A\n1,B\n1,A|B\n")
    with pytest.warns(UserWarning, match="3 duplicate rows"):
        assert triples(load_features(path)) == {(1, "A"): 1, (1, "B"): 1}


# Lists of tags


def test_citeulike_lists(tmp_path: Path) -> None:
    path = write(tmp_path / "tag-item.dat", "2 4 1\n0\n1 4\n")
    got = load_features(path)
    assert triples(got) == {(4, 0): 1, (1, 0): 1, (4, 2): 1}
    assert got.ids is not None and got.ids.tolist() == [1, 4]
    assert got.names.tolist() == [0, 1, 2]


def test_citeulike_lists_with_names(tmp_path: Path) -> None:
    path = write(tmp_path / "tag-item.dat", "2 4 1\n0\n1 4\n")
    tags = write(tmp_path / "tags.dat.gz", gzip.compress(b"zebra\nold\r\n apple"))
    got = load_features(path, names_file=tags)
    assert triples(got) == {(4, "zebra"): 1, (1, "zebra"): 1, (4, "apple"): 1}
    assert got.names.tolist() == ["zebra", "old", "apple"]


def test_count_as_item_is_the_mistake_of_the_paper(tmp_path: Path) -> None:
    path = write(tmp_path / "tag-item.dat", "2 4 1\n0\n1 4\n")
    extra = {(2, 0): 1, (0, 1): 1, (1, 2): 1}
    got = load_features(path, count_as_item=True)
    assert triples(got) == {(4, 0): 1, (1, 0): 1, (4, 2): 1, **extra}


@pytest.mark.parametrize(
    ("names", "match"),
    [
        ("a\nb\n", r"tags\.dat has 2 names, but .*a\.dat has 3 lines"),
        ("a\nb\nc\nd\n", r"tags\.dat has 4 names, but .*a\.dat has 3 lines"),
        ("a\nb\na\n", r"tags\.dat: line 3 repeats the name 'a' of line 1"),
        ("", r"tags\.dat is empty"),
        ("a\n \nc\n", r"tags\.dat: line 2 is empty"),
        (b"a\nb\n\xe9\n", r"tags\.dat: line 3 is not UTF-8"),
    ],
)
def test_bad_names(tmp_path: Path, names: str | bytes, match: str) -> None:
    path = write(tmp_path / "a.dat", "1 0\n1 0\n1 0\n")
    with pytest.raises(DataError, match=match):
        load_features(path, names_file=write(tmp_path / "tags.dat", names))


def test_missing_and_damaged_names(tmp_path: Path) -> None:
    path = write(tmp_path / "a.dat", "1 0\n")
    with pytest.raises(FileNotFoundError, match=r"absent\.dat"):
        load_features(path, names_file=tmp_path / "absent.dat")
    with pytest.raises(DataError, match=r"tags\.gz does not begin as a \.gz file"):
        load_features(path, names_file=write(tmp_path / "tags.gz", "a\n"))


# Sparse matrices


@pytest.mark.parametrize("kind", [sp.csr_matrix, sp.coo_array, sp.csc_array])
def test_npz(tmp_path: Path, kind: type) -> None:
    sp.save_npz(tmp_path / "a.npz", kind(np.array([[0, 2.5, 0], [0, 0, 0], [-1, 0, 0]])))
    got = load_features(tmp_path / "a.npz")
    assert got.ids is None
    assert got.names.tolist() == [0, 1, 2]
    assert got.matrix.toarray().tolist() == [[0, 2.5, 0], [0, 0, 0], [-1, 0, 0]]
    assert got.matrix.dtype == np.float32


def test_npz_rows_are_in_the_order_of_the_ids(tmp_path: Path) -> None:
    sp.save_npz(tmp_path / "a.npz", sp.csr_array(np.array([[1.0, 0], [0, 2], [0, 0]])))
    got = load_features(tmp_path / "a.npz", ids=["z", "a", "k"])
    assert triples(got) == {("z", 0): 1, ("a", 1): 2}
    assert got.matrix.shape == (3, 2)


@pytest.mark.parametrize("n_ids", [2, 4])
def test_npz_must_have_a_row_for_each_id(tmp_path: Path, n_ids: int) -> None:
    sp.save_npz(tmp_path / "a.npz", sp.csr_array(np.eye(3)))
    with pytest.raises(DataError, match=rf"a\.npz has 3 rows, but there are {n_ids} ids"):
        load_features(tmp_path / "a.npz", ids=np.arange(n_ids), unknown="drop")


def test_npz_duplicates_and_zeros_are_counted(tmp_path: Path) -> None:
    matrix = sp.coo_array(([1.0, 2.0, 0.0], ([0, 0, 1], [1, 1, 1])), shape=(2, 2))
    sp.save_npz(tmp_path / "a.npz", matrix)
    with pytest.warns(UserWarning) as caught:
        assert triples(load_features(tmp_path / "a.npz")) == {(0, 1): 3}
    assert [str(warning.message).split(": ")[1] for warning in caught] == [
        "1 duplicate entries were merged by adding their values",
        "1 explicit zeros were dropped (a zero is no feature)",
    ]
    assert caught[0].filename == __file__


@pytest.mark.parametrize(
    ("matrix", "match"),
    [
        (sp.csr_array([[0, np.nan]]), "1 NaN or infinite values, the first at row 0, column 1"),
        (sp.csr_array([[-np.inf, 0]]), "1 NaN or infinite .*; weights must be finite$"),
        (sp.csc_array([[0, np.inf]]), "1 NaN or infinite values, the first at row 0, column 1"),
        (sp.csr_array([[-1e39, 0]]), "1 NaN or infinite"),
        (sp.csr_array((3, 0)), "at least one object and one feature"),
        (sp.csr_array((3, 2)), "has no features"),
    ],
)
def test_npz_is_checked(tmp_path: Path, matrix: sp.sparray, match: str) -> None:
    sp.save_npz(tmp_path / "a.npz", matrix)
    with pytest.raises(DataError, match=rf"a\.npz.*{match}"):
        load_features(tmp_path / "a.npz")


def test_npz_without_a_sparse_matrix(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", a=np.ones(3))
    with pytest.raises(DataError, match="not a sparse matrix saved by scipy"):
        load_features(tmp_path / "a.npz")


def test_npz_with_pickled_objects_is_not_unpickled(tmp_path: Path) -> None:
    target = tmp_path / "touched"

    class Bomb:
        def __reduce__(self) -> tuple[object, tuple[Path]]:
            return Path.touch, (target,)

    array = np.empty(1, dtype=object)
    array[0] = Bomb()
    np.savez(
        tmp_path / "a.npz", format=b"csr", shape=(1, 1), data=array, indices=[0], indptr=[0, 1]
    )
    with pytest.raises(DataError, match=r"a\.npz"):
        load_features(tmp_path / "a.npz")
    assert not target.exists()


# Whose rows and columns


def test_rows_are_in_the_order_of_the_ids_and_may_be_zero(tmp_path: Path) -> None:
    got = load_features(write(tmp_path / "a.csv", TAGS), ids=[5, 1, 7, 3])
    assert triples(got) == TAGGED
    assert got.ids is not None and got.ids.tolist() == [5, 1, 7, 3]
    assert np.diff(got.matrix.indptr).tolist() == [1, 0, 2, 1]


def test_rows_of_interactions(tmp_path: Path) -> None:
    likes = load_interactions(write(tmp_path / "l.csv", "user,item\nu,7\nu,3\nv,x\nv,5\n"))
    got = load_features(write(tmp_path / "a.csv", TAGS), ids=likes.item_ids)
    assert got.ids is not None and got.ids.tolist() == ["3", "5", "7", "x"]
    assert triples(got) == {(str(id), tag): weight for (id, tag), weight in TAGGED.items()}


def test_lists_name_only_the_ids_that_occur(tmp_path: Path) -> None:
    # 1, 2 and 3 are below the largest id, but not in the file: no fault that ids lacks them.
    got = load_features(write(tmp_path / "a.dat", "2 4 0\n"), ids=[4, 0])
    assert got.matrix.toarray().tolist() == [[1], [1]]


@pytest.mark.parametrize(
    ("name", "text", "ids", "names", "match"),
    [
        ("a.csv", TAGS, [3, 7], None, r"id 5 is not in ids \(1 of the file's 3 ids are not\)"),
        ("a.csv", GENRES, [2, 4], None, r"id 9 is not in ids \(1 of the file's 3 ids are not\)"),
        ("a.dat", "2 8 1\n1 9\n", [1], None, r"id 8 is not in ids \(2 of the file's 3 ids"),
        ("a.csv", TAGS, None, ["red", "old"], r"tag 'big' is not in names \(1 of .* 3 tags"),
        ("a.dat", "1 8\n1 8\n", None, [1], r"tag 0 is not in names \(1 of the file's 2 tags"),
    ],
)
def test_unknown_ids_and_tags(
    tmp_path: Path, name: str, text: str, ids: object, names: object, match: str
) -> None:
    path = write(tmp_path / name, text)
    with pytest.raises(DataError, match=rf"{name}: {match}"):
        load_features(path, ids=ids, names=names)
    with pytest.warns(UserWarning, match=rf"{name}: .* left out: .*{match}") as caught:
        got = load_features(path, ids=ids, names=names, unknown="drop")
    assert caught[0].filename == __file__
    whole = triples(load_features(path))
    left = {
        (id, tag): weight
        for (id, tag), weight in whole.items()
        if (ids is None or id in ids) and (names is None or tag in names)
    }
    assert triples(got) == left
    assert 0 < len(left) < len(whole)


def test_dropped_rows_take_their_weights_with_them(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "id,tag,w\n1,a,10\n2,a,20\n3,b,30\n")
    with pytest.warns(UserWarning, match="left out"):
        got = load_features(path, weight="w", ids=[3, 2], unknown="drop")
    assert triples(got) == {(2, "a"): 20, (3, "b"): 30}


def test_dropping_everything_is_an_error(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", TAGS)
    with pytest.raises(DataError, match=r"id 3 is not in ids \(3 of the file's 3 ids"):
        load_features(path, ids=["three", "seven"], unknown="drop")
    with pytest.raises(DataError, match="no feature is between ids that are known"):
        load_features(path, ids=[3], names=["red"], unknown="drop")


def test_columns_are_in_the_order_of_the_names(tmp_path: Path) -> None:
    first = load_features(write(tmp_path / "a.dat", "1 5\n1 6\n1 7\n"), ids=[7, 6, 5])
    path = write(tmp_path / "b.csv", "id,tag\n40,2\n40,0\n41,1\n")
    second = load_features(path, names=first.names[::-1])
    assert second.names.tolist() == [2, 1, 0]
    assert second.matrix.toarray().tolist() == [[1, 0, 1], [0, 1, 0]]


# Frequent features


def test_min_count_counts_objects(tmp_path: Path) -> None:
    path = write(tmp_path / "a.dat", "2 4 1\n0\n1 4\n3 1 2 4\n2 9 9\n")
    with pytest.warns(UserWarning, match="1 duplicate rows"):
        got = load_features(path, min_count=2)
    assert got.names.tolist() == [0, 3]  # not 4, which is one object twice
    assert triples(got) == {(4, 0): 1, (1, 0): 1, (1, 3): 1, (2, 3): 1, (4, 3): 1}
    assert got.ids is not None and got.ids.tolist() == [1, 2, 4, 9]
    with pytest.warns(UserWarning, match="1 duplicate rows"):
        assert load_features(path).names.tolist() == [0, 1, 2, 3, 4]


def test_min_count_counts_only_objects_that_are_left(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", TAGS)
    with pytest.warns(UserWarning, match="left out"):
        got = load_features(path, ids=[5, 7], unknown="drop", min_count=1)
    assert got.names.tolist() == ["big", "old", "red"]
    with (
        pytest.warns(UserWarning, match="left out"),
        pytest.raises(DataError, match=r"min_count=2 objects; the most frequent one occurs in 1"),
    ):
        load_features(path, ids=[5, 7], unknown="drop", min_count=2)


# Bad input


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"absent\.csv"):
        load_features(tmp_path / "absent.csv")


@pytest.mark.parametrize(
    ("name", "content", "options", "match"),
    [
        ("a.csv", "", {}, "is empty"),
        ("a.csv", "id,tag\n", {}, "no features"),
        ("a.csv", "userId,tag\n1,2\n", {}, "no column 'id'; .*: userId, tag.*id="),
        ("a.csv", "id,what\n1,2\n", {}, "no column 'tag'; .*: id, what.*tag="),
        ("a.csv", "id,tag\n1,2\n", {"weight": "w"}, "no column 'w'; .*: id, tag.*weight="),
        ("a.csv", "film,genres\n1,A\n", {}, "no column 'movieId'; .*: film, genres.*id="),
        ("a.csv", "id,tag\n1,red\n3\n", {}, "line 3 has 1 fields, expected 2"),
        ("a.csv", "id,tag\n1,red\n,red\n", {}, "line 3: id '' is missing"),
        ("a.csv", "movieId,genres\n1,A\n,A\n", {}, "line 3: id '' is missing"),
        ("a.csv", "movieId,genres\n1,\n2,(no genres listed)\n", {}, "has no features"),
        ("a.csv", b"id,tag\n1,\xe9\n", {}, "line 2 is not UTF-8"),
        ("a.csv", "id,tag,w\n1,a,1\n1,b,x\n", {"weight": "w"}, "line 3: weight 'x' is not a fin"),
        (
            "a.csv",
            "id,tag,w\n1,a,1\n1,b,nan\n",
            {"weight": "w"},
            "line 3: weight 'nan' is not a fin",
        ),
        (
            "a.csv",
            "id,tag,w\n1,a,1\n1,b,-inf\n",
            {"weight": "w"},
            "line 3: weight '-inf' is not a fin",
        ),
        ("a.csv", "id,tag,w\n1,a,-1e39\n", {"weight": "w"}, "line 2: weight '-1e39' is not a fin"),
        ("a.csv.gz", TAGS, {}, "does not begin as a .gz file"),
        ("a.dat", "1 2\n2 4\n", {}, "line 2 says that it has 2 items, but has 1$"),
        ("a.dat", "1 2\n-1 4\n", {}, "line 2: '-1' is not an id"),
        ("a.dat", "1 2\n1 x\n", {}, "line 2: 'x' is not an id"),
        ("a.dat", "1 2\n\n1 3\n", {}, "line 2 is empty; a tag without items has '0'"),
        ("a.dat", "0\n0\n", {}, "has no features"),
        ("a.npz", "id,tag\n1,2\n", {}, "a.npz"),
    ],
)
def test_bad_files(
    tmp_path: Path, name: str, content: str | bytes, options: dict[str, object], match: str
) -> None:
    path = write(tmp_path / name, content)
    with pytest.raises(DataError, match=match) as raised:
        load_features(path, **options)
    assert name in str(raised.value)


def test_an_object_without_a_tag_is_counted_and_stays(tmp_path: Path) -> None:
    pq.write_table(pa.table({"id": [1, 2], "tag": ["a", None]}), tmp_path / "a.parquet")
    from_parquet = load_features(tmp_path / "a.parquet")
    from_csv = load_features(write(tmp_path / "a.csv", "id,tag\n1,a\n2, \n"))
    for got in (from_parquet, from_csv):
        assert got.ids.tolist() == [1, 2]
        assert got.matrix.toarray().tolist() == [[1], [0]]
        assert (got.report.without_tag, got.report.pairs) == (1, 1)


# Arguments


def test_unknown_extension_lists_the_formats(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"csv, tsv, parquet, .*genres, .*citeulike, npz"):
        load_features(write(tmp_path / "a.txt", TAGS))


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"format": "steam"}, "format must be auto or one of csv.*'steam'"),
        ({"format": "citeulike", "id": 0, "weight": 2}, "id is .*; weight is an option of csv"),
        (
            {"format": "citeulike", "header": False},
            "header is an option of csv, tsv, .*genres, .* not",
        ),
        ({"format": "npz", "tag": 1}, "tag is an option of .*, not of npz; leave it"),
        ({"format": "tsv", "delimiter": ","}, "delimiter is an option of csv, genres, not of"),
        ({"format": "npz", "separator": "|"}, "separator is an option of csv, .*, not of npz"),
        ({"names_file": "tags.dat"}, "names_file is an option of citeulike, not of csv"),
        ({"count_as_item": True}, "count_as_item is an option of citeulike, not of"),
        ({"format": "genres", "separator": ""}, "separator must be text .* got ''"),
        ({"delimiter": "\n"}, r"delimiter must be ASCII text .* got '\\n'"),
        ({"tag": "id"}, "id and tag are the same column: 'id'"),
        ({"unknown": "ignore"}, r"unknown must be one of .*drop.*, got 'ignore'"),
        ({"min_count": -1}, "min_count must be at least 0"),
        ({"min_count": 2, "names": ["red"]}, "min_count has no meaning with names"),
        ({"names": []}, "names must be at least one id, got none"),
        ({"ids": [1, 1]}, "ids must be unique, 1 occurs twice"),
        ({"names": ["red", "red"]}, "names must be unique, 'red' occurs twice"),
    ],
)
def test_options_are_checked(tmp_path: Path, options: dict[str, object], match: str) -> None:
    path = write(tmp_path / "a.csv", TAGS)
    with pytest.raises(ValueError, match=match):
        load_features(path, **options)


@pytest.mark.parametrize("options", [{"id": 1.5}, {"min_count": 2.0}, {"ids": 3}, {"names": [1.5]}])
def test_types_of_options_are_checked(tmp_path: Path, options: dict[str, object]) -> None:
    path = write(tmp_path / "a.csv", TAGS)
    with pytest.raises(TypeError, match=next(iter(options))):
        load_features(path, **options)


@pytest.mark.parametrize("ids", [[1, 1, 2], [1.5, 2, 3]])
def test_ids_are_checked_for_npz(tmp_path: Path, ids: object) -> None:
    sp.save_npz(tmp_path / "a.npz", sp.csr_array(np.eye(3)))
    with pytest.raises((ValueError, TypeError), match="ids must be"):
        load_features(tmp_path / "a.npz", ids=ids)


# Real data


def test_citeulike(shared_data: Path) -> None:
    likes = load_interactions(shared_data / "citeulike-t" / "users.dat", format="citeulike")
    got = datasets.features("citeulike-t", likes.item_ids, shared_data)
    assert got.matrix.shape == (25_975, 8_311)
    np.testing.assert_array_equal(got.ids, likes.item_ids)
    folder = shared_data / "citeulike-t"
    lists = (folder / "tag-item.dat").read_text().splitlines()
    tags = (folder / "tags.dat").read_text(encoding="utf-8").splitlines()
    papers = {tag: line.split()[1:] for tag, line in zip(tags, lists, strict=True)}
    frequent = [tag for tag in tags if len(papers[tag]) >= 5]
    assert got.names.tolist() == frequent
    assert got.matrix.nnz == sum(len(papers[tag]) for tag in frequent)
    column = got.matrix[:, [4000]].tocoo()
    assert sorted(map(int, papers[frequent[4000]])) == column.row.tolist()


def test_citeulike_as_the_paper_read_it(shared_data: Path) -> None:
    with pytest.warns(UserWarning, match="13 duplicate rows"):
        parts = datasets.load(datasets.AS_PUBLISHED, shared_data)
    assert sum(part.matrix.nnz for part in parts) == 142_794
    assert parts[0].matrix.shape == (7947, 25_975)
    with pytest.warns(UserWarning, match="21 duplicate rows"):
        got = datasets.features(datasets.AS_PUBLISHED, parts[0].item_ids, shared_data)
    assert got.matrix.shape == (25_975, 10_399)


def test_movielens_genres(shared_data: Path) -> None:
    path = shared_data / "ml-latest-small" / "movies.csv"
    whole = load_features(path)
    assert whole.matrix.shape == (9125, 19)
    assert np.count_nonzero(np.diff(whole.matrix.indptr) == 0) == 18  # "(no genres listed)"
    assert (whole.ids is not None) and whole.ids[0] == 1  # Toy Story
    names = ["Adventure", "Animation", "Children", "Comedy", "Fantasy"]
    assert whole.names[whole.matrix[[0]].indices].tolist() == names
    train = datasets.load("ml-latest-small", shared_data)[0]
    with pytest.warns(UserWarning, match=r"left out: .*\(2955 of the file's 9125 ids are not\)"):
        got = datasets.features("ml-latest-small", train.item_ids, shared_data)
    assert got.matrix.shape == (train.item_ids.size, 19)
    at = np.searchsorted(whole.ids, train.item_ids)
    assert (got.matrix != whole.matrix[at]).nnz == 0


def test_gowalla_has_no_features() -> None:
    with pytest.raises(ValueError, match="no features for data set 'gowalla'"):
        datasets.features("gowalla", [1])
