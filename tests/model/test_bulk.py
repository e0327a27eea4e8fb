"""Recommendations for all users, written to a file in parts."""

import errno
import json
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pyarrow.csv
import pyarrow.parquet
import pytest
import scipy.sparse as sp

from cml_fast._persistence import parts
from cml_fast._search import bulk
from cml_fast.model import Model

M, P = 23, 40
RNG = np.random.default_rng(0)
LIKES = sp.csr_array((RNG.random((M, P)) < 0.3).astype(np.float32))
FORMATS = ("parquet", "csv", "jsonl")


def make(shift=0.0):
    rng = np.random.default_rng(1)
    return Model(
        rng.standard_normal((M, 3)) + shift,
        rng.standard_normal((P, 3)),
        user_ids=[f'u"{row}, ü' for row in range(M)],
        item_ids=np.arange(P) + 100,
    )


@pytest.fixture
def model():
    return make()


@pytest.fixture(autouse=True)
def small_parts(monkeypatch):
    monkeypatch.setattr(bulk, "USERS", 5)


def read(path):
    """The columns of a file, as lists."""
    if path.suffix == ".jsonl":
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        return {name: [line[name] for line in lines] for name in lines[0]}
    if path.suffix == ".csv":
        return pyarrow.csv.read_csv(path).to_pydict()
    return pyarrow.parquet.read_table(path).to_pydict()


def expected(model, n, exclude=None, **given):
    columns = {"user": [], "rank": [], "item": [], "distance": []}
    found = model.recommend(model.user_ids, n, exclude, ids=True, **given)
    for user, items, distances in zip(model.user_ids, *found, strict=True):
        columns["user"] += [user] * len(items)
        columns["rank"] += range(1, len(items) + 1)
        columns["item"] += items.tolist()
        columns["distance"] += [None if np.isnan(far) else far for far in distances.tolist()]
    return columns


def assert_equal(found, wanted):
    assert list(found) == list(wanted)
    for name in ("user", "rank", "item"):
        assert found[name] == wanted[name]
    for one, other in zip(found["distance"], wanted["distance"], strict=True):
        assert (one is None and other is None) or np.float32(one) == np.float32(other)


@pytest.mark.parametrize("suffix", FORMATS)
def test_the_file_has_what_recommend_gives(model, tmp_path, suffix):
    out = tmp_path / f"recs.{suffix}"
    assert model.recommend_all(out, 7, LIKES) == out
    assert_equal(read(out), expected(model, 7, LIKES))
    assert os.listdir(tmp_path) == [out.name]


def test_types(model, tmp_path):
    model.recommend_all(tmp_path / "recs.parquet", 3)
    schema = pyarrow.parquet.read_schema(tmp_path / "recs.parquet")
    assert [str(field.type) for field in schema] == ["string", "int64", "int64", "float"]


def test_filters(model, tmp_path):
    everything = sp.csr_array(np.ones((M, P), dtype=np.float32))
    everything[3, 7] = everything[4, 7] = 0
    everything.eliminate_zeros()
    brands = np.arange(P) % 3
    for at, given in enumerate(
        (
            {"exclude": everything},
            {"exclude": [LIKES, everything[:, [0]] @ LIKES[[0]]]},
            {"groups": brands, "max_per_group": 1},
        )
    ):
        out = model.recommend_all(tmp_path / f"{at}.jsonl", 5, **given)
        assert_equal(read(out), expected(model, 5, **given))
    wanted = expected(model, 5, items=range(100, 120), filter_items=[103])
    rows = {"items": range(20), "filter_items": [3]}
    names = {"items": range(100, 120), "filter_items": [103], "ids": True}
    for name, given in (("rows", rows), ("ids", names)):
        assert_equal(read(model.recommend_all(tmp_path / f"{name}.csv", 5, **given)), wanted)


