"""``cml-fast recommend``: all users at once, and its filters."""

import json

import numpy as np
import pyarrow.parquet
import pytest

from cml_fast import Model
from cml_fast._cli.app import main
from cml_fast._persistence import parts
from cml_fast._search import bulk

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
        (["--all", "--out=likes.csv"], 3, "likes.csv exists: give another path"),
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
