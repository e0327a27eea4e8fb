"""A map as a file: what it holds, that it is the same again, and that nothing in it is trusted."""

import datetime
import re
from html.parser import HTMLParser

import numpy as np
import pyarrow as pa
import pytest
import scipy.sparse as sp
from pages import OF_A_GROUP, content_of, grouped_vectors, small_model

from cml_fast import Model
from cml_fast._cli.commands import map as command
from cml_fast._map.clusters import clusters
from cml_fast._map.content import N_NEAREST, N_USERS_AROUND
from cml_fast._map.known import COLOURS
from cml_fast._map.labels import anchor
from cml_fast._map.projections import PROJECTIONS
from cml_fast._map.raw_features import feature_vectors
from cml_fast.data import Features
from cml_fast.data._ids import IdIndex

HOSTILE = ["</script><script>alert(1)</script>", '<img src=x onerror="alert(2)">', "<!--", "&lt;"]
PNG = b"\x89PNG\r\n\x1a\n" + bytes(20)


@pytest.fixture
def model():
    return small_model()[0]


@pytest.fixture
def likes():
    return small_model()[1]


@pytest.fixture
def draw(model, tmp_path):
    """Write a map by PCA; return what the page was given."""

    def draw(**arguments):
        path = tmp_path / "map.html"
        options = {"method": "pca", "overwrite": True, **arguments}
        model.map(path, **options)
        return content_of(path)

    return draw


def test_places_are_those_of_the_projection(draw, model):
    _, arrays = draw()
    points = arrays["points"].reshape(-1, 2) / 65_535 * 2 - 1
    assert np.abs(points).max() == pytest.approx(0.96, abs=1e-3)
    centred = model.item_vectors - model.item_vectors.mean(axis=0)
    _, _, axes = np.linalg.svd(centred, full_matrices=False)
    shown = centred @ axes[:2].T
    for at in (0, 1):
        assert abs(np.corrcoef(points[:, at], shown[:, at])[0, 1]) > 0.9999


def test_distances_are_those_of_the_learned_space(draw, model):
    header, arrays = draw()
    for name, around, places, k in (
        ("nearest", model.item_vectors, model.item_vectors, N_NEAREST),
        ("nearest to users", model.user_vectors, model.item_vectors, N_NEAREST),
        ("users around", model.item_vectors, model.user_vectors, N_USERS_AROUND),
    ):
        assert header[name] == k
        rows = arrays[name].reshape(-1, k)
        largest = header[f"largest of {name} distances"]
        distances = arrays[f"{name} distances"].reshape(-1, k) * (largest / 65_535)
        wanted = np.linalg.norm(around[:, None] - places[None], axis=2)
        if around is places:
            np.fill_diagonal(wanted, np.inf)
        np.testing.assert_allclose(distances, np.sort(wanted, axis=1)[:, :k], atol=largest / 65_535)
        np.testing.assert_allclose(
            np.take_along_axis(wanted, rows.astype(int), axis=1), distances, atol=largest / 65_535
        )


def test_what_is_known_of_items_and_users(draw, model, likes):
    header, arrays = draw(
        names={"item-001": "One"},
        tags={"item-000": "rock|jazz|rock", "item-002": ["jazz"]},
        dates={"item-000": 1999, "item-002": 2004.5},
        likes=likes,
        title="Mine",
    )
    assert header["title"] == "Mine"
    assert header["names"][:3] == ["item-000", "One", "item-002"]
    assert header["ids"][1] == "item-001"
    assert header["tags"] == ["jazz", "rock"]
    assert arrays["tag starts"][:4].tolist() == [0, 2, 2, 3]
    assert arrays["tag of items"].tolist() == [1, 0, 0]
    assert arrays["dates"][[0, 2]].tolist() == [1999, 2004.5] and np.isnan(arrays["dates"][1])
    assert header["dates are days"] is False
    assert arrays["likes"].tolist() == np.bincount(likes.indices, minlength=180).tolist()
    assert header["users"] == model.user_ids.tolist()
    starts = arrays["liked starts"]
    for user in (0, 7):
        found = arrays["liked"][starts[user] : starts[user + 1]].tolist()
        assert found == likes.indices[likes.indptr[user] : likes.indptr[user + 1]].tolist()
    assert len(header["clusters"]) == 8
    assert arrays["clusters"].max() == 7