@pytest.mark.parametrize("suffix", FORMATS)
def test_popular_items_have_no_distance(tmp_path, suffix):
    model = Model(
        np.ones((6, 2)), np.ones((4, 2)), user_counts=[0, 1, 0, 1, 1, 1], item_counts=[1, 2, 3, 4]
    )
    with pytest.warns(UserWarning, match="2 of 6 users have no likes") as caught:
        out = model.recommend_all(tmp_path / f"recs.{suffix}", 2)
    assert len(caught) == 1 and caught[0].filename == __file__
    found = read(out)
    assert found["item"][:4] == [3, 2, 0, 1]
    assert found["distance"][:4] == [None, None, 0, 0]
    with pytest.raises(ValueError, match="2 users have no likes in training"):
        model.recommend_all(tmp_path / f"other.{suffix}", 2, cold_users="error")


def test_an_index(model, tmp_path):
    pytest.importorskip("annoy")
    indexed = model.build_index("annoy")
    out = indexed.recommend_all(tmp_path / "a.csv", 5, approximate=True, search_k=10**6)
    assert_equal(read(out), expected(model, 5))
    with pytest.raises(ValueError, match="needs an index"):
        model.recommend_all(tmp_path / "b.csv", 5, approximate=True)
    with pytest.raises(ValueError, match="search_k=5 needs approximate=True"):
        model.recommend_all(tmp_path / "b.csv", 5, search_k=5)


# --- interruptions ----------------------------------------------------------------------------


@pytest.fixture
def stop_after(monkeypatch):
    """Let writing fail after so many files, as on a full disk."""
    original = parts._sync

    def stop_after(n, error):
        counts = iter(range(10**6))

        def sync(path):
            if path.name.startswith(parts.TEMPORARY) and next(counts) >= n:
                raise error
            original(path)

        monkeypatch.setattr(parts, "_sync", sync)

    return stop_after


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("n_written", range(7))  # files: the settings, five parts, the whole
def test_a_full_disk_and_going_on(model, tmp_path, stop_after, monkeypatch, suffix, n_written):
    out = tmp_path / f"recs.{suffix}"
    stop_after(n_written, OSError(errno.ENOSPC, "No space left on device"))
    n_done = min(max(n_written - 1, 0), 5)
    with pytest.raises(OSError, match=f"No space left on device; {n_done} of 5 parts are"):
        model.recommend_all(out, 4, LIKES)
    assert not out.exists()
    assert not list(tmp_path.rglob(f"{parts.TEMPORARY}*"))
    monkeypatch.undo()
    monkeypatch.setattr(bulk, "USERS", 5)
    computed = []
    original = bulk.table
    monkeypatch.setattr(bulk, "table", lambda *given: computed.append(1) or original(*given))
    model.recommend_all(out, 4, LIKES)
    assert len(computed) == 5 - n_done
    assert_equal(read(out), expected(model, 4, LIKES))
    assert os.listdir(tmp_path) == [out.name]


def test_a_file_that_was_there_stays_until_the_new_one_is_whole(model, tmp_path, stop_after):
    out = tmp_path / "recs.csv"
    out.write_text("old")
    with pytest.raises(FileExistsError, match=r"recs.csv exists: .* overwrite=True"):
        model.recommend_all(out, 4)
    stop_after(4, OSError(errno.ENOSPC, "No space left on device"))
    with pytest.raises(OSError, match="No space left"):
        model.recommend_all(out, 4, overwrite=True)
    assert out.read_text() == "old"
    stop_after(99, None)
    model.recommend_all(out, 4, overwrite=True)
    assert_equal(read(out), expected(model, 4))


