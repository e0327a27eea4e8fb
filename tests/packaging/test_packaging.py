"""What CMake is asked to build, and what a source distribution holds."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pybind11
import pytest
from support.kernels import INSTRUCTION_SETS

ROOT = Path(__file__).resolve().parents[2]


def configure(folder: Path, path: Path | None = None, **settings: str) -> tuple[int, str]:
    """Configure a build; returns CMake's exit status and all that it says."""
    places = [*([str(path)] if path else []), str(Path(sys.executable).parent), os.environ["PATH"]]
    environment = {**os.environ, "PATH": os.pathsep.join(places)}
    cmake = shutil.which("cmake", path=environment["PATH"])
    if cmake is None or shutil.which("ninja", path=environment["PATH"]) is None:
        pytest.skip("cmake and ninja are not installed")
    settings = {
        "Python_EXECUTABLE": sys.executable,
        "SKBUILD_PROJECT_VERSION": "0.1.0",
        "pybind11_DIR": pybind11.get_cmake_dir(),
        **settings,
    }
    command = [cmake, "-G", "Ninja", "-S", str(ROOT), "-B", str(folder / "build")]
    command += [f"-D{name}={value}" for name, value in settings.items()]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    return done.returncode, done.stdout + done.stderr


def fake_nvidia_smi(folder: Path, *lines: str) -> Path:
    """A folder for PATH whose nvidia-smi prints these lines, or fails if there are none."""
    tool = folder / "nvidia-smi"
    tool.write_text("#!/bin/sh\n" + "".join(f"echo '{line}'\n" for line in lines))
    if not lines:
        tool.write_text("#!/bin/sh\nexit 9\n")
    tool.chmod(0o755)
    return folder


@pytest.mark.parametrize(
    ("name", "allowed"), [("CML_CPU", "ALL, NATIVE or of .*"), ("CML_CUDA", "AUTO, ON or OFF")]
)
def test_another_value_is_refused(tmp_path, name, allowed):
    status, output = configure(tmp_path, **{name: "YES"})
    assert status != 0
    assert re.search(rf"{name} must be {allowed}, got\s+'YES'", output)


@pytest.mark.skipif("portable" in INSTRUCTION_SETS, reason="there is one instruction set")
def test_instruction_sets_of_the_cpu_kernels(tmp_path):
    every = {"x86-64-v2", "x86-64-v3", "x86-64-v4"}
    native = {"x86-64-v2", "x86-64-v3", *INSTRUCTION_SETS}
    some = {"x86-64-v2", "x86-64-v4"}
    settings = {"ALL": every, "NATIVE": native, ";".join(some): some}
    for chosen, expected in settings.items():  # in the same folder
        status, output = configure(tmp_path, CML_CUDA="OFF", CML_CPU=chosen)
        assert status == 0, output
        commands = (tmp_path / "build" / "build.ninja").read_text()
        for name in every:
            defined = f"CML_WITH_{name.upper().replace('-', '_')}"
            assert (f"-march={name}" in commands) == (defined in commands) == (name in expected)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("nvcc") is None, reason="there is no nvcc")
@pytest.mark.parametrize(
    ("capabilities", "architectures"),
    [
        ((), "75-virtual"),
        (("9.0", "8.6", "9.0"), "90-real 86-real"),
        (("6.1",), "75-virtual"),  # too old
        (("99.9",), "75-virtual"),  # newer than nvcc: the driver compiles for it
    ],
)
def test_cuda_is_built_for_the_gpus_of_this_machine(tmp_path, capabilities, architectures):
    path = fake_nvidia_smi(tmp_path, *capabilities)
    status, output = configure(tmp_path, path, CML_CUDA="AUTO")
    assert status == 0, output
    assert f"; {architectures})" in output
    assert ("no GPU is visible" in output) == (architectures == "75-virtual")
    status, output = configure(tmp_path, path, CML_CUDA="ON")  # the same folder
    assert status == 0, output
    assert "; 75-real 80-real " in output


@pytest.fixture(scope="module")
def source_files(tmp_path_factory) -> set[str]:
    """The files of a source distribution."""
    pytest.importorskip("scikit_build_core", reason="scikit-build-core is not installed")
    folder = tmp_path_factory.mktemp("sdist")
    code = f"import scikit_build_core.build as b; b.build_sdist({str(folder)!r})"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True)
    (archive,) = folder.glob("*.tar.gz")
    with tarfile.open(archive) as tar:
        return {name.partition("/")[2] for name in tar.getnames()}


def test_a_source_distribution_has_all_that_a_build_needs(source_files):
    needed = {"pyproject.toml", "CMakeLists.txt", "README.md", "LICENSE", "PKG-INFO"}
    for folder, pattern in (("csrc", "*.*"), ("cmake", "*.cmake"), ("python", "*.py*")):
        found = {str(path.relative_to(ROOT)) for path in (ROOT / folder).rglob(pattern)}
        assert found
        needed |= {path for path in found if "__pycache__" not in path}
    assert needed <= source_files


def test_a_source_distribution_has_nothing_else(source_files):
    hidden = {path for path in source_files if any(part[0] == "." for part in path.split("/"))}
    assert not hidden
    assert not {path for path in source_files if path.endswith((".so", ".o", ".pyc"))}
    folders = {path.split("/")[0] for path in source_files if "/" in path}
    assert folders == {"cmake", "csrc", "docs", "python", "tests"}
