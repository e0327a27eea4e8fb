"""Where the command ``cml-fast`` begins: signals are handled before anything large is imported."""

from __future__ import annotations

import io
import os
import sys

from .signals import ending, handle_sigterm


def main() -> int:
    """Run the command, and return the exit code."""
    _prepare_streams()
    handle_sigterm()
    try:
        from . import app

        return app.main()
    except KeyboardInterrupt as stop:  # while modules are imported; `app.main` deals with others
        code, word = ending(stop)
        print(f"cml-fast: {word}", file=sys.stderr)
        return code


def _prepare_streams() -> None:
    """Let text go to stdout and stderr wherever they lead.

    If one is closed, it leads nowhere from now on: otherwise the next file that is opened would
    take its number, and get what is printed. What an encoding lacks is printed as an escape.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        stream = getattr(sys, name)
        if stream is None:
            opened = os.open(os.devnull, os.O_RDWR)
            if opened != number:
                os.dup2(opened, number)
                os.close(opened)
            setattr(sys, name, os.fdopen(number, "w" if number else "r", encoding="utf-8"))
        elif number and isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
