"""The comparison of recommenders: its rankings, and a tiny run of all of it."""

import json
import sys

import numpy as np
import pytest
import scipy.sparse as sp

from benchmarks import accuracy, ranking
from benchmarks.peers import ALL, Data
from benchmarks.peers.simple import ease
from cml_fast import Model
from cml_fast.data import synthetic
from cml_fast.evaluation import evaluate

LIKES = synthetic(80, 60, 1100, random_state=2).interactions.matrix


def parts():
    rng = np.random.default_rng(0)
    kept = rng.random(LIKES.nnz) < 0.7
    train, test = LIKES.copy(), LIKES.copy()
    train.data, test.data = kept.astype(np.float32), (~kept).astype(np.float32)
    train.eliminate_zeros()
    test.eliminate_zeros()
    return train, test


def test_scores_of_distances_are_judged_as_a_model_is():
    rng = np.random.default_rng(1)
    users, items = rng.normal(size=(80, 5)), rng.normal(size=(60, 5))
    train, test = parts()
    wanted = evaluate(Model(users, items), test, exclude=train, ks=(5, 20, 90))
    found = ranking.evaluate(ranking.Scores.of_distances(users, items), test, train, (5, 20, 90))
    np.testing.assert_array_equal(found.users, wanted.users)
    for k in (5, 20, 90):
        np.testing.assert_allclose(found.recall_per_user[k], wanted.recall_per_user[k])
        np.testing.assert_allclose(found.ndcg_per_user[k], wanted.ndcg_per_user[k])


def test_ease_solves_its_problem():
    """B minimises |X - X B|^2 + weight |B|^2 among matrices with a zero diagonal."""
    train, _ = parts()
    scores = next(ease(Data(train), {"weight": 3.0}, 0))
    x, b = train.toarray().astype(np.float64), scores.items.T.astype(np.float64)
    assert not np.diag(b).any()
    gradient = x.T @ (x @ b - x) + 3.0 * b
    np.testing.assert_allclose(gradient - np.diag(np.diag(gradient)), 0, atol=1e-3)
    np.testing.assert_allclose(scores.users.toarray(), x)


def test_the_most_popular_come_first():
    train, _ = parts()
    scores = next(ALL["most popular"].train(Data(train), {}, 0))
    ranked = ranking.rank(scores, np.arange(80), sp.csr_array(train.shape), 60)
    counts = np.bincount(train.indices, minlength=60)[ranked]
    assert (np.diff(counts, axis=1) <= 0).all()


@pytest.mark.parametrize("name", ["EASE", "CML, the paper's loss", "CML, softmax"])
def test_peers_learn(name):
    """Better than by chance, and never what is left out."""
    train, test = parts()
    peer = ALL[name]
    epochs = peer.train(Data(train), peer.first, 0)
    for _ in range(0, min(peer.n_epochs, 5), peer.every):
        scores = next(epochs)
    epochs.close()
    recall = ranking.evaluate(scores, test, train, (10,)).recall[10]
    assert recall > 1.5 * 10 / 60
    ranked = ranking.rank(scores, np.arange(80), train, 60)
    for user, row in enumerate(ranked):
        assert not np.isin(row[row >= 0], train[[user]].indices).any()
        assert (row >= 0).sum() == 60 - train[[user]].nnz


def test_a_tiny_run_goes_on_where_it_ended(tmp_path, monkeypatch, capsys):
    pytest.importorskip("optuna", reason="the comparison needs optuna: pip install cml-fast[bench]")
    file = tmp_path / "likes.csv"
    coo = sp.coo_array(LIKES)
    rows = [f"u{user},i{item}" for user, item in zip(coo.row, coo.col, strict=True)]
    file.write_text("\n".join(["user,item", *rows]))
    rows = ["most popular", "EASE", "CML, softmax"]
    arguments = ["--data", str(file), "--trials", "2", "--seeds", "0", "1", "--patience", "2"]
    arguments += ["--work", str(tmp_path / "work"), "--rows", *rows]
    outs = []
    for n in range(2):
        out = tmp_path / f"{n}.json"
        monkeypatch.setattr(sys, "argv", ["accuracy", *arguments, "--out", str(out)])
        accuracy.main()
        outs.append(json.loads(out.read_text())["results"]["likes.csv"])
        trained = capsys.readouterr().err.count("CML, softmax: {")
        assert trained == (2 if n == 0 else 0)
    assert outs[0]["rows"] == outs[1]["rows"]
    assert list(outs[0]["rows"]) == rows
    assert outs[0]["compared"]["CML, softmax"]["against"] in rows[:2]
    for row in outs[0]["rows"].values():
        assert [run["seed"] for run in row["test"]] == [0, 1]
