"""The demonstration: honest numbers, and the files that it promises."""

import json
import shlex

import pytest

from cml_fast._cli import app, demo
from cml_fast.data import load_interactions, synthetic
from cml_fast.evaluation import evaluate
from cml_fast.model import Model

PAGE = b"<!DOCTYPE html>"


@pytest.fixture(scope="module")
def small():
    return synthetic(200, 150, 4000, n_tastes=6, noise=0.05, random_state=2)


@pytest.fixture
def run(tmp_path, monkeypatch, capsys, small):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(demo, "planted_likes", lambda: small)

    def run(*argv):
        code = app.main(["demo", *map(str, argv)])
        return code, *capsys.readouterr()

    return run


def test_demo_writes_and_says_what_it_promises(run, tmp_path, small):
    code, out, err = run()
    assert code == 0, err
    folder = tmp_path / "demo-output"
    names = {"map.html", "model", "test.csv", "train.csv", "validation.csv"}
    assert {path.name for path in folder.iterdir()} == names
    assert (folder / "map.html").read_bytes().startswith(PAGE)
    assert Model.load(folder / "model").item_ids.tolist() == list(small.interactions.item_ids)
    for words in ("recall@10", "recall@50", "most popular items", "random items", "map.html"):
        assert words in out
    code, _, err = run()
    assert code == 3 and "--overwrite" in err and "training" not in err
    assert run("--overwrite")[0] == 0


def test_demo_numbers_are_those_of_its_files(run, tmp_path):
    _, out, _ = run("--out", "d", "--json")
    result = json.loads(out)
    assert set(result["files"]) == {"model", "map", "train", "validation", "test"}
    model = Model.load(tmp_path / "d" / "model")
    ids = {"user_ids": model.user_ids, "item_ids": model.item_ids}
    parts = [
        load_interactions(tmp_path / "d" / f"{name}.csv", **ids)
        for name in ("train", "validation", "test")
    ]
    assert sum(part.matrix.nnz for part in parts) == 4000
    measured = evaluate(model, parts[2], parts[:2], (10, 50)).recall
    ours, popular, random = result["recall"].values()
    assert ours == pytest.approx({f"recall@{k}": value for k, value in measured.items()})
    assert ours["recall@10"] > popular["recall@10"] > random["recall@10"]

    known = (parts[0].matrix + parts[1].matrix).toarray() > 0
    for example in result["recommendations"]:
        row = model.user_rows(example["user"])
        assert known[row].sum() == example["n_liked"]
        assert known[row, model.item_rows(example["liked"])].all()
        items = model.item_rows([entry["item"] for entry in example["recommended"]])
        assert not known[row, items].any()
        hits = parts[2].matrix.toarray()[row, items] > 0
        assert hits.tolist() == [entry["in_test"] for entry in example["recommended"]]


def test_what_the_demo_says_to_try_next_works(run, tmp_path, capsys, small):
    _, out, _ = run()
    recommend, similar = (
        shlex.split(line)[1:] for line in out.splitlines() if line.startswith("  cml-fast ")
    )
    assert app.main([*recommend, "--n=150", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    rows = [
        load_interactions(tmp_path / "demo-output" / f"{part}.csv")
        for part in ("train", "validation")
    ]
    known = {
        item
        for part in rows
        for item in part.item_ids[
            part.matrix[[list(part.user_ids).index(result["user"])]].nonzero()[1]
        ]
    }
    found = {entry["item"] for entry in result["items"]}
    assert known and not known & found and len(known | found) == 150
    assert app.main(similar) == 0


def test_demo_with_own_data(run, tmp_path, small):
    matrix = small.interactions.matrix.tocoo()
    lines = (f"{row};{column}" for row, column in zip(matrix.row, matrix.col, strict=True))
    (tmp_path / "own.csv").write_text("\n".join(lines) + "\n")
    code, out, err = run("--data", "own.csv", "--delimiter=;", "--no-header", "--json")
    assert code == 0, err
    assert set(json.loads(out)["files"]) == {"model", "map"}
    assert (tmp_path / "demo-output" / "map.html").read_bytes().startswith(PAGE)
    assert run("--data", "own.csv", "--delimiter=;", "--no-header", "--overwrite")[0] == 0


def test_demo_refuses_what_it_cannot_use(run, tmp_path):
    (tmp_path / "few.csv").write_text("user,item\na,x\nb,y\n")
    code, out, err = run("--data", "few.csv")
    assert (code, out) == (3, "")
    assert "cml-fast: error: " in err.splitlines()[-1] and "Traceback" not in err
    assert run("--data", "absent.csv")[0] == 3
    assert not (tmp_path / "demo-output").exists()
    (tmp_path / "demo-output").write_text("mine")
    code, _, err = run()
    assert code == 3 and "training" not in err  # refused before the work, not after
    assert (tmp_path / "demo-output").read_text() == "mine"
