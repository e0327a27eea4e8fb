"""Losses whose pairs share negatives: the kernels against their oracle, and the oracle itself."""

import numpy as np
import pytest
import scipy.sparse as sp
from oracle import reference, reference_tile
from support.kernels import (
    assert_same_counters,
    assert_same_tables,
    digest,
    make_job,
    oracle_of,
    random_likes,
    random_tables,
    settings,
    snapshot,
    train_oracle,
)

LOSSES = ("softmax", "contrastive")


def problem(device, n_users=40, n_items=60, **changes):
    likes = random_likes(np.random.default_rng(5), n_users, n_items, weighted=True)
    defaults = {"tile_size": 64, "margin": 1.5, "temperature": 0.4, "loss": "softmax"}
    chosen = settings(**{**defaults, **changes})
    n = chosen.n_negatives
    shared = {"importance_weight": n_items / n, "negative_weight": 3 / n}
    chosen = settings(**{**defaults, **shared, **changes})
    return random_tables(device, likes.shape, chosen), likes, chosen


def check_against_oracle(device, begin, end, **changes):
    """Two epochs, or as much as `end` where that is less than one."""
    tables, likes, chosen = problem(device, **changes)
    oracle = oracle_of(tables)
    end = end if end and end < likes.nnz else 2 * likes.nnz
    counters = make_job(tables, likes, chosen).run(begin, end)
    expected = train_oracle(oracle, likes, begin, end, chosen)
    assert 0 < counters.active <= counters.pairs == end - begin
    assert_same_tables(tables, oracle)
    assert_same_counters(counters, expected)


# --- equal to the oracle ----------------------------------------------------------------------


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("n_dims", [1, 16, 31, 33, 100, 250, 300, 1024, 1500])
def test_mini_batches_equal_the_oracle(sync_kernel, loss, n_dims):
    check_against_oracle(sync_kernel, 0, 200, loss=loss, n_dims=n_dims, batch_size=100)


@pytest.mark.parametrize(("loss", "rowwise"), [("softmax", True), ("contrastive", False)])
@pytest.mark.parametrize("batch_size", [1, 63, 64, 65, 200, 2**24])
def test_mini_batches_of_any_size_equal_the_oracle(sync_kernel, loss, rowwise, batch_size):
    """Two epochs: tiles end with their batch, and batches with their epoch."""
    check_against_oracle(
        sync_kernel, 0, None, loss=loss, rowwise=rowwise, batch_size=batch_size, n_users=10
    )


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("rowwise", [False, True])
@pytest.mark.parametrize("n_dims", [1, 31, 33, 100, 1024, 1500])
def test_one_thread_equals_the_oracle(kernel, loss, rowwise, n_dims):
    check_against_oracle(kernel, 0, 192, loss=loss, rowwise=rowwise, n_dims=n_dims)


@pytest.mark.parametrize(
    ("n_negatives", "n_items"), [(1, 60), (2, 5), (7, 7), (40, 9), (256, 60), (256, 2000)]
)
@pytest.mark.parametrize("tile_size", [1, 33, 128])
def test_any_number_of_negatives_equals_the_oracle(kernel, n_negatives, n_items, tile_size):
    check_against_oracle(
        kernel,
        0,
        tile_size * 3,
        n_negatives=n_negatives,
        n_items=n_items,
        n_users=12,
        tile_size=tile_size,
    )


@pytest.mark.parametrize("batch_size", [0, 150])
def test_long_rows_of_likes(kernel, batch_size):
    """So many likes that negatives are looked up in them, not they among the negatives."""
    check_against_oracle(
        kernel,
        0,
        batch_size or 128,
        n_users=5,
        n_items=400,
        n_negatives=4,
        batch_size=batch_size,
    )


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("n_threads", [2, 3])
def test_mini_batches_are_the_same_on_any_number_of_threads(loss, n_threads):
    digests = set()
    for threads in (1, n_threads):
        tables, likes, chosen = problem("cpu", loss=loss, n_threads=threads, batch_size=300)
        make_job(tables, likes, chosen).run(0, likes.nnz)
        digests.add(digest(snapshot(tables)))
    assert len(digests) == 1


