"""What every kind of index does with more items than it looks at, and what "auto" chooses."""

import json
import subprocess
import sys
from textwrap import dedent

import numpy as np
import pytest
import scipy.sparse as sp

from cml_fast import _threads
from cml_fast._persistence import folder as folders
from cml_fast._search import choice
from cml_fast._search.exact import rank_proposals
from cml_fast._search.faiss import default_factory
from cml_fast._search.index import KINDS, describe_index, load_index
from cml_fast._search.proposals import nearest_of_proposed
from cml_fast.data import synthetic
from cml_fast.errors import ModelError
from cml_fast.model import Model
from cml_fast.trainer import Trainer

N_ITEMS, R = 1500, 8
# Builds that differ from the default in how they are searched; all for 1,500 items.
FACTORIES = ("Flat", "IVF30,Flat", "HNSW16", "PCA8,IVF30,Flat", "IVF30,PQ4x4fs,RFlat")


def installed(kind):
    try:
        KINDS[kind].build(np.zeros((1, 1), dtype=np.float32))
    except ImportError as error:
        pytest.skip(str(error))
    return kind


@pytest.fixture(params=KINDS)
def kind(request):
    return installed(request.param)


@pytest.fixture(scope="module")
def model():
    rng = np.random.default_rng(0)
    return Model(rng.standard_normal((40, R)), rng.standard_normal((N_ITEMS, R)))


def assert_same(found, expected):
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)
        assert one.dtype == other.dtype


def overlap(found, exact):
    """The share of the exact items that are found."""
    return np.mean([np.isin(b, a).mean() for a, b in zip(found, exact, strict=True)])


# --- search -------------------------------------------------------------------------------------


@pytest.mark.parametrize("wish", [0.5, 0.95])
def test_the_wish_is_reached_and_reported(kind, model, wish):
    indexed = model.build_index(kind, recall=wish, n=20)
    info = indexed.index_info
    assert info["kind"] == kind and info["n"] == 20 and info["users"] == 40
    found, _ = indexed.recommend(range(40), 20, approximate=True)
    recall = overlap(found, model.recommend(range(40), 20)[0])
    assert recall == pytest.approx(info["recall"]) and recall >= wish
    json.dumps(info)
    info["search"]["x"] = 1
    assert "x" not in indexed.index_info["search"]


def test_less_is_less_work(model):
    """A lower wish is fulfilled with less effort."""
    for kind in KINDS:
        if kind != "exact":
            found = [model.build_index(installed(kind), recall=wish) for wish in (0.5, 0.99)]
            low, high = (next(iter(of.index_info["search"].values())) for of in found)
            assert low < high


def test_distances_are_those_of_exact_search(kind, model):
    indexed = model.build_index(kind)
    rows, distances = indexed.recommend(range(40), 10, approximate=True)
    true = np.linalg.norm(
        model.user_vectors[:, None].astype(np.float64) - model.item_vectors[rows], axis=2
    )
    np.testing.assert_array_equal(distances, true.astype(np.float32))
    assert (np.diff(distances, axis=1) >= 0).all()
    for user in (3, 7):  # one user takes another way than many
        one = indexed.recommend(user, 10, approximate=True)
        many = indexed.recommend([user, user], 10, approximate=True)
        assert_same(one, (many[0][1], many[1][1]))


def test_n_are_found_whatever_is_excluded(kind, model):
    """Exclude the nearest 700 of each user but one, those that an index finds first."""
    indexed = model.build_index(kind)
    nearest, _ = model.recommend(range(1, 40), 700)
    rows = np.repeat(np.arange(1, 40), 700)
    exclude = sp.csr_array((np.ones(rows.size), (rows, nearest.ravel())), shape=(40, N_ITEMS))
    rows, distances = indexed.recommend(range(40), 30, exclude, approximate=True)
    assert (rows >= 0).all() and np.isfinite(distances).all()
    for user in range(40):
        assert len(set(rows[user])) == 30
        assert user == 0 or not np.isin(rows[user], nearest[user - 1]).any()
    left = np.ones((40, N_ITEMS))
    left[:, ::300] = 0
    rows, _ = indexed.recommend(range(40), 7, sp.csr_array(left), approximate=True)
    assert_same((np.sort(rows[:, :5]),), (np.tile(np.arange(0, N_ITEMS, 300), (40, 1)),))
    assert (rows[:, 5:] == -1).all()


