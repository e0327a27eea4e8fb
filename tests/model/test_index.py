"""Kinds of index: what each of them must do, and what a new one needs."""

import copy
import io
import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp

from cml_fast._persistence import folder as folders
from cml_fast._search.exact import rank_proposals
from cml_fast._search.index import KINDS
from cml_fast.errors import ModelError
from cml_fast.model import Model


class ToyIndex:
    """The file that a new kind needs: proposes items from ``first`` on."""

    kind = "toy"

    def __init__(self, vectors, info):
        self._vectors = vectors
        self.info = info

    @classmethod
    def build(cls, vectors, *, first=0):
        return cls(vectors, {"first": first})

    @classmethod
    def load(cls, path, vectors, info):
        if json.loads(path.read_text()) != "toy":
            raise ModelError(f"{path} is no toy")
        return cls(vectors, info)

    def save(self, path):
        path.write_text(json.dumps("toy"))

    def add(self, vectors):
        return type(self)(vectors, self.info)

    def efforts(self):
        return [{"most": 1}, {"most": 10**6}]

    def nearest(self, queries, n, exclude, *, most=10**6, n_threads=None):
        proposed = np.arange(self.info["first"], len(self._vectors))[:most]
        return rank_proposals(queries, self._vectors, [proposed] * len(queries), n, exclude)


@pytest.fixture(params=[*KINDS, "toy"])
def kind(request, monkeypatch):
    """Each kind in turn, and one more that gets its line in the registry."""
    monkeypatch.setitem(KINDS, "toy", ToyIndex)
    try:
        KINDS[request.param].build(np.zeros((1, 1), dtype=np.float32))
    except ImportError as error:
        pytest.skip(str(error))
    return request.param


@pytest.fixture
def model():
    rng = np.random.default_rng(0)
    return Model(rng.standard_normal((20, 4)), rng.standard_normal((30, 4)))


def assert_same(found, expected):
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)
        assert one.dtype == other.dtype


def test_every_kind_keeps_the_conventions_of_exact_search(kind, model):
    """With so few items, an index that finds n wherever there are n finds all of them."""
    model = model.build_index(kind)
    exclude = sp.csr_array((np.random.default_rng(1).random((20, 30)) < 0.5) * 1.0)
    for n in (30, 40):
        for users in (range(20), 3, []):
            found = model.recommend(users, n, exclude, approximate=True)
            assert_same(found, model.recommend(users, n, exclude))
    vectors = model.user_vectors[:2]
    found = model.recommend_from_vectors(vectors, 30, approximate=True)
    assert_same(found, model.recommend(range(2), 30))
    found = model.similar_items([4, 5], 30, approximate=True)
    assert_same(found, model.similar_items([4, 5], 30))


def test_every_kind_is_saved_and_loaded(kind, model, tmp_path):
    model = model.build_index(kind)
    model.save(tmp_path / "a")
    assert len(list((tmp_path / "a").glob(f"index-*.{kind}"))) == 1
    Model.load(tmp_path / "a").save(tmp_path / "b")
    for name in "ab":
        found = Model.load(tmp_path / name).recommend(range(20), approximate=True)
        assert_same(found, model.recommend(range(20), approximate=True))


def test_a_model_gets_an_index_without_changing(kind, model):
    indexed = model.build_index(kind)
    assert indexed is not model
    assert indexed.item_vectors is model.item_vectors
    assert indexed.user_vectors is model.user_vectors
    with pytest.raises(ValueError, match=r"needs an index: model = model\.build_index\(\)"):
        model.recommend(0, approximate=True)


def through_joblib(model):
    joblib = pytest.importorskip("joblib")
    file = io.BytesIO()
    joblib.dump(model, file)
    file.seek(0)
    return joblib.load(file)


COPIES = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "pickle": lambda model: pickle.loads(pickle.dumps(model)),
    "cloudpickle": lambda model: pickle.loads(pytest.importorskip("cloudpickle").dumps(model)),
    "joblib": through_joblib,
}


