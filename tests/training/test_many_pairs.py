"""A data set of more than 2^31 pairs. Its file is sparse, and the middle of it is never read."""

from __future__ import annotations

import os

import numpy as np
import pytest
import scipy.sparse as sp
from oracle import draws
from support.kernels import (
    assert_same_counters,
    assert_same_tables,
    make_job,
    oracle_of,
    random_tables,
    settings,
    train_oracle,
)

from cml_fast._training.likes import MappedLikes, equal_weights, of_users
from cml_fast.data import Dataset
from cml_fast.data._dataset.folder import HEADER_BYTES, Part, header, read_manifest, sha256
from cml_fast.distributed._likes import InFiles
from cml_fast.distributed._sharding import Rounds, user_bounds

LIMIT = 2**31
# Users have 32 of 100 items. The last 60 are on both sides of the limit, and between them and the
# first 40 is one with an impossible row. The last part of an epoch, which is shorter, begins there.
N_ITEMS, LIKED, PART = 100, 32, 2048
FIRST, LAST = 40, 60
BEHIND = LIMIT - 20 * LIKED
N_PAIRS = BEHIND + LAST * LIKED


def some_likes() -> sp.csr_array:
    rng = np.random.default_rng(0)
    rows = [np.sort(rng.choice(N_ITEMS, LIKED, replace=False)) for _ in range(FIRST + LAST)]
    rows.insert(FIRST, np.zeros(0, dtype=np.int64))
    indptr = np.concatenate(([0], np.cumsum([len(row) for row in rows])))
    items = np.concatenate(rows).astype(np.int32)
    return sp.csr_array(
        (np.ones(len(items), np.float32), items, indptr), (FIRST + 1 + LAST, N_ITEMS)
    )


LIKES = some_likes()


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Written without the impossible row, for which a hole is made then."""
    folder = tmp_path_factory.mktemp("many") / "likes"
    Dataset._write(LIKES, folder)
    manifest = read_manifest(folder)
    indptr = LIKES.indptr.astype(np.int64)
    indptr[FIRST + 1 :] += BEHIND - FIRST * LIKED
    parts = [
        ((0, FIRST), (0, FIRST * LIKED)),
        ((FIRST, FIRST + 1), (FIRST * LIKED, BEHIND)),
        ((FIRST + 1, FIRST + 1 + LAST), (BEHIND, N_PAIRS)),
    ]

    def checksums(users: tuple[int, int], own: np.ndarray) -> dict[str, str]:
        return {"indptr": sha256(indptr[users[0] + 1 : users[1] + 1]), "indices": sha256(own)}

    items = LIKES.indices.astype(np.int32)
    of_parts = items[: FIRST * LIKED], items[:0], items[FIRST * LIKED :]
    described = [
        Part(users, pairs, checksums(users, own))
        for (users, pairs), own in zip(parts, of_parts, strict=True)
    ]
    with (folder / "indices.npy").open("wb") as file:
        file.write(header("indices", N_PAIRS) + of_parts[0].tobytes())
        file.seek(HEADER_BYTES + BEHIND * items.itemsize)
        file.write(of_parts[2].tobytes())
    (folder / "indptr.npy").write_bytes(header("indptr", len(indptr)) + indptr.tobytes())
    manifest._replace(n_pairs=N_PAIRS, parts=described).write(folder)
    status = os.stat(folder / "indices.npy")
    if status.st_blocks * 512 > 1 << 20:
        pytest.skip("this file system has no sparse files")
    return Dataset.open(folder)


@pytest.fixture
def whole(dataset: Dataset) -> MappedLikes:
    """All likes. `map_likes` would read each of them once."""
    indptr, indices = (array.view(np.ndarray) for array in (dataset.indptr, dataset.indices))
    return MappedLikes(dataset.shape, indptr, indices, equal_weights(dataset.nnz), "many")


def same(found: sp.csr_array, first: int, last: int) -> bool:
    wanted = LIKES[first:last]
    return found.shape == wanted.shape and (found != wanted).nnz == 0


@pytest.mark.slow
def test_rows_beyond_the_limit_are_read(dataset: Dataset, whole: MappedLikes) -> None:
    assert dataset.nnz == whole.nnz == N_PAIRS > LIMIT
    assert repr(dataset) == "Dataset(101 users x 100 items, 2,147,484,928 interactions)"
    assert same(whole.rows(90, 101), 90, 101)
    assert same(of_users(whole, np.arange(50, 101)), 50, 101)
    # A worker checks and maps the users that it has.
    worker = InFiles(dataset.path, dataset.token, FIRST + 1, 101, "linear", None).opened()
    assert (worker.nnz, same(worker.rows(0, LAST), FIRST + 1, 101)) == (LAST * LIKED, True)


@pytest.mark.slow
def test_shares_and_rounds_of_workers_beyond_the_limit(whole: MappedLikes) -> None:
    assert user_bounds(whole.indptr, 2).tolist() == [0, FIRST + 1, 101]
    rounds = Rounds(per_epoch=2, n_epochs=3, epochs_between=1)
    half = -(-N_PAIRS // 32) // 2 * 32
    ranges = [rounds.samples(at, N_PAIRS, 32) for at in range(4)]
    assert ranges[:2] == [(0, half), (half, N_PAIRS)]
    assert ranges[3] == (N_PAIRS + half, 2 * N_PAIRS)


@pytest.mark.slow
def test_pairs_around_the_limit_are_trained(whole: MappedLikes) -> None:
    pairs = [0, BEHIND, LIMIT - 1, LIMIT, N_PAIRS - 1]
    for n_in_part in (0, PART):
        chosen = settings(loss="softmax", n_dims=8, pairs_per_part=n_in_part)
        tables = random_tables("cpu", whole.shape, chosen)
        oracle = oracle_of(tables)
        job = make_job(tables, whole, chosen)
        epoch = 3
        if n_in_part:
            begin = epoch * N_PAIRS + draws.last_part(N_PAIRS, chosen.seed, epoch, PART)
            ranges = [(begin, begin + N_PAIRS % PART)]
        else:
            at = [draws.position_of(pair, N_PAIRS, chosen.seed, epoch) for pair in pairs]
            ranges = [(epoch * N_PAIRS + x, epoch * N_PAIRS + x + 1) for x in at]
        for begin, end in ranges:
            counters = job.run(begin, end)
            assert_same_counters(counters, train_oracle(oracle, whole, begin, end, chosen))
            assert_same_tables(tables, oracle)
            assert counters.pairs == end - begin
