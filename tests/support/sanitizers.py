"""The package with a compiled module that was built with sanitizers of GCC.

The sources beside these tests are built once more (CMake: CML_SANITIZE), and the result takes the
place of the compiled module in a copy of the package. The package's own tests then run on it, in
another process.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

import pybind11
import pytest

import cml_fast
from support.emulated import compiler
from support.kernels import INSTRUCTION_SETS
from support.packages import copy_package

TESTS = Path(__file__).resolve().parents[1]
OPTIONS = {
    # Python keeps memory to its end, which is no leak of ours.
    "address,undefined": ("ASAN_OPTIONS", "detect_leaks=0"),
    # A test forks after threads have ended, and starts others in the child.
    "thread": ("TSAN_OPTIONS", "die_after_fork=0"),
}
# Instruction sets differ in what is done with registers, and in how many numbers are read and
# written at a time: most for the first of them, fewest for the last. No thread does more or less.
INSTRUCTION_SETS_OF = {
    "address,undefined": list(dict.fromkeys((INSTRUCTION_SETS[0], INSTRUCTION_SETS[-1]))),
    "thread": INSTRUCTION_SETS[:1],
}


class Sanitized:
    """The package with a compiled module that was built with these sanitizers."""

    def __init__(self, directory: Path, sanitizers: str) -> None:
        if not (TESTS.parent / "csrc").is_dir():
            pytest.skip(f"the sources of the compiled module are not beside {TESTS}")
        self._sources, self._build = directory / "sources", directory / "build"
        self._reports = directory / "reports"
        self._package = copy_package(directory / "package")
        for name in ("csrc", "cmake"):
            shutil.copytree(TESTS.parent / name, self._sources / name)
        shutil.copy(TESTS.parent / "CMakeLists.txt", self._sources)
        variable, options = OPTIONS[sanitizers]
        path = [str(self._package.parent), str(TESTS), *sys.path]
        self._environment = {
            **os.environ,
            "LD_PRELOAD": runtime(directory, sanitizers),
            "PYTHONPATH": os.pathsep.join(path),
            variable: f"{options}:log_path={self._reports}/report",
            "UBSAN_OPTIONS": "print_stacktrace=1",
            "OPENBLAS_NUM_THREADS": "1",  # its threads are not ours to check
        }
        settings = {
            "CMAKE_BUILD_TYPE": "Debug",
            "CMAKE_CXX_COMPILER": compiler()[0],
            "CML_CPU": ";".join(INSTRUCTION_SETS_OF[sanitizers]),
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
        # Beside the interpreter, where pip puts them, or anywhere else.
        environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
        for tool in ("cmake", "ninja"):
            if not shutil.which(tool, path=environment["PATH"]):
                absent(f"there is no {tool} to build with")
        done = subprocess.run(
            ["cmake", *arguments], capture_output=True, text=True, env=environment
        )
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
        )
        reports = "\n".join(path.read_text() for path in sorted(self._reports.iterdir()))
        if "runtime error: " in done.stdout:  # of UBSan, which beside ASan has no log
            reports += done.stdout
        if not reports:
            assert done.returncode == 0, done.stdout[-5000:]
        return done.stdout, reports

    def test(self, chosen: str, *files: str) -> None:
        """Run the chosen tests of these files, which are named from the folder ``tests``.

        All must pass, and nothing be reported.
        """
        paths = [str(TESTS / file) for file in files]
        expression = f"not cuda and not emulated and ({chosen})"
        printed, reports = self.run(
            *("-m", "pytest", "-p", "no:cacheprovider", "--capture=sys", "-k", expression), *paths
        )
        assert not reports, reports[:10_000]
        assert " passed" in printed
        assert " skipped" not in printed


# --- what a process needs to load it ------------------------------------------------------------


def runtime(directory: Path, sanitizers: str) -> str:
    """What to preload: the runtime must come before all libraries of the Python interpreter, and
    finds the functions that throw exceptions only if they are there from the beginning."""
    name = f"lib{sanitizers[0]}san.so"  # libubsan.so need not come first
    probe = directory / "probe.cpp"
    probe.write_text("int main() {}")
    command = [*compiler(), f"-fsanitize={sanitizers}", str(probe), "-o", str(directory / "probe")]
    if subprocess.run(command, capture_output=True).returncode != 0:
        absent(f"{compiler()[0]} cannot link with -fsanitize={sanitizers}")
    if not Path(library(name)).is_file():
        absent(f"{compiler()[0]} has no {name} to load into Python")
    return f"{library(name)} {library('libstdc++.so')}"


def library(name: str) -> str:
    command = [*compiler(), f"-print-file-name={name}"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def absent(reason: str) -> NoReturn:
    """A machine may lack a sanitizer, but continuous integration may not."""
    if os.environ.get("CI"):
        pytest.fail(f"CI is set, and {reason}")
    pytest.skip(reason)


# --- mistakes are looked for in it --------------------------------------------------------------

# Several workers on mini-batches.
BATCHES = """
from support.kernels import larger_problem, make_job
tables, likes, chosen = larger_problem("cpu", batch_size=100, n_threads=3, margin=3.0)
make_job(tables, likes, chosen).run(0, 5 * likes.nnz)
"""

BATCHES_CPP = "csrc/cpu/minibatch_loop.cpp"
