"""Approximate search: near to exact search, and only with the index of the same vectors."""

import builtins
from importlib.util import find_spec

import numpy as np
import pytest
import scipy.sparse as sp

from cml_fast._search.annoy import AnnoyIndex
from cml_fast._search.index import describe_index, load_index
from cml_fast.errors import ModelError
from cml_fast.model import Model

needs_annoy = pytest.mark.skipif(
    find_spec("annoy") is None,
    reason="annoy is not installed: pip install cml-fast[annoy]",
)


@pytest.fixture
def model():
    rng = np.random.default_rng(0)
    return Model(rng.standard_normal((40, 8)), rng.standard_normal((1500, 8)))


@needs_annoy
def test_looking_at_everything_is_exact(model):
    rng = np.random.default_rng(1)
    exclude = sp.csr_array((rng.random((40, 1500)) < 0.3) * 1.0)
    model = model.build_index("annoy", recall=None)
    # 50 trees of 1,500 items: this many nodes are all there are.
    found = model.recommend(range(40), 20, exclude, approximate=True, search_k=10**6)
    exact = model.recommend(range(40), 20, exclude)
    np.testing.assert_array_equal(found[0], exact[0])
    np.testing.assert_array_equal(found[1], exact[1])
    found = model.similar_items(range(100), 20, approximate=True, search_k=10**6)
    exact = model.similar_items(range(100), 20)
    np.testing.assert_array_equal(found[0], exact[0])
    np.testing.assert_array_equal(found[1], exact[1])


@needs_annoy
def test_default_search_finds_most_and_distances_are_true(model):
    model = model.build_index("annoy", recall=None)
    rows, distances = model.recommend(range(40), 10, approximate=True)
    exact, _ = model.recommend(range(40), 10)
    assert np.mean([np.isin(a, b).mean() for a, b in zip(rows, exact, strict=True)]) > 0.8
    true = np.linalg.norm(model.user_vectors[:, None] - model.item_vectors[rows], axis=2)
    np.testing.assert_allclose(distances, true, rtol=1e-5)
    assert (np.diff(distances, axis=1) >= 0).all()
    one, _ = model.recommend(3, 10, approximate=True)
    np.testing.assert_array_equal(one, rows[3])


@needs_annoy
@pytest.mark.parametrize("n_trees", [1, 10])
def test_n_are_found_whatever_is_excluded(model, n_trees):
    """Exclude the nearest 700 of each user, those that the index finds first."""
    model = model.build_index("annoy", recall=None, n_trees=n_trees)
    nearest, _ = model.recommend(range(40), 700)
    rows = np.repeat(np.arange(40), 700)
    exclude = sp.csr_array((np.ones(rows.size), (rows, nearest.ravel())), shape=(40, 1500))
    rows, distances = model.recommend(range(40), 30, exclude, approximate=True)
    assert (rows >= 0).all() and np.isfinite(distances).all()
    for user in range(40):
        assert len(set(rows[user])) == 30
        assert not np.isin(rows[user], nearest[user]).any()


@needs_annoy
def test_nasty_shapes():
    model = Model([[2.0]], [[5.0]])
    model = model.build_index("annoy", recall=None, n_trees=3)
    rows, distances = model.recommend([0], 2, approximate=True)
    assert rows.tolist() == [[0, -1]] and distances.tolist() == [[3, np.inf]]
    rows, _ = model.similar_items(0, 2, approximate=True)
    assert rows.tolist() == [-1, -1]
    rows, _ = model.recommend([], 2, approximate=True)
    assert rows.shape == (0, 2)
    model = Model(np.zeros((2, 3)), np.ones((300, 3)))
    model = model.build_index("annoy", recall=None)
    rows, distances = model.recommend([1], 300, approximate=True)
    assert rows.tolist() == [list(range(300))]
    assert (distances == np.float32(np.sqrt(3))).all()


@needs_annoy
def test_saved_with_the_model(model, tmp_path):
    model = model.build_index("annoy", recall=None, n_trees=7, seed=3)
    expected = model.recommend(range(40), approximate=True)
    model.save(tmp_path / "a")
    np.testing.assert_array_equal(model.recommend(range(40), approximate=True)[0], expected[0])
    loaded = Model.load(tmp_path / "a")
    loaded.save(tmp_path / "a")
    loaded.save(tmp_path / "b")
    for again in (loaded, Model.load(tmp_path / "a"), Model.load(tmp_path / "b")):
        found = again.recommend(range(40), approximate=True)
        np.testing.assert_array_equal(found[0], expected[0])
        np.testing.assert_array_equal(found[1], expected[1])
    Model(model.user_vectors, model.item_vectors).save(tmp_path / "a")
    assert not list((tmp_path / "a").glob("*.annoy"))


@needs_annoy
@pytest.mark.parametrize("n_items", [1, 2, 9, 60])
def test_few_items_survive_saving(tmp_path, n_items):
    rng = np.random.default_rng(n_items)
    model = Model(rng.standard_normal((5, 8)), rng.standard_normal((n_items, 8)))
    model = model.build_index("annoy", recall=None, n_trees=4)
    model.save(tmp_path)
    found = Model.load(tmp_path).recommend(range(5), 60, approximate=True)
    exact = model.recommend(range(5), 60)
    np.testing.assert_array_equal(found[0], exact[0])
    np.testing.assert_array_equal(found[1], exact[1])


@needs_annoy
def test_same_seed_same_index(model, tmp_path):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        model.build_index("annoy", recall=None, n_trees=5, seed=seed).save(tmp_path / name)
    a, b, c = (next((tmp_path / name).glob("*.annoy")).read_bytes() for name in "abc")
    assert a == b and a != c


