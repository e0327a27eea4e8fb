"""Losses with shared negatives on the emulated CUDA device: the bits of the CPU.

test_tile.py compares a few problems of this device with the oracle.
"""

import itertools

import numpy as np
import pytest
import scipy.sparse as sp
from oracle.losses import TILE_LOSSES
from support.emulated import ORDERS, atomic_additions
from support.kernels import (
    EMULATED,
    digest,
    make_job,
    mostly_slow,
    random_likes,
    random_tables,
    settings,
    snapshot,
)

from cml_fast._compute import kernels

LOSSES = tuple(TILE_LOSSES)


@pytest.fixture(params=LOSSES)
def loss(request):
    return request.param


@pytest.fixture(params=EMULATED)
def device(request, emulator):
    return request.param


@pytest.fixture(autouse=True)
def wide_bound(monkeypatch):
    """The fixed point has room for every gradient."""
    monkeypatch.setattr(kernels, "gradient_bound", lambda *_: 1e4)


def problem(device, n_users=20, n_items=60, **changes):
    likes = random_likes(np.random.default_rng(5), n_users, n_items, weighted=True)
    chosen = settings(**{"temperature": 0.2, "margin": 1.5, "tile_size": 20, **changes})
    return random_tables(device, likes.shape, chosen), likes, chosen


def train(device, launches=None, emulation=None, **changes):
    """The hash after these launches, by default of two epochs at once, and what the last said."""
    tables, likes, chosen = problem(device, **changes)
    job = make_job(tables, likes, chosen, **(emulation or {}))
    for begin, end in launches or [(0, 2 * likes.nnz)]:
        counters = job.run(begin, end)
    assert counters.first_non_finite is None
    return digest(snapshot(tables)), counters


def assert_same_as_cpu(device, emulation=None, launches=None, **changes):
    expected, of_cpu = train("cpu", launches, **changes)
    got, counters = train(device, launches, emulation, **changes)
    for name in ("pairs", "active", "impostors", "skipped"):
        assert getattr(counters, name) == getattr(of_cpu, name), name
    assert counters.loss == pytest.approx(of_cpu.loss, rel=1e-12)
    assert counters.active > 0
    assert got == expected


def around_the_end_of_an_epoch(n, size, **changes):
    """A launch of n tiles or batches of so many pairs before it and after it, for what takes long:
    at most two epochs. It begins where one of them does."""
    _, likes, _ = problem("cpu", **changes)
    begin = max(0, likes.nnz // size - n) * size
    return [(begin, min(likes.nnz + n * size, 2 * likes.nnz))]


# --- mini-batches -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("n_negatives", "n_items"),
    mostly_slow([(7, 60), (256, 6)], itertools.product([1, 7, 40, 256], [6, 60, 900])),
)
def test_any_number_of_negatives(device, loss, n_negatives, n_items):
    changes = {"n_users": 8, "n_items": n_items, "n_negatives": n_negatives, "batch_size": 640}
    launches = around_the_end_of_an_epoch(1, 640, **changes)
    assert_same_as_cpu(device, launches=launches, loss=loss, tile_size=128, **changes)


@pytest.mark.parametrize(
    ("tile_size", "batch_size"),
    mostly_slow([(1, 50), (5, 2**24)], itertools.product([1, 5, 33, 128], [1, 50, 2**24])),
)
def test_tiles_end_with_their_batch_and_epoch(device, tile_size, batch_size):
    changes = {"n_users": 10, "n_items": 25, "tile_size": tile_size, "batch_size": batch_size}
    assert_same_as_cpu(device, loss="softmax", **changes)


@pytest.mark.parametrize(
    ("order", "grid"),
    mostly_slow([("shuffled", (3, 5))], itertools.product(ORDERS, [(1, 1), (1, 8), (3, 5)])),
)
def test_no_order_matters_in_mini_batches(device, loss, order, grid):
    for seed in (0, 1, 2):
        emulation = {"order": order, "seed": seed, "grid": grid}
        assert_same_as_cpu(device, emulation, loss=loss, n_users=12, n_items=30, batch_size=90)