def test_equal_points(kind):
    """Graphs of equal points come apart; the items that they miss are found all the same."""
    model = Model(np.zeros((2, 3)), np.ones((300, 3))).build_index(kind)
    for users in ([1], [0, 1]):
        rows, distances = model.recommend(users, 300, approximate=True)
        assert_same((rows,), (np.tile(np.arange(300), (len(users), 1)),))
        assert (distances == np.float32(np.sqrt(3))).all()


@pytest.mark.parametrize("n_items", [1, 2, 9, 60])
@pytest.mark.parametrize("r", [1, 3])
def test_few_items(kind, tmp_path, n_items, r):
    rng = np.random.default_rng(n_items)
    model = Model(rng.standard_normal((5, r)), rng.standard_normal((n_items, r)))
    indexed = model.build_index(kind)
    indexed.save(tmp_path)
    for found in (indexed, Model.load(tmp_path)):
        assert_same(found.recommend(range(5), 60, approximate=True), model.recommend(range(5), 60))


def test_a_wish_that_is_not_reached(model, monkeypatch):
    installed("faiss")
    # One list of thirty is looked at, at most.
    monkeypatch.setattr(KINDS["faiss"], "efforts", lambda self: [{"nprobe": 1}])
    with pytest.warns(UserWarning, match=r"kind 'faiss' finds 0\.\d+ of the 10 nearest") as caught:
        indexed = model.build_index("faiss", factory="IVF30,Flat")
    assert caught[0].filename == __file__
    assert indexed.index_info["search"] == {"nprobe": 1} and indexed.index_info["recall"] < 0.9


@pytest.mark.parametrize("users", [[3], [0, 3, 5]])
def test_a_library_that_proposes_too_few(model, users, monkeypatch):
    """One query, all of whose proposals are missing, and others take different ways."""
    installed("annoy")
    indexed = model.build_index("annoy")

    def propose_nothing(propose, queries, points, n, exclude):
        return nearest_of_proposed(
            lambda queries, k: np.full((len(queries), k), -1), queries, points, n, exclude
        )

    monkeypatch.setattr("cml_fast._search.annoy.nearest_of_proposed", propose_nothing)
    rows, distances = indexed._index.nearest(
        model.user_vectors[users], 4, sp.csr_array((len(users), N_ITEMS))
    )
    assert (rows == -1).all() and np.isinf(distances).all()
    assert_same(indexed.recommend(users, 4, approximate=True), model.recommend(users, 4))


@pytest.mark.parametrize("users", [[3], [0, 3]])
def test_what_is_proposed_twice_is_found_once(model, users):
    queries, items = model.user_vectors[users], model.item_vectors
    proposals = np.tile([7, 9, 7, -1, 9, 9], (len(users), 1))
    nothing = sp.csr_array((len(users), N_ITEMS))
    rows, distances = rank_proposals(queries, items, proposals, 3, nothing)
    assert_same((np.sort(rows),), (np.tile([-1, 7, 9], (len(users), 1)),))
    assert np.isinf(distances[:, 2]).all() and (rows[:, 2] == -1).all()


# --- adding -------------------------------------------------------------------------------------


def test_added_items_are_found(kind, model):
    index = KINDS[kind].build(model.item_vectors)
    rng = np.random.default_rng(5)
    more = np.concatenate([model.item_vectors, rng.standard_normal((50, R), dtype=np.float32)])
    grown = index.add(more)
    nothing = sp.csr_array((50, len(more)))
    if kind == "annoy":
        assert grown is None
        return
    for _ in range(2):
        rows, _ = grown.nearest(more[N_ITEMS:], 1, nothing)
        assert np.mean(rows[:, 0] == np.arange(N_ITEMS, N_ITEMS + 50)) > 0.9
        grown = grown.add(more)  # of no further items
    before = index.nearest(more[N_ITEMS:], 20, nothing[:, :N_ITEMS])[0]
    assert before.max() < N_ITEMS


