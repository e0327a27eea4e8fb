"""The model of how fast the CUDA kernels train: its arithmetic, without a compiler."""

import dataclasses
from types import SimpleNamespace

import pytest

from benchmarks.common.training_job import settings_of
from benchmarks.gpu_check import predictions
from benchmarks.gpu_model import __main__ as gpu_model
from benchmarks.gpu_model import model
from benchmarks.gpu_model.machines import A100, H100, MACHINES, RTX_4090, T4, most_like
from benchmarks.gpu_model.registers import of_report

REGISTERS = {
    (worker, kernel): n
    for worker, n in (("Tile", 128), ("Tile, bfloat16", 128), ("Pair", 114))
    for kernel in ("sync", "async")
}
GOWALLA = gpu_model.DATA["gowalla"]


def launched(*grids):
    """In place of host.launches: these kernels, however many blocks are resident.

    A grid is (blocks, warps in each, bytes of shared memory), or also the number of teams.
    """
    keys = ("blocks", "warps_in_block", "shared_bytes", "teams")
    full = [grid if len(grid) == len(keys) else (*grid, grid[0]) for grid in grids]
    return lambda *_: [SimpleNamespace(**dict(zip(keys, grid, strict=True))) for grid in full]


def predicted(machine=H100, grid=(8, 8, 0), registers=REGISTERS, **arguments):
    settings = settings_of(GOWALLA[:2], GOWALLA[2], **{"update": "sync", **arguments})
    return model.predict(machine, settings, GOWALLA[:2], GOWALLA[2], registers, launched(grid))


@pytest.mark.parametrize(
    ("machine", "registers", "warps", "shared_bytes", "blocks"),
    [
        (H100, 128, 8, 0, 2),  # all registers
        (H100, 129, 8, 0, 1),
        (H100, 102, 4, 0, 4),  # five, if a warp did not get them 256 at a time
        (H100, 114, 4, 0, 4),
        (H100, 32, 2, 0, 32),  # warps, and blocks
        (T4, 32, 8, 0, 4),
        (RTX_4090, 32, 4, 33 * 1024, 2),  # shared memory
        (A100, 255, 32, 0, 1),
    ],
)
def test_resident_blocks(machine, registers, warps, shared_bytes, blocks):
    assert machine.resident_blocks(registers, warps, shared_bytes) == blocks


@pytest.mark.parametrize(
    ("arguments", "grid", "millions"),
    [
        ({"batch_size": 1024}, (8, 8, 0), 2.2),
        ({"batch_size": 4096}, (32, 8, 0), 9),
        ({"batch_size": 16384}, (128, 8, 0), 35),
        ({"batch_size": 65536}, (264, 8, 0), 52),
        ({"update": "async"}, (29, 8, 0), 9),
        ({"loss": "warp", "batch_size": 1024}, (256, 4, 5000), 50),
        ({"loss": "warp", "update": "async"}, (528, 4, 5000), 185),
    ],
)
def test_the_speeds_of_a_review(monkeypatch, arguments, grid, millions):
    """Somebody who read the machine code predicted these, for the kernels as they were then.

    A block worked on a tile, and loads of the chunks of a row waited for each other: copying the
    rows of a pair took 8 trips, that of a negative 4, and there are 128 and 256 of them. A warp
    evaluated the loss of 32 pairs, and products were a chunk wide and loaded one float at a time.
    """
    copy = (128 * 8 + 256 * 4) / (128 + 256)
    before = {
        "TRIPS": model.Trips(
            **dict(copy=copy, claim=0, add=6, pair_add=6, take=0, apply=7, update=5)
        ),
        "TABLE_CYCLES": 0,  # nor did the review count these
        "ADD_CYCLES": 0,
        "APPLY_CYCLES": 0,
        "PRODUCTS": {
            "float32": model.Products(
                (model.Step(loads=9, instructions=24, cycles=33),), 1, [0] * 3, 4
            )
        },
        "LOSS": model.Loss(pairs=32, cycles=220, trips=0, rest=0),
        "DRAWN_AT_ONCE": 1,
        "DRAW_CYCLES": 0,
    }
    for name, value in before.items():
        monkeypatch.setattr(model, name, value)
    found = predicted(grid=grid, **arguments)
    assert found.pairs_per_second == pytest.approx(1e6 * millions, rel=0.2)


@pytest.mark.parametrize(
    ("chunks", "widths"), [(1, [1]), (2, [2]), (3, [2, 1]), (4, [2, 2]), (5, [2, 2, 1])]
)
def test_products_are_two_chunks_wide_and_the_last_may_be_one(chunks, widths):
    assert model.widths(chunks, 2) == widths


@pytest.mark.parametrize("machine", MACHINES, ids=lambda machine: machine.name)
def test_two_chunks_share_the_loads_of_the_rows(machine):
    """The first of two takes longer than the second."""
    seconds = [
        1 / predicted(machine, grid=(64, 8, 0), n_dims=n_dims).pairs_per_second
        for n_dims in (64, 96, 128)
    ]
    assert seconds[1] - seconds[0] > 1.3 * (seconds[2] - seconds[1])


