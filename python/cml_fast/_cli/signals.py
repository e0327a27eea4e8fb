"""What Ctrl-C and SIGTERM do to a command."""

from __future__ import annotations

import signal
from typing import NoReturn

INTERRUPTED, TERMINATED = 130, 143  # 128 + the number of the signal, as in a shell


class Terminated(KeyboardInterrupt):
    """SIGTERM has arrived: everything ends as after Ctrl-C, a checkpoint included."""


def handle_sigterm() -> None:
    """Let SIGTERM raise `Terminated` from now on."""
    signal.signal(signal.SIGTERM, _terminate)


def ending(stop: KeyboardInterrupt) -> tuple[int, str]:
    """Return the exit code and the word for how the command was stopped."""
    if isinstance(stop, Terminated):
        return TERMINATED, "terminated"
    return INTERRUPTED, "interrupted"


def _terminate(number: int, frame: object) -> NoReturn:
    raise Terminated
