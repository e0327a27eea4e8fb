"""Pairs per second of the training kernels on a GPU, from counts and a few assumptions.

Counted, or asked of the code: the grid (host.py), registers (registers.py), matrix products, rows,
slots, atomic operations and bytes of a mini-batch. Assumed, because nothing was measured:

- The matrix products of a tile wait for the unit that loads from shared memory or L1, for
  multiply-adds, or for instructions: PRODUCTS says what a step of the inner loop takes for
  PRODUCT_ROWS multiply-adds of a chunk, or of two. A load of 16 bytes counts twice where all lanes
  read the same, and four times where each reads its own.
- What float32 products read comes to shared memory, a stage of steps in advance. Copies take that
  unit as long as it takes to write them, 128 bytes a cycle; before compute capability 8.0 they are
  loads and stores, which take it twice as long and wait for L2. What other products read is in L1,
  because they prefetch it. `trips` are what a product waits for before its first step.
- All else of a tile, and a pair of the paper's loss, waits for the L2 cache: a trip to it takes
  l2_cycles (more, where rows have to come from memory), and loads come one after another where one
  needs the other. Trips says how many there are.
- The blocks of a multiprocessor do the same at the same time: products take turns, waits overlap.
- A squad reads the operands of float32 products from L2 for each of them, while it multiplies. A
  block reads those of others once, where L1 has room for them, and before it multiplies.
- Every pair is active: all slots of a tile have a row. It is another one for each, so that atomic
  operations are at most as many as are counted.
- Nothing is faster than bytes and atomic operations allow.

Whoever changes the kernels changes the numbers below.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..common.machine_speed import padded
from ..common.training_job import Settings, shares_negatives
from ..throughput.limits import pair_cost, shared_pair_cost
from .machines import LANES, Machine
from .registers import Registers

PRODUCT_ROWS = 8  # csrc/core/product.h: rows at once
SHORT = 4  # chunks of a row


@dataclass(frozen=True)
class Step:
    """Of a product, csrc/core/product.h."""

    loads: float  # as many as take as long as the loads of this step
    instructions: float
    cycles: float  # of a single warp, with what it waits for loads from L1, 33 cycles


@dataclass(frozen=True)
class Stage:
    """Of operands in shared memory, csrc/cuda/squad.cuh."""

    steps: int = 16
    instructions: float = 68  # of each warp: addresses, its rows, the barrier, loops
    wait: float = 40  # for the barrier
    copied: int = 512  # bytes that a warp copies at once
    copy_instructions: float = 11.5
    most_squads: int = 4


@dataclass(frozen=True)
class Products:
    steps: Sequence[Step]  # of products one chunk wide, two, ...
    at_once: int  # steps; beyond the last one are zeros
    trips: Sequence[int]  # to L2: the distances, the gradients of pairs, those of negatives
    column_bytes: int  # of a number of the operand that is as wide as the product
    stage: Stage | None = None  # where operands come through shared memory


PRODUCTS = {
    # Four steps wait once. They are 12 loads in 51 to 56 instructions, or 16 in 87 to 93; of these
    # 8 are of 16 bytes.
    "float32": Products(
        steps=(Step(loads=5, instructions=13.5, cycles=22), Step(6, 22.5, 31)),
        at_once=4,
        trips=(1, 1, 2),
        column_bytes=4,
        stage=Stage(),
    ),
    # csrc/cuda/tensor_cores.cuh. Of 32 steps each chunk has 4 loads of 16 bytes, and all together
    # have 4 of 8 bytes in 8 rows, which are prefetched, too. They wait for loads, and for two
    # multiplications, one after the other.
    "bfloat16": Products(
        steps=[
            Step((16 * chunks + 16) / 32, instructions / 32, (33 + 2 * 33 + 8 * chunks) / 32)
            for chunks, instructions in ((1, 26), (2, 36), (3, 46), (4, 64))
        ],
        at_once=32,
        trips=(1, 1, 1),
        column_bytes=2,
    ),
}


@dataclass(frozen=True)
class Loss:
    """Of a warp, csrc/core/losses/softmax.h."""

    pairs: int = 1  # at once
    # Of a negative: three passes of 32 at a time, an exponential among them; an addition, which
    # waits for the one before, and its share of loads from L1.
    cycles: float = 3 + 5
    trips: float = 3  # to L2: the distances, in two halves, and what belongs to the pair
    rest: float = 200  # minimum and count over lanes, logarithm, division


@dataclass(frozen=True)
class Trips:
    """To the L2 cache, one after another."""

    copy: float = 1  # tile_rows.h: all chunks of a row at once
    # row_table.cuh, gradient_sums.cuh. Of 32 slots at once: what to add, and claim(); take(), the
    # number of the row. Of each: add(), the gradient; apply(), the row with its sums and its
    # accumulator.
    claim: float = 2
    add: float = 1
    take: float = 1
    apply: float = 1
    pair_add: float = 2  # of a pair with its own negatives: the claim; the gradient is there
    # tile_updates.h: the number of the row; row and gradient; accumulator
    update: float = 3
    mask: float = 2  # tile.h, mask(): likes, and the drawn negatives


LOSS, TRIPS = Loss(), Trips()
ADD_CYCLES = 100  # of add(): the slot from another lane, its address, conversion to integers
# Of the table of a block's rows: 90 instructions, most of which wait for the one before; shared
# memory, four times and for two or three tries to find an entry; two barriers.
TABLE_CYCLES = 600
# Of apply(), beside two sums over lanes: the same, two square roots, three divisions. These are 200
# instructions, most of which wait for the one before.
APPLY_CYCLES = 450
DRAWN_AT_ONCE = 4  # negatives that a warp draws and copies, core/shared_negatives.h
DRAW_CYCLES = 1000  # of these: ten rounds of the generator, and a division of 64 bits
SUM_CYCLES = 130  # Lanes::sum(): five shuffles and additions
GRID_SYNC_CYCLES = 2300
# Of a mini-batch: its end and that of its updates; and between the steps of shared tiles, where the
# last is also the vote of asynchronous training, which has another one when it has updated.
GRID_SYNCS, GRID_SYNCS_OF_TILES, GRID_SYNCS_OF_UPDATES = 2, 3, 1
USED_ISSUE_SLOTS = 0.7  # of those of a multiprocessor, at most
SCHEDULERS = 4
L1_BYTES_PER_CYCLE = 128  # that are written to shared memory
L1_FOR_OPERANDS = 0.8  # the share of L1 that holds what a block reads again


LIMITS = ("bytes", "atomics")


@dataclass(frozen=True)
class Prediction:
    """Of the first kernel that training launches, and of the speed of all."""

    blocks: int
    warps_in_block: int
    resident_blocks: int  # that a multiprocessor could hold
    busy: float  # share of the multiprocessors that have work, on average over the time
    grid_syncs: int  # of a mini-batch, or of a tile where there is none
    bytes_of_pair: float
    atomics_of_pair: float
    pairs_per_second: float
    bound: str  # what takes most of the time


def predict(
    machine: Machine,
    settings: Settings,
    shape: tuple[int, int],
    n_pairs: int,
    registers: Registers,
    launches: Callable[..., Sequence[Any]],
) -> Prediction:
    """``launches`` is that of host.py."""
    worker = worker_of(settings)
    used = registers[worker, "sync" if settings.batch_size else "async"]

    def grid(blocks: int) -> Any:
        return launches(settings, shape, n_pairs, machine.multiprocessors, blocks)[0]

    one = grid(1)
    resident = machine.resident_blocks(used, one.warps_in_block, one.shared_bytes)
    launch = grid(resident)
    work = Work(machine, settings, shape, n_pairs, launch)
    seconds = work.seconds()
    limits = {name: seconds.pop(name) for name in LIMITS}
    total = max(sum(seconds.values()), *limits.values())
    of = seconds if total > max(limits.values()) else limits
    bound = max(of, key=lambda name: of[name])
    return Prediction(
        blocks=launch.blocks,
        warps_in_block=launch.warps_in_block,
        resident_blocks=resident,
        busy=work.busy(seconds),
        grid_syncs=work.grid_syncs,
        bytes_of_pair=work.bytes_of_pair,
        atomics_of_pair=work.atomics_of_pair,
        pairs_per_second=work.n_samples / total,
        bound=bound,
    )


def worker_of(settings: Settings) -> str:
    """Whose registers count."""
    if not shares_negatives(settings.loss):
        return "Pair"
    return "Tile" if settings.precision == "float32" else "Tile, bfloat16"


def widths(chunks: int, most: int) -> list[int]:
    """Of the products that compute so many chunks of columns, in chunks; the last may be less."""
    full, rest = divmod(chunks, most)
    return [most] * full + [rest] * (rest > 0)


class Work:
    """The seconds of a mini-batch, or of as many pairs as are in flight where there is none."""

    def __init__(
        self,
        machine: Machine,
        settings: Settings,
        shape: tuple[int, int],
        n_pairs: int,
        launch: Any,
    ) -> None:
        self.machine, self.settings, self.shape = machine, settings, shape
        self.products = PRODUCTS[settings.precision]
        self.multiply_adds = (
            machine.fp32_per_cycle
            if settings.precision == "float32"
            else machine.bfloat16_per_cycle
        )
        self.n_pairs = n_pairs
        blocks, self.warps_in_block = launch.blocks, launch.warps_in_block
        self.blocks, self.warps = blocks, blocks * launch.warps_in_block
        self.sync = settings.batch_size > 0
        self.tiles = shares_negatives(settings.loss)
        # Those that work on tiles, and what each has.
        self.teams = launch.teams if self.tiles else blocks
        self.blocks_of_team = blocks / self.teams
        self.warps_of_team = self.warps / self.teams
        self.chunks = math.ceil(settings.n_dims / LANES)
        self.together = min(settings.tile_size, n_pairs) if self.tiles else 1
        self.n_samples = (
            min(settings.batch_size, n_pairs)
            if self.sync
            else (self.teams if self.tiles else self.warps) * self.together
        )
        self.rounds = math.ceil(math.ceil(self.n_samples / self.together) / self.teams)
        of_tile = GRID_SYNCS_OF_TILES + (0 if self.sync else GRID_SYNCS_OF_UPDATES)
        shared = self.blocks_of_team > 1
        self.grid_syncs = GRID_SYNCS * self.sync + of_tile * self.rounds * shared
        # Blocks that share a multiprocessor: where mini-batches end together, those that share one
        # with most others are the last; else the mean counts.
        self.in_multiprocessor = max(1.0, blocks / machine.multiprocessors)
        if self.sync:
            self.in_multiprocessor = math.ceil(self.in_multiprocessor)
        # How much of the tables is not in the L2 cache.
        row_bytes = 4 * padded(settings.n_dims)
        self.missing = max(0.0, 1 - machine.l2_bytes / (sum(shape) * row_bytes))
        self.row_cycles = machine.l2_cycles + self.missing * (
            machine.memory_cycles - machine.l2_cycles
        )
        size = settings.n_dims, settings.n_negatives
        self.bytes_of_pair = (
            shared_pair_cost(*size, self.together) if self.tiles else pair_cost(1.0, *size)
        )["bytes"]
        # Gradients that a pair adds to rows, each of n_dims elements.
        rows = 2 + settings.n_negatives / self.together if self.tiles else 3
        alone = not self.sync and self.warps == 1
        self.atomics_of_pair = 0.0 if alone else rows * settings.n_dims + (rows if self.sync else 0)

    def seconds(self) -> dict[str, float]:
        """By part; those of LIMITS go on at the same time as the others."""
        cycles = self.of_tiles() if self.tiles else self.of_pairs()
        if self.sync:
            slots = self.n_samples * 3
            if self.tiles:
                per_tile = 2 * self.together + self.settings.n_negatives
                slots = math.ceil(self.n_samples / self.together) * per_tile
            each = TRIPS.apply * self.row_cycles + 2 * SUM_CYCLES + APPLY_CYCLES
            of_warp = math.ceil(slots / self.warps)
            taken = math.ceil(of_warp / LANES) * TRIPS.take * self.machine.l2_cycles
            cycles["apply"] = of_warp * each + taken
        cycles["grid syncs"] = self.grid_syncs * GRID_SYNC_CYCLES
        seconds = {name: of / self.machine.hertz for name, of in cycles.items()}
        n_bytes = self.n_samples * self.bytes_of_pair
        seconds["bytes"] = max(
            n_bytes / self.machine.l2_bytes_per_second,
            self.missing * n_bytes / self.machine.memory_bytes_per_second,
        )
        atomics = self.n_samples * self.atomics_of_pair
        seconds["atomics"] = atomics / (self.machine.atomics_per_cycle * self.machine.hertz)
        return seconds

    def busy(self, seconds: Mapping[str, float]) -> float:
        """The share of the multiprocessors that have work, weighted by the time of each part."""
        all_blocks = min(1.0, self.blocks / self.machine.multiprocessors)
        shares = dict.fromkeys(seconds, all_blocks)
        if self.tiles:
            # Teams with a block more wait for the others, and in the last round those without a
            # tile.
            n_tiles = math.ceil(self.n_samples / self.together)
            blocks = math.floor(self.blocks_of_team)
            even = all_blocks * n_tiles * blocks / (self.rounds * self.blocks)
            # Each block has units of pairs of its own; some have one less than others.
            units = math.ceil(self.together / PRODUCT_ROWS)
            dealt = units / (math.ceil(units / blocks) * blocks)
            shares |= dict.fromkeys(("sums", "updates"), even)
            shares |= dict.fromkeys(("loss", "masks", "draws and copies"), even * dealt)
            # Of the three products one is divided otherwise.
            shares["products"] = even * (2 * dealt + 1) / 3
        total = sum(seconds.values())
        return sum(shares[name] * of for name, of in seconds.items()) / total

    def step_of(self, width: int, warps: float) -> Step:
        """Of a product so many chunks wide, with its share of the copies of a squad."""
        step, stage = self.products.steps[width - 1], self.products.stage
        if stage is None:
            return step
        floats = LANES * width / warps  # of a step of the columns
        columns = 4 * floats * stage.steps / stage.copied  # times that this warp copies
        written = 4 * (floats + PRODUCT_ROWS) / L1_BYTES_PER_CYCLE
        instructions = stage.instructions + columns * stage.copy_instructions
        waits = stage.wait + (0 if self.machine.copies_alone else self.machine.l2_cycles)
        return Step(
            loads=step.loads + written * (1 if self.machine.copies_alone else 2),
            instructions=step.instructions + instructions / stage.steps,
            cycles=step.cycles + (instructions + waits) / stage.steps,
        )

    def cycles_of_step(self, step: Step, width: int) -> float:
        """Of all warps of a multiprocessor."""
        return max(
            step.loads / self.machine.loads_per_cycle,
            PRODUCT_ROWS * LANES * width / self.multiply_adds,
            step.instructions / SCHEDULERS,
        )

    def of_tiles(self) -> dict[str, float]:
        """Cycles of the tiles that a team works on, one after another."""
        machine, n, pairs = self.machine, self.settings.n_negatives, self.together
        n_dims, l2 = self.settings.n_dims, machine.l2_cycles
        rounds = self.rounds
        # Of the smallest team, which is the last.
        blocks = math.floor(self.blocks_of_team)
        units = math.ceil(pairs / PRODUCT_ROWS)
        own = math.ceil(units / blocks)  # of a block

        def each(count: int) -> int:  # for a warp, where the team divides
            return math.ceil(count / (blocks * self.warps_in_block))

        def in_block(of_unit: int) -> int:  # for a warp, where a block divides what its units have
            return math.ceil(own * of_unit / self.warps_in_block)

        # The three products: the widths of their groups of columns; groups of PRODUCT_ROWS rows
        # that a block has; and the steps.
        at_once, stage = self.products.at_once, self.products.stage
        # Of long rows registers have less room, see core/tile_arrays.h.
        most = len(self.products.steps) if self.chunks <= SHORT else 2
        of_negatives, of_row = widths(math.ceil(n / LANES), most), widths(self.chunks, most)
        products = (
            (of_negatives, own, n_dims),
            (of_row, own, n),
            (of_row, math.ceil(math.ceil(n / PRODUCT_ROWS) / blocks), pairs),
        )
        all_warps = one_warp = floats = staged = 0.0
        for (columns, rows, exact), trips in zip(products, self.products.trips, strict=True):
            steps = math.ceil(exact / at_once) * at_once
            # The smallest of the squads that divide the columns between them.
            squads = min(len(columns), self.warps_in_block, Stage.most_squads)
            warps = self.warps_in_block // squads
            in_turn = math.ceil(rows / warps)
            each_step = [self.step_of(width, warps) for width in columns]
            of_block = map(self.cycles_of_step, each_step, columns)
            all_warps += rows * steps * sum(of_block)
            one = steps * each_step[0].cycles + trips * l2
            one_warp += math.ceil(len(columns) / squads) * in_turn * one
            floats += PRODUCT_ROWS * rows * len(columns) * steps
            staged += in_turn * LANES * sum(columns) * steps
        cycles = max(all_warps * self.in_multiprocessor, one_warp)
        of_l2 = machine.l2_bytes_per_second / machine.hertz / self.blocks
        if stage is not None:
            cycles = max(cycles, 4 * (staged + floats) / of_l2)
        elif self.blocks_of_team > 1:
            size = self.products.column_bytes
            vectors = n * n_dims  # of negatives; the block's pairs all meet them
            again = 1 if size * vectors <= machine.l1_bytes * L1_FOR_OPERANDS else own
            shared = vectors * again + self.chunks * LANES * (n + pairs)
            cycles += (size * shared + 4 * floats) / of_l2
        likes = self.n_pairs / self.shape[0]
        slots = each(2 * pairs + n)
        drawn = (math.log2(self.shape[0]) + 4) * l2 * in_block(1)
        calls = math.ceil(n / DRAWN_AT_ONCE)
        copy = TRIPS.copy * self.row_cycles + SUM_CYCLES
        negative = each(calls) * (DRAW_CYCLES + copy)
        # While some warps draw pairs, others draw and copy negatives, if there are enough.
        idle = units + calls <= blocks * self.warps_in_block
        drawn = max(drawn, negative) if idle else drawn + negative
        evaluations = math.ceil(own * PRODUCT_ROWS / LOSS.pairs)
        loss = n * LOSS.cycles + LOSS.trips * l2 + LOSS.rest
        claimed = TABLE_CYCLES + math.ceil(slots / LANES) * TRIPS.claim * l2
        added = slots * (TRIPS.add * l2 + ADD_CYCLES) + claimed
        update = TRIPS.update * self.row_cycles + 3 * SUM_CYCLES
        return {
            "products": rounds * cycles,
            "draws and copies": rounds * (drawn + in_block(PRODUCT_ROWS) * copy),
            "masks": rounds * in_block(PRODUCT_ROWS) * TRIPS.mask * math.ceil(likes / LANES) * l2,
            "loss": rounds * math.ceil(evaluations / self.warps_in_block) * loss,
            "sums": rounds * added if self.sync else 0.0,
            "updates": 0.0 if self.sync else rounds * slots * update,
        }

    def of_pairs(self) -> dict[str, float]:
        """Cycles of the pairs that a warp works on, one after another."""
        machine, n, chunks = self.machine, self.settings.n_negatives, self.chunks
        pairs = math.ceil(self.n_samples / self.warps)
        likes = self.n_pairs / self.shape[0]
        groups = math.ceil(n / 4)  # kRowsAtOnce
        distances = (2 + groups) * self.row_cycles + (1 + groups) * SUM_CYCLES
        drawn = (math.log2(likes + 1) + 2) * machine.l2_cycles
        loss = math.ceil(n / LANES) * 2 * SUM_CYCLES
        change = 3 * TRIPS.pair_add if self.sync else 1 + 3 * 1.5
        changed = change * self.row_cycles + (0 if self.sync else 6 * SUM_CYCLES)
        blocks_of_pairs = math.ceil(pairs / LANES) if self.sync else 1 / LANES
        order = blocks_of_pairs * (math.log2(self.shape[0]) + 4) * machine.l2_cycles
        instructions = (n + 1) * (4 * chunks + 10) + 400 + 60 * chunks
        warps = self.warps_in_block * self.in_multiprocessor
        issue = warps * instructions / (SCHEDULERS * USED_ISSUE_SLOTS)
        parts = {
            "distances": distances,
            "draws": drawn,
            "loss": loss,
            "sums" if self.sync else "updates": changed,
        }
        slower = max(1.0, issue / sum(parts.values()))
        return {**{name: pairs * slower * of for name, of in parts.items()}, "order": order}
