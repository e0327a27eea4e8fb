"""The PTX that nvcc makes of the kernels, on the emulated device: the bits of the CPU.

A process of its own runs the tests, because it loads another library than the fixture `emulator`.
"""

import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from support import emulated, ptx
from support.kernels import (
    digest,
    make_job,
    random_likes,
    random_tables,
    settings,
    snapshot,
)

from cml_fast._compute import kernels
from cml_fast._threads import usable_cores

N_DIMS = {1: (1, 31), 2: (33,)}  # of rows of so many chunks; with more a loop is longer
TRANSLATED = "CML_FAST_TRANSLATED"  # set in the process whose kernels were made from PTX


def kernel(*body):
    """PTX with one kernel for each kind, all of the same statements."""
    names = [f"{len(kind) + 7}{kind}_kernel" for kind in ptx.KINDS]
    kinds = ("PairWorker", "TileWorkerLb0E", "TileWorkerLb1E")
    workers = [f"x{name}{worker}" for name in names for worker in kinds]
    statements = "\n".join(body)
    return "\n".join(
        f".visible .entry {name}(\n)\n{{\n{statements}\nret;\n\n}}\n" for name in workers
    )


# --- the translator ---------------------------------------------------------------------------


def test_an_instruction_is_a_statement():
    text = ptx.translate(kernel(".reg .f32 %f<3>;", "@!%p1 fma.rn.f32 %f0, %f1, %f2, %f1;"), 3)
    value = "std::fma(ptx::as<float>(f1), ptx::as<float>(f2), ptx::as<float>(f1))"
    assert f"if (!p1) {{ ptx::put(f0, {value}); }}" in text
    assert "cuda_kernels_3" in text


def test_64_bits_are_taken_apart_and_put_together():
    registers = ".reg .b32 %r<3>;", ".reg .b64 %rd<2>;"
    moves = "mov.b64 {%r1, %r2}, %rd1;", "mov.b64 %rd1, {%r2, %r1};"
    text = ptx.translate(kernel(*registers, *moves), 3)
    assert "ptx::put(r2, uint32_t(ptx::as<uint64_t>(rd1) >> 32));" in text
    assert "ptx::put(rd1, uint64_t(ptx::as<uint32_t>(r1)) << 32 | ptx::as<uint32_t>(r2));" in text


@pytest.mark.parametrize(
    "unknown",
    [
        "add.f32 %f1, %f2, %f3;",  # which ptxas may fuse
        "fma.rz.f32 %f1, %f2, %f3, %f4;",
        "mul.rn.ftz.f32 %f1, %f2, %f3;",
        "shfl.sync.down.b32 %r1, %r2, %r3, %r4, %r5;",
        "bar.sync 1;",
        "mov.u32 %r1, %laneid;",
        "ld.local.u32 %r1, [%rd1];",
    ],
)
def test_what_is_unknown_is_named(unknown):
    with pytest.raises(ValueError, match=re.escape(repr(unknown[:-1]))):
        ptx.translate(kernel(unknown), 1)