@pytest.mark.parametrize("copied", COPIES.values(), ids=COPIES)
def test_copies_have_the_index(kind, model, copied, tmp_path):
    indexed = model.build_index(kind)
    expected = indexed.recommend(range(20), approximate=True)
    again = copied(copied(indexed))
    for one in (again, indexed):  # what was copied is still of use
        assert_same(one.recommend(range(20), approximate=True), expected)
        with pytest.raises(ValueError, match="read-only"):
            one.item_vectors[0] = 1
    again.save(tmp_path / "saved")
    saved = Model.load(tmp_path / "saved")
    assert_same(saved.recommend(range(20), approximate=True), expected)
    assert_same(copied(saved).recommend(range(20), approximate=True), expected)


def test_a_pickled_index_that_cannot_be_used_is_left_out(kind, model, monkeypatch):
    pickled = pickle.dumps(model.build_index(kind))
    monkeypatch.delitem(KINDS, kind)
    with pytest.warns(UserWarning, match=f"left out: its kind '{kind}' is not one of") as caught:
        again = pickle.loads(pickled)
    assert [Path(one.filename).name for one in caught] == ["test_index.py"]
    assert_same(again.recommend(0), model.recommend(0))
    with pytest.raises(ValueError, match=r"needs an index: model = model\.build_index\(\)"):
        again.recommend(0, approximate=True)


def test_options_reach_the_index(model, monkeypatch, tmp_path):
    monkeypatch.setitem(KINDS, "toy", ToyIndex)
    model = model.build_index("toy", recall=None, first=10)
    rows, _ = model.recommend(0, 20, approximate=True)
    assert sorted(rows) == list(range(10, 30))
    rows, _ = model.recommend(0, 2, approximate=True, most=2)
    assert sorted(rows) == [10, 11]
    model.save(tmp_path)
    loaded = Model.load(tmp_path)
    rows, _ = loaded.recommend(0, 2, approximate=True, most=2)
    assert sorted(rows) == [10, 11]
    assert loaded._index._vectors is loaded.item_vectors  # not a second copy of them


def test_unknown_kinds_and_options(model, monkeypatch):
    monkeypatch.setitem(KINDS, "toy", ToyIndex)
    for kind in ("hnsw", None, 1):
        with pytest.raises(ValueError, match=r"kind must be one of \(.*'annoy'.*'toy'.*\), got"):
            model.build_index(kind)
    message = r"no option 'trees' to build an index of kind 'toy'; there are \['first'\]"
    with pytest.raises(TypeError, match=message):
        model.build_index("toy", trees=3)
    with pytest.raises(TypeError, match=r"first=1 needs a kind: one of \(.*'exact'.*, not 'auto'"):
        model.build_index(first=1)
    model = model.build_index("toy", recall=None)
    message = r"no option 'depth' to search an index of kind 'toy'; there are \['most', 'n_th"
    with pytest.raises(TypeError, match=message):
        model.similar_items(0, approximate=True, depth=3)
    with pytest.raises(ValueError, match="most=3 needs approximate=True"):
        model.similar_items(0, most=3)


def test_saved_index_of_an_unknown_kind_is_left_out(model, monkeypatch, tmp_path):
    with monkeypatch.context() as patch:
        patch.setitem(KINDS, "toy", ToyIndex)
        model.build_index("toy", recall=None).save(tmp_path)
    with pytest.warns(UserWarning, match=r"left out: its kind 'toy' is not one of \[") as caught:
        loaded = Model.load(tmp_path)
    assert caught[0].filename == __file__
    assert_same(loaded.recommend(0), model.recommend(0))
    with pytest.raises(ValueError, match="needs an index"):
        loaded.recommend(0, approximate=True)


def test_index_of_other_vectors_is_refused(kind, model, tmp_path, monkeypatch):
    """A manifest that was put together from those of two models."""
    model.build_index(kind).save(tmp_path)
    other = Model(model.user_vectors, model.item_vectors[::-1])
    vectors = {"users": other.user_vectors, "items": np.ascontiguousarray(other.item_vectors)}
    path = tmp_path / "model.json"
    manifest = json.loads(path.read_text())
    manifest["files"]["vectors.safetensors"] = folders._write_data_file(
        tmp_path, "vectors.safetensors", lambda file: folders.write_arrays(file, vectors)
    )
    body = {key: manifest[key] for key in ("kind", "info", "files")}
    manifest["checksum"] = folders._checksum(body)
    path.write_text(json.dumps(manifest))
    with pytest.raises(ModelError, match="not the index of these item vectors"):
        Model.load(tmp_path)
