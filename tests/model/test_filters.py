"""Filters of recommend and its relatives, against a slow search in plain Python."""

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from cml_fast._search import filtered
from cml_fast._search.exact import rank_proposals
from cml_fast._search.index import KINDS
from cml_fast.data import Interactions
from cml_fast.errors import DataError
from cml_fast.model import Model

M, P = 9, 60
RNG = np.random.default_rng(0)
USERS = RNG.integers(-2, 3, (M, 3)).astype(np.float32)  # a grid: many distances are equal
ITEMS = RNG.integers(-2, 3, (P, 3)).astype(np.float32)
LIKES = sp.csr_array((RNG.random((M, P)) < 0.3).astype(np.float32))
# Most items are of one brand, so that a search has to look far; some are of none.
BRANDS = np.array([None, "a", "b", "c", float("nan")], dtype=object)[
    RNG.choice(5, P, p=[0.04, 0.8, 0.06, 0.06, 0.04])
]


class Sloppy:
    """An index that proposes what is asked for among every third item only, the nearest first."""

    kind = "sloppy"

    def __init__(self, vectors):
        self._vectors, self.info = vectors, {}

    @classmethod
    def build(cls, vectors):
        return cls(vectors)

    def nearest(self, queries, n, exclude, *, n_threads=None):
        proposals = []
        for query in queries:
            known = np.arange(0, len(self._vectors), 3)
            order = np.argsort(np.linalg.norm(self._vectors[known] - query, axis=1))
            proposals.append(known[order[:n]])
        return rank_proposals(queries, self._vectors, proposals, n, exclude)


@pytest.fixture
def model():
    return Model(
        USERS,
        ITEMS,
        user_ids=[f"u{row}" for row in range(M)],
        item_ids=[f"i{row}" for row in range(P)],
    )


def slow(vector, n, may, groups=None, most=0):
    """Sort all that may be found by distance and row, and take the first n within the limit."""
    lengths = np.linalg.norm(ITEMS.astype(float) - vector, axis=1).astype(np.float32)
    found, counts = [], {}
    for row in np.argsort(lengths, kind="stable"):
        label = None if groups is None else groups[row]
        limited = groups is not None and label is not None and label == label
        if not may[row] or len(found) == n or (limited and counts.get(label, 0) == most):
            continue
        counts[label] = counts.get(label, 0) + 1
        found.append(row)
    pad = n - len(found)
    return found + [-1] * pad, lengths[found].tolist() + [np.inf] * pad


