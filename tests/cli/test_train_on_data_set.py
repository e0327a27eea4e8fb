"""``cml-fast train`` on a data set in a folder."""

import json

import numpy as np
import pytest

from cml_fast import Model, Trainer
from cml_fast.data import Dataset, split, synthetic

TRAIN, VALIDATION = split(synthetic(60, 40, 600, n_tastes=3).interactions, (0.8, 0.2))
OPTIONS = ("--n-dims", 4, "--n-epochs", 2, "--temperature", 0.3, "--user-retention", 1.0)


@pytest.fixture
def likes(tmp_path):
    ids = {"user_ids": TRAIN.user_ids, "item_ids": TRAIN.item_ids}
    return Dataset._write(TRAIN.matrix, tmp_path / "likes", **ids).path


def test_a_folder_is_trained_on(run, likes, tmp_path):
    rows = VALIDATION.matrix.tocoo()
    pairs = zip(TRAIN.user_ids[rows.row], TRAIN.item_ids[rows.col], strict=True)
    lines = ["user,item", *(f"{user},{item}" for user, item in pairs)]
    (tmp_path / "held-out.csv").write_text("\n".join(lines))
    more = ("--validation", "held-out.csv", "--pairs-per-part", 128, "--json")
    code, out, _ = run("train", likes, "--out", "model", *OPTIONS, *more)
    assert code == 0
    result = json.loads(out)
    assert (result["n_users"], result["n_items"]) == TRAIN.matrix.shape
    assert result["n_interactions"] == TRAIN.matrix.nnz
    model = Model.load(tmp_path / "model")
    one = Trainer(
        n_dims=4, n_epochs=2, temperature=0.3, user_retention=1.0, pairs_per_part=128, verbose=False
    ).fit(TRAIN, validation=VALIDATION)
    np.testing.assert_array_equal(model.user_vectors, one.model_.user_vectors)
    np.testing.assert_array_equal(model.user_ids, TRAIN.user_ids)


def test_a_popularity_bias_needs_the_counts_of_likes_alone(run, likes, tmp_path):
    for name, flags in (("plain", ("--popularity-weight=0",)), ("biased", ())):
        code, _, err = run("train", likes, "--out", name, *OPTIONS, *flags)
        assert code == 0, err
    plain, biased = (Model.load(tmp_path / name) for name in ("plain", "biased"))
    expected = plain.with_popularity_bias(TRAIN).item_vectors
    assert expected[:, 4].any()
    np.testing.assert_array_equal(biased.item_vectors, expected)


def test_what_a_folder_cannot(run, likes):
    code, _, err = run("train", likes, "--out", "model", "--validation-share", 0.1)
    assert code != 0
    assert "--validation-share cannot split the data set" in err
    code, _, err = run("tune", likes, "--out", "trials", "--trials", 1)
    assert code != 0
    assert "tune needs likes in memory" in err


def test_a_damaged_folder(run, likes):
    (likes / "indices.npy").write_bytes(b"x")
    code, _, err = run("train", likes, "--out", "model", *OPTIONS)
    assert code != 0
    assert "indices.npy has 1 bytes instead of" in err
