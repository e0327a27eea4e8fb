"""Runs `on_a_cluster` in a process of its own.

Ray leaves threads and a handler of SIGTERM to the process, and other tests fork and send SIGTERM.
A process can also be ended if Ray does not answer.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.places import need

# Several times what it takes on a slow machine; after half of it, it says where it is.
SECONDS = 300
FILE = Path(__file__).with_name("on_a_cluster.py")


@pytest.mark.slow
def test_several_workers_on_a_cluster(tmp_path: Path) -> None:
    need("ray", "ray")
    command = [sys.executable, "-m", "pytest", "-v", "-p", "no:cacheprovider"]
    command += ["-o", f"faulthandler_timeout={SECONDS / 2}", str(FILE)]
    log = tmp_path / "log"
    environment = {name: text for name, text in os.environ.items() if name != "RAY_ADDRESS"}
    with log.open("w") as file:
        try:
            done = subprocess.run(
                command,
                cwd=FILE.parents[2],
                env=environment,
                stdout=file,
                stderr=subprocess.STDOUT,
                timeout=SECONDS,
            )
        except subprocess.TimeoutExpired:
            pytest.fail(f"{FILE.name} took more than {SECONDS} s and was ended:\n{log.read_text()}")
    assert done.returncode == 0, log.read_text()
