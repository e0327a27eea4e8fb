"""Small inputs that people met, each with the right answer."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from cml_fast import Model, Trainer
from cml_fast.data import Interactions, load_interactions
from cml_fast.errors import DataError

try:
    import pandas as pd
except ImportError:
    pd = None

OPEN_QUOTE = b'user,item\nann,Kraftwerk\nben,"Heroes\ncai,Can\ndee,Neu!\neva,Faust\nfay,Can\n'


def test_a_quote_that_is_never_closed_is_named() -> None:
    with pytest.raises(DataError, match=r"line 3 has a double quote .*quoting='none'"):
        load_interactions(OPEN_QUOTE, format="csv")
    assert load_interactions(OPEN_QUOTE, format="csv", quoting="none").matrix.nnz == 6


@pytest.mark.parametrize("closing", ["", '"', 'the end"'])
@pytest.mark.parametrize("n_lines", [5, 50_000])
def test_a_quote_in_a_column_that_nobody_asked_for(closing: str, n_lines: int) -> None:
    """Wherever a second stray quote may be, it closes nothing."""
    lines = [f"{n},{n % 7},title {n}" for n in range(n_lines)]
    lines[1] = '1,1,"Best'
    lines[n_lines - 2] += closing
    content = ("user,item,title\n" + "\n".join(lines) + "\n").encode()
    with pytest.raises(DataError, match="line 3"):
        load_interactions(content, format="csv")
    assert load_interactions(content, format="csv", quoting="none").matrix.nnz == n_lines


def test_line_breaks_in_quotes_come_with_a_word() -> None:
    content = b'user,item,review\n1,a,"Good.\nWould buy, again"\n2,b,"Bad\n\nvery bad"\n'
    with pytest.warns(UserWarning, match="line 2 has line breaks within quotes, as 3 lines"):
        got = load_interactions(content, format="csv")
    assert got.matrix.nnz == 2
    assert got.report is not None
    assert (got.report.lines, got.report.continued, got.report.kept) == (6, 3, 2)


def test_an_id_is_an_id() -> None:
    """One ISBN has an X, so all of them are text; those in a later file look like numbers."""
    train = load_interactions(
        b"user,item\n1,034545104X\n1,2080674722\n2,3257224281\n2,2080674722\n3,034545104X\n",
        format="csv",
    )
    model = Model(
        np.zeros((3, 2)), np.ones((3, 2)), user_ids=train.user_ids, item_ids=train.item_ids
    )
    later = load_interactions(b"user,item\n9,2080674722\n9,3257224281\n", format="csv")
    assert model.fold_in_users(later).shape == (1, 2)
    assert model.item_rows([2080674722]).tolist() == model.item_rows(["2080674722"]).tolist()
    known = load_interactions(
        b"user,item\n1,2080674722\n", format="csv", user_ids=model.user_ids, item_ids=model.item_ids
    )
    assert known.matrix.shape == (3, 3)
    rows, _ = model.recommend(0, 3, exclude=known)
    assert model.item_rows(["2080674722"])[0] not in rows


@pytest.mark.parametrize(
    "ids",
    [
        list("abc"),
        np.array(list("abc")),
        np.array(list("abc"), dtype=object),
        [5, 6, 7],
        np.array([5, 6, 7], dtype=np.uint32),
        np.array([5, 6, 7], dtype=object),
        np.array([5, 6, 7], dtype=np.int8),
        pa.array([5, 6, 7]),
        pa.chunked_array([["a"], ["b", "c"]]),
        pa.array(["a", "b", "c"]).dictionary_encode(),
        pd.Index([5, 6, 7]) if pd else (5, 6, 7),
        pd.Series(list("abc"), dtype="category") if pd else ("a", "b", "c"),
        pd.Series([5, 6, 7], dtype="Int64") if pd else range(5, 8),
    ],
    ids=lambda ids: f"{type(ids).__name__} of {getattr(ids, 'dtype', type(ids[0]).__name__)}",
)
def test_every_place_takes_the_same_ids(ids: object) -> None:
    import scipy.sparse as sp

    likes = Interactions(sp.csr_array(np.eye(3, dtype=np.float32)), ids, ids)  # type: ignore[arg-type]
    trainer = Trainer(n_dims=2, n_epochs=1, temperature=0.3, device="cpu", verbose=False)
    with pytest.warns(UserWarning, match="3 of its pairs are in train too"):
        model = trainer.fit(likes, validation=likes).model_
    assert model.user_rows(ids).tolist() == [0, 1, 2]
    assert (model.recommend([0, 1, 2], 2, exclude=likes)[0] != np.arange(3)[:, None]).all()
    assert model.fold_in_users(likes).shape == (3, 3)  # one for popularity


def test_unknown_users_and_items_can_be_dropped() -> None:
    train = load_interactions(b"user,item\n1,a\n2,b\n", format="csv")
    later = b"user,item\n1,b\n3,a\n2,c\n"
    known = {"user_ids": train.user_ids, "item_ids": train.item_ids}
    with pytest.raises(DataError, match=r"user 3 is not in user_ids .*pass unknown='drop'"):
        load_interactions(later, format="csv", **known)  # type: ignore[arg-type]
    with pytest.warns(UserWarning, match="2 of 3 interactions left out"):
        got = load_interactions(later, format="csv", unknown="drop", **known)  # type: ignore[arg-type]
    assert got.matrix.toarray().tolist() == [[0, 1], [0, 0]]
    assert got.report is not None and (got.report.unknown, got.report.pairs) == (2, 1)


def test_memory_is_in_proportion_to_the_text() -> None:
    """One id of 4,000 characters among 20,000 URLs once took 1.7 GiB."""
    urls = [f"https://example.org/articles/{n}" for n in range(20_000)]
    urls[77] += "x" * 4_000
    content = ("user,item\n" + "\n".join(f"{n % 50},{url}" for n, url in enumerate(urls))).encode()
    load_interactions(content[:100_000].rsplit(b"\n", 1)[0], format="csv")  # loads pyarrow
    tracemalloc.start()
    got = load_interactions(content, format="csv")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert got.matrix.nnz == 20_000
    assert peak < 40 * len(content)
    model = Model(np.zeros((50, 2)), np.ones((20_000, 2)), item_ids=got.item_ids)
    assert model.item_rows(urls[77]) == got.item_ids.tolist().index(urls[77])


def test_nul_characters_stay(tmp_path: Path) -> None:
    got = load_interactions(pa.table({"user": ["a", "a\0"], "item": ["x", "x"]}))
    assert got.user_ids.tolist() == ["a", "a\0"]
    model = Model(np.zeros((2, 1)), np.ones((1, 1)), user_ids=got.user_ids)
    model.save(tmp_path / "model")
    assert Model.load(tmp_path / "model").user_ids.tolist() == ["a", "a\0"]


def test_unsigned_codes_and_whole_doubles() -> None:
    codes = pa.DictionaryArray.from_arrays(pa.array([0, 1], pa.uint32()), ["ann", "bob"])
    got = load_interactions(pa.table({"user": codes, "item": [1.0, 2.0]}))
    assert (got.user_ids.tolist(), got.item_ids.tolist()) == (["ann", "bob"], [1, 2])


def test_times() -> None:
    def times(*values: str) -> np.ndarray:
        lines = "".join(f"u{n},i,{value}\n" for n, value in enumerate(values))
        got = load_interactions(("user,item,t\n" + lines).encode(), format="csv", timestamp="t")
        assert got.timestamps is not None
        return got.timestamps

    assert times("5", "1700000000").tolist() == [5, 1700000000]
    assert times("0.5", "2").tolist() == [0.5, 2.0]
    for text in ("2024-01-31", "2024-01-31 00:00:00", "2024-01-31T00:00:00Z"):
        assert times(text, text).tolist() == [np.datetime64("2024-01-31", "us").item()] * 2
    with pytest.raises(DataError, match=r"line 3: timestamp 'yesterday' is neither"):
        times("2024-01-31", "yesterday")
    with pytest.raises(DataError, match=r"line 3: timestamp '' is neither"):
        times("7", "")


def test_duplicates_keep_the_last_time() -> None:
    content = b"user,item,t,n\na,x,5,1\na,y,9,1\na,x,7,2\na,x,6,4\n"
    with pytest.warns(UserWarning, match="2 duplicate rows"):
        got = load_interactions(content, format="csv", timestamp="t", weight="n")
    assert got.timestamps is not None
    assert got.matrix.toarray().tolist() == [[7, 1]]
    assert got.timestamps.tolist() == [7, 9]


def test_missing_words_and_skipped_lines() -> None:
    content = b"user,item\nann,tea\nNULL,tea\nbob,\ncai\ndee,rice\n"
    with pytest.raises(DataError, match="line 4: item '' is missing"):
        load_interactions(content, format="csv")
    with pytest.raises(DataError, match="line 3: user 'NULL' is missing"):
        load_interactions(content, format="csv", missing=["NULL"])
    with pytest.warns(UserWarning, match="3 bad lines were skipped, the first: the bytes: line 3"):
        got = load_interactions(content, format="csv", missing=["NULL"], on_bad_lines="skip")
    assert got.user_ids.tolist() == ["ann", "dee"]


def test_a_rating_that_nobody_asked_for() -> None:
    content = b"user,item,rating\nann,tea,5\nbob,tea,1\n"
    with pytest.warns(UserWarning, match="all 2 rows count as likes, .* from 1 to 5"):
        assert load_interactions(content, format="csv").matrix.nnz == 2
    assert load_interactions(content, format="csv", min_rating=1).matrix.nnz == 2
    assert load_interactions(content, format="csv", min_rating=4).matrix.nnz == 1


def test_filters_by_value() -> None:
    content = b"user,item,event\nann,tea,buy\nbob,tea,view\ncai,tea,cart\n"
    both = load_interactions(content, format="csv", where={"event": ["buy", "cart"]})
    assert both.user_ids.tolist() == ["ann", "cai"]
    assert load_interactions(content, format="csv", where={2: "buy"}, header=True).matrix.nnz == 1
    with pytest.raises(DataError, match=r"no row that where=.* keeps: .* buy, cart, view"):
        load_interactions(content, format="csv", where={"event": "sell"})
    with pytest.raises(DataError, match=r"no column 'kind'.*where="):
        load_interactions(content, format="csv", where={"kind": "buy"})