@pytest.mark.parametrize(
    "change, name",
    [
        ({"model": make(1.0)}, "model"),
        ({"n": 5}, "n"),
        ({"exclude": LIKES}, "exclude"),
        ({"filter_items": [1]}, "items or filter_items"),
        ({"groups": [1] * P, "max_per_group": 4}, "groups"),
        ({"cold_users": "vector"}, "cold_users"),
    ],
)
def test_parts_of_other_recommendations_are_refused(model, tmp_path, stop_after, change, name):
    out = tmp_path / "recs.csv"
    stop_after(3, KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        model.recommend_all(out, 4)
    stop_after(99, None)
    change = dict(change)
    other = change.pop("model", model)
    before = sorted(os.listdir(tmp_path / "recs.csv.parts"))
    with pytest.raises(FileExistsError, match=f"parts that were made with another {name}: remove"):
        other.recommend_all(out, **{"n": 4, **change})
    assert sorted(os.listdir(tmp_path / "recs.csv.parts")) == before
    assert_equal(read(model.recommend_all(out, 4)), expected(model, 4))


def test_a_killed_process(tmp_path):
    """Killed at the third part: two are there, and what remains is computed later."""
    program = textwrap.dedent(f"""
        import os, signal, sys
        sys.path[:0] = {sys.path!r}
        from cml_fast._search import bulk
        from model.test_bulk import make
        bulk.USERS = 5
        original, calls = bulk.table, []
        def table(*given):
            calls.append(1)
            if len(calls) == 3:
                os.kill(os.getpid(), signal.SIGKILL)
            return original(*given)
        bulk.table = table
        make().recommend_all({str(tmp_path / "recs.parquet")!r}, 4)
    """)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True)
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    assert len(list((tmp_path / "recs.parquet.parts").glob("part-*.parquet"))) == 2
    out = make().recommend_all(tmp_path / "recs.parquet", 4)
    assert_equal(read(out), expected(make(), 4))


def test_progress_counts_users_and_what_is_done_already(model, tmp_path, stop_after, capsys):
    stop_after(3, KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        model.recommend_all(tmp_path / "recs.csv", 4)
    stop_after(99, None)
    model.recommend_all(tmp_path / "recs.csv", 4, progress=True)
    err = capsys.readouterr().err
    assert "10/23" in err and "23/23" in err and " 0/23" not in err
    model.recommend_all(tmp_path / "quiet.csv", 4)
    assert capsys.readouterr().err == ""


# --- what cannot be meant ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "out, arguments, error, message",
    [
        ("recs.xlsx", {}, ValueError, r"out must end in one of \.parquet, \.csv, \.jsonl, got"),
        ("absent/recs.csv", {}, FileNotFoundError, "there is no folder .*absent"),
        ("folder.csv", {}, FileExistsError, "is a folder"),
        ("taken.csv", {}, FileExistsError, "does not hold parts of taken.csv"),
        ("recs.csv", {"n": 0}, ValueError, "n must be at least 1"),
        ("recs.csv", {"items": []}, ValueError, "items allows no item"),
        ("recs.csv", {"items": [[1]] * M}, ValueError, "items must be the candidates of all"),
        ("recs.csv", {"items": [[1]]}, ValueError, "items must be the candidates of all"),
        ("recs.csv", {"device": "tpu"}, ValueError, "device must be"),
        ("recs.csv", {"overwrite": 1}, TypeError, "overwrite must be True or False"),
        ("recs.csv", {"progress": 1}, TypeError, "progress must be True or False"),
    ],
)
def test_bad_arguments(model, tmp_path, out, arguments, error, message):
    (tmp_path / "folder.csv").mkdir()
    (tmp_path / "taken.csv.parts").mkdir()
    (tmp_path / "taken.csv.parts" / "thesis.txt").write_text("mine")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(error, match=message):
        model.recommend_all(tmp_path / out, **arguments)
    assert sorted(tmp_path.rglob("*")) == before


def test_ids_that_are_no_text(tmp_path):
    model = Model([[0.0]], [[1.0]], item_ids=["\ud800"])
    with pytest.raises(ValueError, match=r"item_ids has '\\ud800', which is not valid Unicode"):
        model.recommend_all(tmp_path / "recs.csv")


def test_another_device_gives_the_same(model, tmp_path, monkeypatch, device):
    out = model.recommend_all(tmp_path / "recs.csv", 4, LIKES, device=device)
    assert_equal(read(out), expected(model, 4, LIKES))
