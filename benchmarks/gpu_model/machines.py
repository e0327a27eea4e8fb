"""GPUs, as their data sheets and published microbenchmarks describe them."""

from __future__ import annotations

from dataclasses import dataclass

REGISTERS, REGISTERS_AT_ONCE = 65536, 256  # of a multiprocessor, and allocated at once to a warp
LANES = 32


@dataclass(frozen=True)
class Machine:
    name: str
    compute_capability: str
    multiprocessors: int
    hertz: float  # under load
    memory_bytes_per_second: float
    l2_bytes: float
    l2_bytes_per_second: float
    l2_cycles: float  # a load that hits the L2 cache
    memory_cycles: float  # a load that misses it
    atomics_per_cycle: float  # additions of 64-bit integers, in the whole L2 cache
    # Of a multiprocessor:
    loads_per_cycle: float  # instructions of a warp that load, from L1
    fp32_per_cycle: float  # multiply-adds
    bfloat16_per_cycle: float  # the same on tensor cores, by mma.sync; 0: it has none for these
    max_warps: int
    max_blocks: int
    shared_bytes: int
    l1_bytes: int

    @property
    def copies_alone(self) -> bool:
        """Whether it copies to shared memory while a warp computes (cp.async)."""
        return int(self.compute_capability) >= 80

    def resident_blocks(self, registers: int, warps: int, shared_bytes: int) -> int:
        """Blocks of so many warps that a multiprocessor holds at once."""
        of_warp = -(-registers * LANES // REGISTERS_AT_ONCE) * REGISTERS_AT_ONCE
        limits = [REGISTERS // (of_warp * warps), self.max_warps // warps, self.max_blocks]
        if shared_bytes:
            limits.append(self.shared_bytes // (shared_bytes + 1024))  # 1 KiB is the system's
        return max(1, min(limits))


T4 = Machine(
    **{"name": "T4", "compute_capability": "75", "multiprocessors": 40, "hertz": 1.35e9},
    **{"memory_bytes_per_second": 0.32e12, "l2_bytes": 4e6, "l2_bytes_per_second": 1.2e12},
    **{"l2_cycles": 220, "memory_cycles": 500, "atomics_per_cycle": 32},
    **{"loads_per_cycle": 0.5, "fp32_per_cycle": 64, "bfloat16_per_cycle": 0},
    **{"max_warps": 32, "max_blocks": 16, "shared_bytes": 64 * 1024, "l1_bytes": 64 * 1024},
)
A100 = Machine(
    **{"name": "A100", "compute_capability": "80", "multiprocessors": 108, "hertz": 1.41e9},
    **{"memory_bytes_per_second": 1.56e12, "l2_bytes": 40e6, "l2_bytes_per_second": 4.5e12},
    **{"l2_cycles": 260, "memory_cycles": 560, "atomics_per_cycle": 80},
    **{"loads_per_cycle": 1, "fp32_per_cycle": 64, "bfloat16_per_cycle": 1024},
    **{"max_warps": 64, "max_blocks": 32, "shared_bytes": 164 * 1024, "l1_bytes": 192 * 1024},
)
H100 = Machine(
    **{"name": "H100", "compute_capability": "90", "multiprocessors": 132, "hertz": 1.755e9},
    **{"memory_bytes_per_second": 3.35e12, "l2_bytes": 50e6, "l2_bytes_per_second": 5.5e12},
    **{"l2_cycles": 270, "memory_cycles": 620, "atomics_per_cycle": 87},
    **{"loads_per_cycle": 1, "fp32_per_cycle": 128, "bfloat16_per_cycle": 1024},
    **{"max_warps": 64, "max_blocks": 32, "shared_bytes": 228 * 1024, "l1_bytes": 256 * 1024},
)
RTX_4090 = Machine(
    **{"name": "RTX 4090", "compute_capability": "89", "multiprocessors": 128, "hertz": 2.52e9},
    **{"memory_bytes_per_second": 1.01e12, "l2_bytes": 72e6, "l2_bytes_per_second": 5e12},
    **{"l2_cycles": 280, "memory_cycles": 680, "atomics_per_cycle": 48},
    **{"loads_per_cycle": 0.5, "fp32_per_cycle": 128, "bfloat16_per_cycle": 256},
    **{"max_warps": 48, "max_blocks": 24, "shared_bytes": 100 * 1024, "l1_bytes": 128 * 1024},
)
MACHINES = (T4, A100, H100, RTX_4090)


def most_like(compute_capability: str) -> Machine:
    """One of the above with multiprocessors such as this one has, as far as we know."""
    major = int(compute_capability[:-1])
    if major < 8:
        return T4
    if major == 8:
        return A100 if compute_capability == "80" else RTX_4090
    return H100 if major < 12 else RTX_4090