def test_columns_of_a_table_and_values_in_order(draw):
    table = pa.table(
        {
            "key": ["item-003", "item-001"],
            "title": ["Three", None],
            "day": [datetime.date(1970, 1, 3), datetime.date(1969, 12, 31)],
            "genres": ["a|b", None],
        }
    )
    header, arrays = draw(
        item_metadata=table, id_column="key", names="title", tags="genres", dates="day"
    )
    assert header["names"][:4] == ["item-000", "item-001", "item-002", "Three"]
    assert arrays["dates"][[1, 3]].tolist() == [-1, 2] and header["dates are days"] is True
    assert sorted(header["tags"]) == ["a", "b"]
    in_order, _ = draw(names=np.array([f"n{row}" for row in range(180)]))
    assert in_order["names"][179] == "n179"


def test_features_give_tags_and_a_second_map(draw, model):
    _, groups = grouped_vectors()
    rows = np.arange(10, 180)  # the first ten have none
    columns = groups[rows]
    matrix = sp.csr_array((np.ones(170, dtype=np.float32), (rows, columns)), shape=(180, 12))
    features = Features(matrix, model.item_ids, np.array([f"tag{at}" for at in range(12)]))
    header, arrays = draw(features=features)
    assert arrays["raw rows"].tolist() == rows.tolist()
    points = arrays["raw points"].reshape(-1, 2)
    for group in range(1, 12):  # the same features are at the same place
        assert len(np.unique(points[columns == group], axis=0)) == 1
    assert sorted(header["tags"]) == sorted(f"tag{at}" for at in range(12))
    assert set(header["methods"]) == {"learned", "raw"}
    assert header["colour"] == "tag"
    assert len(header["tag anchors"]) == 12
    for tag, item in header["tag anchors"]:  # a name stands at an item that has the tag
        assert header["tags"][tag] == f"tag{item // OF_A_GROUP}"


def test_the_first_tag_is_the_heaviest_then_the_rarest(draw, model):
    """It is the one that colours the item."""
    matrix = np.zeros((180, 3), dtype=np.float32)
    matrix[:, 0] = 1  # in all items
    matrix[:20, 1] = 1
    matrix[0, 2] = 5
    matrix[1, 0] = 7
    features = Features(sp.csr_array(matrix), model.item_ids, np.array(["all", "rare", "own"]))
    header, arrays = draw(tags=features)
    starts = arrays["tag starts"]
    of_item = [
        [header["tags"][tag] for tag in arrays["tag of items"][starts[row] : starts[row + 1]]]
        for row in range(3)
    ]
    assert of_item == [["own", "rare", "all"], ["all", "rare"], ["rare", "all"]]


def test_a_name_stands_where_most_of_a_group_are():
    rng = np.random.default_rng(0)
    crowd = np.array([0.5, 0.5]) + 0.02 * rng.normal(size=(30, 2))
    points = np.vstack([[[-0.9, -0.9]] * 5, rng.uniform(-1, 1, (20, 2)), crowd])
    assert anchor(points, np.arange(len(points))) >= 25
    assert anchor(points, np.arange(5)) == 0
    assert anchor(np.array([[1.0, 1.0], [-1.0, -1.0]]), np.array([0])) == 0  # at the edge


def test_many_features_keep_the_distances_that_fewer_directions_hold():
    """Of items without regard to how many features they have: rows of length 1."""
    rng = np.random.default_rng(0)
    dense = rng.uniform(0, 1, (180, 20)) @ rng.uniform(0, 1, (20, 90))
    dense[5] = 0
    vectors, rows = feature_vectors(dense, IdIndex("item", None, 180), 0)
    assert vectors.shape == (179, 50) and rows.tolist() == [*range(5), *range(6, 180)]
    unit = dense[rows] / np.linalg.norm(dense[rows], axis=1, keepdims=True)
    for one, other in ((0, 1), (3, 100), (178, 20)):
        wanted = np.linalg.norm(unit[one] - unit[other])
        assert np.linalg.norm(vectors[one] - vectors[other]) == pytest.approx(wanted, rel=1e-3)
    again, _ = feature_vectors(dense, IdIndex("item", None, 180), 0)
    np.testing.assert_array_equal(vectors, again)


