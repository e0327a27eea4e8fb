"""PTX of csrc/cuda/kernel.cu as C++ for the emulated device: a statement for each instruction.

So the tests run what nvcc made of the kernels, not only their source. Not covered are what ptxas
makes of PTX, caches, memory order and time. An instruction that is not in the tables below is an
error that names it; sums and products without ``.rn`` are among these, for ptxas may fuse them.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

ARCHITECTURE = "compute_80"  # the oldest with all kernels
FLAGS = ["-ptx", f"-arch={ARCHITECTURE}", "-std=c++17", "-O3", "--fmad=false"]
FLAGS += ["--expt-relaxed-constexpr", "-DCML_TARGET=cuda"]  # as cmake/CudaKernels.cmake
KINDS = ("async", "project", "sync", "accumulate", "apply", "step")  # as CudaKernels has them


def compile_kernels(source: Path, chunks: int, directory: Path) -> str:
    """What nvcc makes of the kernels for rows of so many chunks."""
    nvcc = shutil.which("nvcc")
    if nvcc is None:
        pytest.skip("nvcc is not on PATH: no PTX of the kernels to run")
    target = directory / f"kernel_{chunks}.ptx"
    command = [nvcc, *FLAGS, f"-DCML_CHUNKS={chunks}", str(source), "-o", str(target)]
    subprocess.run(command, check=True)
    return target.read_text()


# --- instructions -----------------------------------------------------------------------------

TYPES = {"pred": "bool", "f32": "float", "f64": "double"}
TYPES |= {f"{kind}{bits}": f"uint{bits}_t" for kind in "bu" for bits in (8, 16, 32, 64)}
TYPES |= {f"s{bits}": f"int{bits}_t" for bits in (8, 16, 32, 64)}

INT, SINT, FLOAT = "[bus](?:16|32|64)", "s(?:16|32|64)", "f(?:32|64)"

# For each instruction the value of its first operand, the others being {0}, {1}, ...; they are
# read as its type, which is {T}. {U} is the unsigned type of this size, and {W} the type twice as
# wide: sums of integers wrap around.
VALUES = {
    rf"mov\.({INT}|{FLOAT}|pred)": "{0}",
    rf"cvta\.to\.global\.({INT})": "{0}",
    rf"add\.rn\.({FLOAT})": "{0} + {1}",
    rf"sub\.rn\.({FLOAT})": "{0} - {1}",
    rf"mul\.rn\.({FLOAT})": "{0} * {1}",
    rf"div\.rn\.({FLOAT})": "{0} / {1}",
    rf"rcp\.rn\.({FLOAT})": "{T}(1) / {0}",
    rf"fma\.rn\.({FLOAT})": "std::fma({0}, {1}, {2})",
    rf"sqrt\.rn\.({FLOAT})": "std::sqrt({0})",
    rf"(?:min|max)\.({FLOAT})": "ptx::{op}({0}, {1})",
    rf"add\.({INT})": "{U}({U}({0}) + {U}({1}))",
    rf"sub\.({INT})": "{U}({U}({0}) - {U}({1}))",
    rf"neg\.({INT})": "{U}({U}(0) - {U}({0}))",
    rf"mul\.lo\.({INT})": "{U}({U}({0}) * {U}({1}))",
    rf"mad\.lo\.({INT})": "{U}({U}({0}) * {U}({1}) + {U}({2}))",
    rf"mul\.wide\.({INT})": "{W}({0}) * {W}({1})",
    rf"mul\.hi\.({INT})": "{W}({W}({0}) * {W}({1})) >> 8 * sizeof({T})",
    rf"div\.({INT})": "{0} / {1}",
    rf"rem\.({INT})": "{0} % {1}",
    rf"(?:min|max)\.({INT})": "std::{op}<{T}>({0}, {1})",
    rf"and\.({INT}|pred)": "{0} & {1}",
    rf"or\.({INT}|pred)": "{0} | {1}",
    rf"xor\.({INT}|pred)": "{0} ^ {1}",
    rf"not\.({INT})": "~{0}",
    r"not\.(pred)": "!{0}",
    rf"shl\.({INT})": "ptx::shift_left({0}, {shift})",
    rf"shr\.({INT})": "ptx::shift_right({0}, {shift})",
    rf"selp\.({INT}|{FLOAT})": "{condition} ? {0} : {1}",
    r"popc\.(b32|b64)": "uint32_t(__builtin_popcountll({0}))",
    r"bfind\.shiftamt\.(u32)": "{0} ? uint32_t(__builtin_clz({0})) : ~0u",
    r"brev\.(b32)": "ptx::reverse({0})",
    r"prmt\.(b32)": "__byte_perm({0}, {1}, {2})",
    r"bfi\.(b32|b64)": "ptx::insert({0}, {1}, {2}, {3})",
    # Conversions; {S} is the type that is read.
    rf"cvt\.(?P<to>{INT}|[us]8)\.({INT}|[us]8)": "{T}({0})",
    rf"cvt\.rn\.(?P<to>{FLOAT})\.({INT}|f64)": "{T}({0})",
    r"cvt\.(?P<to>f64)\.(f32)": "{T}({0})",
    rf"cvt\.rzi\.(?P<to>{SINT})\.({FLOAT})": "ptx::whole<{T}>(std::trunc({0}))",
    rf"cvt\.rni\.(?P<to>{SINT})\.({FLOAT})": "ptx::whole<{T}>(std::nearbyint({0}))",
    # Of a warp. The emulator tells places where lanes meet by the number of the instruction.
    r"shfl\.sync\.(?:bfly|idx)\.(b32)": "ptx::shuffle_{mode}({0}, {1}, {2}, {3}, {here})",
    r"vote\.sync\.ballot\.(b32)": "__ballot_sync({1}, {first} != 0, kFile, {here})",
    r"bar\.red\.and\.(pred)": "__syncthreads_and({1}, kFile, {here}) != 0",
    r"atom\.global\.add\.(u64|u32|f32|f64)": "ptx::add<{T}>({address}, {1})",
    r"atom\.global\.min\.(u64|u32)": "ptx::least<{T}>({address}, {1})",
    r"atom\.(?:global|shared)\.exch\.(b32|b64)": "ptx::exchange<{T}>({address}, {1})",
    r"atom\.(?:global|shared)\.cas\.(b32|b64)": "ptx::exchange_equal<{T}>({address}, {1}, {2})",
}
MULTIPLY_ADD = "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32"
COMPARISONS = {"eq": "==", "ne": "!=", "lt": "<", "le": "<=", "gt": ">", "ge": ">="}
SPECIAL = {"tid": "threadIdx", "ctaid": "blockIdx", "ntid": "blockDim", "nctaid": "gridDim"}
LOAD = re.compile(
    rf"ld(?:\.volatile)?(?:\.(param|global|shared))?(?:\.c[gs])?(?:\.v([24]))?\.({INT}|{FLOAT}|[us]8)"
)
STORE = re.compile(rf"st(?:\.volatile)?\.(global|shared)(?:\.v([24]))?\.({INT}|{FLOAT}|[us]8)")
COMPARE = re.compile(rf"setp\.(eq|ne|lt|le|gt|ge)(u?)\.({INT}|{FLOAT})")


def split(operands: str) -> list[str]:
    """At the commas that are in no braces."""
    return [part.strip() for part in re.findall(r"(?:\{[^}]*\}|\[[^]]*\]|[^,])+", operands)]


class Kernel:
    """The statements of one kernel."""

    def __init__(self, name: str, body: str) -> None:
        self.name = name
        self._n_instructions = 0
        self._n_grid_barriers = 0
        body = re.sub(r"\.pragma[^;]*;", "", body)
        pieces = re.findall(r"\$\w+:|[{}]|[^\s;{}](?:[^;{}]|\{[^;{}]*\})*;", body)
        lines = (self._statement(" ".join(piece.split())) for piece in pieces)
        self.text = "\n".join([f"static void {name}(cml::CudaLaunch launch) {{", *lines, "}\n"])

    def _statement(self, piece: str) -> str:
        if piece in "{}":
            return piece
        if piece.endswith(":"):
            return f"{self._label(piece[:-1])}:;"
        piece = piece.removesuffix(";").strip()
        if piece.startswith(".reg "):
            return self._registers(piece)
        guard = re.match(r"@(!?)%(p\d+) (.*)", piece)
        condition = f"if ({guard[1]}{guard[2]}) " if guard else ""
        opcode, _, operands = (guard[3] if guard else piece).partition(" ")
        self._n_instructions += 1
        try:
            statement = self._instruction(opcode, split(operands))
        except LookupError as error:
            raise ValueError(f"PTX that the tests cannot run: {piece!r} in {self.name}") from error
        return f"{condition}{{ {statement} }}"

    @staticmethod
    def _registers(piece: str) -> str:
        _, kind, names = piece.split(maxsplit=2)
        several = re.fullmatch(r"%(\w+)<(\d+)>", names)
        listed = (
            [f"{several[1]}{i}" for i in range(int(several[2]))]
            if several
            else [name.strip()[1:] for name in names.split(",")]
        )
        return f"{TYPES[kind[1:]]} {', '.join(listed)};"

    @staticmethod
    def _label(name: str) -> str:
        return name.replace("$", "label")

    @staticmethod
    def _read(operand: str, kind: str) -> str:
        """An operand, read as C++ type ``kind``."""
        if special := re.fullmatch(r"%(tid|ctaid|ntid|nctaid)\.([xyz])", operand):
            return f"{SPECIAL[special[1]]}.{special[2]}"
        if re.fullmatch(r"%envreg[12]", operand):
            return "1u"  # the address of the grid's barrier, which is not read
        if re.fullmatch(r"%[a-z]+\d+", operand):
            return f"ptx::as<{kind}>({operand[1:]})"
        if re.fullmatch(r"0[fd][0-9A-Fa-f]+", operand):
            bits = "uint32_t" if operand[1] == "f" else "uint64_t"
            return f"ptx::as<{kind}>({bits}(0x{operand[2:]}))"
        if re.fullmatch(r"-?(0x[0-9A-Fa-f]+|\d+)", operand):
            return f"static_cast<{kind}>({int(operand, 0) % 2**64}ull)"
        if operand.endswith("shared_memoryE"):
            return f"{kind}(0)"  # addresses of shared memory count from its beginning
        if operand.endswith("_param_0"):
            return f"ptx::as<{kind}>(reinterpret_cast<uint64_t>(&launch))"
        raise LookupError(operand)

    def _address(self, operand: str, space: str | None) -> str:
        parts = re.fullmatch(r"\[([^+]+?)(?:\+(-?\d+))?\]", operand)
        if parts is None:
            raise LookupError(operand)
        base, offset = self._read(parts[1], "uint64_t"), parts[2] or 0
        if space == "shared":
            if parts[1].startswith("%"):
                base = self._read(parts[1], "uint32_t")
            base = f"reinterpret_cast<uint64_t>(cml::shared_memory) + uint32_t({base})"
        return f"reinterpret_cast<char*>({base} + ({offset}ll))"

    def _instruction(self, opcode: str, operands: list[str]) -> str:
        if opcode in ("bra", "bra.uni"):
            return f"goto {self._label(operands[0])};"
        if opcode == "ret":
            return "return;"
        if opcode == "membar.gl":
            return ";"  # nothing else runs meanwhile
        if opcode == "prefetch.L1":
            return ";"  # changes no memory
        if opcode == "nanosleep.u32":
            return f"__nanosleep({self._read(operands[0], 'uint32_t')});"
        if opcode == "trap":
            return 'throw std::runtime_error("trap");'
        if opcode == "bar.warp.sync":
            return f"__syncwarp({self._read(operands[0], 'uint32_t')}, kFile, {self._here});"
        if opcode == "bar.sync" and operands == ["0"]:
            return f"__syncthreads(kFile, {self._here});"
        if opcode.startswith("cp.async."):
            return self._copy(opcode.removeprefix("cp.async."), *operands)
        if opcode == "barrier.sync" and len(operands) == 2:
            barrier, count = (self._read(operand, "uint32_t") for operand in operands)
            return f"__barrier_sync_count({barrier}, {count});"
        if opcode in ("barrier.sync", "atom.add.release.gpu.u32", "ld.acquire.gpu.u32"):
            return self._grid_barrier(opcode, operands)
        if load := LOAD.fullmatch(opcode):
            return self._load(*load.groups(), *operands)
        if store := STORE.fullmatch(opcode):
            return self._store(*store.groups(), *operands)
        if compare := COMPARE.fullmatch(opcode):
            return self._compare(*compare.groups(), *operands)
        if opcode == "mov.b64" and "{" in "".join(operands):
            return self._halves(*operands)
        if opcode == MULTIPLY_ADD:
            return self._multiply_add(*operands)
        for pattern, value in VALUES.items():
            if found := re.fullmatch(pattern, opcode):
                return self._assign(found, value, operands)
        raise LookupError(opcode)

    def _copy(self, what: str, *operands: str) -> str:
        """Copies of 16 bytes, the waits for them, and what they wait for."""
        if what == "cg.shared.global" and operands[2:] == ("16", "16"):
            to, of = self._address(operands[0], "shared"), self._address(operands[1], "global")
            return f"emulator::copy_later({to}, {of}, 16, nullptr);"
        if what == "commit_group":
            return "emulator::commit_copies();"
        if what == "wait_group":
            return f"emulator::wait_for_copies({operands[0]});"
        raise LookupError(what)

    def _multiply_add(self, *operands: str) -> str:
        """The last operand is what is added to; the first, what becomes of it."""
        to, a, b, c = map(self._names, operands)
        a, b = (", ".join(self._read(name, "uint32_t") for name in names) for names in (a, b))
        c = ", ".join(self._read(name, "float") for name in c)
        put = " ".join(f"ptx::put({name[1:]}, sums[{i}]);" for i, name in enumerate(to))
        add = f"emulator::multiply_add(sums, {{{a}}}, {{{b}}}, kFile, {self._here});"
        return f"float sums[] = {{{c}}}; {add} {put}"

    @property
    def _here(self) -> int:
        return self._n_instructions

    def _grid_barrier(self, opcode: str, operands: list[str]) -> str:
        """grid.sync() is a barrier of the block, an atomic operation and a loop that waits for the
        other blocks in one thread, and a second barrier: here all threads meet in the latter."""
        if opcode == "ld.acquire.gpu.u32":
            return f"{operands[0][1:]} = ~0u;"  # all have come
        if opcode == "atom.add.release.gpu.u32":
            return f"{operands[0][1:]} = 0;"
        self._n_grid_barriers += 1
        if self._n_grid_barriers % 2 == 1:
            return ";"
        return f"cooperative_groups::this_grid().sync(kFile, {self._here});"

    @staticmethod
    def _names(operand: str) -> list[str]:
        return [name.strip() for name in operand.strip("{}").split(",")]

    def _load(self, space: str | None, _: str | None, kind: str, to: str, at: str) -> str:
        kind, address = TYPES[kind], self._address(at, space)
        return " ".join(
            f"ptx::put({name[1:]}, ptx::get<{kind}>({address} + {i} * sizeof({kind})));"
            for i, name in enumerate(self._names(to))
        )

    def _store(self, space: str, _: str | None, kind: str, at: str, what: str) -> str:
        kind, address = TYPES[kind], self._address(at, space)
        return " ".join(
            f"ptx::set<{kind}>({address} + {i} * sizeof({kind}), {self._read(name, kind)});"
            for i, name in enumerate(self._names(what))
        )

    def _halves(self, to: str, what: str) -> str:
        """64 bits are put together of two halves, the lower one first, or taken apart."""
        if what.startswith("{"):
            low, high = (self._read(name, "uint32_t") for name in self._names(what))
            return f"ptx::put({to[1:]}, uint64_t({high}) << 32 | {low});"
        whole = self._read(what, "uint64_t")
        return " ".join(
            f"ptx::put({name[1:]}, uint32_t({whole} >> {32 * i}));"
            for i, name in enumerate(self._names(to))
        )

    def _compare(self, how: str, unordered: str, kind: str, to: str, a: str, b: str) -> str:
        """With ``unordered`` a NaN makes it true, otherwise false."""
        a, b = self._read(a, TYPES[kind]), self._read(b, TYPES[kind])
        value = f"{a} {COMPARISONS[how]} {b}"
        if kind[0] == "f":
            value = f"ptx::compare({a}, {b}, {value}, {'true' if unordered else 'false'})"
        return f"{to[1:]} = {value};"

    def _assign(self, opcode: re.Match[str], value: str, operands: list[str]) -> str:
        kind = opcode[opcode.lastindex or 1]
        to = opcode.groupdict().get("to", kind)
        read, *modifiers = TYPES[kind], *opcode[0].split(".")
        words = {"T": TYPES[to], "op": modifiers[0], "mode": modifiers[2:3] and modifiers[2]}
        if to[1:].isdigit() and to[0] in "bus":
            words["U"] = f"uint{to[1:]}_t"
            words["W"] = f"ptx::Wide<{TYPES[to]}>"
        target, *sources = operands
        if opcode[0].startswith("atom."):
            words["address"] = self._address(sources[0], modifiers[1])
            sources = ["0", *sources[1:]]
        if opcode[0].startswith("selp."):
            words["condition"] = self._read(sources.pop(), "bool")
        if opcode[0].startswith(("shl.", "shr.")):
            words["shift"] = self._read(sources.pop(), "uint32_t")
        if opcode[0].startswith("vote."):
            words["first"] = self._read(sources[0], "bool")
        names = target.split("|")
        result = value.format(
            *(self._read(source, read) for source in sources), here=self._here, **words
        )
        rest = f" {names[1][1:]} = true;" if len(names) > 1 else ""  # the source lane is in range
        return f"ptx::put({names[0][1:]}, {result});{rest}"


# --- a file of kernels ------------------------------------------------------------------------


def translate(ptx: str, chunks: int) -> str:
    """C++ that defines ``cuda_kernels_N``, like csrc/cuda/kernel.cu."""
    ptx = re.sub(r"//[^\n]*", "", ptx)
    entries = re.findall(r"\.visible \.entry (\w+)\(.*?\)[^{]*\{(.*?)\n\}", ptx, re.DOTALL)
    kernels = [Kernel(name, body) for name, body in entries]

    def table(worker: str) -> str:
        names = []
        for kind in KINDS:
            own = [k.name for k in kernels if re.search(rf"\d{kind}_kernel", k.name)]
            own = [name for name in own if re.search(worker, name) or "Worker" not in name]
            (name,) = own
            names.append(f"reinterpret_cast<const void*>(&{name})")
        return ",\n        ".join(names)

    return f"""// Made by tests/support/ptx.py.
#include "ptx.h"

{"".join(kernel.text for kernel in kernels)}
cml::CudaKernels cml::cuda_kernels_{chunks}(Loss loss, bool bfloat16) {{
    if (!shares_negatives(loss)) return {{{table("PairWorker")}}};
    if (bfloat16) return {{{table("TileWorker.*Lb1E")}}};
    return {{{table("TileWorker.*Lb0E")}}};
}}
"""
