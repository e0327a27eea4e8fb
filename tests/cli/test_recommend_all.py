"""``cml-fast recommend``: all users at once, and its filters."""

import io
import json

import numpy as np
import pyarrow.csv
import pyarrow.parquet
import pytest

from cml_fast import Model
from cml_fast._cli.app import main
from cml_fast._persistence import parts
from cml_fast._search import bulk
from cml_fast.data import load_interactions

LIKES = "user,item\nann,0\nann,1\nbob,2\nbob,3\n"


@pytest.fixture
def model(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    made = Model(
        rng.standard_normal((3, 2)), rng.standard_normal((6, 2)), user_ids=["ann", "bob", "cy"]
    )
    made.save("model")
    (tmp_path / "likes.csv").write_text(LIKES)
    (tmp_path / "more.csv").write_text("user,item\nann,4\ncy,5\n")
    return made


@pytest.fixture
def run(capsys):
    def run(*argv):
        code = main(["recommend", "model", *map(str, argv)])
        return code, *capsys.readouterr()

    return run


def test_all_users(run, model, tmp_path):
    code, out, err = run("--all", "--out", "recs.parquet", "--n", "4", "--json")
    assert code == 0, err
    assert json.loads(out) == {"out": "recs.parquet", "n_users": 3, "n": 4}
    found = pyarrow.parquet.read_table("recs.parquet").to_pydict()
    assert found["user"] == ["ann"] * 4 + ["bob"] * 4 + ["cy"] * 4
    assert found["item"] == model.recommend(range(3), 4)[0].ravel().tolist()
    options = ("--exclude=likes.csv", "--exclude=more.csv", "--filter-items=5", "--items=0,3,4,5")
    _, out, _ = run("--all", "--out", "recs.csv", *options)
    assert "recommendations for each of 3 users in recs.csv" in out
    lines = [line.split(",") for line in (tmp_path / "recs.csv").read_text().splitlines()[1:]]
    assert {(user.strip('"'), int(item)) for user, _, item, _ in lines} == {
        *(("ann", 3), ("bob", 0), ("bob", 4)),
        *(("cy", 0), ("cy", 3), ("cy", 4)),
    }


def test_all_goes_on_after_an_interruption(run, model, monkeypatch, tmp_path):
    monkeypatch.setattr(bulk, "USERS", 1)
    original, calls = parts.Parts.write, []

    def write(self, at, table):
        if at == 1 and not calls:
            calls.append(at)
            raise KeyboardInterrupt
        original(self, at, table)

    monkeypatch.setattr(parts.Parts, "write", write)
    code, _, err = run("--all", "--out", "recs.jsonl")
    assert code == 130 and "the same command goes on from the parts in recs.jsonl.parts" in err
    assert not (tmp_path / "recs.jsonl").exists()
    code, _, err = run("--all", "--out", "recs.jsonl", "--n=3")
    assert code == 3 and "made with another n: remove it to begin anew" in err
    assert run("--all", "--out", "recs.jsonl")[0] == 0
    assert len((tmp_path / "recs.jsonl").read_text().splitlines()) == 18


def test_a_full_disk(run, model, monkeypatch, tmp_path):
    def full(path):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(parts, "_sync", full)
    code, out, err = run("--all", "--out", "recs.csv")
    assert (code, out) == (3, "")
    assert "error: recs.csv: No space left on device; 0 of 1 parts are kept in" in err
    assert not (tmp_path / "recs.csv").exists()


def test_filters_of_one_user(run, model):
    for options, allowed in (
        (["--items", "1,2", "--items", "5"], {1, 2, 5}),
        (["--filter-items", "1,2"], {0, 3, 4, 5}),
        (["--exclude", "likes.csv", "--exclude", "more.csv"], {2, 3, 5}),
    ):
        _, out, _ = run("--user", "ann", *options, "--json")
        assert {entry["item"] for entry in json.loads(out)["items"]} == allowed
    _, out, _ = run("--likes", "0", "--items", "0,1,2", "--json")
    assert {entry["item"] for entry in json.loads(out)["items"]} == {1, 2}
    code, out, err = run("--user", "ann", "--items", "0,1", "--exclude", "likes.csv", "--json")
    assert code == 0 and json.loads(out)["items"] == []
    assert "nothing is left to recommend" in err


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["--all"], 2, "--all needs --out FILE"),
        (["--user=ann", "--out=a.csv"], 2, "--out needs --all or --users-file"),
        (["--user=ann", "--overwrite"], 2, "--overwrite needs --out"),
        (["--all", "--user=ann", "--out=a.csv"], 2, "not allowed with"),
        (["--all", "--out=a.txt"], 2, "--out must end in one of .parquet, .csv, .jsonl"),
        (["--all", "--out=no/a.csv"], 3, "there is no folder no"),
        (["--all", "--out=likes.csv"], 3, "give another path, or replace it with --overwrite"),
        (["--all", "--out=a.csv", "--n=0"], 2, "--n must be at least 1"),
        (["--all", "--out=a.csv", "--items=9"], 2, "the model has no item '9'"),
        (["--all", "--out=a.csv", "--device=cuda"], 4, "--device cuda cannot be used"),
        (["--user=ann", "--filter-items=0,1,2,3,4,5"], 2, "--filter-items leaves nothing"),
    ],
)
def test_wrong_usage(run, model, options, code, message):
    if code == 4:
        from cml_fast._compute.devices import cuda_problem

        if cuda_problem() is None:
            pytest.skip("there is a CUDA device")
    found, out, err = run(*options)
    assert (found, out) == (code, "")
    assert message in err.splitlines()[-1] and "Traceback" not in err


