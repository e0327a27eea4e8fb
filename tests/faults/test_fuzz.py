"""Changed files of every kind, guided by coverage: a few here, as many as wanted by `fuzz`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_every_reader_and_every_file(tmp_path: Path) -> None:
    pytest.importorskip(
        "atheris", reason="Atheris is not installed: it has wheels for Python 3.11 to 3.13 only"
    )
    command = [sys.executable, "-m", "tests.faults.fuzz", "--inputs", "20000", "--found", tmp_path]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, (done.stdout + done.stderr)[-5000:]
