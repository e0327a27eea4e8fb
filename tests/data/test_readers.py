"""Reading interaction files: what is read, and that bad input is refused by name and line."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import scipy.sparse as sp

from cml_fast.data import Interactions, load_interactions
from cml_fast.errors import DataError


def write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def triples(interactions: Interactions) -> dict[tuple[object, object], float]:
    """The interactions as {(user id, item id): weight}."""
    matrix = interactions.matrix.tocoo()
    users = interactions.user_ids[matrix.row].tolist()
    items = interactions.item_ids[matrix.col].tolist()
    return dict(zip(zip(users, items, strict=True), matrix.data.tolist(), strict=True))


# Tables


def test_csv_keeps_string_ids_sorted_and_weights_one(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "item,user\ntea,zoe\nrice,bob\ntea,bob\n")
    got = load_interactions(path)
    assert got.user_ids.tolist() == ["bob", "zoe"]
    assert got.item_ids.tolist() == ["rice", "tea"]
    assert got.matrix.toarray().tolist() == [[1, 1], [0, 1]]
    assert got.matrix.dtype == np.float32
    assert isinstance(got.matrix, sp.csr_array)


def test_integer_ids_sort_as_numbers(tmp_path: Path) -> None:
    got = load_interactions(write(tmp_path / "a.csv", "user,item\n10,-3\n9,200\n9,30\n"))
    assert got.user_ids.dtype == got.item_ids.dtype == np.int64
    assert got.user_ids.tolist() == [9, 10]
    assert got.item_ids.tolist() == [-3, 30, 200]
    assert triples(got) == {(10, -3): 1, (9, 200): 1, (9, 30): 1}


def test_leading_zeros_stay(tmp_path: Path) -> None:
    got = load_interactions(write(tmp_path / "a.csv", "user,item\n1,007\n1,7\n"))
    assert got.item_ids.tolist() == ["007", "7"]


def test_spaces_around_ids_and_names_are_no_part_of_them(tmp_path: Path) -> None:
    got = load_interactions(write(tmp_path / "a.csv", "user, item\n1, 5\n2,5 \n"))
    assert got.item_ids.tolist() == [5]


@pytest.mark.parametrize(
    ("name", "text", "options"),
    [
        ("a.csv", "user,item\na,x\nb,y\n", {}),
        ("a.csv", "user,item\r\na,x\r\n\r\nb,y", {}),
        ("a.csv", "\ufeffuser,item\na,x\nb,y\n", {}),
        ("a.csv", "\n\nuser,item\na,x\nb,y\n", {}),
        ("a.csv", "user;item\na;x\nb;y\n", {"delimiter": ";"}),
        ("a.csv", 'x,user,item\n"1,2",a,x\n"3 ""4""",b,"y"\n', {}),
        ("a.csv", "who,what\na,x\nb,y\n", {"user": "who", "item": "what"}),
        ("a.csv", "what,,who\nx,1,a\ny,2,b\n", {"user": 2, "item": 0, "header": True}),
        ("a.csv", "a,x,1\nb,y,2\n", {"header": False}),
        ("a.csv", "1,x,a\n2,y,b\n", {"header": False, "user": 2, "item": 1}),
        ("a.tsv", "user\titem\na\tx\nb\ty\n", {}),
        ("a.txt", "user\titem\na\tx\nb\ty\n", {"format": "tsv"}),
        ("ratings.dat", "a::x::5::1\nb::y::1::2\n", {"min_rating": 0}),
        ("a.txt", "a::x\nb::y\n", {"format": "movielens"}),
    ],
)
@pytest.mark.parametrize("compressed", [False, True])
def test_text_tables(
    tmp_path: Path, name: str, text: str, options: dict[str, object], compressed: bool
) -> None:
    if compressed:
        path = write(tmp_path / (name + ".gz"), gzip.compress(text.encode()))
    else:
        path = write(tmp_path / name, text)
    assert triples(load_interactions(path, **options)) == {("a", "x"): 1, ("b", "y"): 1}