@pytest.mark.parametrize("batch_size", [0, 128])
def test_it_does_not_matter_where_launches_end(kernel, batch_size):
    digests = set()
    for ends in ([640], [64 * 2, 64 * 6, 640], range(128, 641, 128)):
        tables, likes, chosen = problem(kernel, batch_size=batch_size)
        job, begin = make_job(tables, likes, chosen), 0
        for end in ends:
            job.run(begin, end)
            begin = end
        digests.add(digest(snapshot(tables)))
    assert len(digests) == 1


def test_launches_end_with_tiles(kernel):
    tables, likes, chosen = problem(kernel)
    if kernel.startswith("emulated"):
        pytest.skip("the emulated job has no checks of its arguments")
    with pytest.raises(ValueError, match="bounds of batches or tiles of 64 samples, got 0 and 65"):
        make_job(tables, likes, chosen).run(0, 65)


@pytest.mark.parametrize("batch_size", [0, 100])
@pytest.mark.parametrize("loss", LOSSES)
def test_a_row_far_out_of_the_ball_is_refused(kernel, loss, batch_size):
    tables, likes, chosen = problem(kernel, loss=loss, batch_size=batch_size, n_negatives=60)
    tables.arrays["items"][7, 0] = np.nan
    before = snapshot(tables)
    counters = make_job(tables, likes, chosen).run(0, 192 if batch_size == 0 else 200)
    assert counters.first_non_finite is not None
    if batch_size:  # nothing of the first batch that meets the row is applied
        after = snapshot(tables)
        np.testing.assert_array_equal(after["users"], before["users"])


# --- draws ------------------------------------------------------------------------------------


def test_every_item_is_drawn_as_often():
    n_items, n, tiles = 37, 8, 4000
    counts = np.zeros(n_items)
    for position in range(tiles):
        drawn = reference_tile.draw_shared(n_items, n, 3, 0, position)
        assert (np.diff(drawn) >= 0).all()
        counts += np.bincount(drawn, minlength=n_items)
    expected = tiles * n / n_items
    # An item's count varies less than a binomial one: at most one stratum or two draw it.
    assert abs(counts - expected).max() < 5 * np.sqrt(expected)
    assert counts.sum() == tiles * n


def test_sharing_leaves_the_expected_gradient_unchanged():
    """The gradients of tiles of 16 pairs, and of the same pairs with negatives of their own each,
    averaged over many draws: the same for every row, within five standard errors."""
    rng = np.random.default_rng(0)
    likes = random_likes(rng, 6, 30)
    n_dims, draws = 3, 400
    tables = reference.Tables(
        rng.normal(size=(6, n_dims)) / 2,
        np.zeros((6, n_dims)),
        rng.normal(size=(30, n_dims)) / 2,
        np.zeros((30, n_dims)),
    )

    def gradients(tile_size, seed):
        chosen = reference.Settings(
            n_negatives=6,
            margin=1.0,
            learning_rate=0.1,
            epsilon=1e-8,
            max_norm=1.0,
            seed=7,
            loss="contrastive",
            negative_weight=0.5,
        )
        total = np.zeros((36, n_dims))
        # The same pairs always; the negatives of another seed each time.
        for begin in range(0, 16, tile_size):
            visits = range(begin, begin + tile_size)
            step = tile_with_negatives_of(tables, likes, visits, chosen, seed)
            for name, row, gradient in step:
                total[row + (6 if name == "item" else 0)] += gradient
        return total

    shared = np.array([gradients(16, seed) for seed in range(draws)])
    own = np.array([gradients(1, seed) for seed in range(draws, 2 * draws)])
    error = np.sqrt((shared.var(axis=0) + own.var(axis=0)) / draws)
    moved = error > 0
    assert moved.sum() > 50
    difference = shared.mean(axis=0) - own.mean(axis=0)
    assert (abs(difference)[moved] < 5 * error[moved]).all()
    np.testing.assert_allclose(difference[~moved], 0, atol=1e-12)
    assert abs(shared.mean(axis=0)).max() > 20 * error.max()  # there is something to compare


def no_counts():
    return dict.fromkeys(("pairs", "active", "impostors", "skipped", "loss"), 0)


def tile_with_negatives_of(tables, likes, visits, chosen, seed):
    draw = reference_tile.draw_shared
    reference_tile.draw_shared = lambda n_items, n, _, epoch, position: draw(
        n_items, n, seed, epoch, position
    )
    try:
        return reference_tile.tile_gradients(tables, likes, visits, chosen, no_counts())
    finally:
        reference_tile.draw_shared = draw


