"""The emulated CUDA device notices what it should, and the kernels do well on it.

test_kernel.py and others run the CUDA kernels on it too, as they run them on a real device.
"""

import ctypes
import itertools
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
from support import emulated, sanitizers
from support.emulated import ORDERS
from support.kernels import (
    EMULATED,
    assert_same_tables,
    digest,
    larger_problem,
    make_job,
    mostly_slow,
    oracle_of,
    random_likes,
    random_tables,
    settings,
    snapshot,
    train_oracle,
)

# --- the emulator: small kernels, see emulator/faults.cpp -------------------------------------


@pytest.fixture(params=ORDERS)
def order(request):
    return request.param


def run_case(emulator: ctypes.CDLL, name, order="ascending", blocks=1, warps=1, seed=0):
    """What the threads of a launch wrote, and what the emulator found wrong."""
    results = np.full(blocks * warps * 32, -1, dtype=np.int32)
    problem = emulator.emulator_case(
        name.encode(), ORDERS.index(order), seed, blocks, warps, results.ctypes.data
    )
    return results, emulated.located(problem.decode())


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("synced", lambda block, thread: thread % 32 ^ 1),
        ("halves", lambda block, thread: 3 if thread % 32 < 16 else thread % 32 ^ 1),
        ("block barrier", lambda block, thread: 100 * block + 95 - thread),
        ("block vote", lambda block, thread: 3 - block),
        ("grid barrier", lambda block, thread: 2 * 96),
        ("atomics", lambda block, thread: 1),
        ("copies", lambda block, thread: 95 - thread if thread < 64 else -7),
    ],
)
def test_right_kernels(emulator, name, expected, order, seed):
    results, problem = run_case(emulator, name, order, blocks=2, warps=3, seed=seed)
    assert problem == ""
    assert results.tolist() == [expected(b, t) for b in range(2) for t in range(96)]


def test_a_missing_sync_shows(emulator):
    """Lanes see what was written by those that had their turn before."""
    results = {order: run_case(emulator, "unsynced", order)[0].tolist() for order in ORDERS}
    right = run_case(emulator, "synced")[0].tolist()
    assert results["ascending"][1::2] == right[1::2]
    assert results["descending"][::2] == right[::2]
    assert len({tuple(values) for values in (*results.values(), right)}) == 4


def test_memory_that_nobody_wrote_holds_no_zeros(emulator):
    results, _ = run_case(emulator, "unwritten", blocks=2)
    assert set(results.view(np.float32)) == {np.float32(-26711958.0)}


@pytest.mark.parametrize(
    ("name", "blocks", "warps", "expected"),
    [
        (
            "other call",
            1,
            1,
            "warp 0 of block 0: lanes 0-15 wait in __syncwarp at faults.cpp:LINE, mask 0xffffffff, "
            "argument 0; lanes 16-31 wait in __ballot_sync at faults.cpp:LINE, mask 0xffffffff",
        ),
        ("other place", 1, 1, "lanes 30-30 wait in __syncwarp at .*; lanes 31-31 wait in __syncw"),
        (
            "early return",
            2,
            2,
            "no lane can go on:\nwarp 1 of block 0: lanes 0-29 wait in __shfl_sync at .* 0; "
            "lanes 30-31 returned\nwarp 1 of block 1: lanes 0-29 wait in __shfl_sync",
        ),
        (
            "block barrier of one warp",
            1,
            2,
            "no lane can go on:\nwarp 0 of block 0: lanes 0-31 wait in __syncthreads at faults",
        ),
        (
            "grid barrier of one block",
            2,
            1,
            "no lane can go on:\nwarp 0 of block 1: lanes 0-31 wait in grid_group::sync at faults",
        ),
        ("not in the mask", 1, 1, "a lane is not in the mask .*\nwarp 0 of block 0: .* 0x00000001"),
        ("synced", 1, 33, "invalid configuration: 1 blocks of 1056 threads and 4224 bytes"),
    ],
)
def test_wrong_kernels_are_reported(emulator, name, blocks, warps, expected, order):
    _, problem = run_case(emulator, name, order, blocks, warps)
    pattern = expected.replace("LINE", "[0-9]+")
    assert pytest.raises(AssertionError, match=pattern).matches(AssertionError(problem)), problem
    assert run_case(emulator, "synced", order)[1] == ""  # a fault leaves nothing behind


