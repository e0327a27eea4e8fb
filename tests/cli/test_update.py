"""``cml-fast update``: days of new interactions, each from what the one before has left."""

import json

import numpy as np
import pytest

from cml_fast import Model, Trainer
from cml_fast._cli.saving import write_interactions
from cml_fast.data import load_interactions, synthetic

TRAIN = ("--n-epochs=2", "--n-dims=8", "--temperature=0.3", "--n-threads=1")


@pytest.fixture
def begun(run, tmp_path):
    write_interactions(synthetic(60, 40, 600).interactions, tmp_path / "likes.csv")
    (tmp_path / "monday.csv").write_text("user,item\nann,new\nann,folk-0001\nuser-00003,new\n")
    (tmp_path / "tuesday.csv").write_text("user,item\nbob,new\n")
    code, _, err = run("train", "likes.csv", *TRAIN, "--checkpoint=run", "--out=model")
    assert code == 0, err
    return run


def test_days_follow_one_another(begun, tmp_path):
    code, out, err = begun("update", "run", "monday.csv", "--likes=likes.csv", "--out=m", "--json")
    assert code == 0, err
    result = json.loads(out)
    assert (result["new_users"], result["new_items"], result["n_users"]) == (1, 1, 61)
    assert [epoch["epoch"] for epoch in result["history"]] == [2, 3, 4, 5]
    code, out, err = begun("update", "run", "tuesday.csv", "--out=m", "--overwrite")
    assert code == 0, err
    assert "1 new users, 0 new items" in out
    model = Model.load(tmp_path / "m")
    assert model.user_ids[-2:].tolist() == ["ann", "bob"]

    likes, monday, tuesday = (
        load_interactions(tmp_path / f"{name}.csv") for name in ("likes", "monday", "tuesday")
    )
    trainer = Trainer(n_epochs=2, n_dims=8, temperature=0.3, n_threads=1, verbose=False)
    trainer.fit(likes).partial_fit(monday).partial_fit(tuesday)
    np.testing.assert_array_equal(model.user_vectors, trainer.model_.user_vectors)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "monday.csv", "--out=m"], "give the same interactions with --likes"),
        (["run", "monday.csv", "--likes=monday.csv", "--out=m"], "was made with other training"),
        (["run", "monday.csv", "--likes=likes.csv", "--out=model"], "--overwrite"),
        (["nothing", "monday.csv", "--out=m"], "there is no checkpoint in"),
        (["run", "monday.csv", "--likes=likes.csv", "--out=m", "--replay=2"], "--replay must be"),
        (["run", "absent.csv", "--likes=likes.csv", "--out=m"], "absent.csv"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_cannot_be_used_changes_nothing(begun, tmp_path, arguments, message):
    before = {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir()}
    code, _, err = begun("update", *arguments)
    assert code != 0
    assert message in err
    assert {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir()} == before
    assert not (tmp_path / "m").exists()


def test_a_popularity_bias_of_the_model_alone(begun, tmp_path):
    """What is learned does not depend on it, nor what the next update begins with."""
    for flags in (("--popularity-weight=0",), ("--popularity-weight=0.1",)):
        for name in ("train likes.csv", "update run monday.csv --likes=likes.csv"):
            train = (*TRAIN, *flags, "--checkpoint=run") if name.startswith("train") else ()
            out = "-".join((name.split()[0], flags[0][-1]))
            code, _, err = begun(*name.split(), *train, f"--out={out}")
            assert code == 0, err
    for name in ("train", "update"):
        plain, biased = (Model.load(tmp_path / f"{name}-{weight}") for weight in (0, 1))
        expected = plain.with_popularity_bias(weight=0.1)
        np.testing.assert_array_equal(biased.item_vectors, expected.item_vectors)
        assert biased.item_vectors.shape[1] == 9 and biased.item_vectors[:, 8].any()


def test_features_leave_no_room_for_a_popularity_bias(begun, tmp_path):
    (tmp_path / "tags.csv").write_text("item,tag\nfolk-0001,folk\n")
    options = ("--popularity-weight=0.1", "--item-features=tags.csv", "--out=biased")
    code, _, err = begun("train", "likes.csv", *TRAIN, *options)
    assert code == 2 and "--popularity-weight 0.1 is not possible with features" in err
    assert not (tmp_path / "biased").exists()