def test_add_items_of_a_model(kind):
    train = synthetic(50, 30, 300).interactions
    features = np.eye(30, 4, dtype=np.float32)
    trainer = Trainer(n_dims=8, n_epochs=2, temperature=0.3, verbose=False, random_state=0)
    model = trainer.fit(train, item_features=features).model_.build_index(kind)
    if kind == "annoy":
        with pytest.warns(UserWarning, match=r"kind 'annoy' cannot take .* call build_index again"):
            more = model.add_items(["new-1", "new-2"], features[:2])
        assert more.index_info is None
        return
    more = model.add_items(["new-1", "new-2"], features[:2])
    assert more.index_info == model.index_info
    assert_same(more.recommend(range(50), 32, approximate=True), more.recommend(range(50), 32))
    assert model.recommend(0, 32, approximate=True)[0].max() == 29


# --- on disk ------------------------------------------------------------------------------------


def test_the_found_options_are_saved(kind, model, tmp_path):
    indexed = model.build_index(kind, recall=0.7)
    indexed.save(tmp_path)
    loaded = Model.load(tmp_path)
    assert loaded.index_info == indexed.index_info
    assert_same(
        loaded.recommend(range(40), approximate=True),
        indexed.recommend(range(40), approximate=True),
    )


def test_index_of_another_number_of_items(kind, model, tmp_path):
    """A file that claims to be the right one."""
    if kind == "exact":
        pytest.skip("its file has no content")
    path = tmp_path / "index"
    index = KINDS[kind].build(model.item_vectors)
    KINDS[kind].build(model.item_vectors[:99]).save(path)
    with pytest.raises(ModelError, match="has 99 items instead of 1500"):
        load_index(path, model.item_vectors, describe_index(index, model.item_vectors))


CHILD = dedent(
    """
    import sys
    from pathlib import Path
    import numpy as np
    import scipy.sparse as sp
    from cml_fast import Model
    from cml_fast._search.index import describe_index, load_index
    from cml_fast.errors import ModelError

    folder, kind = Path(sys.argv[1]), sys.argv[2]
    model = Model.load(folder)
    description = describe_index(model._index, model.item_vectors)
    nothing = sp.csr_array((len(model.user_vectors), len(model.item_vectors)))
    (path,) = folder.glob("index-*")
    good = path.read_bytes()
    rng = np.random.default_rng(0)
    mutants = [b"", good[: len(good) // 2], good[:-1], good + b"x", bytes(len(good))]
    for at in [*range(min(60, len(good))), *rng.integers(0, len(good), 60)]:
        mutant = bytearray(good)
        mutant[at] ^= 1 << rng.integers(8)
        mutants.append(bytes(mutant))
    refused = 0
    for mutant in mutants:
        path.unlink()  # the open model may have mapped it
        path.write_bytes(mutant)
        try:
            Model.load(folder)
        except ModelError:
            refused += 1
        # Without the manifest, which knows the checksum of every file.
        try:
            index = load_index(path, model.item_vectors, description)
        except ModelError:
            continue
        index.nearest(model.user_vectors, 10, nothing)
    print(refused == len(mutants))
    """
)


