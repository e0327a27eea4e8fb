"""Programs that may hang: each runs in a group of its own, which is killed at a time limit."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
TAIL = 3000  # characters of an output that are kept
SECONDS_TO_DIE = 3.0


@dataclass(frozen=True)
class Finished:
    """How a program ended; ``returncode`` is None if it ran into its time limit."""

    returncode: int | None
    stdout: str
    stderr: str
    seconds: float

    @property
    def problem(self) -> str | None:
        """Why this is no success, in a few words, or None if it is one."""
        if self.returncode is None:
            return f"stopped by its time limit after {self.seconds:.0f} s"
        return f"exit code {self.returncode}" if self.returncode else None

    def tail(self) -> str:
        """The end of what it printed, errors last."""
        parts = [text[-TAIL:].strip() for text in (self.stdout, self.stderr)]
        return "\n".join(part for part in parts if part)

    def records(self) -> list[dict[str, Any]]:
        """The JSON objects that it printed, one a line; the last line may be cut off."""
        found = []
        for line in self.stdout.splitlines():
            with contextlib.suppress(json.JSONDecodeError):
                value = json.loads(line)
                found += [value] if isinstance(value, dict) else []
        return found


def run(
    command: Sequence[object], seconds: float, env: Mapping[str, str] | None = None
) -> Finished:
    """Run a program in the checkout for at most so many seconds."""
    started = time.monotonic()
    words = [str(word) for word in command]
    if seconds <= 0:
        return Finished(None, "", "no time was left for it", 0.0)
    # Files, not pipes: a child that outlives its group cannot keep this process waiting.
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        process = subprocess.Popen(
            words,
            cwd=ROOT,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            start_new_session=True,
        )
        returncode: int | None = None
        try:
            returncode = process.wait(seconds)
        except subprocess.TimeoutExpired:
            pass
        finally:
            _kill(process)
        texts = []
        for file in (out, err):
            file.seek(0)
            texts.append(file.read().decode(errors="replace"))
    return Finished(returncode, texts[0], texts[1], time.monotonic() - started)


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End what is left of the group. Python tells where it was (faulthandler) when aborted."""
    signals = (signal.SIGABRT, signal.SIGKILL) if process.poll() is None else (signal.SIGKILL,)
    for number in signals:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        # One that waits for a broken driver may not even die: it is left behind.
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(SECONDS_TO_DIE)


def no_core_files() -> None:
    """Aborted programs leave no memory images in the checkout."""
    _, hard = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, hard))
