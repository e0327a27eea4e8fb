"""The compiled kernels against the oracle and against each other.

Where the smaller table has fewer than 16 rows CUDA runs a single warp, which is repeatable: the
tests that compare bits keep to that, and so hold on every device.
"""

import functools

import numpy as np
import pytest
from support.kernels import (
    INSTRUCTION_SETS,
    TABLE_NAMES,
    Tables,
    assert_same_counters,
    check_against_oracle,
    job_arguments,
    larger_problem,
    make_job,
    random_likes,
    random_tables,
    settings,
    snapshot,
)

from cml_fast import _core, build_info
from cml_fast._compute.devices import ISA_VARIABLE

# --- equal to the oracle, to the bit ----------------------------------------------------------


def small_problem(device, weighted=False, **changes):
    """Few enough users that some pairs are inactive, and users of every special kind."""
    rng = np.random.default_rng(1)
    likes = random_likes(rng, 9, 21, density=0.1, weighted=weighted)
    chosen = settings(**changes)
    return random_tables(device, likes.shape, chosen), likes, chosen


@pytest.mark.parametrize(
    ("n_dims", "n_negatives", "weighted"),
    [
        (1, 7, False),
        (1, 64, True),
        (31, 1, True),
        (33, 3, True),
        (33, 33, False),
        (100, 20, True),
        (1024, 64, False),
        (1500, 33, True),
        (2048, 20, False),
    ],
)
def test_equals_the_oracle(kernel, n_dims, n_negatives, weighted):
    changes = {"n_dims": n_dims, "n_negatives": n_negatives, "weighted": weighted}
    check_against_oracle(small_problem, kernel, 0, None, **changes)


def test_the_problem_reaches_every_branch():
    """Inactive pairs, active ones, users without a negative, and rows pulled back into the ball."""
    tables, likes, chosen = small_problem("cpu", n_negatives=3, weighted=True)
    counters = make_job(tables, likes, chosen).run(0, 2 * likes.nnz)
    assert {0, 1, 20, 21} <= set(np.diff(likes.indptr))
    assert 0 < counters.active < counters.pairs - counters.skipped
    assert counters.impostors > counters.active
    assert counters.skipped == 2 * 21
    trained = tables.arrays["item_accumulators"].any(axis=1)
    norms = np.linalg.norm(tables.vectors()[1][trained], axis=1)
    assert norms.min() < 0.999 * chosen.max_norm
    assert norms.max() == pytest.approx(chosen.max_norm)


def random_problem(device, case):
    rng = np.random.default_rng([3, case])
    n_users, n_items = int(rng.integers(1, 15)), int(rng.integers(2, 60))
    likes = random_likes(
        rng, n_users, n_items, density=rng.uniform(0.02, 0.9), weighted=bool(rng.integers(2))
    )
    chosen = settings(
        n_dims=int(rng.integers(1, 300)),
        n_negatives=int(rng.integers(1, 40)),
        margin=float(rng.uniform(0.05, 3)),
        learning_rate=float(rng.uniform(0.01, 1)),
        max_norm=float(rng.uniform(0.5, 2)),
        seed=int(rng.integers(2**64, dtype=np.uint64)),
    )
    return random_tables(device, likes.shape, chosen, table_seed=case), likes, chosen


@pytest.mark.parametrize("case", range(6))
def test_equals_the_oracle_on_random_problems(kernel, case):
    begin = int(np.random.default_rng(case).integers(2**40))
    check_against_oracle(random_problem, kernel, begin, begin + 150, case=case)


def wide_problem(device, n_dims):
    likes = random_likes(np.random.default_rng(4), 9, 20)
    chosen = settings(n_dims=n_dims, n_negatives=5, margin=1.0)
    return random_tables(device, likes.shape, chosen), likes, chosen


@pytest.mark.parametrize("widths", [range(1, 67), range(239, 290), range(2031, 2034)], ids=str)
def test_equals_the_oracle_at_every_width(kernel, widths):
    """Rows end anywhere in a chunk; those of up to 256 elements have kernels of their own."""
    for n_dims in widths:
        check_against_oracle(wide_problem, kernel, 0, 12, n_dims=n_dims)


def problem_with_ties(device, n_dims):
    """Items on a coarse grid: many negatives violate exactly as much as others."""
    rng = np.random.default_rng(n_dims)
    likes = random_likes(rng, 9, 40, density=0.1)
    users, items = (rng.choice([-0.5, 0.0, 0.5], size=(n, n_dims)) for n in likes.shape)
    tables = Tables(device, n_dims, users.astype(np.float32), items.astype(np.float32))
    return tables, likes, settings(n_dims=n_dims, n_negatives=64, margin=1.0)


@pytest.mark.parametrize("n_dims", [1, 2])
def test_of_equal_hinges_the_first_counts(kernel, n_dims):
    check_against_oracle(problem_with_ties, kernel, 0, 40, n_dims=n_dims)


# --- one range, many launches -----------------------------------------------------------------