@pytest.mark.parametrize(
    ("batch_size", "teams"),
    mostly_slow([(90, 2), (2**24, 3)], itertools.product([20, 90, 2**24], [1, 2, 3, 5])),
)
def test_teams_of_blocks(emulator, loss, batch_size, teams):
    """Of the same or of different sizes, with fewer or more tiles than there are teams."""
    for seed in (1, 2):
        emulation = {"order": "shuffled", "seed": seed, "grid": (5, 2), "teams": teams}
        changes = {"n_users": 12, "n_items": 30, "n_dims": 70, "batch_size": batch_size}
        assert_same_as_cpu("emulated", emulation, loss=loss, **changes)


@pytest.mark.parametrize("n_dims", [1, 31, 33, 100, 1024, 1500])
def test_the_teams_of_the_host(emulator, n_dims):
    changes = {"n_users": 6, "n_items": 30, "batch_size": 40}
    assert_same_as_cpu("emulated", loss="softmax", n_dims=n_dims, **changes)


@pytest.mark.parametrize(
    ("n_dims", "n_negatives", "grid", "n_users"),
    mostly_slow(
        [(33, 256, (1, 8), 2000), (33, 1024, (3, 3), 1)],
        [
            (n_dims, n_negatives, grid, n_users)
            for n_dims in (1, 33, 100, 300)
            for n_negatives, grid in ((256, (1, 8)), (1024, (1, 8)), (1024, (3, 3)))
            for n_users in (1, 2000)
        ],
    ),
)
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_block_adds_up_the_gradients_of_a_row(
    emulator, n_dims, n_negatives, grid, n_users, precision
):
    """So that each element of a row takes one atomic addition of the block, wherever its slots are.
    All pairs of the tile have the same user, who likes all items but four. Each of these has slots
    in every block. With so many users the sums are not those of all rows, and slots are claimed."""
    liked, free, (blocks, warps) = 100, 4, grid
    likes = sp.csr_array((np.arange(n_users) == 0)[:, None] * (np.arange(liked + free) < liked))
    likes = likes.astype(np.float32)
    changes = {"loss": "softmax", "tile_size": liked, "temperature": 0.2, "batch_size": liked}
    chosen = settings(n_dims=n_dims, n_negatives=n_negatives, precision=precision, **changes)

    def train(device, **emulation):
        tables = random_tables(device, likes.shape, chosen)
        assert make_job(tables, likes, chosen, **emulation).run(0, liked).active == liked
        return digest(snapshot(tables))

    expected = train("cpu")
    atomic_additions()
    assert train("emulated", order="shuffled", seed=1, grid=grid, teams=1) == expected
    counters = 4 * blocks * warps  # that each warp adds once
    assert atomic_additions() - counters == n_dims * (blocks * (1 + free) + liked)


def test_any_split_into_launches(device, loss):
    _, likes, _ = problem("cpu")
    launches = [(0, 50), (50, 150), (150, likes.nnz), (likes.nnz, 2 * likes.nnz)]
    split, _ = train(device, launches, loss=loss, batch_size=50)
    assert split == train("cpu", loss=loss, batch_size=50)[0]


@pytest.mark.parametrize("bad", [np.inf, np.nan, 3.0])
def test_a_batch_with_a_bad_row_changes_nothing(device, loss, bad):
    tables, likes, chosen = problem(device, loss=loss, batch_size=70)
    tables.arrays["items"][::2, 0] = bad
    before = snapshot(tables)
    counters = make_job(tables, likes, chosen).run(0, likes.nnz)
    assert counters.first_non_finite in (0, 20, 40, 60)
    assert counters.pairs == 70
    for name, array in snapshot(tables).items():
        np.testing.assert_array_equal(array, before[name])


@pytest.mark.parametrize("batch_size", [0, 20])
def test_only_a_tile_with_pairs_is_refused(emulator, batch_size):
    """Teams without a tile load rows, too."""
    for item in range(4, 16):
        tables, likes, chosen = problem("emulated", 8, 30, loss="softmax", batch_size=batch_size)
        tables.arrays["items"][item, 0] = np.inf
        refused = {
            make_job(tables, likes, chosen, grid=(4, 2), teams=teams).run(0, 20).first_non_finite
            for teams in (1, 3)
        }
        assert refused in ({0}, {None})