def test_a_quote_in_tsv_is_a_character(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tsv", 'user\titem\na\t"x\nb\ty\n')
    assert load_interactions(path).item_ids.tolist() == ['"x', "y"]


@pytest.mark.parametrize(
    "columns",
    [
        {"user": pa.array([5, 3, 5]), "item": pa.array(["x", "y", "y"])},
        {
            "user": pa.array([5, 3, 5], pa.uint16()),
            "item": pa.array(["x", "y", "y"]).dictionary_encode(),
        },
        {"user": pa.array(["5", "3", "5"]), "item": pa.array(["x", "y", "y"], pa.large_string())},
    ],
)
def test_parquet(tmp_path: Path, columns: dict[str, pa.Array]) -> None:
    pq.write_table(pa.table({"other": [1, 2, 3], **columns}), tmp_path / "a.parquet")
    by_name = load_interactions(tmp_path / "a.parquet")
    by_position = load_interactions(tmp_path / "a.parquet", user=1, item=2)
    assert triples(by_name) == triples(by_position) == {(5, "x"): 1, (3, "y"): 1, (5, "y"): 1}


def test_ids_of_many_blocks_are_one_space(tmp_path: Path) -> None:
    # Several megabytes, so that the reader works in blocks, each with its own coding of ids.
    users, items = np.divmod(np.random.default_rng(0).permutation(300_000), 500)
    # The line breaks in the titles must not be taken for the ends of rows.
    lines = (f'u{user},"a\nb",{item * 7}' for user, item in zip(users, items, strict=True))
    path = write(tmp_path / "a.csv", "user,title,item\n" + "\n".join(lines))
    assert path.stat().st_size > 4e6
    with pytest.warns(UserWarning, match="line 2 has line breaks within quotes, as 300000 lines"):
        got = load_interactions(path)
    assert got.matrix.nnz == 300_000
    assert got.user_ids.tolist() == sorted(f"u{user}" for user in range(600))
    assert got.item_ids.tolist() == list(range(0, 3500, 7))


RATED = "user,item,rating\na,x,5\na,y,3.5\nb,y,4\nc,z,1\n"


def test_threshold_keeps_likes_and_only_their_ids(tmp_path: Path) -> None:
    got = load_interactions(write(tmp_path / "a.csv", RATED), rating="rating", min_rating=4)
    assert triples(got) == {("a", "x"): 1, ("b", "y"): 1}
    assert got.user_ids.tolist() == ["a", "b"]
    assert got.item_ids.tolist() == ["x", "y"]


def test_weight_column(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", RATED)
    got = load_interactions(path, weight="rating")
    assert triples(got) == {("a", "x"): 5, ("a", "y"): 3.5, ("b", "y"): 4, ("c", "z"): 1}
    both = load_interactions(path, weight=2, rating=2, min_rating=3.5)
    assert triples(both) == {("a", "x"): 5, ("a", "y"): 3.5, ("b", "y"): 4}


def test_movielens_threshold_uses_the_third_column(tmp_path: Path) -> None:
    path = write(tmp_path / "ratings.dat", "1::10::5::77\n1::11::3::78\n2::10::4::79\n")
    assert triples(load_interactions(path, min_rating=4)) == {(1, 10): 1, (2, 10): 1}
    assert triples(load_interactions(path, weight=2)) == {(1, 10): 5, (1, 11): 3, (2, 10): 4}


def test_duplicates_are_merged_and_counted(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "user,item,n\na,x,2\na,x,3\na,x,4\nb,x,1\n")
    with pytest.warns(UserWarning, match=r"2 duplicate rows were merged to one") as caught:
        assert triples(load_interactions(path)) == {("a", "x"): 1, ("b", "x"): 1}
    assert caught[0].filename == __file__
    with pytest.warns(UserWarning, match=r"2 duplicate rows were merged by adding"):
        assert triples(load_interactions(path, weight="n")) == {("a", "x"): 9, ("b", "x"): 1}


def test_zero_weights_are_dropped_and_counted(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "user,item,n\na,x,0\na,y,0.0\nb,x,1e-60\nc,z,2\n")
    with pytest.warns(UserWarning, match=r"3 rows of weight 0") as caught:
        got = load_interactions(path, weight="n")
    assert caught[0].filename == __file__
    assert triples(got) == {("c", "z"): 2}
    assert got.matrix.shape == (1, 1)


# Lists


def test_adjacency(tmp_path: Path) -> None:
    path = write(tmp_path / "a.txt", "7 30 5\n\n2 5 \n9\n")
    got = load_interactions(path, format="adjacency")
    assert triples(got) == {(7, 30): 1, (7, 5): 1, (2, 5): 1}
    assert got.user_ids.tolist() == [2, 7, 9]  # 9 is named, though without items
    assert got.item_ids.tolist() == [5, 30]
    assert got.matrix.dtype == np.float32


def test_citeulike_lists(tmp_path: Path) -> None:
    path = write(tmp_path / "users.dat", "2 4 1\n0\n1 4\n")
    got = load_interactions(path, format="citeulike")
    assert triples(got) == {(0, 4): 1, (0, 1): 1, (2, 4): 1}
    assert got.user_ids.tolist() == [0, 1, 2]
    assert got.item_ids.tolist() == [0, 1, 2, 3, 4]


def test_count_as_item_is_the_mistake_of_the_paper(tmp_path: Path) -> None:
    path = write(tmp_path / "users.dat", "2 4 1\n0\n1 4\n")
    got = load_interactions(path, format="citeulike", count_as_item=True)
    extra = {(0, 2): 1, (1, 0): 1, (2, 1): 1}
    assert triples(got) == {(0, 4): 1, (0, 1): 1, (2, 4): 1, **extra}


def test_lists_may_be_compressed(tmp_path: Path) -> None:
    path = write(tmp_path / "a.txt.gz", gzip.compress(b"7 30 5\n"))
    assert triples(load_interactions(path, format="adjacency")) == {(7, 30): 1, (7, 5): 1}


# One id space


def test_second_file_in_the_space_of_a_first(tmp_path: Path) -> None:
    first = load_interactions(write(tmp_path / "a.csv", "user,item\na,1\nb,x2\nc,3\n"))
    # The items of the second file, taken alone, look like numbers.
    second = load_interactions(
        write(tmp_path / "b.csv", "user,item\nc,1\nb,3\n"),
        user_ids=first.user_ids,
        item_ids=first.item_ids,
    )
    assert triples(second) == {("c", "1"): 1, ("b", "3"): 1}
    assert second.matrix.shape == first.matrix.shape
    np.testing.assert_array_equal(second.item_ids, first.item_ids)


@pytest.mark.parametrize("wanted", [[9, 5, 7], np.array([9, 5, 7], np.uint8)])
def test_given_ids_keep_their_order(tmp_path: Path, wanted: object) -> None:
    path = write(tmp_path / "a.txt", "5 1\n9 2\n")
    got = load_interactions(path, format="adjacency", user_ids=wanted)
    assert got.user_ids.tolist() == [9, 5, 7]
    assert got.user_ids.dtype == np.int64
    assert triples(got) == {(5, 1): 1, (9, 2): 1}


def test_item_ids_may_widen_a_catalogue(tmp_path: Path) -> None:
    path = write(tmp_path / "users.dat", "1 2\n")
    got = load_interactions(path, format="citeulike", item_ids=np.arange(10))
    assert got.matrix.shape == (1, 10)
    assert triples(got) == {(0, 2): 1}


@pytest.mark.parametrize(
    ("ids", "match"),
    [
        ({"user_ids": ["a"]}, r"user 'b' is not in user_ids \(2 of the file's 3 users"),
        ({"user_ids": [1, 2]}, r"user 'a' is not in user_ids \(3 of the file's 3 users"),
        ({"item_ids": [1, 3, 4]}, r"item 2 is not in item_ids \(1 of the file's 3 items"),
    ],
)
def test_unknown_ids_are_named(tmp_path: Path, ids: dict[str, object], match: str) -> None:
    path = write(tmp_path / "a.csv", "user,item\na,1\nb,2\nc,3\n")
    with pytest.raises(DataError, match=match):
        load_interactions(path, **ids)


@pytest.mark.parametrize("ids", [[1, 1], [], [1.5], [[1]], [None], 3])
def test_id_arguments_are_checked(tmp_path: Path, ids: object) -> None:
    path = write(tmp_path / "a.txt", "1 1\n")
    with pytest.raises((ValueError, TypeError), match="user_ids must be"):
        load_interactions(path, format="adjacency", user_ids=ids)


# Sparse matrices


@pytest.mark.parametrize("kind", [sp.csr_matrix, sp.coo_array, sp.csc_array])
def test_npz(tmp_path: Path, kind: type) -> None:
    sp.save_npz(tmp_path / "a.npz", kind(np.array([[0, 2.5, 0], [0, 0, 0], [1, 0, 0]])))
    got = load_interactions(tmp_path / "a.npz")
    assert triples(got) == {(0, 1): 2.5, (2, 0): 1}
    assert got.user_ids.tolist() == got.item_ids.tolist() == [0, 1, 2]
    assert got.user_ids.dtype == np.int64


def test_npz_duplicates_and_zeros_are_counted(tmp_path: Path) -> None:
    matrix = sp.coo_array(([1.0, 2.0, 0.0], ([0, 0, 1], [1, 1, 1])), shape=(2, 2))
    sp.save_npz(tmp_path / "a.npz", matrix)
    with pytest.warns(UserWarning) as caught:
        assert triples(load_interactions(tmp_path / "a.npz")) == {(0, 1): 3}
    assert [str(warning.message).split(": ")[1][:10] for warning in caught] == [
        "1 duplicat",
        "1 explicit",
    ]
    assert caught[0].filename == __file__


@pytest.mark.parametrize(
    ("values", "match"),
    [([1, -1], "negative"), ([np.nan, 1], "NaN"), ([np.inf, 1], "infinite")],
)
def test_npz_values_are_checked(tmp_path: Path, values: list[float], match: str) -> None:
    sp.save_npz(tmp_path / "a.npz", sp.csr_array(([*values], ([0, 1], [0, 1]))))
    with pytest.raises(DataError, match=rf"a\.npz has 1 .*{match}"):
        load_interactions(tmp_path / "a.npz")


# Bad input


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"absent\.csv"):
        load_interactions(tmp_path / "absent.csv")


@pytest.mark.parametrize(
    ("name", "content", "options", "match"),
    [
        ("a.csv", "", {}, "is empty"),
        ("a.parquet", "", {}, "is empty"),
        ("a.npz", "", {}, "is empty"),
        ("a.csv", "\n\n", {}, "only empty lines"),
        ("a.csv", "user,item\n", {}, "has no interactions"),
        ("a.txt", "3\n4\n", {"format": "adjacency"}, "no interactions"),
        ("a.txt", "0\n0\n", {"format": "citeulike"}, "no interactions"),
        # columns
        ("a.csv", "userId,movieId\n1,2\n", {}, "no column 'user'; .*: userId, movieId.*user="),
        ("a.csv", "user,movieId\n1,2\n", {}, "no column 'item'; .*: user, movieId.*item="),
        ("a.csv", "user,user,item\n1,1,2\n", {}, "several columns 'user'"),
        ("a.csv", "a,b\n1,2\n", {"user": 0, "item": 2, "header": True}, "no column 2; .*: a, b"),
        ("a.csv", "1,2\n", {"header": False, "item": 5}, "no column 5; .*: 2, counted from 0"),
        (
            "a.csv",
            "1,2\n3,4\n",
            {"user": 0, "item": 1, "header": True},
            "line 1 holds numbers.*header=False",
        ),
        # lines
        ("a.csv", "user,item\n1,2\n3\n", {}, "line 3 has 1 fields, expected 2"),
        ("a.csv", "user,item\n\n1,2\n1,2,3\n", {}, "line 4 has 3 fields, expected 2"),
        ("a.tsv", "user\titem\n1\t2\n1,2\n", {}, "line 3 has 1 fields, expected 2"),
        ("a.csv", 'user,item\n"1\n2",3\n4\n', {}, "line 4 has 1 fields, expected 2"),
        ("a.csv", 'user,item\n1,2\n"3"4,5\n', {}, "line 3 has '4' after a quoted field"),
        ("a.csv", b"user,item\n1,2\n3,a\0\n", {}, "line 3 has a NUL byte"),
        ("r.dat", "1::2::3::4\n1::2::3\n", {}, "line 2 has 3 fields, expected 4"),
        ("r.dat", "1::2::3::4\n1:7:2::3::4\n", {}, "line 2 has 3 fields, expected 4"),
        ("a.csv", "user,item\n1,2\n,4\n", {}, "line 3: user '' is missing"),
        ("a.csv", "user,item\n1,2\n\n3, \n", {}, "line 4: item ' ' is missing"),
        ("a.csv", b"user,item\na,b\n\xe9,c\n", {}, "line 3 is not UTF-8"),
        ("a.csv", b"\xe9,user,item\n1,2,3\n", {}, "line 1 is not UTF-8"),
        ("a.csv", "user,item\na,b\n".encode("utf-16"), {}, "is UTF-16 text; pass encoding"),
        ("a.txt", b"1 2\n3 \xe9\n", {"format": "adjacency"}, r"line 2: '\\\\xe9' is not an id"),
        ("a.txt", "1 2\n3 -4\n", {"format": "adjacency"}, "line 2: '-4' is not an id"),
        ("a.txt", "1 2\n3 4.0\n", {"format": "citeulike"}, "line 2: '4.0' is not an id"),
        ("a.txt", f"1 2\n3 {2**63}\n", {"format": "adjacency"}, "line 2: .*64 bits"),
        ("a.txt", "1 2\n2 4\n", {"format": "citeulike"}, "line 2 says that it has 2 items, .* 1"),
        ("a.txt", "1 2\n\n1 3\n", {"format": "citeulike"}, "line 2 is empty"),
        ("a.txt", f"1 {2**31}\n", {"format": "citeulike"}, "has an item 2147483648, but"),
    ],
)
def test_bad_files(
    tmp_path: Path, name: str, content: str | bytes, options: dict[str, object], match: str
) -> None:
    path = write(tmp_path / name, content)
    with pytest.raises(DataError, match=match) as raised:
        load_interactions(path, **options)
    assert name in str(raised.value)


@pytest.mark.parametrize(
    ("value", "match"),
    [
        ("four", "line 4: {} 'four' is not a finite"),
        ("1_0", "line 4: {} '1_0' is not a finite"),
        ("", "line 4: {} '' is not a finite"),
        ("nan", "line 4: {} 'nan' is not a finite"),
        ("inf", "line 4: {} 'inf' is not a finite"),
        ("1e39", "line 4: {} '1e39' is not a finite"),
    ],
)
@pytest.mark.parametrize("role", ["rating", "weight"])
def test_bad_numbers(tmp_path: Path, value: str, match: str, role: str) -> None:
    path = write(tmp_path / "a.csv", f"user,item,n\na,x,1\nb,y,0\na,y,{value}\n")
    least = {"min_rating": 1} if role == "rating" else {}
    with pytest.raises(DataError, match=match.format(role)):
        load_interactions(path, **{role: "n"}, **least)


def test_negative_weights_are_refused_but_negative_ratings_are_not(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "user,item,n\na,x,1\nb,y,-2\n")
    with pytest.raises(DataError, match=r"line 3: weight '-2' is negative"):
        load_interactions(path, weight="n")
    assert triples(load_interactions(path, rating="n", min_rating=-2)) == {
        ("a", "x"): 1,
        ("b", "y"): 1,
    }


def test_weights_that_overflow_together(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "user,item,n\na,x,3e38\na,x,3e38\n")
    with (
        pytest.warns(UserWarning, match="1 duplicate"),
        pytest.raises(DataError, match="more than float32"),
    ):
        load_interactions(path, weight="n")


def test_nothing_left_after_the_threshold(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", RATED)
    with pytest.raises(DataError, match=r"min_rating=6; they go from 1 to 5"):
        load_interactions(path, rating="rating", min_rating=6)


@pytest.mark.parametrize(
    ("column", "match"),
    [
        (pa.array(["a", None]), "row 1: user None is missing"),
        (pa.array(["a", ""]), "row 1: user '' is missing"),
        (pa.array([1, None]), "row 1: user None is missing"),
        (pa.array([None, None]), "row 0: user None is missing"),
        (pa.array([1.0, 2.5]), "row 1: user 2.5 is not a whole number"),
        (pa.array([1.0, 2.0**53]), "row 1: user 9007199254740992.0 is not a whole number"),
        (pa.array([True, False]), "type bool; ids are integers or text"),
        (pa.array([b"a", b"\xe9"]), "row 1: user b'.xe9' is not UTF-8 text"),
    ],
)
def test_bad_parquet_ids(tmp_path: Path, column: pa.Array, match: str) -> None:
    pq.write_table(pa.table({"user": column, "item": ["x", "y"]}), tmp_path / "a.parquet")
    with pytest.raises(DataError, match=match):
        load_interactions(tmp_path / "a.parquet")


def whole_files(folder: Path) -> list[Path]:
    pairs = np.random.default_rng(0).integers(0, 1000, (5000, 2))
    pq.write_table(pa.table({"user": pairs[:, 0], "item": pairs[:, 1]}), folder / "a.parquet")
    sp.save_npz(folder / "a.npz", sp.csr_array(np.bincount(pairs[:, 0], minlength=1000)[None]))
    text = "user,item\n" + "".join(f"{user},{item}\n" for user, item in pairs)
    write(folder / "a.csv.gz", gzip.compress(text.encode()))
    write(folder / "a.dat.gz", gzip.compress(text.replace(",", "::").encode()))
    return sorted(folder.iterdir())


@pytest.mark.parametrize("kept", [0.02, 0.5, 0.99])
def test_truncated_files(tmp_path: Path, kept: float) -> None:
    paths = whole_files(tmp_path)
    assert len(paths) == 4
    for path in paths:
        content = path.read_bytes()
        write(path, content[: int(len(content) * kept)])
        with pytest.raises(DataError, match=path.name):
            load_interactions(path)


@pytest.mark.parametrize("name", ["a.parquet", "a.npz", "a.csv.gz", "a.dat.gz"])
def test_foreign_content(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match=name):
        load_interactions(write(tmp_path / name, "user,item\n1,2\n"))


def test_npz_without_a_sparse_matrix(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", a=np.ones(3))
    with pytest.raises(DataError, match="not a sparse matrix saved by scipy"):
        load_interactions(tmp_path / "a.npz")


# Arguments


@pytest.mark.parametrize("name", ["a.txt", "a.dat", "a.txt.gz", "a", "a.xlsx"])
def test_unknown_extension_lists_the_formats(tmp_path: Path, name: str) -> None:
    content = b"1 2\n"
    path = write(tmp_path / name, gzip.compress(content) if name.endswith("gz") else content)
    with pytest.raises(
        ValueError, match=r"csv, tsv, parquet, .*movielens, .*adjacency, citeulike, npz"
    ):
        load_interactions(path)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"format": "json"}, "format must be auto or one of csv.*'json'"),
        (
            {"format": "adjacency", "user": 1},
            "user is an option of csv, tsv, parquet, .*movielens, .* not",
        ),
        ({"format": "citeulike", "min_rating": 1}, "min_rating is an option .* not of citeulike"),
        (
            {"format": "npz", "weight": 1, "header": False},
            "weight is .*; header is an option of csv, tsv, movielens, .* not",
        ),
        (
            {"format": "adjacency", "count_as_item": True},
            "option of citeulike, not of adjacency; leave",
        ),
        ({"format": "tsv", "delimiter": ","}, "delimiter is an option of csv, not of tsv"),
        ({"delimiter": "\n"}, r"delimiter must be ASCII text .* got '\\n'"),
        ({"rating": "n"}, "rating needs min_rating"),
        ({"min_rating": 3}, "min_rating needs rating"),
        ({"rating": "n", "min_rating": float("nan")}, "min_rating must be a finite number"),
        ({"user": "item"}, "user and item are the same column: 'item'"),
        ({"weight": "user"}, "user and weight are the same column: 'user'"),
        ({"user": -1}, "user must be at least 0"),
        ({"user": "user", "header": False}, "user='user' is a name, but there is no header"),
    ],
)
def test_options_are_checked(tmp_path: Path, options: dict[str, object], match: str) -> None:
    path = write(tmp_path / "a.csv", "user,item,n\na,x,1\n")
    with pytest.raises(ValueError, match=match):
        load_interactions(path, **options)