def test_changed_bytes_are_refused_and_never_crash(kind, model, tmp_path):
    model.build_index(kind).save(tmp_path)
    ran = subprocess.run(
        [sys.executable, "-c", CHILD, str(tmp_path), kind], capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stderr[-2000:]
    assert ran.stdout.split() == ["True"]


# --- options ------------------------------------------------------------------------------------


@pytest.mark.parametrize("factory", FACTORIES)
def test_faiss_factories(model, factory, tmp_path):
    indexed = model.build_index(installed("faiss"), factory=factory, recall=0.6)
    assert indexed.index_info["recall"] >= 0.6
    indexed.save(tmp_path)
    found = Model.load(tmp_path).recommend(range(40), approximate=True)
    # It is built again, and a graph that several threads build is not the same every time.
    assert overlap(found[0], indexed.recommend(range(40), approximate=True)[0]) > 0.95


def test_the_default_factory_is_for_any_number_of_dimensions():
    installed("faiss")
    assert default_factory(999, 8) == "Flat"
    assert default_factory(5000, 63) == "IVF35,PQ63x4fs,RFlat"
    rng = np.random.default_rng(0)
    for r, factory in (
        (64, "IVF16,PQ32x4fs,RFlat"),
        (65, "Pad66,IVF16,PQ33x4fs,RFlat"),
        (1, "IVF16,PQ1x4fs,RFlat"),
    ):
        model = Model(rng.standard_normal((40, r)), rng.standard_normal((1000, r)))
        indexed = model.build_index("faiss")
        assert indexed.index_info["factory"] == factory
        found = indexed.recommend(range(40), approximate=True)[0]
        assert overlap(found, model.recommend(range(40))[0]) >= 0.98


def test_options_by_name_take_precedence(model):
    for kind, option in (("faiss", "nprobe"), ("hnswlib", "ef_search"), ("usearch", "ef_search")):
        build = {"factory": "IVF30,Flat"} if kind == "faiss" else {}
        indexed = model.build_index(installed(kind), recall=0.5, **build)
        most = {"nprobe": 30, "ef_search": N_ITEMS}[option]
        for n_threads in (1, 2):
            found = indexed.recommend(
                range(40), approximate=True, n_threads=n_threads, **{option: most}
            )
            assert overlap(found[0], model.recommend(range(40))[0]) > 0.99
        with pytest.raises(ValueError, match=f"{option} must be between 1 and"):
            indexed.recommend(0, approximate=True, **{option: 0})
        with pytest.raises(ValueError, match="n_threads must be between 1 and"):
            indexed.recommend(0, approximate=True, n_threads=0)
        if kind != "usearch":
            with pytest.raises(ValueError, match="n_threads must be between 1 and"):
                model.build_index(kind, n_threads=0)


@pytest.mark.parametrize("kind", ["hnswlib", "usearch"])
def test_a_graph_leads_to_every_item(kind, model):
    index = KINDS[installed(kind)].build(model.item_vectors)
    nothing = sp.csr_array((1, N_ITEMS))
    rows, _ = index.nearest(model.user_vectors[:1], N_ITEMS, nothing, ef_search=N_ITEMS)
    assert np.sort(rows[0]).tolist() == list(range(N_ITEMS))


class Watched:
    """A graph of a library, and the number of threads that it is searched with."""

    def __init__(self, graph):
        self._graph, self.threads = graph, []

    def __getattr__(self, name):
        found = getattr(self._graph, name)
        if name not in ("search", "knn_query"):
            return found

        def search(*args, **options):
            self.threads += [options[key] for key in ("threads", "num_threads") if key in options]
            return found(*args, **options)

        return search


@pytest.mark.parametrize("kind", ["hnswlib", "usearch"])
def test_threads_that_do_not_start_are_done_without(kind, model, monkeypatch):
    """These libraries end the process where one of several does not start."""
    index = KINDS[installed(kind)].build(model.item_vectors)
    index._graph = watched = Watched(index._graph)
    for starts in (True, False):
        monkeypatch.setattr(_threads, "can_start_threads", lambda *_, starts=starts: starts)
        index.nearest(model.user_vectors, 3, sp.csr_array((40, N_ITEMS)), n_threads=2)
    assert watched.threads == [2, 1]


def test_bad_options(model):
    for kind, options, error, message in (
        ("faiss", {"factory": "IVF"}, ValueError, "factory='IVF' does not describe an index for"),
        ("faiss", {"factory": "PQ3"}, ValueError, "faiss says: "),
        (
            "faiss",
            {"factory": "IVF9999,Flat"},
            ValueError,
            "at most 1239 makes sense there for 1500",
        ),
        ("faiss", {"factory": 3}, TypeError, "factory must be a str"),
        ("faiss", {"factory": "HNSW99999"}, ValueError, "has the number 99999, and at most 1239"),
        ("faiss", {"factory": "PQ2x24"}, ValueError, "has the number 24, and at most 12 makes"),
        ("faiss", {"factory": "Pad" + "9" * 5000}, ValueError, "has the number 9999"),
        ("hnswlib", {"m": 1}, ValueError, "m must be between 2 and 512"),
        ("hnswlib", {"seed": -1}, ValueError, "seed must be between"),
        ("usearch", {"ef_construction": 0}, ValueError, "ef_construction must be between"),
        ("exact", {"recall": 0}, ValueError, "recall must be"),
        ("exact", {"recall": 1.5}, ValueError, "recall must be between 0.01 and 1"),
        ("auto", {"recall": "high"}, TypeError, "recall must be a number"),
        ("exact", {"n": 0}, ValueError, "n must be at least 1"),
    ):
        if kind in KINDS:
            installed(kind)
        with pytest.raises(error, match=message):
            model.build_index(kind, **options)
    indexed = model.build_index(installed("faiss"), factory="HNSW16")
    with pytest.raises(ValueError, match="nprobe has no effect on 'HNSW16': leave it out"):
        indexed.recommend(0, approximate=True, nprobe=3)


# --- auto ---------------------------------------------------------------------------------------


def test_auto_is_exact_for_few_items(model):
    assert model.build_index().index_info == {
        "kind": "exact",
        "search": {},
        "recall": 1.0,
        "n": 10,
        "users": 40,
    }


class Absent:
    @classmethod
    def build(cls, vectors):
        raise ImportError("this kind needs another package")


def test_auto_takes_the_first_that_is_installed_and_reaches_the_wish(model, monkeypatch):
    monkeypatch.setattr(choice, "EXACT_UP_TO", N_ITEMS * R - 1)
    monkeypatch.setattr(choice, "PREFERRED", ("absent", installed("faiss"), installed("annoy")))
    monkeypatch.setitem(KINDS, "absent", Absent)
    assert model.build_index(recall=0.9).index_info["kind"] == "faiss"
    monkeypatch.setattr(KINDS["faiss"], "efforts", lambda self: [{"nprobe": 1}])
    found = model.build_index(recall=0.9).index_info
    assert found["kind"] == "annoy" and found["recall"] >= 0.9
    monkeypatch.setattr(choice, "PREFERRED", ("absent", "faiss"))
    assert model.build_index(recall=0.9).index_info["kind"] == "exact"
    assert model.build_index(recall=None).index_info["kind"] == "faiss"


def test_likes_are_left_out_of_the_trial(model):
    """The items wanted are those after the user's likes, which the nearest ones stand for."""
    counts = np.arange(40)
    trial = choice.Trial(model.user_vectors, model.item_vectors, 5, counts)
    nearest, distances = model.recommend(range(40), 44)
    for user in range(40):
        own = trial.exclude.indices[trial.exclude.indptr[user] : trial.exclude.indptr[user + 1]]
        assert sorted(own) == sorted(nearest[user, :user])
        assert trial.farthest[user] == distances[user, user + 4]
        assert trial.available[user] == 5


def test_a_damaged_manifest_is_refused(model, tmp_path):
    model.build_index("exact").save(tmp_path)
    path = tmp_path / "model.json"
    manifest = json.loads(path.read_text())
    manifest["info"]["index"]["search"] = 3
    manifest["checksum"] = folders._checksum({k: manifest[k] for k in ("kind", "info", "files")})
    path.write_text(json.dumps(manifest))
    with pytest.raises(ModelError, match="described wrongly"):
        Model.load(tmp_path)
