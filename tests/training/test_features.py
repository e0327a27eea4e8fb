"""The feature network: gradients, dropout, AdaGrad, sparse features, namespaces, storage."""

import itertools

import numpy as np
import pytest
import scipy.sparse as sp
from oracle import draws, updates

from cml_fast._compute import feature_network
from cml_fast._compute.array_api import to_numpy
from cml_fast._compute.feature_network import PARAMETERS, FeatureNetwork
from cml_fast._compute.settings import ADAGRAD_EPSILON
from cml_fast._persistence import folder as folders
from cml_fast.errors import DataError

M, H, R, N = 7, 5, 3, 6


def make_network(dtype=np.float64, xp=np, shape=(M, H, R), seed=0):
    """A network with biases that are not zero, and AdaGrad sums as in the midst of training."""
    rng = np.random.default_rng(seed)
    m, h, r = shape
    shapes = {"w1": (m, h), "b1": (h,), "w2": (h, r), "b2": (r,)}
    arrays = {name: rng.normal(size=size).astype(dtype) for name, size in shapes.items()}
    sums = {f"{name}_accumulators": rng.random(size).astype(dtype) for name, size in shapes.items()}
    return FeatureNetwork.from_arrays(arrays | sums, xp)


def make_rows(dtype=np.float64, n=N, m=M, r=R, seed=1):
    """Features, a half of them zero, and vectors."""
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(n, m)) * (rng.random((n, m)) < 0.5)
    return features.astype(dtype), rng.normal(size=(n, r)).astype(dtype)


def scale_of(dropout):
    """What hidden units are multiplied by, without dropout and with it."""
    return 2.0 if dropout else 1.0


def by_loops(parameters, features, vectors, scale):
    """L_f as it is defined, unit by unit."""
    w1, b1, w2, b2 = (parameters[name] for name in PARAMETERS)
    loss = 0.0
    for x, v in zip(features, vectors, strict=True):
        hidden = []
        for unit in range(len(b1)):
            value = max(0.0, b1[unit] + sum(x[k] * w1[k, unit] for k in range(len(x))))
            hidden.append(value * scale)
        for d in range(len(b2)):
            output = b2[d] + sum(hidden[unit] * w2[unit, d] for unit in range(len(b1)))
            loss += (output - v[d]) ** 2
    return loss


def finite_differences(loss, array):
    """The gradient of loss() with regard to ``array``, which it reads."""
    step, gradient = 1e-6, np.zeros_like(array)
    for place in np.ndindex(array.shape):
        kept = array[place]
        array[place] = kept + step
        above = loss()
        array[place] = kept - step
        gradient[place] = (above - loss()) / (2 * step)
        array[place] = kept
    return gradient


# --- places ---------------------------------------------------------------------------------------


def test_places_have_the_direction_of_the_output_and_the_length_of_others():
    network, (features, learned) = make_network(), make_rows()
    placed, output = (
        feature_network.cold_start_vectors(network, features, learned),
        network.embed(features),
    )
    cosines = (placed * output).sum(axis=1) / np.linalg.norm(output, axis=1)
    np.testing.assert_allclose(cosines, 0.85 * np.median(np.linalg.norm(learned, axis=1)))
    np.testing.assert_allclose(np.linalg.norm(placed, axis=1), cosines)
    for name in ("w2", "b2"):
        network.parameters[name][:] = 0
    assert (
        feature_network.cold_start_vectors(network, features, learned) == 0
    ).all()  # without a direction


# --- the loss and its gradients -----------------------------------------------------------------


@pytest.mark.parametrize("dropout", [False, True])
def test_loss_is_the_sum_over_the_units(dropout):
    network = make_network()
    features, vectors = make_rows()
    scale = scale_of(dropout)
    loss = network.loss_and_gradients(features, vectors, scale)[0]
    expected = by_loops(network.parameters, features, vectors, scale)
    assert loss == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("dropout", [False, True])
@pytest.mark.parametrize("name", [*PARAMETERS, "vectors"])
def test_gradients_are_those_of_finite_differences(name, dropout):
    network = make_network()
    features, vectors = make_rows()
    scale = scale_of(dropout)
    _, gradients, vector_gradients = network.loss_and_gradients(features, vectors, scale)
    given = {**gradients, "vectors": vector_gradients}[name]
    array = {**network.parameters, "vectors": vectors}[name]
    expected = finite_differences(
        lambda: by_loops(network.parameters, features, vectors, scale), array
    )
    assert abs(expected).max() > 0.1
    assert given.shape == array.shape
    np.testing.assert_allclose(given, expected, rtol=1e-6, atol=1e-7 * abs(expected).max())