# --- several users, titles and groups ----------------------------------------------------------


@pytest.fixture
def titles(tmp_path):
    lines = ["code,name,brand", "0,Tea,a", "1,Rice,a", "2,Milk,b", "5,Oats,b", "77,Gone,c"]
    (tmp_path / "items.csv").write_text("\n".join(lines) + "\n")
    return ("--titles=items.csv", "--id-column=code", "--title-column=name")


def test_users_of_a_file(run, model, tmp_path, monkeypatch):
    (tmp_path / "users.txt").write_text("cy\n\nann\n")
    code, out, err = run("--users-file", "users.txt", "--n=2", "--exclude=likes.csv", "--json")
    assert code == 0, err
    likes = load_interactions("likes.csv", user_ids=model.user_ids, item_ids=model.item_ids)
    rows, _ = model.recommend([2, 0], 2, likes)
    found = json.loads(out)["users"]
    assert [one["user"] for one in found] == ["cy", "ann"]
    assert [[entry["item"] for entry in one["items"]] for one in found] == rows.tolist()
    _, out, _ = run("--users-file", "users.txt", "--n=2", "--exclude=likes.csv")
    assert [line.split()[:3] for line in out.splitlines()] == [
        ["user", "rank", "item"],
        *(
            [user, str(rank), str(item)]
            for user, items in zip(("cy", "ann"), rows.tolist(), strict=True)
            for rank, item in enumerate(items, 1)
        ),
    ]
    monkeypatch.setattr("sys.stdin", io.StringIO("bob\n"))
    _, out, _ = run("--users-file", "-", "--json")
    assert [one["user"] for one in json.loads(out)["users"]] == ["bob"]


