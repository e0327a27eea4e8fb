"""What workers change in a round becomes one: compiled, and on GPUs, against the oracle."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
import pytest
from oracle import exchange

from cml_fast import _core
from cml_fast.distributed import _exchange_on_gpus as on_gpus
from cml_fast.distributed import _shard
from cml_fast.distributed._exchange import Items, Parcel, arrive, combine, pack

MAX_NORM = 1.0


def items(vectors: list[list[float]], accumulators: list[float]) -> Items:
    padded = np.zeros((len(vectors), 16), dtype=np.float32)
    padded[:, :2] = vectors
    return Items(padded, np.array(accumulators, dtype=np.float32)[:, None])


def test_changes_are_added_with_the_steps_of_all_workers_squared_gradients() -> None:
    start = items([[0, 0], [0.5, 0], [0.5, 0.5]], [1, 1, 3])
    # Item 0 is changed by nobody, item 1 by the first worker, item 2 by both.
    first = items([[0, 0], [0.25, 0], [0.75, 0.5]], [1, 2, 4])
    second = items([[0, 0], [0.5, 0], [0.5, 0.75]], [1, 1, 8])
    parcels = [pack(now, start, 2) for now in (first, second)]
    assert [parcel.rows.tolist() for parcel in parcels] == [[1, 2], [2]]
    shared = start.copy()
    combined = combine(parcels, shared, max_norm=10)
    factor = np.float32(np.sqrt((3 + 6 / 2) / (3 + 6)))
    assert combined.rows.tolist() == [1, 2]
    np.testing.assert_allclose(
        combined.vectors, [[0.25, 0], [0.5 + factor * 0.25, 0.5 + factor * 0.25]], rtol=1e-6
    )
    assert combined.accumulators.tolist() == [[2], [9]]
    for now in (first, second):
        arrive(start, now, combined, None, max_norm=10)
        for side in (now, start, shared):
            np.testing.assert_array_equal(side.vectors[[1, 2], :2], combined.vectors)
            np.testing.assert_array_equal(side.accumulators[[1, 2]], combined.accumulators)
    assert first.vectors[0].tolist() == [0] * 16


def test_own_changes_are_put_on_combined_rows() -> None:
    start = items([[0, 0], [0.5, 0], [0.5, 0.5]], [1, 1, 3])
    changed = items([[0.125, 0], [0.5, 0], [0.75, 0.5]], [2, 1, 7])
    own = pack(changed, start, 2)
    assert own.rows.tolist() == [0, 2]
    vectors, accumulators = [[0.25, 0.25], [0, 0.5]], [[8], [16]]
    rows = np.array([1, 2], dtype=np.int32)
    combined = Parcel(rows, np.array(vectors, "f4"), np.array(accumulators, "f4"))
    now = changed.copy()
    arrive(start, now, combined, own, max_norm=2)
    assert now.vectors[:, :2].tolist() == [[0.125, 0], [0.25, 0.25], [0.25, 0.5]]
    assert now.accumulators.tolist() == [[2], [8], [20]]
    assert start.vectors[:, :2].tolist() == [[0, 0], [0.25, 0.25], [0, 0.5]]
    assert start.accumulators.tolist() == [[1], [8], [16]]
    arrive(start, changed, combined, own, max_norm=0.5)  # the kernels count on vectors in the ball
    np.testing.assert_allclose(changed.vectors[2, :2], [0.5 / 5**0.5, 1 / 5**0.5], rtol=1e-6)


def test_a_row_that_has_come_back_to_where_it_was_is_packed() -> None:
    start, now = (items([[1, 0], [0, 1]], [1, last]) for last in (1, 2))
    parcel = pack(now, start, 2)
    assert parcel.rows.tolist() == [1]
    assert parcel.vectors.tolist() == [[0, 0]]
    assert parcel.accumulators.tolist() == [[1]]


def rows_of(some: Items, n_dims: int) -> list[exchange.Row]:
    width = min(n_dims, some.accumulators.shape[1])
    return [
        (vector[:n_dims].copy(), accumulators[:width].copy())
        for vector, accumulators in zip(*some, strict=True)
    ]


def parcel_rows(parcel: Parcel) -> exchange.Rows:
    return {
        number: (vector, accumulators)
        for number, vector, accumulators in zip(parcel.rows.tolist(), *parcel[1:], strict=True)
    }


def check_rows(found: exchange.Rows, expected: exchange.Rows) -> None:
    assert list(found) == list(expected)
    for number, row in expected.items():
        for array, wanted in zip(found[number], row, strict=True):
            np.testing.assert_array_equal(array, wanted)


class Case:
    """What four workers make of the same items in a round, and one of them in the next."""

    def __init__(self, n_dims: int, *, rowwise: bool) -> None:
        rng = np.random.default_rng(n_dims)
        n, stride = 60, -(-n_dims // 16) * 16

        def changed(before: Items | None, share: float) -> Items:
            """Vectors of a length of about 1, of which some are not the same as before."""
            vectors = np.zeros((n, stride), dtype=np.float32)
            vectors[:, :n_dims] = rng.standard_normal((n, n_dims)) / n_dims**0.5
            added = rng.random((n, 1 if rowwise else stride), dtype=np.float32)
            if n_dims > 1 and not rowwise:  # an element that no gradient has moved
                vectors[:, 0] = added[:, 0] = 0
            if before is None:
                added[::7] = 0
                return Items(vectors, added)
            moved = rng.random((n, 1)) < share
            return Items(
                np.where(moved, vectors, before.vectors),
                np.where(moved, before.accumulators + added, before.accumulators),
            )

        self.start = changed(None, 1)
        self.workers = [changed(self.start, share) for share in (0.3, 0.6, 1, 0)]
        self.since = changed(self.workers[1], 0.5)


@pytest.mark.parametrize("rowwise", [True, False])
@pytest.mark.parametrize("n_dims", [1, 2, 31, 33, 100, 1024, 1500])
def test_the_compiled_functions_do_what_the_oracle_does(n_dims: int, rowwise: bool) -> None:
    case = Case(n_dims, rowwise=rowwise)
    start, workers, since = case.start, case.workers, case.since
    n, first = len(start.vectors), rows_of(start, n_dims)
    parcels = [pack(now, start, n_dims) for now in workers]
    changes = [exchange.changed(rows_of(now, n_dims), first) for now in workers]
    for parcel, expected in zip(parcels, changes, strict=True):
        check_rows(parcel_rows(parcel), expected)
    assert [len(parcel.rows) for parcel in parcels[2:]] == [n, 0]

    for some in (slice(None), slice(2)):
        shared = start.copy()
        combined = combine(parcels[some], shared, MAX_NORM)
        expected = exchange.combined(changes[some], first, MAX_NORM)
        check_rows(parcel_rows(combined), expected)
        everything = dict(enumerate(exchange.arrived(first, expected, {}, MAX_NORM)))
        check_rows(dict(enumerate(rows_of(shared, n_dims))), everything)

        own = pack(since, workers[1], n_dims)
        assert 0 < len(own.rows) < n
        taken, now = workers[1].copy(), since.copy()
        arrive(taken, now, combined, own, MAX_NORM)
        own_rows = exchange.changed(rows_of(since, n_dims), rows_of(workers[1], n_dims))
        for found, before, of_own in ((taken, workers[1], {}), (now, since, own_rows)):
            wanted = exchange.arrived(rows_of(before, n_dims), expected, of_own, MAX_NORM)
            check_rows(dict(enumerate(rows_of(found, n_dims))), dict(enumerate(wanted)))


def on_gpu(cupy: ModuleType, some: Items) -> Items:
    return Items(*map(cupy.asarray, some))


@pytest.mark.parametrize("rowwise", [True, False])
@pytest.mark.parametrize("n_dims", [1, 2, 31, 33, 100, 1024, 1500])
def test_on_gpus_the_exchange_has_the_same_bits(
    n_dims: int, rowwise: bool, cupy: ModuleType
) -> None:
    case = Case(n_dims, rowwise=rowwise)

    def check(on_device: Items, expected: Items) -> None:
        for array, wanted in zip(on_device, expected, strict=True):
            assert array.get().tobytes() == wanted.tobytes()

    pairs = [(now, case.start) for now in case.workers]
    # An element that is zero with another sign has changed, as for the compiled functions.
    negative = case.workers[3].copy()
    negative.vectors[3, 0] = -0.0
    assert pack(negative, Items(abs(negative.vectors), negative.accumulators), n_dims).rows.size
    pairs[3] = negative, case.start
    parcels = [pack(*pair, n_dims) for pair in pairs]
    gathered = [on_gpus.pack(*(on_gpu(cupy, some) for some in pair), n_dims) for pair in pairs]
    for parcel, on_device in zip(parcels, gathered, strict=True):
        assert on_gpus.rows_of(on_device).get().tolist() == parcel.rows.tolist()
    shared = case.start.copy()
    shared_on_gpu = on_gpu(cupy, shared)
    combined = combine(parcels, shared, MAX_NORM)
    combined_on_gpu = on_gpus.combine(gathered, shared_on_gpu, MAX_NORM)
    check(shared_on_gpu, shared)
    own = pack(case.since, case.workers[1], n_dims)
    own_on_gpu = on_gpus.pack(on_gpu(cupy, case.since), on_gpu(cupy, case.workers[1]), n_dims)
    for since, since_on_gpu in ((own, own_on_gpu), (None, None)):
        taken, now = case.workers[1].copy(), case.since.copy()
        both = on_gpu(cupy, taken), on_gpu(cupy, now)
        arrive(taken, now, combined, since, MAX_NORM)
        on_gpus.arrive(*both, combined_on_gpu, since_on_gpu, MAX_NORM)
        check(both[0], taken)
        check(both[1], now)


@pytest.mark.parametrize("n_dims", [1, 33])
def test_workers_that_gather_combine_some_items_at_a_time(
    n_dims: int, cupy: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rows that changed are sent, and room for as many as the most of one worker."""
    case = Case(n_dims, rowwise=True)
    own, n_sent = 1, [0]
    # Not the one that changed all items: of some blocks nobody changed any.
    workers = [case.workers[at] for at in (0, 1, 3)]
    parcels = [on_gpus.pack(on_gpu(cupy, now), on_gpu(cupy, case.start), n_dims) for now in workers]
    rows = [on_gpus.rows_of(parcel).get() for parcel in parcels]
    bounds = np.arange(0, 61, 2)
    cuts = [np.searchsorted(each, bounds) for each in rows]
    counts = np.diff(cuts)
    assert (counts == 0).all(axis=0).any()
    blocks = iter(np.flatnonzero((counts > 0).any(axis=0)))

    def gather(sent: Any) -> list[Any]:
        if sent.ndim == 1:
            assert sent.get().tolist() == [5, *cuts[own]]
            return [cupy.asarray(np.append(5, each)) for each in cuts]
        block = next(blocks)
        rooms = np.zeros((3, counts[:, block].max(), n_dims + 2), dtype=np.float32)
        for room, parcel, cut in zip(rooms, parcels, cuts, strict=True):
            some = parcel.get()[cut[block] : cut[block + 1]]
            room[: len(some)] = some
        assert sent.get().tobytes() == rooms[own].tobytes()
        n_sent[0] += len(sent)
        return [cupy.asarray(room) for room in rooms]

    monkeypatch.setattr(_shard, "GATHERED_FLOATS", 2 * 3 * (n_dims + 2))
    share, whole = (_shard.Share(on_gpu(cupy, case.start), MAX_NORM, on_gpus) for _ in range(2))
    combined = share.combine_gathered(5, parcels[own], gather, 3)
    assert next(blocks, None) is None
    assert n_sent[0] < 60
    assert combined.get().tobytes() == whole.combine(parcels).get().tobytes()
    for found, expected in zip(share.combined, whole.combined, strict=True):
        assert found.get().tobytes() == expected.get().tobytes()


