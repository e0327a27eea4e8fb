"""The CPU code under AddressSanitizer, UndefinedBehaviorSanitizer and ThreadSanitizer.

The sources beside these tests are built once more (CMake: CML_SANITIZE), and the result takes the
place of the compiled module in a copy of the package. The package's own tests then run on it, in
another process. Other tests show that mistakes do get reported.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pybind11
import pytest
import sanitizer_support
from conftest import INSTRUCTION_SETS
from emulator_support import compiler

import cml_fast

TESTS = Path(__file__).resolve().parent
OPTIONS = {
    # Python keeps memory to its end, which is no leak of ours.
    "address,undefined": ("ASAN_OPTIONS", "detect_leaks=0"),
    # A test forks after threads have ended, and starts others in the child.
    "thread": ("TSAN_OPTIONS", "die_after_fork=0"),
}


class Sanitized:
    """The package with a compiled module that was built with these sanitizers."""

    def __init__(self, directory: Path, sanitizers: str) -> None:
        if not (TESTS.parent / "csrc").is_dir():
            pytest.skip(f"the sources of the compiled module are not beside {TESTS}")
        self._sources, self._build = directory / "sources", directory / "build"
        self._package = directory / "package" / "cml_fast"
        self._reports = directory / "reports"
        shutil.copytree(
            Path(cml_fast.__file__).parent,
            self._package,
            ignore=shutil.ignore_patterns("_core*.so", "__pycache__"),
        )
        for name in ("csrc", "cmake"):
            shutil.copytree(TESTS.parent / name, self._sources / name)
        shutil.copy(TESTS.parent / "CMakeLists.txt", self._sources)
        variable, options = OPTIONS[sanitizers]
        path = [str(self._package.parent), str(TESTS), *sys.path]
        self._environment = {
            **os.environ,
            "LD_PRELOAD": sanitizer_support.runtime(directory, sanitizers),
            "PYTHONPATH": os.pathsep.join(path),
            variable: f"{options}:log_path={self._reports}/report",
            "UBSAN_OPTIONS": "print_stacktrace=1",
            "OPENBLAS_NUM_THREADS": "1",  # its threads are not ours to check
        }
        settings = {
            "CMAKE_BUILD_TYPE": "Debug",
            "CMAKE_CXX_COMPILER": compiler()[0],
            "CML_CUDA": "OFF",
            "CML_SANITIZE": sanitizers,
            "Python_EXECUTABLE": sys.executable,
            "SKBUILD_PROJECT_VERSION": cml_fast.__version__,
            "pybind11_DIR": pybind11.get_cmake_dir(),
        }
        defined = [f"-D{name}={value}" for name, value in settings.items()]
        self._cmake("-G", "Ninja", "-S", str(self._sources), "-B", str(self._build), *defined)
        self._compile()

    def _cmake(self, *arguments: str) -> None:
        command = [sys.executable, "-m", "cmake", *arguments]
        environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
        done = subprocess.run(command, capture_output=True, text=True, env=environment)
        assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-5000:]

    def _compile(self) -> None:
        self._cmake("--build", str(self._build))
        (built,) = self._build.glob("_core*.so")
        shutil.copy(built, self._package)

    @contextmanager
    def changed(self, file: str, old: str, new: str) -> Iterator[None]:
        """Within the block the sources have a mistake."""
        path, (module,) = self._sources / file, self._package.glob("_core*.so")
        text, right = path.read_text(), module.read_bytes()
        assert text.count(old) == 1, f"{old!r} is to be replaced by a mistake"
        path.write_text(text.replace(old, new))
        try:
            self._compile()
            yield
        finally:
            path.write_text(text)
            module.write_bytes(right)

    def run(self, *arguments: str, **environment: str) -> tuple[str, str]:
        """Run Python; return what it printed, and what was reported by it and its children."""
        shutil.rmtree(self._reports, ignore_errors=True)
        self._reports.mkdir()
        done = subprocess.run(
            [sys.executable, *arguments],
            env={**self._environment, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=900,  # a mistake between threads may let them wait for ever
        )
        reports = "\n".join(path.read_text() for path in sorted(self._reports.iterdir()))
        if "runtime error: " in done.stdout:  # of UBSan, which beside ASan has no log
            reports += done.stdout
        if not reports:
            assert done.returncode == 0, done.stdout[-5000:]
        return done.stdout, reports

    def test(self, chosen: str, *names: str) -> None:
        """Run the chosen tests of these files; all must pass, and nothing be reported."""
        files = [str(TESTS / f"test_{name}.py") for name in names]
        expression = f"not cuda and not emulated and ({chosen})"
        printed, reports = self.run(
            *("-m", "pytest", "-p", "no:cacheprovider", "--capture=sys", "-k", expression), *files
        )
        assert not reports, reports[:10_000]
        assert " passed" in printed
        assert " skipped" not in printed


@pytest.fixture(scope="module")
def memory(tmp_path_factory: pytest.TempPathFactory) -> Sanitized:
    return Sanitized(tmp_path_factory.mktemp("memory"), "address,undefined")


@pytest.fixture(scope="module")
def threads(tmp_path_factory: pytest.TempPathFactory) -> Sanitized:
    return Sanitized(tmp_path_factory.mktemp("threads"), "thread")


# --- the package's own tests ------------------------------------------------------------------


@pytest.mark.slow
def test_memory_and_arithmetic(memory: Sanitized) -> None:
    memory.test(
        "test_job_arguments or test_non_finite or random_problems or equal_hinges"
        " or oracle_for_any_batch_size or stays_in_the_ball or far_from_the_first"
        " or any_number_of_threads or several_workers or end_of_int32 or bijection"
        " or split_into_launches or resumed_on_another or divergence or interrupted"
        " or first_user_with or any_split_of_the_users",
        *("job_arguments", "non_finite", "kernel", "sync", "large_counts", "random", "trainer"),
        "fold_in",
    )


@pytest.mark.slow
def test_threads(threads: Sanitized) -> None:
    threads.test(
        "any_number_of_threads or order_of_addition or resumed_on_another"
        " or side_by_side or forked_child"
        " or (beats_popularity and None) or many_threads",
        *("sync", "build", "learning", "fold_in"),
    )


# --- mistakes are reported --------------------------------------------------------------------

# One job that broke a promise of its caller, which the kernel has to take on trust.
JOB = """
import numpy as np
from cml_fast import _core
from cml_fast._backend import instruction_set
from kernel_support import job_arguments
_core.Job("cpu", **job_arguments(instruction_set=instruction_set(), {changes})).run(0, 4)
"""

# Two jobs of two workers each that train the same tables at the same time.
TWO_JOBS = """
import threading
from kernel_support import larger_problem, make_job
problem = larger_problem("cpu", batch_size={batch_size}, n_threads=2)
start = threading.Barrier(2)
def train(job):
    start.wait()
    job.run(0, 5 * problem[1].nnz)