# --- asynchronous updates ---------------------------------------------------------------------


# The host chooses a single warp, for the tables are small.


@pytest.mark.parametrize(
    ("tile_size", "n_negatives", "n_items"),
    mostly_slow(
        [(5, 40, 60), (128, 256, 6)], itertools.product([1, 5, 128], [1, 40, 256], [6, 60])
    ),
)
def test_tiles_of_one_warp(emulator, loss, tile_size, n_negatives, n_items):
    emulation = {"order": "shuffled", "seed": 3}
    changes = {"n_users": 8, "n_items": n_items, "n_negatives": n_negatives}
    launches = around_the_end_of_an_epoch(20, tile_size, **changes)
    assert_same_as_cpu("emulated", emulation, launches, loss=loss, tile_size=tile_size, **changes)


def test_one_warp_goes_on_where_it_stopped(emulator, loss):
    _, likes, _ = problem("cpu")
    launches = [(0, 60), (60, likes.nnz + 40), (likes.nnz + 40, 2 * likes.nnz)]
    split, _ = train("emulated", launches, loss=loss)
    assert split == train("cpu", loss=loss)[0]


@pytest.mark.parametrize(
    ("rowwise", "seed"),
    mostly_slow([(False, 0), (True, 1)], itertools.product([False, True], range(3))),
)
def test_several_warps_stay_in_the_ball(emulator, loss, rowwise, seed):
    changes = {"learning_rate": 0.5, "max_norm": 0.7, "tile_size": 8}
    tables, likes, chosen = problem("emulated", 128, 130, loss=loss, rowwise=rowwise, **changes)
    job = make_job(tables, likes, chosen, seed=seed)
    counters = job.run(0, 1040)  # so many that all multiprocessors are busy
    assert job.grid == (5, 8)
    assert counters.first_non_finite is None
    assert counters.pairs == 1040
    for vectors in tables.vectors():
        assert np.linalg.norm(vectors, axis=1).max() <= 0.7 * (1 + 1e-5)


@pytest.mark.parametrize(("grid", "teams"), [((2, 8), 2), ((5, 2), 1), ((5, 2), 2)])
@pytest.mark.parametrize("seed", range(5))
def test_all_warps_stop_at_what_is_not_finite(emulator, loss, seed, grid, teams):
    """All of a block, or of all blocks that meet, or none of them, whichever sees it. All pairs but
    one are skipped, and that one changes three rows: most warps have none of them."""
    likes = np.ones((15, 60), dtype=np.float32)
    likes[7, 1:] = 0
    likes = sp.csr_array(likes)
    chosen = settings(loss=loss, tile_size=5, n_negatives=1, learning_rate=1e38, margin=3.0)
    tables = random_tables("emulated", likes.shape, chosen)
    job = make_job(tables, likes, chosen, grid=grid, teams=teams, seed=seed)
    counters = job.run(0, 10**6)
    assert counters.first_non_finite is not None
    assert counters.pairs < 10**4
    assert all(np.isfinite(array).all() for array in snapshot(tables).values())


def test_no_update_of_a_popular_item_is_lost(emulator):
    """Every user likes the first item, so that all warps change its row, each while others do. The
    accumulators are so large that steps hardly depend on when they are made."""
    likes = sp.csr_array(np.eye(60, 61, k=1, dtype=np.float32) + (np.arange(61) == 0))
    chosen = settings(loss="contrastive", tile_size=4, n_negatives=1, learning_rate=0.01, margin=9)

    def change(grid, seed, teams=0):
        tables = random_tables("emulated", likes.shape, chosen)
        for name in ("user_accumulators", "item_accumulators"):
            tables.arrays[name][:, : chosen.n_dims] = 1e4
        before = snapshot(tables)["items"][0].copy()
        make_job(tables, likes, chosen, grid=grid, seed=seed, teams=teams).run(0, likes.nnz)
        return snapshot(tables)["items"][0] - before

    alone = change((1, 1), 0)
    for seed in range(1, 6):
        for grid, teams in (((2, 8), 2), ((5, 2), 2)):
            # A sixtieth of the change, or more, is missing where an update is lost.
            found = change(grid, seed, teams)
            assert np.linalg.norm(found - alone) < 0.005 * np.linalg.norm(alone)


