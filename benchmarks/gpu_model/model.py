"""Pairs per second of the training kernels on a GPU, from counts and a few assumptions.

Counted, or asked of the code: the grid (host.py), registers (registers.py), matrix products, rows,
slots, atomic operations and bytes of a mini-batch. Assumed, because nothing was measured:

- The matrix products of a tile wait for the unit that loads from L1: a step of the inner loop takes
  LOADS_OF_STEP loads for PRODUCT_ROWS multiply-adds and STEP_INSTRUCTIONS instructions in all.
- All else of a tile, and a pair of the paper's loss, waits for the L2 cache: a trip to it takes
  l2_cycles (more, where rows have to come from memory), and loads of one row come one after another
  where stores are between them. TRIPS says how many there are.
- The blocks of a multiprocessor do the same at the same time: products take turns, waits overlap.
- Every pair is active: all slots of a tile have a row.
- Nothing is faster than bytes and atomic operations allow.

Whoever changes the kernels changes the numbers below.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ..common.machine_speed import padded
from ..common.training_job import Settings, shares_negatives
from ..throughput.limits import pair_cost, shared_pair_cost
from .machines import LANES, Machine
from .registers import Registers

# csrc/core/product.h: rows at once; a step loads one value of each of them, and one chunk.
PRODUCT_ROWS = 8
LOADS_OF_STEP = PRODUCT_ROWS + 1
STEP_INSTRUCTIONS = 24
STEP_CYCLES = 33.0  # of a single warp: a load from L1


@dataclass(frozen=True)
class Trips:
    """To the L2 cache, one after another, for a row of so many chunks."""

    chunks: int

    @property
    def copy_pair(self) -> float:  # tile.h, load_pair(): each chunk, and the same as a column
        return 2 * self.chunks

    @property
    def copy_negative(self) -> float:  # load_negative()
        return self.chunks

    @property
    def add(self) -> float:  # gradient_sums.cuh, add(): the claim, which takes two; each chunk
        return 2 + self.chunks

    @property
    def apply(self) -> float:  # apply(): the row's number, sums, the accumulator, the row
        return 3 + self.chunks

    @property
    def update(self) -> float:  # tile_updates.h: gradient twice, accumulator, row twice
        return 5

    @property
    def mask(self) -> float:  # tile.h, mask_liked(): likes, and the drawn negatives
        return 2


EVALUATION_CYCLES = 220  # losses/softmax.h: for a negative and 32 pairs, an exponential and loads
SUM_CYCLES = 130  # Lanes::sum(): five shuffles and additions
GRID_SYNC_CYCLES = 2300
USED_ISSUE_SLOTS = 0.7  # of those of a multiprocessor, at most
SCHEDULERS = 4


LIMITS = ("bytes", "atomics")


@dataclass(frozen=True)
class Prediction:
    """Of the first kernel that training launches, and of the speed of all."""

    blocks: int
    warps_in_block: int
    resident_blocks: int  # that a multiprocessor could hold
    busy: float  # share of the multiprocessors
    grid_syncs: int  # of a mini-batch
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
    worker = "Tile" if shares_negatives(settings.loss) else "Pair"
    used = registers[worker, "sync" if settings.batch_size else "async"]

    def grid(blocks: int) -> Any:
        return launches(settings, shape, n_pairs, machine.multiprocessors, blocks)[0]

    one = grid(1)
    resident = machine.resident_blocks(used, one.warps_in_block, one.shared_bytes)
    launch = grid(resident)
    work = Work(machine, settings, shape, n_pairs, launch.blocks, launch.warps_in_block)
    seconds = work.seconds()
    limits = {name: seconds.pop(name) for name in LIMITS}
    total = max(sum(seconds.values()), *limits.values())
    of = seconds if total > max(limits.values()) else limits
    bound = max(of, key=lambda name: of[name])
    return Prediction(
        blocks=launch.blocks,
        warps_in_block=launch.warps_in_block,
        resident_blocks=resident,
        busy=min(1.0, launch.blocks / machine.multiprocessors),
        grid_syncs=2 if settings.batch_size else 0,
        bytes_of_pair=work.bytes_of_pair,
        atomics_of_pair=work.atomics_of_pair,
        pairs_per_second=work.n_samples / total,
        bound=bound,
    )


class Work:
    """The seconds of a mini-batch, or of as many pairs as are in flight where there is none."""

    def __init__(
        self,
        machine: Machine,
        settings: Settings,
        shape: tuple[int, int],
        n_pairs: int,
        blocks: int,
        warps_in_block: int,
    ) -> None:
        self.machine, self.settings, self.shape = machine, settings, shape
        self.n_pairs = n_pairs
        self.blocks, self.warps_in_block = blocks, warps_in_block
        self.warps = blocks * warps_in_block
        self.sync = settings.batch_size > 0
        self.tiles = shares_negatives(settings.loss)
        self.chunks = math.ceil(settings.n_dims / LANES)
        self.trips = Trips(self.chunks)
        self.together = min(settings.tile_size, n_pairs) if self.tiles else 1
        self.n_samples = (
            min(settings.batch_size, n_pairs)
            if self.sync
            else (blocks if self.tiles else self.warps) * self.together
        )
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
            each = self.trips.apply * self.row_cycles + 2 * SUM_CYCLES
            cycles["apply"] = math.ceil(slots / self.warps) * each
            cycles["grid syncs"] = 2 * GRID_SYNC_CYCLES
        seconds = {name: of / self.machine.hertz for name, of in cycles.items()}
        n_bytes = self.n_samples * self.bytes_of_pair
        seconds["bytes"] = max(
            n_bytes / self.machine.l2_bytes_per_second,
            self.missing * n_bytes / self.machine.memory_bytes_per_second,
        )
        atomics = self.n_samples * self.atomics_of_pair
        seconds["atomics"] = atomics / (self.machine.atomics_per_cycle * self.machine.hertz)
        return seconds

    def of_tiles(self) -> dict[str, float]:
        """Cycles of the tiles that a block works on, one after another."""
        machine, n, pairs = self.machine, self.settings.n_negatives, self.together
        rounds = math.ceil(math.ceil(self.n_samples / pairs) / self.blocks)
        groups = math.ceil(pairs / PRODUCT_ROWS), math.ceil(n / PRODUCT_ROWS)
        steps = math.ceil(pairs / LANES) * groups[1] * self.settings.n_dims  # distances
        steps += self.chunks * (groups[0] * n + groups[1] * pairs)  # gradients
        warps = min(self.warps_in_block * self.in_multiprocessor, machine.max_warps)
        step = max(
            LOADS_OF_STEP / machine.loads_per_cycle,
            PRODUCT_ROWS * LANES / machine.fp32_per_cycle,
            STEP_INSTRUCTIONS / SCHEDULERS,
            STEP_CYCLES / warps,
        )

        def each(count: int) -> int:  # for a warp
            return math.ceil(count / self.warps_in_block)

        trips, l2 = self.trips, machine.l2_cycles
        likes = self.n_pairs / self.shape[0]
        slots = each(2 * pairs + n)
        copied = each(pairs) * trips.copy_pair + each(n) * trips.copy_negative
        drawn = math.log2(self.shape[0]) + 4
        return {
            "products": rounds * self.in_multiprocessor * steps * step,
            "copies of rows": rounds * copied * self.row_cycles,
            "draws and masks": rounds
            * (each(pairs) * trips.mask * math.ceil(likes / LANES) + drawn)
            * l2,
            "loss": rounds * each(math.ceil(pairs / LANES)) * n * EVALUATION_CYCLES,
            "sums": rounds * slots * trips.add * l2 if self.sync else 0.0,
            "updates": 0.0 if self.sync else rounds * slots * trips.update * self.row_cycles,
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
        change = 3 * self.trips.add if self.sync else 1 + 3 * 1.5
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