def test_it_is_built_again_only_when_a_source_changes(monkeypatch, tmp_path):
    built = []

    def build(directory):
        built.append(source.read_text())
        path = directory / "library.so"
        path.write_text(built[-1])
        return path

    source = tmp_path / "csrc" / "cuda" / "kernel.cu"
    source.parent.mkdir(parents=True)
    monkeypatch.setattr(emulated, "CHECKOUT", tmp_path)
    monkeypatch.setattr(emulated, "build", build)
    for text in ("first", "first", "second", "second"):
        source.write_text(text)
        library = emulated.build_once()
        assert library.read_text() == text
    assert built == ["first", "second"]
    assert list(library.parent.glob("*.so")) == [library]


# --- the kernels on it ------------------------------------------------------------------------


def train_with(order, grid, n_dims, n_negatives, seed=0):
    likes = random_likes(np.random.default_rng(4), 15, 60, density=0.1, weighted=True)
    chosen = settings(n_dims=n_dims, n_negatives=n_negatives)
    tables = random_tables("emulated", likes.shape, chosen)
    job = make_job(tables, likes, chosen, order=order, grid=grid, seed=seed)
    counters = job.run(3, 3 + 3 * likes.nnz)
    assert counters.pairs == 3 * likes.nnz
    assert counters.skipped == 3 * 60
    return snapshot(tables), counters


@pytest.mark.parametrize(
    ("n_dims", "n_negatives", "grid"),
    mostly_slow(
        [(31, 20, (1, 1)), (64, 40, (1, 2)), (300, 1, (2, 3))],
        itertools.product([31, 64, 300], [1, 20, 40], [(1, 1), (1, 2), (2, 3)]),
    ),
)
def test_the_order_of_lanes_does_not_matter(emulator, n_dims, n_negatives, grid):
    """It would if lanes passed on values in memory without a __syncwarp() in between."""
    expected, whole = train_with("ascending", grid, n_dims, n_negatives)
    others = [(order, 0) for order in ORDERS[1:]]
    if grid == (1, 1):  # else the seed decides what a warp sees of others
        others += [(order, 1) for order in ORDERS]
    for order, seed in others:
        arrays, counters = train_with(order, grid, n_dims, n_negatives, seed)
        assert counters == whole
        for name, array in arrays.items():
            np.testing.assert_array_equal(array, expected[name], name)


def test_warps_take_turns_as_the_seed_says(emulator):
    arrays = [train_with("ascending", (2, 3), 31, 20, seed)[0]["users"] for seed in (0, 1, 1, 2)]
    np.testing.assert_array_equal(arrays[1], arrays[2])
    assert not np.array_equal(arrays[0], arrays[1])
    assert not np.array_equal(arrays[1], arrays[3])


@pytest.mark.parametrize(
    ("shape", "n_negatives", "samples", "grid"),
    [
        ((15, 60), 7, 320, (1, 1)),  # fewer than 1,024 pairs
        ((64, 80), 7, 320, (2, 4)),  # ten blocks of 32 samples
        ((64, 80), 7, 65, (1, 3)),
        ((64, 80), 7, 1, (1, 1)),
        ((64, 80), 1024, 160, (1, 3)),  # more warps' scratch memory is beyond 48 KiB
        ((64, 80), 7, 3200, (16, 4)),  # all multiprocessors are busy
    ],
)
def test_the_grid_that_the_host_chooses(emulator, shape, n_negatives, samples, grid):
    likes = random_likes(np.random.default_rng(4), *shape)
    chosen = settings(n_negatives=n_negatives, n_dims=3)
    job = make_job(random_tables("emulated", likes.shape, chosen), likes, chosen)
    assert job.run(0, samples).pairs == samples
    assert job.grid == grid


