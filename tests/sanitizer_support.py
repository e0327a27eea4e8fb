"""What a process needs to load code that was compiled with a sanitizer of GCC."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import NoReturn

import pytest
from emulator_support import compiler


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