def test_workers_that_gather_different_rounds_do_not_combine_them(cupy: ModuleType) -> None:
    case = Case(2, rowwise=True)
    own = on_gpus.pack(on_gpu(cupy, case.workers[0]), on_gpu(cupy, case.start), 2)
    share = _shard.Share(on_gpu(cupy, case.start), MAX_NORM, on_gpus)

    def gather(sent: Any) -> list[Any]:
        return [sent, cupy.asarray(sent.get() + 1)]

    with pytest.raises(RuntimeError, match=r"in round 5, others gather \[5, 6\]"):
        share.combine_gathered(5, own, gather, 2)
    for found, expected in zip(share.combined, case.start, strict=True):
        assert found.get().tobytes() == expected.tobytes()


def test_changes_are_added_in_the_order_of_the_workers() -> None:
    start = items([[0, 0]], [0])
    rows = np.zeros(1, dtype=np.int32)
    # A float32 has 24 bits: 1 is lost in 2^24, 2 is not.
    parcels = [
        Parcel(rows, np.zeros((1, 2), dtype=np.float32), np.full((1, 1), added, dtype=np.float32))
        for added in (1 << 24, 1, 1)
    ]
    for order, expected in ((parcels, 1 << 24), (parcels[::-1], (1 << 24) + 2)):
        assert combine(order, start.copy(), max_norm=1).accumulators.tolist() == [[expected]]