@pytest.mark.parametrize("approximate", [False, True])
@pytest.mark.parametrize("most", [None, 1, 3])
@settings(deadline=None, max_examples=80)
@given(
    n=st.integers(1, 80),
    excluded=st.sampled_from([0.0, 0.3, 0.95, 1.0]),
    kind=st.sampled_from(["all", "allowed", "mask", "lists", "matrix"]),
    n_candidates=st.integers(1, P),
    n_blocked=st.integers(0, P // 2),
    seed=st.integers(0, 2**32 - 1),
)
def test_equals_a_slow_search(n, excluded, kind, n_candidates, n_blocked, most, approximate, seed):
    rng = np.random.default_rng(seed)
    users = rng.integers(0, M, 5)
    exclude = sp.csr_array((rng.random((M, P)) < excluded).astype(np.float32))
    blocked = rng.choice(P, n_blocked, replace=False)
    given_items, may = None, np.ones((5, P), dtype=bool)
    if kind in ("allowed", "mask"):
        some = np.append(
            rng.choice(P, n_candidates, replace=False), np.setdiff1d(range(P), blocked)[0]
        )
        may[:] = np.isin(np.arange(P), some)
        given_items = some if kind == "allowed" else may[0]
    elif kind in ("lists", "matrix"):
        may = rng.random((5, P)) < rng.random((5, 1))
        given_items = sp.csr_array(may * 1.0)
        if kind == "lists":
            given_items = [rng.permutation(np.flatnonzero(row)) for row in may]
    may = may & (exclude.toarray()[users] == 0)
    may[:, blocked] = False
    groups = None if most is None else BRANDS
    model = Model(USERS, ITEMS)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(filtered, "GROWTH", 2)
        patch.setattr(filtered, "MOST_OF_INDEX", 1)
        patch.setattr(filtered, "RESULTS", 50)
        rows, distances = model._with(_index=Sloppy(model.item_vectors)).recommend(
            users,
            n,
            exclude,
            items=given_items,
            filter_items=blocked if n_blocked else None,
            groups=groups,
            max_per_group=most,
            approximate=approximate,
        )
    for at, user in enumerate(users):
        expected = slow(USERS[user], n, may[at], groups, most)
        if not approximate:  # what an index finds depends on it, but not how many
            assert rows[at].tolist() == expected[0]
            assert distances[at].tolist() == expected[1]
            continue
        found = rows[at][rows[at] >= 0]
        assert may[at][found].all() and len(set(found)) == len(found)
        true = np.linalg.norm(ITEMS[found].astype(float) - USERS[user], axis=1)
        assert distances[at][: len(found)].tolist() == true.astype(np.float32).tolist()
        if groups is None:
            assert len(found) == np.count_nonzero(np.array(expected[0]) >= 0)
        else:
            labels = [label for label in BRANDS[found] if label is not None and label == label]
            assert max([labels.count(label) for label in labels], default=0) <= most


def test_an_index_that_finds_enough_is_not_searched_exactly(model, monkeypatch):
    monkeypatch.setitem(KINDS, "sloppy", Sloppy)
    found = model.build_index("sloppy", recall=None).recommend(range(M), 5, approximate=True)[0]
    assert (found % 3 == 0).all()
    asked = []

    def nearest(self, queries, n, exclude, *, n_threads=None):
        asked.append(n)
        return (found[: len(queries)],) * 2

    monkeypatch.setattr(Sloppy, "nearest", nearest)
    # Half of the items are allowed, so that it is asked for more; then they are too many to ask.
    model.build_index("sloppy", recall=None).recommend(0, 1, filter_items=[1], approximate=True)
    model.build_index("sloppy", recall=None).recommend(0, 1, items=range(30), approximate=True)
    assert asked == []
    large = Model(USERS, np.tile(ITEMS, (10, 1))).build_index("sloppy", recall=None)
    large.recommend(0, 1, items=np.arange(600) % 2 == 0, approximate=True)
    assert asked == [6]


def test_popular_items_pass_the_filters():
    counts = np.arange(P)[::-1]
    model = Model(USERS, ITEMS, user_counts=np.zeros(M, dtype=int), item_counts=counts)
    for given_items, expected in (
        ({"filter_items": [0, 2]}, [1, 3, 4]),
        ({"items": [40, 7, 30]}, [7, 30, 40]),
        ({"items": [[40, 7, 30]]}, [7, 30, 40]),
        ({"items": [[7]]}, [7, -1, -1]),
        ({"groups": np.arange(P) // 4, "max_per_group": 1}, [0, 4, 8]),
    ):
        with pytest.warns(UserWarning, match="1 of 1 users have no likes"):
            rows, distances = model.recommend([3], 3, **given_items)
        assert rows.tolist() == [expected]
        assert np.isnan(distances[rows >= 0]).all()


def test_candidates_alone_are_all_ranked(model):
    candidates = [[5, 9, 1], [2], []]
    rows, distances = model.recommend([0, 1, 2], items=candidates)
    assert rows.shape == (3, 3)
    assert (rows >= 0).sum(axis=1).tolist() == [3, 1, 0]
    assert set(rows[0]) == {5, 9, 1}
    ranked = rows[0].astype(int)
    np.testing.assert_array_equal(distances[0], model.distances(0, ranked))
    assert model.recommend(0, items=range(25))[0].shape == (25,)
    assert model.recommend(0, items=np.arange(P) < 25)[0].shape == (25,)
    assert model.recommend(0, items=np.array([[4, 6]]))[0].shape == (2,)
    assert model.recommend(0)[0].shape == (10,)


# --- exclude ----------------------------------------------------------------------------------


def test_exclude_as_rows_of_the_users_asked_for(model):
    users = [4, 2, 4]
    expected = model.recommend(users, 20, LIKES)[0]
    np.testing.assert_array_equal(model.recommend(users, 20, LIKES[users])[0], expected)
    np.testing.assert_array_equal(model.recommend(2, 20, LIKES[[2]])[0], expected[1])
    named = model.recommend(["u4", "u2", "u4"], 20, LIKES[users], ids=True)[0]
    assert [each.tolist() for each in named] == [[f"i{row}" for row in rows] for rows in expected]
    # A matrix of all users is taken by row number, in whatever order they are asked for.
    backwards = np.arange(M)[::-1]
    np.testing.assert_array_equal(
        model.recommend(backwards, 20, LIKES)[0], model.recommend(range(M), 20, LIKES)[0][::-1]
    )
    with pytest.raises(DataError, match=r"shape \(9, 60\) .*, or a row for each of the 2 users"):
        model.recommend([0, 1], 5, LIKES[:3])


def test_exclude_as_a_list(model):
    other = sp.csr_array((np.random.default_rng(3).random((M, P)) < 0.3).astype(np.float32))
    both = sp.csr_array(((LIKES + other).toarray() != 0).astype(np.float32))
    named = Interactions(other, model.user_ids, model.item_ids)
    expected = model.recommend(range(M), 30, both)[0]
    for several in ([LIKES, other], (LIKES, named), [LIKES, None, other]):
        np.testing.assert_array_equal(model.recommend(range(M), 30, several)[0], expected)
    np.testing.assert_array_equal(model.recommend([3], 30, [LIKES, other[[3]]])[0], expected[[3]])
    assert model.recommend(0, 5, [])[0].tolist() == model.recommend(0, 5)[0].tolist()
    with pytest.raises(TypeError, match=r"exclude\[1\] must be a scipy.sparse matrix"):
        model.recommend(0, 5, [LIKES, "train.csv"])


# --- ids --------------------------------------------------------------------------------------


def test_ids_in_and_out(model):
    rows, distances = model.recommend([3, 1], 7, LIKES, items=range(40), filter_items=[2, 3])
    names, lengths = model.recommend(
        ["u3", "u1"],
        7,
        LIKES,
        items=[f"i{row}" for row in range(40)],
        filter_items={"i2", "i3"},
        ids=True,
    )
    assert [each.tolist() for each in names] == [[f"i{row}" for row in each] for each in rows]
    np.testing.assert_array_equal(lengths, distances)
    one, _ = model.recommend("u3", 7, LIKES, items=model.item_ids[:40], ids=True)
    assert one.shape == (7,) and isinstance(one[0], str)
    vectors = model.recommend_from_vectors(USERS[3], 7, ids=True)[0]
    assert vectors.tolist() == model.recommend("u3", 7, ids=True)[0].tolist()


def test_no_id_stands_for_what_is_missing(model):
    everything = sp.csr_array(np.ones((M, P), dtype=np.float32))
    everything[2, 7] = 0
    everything.eliminate_zeros()
    names, distances = model.recommend(["u2", "u5"], 3, everything, ids=True)
    assert [each.tolist() for each in names] == [["i7"], []]
    assert [len(each) for each in distances] == [1, 0]
    assert model.recommend("u5", 3, everything, ids=True)[0].tolist() == []
    assert len(model.recommend("u0", P + 5, ids=True)[0]) == P


def test_integer_ids():
    model = Model(USERS, ITEMS, user_ids=range(100, 100 + M), item_ids=range(500, 500 + P))
    rows, _ = model.recommend(2, 4, items=[7, 8, 9])
    names, _ = model.recommend(102, 4, items=[507, 508, 509], ids=True)
    assert names.tolist() == [500 + row for row in rows if row >= 0]
    with pytest.raises(ValueError, match="the model has no user 2 "):
        model.recommend(2, ids=True)


# --- similar items and users ------------------------------------------------------------------


def test_the_item_itself_first(model):
    twins = Model(USERS, ITEMS[[0, 0, 1, 0]])
    rows, distances = twins.similar_items([1, 3], 3, include_self=True)
    assert rows.tolist() == [[1, 0, 3], [3, 0, 1]] and (distances == 0).all()
    assert twins.similar_items(2, 1, include_self=True)[0].tolist() == [2]
    assert twins.similar_users(1, 3, include_self=True)[0][0] == 1
    names, _ = model.similar_items("i3", 3, include_self=True, filter_items=["i3"], ids=True)
    assert names[0] == "i3" and len(set(names)) == 3


def test_similar_with_filters(model):
    may = np.zeros(P, dtype=bool)
    may[[5, 6, 7, 30]] = True
    assert set(model.similar_items(5, 5, among=may)[0]) == {6, 7, 30, -1}
    assert set(model.similar_items(5, 5, among=may, filter_items=[7])[0]) == {6, 30, -1}
    rows, _ = model.similar_items(0, 10, groups=np.arange(P) % 4, max_per_group=1)
    assert sorted(rows[rows >= 0] % 4) == [0, 1, 2, 3]
    assert model.similar_items([1, 2], among=[[3, 4], [5]])[0].shape == (2, 2)
    assert set(model.similar_users(1, 5, among=[1, 2, 3], filter_users=[3])[0]) == {2, -1}
    named = model.similar_users(["u1"], among=["u1", "u2"], ids=True)[0]
    assert [each.tolist() for each in named] == [["u2"]]


# --- distances and explain --------------------------------------------------------------------


def test_distances(model):
    users, items = np.array([1, 4, 4]), np.array([9, 9, 0])
    expected = np.linalg.norm(USERS[users].astype(float) - ITEMS[items], axis=1)
    np.testing.assert_allclose(model.distances(users, items), expected, rtol=1e-6)
    assert model.distances(users, items).dtype == np.float32
    named = model.distances([f"u{row}" for row in users], ["i9", "i9", "i0"], ids=True)
    np.testing.assert_array_equal(named, model.distances(users, items))
    np.testing.assert_array_equal(model.distances(1, items), model.distances([1] * 3, items))
    np.testing.assert_array_equal(model.distances(users, 9), model.distances(users, [9] * 3))
    assert np.ndim(model.distances(1, 9)) == 0
    assert model.distances([], []).shape == (0,)
    with pytest.raises(ValueError, match="must be pairs, got 2 users and 3 items"):
        model.distances([1, 2], items)


def test_explain(model):
    liked = LIKES[[2]].indices
    item = int(liked[1])
    lengths = np.linalg.norm(ITEMS.astype(float) - ITEMS[item], axis=1).astype(np.float32)
    others = np.setdiff1d(liked, [item])
    expected = others[np.argsort(lengths[others], kind="stable")]
    rows, distances = model.explain(2, item, LIKES)
    assert rows.tolist() == expected.tolist()
    np.testing.assert_array_equal(distances, lengths[expected])
    assert model.explain(2, item, LIKES[[2]], 3)[0].tolist() == expected[:3].tolist()
    likes = Interactions(LIKES, model.user_ids, model.item_ids)
    named, _ = model.explain("u2", f"i{item}", likes, n=1000, ids=True)
    assert named.tolist() == [f"i{row}" for row in expected]
    only = sp.csr_array((np.ones(1), ([2], [item])), shape=(M, P))
    with pytest.raises(ValueError, match=f"user 2 has no likes besides item {item}"):
        model.explain(2, item, only)
    with pytest.raises(TypeError, match="user must be a single user"):
        model.explain([2, 3], item, LIKES)


# --- what cannot be meant ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments, error, message",
    [
        ({"items": []}, ValueError, "items allows no item: name at least one"),
        ({"items": np.zeros(P, dtype=bool)}, ValueError, "items allows no item"),
        ({"items": [P]}, ValueError, r"items must be in \[0, 60\), got 60"),
        ({"items": ["i0"]}, TypeError, "items must be row numbers"),
        ({"items": [[1], [2]]}, ValueError, "candidates for each of 1 queries.* got 2 lists"),
        ({"items": [[1, -3]]}, ValueError, r"items\[0\] must be in"),
        ({"items": np.ones(3, dtype=bool)}, ValueError, r"one bool for each of 60 items"),
        ({"items": LIKES}, DataError, r"items must have shape \(1, 60\)"),
        ({"filter_items": range(P)}, ValueError, "filter_items leaves nothing to recommend"),
        ({"filter_items": [1], "items": [1]}, ValueError, "it has every item of items"),
        ({"filter_items": [0.5]}, TypeError, "filter_items must be row numbers"),
        ({"groups": BRANDS}, ValueError, "max_per_group is missing"),
        ({"max_per_group": 1}, ValueError, "groups is missing"),
        ({"groups": BRANDS[1:], "max_per_group": 1}, ValueError, "for each of 60 items, got 59"),
        ({"groups": "brand", "max_per_group": 1}, ValueError, "got 'brand'"),
        ({"groups": [[1]] * P, "max_per_group": 1}, TypeError, "groups must be numbers, strings"),
        ({"groups": BRANDS, "max_per_group": 0}, ValueError, "max_per_group must be at least 1"),
        ({"ids": 1}, TypeError, "ids must be True or False"),
        ({"n": 0}, ValueError, "n must be at least 1"),
    ],
)
def test_bad_arguments(model, arguments, error, message):
    with pytest.raises(error, match=message):
        model.recommend(0, **arguments)


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda m: m.recommend("nobody", ids=True), "the model has no user 'nobody'"),
        (lambda m: m.recommend("u1", items=["i1", "x"], ids=True), "items: the model has no item"),
        (lambda m: m.recommend("u1", filter_items="x", ids=True), "filter_items: the model has no"),
        (lambda m: m.similar_items("x", ids=True), "the model has no item 'x'"),
        (lambda m: m.similar_items(1, among=[]), "among allows no item"),
        (lambda m: m.similar_users(1, filter_users=range(M)), "filter_users leaves nothing"),
        (lambda m: m.explain("u1", "x", LIKES, ids=True), "the model has no item 'x'"),
        (lambda m: m.distances("u1", "x", ids=True), "the model has no item 'x'"),
    ],
)
def test_unknown_names(model, call, message):
    with pytest.raises(ValueError, match=message):
        call(model)