def work_of(machine, **arguments):
    settings = settings_of(GOWALLA[:2], GOWALLA[2], update="sync", **arguments)
    return model.Work(machine, settings, GOWALLA[:2], GOWALLA[2], launched((64, 8, 0))()[0])


@pytest.mark.parametrize("width", [1, 2])
def test_a_warp_of_a_larger_squad_copies_less(width):
    """The columns of a step are 128 or 256 bytes, and the rows 32."""
    of_step = model.PRODUCTS["float32"].steps[width - 1]
    two, four = (work_of(H100).step_of(width, warps) for warps in (2, 4))
    assert two.loads == of_step.loads + width / 2 + 1 / 4
    assert four.loads == of_step.loads + width / 4 + 1 / 4
    assert of_step.instructions < four.instructions < two.instructions
    assert of_step.cycles < four.cycles < two.cycles
    # Before compute capability 8.0 a copy is a load and a store, and each stage waits for L2.
    on_t4 = work_of(T4).step_of(width, 2)
    assert on_t4.loads == of_step.loads + 2 * (width / 2 + 1 / 4)
    assert on_t4.cycles == pytest.approx(two.cycles + T4.l2_cycles / 16)


def test_products_of_bfloat16_are_not_staged():
    work = work_of(H100, precision="bfloat16")
    assert work.step_of(2, 2) == model.PRODUCTS["bfloat16"].steps[1]


def test_l2_bounds_the_products_that_read_their_operands_from_it():
    def products(machine):
        return work_of(machine).seconds()["products"]

    slow = dataclasses.replace(H100, l2_bytes_per_second=H100.l2_bytes_per_second / 8)
    slower = dataclasses.replace(H100, l2_bytes_per_second=H100.l2_bytes_per_second / 16)
    assert products(slow) > products(H100)
    assert products(slower) == pytest.approx(2 * products(slow))


@pytest.mark.parametrize("machine", [A100, H100, RTX_4090], ids=lambda machine: machine.name)
def test_tensor_cores_make_products_faster_and_nothing_else(machine):
    launch = launched((128, 8, 0, 64))()[0]
    seconds = [
        model.Work(
            machine,
            settings_of(GOWALLA[:2], GOWALLA[2], update="sync", precision=precision),
            GOWALLA[:2],
            GOWALLA[2],
            launch,
        ).seconds()
        for precision in ("float32", "bfloat16")
    ]
    before, after = (of.pop("products") for of in seconds)
    assert 2 < before / after < 6
    assert seconds[0] == seconds[1]


def test_what_a_pair_of_the_softmax_costs():
    found = predicted(grid=(66, 8, 0), batch_size=66 * 128)
    assert found.busy == 0.5
    assert found.grid_syncs == 2
    assert found.atomics_of_pair == (2 + 256 / 128) * (100 + 1)  # and a claim for each row
    assert found.bytes_of_pair == 2 * (2 + 256 / 128) * 112 * 4
    assert found.bound == "products"


def test_blocks_share_the_few_tiles_of_a_mini_batch():
    """8 teams of 16 or 17 blocks; of a step each warp has a few products at most."""
    alone, shared = (
        predicted(grid=(*grid, *teams), batch_size=1024)
        for grid, teams in (((8, 8, 0), ()), ((132, 8, 0), (8,)))
    )
    assert (alone.grid_syncs, shared.grid_syncs) == (2, 5)
    assert 5 < shared.pairs_per_second / alone.pairs_per_second < 17
    assert alone.busy == pytest.approx(8 / 132)
    assert 0.95 < shared.busy < 1  # the 17th blocks have no unit of 8 pairs
    # More have nothing to do until the sums over all pairs.
    assert 0.3 < predicted(grid=(132, 8, 0, 2), batch_size=256).busy < 0.7
    # Where there are as many tiles as blocks, nothing is shared.
    many = predicted(grid=(264, 8, 0), batch_size=264 * 128)
    assert many.grid_syncs == 2
    assert many.busy == 1


def test_teams_wait_for_others():
    """For those with a block less, and for those with a tile in the last round."""
    of_two = predicted(A100, grid=(108, 8, 0, 54), batch_size=54 * 128)
    assert of_two.busy > 0.99
    of_two_and_one = predicted(A100, grid=(108, 8, 0, 64), batch_size=64 * 128)
    assert of_two_and_one.busy == pytest.approx(64 / 108, abs=0.06)
    of_three = predicted(A100, grid=(108, 8, 0, 36), batch_size=64 * 128)
    assert of_three.grid_syncs == 2 + 2 * 3  # of two rounds
    assert of_two_and_one.busy < of_three.busy < 64 / 72  # 16 units of pairs for three blocks
    assert of_three.pairs_per_second > 1.1 * of_two_and_one.pairs_per_second
    one_round, two = (predicted(grid=(132, 8, 0), batch_size=n * 128) for n in (132, 140))
    assert one_round.busy == 1
    assert two.busy == pytest.approx(140 / 264, abs=0.06)


def test_one_warp_updates_without_atomic_operations():
    found = predicted(grid=(1, 1, 0), update="async")
    assert found.atomics_of_pair == 0
    assert found.grid_syncs == 0


