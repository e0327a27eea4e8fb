"""Keep measurements in a folder, so that an interrupted command continues when given again."""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any


class LeftOut(Exception):
    """Something cannot be measured here; the message is the reason."""


class MeasurementStore:
    """Measurements by name. ``settings`` holds all else that they depend on: a folder with other
    settings is refused. Nothing begins after ``seconds``."""

    def __init__(self, folder: Path, settings: dict[str, Any], seconds: float = math.inf) -> None:
        self.path = folder / "measured.json"
        self.settings = json.loads(json.dumps(settings))
        self.deadline = time.monotonic() + seconds
        self.left_out: dict[str, str] = {}
        self.done: dict[str, Any] = {}
        if self.path.exists():
            kept = json.loads(self.path.read_text())
            if kept["settings"] != self.settings:
                raise SystemExit(
                    f"{folder} holds measurements with other options, files, versions or "
                    "processors: delete it or name another --work"
                )
            self.done = kept["done"]
        folder.mkdir(parents=True, exist_ok=True)

    def once(self, name: str, measure: Callable[[], Any]) -> Any:
        """What ``measure()`` returns, or returned in an earlier run; None if it is left out."""
        if name in self.done:
            return self.done[name]
        try:
            if time.monotonic() > self.deadline:
                raise LeftOut("no time was left for it")
            print(name, file=sys.stderr, flush=True)
            found = measure()
        except LeftOut as reason:
            self.leave_out(name, str(reason))
            return None
        self.done[name] = json.loads(json.dumps(found))  # the same now as when it is read again
        written = self.path.with_suffix(".new")
        written.write_text(json.dumps({"settings": self.settings, "done": self.done}))
        written.replace(self.path)
        return self.done[name]

    def leave_out(self, name: str, reason: str) -> None:
        print(f"{name} is left out: {reason}", file=sys.stderr, flush=True)
        self.left_out[name] = reason