threads = [threading.Thread(target=train, args=(make_job(*problem),)) for _ in range(2)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
"""

# Several workers on mini-batches.
BATCHES = """
from kernel_support import larger_problem, make_job
tables, likes, chosen = larger_problem("cpu", batch_size=100, n_threads=3, margin=3.0)
make_job(tables, likes, chosen).run(0, 5 * likes.nnz)
"""

BATCHES_CPP = "csrc/cpu/batches.cpp"


@pytest.mark.parametrize("instruction_set", INSTRUCTION_SETS)
@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ("indices=np.array([2, 0, 1, 5], dtype=np.int32)", "heap-buffer-overflow"),
        ("indptr=np.array([0, -(2**31), 4])", "signed integer overflow: 4 - -2147483644"),
    ],
)
def test_a_kernel_that_goes_wrong(
    memory: Sanitized, instruction_set: str, changes: str, expected: str
) -> None:
    """Every kernel is built with both sanitizers."""
    _, reports = memory.run("-c", JOB.format(changes=changes), CML_FAST_ISA=instruction_set)
    assert expected in reports
    assert f"cml::{instruction_set.replace('-', '_')}::" in reports


def test_a_write_beyond_the_end(memory: Sanitized) -> None:
    assert memory.run("-c", BATCHES)[1] == ""
    with memory.changed(BATCHES_CPP, "earlier_(static_cast<size_t>(3 * n))", "earlier_(1)"):
        reports = memory.run("-c", BATCHES)[1]
    assert "heap-buffer-overflow" in reports
    assert "WRITE of size 4" in reports
    assert "csrc/cpu/batch.h" in reports


def test_only_asynchronous_training_may_race(threads: Sanitized) -> None:
    """The race of Hogwild is declared, and no other access to tables."""
    assert threads.run("-c", TWO_JOBS.format(batch_size=0))[1] == ""
    reports = threads.run("-c", TWO_JOBS.format(batch_size=50))[1]
    assert "data race" in reports
    assert "Lanes::store" in reports


WAIT = "if (!barrier.wait(check) || over) return;"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        # A barrier is missing before rows are gathered, or before they are stored,
        (f"{WAIT}\n            bool finite", "if (over) return; bool finite"),
        (f"{WAIT}\n            for", "if (over) return; for"),
        # or all workers write what the last of them should.
        (
            f"{WAIT}\n            bool finite",
            "over = failed; if (!barrier.wait([] {}) || over) return; bool finite",
        ),
    ],
)
def test_a_mistake_between_threads(threads: Sanitized, old: str, new: str) -> None:
    assert threads.run("-c", BATCHES)[1] == ""
    with threads.changed(BATCHES_CPP, old, new):
        reports = threads.run("-c", BATCHES)[1]
    assert "data race" in reports
