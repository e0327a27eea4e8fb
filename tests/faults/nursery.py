"""Runs scenarios in child processes, each a fork of one that has imported the package already.

As a script: ``python nursery.py`` reads a list of [name, arguments] as JSON from stdin, calls the
functions of these names in `scenarios`, and prints a JSON list of what became of each child.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

# A child takes a fraction of a second. One that takes so long hangs.
PATIENCE = 60
HUNG = "hung"


class Outcome(NamedTuple):
    """How a child ended: its exit status, -n for signal n or "hung", and all that it printed."""

    status: int | str
    output: str


def outcomes(cases: list[tuple[str, list[Any]]], timeout: float = 600) -> list[Outcome]:
    """Run scenarios one after the other, from a process that has imported the package."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", __file__],
        input=json.dumps(cases),
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [Outcome(*outcome) for outcome in json.loads(done.stdout)]


def _wait(child: int) -> int | str:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.002)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return HUNG


def _main() -> None:
    import scenarios  # here, so that the tests need not import it

    found = []
    for name, arguments in json.load(sys.stdin):
        with tempfile.TemporaryFile() as printed:
            child = os.fork()
            if child == 0:
                os.dup2(printed.fileno(), 1)
                os.dup2(printed.fileno(), 2)
                # Python ends as usual when this function returns.
                getattr(scenarios, name)(*arguments)
                return
            status = _wait(child)
            printed.seek(0)
            found.append((status, printed.read().decode(errors="replace")))
    print(json.dumps(found))


if __name__ == "__main__":
    # The package that the tests use, which may be no installed one.
    sys.path[:0] = [str(Path(__file__).parent)]
    _main()