@pytest.mark.parametrize("options", [{"user": 1.5}, {"user": True}, {"min_rating": "4"}])
def test_types_of_options_are_checked(tmp_path: Path, options: dict[str, object]) -> None:
    path = write(tmp_path / "a.csv", "user,item,n\na,x,1\n")
    with pytest.raises(TypeError, match=next(iter(options))):
        load_interactions(path, **{"rating": "n", "min_rating": 1, **options})


# Real data


def test_citeulike(shared_data: Path) -> None:
    path = shared_data / "citeulike-t" / "users.dat"
    got = load_interactions(path, format="citeulike")
    assert got.matrix.shape == (7947, 25975)
    assert got.matrix.nnz == 134_860
    assert got.matrix[[0]].indices.tolist() == [193, 11908, 12727, 14760]
    with pytest.warns(UserWarning, match="13 duplicate rows"):
        papers = load_interactions(path, format="citeulike", count_as_item=True)
    assert papers.matrix.shape == (7947, 25975)
    assert papers.matrix.nnz == 142_794


def test_gowalla_in_one_id_space(shared_data: Path) -> None:
    paths = [shared_data / "gowalla" / f"{part}.txt" for part in ("train", "valid", "test")]
    alone = [load_interactions(path, format="adjacency") for path in paths]
    user_ids = np.unique(np.concatenate([part.user_ids for part in alone]))
    item_ids = np.unique(np.concatenate([part.item_ids for part in alone]))
    parts = [
        load_interactions(path, format="adjacency", user_ids=user_ids, item_ids=item_ids)
        for path in paths
    ]
    whole = parts[0].matrix + parts[1].matrix + parts[2].matrix
    assert whole.shape == (29_858, 40_981)
    assert whole.nnz == sum(part.matrix.nnz for part in parts) == 1_027_370


def test_movielens_small(shared_data: Path) -> None:
    path = shared_data / "ml-latest-small" / "ratings.csv"
    with pytest.warns(UserWarning, match=r"all 100,004 rows count as likes.*from 0\.5 to 5"):
        got = load_interactions(path, format="csv", user="userId", item="movieId")
    assert got.matrix.shape == (671, 9066)
    assert got.timestamps is None
    known = load_interactions(path, min_rating=0)
    assert (known.matrix != got.matrix).nnz == 0
    assert known.timestamps.min() == 789652009
    assert got.matrix.nnz == 100_004
    assert got.user_ids.tolist() == list(range(1, 672))
    likes = load_interactions(path, user=0, item=1, rating=2, min_rating=4)
    table = np.loadtxt(path, delimiter=",", skiprows=1)
    assert likes.matrix.nnz == (table[:, 2] >= 4).sum()
