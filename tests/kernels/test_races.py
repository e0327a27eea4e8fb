"""No two threads of a kernel share memory without a barrier: see emulator/races.h.

Asynchronous training may, in the tables of vectors and accumulators only; emulator/runtime.cpp says
so. Whatever else it shares is checked as in mini-batches.
"""

import re
import subprocess

import numpy as np
import pytest
from oracle.losses import TILE_LOSSES
from support import emulated
from support.emulated import ORDERS
from support.kernels import EMULATED, make_job, random_likes, random_tables, settings
from test_emulator import run_case
from test_select import emulated_select, some_scores

from cml_fast._compute import kernels

pytestmark = pytest.mark.slow

LOSSES = ("warp", *TILE_LOSSES)
N_DIMS = 33
GRID = (2, 3)


@pytest.fixture(scope="module")
def device(tmp_path_factory):
    """An emulated device that looks for races, for rows of N_DIMS."""
    command = [*emulated.compiler(), "--version"]
    if "Free Software" not in subprocess.run(command, capture_output=True, text=True).stdout:
        pytest.skip("only GCC tells volatile reads from others: set CXX to g++")
    before = emulated._library
    yield emulated.load(emulated.build(tmp_path_factory.mktemp("races"), kernels=[2], races=True))
    emulated._library = before


@pytest.fixture(autouse=True)
def wide_bound(monkeypatch):
    """The fixed point has room for every gradient."""
    monkeypatch.setattr(kernels, "gradient_bound", lambda *_: 1e4)


def train(
    loss,
    batch_size,
    device="emulated",
    samples=150,
    grid=GRID,
    precision="float32",
    **emulation,
):
    likes = random_likes(np.random.default_rng(5), 40, 60, weighted=True)
    changes = {"temperature": 0.2, "margin": 1.5, "tile_size": 8, "n_negatives": 20}
    changes |= {"batch_size": batch_size, "precision": precision}
    chosen = settings(loss=loss, n_dims=N_DIMS, **changes)
    tables = random_tables(device, likes.shape, chosen)
    counters = make_job(tables, likes, chosen, grid=grid, **emulation).run(0, samples)
    assert counters.pairs == samples
    assert counters.active > 0


# --- what it finds ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    ["synced", "halves", "block barrier", "block vote", "grid barrier", "atomics", "copies"],
)
def test_right_kernels(device, name):
    assert run_case(device, name, blocks=2, warps=3)[1] == ""


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize(
    ("name", "accesses"),
    [
        ("unsynced", {"reads", "writes"}),
        ("no block barrier", {"reads", "writes"}),
        ("no grid barrier", {"reads", "writes"}),
        ("written after it was read", {"reads", "writes"}),
        ("not all atomic", {"reads", "changes atomically"}),
        ("no wait for copies", {"reads", "writes"}),
        ("no barrier after copies", {"reads", "writes"}),
        ("copied too early", {"reads", "writes"}),
        ("a barrier of other warps", {"reads", "writes"}),
    ],
)
def test_wrong_kernels(device, name, accesses, order, seed):
    _, problem = run_case(device, name, order, blocks=2, warps=3, seed=seed)
    access = r"lane \d+ of warp \d of block \d ([a-z ]+) at faults\.cpp:\d+.*"
    found = re.fullmatch(f"race: {access}, and {access}, without a barrier between them", problem)
    assert found, problem
    assert {found[1], found[2]} == accesses


# --- the kernels ------------------------------------------------------------------------------


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("batch_size", [0, 70])
def test_training(device, loss, batch_size):
    for name in EMULATED if batch_size else ["emulated"]:
        train(loss, batch_size, name, order="shuffled", seed=1)


@pytest.mark.parametrize(("p", "n"), [(40, 3), (5000, 10), (5000, 1500)])
def test_search(device, p, n):
    emulated_select(some_scores("ties", p), n, order="shuffled", seed=1)


def test_asynchronous_training_with_teams_of_blocks(device):
    for loss in TILE_LOSSES:
        for teams in (1, 2):
            train(loss, 0, grid=(3, 2), teams=teams, order="shuffled", seed=1)


@pytest.mark.parametrize("batch_size", [0, 70])
def test_products_of_bfloat16(device, batch_size):
    for emulation in {"grid": GRID}, {"grid": (3, 2), "teams": 1}:
        train("softmax", batch_size, precision="bfloat16", order="shuffled", seed=1, **emulation)


def race_without(device, barrier, *arguments, grid=(2, 2), **changes):
    """The race in a training if a barrier is missing, or None; and the number of barriers."""
    device.emulator_ignore_barrier(barrier)
    race = None
    try:
        train(*arguments, grid=grid, samples=16, **changes)
    except RuntimeError as error:
        race = str(error)
        assert "race" in race
    return race, device.emulator_ignore_barrier(-1)


@pytest.mark.parametrize(
    ("loss", "changes", "n_in_tables"),
    [
        ("warp", {}, 0),
        ("softmax", {}, 4),
        ("softmax", {"precision": "bfloat16"}, 4),
        # The table of the first tile lies where the stages of the second one do.
        ("softmax", {"grid": (1, 2)}, 4),
    ],
)
def test_every_barrier_of_a_mini_batch_is_needed(device, loss, changes, n_in_tables):
    """Of a block and of the grid. Nothing comes after the last one. Two of each tile are within the
    table of its rows."""
    race, n = race_without(device, -1, loss, 16, **changes)
    assert race is None
    assert n >= 2
    races = [race_without(device, k, loss, 16, **changes)[0] for k in range(n)]
    assert [k for k, race in enumerate(races) if race is None] == [n - 1]
    accesses = [re.findall(r"(?:reads|writes|atomically) at (\w+)", race) for race in races[:-1]]
    assert accesses.count(["row_table", "row_table"]) == n_in_tables


def test_asynchronous_training_may_not_race_elsewhere(device):
    """In the memory of a tile: the third barrier is the first one after pairs are drawn."""
    assert race_without(device, -1, "softmax", 0)[0] is None
    assert "draw.h" in race_without(device, 2, "softmax", 0)[0]


def test_the_barriers_where_blocks_share_a_tile_and_update_at_once(device):
    """Of a tile: two of each block, four of the grid, and ten of squads: for two blocks the stages
    of 33 dimensions and of 8 pairs, and for one, which has the pairs, those of 20 negatives. Two
    are not there to prevent races: one block has no pairs, so that its warps need not meet once,
    and the last is a vote."""
    race, n = race_without(device, -1, "softmax", 0, teams=1)
    assert race is None
    needless = [k for k in range(n) if race_without(device, k, "softmax", 0, teams=1)[0] is None]
    assert (n, needless) == (2 * 18, [0, 17, 18, 35])