@pytest.mark.parametrize("begin", [0, 2**50 + 45])
def test_any_split_of_a_range_gives_the_same(kernel, begin):
    tables, likes, chosen = larger_problem(kernel)
    # More than a CPU thread takes at a time; fewer on the slow emulated device.
    end = begin + (3 if kernel == "emulated" else 20) * likes.nnz + 7
    whole = make_job(tables, likes, chosen).run(begin, end)
    expected = snapshot(tables)
    rng = np.random.default_rng(6)
    next_epoch = (begin // likes.nnz + 1) * likes.nnz
    for cuts in (
        [begin, begin],  # empty ranges
        [begin + 1, begin + 32, begin + 33, next_epoch - 1, next_epoch, next_epoch + 1, end],
        np.sort(rng.integers(begin, end, size=60)).tolist(),
    ):
        tables, likes, chosen = larger_problem(kernel)
        total = dict.fromkeys(("pairs", "active", "impostors", "skipped", "loss"), 0)
        job = make_job(tables, likes, chosen)
        for i, (a, b) in enumerate(zip([begin, *cuts], [*cuts, end], strict=True)):
            if i == 3:
                job = make_job(tables, likes, chosen)  # a job has no memory of its own
            counters = job.run(a, b)
            for name in total:
                total[name] += getattr(counters, name)
        assert_same_counters(whole, total)
        for name, array in snapshot(tables).items():
            np.testing.assert_array_equal(array, expected[name], name)


def test_an_empty_range_does_nothing(kernel):
    tables, likes, chosen = larger_problem(kernel)
    before = snapshot(tables)
    counters = make_job(tables, likes, chosen).run(77, 77)
    assert (counters.pairs, counters.loss, counters.first_non_finite) == (0, 0.0, None)
    for name, array in snapshot(tables).items():
        np.testing.assert_array_equal(array, before[name])


# --- instruction sets -------------------------------------------------------------------------


@functools.cache
def trained_by_the_first_set(n_dims):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(ISA_VARIABLE, INSTRUCTION_SETS[0])
        return train_a_while(n_dims)


def train_a_while(n_dims):
    likes = random_likes(np.random.default_rng(7), 200, 300, density=0.05)
    chosen = settings(n_dims=n_dims, n_negatives=20)
    tables = random_tables("cpu", likes.shape, chosen)
    counters = make_job(tables, likes, chosen).run(0, 9000)
    return snapshot(tables), counters


@pytest.mark.parametrize("n_dims", [16, 48, 64, 256, 257])
@pytest.mark.parametrize("other", INSTRUCTION_SETS[1:])
def test_every_instruction_set_gives_the_same(monkeypatch, other, n_dims):
    monkeypatch.setenv(ISA_VARIABLE, other)
    expected, whole = trained_by_the_first_set(n_dims)
    got, counters = train_a_while(n_dims)
    assert (counters.loss, counters.impostors) == (whole.loss, whole.impostors)
    for name in TABLE_NAMES:
        np.testing.assert_array_equal(got[name], expected[name], name)


def test_the_environment_chooses_the_instruction_set(isa, monkeypatch):
    info = build_info()
    assert (info["instruction_set"], info["instruction_set_forced"]) == (isa, True)
    tables, likes, chosen = larger_problem("cpu")
    asked = {}
    monkeypatch.setattr(_core, "Job", lambda device, **arguments: asked.update(arguments))
    make_job(tables, likes, chosen)
    assert asked["instruction_set"] == isa


def test_without_the_environment_the_best_set_is_used(monkeypatch):
    monkeypatch.delenv(ISA_VARIABLE, raising=False)
    info = build_info()
    assert info["instruction_set"] == INSTRUCTION_SETS[0]
    assert info["instruction_set_forced"] is False


def test_an_unknown_instruction_set_is_refused(monkeypatch):
    monkeypatch.setenv(ISA_VARIABLE, "x86-64-v9")
    with pytest.raises(ValueError, match=rf"{ISA_VARIABLE}='x86-64-v9'.*choose from"):
        make_job(*larger_problem("cpu"))
    with pytest.raises(ValueError, match="instruction set 'x86-64-v9'"):
        _core.Job("cpu", **job_arguments(instruction_set="x86-64-v9")).run(0, 1)


# --- several workers --------------------------------------------------------------------------


@pytest.mark.parametrize("n_threads", [1, 4])
def test_several_workers_train_alike(job_device, n_threads):
    """Counts of pairs are exact; what was learned is near what one thread learns."""
    shape = (400, 500)
    if job_device == "emulated":
        if n_threads > 1:
            pytest.skip("threads are the CPU's")
        shape = (200, 250)  # 25 warps in place of 50: a fourth of the pairs, for time's sake
    likes = random_likes(np.random.default_rng(8), *shape, density=0.05, weighted=True)
    chosen = settings(n_threads=n_threads, n_negatives=20)
    alone = random_tables("cpu", likes.shape, chosen)
    tables = random_tables(job_device, likes.shape, chosen)
    job_alone = make_job(alone, likes, settings(n_negatives=20))
    job = make_job(tables, likes, chosen)
    losses = []
    for epoch in range(4):
        samples = epoch * likes.nnz, (epoch + 1) * likes.nnz
        expected, counters = job_alone.run(*samples), job.run(*samples)
        assert counters.pairs == likes.nnz
        assert counters.skipped == expected.skipped == shape[1]
        assert counters.first_non_finite is None
        for name in ("active", "impostors", "loss"):
            assert getattr(counters, name) == pytest.approx(getattr(expected, name), rel=0.05)
        losses.append(counters.loss)
    assert losses[-1] < 0.8 * losses[0]
    arrays = snapshot(tables)
    for name, array in arrays.items():
        assert np.isfinite(array).all(), name
        assert not array[:, chosen.n_dims :].any(), name


def test_what_is_trained_stays_in_the_ball(kernel):
    tables, likes, chosen = larger_problem(kernel, margin=3.0, learning_rate=0.5, max_norm=0.7)
    make_job(tables, likes, chosen).run(0, 5 * likes.nnz)
    arrays = snapshot(tables)
    for name in ("users", "items"):
        trained = arrays[name][arrays[f"{name[:-1]}_accumulators"].any(axis=1)]
        norms = np.linalg.norm(trained.astype(np.float64), axis=1)
        assert norms.max() <= 0.7 * (1 + 1e-5)
        assert (norms > 0.7 * (1 - 1e-5)).mean() > 0.3  # the limit was needed
