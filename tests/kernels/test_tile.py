"""Losses whose pairs share negatives: the kernels against the oracle."""

import dataclasses

import numpy as np
import pytest
from oracle.losses import TILE_LOSSES
from support.kernels import (
    Tables,
    check_against_oracle,
    digest,
    make_job,
    random_likes,
    random_tables,
    settings,
    snapshot,
)

LOSSES = tuple(TILE_LOSSES)


def problem(device, n_users=40, n_items=60, **changes):
    likes = random_likes(np.random.default_rng(5), n_users, n_items, weighted=True)
    defaults = {"tile_size": 64, "margin": 1.5, "temperature": 0.4, "loss": "softmax"}
    chosen = settings(**{**defaults, **changes})
    n = chosen.n_negatives
    shared = {"importance_weight": n_items / n, "negative_weight": 3 / n}
    chosen = settings(**{**defaults, **shared, **changes})
    return random_tables(device, likes.shape, chosen), likes, chosen


def check(device, end, **changes):
    """The first samples, all active or skipped, are as in the oracle."""
    counters = check_against_oracle(problem, device, 0, end, **changes)
    assert 0 < counters.active <= counters.pairs


# --- equal to the oracle ----------------------------------------------------------------------


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("n_dims", [1, 31, 100, 250, 300, 1500])
def test_mini_batches_equal_the_oracle(sync_kernel, loss, n_dims):
    check(sync_kernel, 200, loss=loss, n_dims=n_dims, batch_size=100)


@pytest.mark.parametrize(
    ("loss", "rowwise", "batch_size"),
    [
        ("contrastive", False, 1),
        ("softmax", True, 63),
        ("contrastive", True, 64),
        ("softmax", False, 65),
        ("contrastive", False, 200),
        ("softmax", True, 2**24),
        ("shared_warp", True, 70),
        ("shared_warp", False, 2**24),
    ],
)
def test_mini_batches_of_any_size_equal_the_oracle(sync_kernel, loss, rowwise, batch_size):
    """Two epochs: tiles end with their batch, and batches with their epoch."""
    n_users = 4 if batch_size == 1 else 10  # a launch for each pair takes long
    check(sync_kernel, None, loss=loss, rowwise=rowwise, batch_size=batch_size, n_users=n_users)


@pytest.mark.parametrize("pairs_per_part", [32, 256])
@pytest.mark.parametrize("batch_size", [0, 100])
def test_an_order_in_parts_equals_the_oracle(kernel, batch_size, pairs_per_part):
    """Two epochs; tiles and batches go across the bounds of parts."""
    check(kernel, None, n_users=10, batch_size=batch_size, pairs_per_part=pairs_per_part)


@pytest.mark.parametrize(
    ("loss", "rowwise", "n_dims"),
    [
        ("softmax", False, 1),
        ("contrastive", True, 31),
        ("softmax", True, 33),
        ("contrastive", False, 40),  # a quarter of the last chunk
        ("softmax", True, 41),  # one more
        ("contrastive", False, 100),
        ("softmax", False, 1024),
        ("contrastive", True, 1500),
        ("shared_warp", True, 1),
        ("shared_warp", False, 100),
    ],
)
def test_one_thread_equals_the_oracle(kernel, loss, rowwise, n_dims):
    check(kernel, 192, loss=loss, rowwise=rowwise, n_dims=n_dims)


@pytest.mark.parametrize(
    ("loss", "rowwise", "n_dims", "batch_size"),
    [
        ("shared_warp", True, 1, 100),
        ("softmax", False, 31, 100),
        ("contrastive", True, 33, 0),
        ("softmax", True, 100, 0),
        ("shared_warp", False, 100, 0),
        ("contrastive", False, 1024, 100),
        ("softmax", True, 1500, 100),
    ],
)
def test_rounded_operands_equal_the_oracle(isa, loss, rowwise, n_dims, batch_size):
    """And they do change what is learned."""
    changes = {"loss": loss, "rowwise": rowwise, "n_dims": n_dims, "batch_size": batch_size}
    end = batch_size or 128
    check("cpu", end, precision="bfloat16", **changes)
    digests = set()
    for precision in ("float32", "bfloat16"):
        tables, likes, chosen = problem("cpu", precision=precision, **changes)
        make_job(tables, likes, chosen).run(0, end)
        digests.add(digest(snapshot(tables)))
    assert len(digests) == 2


@pytest.mark.parametrize(
    ("tile_size", "n_negatives", "n_items"),
    [(1, 1, 60), (33, 2, 5), (128, 7, 7), (33, 40, 9), (1, 256, 60), (128, 256, 230)],
)
def test_any_number_of_negatives_equals_the_oracle(kernel, tile_size, n_negatives, n_items):
    changes = {"n_negatives": n_negatives, "n_items": n_items, "tile_size": tile_size}
    n_pairs = problem("cpu", n_users=12, **changes)[1].nnz
    assert n_pairs < 1024  # with more, CUDA has several tiles in flight
    end = tile_size * 3 if tile_size * 3 < n_pairs else None
    check(kernel, end, n_users=12, **changes)


def problem_with_ties(device, **changes):
    """Items on a coarse grid: many negatives are as near to a user as others."""
    likes = random_likes(np.random.default_rng(2), 9, 40, density=0.1, weighted=True)
    chosen = settings(loss="shared_warp", n_dims=2, n_negatives=64, margin=1.0, tile_size=32)
    rng = np.random.default_rng(3)
    users, items = (rng.choice([-0.5, 0.0, 0.5], size=(n, 2)) for n in likes.shape)
    tables = Tables(device, 2, users.astype(np.float32), items.astype(np.float32))
    return tables, likes, dataclasses.replace(chosen, **changes)


@pytest.mark.parametrize("margin", [1e-3, 1.0])
def test_of_equally_near_negatives_the_first_is_pushed(kernel, margin):
    """And some pairs, where the margin is small, push none."""
    counters = check_against_oracle(problem_with_ties, kernel, 0, 64, margin=margin)
    assert counters.active < counters.impostors
    assert margin == 1.0 or counters.active < counters.pairs - counters.skipped


@pytest.mark.parametrize("batch_size", [0, 150])
def test_long_rows_of_likes(kernel, batch_size):
    """So many likes that negatives are looked up in them, not they among the negatives."""
    changes = {"n_users": 5, "n_items": 400, "n_negatives": 4}
    check(kernel, batch_size or 128, batch_size=batch_size, **changes)


@pytest.mark.parametrize(
    ("loss", "precision"), [*((loss, "float32") for loss in LOSSES), ("softmax", "bfloat16")]
)
def test_mini_batches_are_the_same_on_any_number_of_threads(loss, precision):
    digests = set()
    changes = {"loss": loss, "precision": precision, "batch_size": 300}
    for n_threads in (1, 2, 3):
        tables, likes, chosen = problem("cpu", n_threads=n_threads, **changes)
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


@pytest.mark.parametrize("loss", LOSSES)
def test_a_gradient_that_counts_as_divergence_is_refused(kernel, loss):
    """Its row is finite, and so would be the sums of its squares."""
    tables, likes, chosen = problem(kernel, loss=loss)
    tables.arrays["items"][7, : chosen.n_dims] = 1.7e14
    before = snapshot(tables)
    assert make_job(tables, likes, chosen).run(0, likes.nnz).first_non_finite is not None
    after = snapshot(tables)
    np.testing.assert_array_equal(after["items"][7], before["items"][7])
    assert not after["item_accumulators"][7].any()