@pytest.mark.parametrize("device", EMULATED)
@pytest.mark.parametrize(
    ("batch_size", "n_negatives", "samples", "grid"),
    [
        (1, 7, 320, (1, 1)),
        (3, 7, 320, (1, 3)),
        (30, 7, 320, (8, 4)),  # the last two warps have no pair of their own
        (320, 7, 20, (5, 4)),
        (320, 7, 320, (16, 4)),  # all multiprocessors are busy
        (10, 1024, 20, (4, 3)),
    ],
)
def test_the_grid_for_mini_batches(emulator, device, batch_size, n_negatives, samples, grid):
    likes = random_likes(np.random.default_rng(4), 60, 80)
    chosen = settings(n_negatives=n_negatives, n_dims=3, batch_size=batch_size)
    tables = random_tables(device, likes.shape, chosen)
    oracle = oracle_of(tables)
    job = make_job(tables, likes, chosen)
    assert job.run(0, samples).pairs == samples
    assert job.grid == grid
    train_oracle(oracle, likes, 0, samples, chosen)
    assert_same_tables(tables, oracle)


@pytest.mark.parametrize(("loss", "batch_size"), [("warp", 0), ("softmax", 90)])
def test_launches_that_are_only_recorded(emulator, loss, batch_size):
    likes = random_likes(np.random.default_rng(4), 200, 160)
    chosen = settings(loss=loss, batch_size=batch_size, n_dims=3, tile_size=8)
    tables = random_tables("emulated", likes.shape, chosen)
    before = digest(snapshot(tables))
    job = make_job(tables, likes, chosen)
    most = emulated.MULTIPROCESSORS_FOR_TILES if batch_size else emulated.MULTIPROCESSORS
    recorded = job.launches(0, 640, most, 1)
    assert digest(snapshot(tables)) == before
    job.run(0, 640)
    assert recorded[0][:2] == job.grid
    assert recorded[0].teams == (most if batch_size else 0)  # there are more tiles
    assert len(recorded) == (1 if batch_size else 2)  # without batches, the projection follows
    # On two multiprocessors, with room for one and two blocks: one of them works on tiles.
    blocks = [job.launches(0, 640, 2, room)[0].blocks for room in (1, 2)]
    assert blocks == ([2, 2] if loss == "softmax" else [2, 4])


@pytest.mark.parametrize(
    ("n_pairs", "in_flight"), [(1_023, 1), (1_024, 1_024), (32_799, 1_024), (64_000, 2_000)]
)
def test_pairs_in_flight(emulator, n_pairs, in_flight):
    """A 32nd of an epoch, and at least 1,024; one warp trains an epoch of fewer than that."""
    likes = sp.csr_array(np.ones((1, n_pairs), dtype=np.float32))
    grids = {}
    for loss in ("warp", "softmax"):
        chosen = settings(loss=loss, n_dims=3, tile_size=8)
        job = make_job(random_tables("emulated", likes.shape, chosen), likes, chosen)
        (grids[loss], *_) = job.launches(0, 64 * 2_048, 1_000, 1)
    assert grids["warp"].blocks * grids["warp"].warps_in_block == in_flight
    if in_flight == 1:
        assert grids["softmax"] == (1, 1, 1, grids["softmax"].shared_bytes)
    else:
        assert grids["softmax"].teams == in_flight // 8
        assert grids["softmax"].blocks == 1_000


@pytest.mark.parametrize(
    ("device", "batch_size", "what"),
    [
        ("emulated", 0, "the training kernel"),
        ("emulated", 50, "the kernel of mini-batches"),
        ("emulated-graph", 50, "a graph of mini-batches"),
    ],
)
def test_too_much_shared_memory_is_refused(emulator, device, batch_size, what):
    likes = random_likes(np.random.default_rng(4), 40, 60)
    chosen = settings(n_negatives=1024, n_dims=3, batch_size=batch_size)
    tables = random_tables(device, likes.shape, chosen)
    message = (
        rf"CUDA: starting {what} failed: invalid configuration: 1 blocks of .* memory \(cuda.*\)$"
    )
    with pytest.raises(RuntimeError, match=message):
        make_job(tables, likes, chosen, grid=(1, 4)).run(0, 150)


def test_blocks_that_are_not_resident_cannot_meet(emulator):
    tables, likes, chosen = larger_problem("emulated", batch_size=50)
    with pytest.raises(RuntimeError, match="not all blocks are resident"):
        make_job(tables, likes, chosen, grid=(17, 1)).run(0, 50)