def test_clusters_are_the_groups_where_there_are_eight():
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(8), [80, 70, 60, 50, 40, 30, 20, 10])
    vectors = 10 * rng.normal(size=(8, 5))[groups] + 0.1 * rng.normal(size=(360, 5))
    assert clusters(vectors.astype(np.float32), rng).tolist() == groups.tolist()
    assert set(clusters(np.ones((4, 2), dtype=np.float32), rng).tolist()) == {0}


def test_only_users_with_likes_are_drawn(tmp_path):
    model, _ = small_model()
    counts = model.user_counts.copy()
    counts[:20] = 0
    some = Model(
        model.user_vectors,
        model.item_vectors,
        user_counts=counts,
        item_counts=model.item_counts,
    )
    some.map(tmp_path / "a.html", method="pca")
    assert content_of(tmp_path / "a.html")[0]["users"] == [str(row) for row in range(20, 30)]
    some.map(tmp_path / "b.html", method="pca", n_users=0)
    header, arrays = content_of(tmp_path / "b.html")
    assert header["users"] == [] and "users around" not in arrays
    some.map(tmp_path / "c.html", method="pca", n_users=4)
    assert len(content_of(tmp_path / "c.html")[0]["users"]) == 4


def test_pictures_of_files_and_addresses(draw, tmp_path):
    (tmp_path / "a.png").write_bytes(PNG)
    header, _ = draw(
        images={"item-000": tmp_path / "a.png", "item-001": "https://img.example:8443/b.jpg"}
    )
    assert header["pictures"]["0"].startswith("data:image/png;base64,iVBOR")
    assert header["pictures"]["1"] == "https://img.example:8443/b.jpg"
    text = (tmp_path / "map.html").read_text()
    assert "img-src data: https://img.example:8443;" in text
    draw()
    assert "img-src data:;" in (tmp_path / "map.html").read_text()


@pytest.mark.parametrize("method", ["pca", pytest.param("tsne", marks=pytest.mark.slow)])
def test_the_same_seed_gives_the_same_bytes(model, likes, tmp_path, method):
    if method == "tsne":
        pytest.importorskip("openTSNE")
    one, other, different = (tmp_path / f"{at}.html" for at in range(3))
    for path, seed, n_threads in ((one, 5, 1), (other, 5, 2), (different, 6, 1)):
        model.map(
            path, method=method, likes=likes, n_users=9, random_state=seed, n_threads=n_threads
        )
    assert one.read_bytes() == other.read_bytes()
    assert one.read_bytes() != different.read_bytes()


class Scripts(HTMLParser):
    """Counts elements, and collects the addresses that a page would load."""

    def __init__(self):
        super().__init__()
        self.tags = []
        self.loaded = []

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.loaded += [value for name, value in attributes if name in ("src", "href", "srcset")]


def test_no_text_of_the_caller_is_html(model, tmp_path):
    def parsed(**arguments):
        path = tmp_path / "map.html"
        model.map(path, method="pca", overwrite=True, **arguments)
        text = path.read_text()
        scripts = Scripts()
        scripts.feed(text)
        return text, scripts

    _, plain = parsed()
    hostile = dict(zip(model.item_ids.tolist(), HOSTILE, strict=False))
    text, scripts = parsed(
        names=hostile, tags={id: [name] for id, name in hostile.items()}, title=HOSTILE[1]
    )
    assert scripts.tags == plain.tags and scripts.loaded == plain.loaded == []
    for name in HOSTILE[:2]:
        assert name not in text
    assert content_of(tmp_path / "map.html")[0]["names"][:4] == HOSTILE


def test_nothing_is_loaded_and_only_the_own_script_runs(draw, tmp_path):
    draw()
    text = (tmp_path / "map.html").read_text()
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', text)[1]
    assert policy.startswith("default-src &#x27;none&#x27;; script-src &#x27;sha256-")
    assert "unsafe-inline" not in policy.split("style-src")[0]
    assert "%%" not in text


@pytest.mark.parametrize("n", [1, 2, 3])
def test_models_of_hardly_any_items(tmp_path, n):
    model = Model(np.ones((1, 1)), np.ones((n, 1)))
    model.map(tmp_path / "map.html", method="pca")
    header, arrays = content_of(tmp_path / "map.html")
    assert len(header["names"]) == n and arrays["points"].shape == (2 * n,)


def test_the_command_has_the_words_of_the_library():
    assert ("auto", *PROJECTIONS) == command.METHODS
    assert command.COLOURS == COLOURS