def test_combined_rows_stay_in_the_ball() -> None:
    rng = np.random.default_rng(0)
    start = Items(np.zeros((5000, 112), dtype=np.float32), np.zeros((5000, 1), dtype=np.float32))
    rows = np.arange(5000, dtype=np.int32)
    vectors = rng.standard_normal((5000, 101), dtype=np.float32)
    vectors[:10] /= 100
    parcel = Parcel(rows, vectors, np.ones((5000, 1), dtype=np.float32))
    norms = np.linalg.norm(combine([parcel], start, max_norm=1.0).vectors, axis=1)
    assert norms.max() < 1 + 1e-6
    np.testing.assert_allclose(norms[10:], 1, rtol=1e-6)
    np.testing.assert_allclose(norms[:10], np.linalg.norm(vectors[:10], axis=1), rtol=1e-6)


def parcel_of(rows: list[int], n_dims: int = 2, width: int = 1) -> Parcel:
    n = len(rows)
    return Parcel(
        np.array(rows, dtype=np.int32),
        np.ones((n, n_dims), dtype=np.float32),
        np.ones((n, width), dtype=np.float32),
    )


@pytest.mark.parametrize(
    ("parcels", "message"),
    [
        ([parcel_of([0, 3])], "rows must ascend and be below 3, got 3"),
        ([parcel_of([-1])], "rows must ascend and be below 3, got -1"),
        ([parcel_of([0]), parcel_of([1, 1])], "rows must ascend and be below 3, got 1"),
        ([parcel_of([0]), parcel_of([1], n_dims=3)], "arrays of the same shapes"),
        ([parcel_of([0], n_dims=17)], "combined must have at least the columns"),
        ([parcel_of([0], n_dims=3, width=2)], "one accumulator, or as many as dimensions"),
        ([parcel_of([0])._replace(rows=np.zeros(2, dtype=np.int32))], "arrays of the same shapes"),
        ([], "there must be a parcel"),
    ],
)
def test_parcels_that_do_not_fit_are_refused_and_change_nothing(
    parcels: list[Parcel], message: str
) -> None:
    combined = items([[0, 0], [0.5, 0], [0.5, 0.5]], [1, 1, 3])
    before = combined.copy()
    with pytest.raises(ValueError, match=message):
        combine(parcels, combined, MAX_NORM)
    for array, expected in zip(combined, before, strict=True):
        np.testing.assert_array_equal(array, expected)


def test_items_that_do_not_fit_are_refused() -> None:
    now = items([[0, 0], [1, 1]], [1, 2])
    fewer = now.part(0, 1)
    with pytest.raises(ValueError, match="now and start must be of the same items"):
        pack(now, fewer, 2)
    with pytest.raises(ValueError, match="now and start must be of the same items"):
        arrive(fewer, now, parcel_of([0]), None, MAX_NORM)
    with pytest.raises(ValueError, match="now must have at least the columns"):
        pack(now, now, 17)
    wrong: Any = now._replace(vectors=now.vectors.astype(np.float64))
    with pytest.raises(TypeError, match=r"start\.vectors must have type '<f4', got '<f8'"):
        _core.pack(now, wrong, 2)
    read_only = now.copy()
    read_only.vectors.flags.writeable = False
    with pytest.raises(ValueError, match=r"now\.vectors is read-only"):
        arrive(now, read_only, parcel_of([0]), None, MAX_NORM)