@pytest.mark.parametrize("grid", [(1, 1), (2, 3)])
@pytest.mark.parametrize("device", EMULATED)
def test_no_order_matters_in_mini_batches(emulator, device, grid):
    def train(device, **emulation):
        tables, likes, chosen = larger_problem(device, batch_size=50)
        make_job(tables, likes, chosen, **emulation).run(0, 100)
        return digest(snapshot(tables))

    expected = train("cpu")
    for order in ORDERS:
        for seed in (0, 1, 2):
            assert train(device, order=order, seed=seed, grid=grid) == expected


@pytest.mark.parametrize("seed", range(6))
def test_several_warps_stop_at_what_is_not_finite(emulator, seed):
    """All lanes of a warp stop, or none, whenever another warp says so. All pairs but one are
    skipped, so that warps ask often."""
    likes = np.ones((15, 60), dtype=np.float32)
    likes[7, 1:] = 0
    likes = sp.csr_array(likes)
    chosen = settings(learning_rate=1e38, margin=3.0)
    tables = random_tables("emulated", likes.shape, chosen)
    counters = make_job(tables, likes, chosen, grid=(2, 4), seed=seed).run(0, 10**6)
    assert counters.first_non_finite is not None
    assert counters.pairs < 10**4
    assert all(np.isfinite(array).all() for array in snapshot(tables).values())


def test_several_warps_stay_in_the_ball(emulator):
    """As test_what_is_trained_stays_in_the_ball, with the eight warps that the host chooses."""
    likes = random_likes(np.random.default_rng(9), 64, 80, density=0.1)
    chosen = settings(margin=3.0, learning_rate=0.5, max_norm=0.7)
    largest = []
    for seed in range(3):
        tables = random_tables("emulated", likes.shape, chosen)
        make_job(tables, likes, chosen, seed=seed).run(0, 3 * likes.nnz)
        largest += [np.linalg.norm(vectors, axis=1).max() for vectors in tables.vectors()]
    assert max(largest) <= 0.7 * (1 + 1e-5), largest


# --- under sanitizers -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def sanitized(tmp_path_factory) -> dict[str, str]:
    """The environment of processes whose emulated device has sanitizers."""
    directory = tmp_path_factory.mktemp("sanitized")
    runtime = sanitizers.runtime(directory, "address,undefined")
    flags = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
    # They take long to compile, and those for one more chunk differ in a number alone.
    library = emulated.build(directory, *flags, "-g1", kernels=(8, 2, 0))
    return {
        **os.environ,
        emulated.LIBRARY_VARIABLE: str(library),
        "PYTHONPATH": os.pathsep.join(sys.path),
        "LD_PRELOAD": runtime,
        "ASAN_OPTIONS": "detect_leaks=0",  # Python keeps memory to its end
    }


def run_python(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments], env=environment, capture_output=True, text=True
    )


@pytest.mark.slow
def test_under_sanitizers(sanitized):
    """No access beyond a table, the likes or shared memory, and no undefined behaviour."""
    tests = Path(__file__).parent
    chosen = "emulated and (random_problems or equal_hinges) or several_warps_stop"
    chosen += " or emulated and (misleads or little_room or few_scores)"
    files = [str(tests / f"test_{name}.py") for name in ("kernel", "emulator", "select")]
    done = run_python(sanitized, "-m", "pytest", "-p", "no:cacheprovider", "-k", chosen, *files)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-5000:]
    assert " passed" in done.stdout
    assert " skipped" not in done.stdout


@pytest.mark.slow
def test_sanitizers_see_the_end_of_shared_memory(sanitized):
    code = (
        "import os, pathlib, test_emulator\nfrom support import emulated\n"
        "path = pathlib.Path(os.environ[emulated.LIBRARY_VARIABLE])\n"
        "test_emulator.run_case(emulated.load(path), 'beyond')"
    )
    done = run_python(sanitized, "-c", code)
    assert done.returncode != 0
    assert "use-after-poison" in done.stderr
    assert "faults.cpp" in done.stderr