# --- the oracle -------------------------------------------------------------------------------


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("seed", range(4))
def test_gradients_are_those_of_finite_differences(loss, seed):
    rng = np.random.default_rng(seed)
    likes = sp.csr_array((rng.random((5, 20)) < 0.4).astype(np.float64))
    likes.data[:] = rng.uniform(0.5, 2, likes.nnz)
    shapes = (5, 4), (20, 4)
    users, items = (rng.normal(size=shape) / 2 for shape in shapes)
    tables = reference.Tables(users, np.zeros(shapes[0]), items, np.zeros(shapes[1]))
    chosen = reference.Settings(
        n_negatives=9,
        margin=1.5,
        learning_rate=0.1,
        epsilon=1e-8,
        max_norm=1.0,
        seed=seed,
        loss=loss,
        temperature=0.7,
        importance_weight=20 / 9,
        negative_weight=0.3,
    )

    def loss_of_tile():
        counters = no_counts()
        step = reference_tile.tile_gradients(tables, likes, range(12), chosen, counters)
        return counters["loss"], step

    sums = {"user": np.zeros(shapes[0]), "item": np.zeros(shapes[1])}
    for name, row, gradient in loss_of_tile()[1]:
        sums[name][row] += gradient
    for name, table in (("user", users), ("item", items)):
        for index in np.ndindex(table.shape):
            before = table[index]
            values = []
            for step in (1e-6, -1e-6):
                table[index] = before + step
                values.append(loss_of_tile()[0])
            table[index] = before
            slope = (values[0] - values[1]) / 2e-6
            assert sums[name][index] == pytest.approx(slope, abs=2e-6)


def test_a_users_own_items_are_no_negatives():
    """A user who likes all items but one: only that one is pushed."""
    likes = sp.csr_array(np.array([[1.0] * 9 + [0]], dtype=np.float32))
    tables = reference.Tables(*(np.full((n, 2), 0.1 * n) for n in (1, 1, 10, 10)))
    chosen = reference.Settings(
        n_negatives=50,
        margin=9.0,
        learning_rate=0.1,
        epsilon=1e-8,
        max_norm=9.0,
        seed=1,
        loss="contrastive",
    )
    counters = no_counts()
    step = reference_tile.tile_gradients(tables, likes, range(9), chosen, counters)
    pushed = [row for name, row, _ in step[18:] if name == "item"]
    assert set(pushed) == {9}
    assert counters["impostors"] == 9 * len(pushed) > 0


def test_fused_multiply_adds_are_rounded_once():
    from fractions import Fraction

    rng = np.random.default_rng(2)
    a, b, c = (
        (rng.normal(size=20000) * 2.0 ** rng.integers(-30, 30, 20000)).astype(np.float32)
        for _ in range(3)
    )
    c[::2] = -(a[::2] * b[::2])  # cancels all but the rounding
    # Below the middle of two floats, but so little that float64 rounds to the middle.
    a[1], b[1], c[1] = 2**-24 * (1 + 2**-23), 1 - 2**-23, 1 + 2**-23
    fused = reference_tile.fma(a, b, c)
    assert fused[1] == np.float32(1 + 2**-23)
    for x, y, z, result in zip(a[:2000], b[:2000], c[:2000], fused[:2000], strict=True):
        exact = Fraction(float(x)) * Fraction(float(y)) + Fraction(float(z))
        error = abs(Fraction(float(result)) - exact)
        for neighbour in np.nextafter(result, np.float32([-np.inf, np.inf])):
            assert error <= abs(Fraction(float(neighbour)) - exact)


def test_exponentials_and_logarithms_are_near_the_true_ones():
    x = np.linspace(-39.9, 80, 100001, dtype=np.float32)
    np.testing.assert_allclose(reference_tile.exp(x), np.exp(np.float64(x)), rtol=1.2e-7)
    assert reference_tile.exp(np.float32([-40.5, -np.inf])).tolist() == [0, 0]
    y = np.exp(np.linspace(-30, 80, 100001)).astype(np.float32)
    np.testing.assert_allclose(reference_tile.log(y), np.log(np.float64(y)), rtol=2e-7, atol=2e-7)