def test_blocks_that_update_at_once_meet_for_every_tile():
    shared = predicted(grid=(132, 8, 0, 33), update="async")
    assert shared.grid_syncs == 4
    alone = predicted(grid=(33, 8, 0), update="async")
    assert alone.grid_syncs == 0
    assert 2 < shared.pairs_per_second / alone.pairs_per_second < 4
    assert (shared.busy, alone.busy) == (1, pytest.approx(0.25))


def test_bytes_and_atomics_bound_the_speed():
    slow = dataclasses.replace(H100, memory_bytes_per_second=1e9, l2_bytes=0)
    found = predicted(slow, (528, 4, 0), loss="warp", update="async")
    assert found.bound == "bytes"
    assert found.pairs_per_second == pytest.approx(1e9 / found.bytes_of_pair)
    slow = dataclasses.replace(H100, atomics_per_cycle=0.01)
    found = predicted(slow, (264, 8, 0), batch_size=65536)
    assert found.bound == "atomics"
    assert found.pairs_per_second == pytest.approx(0.01 * 1.755e9 / found.atomics_of_pair)


def test_the_grid_is_that_for_the_resident_blocks():
    """First the host code says how large a block is, then the model how many are resident."""
    asked = []

    def launches(settings, shape, n_pairs, multiprocessors, blocks):
        asked.append((multiprocessors, blocks))
        return launched((blocks * multiprocessors, 8, 0))()

    settings = settings_of(GOWALLA[:2], GOWALLA[2], update="sync", batch_size=65536)
    found = model.predict(A100, settings, GOWALLA[:2], GOWALLA[2], REGISTERS, launches)
    assert asked == [(108, 1), (108, 2)]
    assert (found.resident_blocks, found.blocks) == (2, 216)


def test_registers_of_a_report():
    report = [
        {"worker": "Tile", "kernel": "sync", "chunks": 4, "registers": 128},
        {"worker": "Tile", "kernel": "sync", "chunks": 3, "registers": 90},
        {"worker": "Pair", "kernel": "async", "chunks": 4, "registers": 96},
        {"worker": None, "kernel": "apply", "chunks": 4, "registers": 40},
    ]
    assert of_report(report, 4) == {("Tile", "sync"): 128, ("Pair", "async"): 96}
    assert of_report(report, 0) == {}


def test_the_table_has_a_row_for_each_case():
    rows = [
        gpu_model.row_of(data, settings, machine.name, predicted(grid=(66, 8, 0)))
        for data, settings in gpu_model.cases()
        for machine in MACHINES
    ]
    lines = gpu_model.table(rows).splitlines()
    assert len(lines) == 2 + len(gpu_model.cases())
    assert lines[2].startswith("| softmax | sync | ml-latest-small | ")
    assert lines[2].endswith(" (49%) |")  # 64 tiles for 66 blocks on 132 multiprocessors


# --- beside what gpu_check measured -----------------------------------------------------------


LIMITS = {"memory_bytes_per_second": 2e12, "cache_bytes_per_second": 4e12}
DEVICE = {"name": "A", "compute_capability": "80", "multiprocessors": 90, "l2_bytes": 3e7}


def test_this_machine_is_one_of_ours_with_what_is_known_of_it():
    machine = predictions.this_machine(DEVICE, LIMITS)
    assert machine == dataclasses.replace(
        A100,
        name="A",
        multiprocessors=90,
        l2_bytes=3e7,
        **dict(memory_bytes_per_second=2e12, l2_bytes_per_second=4e12),
    )
    assert [most_like(of) for of in ("75", "86", "90", "100", "120")] == [
        *(T4, RTX_4090, H100, H100, RTX_4090)
    ]


def test_measured_and_predicted_stand_beside_each_other():
    kernels = [
        {"worker": "Tile", "kernel": "sync", "chunks": 4, "registers": 128},
        {"worker": "Tile", "kernel": "sync", "chunks": 0, "registers": 128},
    ]
    point = {"sweep": "batches", "x": 1024, "what": "softmax", "shape": list(GOWALLA[:2])}
    point |= {"n_pairs": GOWALLA[2], "pairs_per_second": 12e6}
    arguments = {"loss": "softmax", "update": "sync", "n_dims": 100}
    points = [
        {**point, "arguments": arguments},
        {**point, "arguments": {**arguments, "n_dims": 300}},  # the kernel for any length
        {**point, "arguments": {**arguments, "n_dims": 64}},  # ptxas said nothing
        {"sweep": "pairs"},
    ]
    found = predictions.beside(
        DEVICE, kernels, {"points": points, "limits": LIMITS}, launched((8, 8, 0))
    )
    assert len(found) == 2
    assert found[0]["measured"] == 12e6
    assert 5e5 < found[1]["predicted"] < found[0]["predicted"] < 5e6
    assert " times; the model: products, 8 blocks" in predictions.line(found[0])
    for ratio, parts in ((0.4, True), (0.6, False), (1.5, False), (2.5, True)):
        near = {**found[0], "measured": ratio * found[0]["predicted"]}
        assert ("times" in predictions.line(near)) == parts
