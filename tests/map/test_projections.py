"""Projections: t-SNE keeps neighbours, each gives the same again, and what is missing is said."""

import sys

import numpy as np
import pytest
from pages import OF_A_GROUP, grouped_vectors, small_model
from support.places import need

from cml_fast._map import projections
from cml_fast._map.pca import principal_plane
from cml_fast._map.projection import FEW
from cml_fast._map.projections import PROJECTIONS, choose
from cml_fast._map.space import Space
from cml_fast._map.tsne import perplexity_for

NEAR, AMONG = 10, 30
OTHERS = ("umap", "pacmap")


def kept(space, points):
    """The share of the nearest in the space that are near in the plane."""
    near, _ = space.neighbours(NEAR)
    on_map, _ = Space(points.astype(np.float32), 1).neighbours(AMONG)
    return (near[:, :, None] == on_map[:, None, :]).any(axis=2).mean()


def test_neighbours_are_exact():
    vectors, _ = grouped_vectors()
    rows, distances = Space(vectors, 1).neighbours(NEAR)
    wanted = np.linalg.norm(vectors[:, None] - vectors[None], axis=2)
    np.fill_diagonal(wanted, np.inf)
    np.testing.assert_allclose(distances, np.sort(wanted, axis=1)[:, :NEAR], rtol=1e-5)
    np.testing.assert_allclose(np.take_along_axis(wanted, rows, axis=1), distances, rtol=1e-5)


def test_fewer_neighbours_are_the_first_of_more():
    space = Space(grouped_vectors()[0], 1)
    more = [part.copy() for part in space.neighbours(20)]
    fewer = space.neighbours(5)
    assert all((few == many[:, :5]).all() for few, many in zip(fewer, more, strict=True))
    assert space.neighbours(10_000)[0].shape[1] == len(space) - 1


def test_pca_is_the_plane_of_most_variance():
    vectors, _ = grouped_vectors()
    points, variances = principal_plane(vectors)
    _, lengths, _ = np.linalg.svd(vectors - vectors.mean(axis=0), full_matrices=False)
    np.testing.assert_allclose(variances, lengths**2 / len(vectors), rtol=1e-4)
    np.testing.assert_allclose(points.var(axis=0), variances[:2], rtol=1e-4)


def test_pca_of_one_dimension_is_a_line():
    points, _ = principal_plane(np.array([[0.0], [1.0], [3.0]], dtype=np.float32))
    assert (points[:, 1] == 0).all() and len(set(points[:, 0].tolist())) == 3


@pytest.mark.slow
def test_tsne_keeps_neighbours_better_than_pca():
    need("openTSNE", "browser")
    rng = np.random.default_rng(0)
    # More directions than a plane has: in the plane of most variance, the groups cover each other.
    centres = np.repeat(rng.normal(size=(60, 20)), 15, axis=0)
    vectors = centres + 0.3 * rng.normal(size=centres.shape)
    space = Space(vectors.astype(np.float32), 1)
    by_tsne = kept(space, PROJECTIONS["tsne"].place(space, 0).points)
    by_pca = kept(space, PROJECTIONS["pca"].place(space, 0).points)
    assert by_tsne > 0.9 > 0.7 > by_pca


@pytest.mark.slow
@pytest.mark.parametrize("name", PROJECTIONS)
def test_the_same_seed_gives_the_same_places(monkeypatch, name):
    one = PROJECTIONS[name]
    if one.package is not None:
        need(one.package, "browser")
    # umap would load it for a class that maps do not use, if benchmarks have brought it here.
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    vectors, groups = grouped_vectors()
    first, again = (one.place(Space(vectors, n_threads), 3).points for n_threads in (1, 2))
    assert first.shape == (len(vectors), 2)
    np.testing.assert_array_equal(first, again)
    # The items of a group are nearer to each other than to others.
    centres = np.stack([first[groups == group].mean(axis=0) for group in set(groups.tolist())])
    within = np.linalg.norm(first - np.repeat(centres, OF_A_GROUP, axis=0), axis=1).mean()
    assert within < np.linalg.norm(centres - centres.mean(axis=0), axis=1).mean()


def test_perplexity_follows_the_number_of_points():
    assert perplexity_for(50_000) == 30
    assert perplexity_for(300_000) == 10
    assert 3 * perplexity_for(FEW) <= FEW - 1


def test_auto_without_opentsne_is_pca_and_says_why(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "openTSNE", None)
    monkeypatch.setattr(projections.TSNE.__class__, "is_installed", lambda self: False)
    model, _ = small_model()
    with pytest.warns(UserWarning, match=r"by PCA, because openTSNE is not installed: pip install"):
        assert model.map(tmp_path / "map.html")["method"] == "pca"


def test_auto_with_few_items_is_pca_and_says_why():
    chosen, why = choose("auto", FEW - 1)
    assert chosen.name == "pca" and why == f"t-SNE needs at least {FEW} items"


@pytest.mark.parametrize("method", ["tsne", *OTHERS])
def test_a_method_that_is_not_installed(monkeypatch, method):
    monkeypatch.setitem(sys.modules, PROJECTIONS[method].package, None)
    with pytest.raises(ImportError, match=f"method='{method}' needs the package .*: pip install "):
        choose(method, 100)


@pytest.mark.parametrize("method", ["tsne", *OTHERS])
def test_too_few_items_for_a_method(method):
    with pytest.raises(ValueError, match=f"method='{method}' needs at least {FEW} items"):
        choose(method, FEW - 1)
    with pytest.raises(ValueError, match=r"method must be one of .*'auto', 'tsne'.*got 'lda'"):
        choose("lda", 100)
