"""Runs `on_a_cluster` and `on_two_nodes`, each in a process of its own.

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
SECONDS = 900


@pytest.mark.slow
@pytest.mark.parametrize("name", ["on_a_cluster", "on_two_nodes"])
def test_several_workers(name: str, tmp_path: Path) -> None:
    need("ray", "ray")
    if name == "on_two_nodes":
        need("aiohttp", "test")  # Ray's job API is there with ray[default] only
    path = Path(__file__).with_name(f"{name}.py")
    command = [sys.executable, "-m", "pytest", "-v", "-p", "no:cacheprovider"]
    command += ["-o", f"faulthandler_timeout={SECONDS / 2}", str(path)]
    log = tmp_path / "log"
    environment = {name: text for name, text in os.environ.items() if name != "RAY_ADDRESS"}
    # Ray lets what is not of Ray go first. Beside other tests, its workers would hardly ever run.
    environment["RAY_worker_niceness"] = "0"
    with log.open("w") as file:
        try:
            done = subprocess.run(
                command,
                cwd=path.parents[2],
                env=environment,
                stdout=file,
                stderr=subprocess.STDOUT,
                timeout=SECONDS,
            )
        except subprocess.TimeoutExpired:
            pytest.fail(f"{path.name} took more than {SECONDS} s and was ended:\n{log.read_text()}")
    assert done.returncode == 0, log.read_text()
