"""The options that say how files are read, and files that people met."""

import gzip
import io
import json
import sys

import numpy as np
import pytest

from cml_fast.model import Model

QUICK = ("--n-dims", "4", "--n-epochs", "1", "--temperature", "0.3", "--device", "cpu", "--json")


def trained(outcome):
    code, out, err = outcome
    assert code == 0, err
    result = json.loads(out)
    return (result["n_users"], result["n_items"], result["n_interactions"]), err


def test_every_option_reaches_the_reader(run, tmp_path):
    (tmp_path / "a.txt").write_bytes(
        b'5;ann;t\xe9;buy\n6;bob;t\xe9;view\n7;NULL;milk;buy\n8;cai;"milk;buy\n9;dee;milk;buy\n'
    )
    words = ("a.txt", "--format=csv", "--delimiter=;", "--no-header", "--encoding=latin-1")
    columns = ("--user-column=1", "--item-column=2", "--timestamp-column=0", "--where", "3=buy")
    rules = ("--quoting=none", "--missing=NULL", "--on-bad-lines=skip", "--out=m", *QUICK)
    shape, err = trained(run("train", *words, *columns, *rules))
    assert shape == (3, 3, 3)
    assert Model.load(tmp_path / "m").item_ids.tolist() == ['"milk', "milk", "té"]
    assert "1 bad lines were skipped, the first: a.txt: line 3: user 'NULL' is missing" in err


def test_an_open_quote_is_named(run, tmp_path):
    (tmp_path / "a.csv").write_text('user,item\nann,x\nben,"Heroes\ncai,Can\n')
    code, out, err = run("train", "a.csv", "--out=m", *QUICK)
    assert (code, out) == (3, "")
    assert "a.csv: line 3 has a double quote that is not closed" in err
    assert not (tmp_path / "m").exists()
    assert trained(run("train", "a.csv", "--quoting=none", "--out=m", *QUICK))[0] == (3, 3, 3)


@pytest.mark.parametrize("packed", [False, True])
def test_standard_input(run, tmp_path, monkeypatch, packed):
    content = "\n".join(f"{user} {user + 1} {user + 2}" for user in range(5000)).encode()
    content = gzip.compress(content) if packed else content
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
    shape, _ = trained(run("train", "-", "--format=adjacency", "--out=m", *QUICK))
    assert shape == (5000, 5001, 10_000)


def test_a_header_is_asked_for(run, tmp_path):
    (tmp_path / "a.csv").write_text("A2X,0321732944,5.0\nA2N,0439886341,1.0\n")
    words = ("train", "a.csv", "--user-column=0", "--item-column=1", "--out=m", *QUICK)
    code, _, err = run(*words)
    assert code == 3 and "line 1 may be a header or data" in err
    assert trained(run(*words, "--no-header"))[0] == (2, 2, 2)


def test_ids_with_dashes(run, tmp_path):
    ids = {"user_ids": ["--7z", "-0aB"], "item_ids": ["--xY", "-Gr5"]}
    Model(np.zeros((2, 2)), np.ones((2, 2)), **ids).save(tmp_path / "m")
    (tmp_path / "users.txt").write_text("--7z\n\n-0aB\n")
    for given, key, wanted in (
        (("recommend", "m", "--user", "--7z"), "user", "--7z"),
        (("recommend", "m", "--user=-0aB"), "user", "-0aB"),
        (("recommend", "m", "--likes", "-Gr5,--xY"), "likes", ["--xY", "-Gr5"]),
        (("similar", "m", "--item", "--xY"), "item", "--xY"),
        (("similar", "m", "--user", "-0aB"), "user", "-0aB"),
    ):
        code, out, err = run(*given, "--json")
        assert code == 0, err
        assert json.loads(out)[key] == wanted
    _, out, _ = run("recommend", "m", "--user", "--7z", "--items", "--xY", "--json")
    assert [entry["item"] for entry in json.loads(out)["items"]] == ["--xY"]
    _, out, _ = run("recommend", "m", "--users-file", "users.txt", "--json")
    assert [one["user"] for one in json.loads(out)["users"]] == ["--7z", "-0aB"]


def test_unknown_ids(run, tmp_path):
    Model(np.zeros((2, 2)), np.ones((2, 2)), user_ids=["a", "b"]).save(tmp_path / "m")
    (tmp_path / "test.csv").write_text("user,item\na,0\nc,1\n")
    code, _, err = run("evaluate", "m", "test.csv", "--json")
    assert code == 0 and "1 of 2 interactions left out: user 'c' is not in" in err
    code, _, err = run("evaluate", "m", "test.csv", "--unknown=error")
    assert code == 3 and "user 'c' is not in" in err