@needs_annoy
def test_damaged_index(model, tmp_path):
    model = model.build_index("annoy", recall=None, n_trees=2)
    model.save(tmp_path)
    (path,) = tmp_path.glob("*.annoy")
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(ModelError, match=path.name):
        Model.load(tmp_path)


@needs_annoy
def test_index_of_other_vectors_is_refused(model, tmp_path):
    path = tmp_path / "index.annoy"
    index = AnnoyIndex.build(model.item_vectors, n_trees=2)
    index.save(path)
    description = describe_index(index, model.item_vectors)
    load_index(path, model.item_vectors, description)
    other = model.item_vectors.copy()
    other[3, 3] += 1
    with pytest.raises(ModelError, match="not the index of these item vectors"):
        load_index(path, other, description)
    # A file of fewer items that claims to be the right one.
    AnnoyIndex.build(model.item_vectors[:9], n_trees=2).save(path)
    with pytest.raises(ModelError, match="9 items instead of 1500"):
        load_index(path, model.item_vectors, description)
    for content in (b"", b"x" * 101):
        path.write_bytes(content)
        with pytest.raises(ModelError, match="not an Annoy index"):
            load_index(path, model.item_vectors, description)


@needs_annoy
@pytest.mark.parametrize("n_items", [1, 9, 10, 11, 200])
def test_a_forest_that_refers_to_what_does_not_exist_is_refused(tmp_path, n_items):
    """Annoy would follow the number, and crash. Leaves of 8 dimensions have up to 10 items."""
    vectors = np.random.default_rng(n_items).standard_normal((n_items, 8), dtype=np.float32)
    path = tmp_path / "index.annoy"
    index = AnnoyIndex.build(vectors, n_trees=3)
    index.save(path)
    description = describe_index(index, vectors)
    load_index(path, vectors, description)
    good = np.fromfile(path, dtype=np.int32).reshape(-1, 12)
    assert len(good) > n_items
    for node, word, value in (
        (0, 0, 5),  # an item that claims to be a leaf
        (n_items, 0, 0),
        (n_items, 2, -1),  # the first item of the first leaf
        (n_items, 2, n_items),
        (len(good) - 1, 2, 10**6),  # the first child of the last root
    ):
        nodes = good.copy()
        nodes[node, word] = value
        nodes.tofile(path)
        with pytest.raises(ModelError, match=r"is damaged|items instead of"):
            load_index(path, vectors, description)


@needs_annoy
def test_a_forest_whose_splits_have_too_many_descendants_is_refused(tmp_path):
    """Twins all the way down would be 2^depth leaves, and a search could ask for all of them."""
    vectors = np.random.default_rng(0).standard_normal((200, 8), dtype=np.float32)
    path = tmp_path / "index.annoy"
    index = AnnoyIndex.build(vectors, n_trees=3)
    index.save(path)
    nodes = np.fromfile(path, dtype=np.int32).reshape(-1, 12)
    nodes[-1, 3] = nodes[-1, 2]
    nodes.tofile(path)
    with pytest.raises(ModelError, match="is damaged"):
        load_index(path, vectors, describe_index(index, vectors))


@needs_annoy
def test_a_forest_with_other_vectors_is_refused(tmp_path):
    vectors = np.random.default_rng(0).standard_normal((200, 8), dtype=np.float32)
    path = tmp_path / "index.annoy"
    index = AnnoyIndex.build(vectors, n_trees=3)
    index.save(path)
    nodes = np.fromfile(path, dtype=np.float32).reshape(-1, 12)
    nodes[7, 5] = np.nan
    nodes.tofile(path)
    with pytest.raises(ModelError, match="is the index of other items"):
        load_index(path, vectors, describe_index(index, vectors))


@needs_annoy
@pytest.mark.parametrize("n_trees", [None, 0, -1, 2**31, "2", 2.0])
def test_index_that_is_described_wrongly(model, tmp_path, n_trees):
    index = AnnoyIndex.build(model.item_vectors, n_trees=2)
    index.save(tmp_path / "index.annoy")
    for info in ({**index.info, "n_trees": n_trees}, {}):
        with pytest.raises(ModelError, match=r"index\.annoy is described wrongly"):
            AnnoyIndex.load(tmp_path / "index.annoy", model.item_vectors, info)


@pytest.fixture
def without_annoy(monkeypatch):
    real = builtins.__import__

    def refuse(name, *args, **kwargs):
        if name == "annoy":
            raise ImportError("No module named 'annoy'")
        return real(name, *args, **kwargs)

    return lambda: monkeypatch.setattr(builtins, "__import__", refuse)


def test_not_installed(model, without_annoy):
    without_annoy()
    with pytest.raises(ImportError, match=r"pip install cml-fast\[annoy\]"):
        model.build_index("annoy", recall=None)


@needs_annoy
def test_model_loads_without_annoy(model, tmp_path, without_annoy):
    model = model.build_index("annoy", recall=None, n_trees=2)
    model.save(tmp_path)
    without_annoy()
    with pytest.warns(UserWarning, match=r"left out: .*pip install cml-fast\[annoy\]"):
        loaded = Model.load(tmp_path)
    np.testing.assert_array_equal(loaded.recommend(0)[0], model.recommend(0)[0])
    with pytest.raises(ValueError, match="build_index"):
        loaded.recommend(0, approximate=True)


@needs_annoy
def test_bad_arguments(model):
    for call, message in (
        (lambda: model.build_index("annoy", recall=None, n_trees=0), "n_trees must be between"),
        (lambda: model.build_index("annoy", seed=-1), "seed must be between"),
    ):
        with pytest.raises(ValueError, match=message):
            call()
    model = model.build_index("annoy", recall=None, n_trees=1)
    for search_k in (0, -2):
        with pytest.raises(ValueError, match="search_k"):
            model.recommend(0, approximate=True, search_k=search_k)
