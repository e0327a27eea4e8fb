"""``cml-fast tune``: goes on where it stopped, and keeps the best."""

import json
import sys

import numpy as np
import pytest

from cml_fast import Model
from cml_fast._cli.commands import tune
from cml_fast._cli.config import tomllib
from cml_fast.data import synthetic
from cml_fast.errors import TrainingDiverged
from cml_fast.trainer import Trainer

QUICK = ("--n-epochs=3", "--device=cpu", "--validation-share=0.2", "--n-threads=1")


@pytest.fixture
def file(tmp_path):
    likes = synthetic(60, 80, 900, n_tastes=3, random_state=1).interactions
    rows, columns = likes.matrix.nonzero()
    pairs = zip(likes.user_ids[rows], likes.item_ids[columns], strict=True)
    lines = ["user,item", *(f"{user},{item}" for user, item in pairs)]
    (tmp_path / "likes.csv").write_text("\n".join(lines) + "\n")
    return "likes.csv"


def trials(outcome):
    code, out, err = outcome
    assert code == 0, err
    return json.loads(out)


def test_tune_goes_on_until_there_are_so_many(run, file, tmp_path, monkeypatch):
    whole = trials(run("tune", file, *QUICK, "--trials=3", "--out=whole", "--json"))
    first = {"n_dims": 100, "learning_rate": 0.15, "n_negatives": 256, "temperature": 0.3}
    assert first.items() <= whole["trials"][0].items()

    fit = Trainer.fit
    calls = []

    def interrupted(self, *data, **options):
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return fit(self, *data, **options)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "fit", interrupted)
        code, out, err = run("tune", file, *QUICK, "--trials=3", "--out=parts", "--json")
    assert (code, out) == (130, "")
    assert "the same command goes on from the trials in parts" in err
    rest = trials(run("tune", file, *QUICK, "--trials=3", "--out=parts", "--json"))

    def without_number(result):
        return [{**trial, "trial": 0} for trial in result["trials"]]

    assert without_number(rest) == without_number(whole)
    monkeypatch.setattr(Trainer, "fit", None)  # none is needed any more
    assert trials(run("tune", file, *QUICK, "--trials=3", "--out=parts", "--json")) == rest


def test_the_best_model_and_its_config_are_kept(run, file, tmp_path):
    result = trials(run("tune", file, *QUICK, "--trials=3", "--n-dims=8", "--out=t", "--json"))
    recalls = [trial["recall@50"] for trial in result["trials"]]
    assert result["best"]["recall@50"] == max(recalls)
    config = tomllib.loads((tmp_path / "t" / "config.toml").read_text())
    assert config["n-dims"] == 8 and "n_dims" not in result["best"]
    assert config["learning-rate"] == result["best"]["learning_rate"]
    code, out, err = run("train", "--config=t/config.toml", "--out=made", "--json")
    assert code == 0, err
    assert max(report["recall"] for report in json.loads(out)["history"]) == max(recalls)
    ours, theirs = (Model.load(tmp_path / name).item_vectors for name in ("made", "t/model"))
    np.testing.assert_array_equal(ours, theirs)
    code, out, _ = run("tune", file, *QUICK, "--trials=3", "--n-dims=8", "--out=t")
    lines = out.splitlines()
    assert lines[0].split()[:4] == ["trial", "state", "recall@50", "epochs"]
    assert f"best: trial {result['best']['trial']}" in out


def test_poor_trials_are_ended_early(run, file, monkeypatch):
    monkeypatch.setattr(tune, "_STARTUP_TRIALS", 1)
    monkeypatch.setattr(tune, "_WARM_UP_EPOCHS", 0)
    monkeypatch.setattr(tune, "SPACE", {"learning_rate": tune._Range(20.0, 40.0)})
    options = ("--n-dims=8", "--temperature=0.3", "--trials=2", "--out=t", "--json")
    first, second = trials(run("tune", file, *QUICK, *options))["trials"]
    assert (first["state"], first["epochs"]) == ("complete", 3)
    assert second["state"] == "pruned" and second["epochs"] < 3


def test_trials_that_diverge_count(run, file, monkeypatch):
    def diverge(self, *data, **options):
        raise TrainingDiverged("not finite")

    monkeypatch.setattr(Trainer, "fit", diverge)
    code, out, err = run("tune", file, *QUICK, "--trials=2", "--out=t")
    assert (code, out) == (1, "") and "all trials in t diverged" in err


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (["--n-epochs=2"], 2, ["t has trials with other --n-epochs"]),
        (["--validation-share=0.3"], 2, ["t has trials with other data"]),
        (["--n-dims=8"], 2, ["t has trials with other ranges"]),
        (["--trials=0"], 2, ["--trials"]),
        (["--out=mine"], 3, ["mine is not empty and has no trials"]),
        (["--margin=0.4"], 2, ["--margin 0.4 has no effect with --loss softmax"]),
        (["--validation=likes.csv"], 2, ["--validation-share is not allowed with --validation"]),
    ],
)
def test_wrong_usage_of_tune(run, file, tmp_path, options, code, words):
    base = {word.split("=")[0]: word for word in (*QUICK, "--trials=1", "--out=t")}
    trials(run("tune", file, *base.values(), "--json"))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("precious")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    base |= {word.split("=")[0]: word for word in options}
    got, out, err = run("tune", file, *base.values())
    assert (got, out) == (code, ""), err
    for word in words:
        assert word in err.splitlines()[-1]
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_without_optuna(run, file, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    code, _, err = run("tune", file, *QUICK, "--trials=1", "--out=t")
    assert code == 1 and "pip install cml-fast[tune]" in err