@pytest.mark.parametrize(
    ("teams", "rowwise"), mostly_slow([(2, True)], [(1, False), (2, True), (3, False), (5, True)])
)
def test_teams_of_blocks_that_update_at_once(emulator, loss, teams, rowwise):
    """They train every pair once. So slowly they learn what a single warp does, up to the order of
    updates."""
    changes = {"n_users": 30, "n_items": 90, "learning_rate": 1e-3, "rowwise": rowwise}

    def change(**emulation):
        tables, likes, chosen = problem("emulated", loss=loss, **changes)
        for name in ("user_accumulators", "item_accumulators"):
            tables.arrays[name][:, : chosen.n_dims] = 100.0
        before = snapshot(tables)
        counters = make_job(tables, likes, chosen, **emulation).run(0, 2 * likes.nnz)
        assert counters.first_non_finite is None
        after = snapshot(tables)
        return counters, np.concatenate([(after[k] - before[k]).ravel() for k in after])

    expected, alone = change()
    for seed in (0, 1):
        counters, found = change(order="shuffled", seed=seed, grid=(5, 2), teams=teams)
        assert (counters.pairs, counters.skipped) == (expected.pairs, expected.skipped)
        assert counters.loss == pytest.approx(expected.loss, rel=1e-3)
        assert np.linalg.norm(found - alone) < 0.1 * np.linalg.norm(alone)


# --- the grid that the host chooses -----------------------------------------------------------


@pytest.mark.parametrize(
    ("shape", "batch_size", "grid"),
    [
        ((40, 60), 0, (1, 1)),  # fewer than 1,024 pairs
        ((90, 63), 0, (5, 8)),  # all multiprocessors are busy
        ((15, 60), 50, (5, 8)),  # also with three tiles
        ((15, 60), 10, (5, 8)),
        ((60, 60), 120, (5, 8)),
    ],
)
@pytest.mark.parametrize("tile_size", [1, 20])
def test_the_grid_that_the_host_chooses(emulator, shape, tile_size, batch_size, grid):
    tables, likes, chosen = problem(
        "emulated", *shape, loss="softmax", tile_size=tile_size, batch_size=batch_size, n_dims=3
    )
    samples = max(batch_size, 4 * tile_size)
    job = make_job(tables, likes, chosen)
    assert job.run(0, samples).pairs == samples
    assert job.grid == grid


def teams_of(multiprocessors, n_tiles, **changes):
    """The teams that share so many tiles of a mini-batch."""
    defaults = {"n_dims": 100, "n_negatives": 256, "tile_size": 128, "loss": "softmax"}
    chosen = settings(**{**defaults, **changes, "batch_size": 128 * n_tiles})
    likes = sp.csr_array(np.ones((1, 128 * n_tiles), dtype=np.float32))
    job = make_job(random_tables("emulated", likes.shape, chosen), likes, chosen)
    (launch,) = job.launches(0, likes.nnz, multiprocessors, 1)
    assert launch.blocks == multiprocessors
    return launch.teams


@pytest.mark.parametrize(
    ("multiprocessors", "n_tiles", "teams"),
    [
        (132, 8, 8),
        (132, 64, 64),  # of two blocks each, and four blocks more
        (108, 64, 36),  # of three, in two rounds: 64 teams of one block would take longer
        (108, 54, 54),
        (132, 140, 33),  # 132 teams would have eight tiles in the second round
        (132, 264, 132),
        (128, 1, 1),
    ],
)
def test_teams(emulator, multiprocessors, n_tiles, teams):
    assert teams_of(multiprocessors, n_tiles) == teams


def test_no_other_number_of_teams_has_much_less_to_do(emulator):
    """The pairs of the busiest block, for any number of tiles."""

    def busiest(n_tiles, teams):
        return -(-n_tiles // teams) * -(-16 // (108 // teams))  # units of 8 pairs

    for n_tiles in range(1, 230, 3):
        least = min(busiest(n_tiles, teams) for teams in range(1, min(n_tiles, 108) + 1))
        assert busiest(n_tiles, teams_of(108, n_tiles)) <= 1.25 * least + 1