def test_rows_of_zeros_are_placed_by_the_biases():
    network = make_network()
    features, vectors = make_rows()
    features[2] = 0
    hidden = np.maximum(network.parameters["b1"], 0)
    expected = hidden @ network.parameters["w2"] + network.parameters["b2"]
    for given in (features, sp.csr_array(features)):
        np.testing.assert_allclose(network.embed(given)[2], expected, rtol=1e-12)
        gradient = network.loss_and_gradients(given, vectors)[2]
        np.testing.assert_allclose(gradient[2], 2 * (vectors[2] - expected), rtol=1e-12)
    # Nothing is known of any: w1 has nothing to learn, and a fresh network no biases yet.
    fresh = FeatureNetwork.random(M, R, np.random.default_rng(0))
    nothing = sp.csr_array((N, M), dtype=np.float32)
    np.testing.assert_array_equal(fresh.embed(nothing), np.zeros((N, R)))
    loss, gradients, _ = fresh.loss_and_gradients(nothing, vectors.astype(np.float32))
    assert loss == pytest.approx((vectors**2).sum(), rel=1e-5)
    assert not gradients["w1"].any() and gradients["b2"].any()


@pytest.mark.parametrize("dropout", [False, True])
def test_numbers_that_are_not_finite_show_in_the_loss(dropout):
    network = make_network()
    features, vectors = make_rows()
    features[0, 0] = 1
    network.parameters["w1"][0, :] = np.nan
    scale = scale_of(dropout)
    assert np.isnan(network.loss_and_gradients(features, vectors, scale)[0])
    assert np.isnan(network.embed(features)[0]).all()


