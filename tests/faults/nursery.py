"""Runs scenarios in child processes, each a fork of one that has imported the package already.

As a script: ``python nursery.py`` reads a list of [name, arguments] as JSON from stdin, calls the
functions of these names, such as "scenarios.exits", and prints a JSON list of what became of each
child. The first of the list is called in the process that is forked.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

# A child takes a second of CPU time at most. On a machine with ten times as many processes as cores
# that was more than a minute. One that takes so many seconds hangs.
PATIENCE = 600
HUNG = "hung"
# Memory and stacks that are no longer used are given back to the system, so that what a child does
# with little memory depends on that alone.
GIVING_BACK = {
    "MALLOC_MMAP_THRESHOLD_": "65536",
    "MALLOC_TRIM_THRESHOLD_": "65536",
    "GLIBC_TUNABLES": "glibc.pthread.stack_cache_size=0",
    "MALLOC_ARENA_MAX": "1",
    "ARROW_DEFAULT_MEMORY_POOL": "system",
}


class Outcome(NamedTuple):
    """How a child ended: its exit status, -n for signal n or "hung", and all that it printed."""

    status: int | str
    output: str


def outcomes(
    cases: list[tuple[str, list[Any]]],
    first: tuple[str, list[Any]] = ("scenarios.ready", []),
    timeout: float = 7200,
) -> list[Outcome]:
    """Run scenarios one after the other, each in a fork of a process that has called ``first``."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", __file__],
        input=json.dumps([first, *cases]),
        capture_output=True,
        text=True,
        timeout=timeout,
        env={**os.environ, **GIVING_BACK},
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


def _call(name: str, arguments: list[Any]) -> None:
    module, _, function = name.partition(".")
    getattr(importlib.import_module(module), function)(*arguments)


def _main() -> None:
    (name, arguments), *cases = json.load(sys.stdin)
    _call(name, arguments)
    found = []
    for name, arguments in cases:
        with tempfile.TemporaryFile() as printed:
            child = os.fork()
            if child == 0:
                os.dup2(printed.fileno(), 1)
                os.dup2(printed.fileno(), 2)
                # Python ends as usual when this function returns.
                _call(name, arguments)
                return
            status = _wait(child)
            printed.seek(0)
            found.append((status, printed.read().decode(errors="replace")))
    print(json.dumps(found))


if __name__ == "__main__":
    # The package that the tests use, which may be no installed one.
    sys.path[:0] = [str(Path(__file__).parent)]
    _main()
