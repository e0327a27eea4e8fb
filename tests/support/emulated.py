"""The CUDA kernels on an emulated device: csrc/cuda/ compiled for the host, see emulator/."""

from __future__ import annotations

import ctypes
import fcntl
import hashlib
import os
import re
import shlex
import shutil
import subprocess
import sysconfig
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import pytest

from cml_fast import _core
from cml_fast._compute.settings import ADAGRAD_EPSILON, Settings
from cml_fast._threads import usable_cores

CHECKOUT = Path(__file__).resolve().parents[2]
FLAGS = [
    *("-std=c++17", "-O1", "-fPIC", "-fvisibility=hidden", "-Wall", "-Wextra"),
    *("-ffp-contract=off", "-fno-math-errno"),  # as for the CPU kernels
    "-U_FORTIFY_SOURCE",  # its longjmp refuses to change stacks
    "-Wno-unknown-pragmas",  # nvcc's unroll
    "-DCML_TARGET=emulated",
]
# The compiler tells of each access, and of the lines of code. GCC's.
RACES = ["-fsanitize=thread", "--param=tsan-distinguish-volatile=1", "-g1"]
LIBRARY_VARIABLE = "CML_FAST_EMULATOR"  # a library that was built before, to use instead
ORDERS = ("ascending", "descending", "shuffled")
MULTIPROCESSORS = 16  # of the emulated device; each has room for one block
# For tiles, whose blocks have more warps and use all multiprocessors: every thread takes time.
MULTIPROCESSORS_FOR_TILES = 5
FIXED_CHUNKS = 8  # kMaxFixedChunks
LANES = 32
# Numbers of chunks, the slowest to compile first. What is missing differs from these in a number
# alone.
KERNELS = (FIXED_CHUNKS, 4, 3, 2, 1, 0)

# --- building it ------------------------------------------------------------------------------


def compiler() -> list[str]:
    for command in (os.environ.get("CXX"), sysconfig.get_config_var("CXX"), "c++", "g++"):
        words = shlex.split(command or "")
        if words and shutil.which(words[0]):
            return words
    pytest.skip("no C++ compiler: set CXX to one, to run the CUDA kernels on the emulated device")


def build(
    directory: Path,
    *flags: str,
    checkout: Path = CHECKOUT,
    kernels: Sequence[int] = KERNELS,
    translated: Mapping[int, str] | None = None,
    races: bool = False,
) -> Path:
    """Compile the kernels, their launch and the emulated device into one shared library.

    Fewer ``kernels`` are for tests that need no others. Kernel 0, for any number of chunks, takes
    the place of those that are missing; where it is missing too, they end the process.
    ``translated`` has the sources of kernels that were made from PTX, see ptx.py. With ``races``
    the kernels are checked for races, see emulator/races.h.
    """
    translated = translated or {}
    cuda, emulator = checkout / "csrc" / "cuda", checkout / "tests" / "emulator"
    if not cuda.is_dir():
        pytest.skip(f"the sources of the CUDA kernels are not in {cuda}")
    command = [*compiler(), *FLAGS, *flags, "-I", str(emulator)]
    command += ["-include", str(emulator / "cuda_emulator.h"), "-c", "-x", "c++"]
    # One object for each number of chunks, as cmake/CudaKernels.cmake has it.
    checked = RACES if races else []
    sources: list[tuple[Path, list[str]]] = [
        (cuda / "kernel.cu", [f"-DCML_CHUNKS={chunks}", *checked]) for chunks in kernels
    ]
    sources += [(cuda / "select.cu", checked)]
    sources += [(cuda / name, []) for name in ("train.cu", "minibatch_launch.cu")]
    called = "-fvisibility=default"  # from Python
    sources += [(emulator / "faults.cpp", [called, *checked])]
    sources += [(emulator / name, [called]) for name in ("scheduler.cpp", "runtime.cpp")]
    sources += [(emulator / "races.cpp", [])]  # nobody else's -fsanitize=thread shall find it
    for chunks, text in translated.items():
        source = directory / f"translated_{chunks}.cpp"
        source.write_text(text)
        sources += [(source, ["-I", str(cuda), "-w", "-O0"])]  # much code, run rarely
    missing = sorted({*range(FIXED_CHUNKS + 1)} - {*kernels} - {*translated})
    if missing:
        none = directory / "missing.cpp"
        instead = "cuda_kernels_0(loss, bfloat16)" if 0 not in missing else "{}"
        functions = (
            f"CudaKernels cuda_kernels_{chunks}([[maybe_unused]] Loss loss, "
            f"[[maybe_unused]] bool bfloat16) {{ return {instead}; }}"
            for chunks in missing
        )
        none.write_text("\n".join(['#include "kernel.h"', "namespace cml {", *functions, "}\n"]))
        sources += [(none, ["-I", str(cuda)])]

    def compile_one(number: int) -> str:
        source, options = sources[number]
        target = str(directory / f"{number}.o")
        subprocess.run([*command, *options, str(source), "-o", target], check=True)
        return target

    with ThreadPoolExecutor(usable_cores()) as pool:
        objects = list(pool.map(compile_one, range(len(sources))))
    library = directory / "libemulated.so"
    link = [*compiler(), *flags, "-shared", *objects, "-o", str(library)]
    subprocess.run(link, check=True)
    return library