# --- dropout ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("n_hidden", "size"), [(2048, 64), (1024, 64), (256, 16), (264, 8), (255, 1), (5, 1)]
)
def test_half_of_the_groups_of_units_are_kept(n_hidden, size):
    network = make_network(shape=(M, n_hidden, R))
    assert network.group_size == size
    n_groups = n_hidden // size
    kept = np.zeros((400, n_groups), dtype=bool)
    for step, row in enumerate(kept):
        groups = network.kept_groups(5, step)
        assert (np.diff(groups) > 0).all()
        row[groups] = True
    assert (kept.sum(axis=1) == -(-n_groups // 2)).all()
    # Five standard deviations: over each group, and over neighbours, which are drawn alike.
    share = -(-n_groups // 2) / n_groups
    assert abs(kept.mean(axis=0) - share).max() < 5 * 0.5 / np.sqrt(400)
    both = (kept[:, 1:] & kept[:, :-1]).mean()
    expected = share * (share * n_groups - 1) / (n_groups - 1)
    assert abs(both - expected) < 5 * 0.5 / np.sqrt(400 * (n_groups - 1))


def test_groups_repeat_and_differ_by_seed_and_step():
    network, other = make_network(shape=(M, 101, R)), make_network(np.float32, shape=(M, 101, R))
    draws_of = {(s, t): network.kept_groups(s, t) for s in (0, 1, 2**63) for t in (0, 1, 2**40)}
    for (seed, step), groups in draws_of.items():
        np.testing.assert_array_equal(other.kept_groups(seed, step), groups)
    for (a, first), (b, second) in itertools.combinations(draws_of.items(), 2):
        assert 12 < len(np.intersect1d(first, second)) < 40, (a, b)


def test_the_groups_are_those_of_the_smallest_words_of_philox():
    """So they stay the same in every version of NumPy."""
    seed, step = 2**63 + 11, 7
    words = []
    for slot in (1, 2):  # NumPy counts before it draws
        words += draws.philox((seed, feature_network.DROPOUT), (slot, 0, step, 0))
    expected = sorted(sorted(range(8), key=lambda group: words[group])[:4])
    assert make_network(shape=(M, 8, R)).kept_groups(seed, step).tolist() == expected


@pytest.mark.parametrize("n_hidden", [H, 256])
def test_a_part_is_the_network_without_the_other_units_and_features(n_hidden):
    network = make_network(shape=(M, n_hidden, R))
    features, _ = make_rows()
    columns, groups = np.array([0, 2, 5]), network.kept_groups(0, 0)
    features[:, np.setdiff1d(np.arange(M), columns)] = 0
    size = network.group_size
    units = (groups[:, None] * size + np.arange(size)).ravel()
    part = network.part(columns, groups)
    rest = make_network(shape=(M, n_hidden, R))
    rest.parameters["w2"][np.setdiff1d(np.arange(n_hidden), units)] = 0
    np.testing.assert_allclose(part.embed(features[:, columns]), rest.embed(features), rtol=1e-12)


@pytest.mark.parametrize("n_hidden", [H, 256])
def test_training_a_part_changes_what_it_has_and_nothing_else(n_hidden):
    network, before = (make_network(shape=(M, n_hidden, R)) for _ in range(2))
    features, vectors = make_rows()
    columns, groups = np.array([0, 2, 5]), network.kept_groups(0, 0)
    part = network.part(columns, groups)
    scale = network.shape[1] / part.shape[1]
    _, gradients, _ = part.loss_and_gradients(features[:, columns], vectors, scale)
    gradients = {name: gradient + 1.0 for name, gradient in gradients.items()}  # none is zero
    part.step(gradients, 0.1)
    network.take_back(part, columns, groups)
    size = network.group_size
    units = (groups[:, None] * size + np.arange(size)).ravel()
    places = {"w1": np.ix_(columns, units), "b1": units, "w2": units, "b2": slice(None)}
    for arrays, own, old in (
        (network.parameters, part.parameters, before.parameters),
        (network.accumulators, part.accumulators, before.accumulators),
    ):
        for name, place in places.items():
            np.testing.assert_array_equal(arrays[name][place], own[name])
            changed = np.zeros(arrays[name].shape, dtype=bool)
            changed[place] = True
            np.testing.assert_array_equal(arrays[name] != old[name], changed)


def test_inference_is_the_expectation_of_training():
    """Over all groups that may be kept, f is f without dropout on average."""
    network = make_network(shape=(M, 6, R))
    features, vectors = make_rows()
    outputs = []
    for groups in itertools.combinations(range(6), 3):
        part = network.part(np.arange(M), np.array(groups))
        gradient = part.loss_and_gradients(features, vectors, 6 / 3)[2]
        outputs.append(vectors - gradient / 2)
    assert np.std(outputs, axis=0).min() > 0.01  # dropout is active
    embedded = network.embed(features)
    np.testing.assert_allclose(np.mean(outputs, axis=0), embedded, rtol=1e-12, atol=1e-13)
    np.testing.assert_array_equal(network.embed(features), embedded)


# --- AdaGrad ------------------------------------------------------------------------------------


@pytest.mark.parametrize("rate", [0.05, np.float64(0.05)])
def test_adagrad_steps_are_those_of_the_oracle(rate):
    network = make_network(np.float32)
    features, vectors = make_rows(np.float32)
    for _ in range(3):
        gradients = network.loss_and_gradients(features, vectors)[1]
        # One whose squares are below epsilon, and zero.
        gradients["b2"][:] = [1e-5, -1e-6, 0]
        network.accumulators["b2"][:] = 0
        expected = {}
        for name in PARAMETERS:
            x, sums = network.parameters[name].copy(), network.accumulators[name].copy()
            x = updates.adagrad(x, sums, gradients[name], float(rate), ADAGRAD_EPSILON)
            expected |= {name: x, f"{name}_accumulators": sums}
        network.step(gradients, rate)
        arrays = network.to_arrays()
        assert arrays.keys() == expected.keys()
        for name, array in arrays.items():
            assert array.dtype == np.float32
            np.testing.assert_array_equal(array, expected[name])


def test_learns_a_toy_mapping():
    rng = np.random.default_rng(0)
    features = (rng.random((400, 12)) < 0.3).astype(np.float32)
    vectors = np.sin(features @ rng.normal(size=(12, 2)).astype(np.float32)) / 2
    network = FeatureNetwork.random(12, 2, rng, n_hidden=128)
    rows = sp.csr_array(features)
    kept = slice(300)  # the others are not trained on

    def errors(part):
        return ((network.embed(rows[part]) - vectors[part]) ** 2).sum(axis=1).mean()

    spread = vectors[300:].var(axis=0).sum()
    assert errors(slice(300, 400)) > spread
    for step in range(400):
        columns, groups = np.arange(12), network.kept_groups(1, step)
        part = network.part(columns, groups)
        gradients = part.loss_and_gradients(rows[kept], vectors[kept], 2.0)[1]
        part.step(gradients, 0.02)
        network.take_back(part, columns, groups)
    assert errors(kept) < 0.2 * spread
    assert errors(slice(300, 400)) < 0.5 * spread


# --- sparse features, namespaces ------------------------------------------------------------------


@pytest.mark.parametrize("dropout", [False, True])
@pytest.mark.parametrize("make", [sp.csr_array, sp.csr_matrix])
def test_sparse_features_give_what_dense_ones_give(make, dropout, monkeypatch):
    network = make_network()
    features, vectors = make_rows()
    sparse, scale = make(features), scale_of(dropout)
    expected_vectors = network.embed(features)
    expected = network.loss_and_gradients(features, vectors, scale)

    def refuse(self, *args, **kwargs):
        raise AssertionError("a sparse matrix was made dense")

    for kind in (sp.csr_array, sp.csc_array, sp.coo_array):
        for relative in (kind, getattr(sp, kind.__name__.replace("array", "matrix"))):
            monkeypatch.setattr(relative, "toarray", refuse)
            monkeypatch.setattr(relative, "todense", refuse)
    np.testing.assert_allclose(network.embed(sparse), expected_vectors, rtol=1e-12)
    loss, gradients, vector_gradients = network.loss_and_gradients(sparse, vectors, scale)
    assert loss == pytest.approx(expected[0], rel=1e-12)
    np.testing.assert_allclose(vector_gradients, expected[2], rtol=1e-12)
    for name, gradient in gradients.items():
        assert type(gradient) is np.ndarray
        np.testing.assert_allclose(gradient, expected[1][name], rtol=1e-12, atol=1e-12)


def test_wide_sparse_features_need_no_dense_memory():
    # As a dense matrix of float32: 4 TB.
    n, m = 1_000_000, 1_000_000
    features = sp.csr_array((np.float32([1, 2]), ([3, n - 1], [m - 1, 0])), shape=(n, m))
    network = FeatureNetwork.random(m, 2, np.random.default_rng(0), n_hidden=2)
    embedded = network.embed(features)
    w1, w2 = network.parameters["w1"], network.parameters["w2"]
    assert embedded.shape == (n, 2)
    expected = np.zeros((n, 2), dtype=np.float32)
    expected[3] = np.maximum(w1[m - 1], 0) @ w2
    expected[n - 1] = np.maximum(2 * w1[0], 0) @ w2
    assert expected.any(axis=1).sum() > 0
    np.testing.assert_allclose(embedded, expected, rtol=1e-6)


def test_blocks_of_rows_are_embedded_like_all_together(xp, monkeypatch):
    network = make_network(xp=xp)
    features = xp.asarray(make_rows(n=11)[0])
    together = to_numpy(network.embed(features))
    monkeypatch.setattr(feature_network, "BLOCK_ROWS", 4)
    np.testing.assert_allclose(to_numpy(network.embed(features)), together, rtol=1e-12)
    assert network.embed(features[:0, :]).shape == (0, R)


@pytest.mark.parametrize("dropout", [False, True])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_every_namespace_gives_the_same_numbers(xp, dtype, dropout):
    shape = (40, 64, 10)
    network, exact = make_network(dtype, xp, shape), make_network(dtype, np, shape)
    exact = FeatureNetwork.from_arrays({k: v.astype(float) for k, v in exact.to_arrays().items()})
    rows = make_rows(dtype, n=50, m=40, r=10)
    features, vectors = map(xp.asarray, rows)
    expected_features, expected_vectors = (array.astype(float) for array in rows)
    tolerance = 100 * np.finfo(dtype).eps

    def check(given, expected):
        assert given.dtype == features.dtype
        assert isinstance(given, type(features) | np.generic)
        bound = tolerance * np.abs(expected).max()
        np.testing.assert_allclose(to_numpy(given), expected, rtol=0, atol=bound)

    scale = scale_of(dropout)
    for _ in range(3):
        loss, gradients, vector_gradients = network.loss_and_gradients(features, vectors, scale)
        expected_loss, expected_gradients, expected_vector_gradients = exact.loss_and_gradients(
            expected_features, expected_vectors, scale
        )
        check(loss, expected_loss)
        check(vector_gradients, expected_vector_gradients)
        for name in PARAMETERS:
            check(gradients[name], expected_gradients[name])
        network.step(gradients, 0.05)
        exact.step(expected_gradients, 0.05)
        for name in PARAMETERS:
            check(network.parameters[name], exact.parameters[name])
            check(network.accumulators[name], exact.accumulators[name])
    check(network.embed(features), exact.embed(expected_features))


def test_sparse_features_on_the_device(device):
    xp, sparse = np, sp
    if device == "cuda":
        xp, sparse = pytest.importorskip("cupy"), pytest.importorskip("cupyx.scipy.sparse")
    network, exact = make_network(np.float32, xp), make_network(np.float32)
    features, vectors = make_rows(np.float32)
    on_device = sparse.csr_matrix(sp.csr_matrix(features))
    loss, gradients, vector_gradients = network.loss_and_gradients(on_device, xp.asarray(vectors))
    expected = exact.loss_and_gradients(features, vectors)
    assert float(loss) == pytest.approx(float(expected[0]), rel=1e-5)
    np.testing.assert_allclose(to_numpy(vector_gradients), expected[2], rtol=1e-4, atol=1e-4)
    for name, gradient in gradients.items():
        assert gradient.dtype == np.float32
        np.testing.assert_allclose(to_numpy(gradient), expected[1][name], rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(
        to_numpy(network.embed(on_device)), exact.embed(features), rtol=1e-4, atol=1e-5
    )


def test_features_of_another_kind_are_refused():
    network = make_network(np.float32)
    vectors = np.zeros((N, R), dtype=np.float32)
    for make in (np.asarray, sp.csr_array):
        wide = make(np.zeros((N, M)))
        narrow = make(np.zeros((N, M - 1), dtype=np.float32))
        for use in (network.embed, lambda rows: network.loss_and_gradients(rows, vectors)):
            with pytest.raises(TypeError, match="dtype float32, got float64"):
                use(wide)
            with pytest.raises(DataError, match=f"the {M} columns .* got {M - 1}"):
                use(narrow)


# --- the first weights, storage -------------------------------------------------------------------


def test_first_weights():
    network = FeatureNetwork.random(300, 50, np.random.default_rng(0))
    shapes = {name: array.shape for name, array in network.parameters.items()}
    assert shapes == {"w1": (300, 256), "b1": (256,), "w2": (256, 50), "b2": (50,)}
    for name, array in network.parameters.items():
        assert array.dtype == np.float32
        assert not network.accumulators[name].any()
    for name, sizes in (("w1", 300 + 256), ("w2", 256 + 50)):
        values, bound = network.parameters[name], np.sqrt(6 / sizes)
        assert 0.99 * bound < abs(values).max() <= np.float32(bound)
        assert values.var() == pytest.approx(2 / sizes, rel=0.03)  # Glorot and Bengio, eq. 12
        assert abs(values.mean()) < 0.02 * bound
    assert not network.parameters["b1"].any() and not network.parameters["b2"].any()
    again = FeatureNetwork.random(300, 50, np.random.default_rng(0))
    np.testing.assert_array_equal(again.parameters["w2"], network.parameters["w2"])


def test_storage_round_trip(xp, tmp_path):
    network = make_network(np.float32, xp)
    arrays = network.to_arrays()
    assert all(array.all() for array in arrays.values())
    path = tmp_path / "features.safetensors"
    folders.write_arrays(path, arrays)
    read = folders.read_arrays(path, dict.fromkeys(arrays, np.float32))
    restored = FeatureNetwork.from_arrays(read, xp)
    features, vectors = map(xp.asarray, make_rows(np.float32))
    for trained in (network, restored):
        trained.step(trained.loss_and_gradients(features, vectors)[1], 0.1)
    for name, array in network.to_arrays().items():
        np.testing.assert_array_equal(restored.to_arrays()[name], array)
        assert (array != arrays[name]).any()  # what to_arrays gave is a copy
        np.testing.assert_array_equal(read[name], arrays[name])  # and from_arrays made one


def test_without_accumulators_training_begins_anew():
    arrays = make_network().to_arrays()
    network = FeatureNetwork.from_arrays({name: arrays[name] for name in PARAMETERS})
    for name in PARAMETERS:
        np.testing.assert_array_equal(network.parameters[name], arrays[name])
        np.testing.assert_array_equal(network.accumulators[name], np.zeros_like(arrays[name]))
