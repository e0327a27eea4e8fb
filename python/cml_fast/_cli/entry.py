"""Where the command ``cml-fast`` begins: signals are handled before anything large is imported."""

from __future__ import annotations

import sys

from .signals import ending, handle_sigterm


def main() -> int:
    """Run the command, and return the exit code."""
    handle_sigterm()
    try:
        from . import app

        return app.main()
    except KeyboardInterrupt as stop:  # while modules are imported; `app.main` deals with others
        code, word = ending(stop)
        print(f"cml-fast: {word}", file=sys.stderr)
        return code