@pytest.mark.parametrize("suffix", ["parquet", "csv", "jsonl"])
def test_users_of_a_file_to_a_file(run, model, titles, tmp_path, suffix):
    (tmp_path / "users.txt").write_text("cy\nann\n")
    asked = ("--users-file", "users.txt", "--n=3", f"--out=recs.{suffix}", *titles)
    code, out, err = run(*asked, "--json")
    assert code == 0, err
    assert json.loads(out) == {"out": f"recs.{suffix}", "n_users": 2, "n": 3}
    if suffix == "parquet":
        table = pyarrow.parquet.read_table("recs.parquet").to_pylist()
    elif suffix == "csv":
        table = pyarrow.csv.read_csv("recs.csv").to_pylist()
    else:
        table = [json.loads(line) for line in (tmp_path / "recs.jsonl").read_text().splitlines()]
    rows = model.recommend([2, 0], 3)[0]
    assert [row["item"] for row in table] == rows.ravel().tolist()
    assert [row["user"] for row in table] == ["cy"] * 3 + ["ann"] * 3
    assert [row["rank"] for row in table] == [1, 2, 3] * 2
    names = {0: "Tea", 1: "Rice", 2: "Milk", 5: "Oats"}
    assert [row["title"] or None for row in table] == [names.get(row["item"]) for row in table]
    code, _, err = run(*asked)
    assert code == 3 and "exists" in err and "--overwrite" in err
    assert run(*asked, "--overwrite")[0] == 0
    assert not (tmp_path / f"recs.{suffix}.parts").exists()


def test_titles_are_shown(run, model, titles, capsys):
    _, out, _ = run("--user", "ann", "--n=6", *titles, "--json")
    names = {0: "Tea", 1: "Rice", 2: "Milk", 5: "Oats"}
    assert {entry["item"]: entry["title"] for entry in json.loads(out)["items"]} == {
        **dict.fromkeys(range(6)),
        **names,
    }
    _, out, _ = run("--user", "ann", "--n=6", *titles)
    shown = {line.split()[1]: line.split()[2] for line in out.splitlines()}
    assert shown == {"item": "title", "3": "-", "4": "-", **{str(k): v for k, v in names.items()}}
    assert main(["similar", "model", "--item", "2", *titles, "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["item"], result["title"]) == (2, "Milk")
    assert {entry["title"] for entry in result["items"]} == {"Tea", "Rice", "Oats", None}


def test_groups_are_limited(run, model, titles):
    options = ("--groups=items.csv", "--group-column=brand", "--id-column=code")
    _, out, _ = run("--user", "ann", "--n=6", *options, "--max-per-group=1", "--json")
    found = [entry["item"] for entry in json.loads(out)["items"]]
    brands = ["a", "a", "b", None, None, "b"]
    rows = model.recommend(0, 6, groups=brands, max_per_group=1)[0]
    assert found == rows[rows >= 0].tolist() and len(found) == 4


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["--users-file=absent"], 3, "absent: No such file"),
        (["--users-file=empty"], 3, "empty has no ids: give one a line"),
        (["--users-file=odd"], 3, "odd is not a text in UTF-8"),
        (["--users-file=users", "--user=ann"], 2, "--users-file is not allowed with --user"),
        (["--users-file=users"], 2, "no user 'u0', 'u1', 'u2', 'u3', 'u4', ...; its 3"),
        (["--user=ann", "--titles=absent.csv"], 3, "absent.csv"),
        (["--user=ann", "--titles=items.csv"], 3, "--titles has no column 'id'"),
        (
            ["--user=ann", "--titles=items.csv", "--id-column=code"],
            3,
            "--titles has no column 'title'; the columns are: name, brand. Name the right one with "
            "--title-column",
        ),
        (["--user=ann", "--groups=items.csv"], 2, "--groups and --max-per-group need each other"),
        (["--user=ann", "--max-per-group=2"], 2, "--groups and --max-per-group need each other"),
        (["--all", "--out=a.csv", "--titles=items.csv"], 2, "--titles needs one of --user"),
    ],
)
def test_users_and_tables_that_cannot_be(run, model, titles, tmp_path, options, code, message):
    (tmp_path / "empty").write_text("\n \n")
    (tmp_path / "odd").write_bytes(b"ann\n\xff\n")
    (tmp_path / "users").write_text("".join(f"u{at}\n" for at in range(9)))
    found, out, err = run(*options)
    assert (found, out) == (code, "")
    assert message in err.splitlines()[-1] and "Traceback" not in err
