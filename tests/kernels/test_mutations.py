"""The hash that mini-batches must have shows mistakes: kernels with one made on purpose fail."""

import ctypes
import json
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support import emulated
from support.emulated import CHECKOUT, compiler
from support.kernels import (
    assert_same_tables,
    digest,
    larger_problem,
    make_job,
    oracle_of,
    snapshot,
    train_oracle,
)

pytestmark = pytest.mark.slow

CHUNKS = 2  # of the rows of larger_problem
VISITS = 100


def trained(device, **emulation):
    """The hash after two batches in which most rows get several gradients."""
    tables, likes, chosen = larger_problem(device, batch_size=50)
    make_job(tables, likes, chosen, **emulation).run(0, VISITS)
    return digest(snapshot(tables))


@pytest.fixture(scope="module")
def expected():
    """The oracle's hash."""
    tables, likes, chosen = larger_problem("cpu", batch_size=50)
    oracle = oracle_of(tables)
    train_oracle(oracle, likes, 0, VISITS, chosen)
    make_job(tables, likes, chosen).run(0, VISITS)
    assert_same_tables(tables, oracle)
    return digest(snapshot(tables))


def mutated(directory, file=None, *replacements):
    """A copy of the sources in which each of these texts, found once, is replaced. It is compiled
    without optimization, which would take longer than the tests."""
    for name in ("csrc", "tests/emulator"):
        shutil.copytree(CHECKOUT / name, directory / name)
    for old, new in replacements:
        path = directory / "csrc" / file
        text = path.read_text()
        assert text.count(old) == 1, f"{file} has changed: {old}"
        path.write_text(text.replace(old, new))
    return directory


# --- the emulated CUDA device -----------------------------------------------------------------


def print_outcomes(library):
    """What mini-batches give in several orders of lanes and warps: hashes and faults. In a process
    of its own, for a mistake may end it."""
    emulated.load(Path(library))
    outcomes = set()
    for order, seed in (("ascending", 0), ("descending", 0), ("shuffled", 1), ("shuffled", 2)):
        try:
            outcomes.add(trained("emulated", grid=(4, 2), order=order, seed=seed))
        except RuntimeError as fault:
            outcomes.add(str(fault))
    print(json.dumps(sorted(outcomes)))


def outcomes(directory, *mutation):
    sources = mutated(directory, *mutation)
    library = emulated.build(directory, "-O0", checkout=sources, kernels=[CHUNKS])
    code = f"import test_mutations; test_mutations.print_outcomes({str(library)!r})"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout))


def test_without_a_mistake(tmp_path, expected):
    assert outcomes(tmp_path) == {expected}


def test_another_order_of_lanes_in_a_sum(tmp_path, expected):
    found = outcomes(
        tmp_path,
        "cuda/lanes.cuh",
        (
            """\
        for (int shift = kLanes / 2; shift > 0; shift /= 2) {
            CML_UNROLL
            for (int g = 0; g < n; ++g)""",
            """\
        for (int shift = 1; shift < kLanes; shift *= 2) {
            CML_UNROLL
            for (int g = 0; g < n; ++g)""",
        ),
    )
    assert len(found) == 1
    assert expected not in found


def test_gradients_that_are_not_rounded(tmp_path, expected):
    """Their sums depend on the order of addition."""
    found = outcomes(
        tmp_path,
        "cuda/lanes.cuh",
        (
            "return static_cast<Sum>(llrintf(a.x * scale));",
            "return emulator::to_word(a.x * scale);",
        ),
        (
            "atomicAdd(reinterpret_cast<Sum*>(p + lane()), sum);",
            "atomicAdd(reinterpret_cast<float*>(p + lane()), emulator::from_word<float>(sum));",
        ),
        (
            "return {static_cast<float>(sum) * unit};",
            "return {emulator::from_word<float>(static_cast<uint64_t>(sum)) * unit};",
        ),
    )
    assert len(found) > 1


BARRIERS = {
    "between the halves of a batch": (
        "cuda/kernel.cuh",
        "grid.sync();\n        if (is_set(&launch.counters->refused_gradient)) break;",
    ),
    "between batches": (
        "cuda/kernel.cuh",
        "grid.sync();\n        if (is_set(&launch.counters->sums.first_non_finite)) break;",
    ),
    "before distances are read": (
        "core/pair_step.h",
        "Lanes::sync();\n        return distance[0];",
    ),
}


@pytest.mark.parametrize("name", BARRIERS)
def test_a_missing_barrier(tmp_path, expected, name):
    file, text = BARRIERS[name]
    found = outcomes(tmp_path, file, (text, text.partition(";")[2]))
    assert found - {expected}


# --- the CPU ----------------------------------------------------------------------------------


# What stands in for the bindings.
MAIN = """
#include "train.h"
extern "C" void train(const cml::Job* job, int64_t begin, int64_t end) {
    cml::cpu_train(*job, begin, end, 1, cml::cpu_instruction_sets().back());
}
"""


def cpu_hash(directory, *mutation):
    """The hash that the plainest CPU kernel gives when it is compiled from these sources."""
    sources = mutated(directory, *mutation) / "csrc" / "cpu"
    flags = ["-DCML_TARGET=portable"]
    if platform.machine() in ("x86_64", "AMD64"):
        flags = ["-DCML_TARGET=x86_64_v2", "-DCML_WITH_X86_64_V2", "-march=x86-64-v2"]
    (sources / "main.cpp").write_text(MAIN)
    library = directory / "libcpu.so"
    command = [*compiler(), "-std=c++17", "-O0", "-fPIC", "-shared", "-pthread"]
    command += ["-ffp-contract=off", "-fno-math-errno", "-DCML_VECTOR_FLOATS=4", *flags]
    files = [
        str(sources / name)
        for name in ("kernel.cpp", "train.cpp", "minibatch_loop.cpp", "main.cpp")
    ]
    subprocess.run([*command, *files, "-o", str(library)], check=True)

    tables, likes, chosen = larger_problem("emulated", batch_size=50)
    job = make_job(tables, likes, chosen)  # whose arrays lie in the CPU's memory
    ctypes.CDLL(str(library)).train(
        ctypes.byref(job._job), ctypes.c_int64(0), ctypes.c_int64(VISITS)
    )
    return digest(snapshot(tables))


def test_the_cpu_without_a_mistake(tmp_path, expected):
    assert cpu_hash(tmp_path) == expected


def test_another_order_of_lanes_in_a_sum_on_the_cpu(tmp_path, expected):
    replacement = ("t[i] += t[i + half];", "t[i] += t[2 * half - 1 - i];")
    assert cpu_hash(tmp_path, "cpu/lanes.h", replacement) != expected
