"""Counts have 64 bits, and no integer becomes a shorter one where the code does not say so.

GCC looks for it in all that a launch runs, on the CPU and, as C++ for the emulated device, on CUDA.
So what would need 2^31 samples or rows to be seen is seen at once.
"""

import subprocess

import pytest
from support.emulated import CHECKOUT, compiler

CSRC = CHECKOUT / "csrc"
EMULATOR = CHECKOUT / "tests" / "emulator"
COMMAND = ["-std=c++17", "-fsyntax-only", "-DCML_CHUNKS=2", "-I", str(CSRC)]
COMMAND += ["-Wconversion", "-Wno-sign-conversion", "-Wno-float-conversion", "-Werror=conversion"]
CPU = ["-DCML_TARGET=portable", "-DCML_VECTOR_FLOATS=4", "-DCML_FIXED_CHUNKS=2"]
CUDA = ["-DCML_TARGET=emulated", "-isystem", str(EMULATOR), "-include", "cuda_emulator.h"]
CUDA += ["-Wno-unknown-pragmas", "-x", "c++"]
SOURCES = [(CPU, path) for path in sorted(CSRC.glob("cpu/*.cpp"))]
SOURCES += [(CUDA, path) for path in sorted(CSRC.glob("cuda/*.cu"))]


def problems(options, source):
    """What the compiler says of a source; nothing is compiled."""
    if not CSRC.is_dir():
        pytest.skip(f"the sources of the compiled module are not in {CSRC}")
    command = [*compiler(), *COMMAND, *options, str(source)]
    return subprocess.run(command, capture_output=True, text=True).stderr


@pytest.mark.slow
@pytest.mark.parametrize(("options", "source"), SOURCES, ids=lambda of: getattr(of, "name", ""))
def test_nothing_is_narrowed(options, source):
    assert problems(options, source) == ""


def test_counters_have_64_bits(tmp_path):
    path = tmp_path / "counters.cpp"
    path.write_text(
        """
        #include <type_traits>
        #include "core/job.h"
        using cml::Counters;
        template <class... T> constexpr bool all_long = (std::is_same_v<T, int64_t> && ...);
        static_assert(all_long<decltype(Counters::pairs), decltype(Counters::active),
                               decltype(Counters::impostors), decltype(Counters::skipped),
                               decltype(Counters::first_non_finite)>);
        """
    )
    assert problems(CPU, path) == ""


def test_a_narrowed_count_is_seen(tmp_path):
    path = tmp_path / "narrowed.cpp"
    path.write_text('#include "core/job.h"\nint f(const cml::Counters& c) { return c.pairs; }')
    found = problems(CPU, path)
    assert "narrowed.cpp:2" in found
    assert "may change value" in found