def test_without_nvcc_it_skips(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(pytest.skip.Exception, match="nvcc is not on PATH"):
        ptx.compile_kernels(tmp_path / "kernel.cu", 1, tmp_path)


# --- the kernels ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def made_by_nvcc(tmp_path_factory):
    """The PTX of the kernels, for each number of chunks."""
    directory = tmp_path_factory.mktemp("ptx")
    source = emulated.CHECKOUT / "csrc" / "cuda" / "kernel.cu"
    with ThreadPoolExecutor(usable_cores()) as pool:
        made = pool.map(lambda chunks: ptx.compile_kernels(source, chunks, directory), N_DIMS)
        return dict(zip(N_DIMS, made, strict=True))


def run_tests(directory, texts, chosen="translated"):
    """Build a device of these kernels, and run tests of this file on it."""
    translated = {chunks: ptx.translate(text, chunks) for chunks, text in texts.items()}
    library = emulated.build(directory, kernels=(), translated=translated)
    environment = {
        **os.environ,
        emulated.LIBRARY_VARIABLE: str(library),
        TRANSLATED: "1",
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    arguments = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-k", chosen, __file__]
    return subprocess.run(arguments, env=environment, capture_output=True, text=True)


@pytest.mark.slow
def test_ptx_gives_the_bits_of_the_cpu(made_by_nvcc, tmp_path):
    done = run_tests(tmp_path, made_by_nvcc)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-5000:]
    assert " passed" in done.stdout


# Of rows of one chunk.
WORKERS = {
    "warp": "PairWorker",
    "softmax": "TileWorkerILi1ELb0",
    "bfloat16": "TileWorkerILi1ELb1",
}
FAULTS = {
    # Fused multiply-adds in place of products.
    ("softmax", "sync"): (r"mul\.rn\.f32 (.*), (%f\d+);", r"fma.rn.f32 \1, \2, \2;"),
    # Shuffles with other lanes.
    ("warp", "sync"): (r"shfl\.sync\.bfly", "shfl.sync.idx"),
    # The other side of predicates.
    ("softmax", "async"): (
        r"selp\.f32 (\s*%f\d+), (.*), (.*), (%p\d+);",
        r"selp.f32 \1, \3, \2, \4;",
    ),
    # Two of the registers that a tensor core reads, exchanged.
    ("bfloat16", "sync"): (r"(mma\.sync.*, \{)(%r\d+), (%r\d+)\}, (\{%f)", r"\1\3, \2}, \4"),
}


@pytest.mark.slow
def test_faults_in_the_ptx_show(made_by_nvcc, tmp_path):
    """Each in a kernel of its own, so that the tests of these kernels fail, and no others."""
    text = made_by_nvcc[1]
    for (kind, update), (correct, wrong) in FAULTS.items():
        name = f"{len(update) + 7}{update}_kernelINS0_10{WORKERS[kind]}"
        begin = re.search(rf"\.entry \w*{name}", text).end()
        end = text.index("\n}\n", begin)
        faulty, n = re.subn(correct, wrong, text[begin:end])
        assert n > 0, correct
        text = text[:begin] + faulty + text[end:]
    done = run_tests(tmp_path, {1: text}, "translated and 31")
    failed = re.findall(r"FAILED .*test_translated\[31-(\w+)-(\w+)\]", done.stdout)
    assert sorted(failed) == sorted(FAULTS), done.stdout[-5000:]


SHARED_TILES = {"grid": (5, 2), "teams": 2}
CASES = [
    (n_dims, kind, update)
    for several in N_DIMS.values()
    for n_dims in several
    for kind in WORKERS
    for update in ("sync", "async")
]


@pytest.mark.skipif(TRANSLATED not in os.environ, reason="run by the tests above, on their device")
@pytest.mark.parametrize(("n_dims", "kind", "update"), CASES)
def test_translated(emulator, monkeypatch, n_dims, kind, update):
    loss = "warp" if kind == "warp" else "softmax"
    precision = "bfloat16" if kind == "bfloat16" else "float32"
    monkeypatch.setattr(kernels, "gradient_bound", lambda *_: 1e4)
    likes = random_likes(np.random.default_rng(5), 15, 40, weighted=True)
    together = {"tile_size": 20, "temperature": 0.2} if loss == "softmax" else {}
    batch = {"batch_size": 90} if update == "sync" else {}
    chosen = settings(
        loss=loss, n_dims=n_dims, margin=1.5, precision=precision, **together, **batch
    )
    emulations = [{"order": "shuffled"}]  # the host chooses one warp, for the tables are small
    if update == "sync":
        emulations = [{"order": "shuffled", "seed": 1, "grid": (2, 3)}, {"cooperative": False}]
        if loss == "softmax":  # several blocks work on a tile
            emulations += [{"order": "shuffled", "seed": 1, **SHARED_TILES}]

    def train(device, accumulators=0.0, **emulation):
        tables = random_tables(device, likes.shape, chosen)
        for name in ("user_accumulators", "item_accumulators"):
            tables.arrays[name][:, :n_dims] = accumulators
        counters = make_job(tables, likes, chosen, **emulation).run(0, likes.nnz)
        assert counters.active > 0
        return snapshot(tables), [counters.pairs, counters.active, counters.skipped]

    expected = train("cpu")
    for emulation in emulations:
        arrays, counted = train("emulated", **emulation)
        assert (digest(arrays), counted) == (digest(expected[0]), expected[1]), emulation
    if loss == "softmax" and update == "async":
        # Blocks share tiles. Steps are so small that they hardly depend on when they are made.
        before = snapshot(random_tables("cpu", likes.shape, chosen))
        (arrays, counted), (learned, of_cpu) = (
            train("emulated", accumulators=1e6, **SHARED_TILES),
            train("cpu", accumulators=1e6),
        )
        assert counted == of_cpu
        for name in ("users", "items"):
            change = learned[name] - before[name]
            assert np.linalg.norm(arrays[name] - learned[name]) < 0.05 * np.linalg.norm(change)