def build_once() -> Path:
    """The same library for all processes that test these sources: it is kept in build/."""
    version = subprocess.run([*compiler(), "--version"], capture_output=True, check=True).stdout
    digest = hashlib.sha256(version + Path(__file__).read_bytes())
    for folder in ("csrc", "tests/emulator"):
        for path in sorted(path for path in (CHECKOUT / folder).rglob("*") if path.is_file()):
            digest.update(str(path.relative_to(CHECKOUT)).encode() + path.read_bytes())
    kept = CHECKOUT / "build" / "emulator"
    kept.mkdir(parents=True, exist_ok=True)
    library = kept / f"{digest.hexdigest()}.so"
    with (kept / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not library.exists():
            for old in kept.glob("*.so"):
                old.unlink()
            with tempfile.TemporaryDirectory(dir=kept) as directory:
                build(Path(directory)).rename(library)
    return library


# --- calling it -------------------------------------------------------------------------------


def structure(*fields: tuple[str, Any]) -> type[ctypes.Structure]:
    return type("Structure", (ctypes.Structure,), {"_fields_": fields})


# As in csrc/core/job.h and emulator/runtime.cpp.
I32, I64, F32, POINTER = ctypes.c_int32, ctypes.c_int64, ctypes.c_float, ctypes.c_void_p
Table = structure(
    ("values", POINTER),
    ("accumulators", POINTER),
    ("rows", I64),
    ("stride", I64),
    ("accumulator_stride", I64),
)
Likes = structure(("indptr", POINTER), ("indices", POINTER), ("weights", POINTER), ("n_pairs", I64))
Hyperparameters = structure(
    ("loss", I32),
    ("n_dims", I32),
    ("n_negatives", I32),
    ("tile_size", I32),
    *((name, F32) for name in _core.LOSS_PARAMETERS),
    ("learning_rate", F32),
    ("epsilon", F32),
    ("max_norm", F32),
    ("rowwise", ctypes.c_bool),
    ("bfloat16", ctypes.c_bool),
    ("seed", ctypes.c_uint64),
)
ShuffleSizes = structure(("n", ctypes.c_uint64), ("high_size", ctypes.c_uint64), ("low_bits", I32))
VisitSizes = structure(
    ("part_bits", I32), ("last", ShuffleSizes), ("part", ShuffleSizes), ("parts", ShuffleSizes)
)
FixedPoint = structure(("scale", F32), ("unit", F32), ("largest_gradient", F32))
CoreJob = structure(
    ("users", Table),
    ("items", Table),
    ("likes", Likes),
    ("visits", VisitSizes),
    ("hyper", Hyperparameters),
    ("rank_weights", POINTER),
    ("draws_per_item", ctypes.c_uint64),
    ("batch_size", I64),
    ("fixed", FixedPoint),
)
RowGradients = structure(("table", Table), ("rows", POINTER), ("values", POINTER), ("n", I64))
Counters = structure(
    ("pairs", I64),
    ("active", I64),
    ("impostors", I64),
    ("skipped", I64),
    ("loss", ctypes.c_double),
    ("first_non_finite", I64),
)
Options = structure(
    ("order", I32),
    ("seed", ctypes.c_uint32),
    ("multiprocessors", I32),
    ("cooperative", I32),
    ("blocks", I32),
    ("warps_in_block", I32),
    ("teams", I32),
)

Recorded = structure(("blocks", I32), ("threads", I32), ("teams", I32), ("shared_bytes", I64))

# As in csrc/core/select.h.
Selection = structure(
    ("scores", POINTER),
    ("n_rows", I64),
    ("n_columns", I64),
    ("indptr", POINTER),
    ("indices", POINTER),
    ("n", I64),
    ("slack", POINTER),
    ("columns", POINTER),
    ("room", I64),
    ("starts", POINTER),
    ("counts", POINTER),
    ("total", POINTER),
)


def shuffle_sizes(n: int) -> Any:
    bits = (n - 1).bit_length() if n > 0 else 0
    low_bits = bits - bits // 2
    return ShuffleSizes(n, -(-n // 2**low_bits), low_bits)


def visit_sizes(n_pairs: int, pairs_per_part: int) -> Any:
    bits = pairs_per_part.bit_length() - 1 if pairs_per_part else 62
    whole, rest = divmod(n_pairs, 2**bits)
    return VisitSizes(bits, *(shuffle_sizes(n) for n in (rest, 2**bits, whole)))


_library: ctypes.CDLL | None = None


def load(library: Path) -> ctypes.CDLL:
    """From now on this library is the emulated device."""
    global _library
    _library = ctypes.CDLL(str(library))
    _library.emulator_train.restype = ctypes.c_char_p
    _library.emulator_train.argtypes = [POINTER, I64, I64, POINTER, POINTER]
    _library.emulator_batch_bytes.restype = I64
    _library.emulator_batch_bytes.argtypes = [POINTER, POINTER]
    _library.emulator_step.restype = I64
    _library.emulator_step.argtypes = [POINTER, POINTER, POINTER]
    _library.emulator_select.restype = ctypes.c_char_p
    _library.emulator_select.argtypes = [POINTER, POINTER, POINTER]
    _library.emulator_case.restype = ctypes.c_char_p
    _library.emulator_case.argtypes = [ctypes.c_char_p, I32, ctypes.c_uint32, I32, I32, POINTER]
    _library.emulator_ignore_barrier.restype = I64
    _library.emulator_ignore_barrier.argtypes = [I64]
    _library.emulator_copies.restype = I64
    _library.emulator_copies.argtypes = [POINTER]
    _library.emulator_additions.restype = I64
    _library.emulator_launches.restype = I64
    _library.emulator_launches.argtypes = [POINTER, I64, I64, POINTER, I32, POINTER, I64]
    return _library


def copies_to_host() -> tuple[int, int]:
    """How often the code in csrc/cuda has copied to the host since the last call, and bytes."""
    assert _library is not None, "the fixture `emulator` loads it"
    n_bytes = I64()
    n: int = _library.emulator_copies(ctypes.byref(n_bytes))
    return n, n_bytes.value


def atomic_additions() -> int:
    """How many atomic additions of 64-bit integers there were since the last call."""
    assert _library is not None, "the fixture `emulator` loads it"
    n: int = _library.emulator_additions()
    return n


def located(problem: str) -> str:
    """A problem that was found, with lines of code in place of positions in the library: that of
    the access, then those that the functions around it were called at."""

    def lines(position: re.Match[str]) -> str:
        assert _library is not None
        command = ["addr2line", "-s", "-i", "-e", _library._name, position[1]]
        done = subprocess.run(command, capture_output=True, text=True)
        # "lanes.cuh:45 (discriminator 2)"
        return ", called at ".join(line.split()[0] for line in done.stdout.splitlines())

    return re.sub(r"\[(0x[0-9a-f]+)\]", lines, problem) if shutil.which("addr2line") else problem


class Launch(NamedTuple):
    """The grid of a kernel; bytes of shared memory are those of a block.

    ``teams`` share out the tiles; 0 for kernels without tiles.
    """

    blocks: int
    warps_in_block: int
    teams: int
    shared_bytes: int


class EmulatedJob:
    """``_core.Job("cuda", ...)`` for arrays in NumPy, which the emulated device takes for its own.

    ``order`` is that in which lanes take turns; with a ``seed`` other than 0 the turns of warps are
    random, and may end in the middle; ``grid``, if given, is (blocks, warps in each) in place of
    what csrc/cuda/train.cu chooses, and ``teams`` of its blocks work on tiles, by default each of
    one block. Without ``cooperative`` the device lacks cooperative launches.
    The attribute ``grid`` is that of the last run, of its first kernel.
    """

    def __init__(
        self,
        arrays: dict[str, np.ndarray | None],
        chosen: Settings,
        largest_gradient: float,
        *,
        order: str = "ascending",
        seed: int = 0,
        grid: tuple[int, int] = (0, 0),
        teams: int = 0,
        cooperative: bool = True,
    ) -> None:
        self._arrays = arrays  # kept alive
        pointers = {
            name: None if array is None else array.ctypes.data for name, array in arrays.items()
        }
        tables = [
            Table(
                pointers[f"{side}s"],
                pointers[f"{side}_accumulators"],
                *arrays[f"{side}s"].shape,
                arrays[f"{side}_accumulators"].shape[1],
            )
            for side in ("user", "item")
        ]
        likes = Likes(
            *(pointers[name] for name in ("indptr", "indices", "weights")), len(arrays["indices"])
        )
        hyper = Hyperparameters(
            list(_core.LOSSES).index(chosen.loss),
            chosen.n_dims,
            chosen.n_negatives,
            chosen.tile_size,
            *(getattr(chosen, name) for name in _core.LOSS_PARAMETERS),
            chosen.learning_rate,
            ADAGRAD_EPSILON,
            chosen.max_norm,
            arrays["user_accumulators"].shape[1] == 1,
            chosen.precision == "bfloat16",
            chosen.seed,
        )
        together = chosen.tile_size if _core.LOSSES[chosen.loss] else 1
        summands = -(-chosen.batch_size // together)
        fixed = FixedPoint(*_core.fixed_point(summands, largest_gradient))
        ranks = pointers["rank_weights"]
        batch_size = min(chosen.batch_size, likes.n_pairs)
        draws = (2**64 * chosen.n_negatives // tables[1].rows + 1) % 2**64
        visits = visit_sizes(likes.n_pairs, chosen.pairs_per_part)
        self._job = CoreJob(*tables, likes, visits, hyper, ranks, draws, batch_size, fixed)
        most = MULTIPROCESSORS_FOR_TILES if _core.LOSSES[chosen.loss] else MULTIPROCESSORS
        self._options = ORDERS.index(order), seed, most, cooperative, *grid, teams or grid[0]
        self.grid = grid

    @property
    def learning_rate(self) -> float:
        return float(self._job.hyper.learning_rate)

    @learning_rate.setter
    def learning_rate(self, rate: float) -> None:
        self._job.hyper.learning_rate = rate

    def run(self, begin: int, end: int) -> SimpleNamespace:
        counters = Counters(first_non_finite=2**63 - 1)
        if begin < end:
            assert _library is not None, "the fixture `emulator` loads it"
            options = Options(*self._options)
            job, out = ctypes.byref(self._job), ctypes.byref(counters)
            error = _library.emulator_train(job, begin, end, ctypes.byref(options), out)
            if error:
                raise RuntimeError(located(error.decode()))
            self.grid = options.blocks, options.warps_in_block
        values = {name: getattr(counters, name) for name, _ in Counters._fields_}
        if values["first_non_finite"] == 2**63 - 1:
            values["first_non_finite"] = None
        return SimpleNamespace(**values)

    def batch_bytes(self) -> int:
        """Of the memory for mini-batches."""
        assert _library is not None, "the fixture `emulator` loads it"
        options = Options(*self._options)
        size: int = _library.emulator_batch_bytes(ctypes.byref(self._job), ctypes.byref(options))
        return size

    def step(self, table: str, rows: np.ndarray, gradients: np.ndarray) -> int | None:
        assert _library is not None, "the fixture `emulator` loads it"
        of = self._job.users if table == "users" else self._job.items
        given = RowGradients(of, rows.ctypes.data, gradients.ctypes.data, len(rows))
        options = Options(*self._options)
        refused: int = _library.emulator_step(
            ctypes.byref(self._job), ctypes.byref(given), ctypes.byref(options)
        )
        assert refused >= -1
        return None if refused < 0 else refused

    def launches(self, begin: int, end: int, multiprocessors: int, blocks: int) -> list[Launch]:
        """The kernels that training these samples would launch on a device whose multiprocessors
        hold so many blocks each; the first two. None runs."""
        assert _library is not None, "the fixture `emulator` loads it"
        order, seed, _, cooperative, *_ = self._options
        options = Options(order, seed, multiprocessors, cooperative, 0, 0, 0)
        found = (2 * Recorded)()
        job, chosen = ctypes.byref(self._job), ctypes.byref(options)
        n = _library.emulator_launches(job, begin, end, chosen, blocks, found, len(found))
        assert n > 0
        return [
            Launch(each.blocks, each.threads // LANES, each.teams, each.shared_bytes)
            for each in found[:n]
        ]


def cuda_select(
    scores: np.ndarray,
    indptr: np.ndarray,
    indices: np.ndarray,
    n: int,
    slack: np.ndarray,
    columns: np.ndarray,
    found: np.ndarray,
    stream: int,
    *,
    order: str = "ascending",
    seed: int = 0,
) -> int:
    """``_core.cuda_select`` for arrays in NumPy; ``order`` and ``seed`` as for EmulatedJob.

    Returns how many bytes of the scores were read.
    """
    assert _library is not None, "the fixture `emulator` loads it"
    given = {"scores": scores, "indptr": indptr, "indices": indices}
    given |= {"slack": slack, "columns": columns, "found": found}
    types = {"scores": "<f4", "indptr": "<i8", "indices": "<i4"}
    types |= {"slack": "<f4", "columns": "<i4", "found": "<i8"}
    for name, array in given.items():
        assert array.dtype.str == types[name] and array.flags.c_contiguous, name
    m, p = scores.shape
    assert scores.ctypes.data % 16 == 0 and p % 4 == 0 and 1 <= n <= p
    assert (len(indptr), len(slack), len(found)) == (m + 1, m, 2 * m + 1)
    pointers = (scores, indptr, indices, slack, columns, found, found[1:], found[1 + m :])
    at = [array.ctypes.data for array in pointers]
    total, starts, counts = at[5:]
    selection = Selection(
        *(at[0], m, p, at[1], at[2], n, at[3], at[4], len(columns)), starts, counts, total
    )
    options = Options(ORDERS.index(order), seed, MULTIPROCESSORS, True, 0, 0, 0)
    bytes_read = I64()
    arguments = [ctypes.byref(each) for each in (selection, options, bytes_read)]
    error: bytes = _library.emulator_select(*arguments)
    if error:
        raise RuntimeError(located(error.decode()))
    return bytes_read.value
