"""Write result files: one JSON file a run, with what a reader needs to repeat it.

A result file holds a summary: what the page and the studies show, without every trial. Raw
measurements stay in the ``--work`` folder of the run.
"""

from __future__ import annotations

import datetime
import json
import os
import platform
import shlex
import sys
from collections.abc import Iterable
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

PLACES = {"--out", "--folder", "--work"}  # options that name places on this machine
FOLDER = Path(__file__).resolve().parents[1] / "results"
WIDTH = 100  # characters of a line
SHORT = 48  # characters of an element that shares its line with others


def usable_cores() -> int:
    """Cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def host() -> dict[str, Any]:
    """Processor, cores and versions; the package itself need not be installed."""
    model = platform.processor()
    if sys.platform == "linux":
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                model = line.split(":", 1)[1].strip()
                break
    return {
        "processor": model,
        "cores": usable_cores(),
        "python": platform.python_version(),
        "numpy": np.__version__,
    }


def machine() -> dict[str, Any]:
    """The host, and how the package was built."""
    import cml_fast

    return {**host(), "cml_fast": cml_fast.build_info()}


def versions(packages: Iterable[str]) -> dict[str, str]:
    """The versions of those packages that are installed here."""
    found = {}
    for package in packages:
        with suppress(PackageNotFoundError):
            found[package] = version(package)
    return found


def command(module: str, arguments: list[str]) -> str:
    """What was run, without the options and folders that name places on this machine."""
    kept = [
        Path(argument).name if os.sep in argument else argument
        for before, argument in zip(["", *arguments], arguments, strict=False)
        if not {before, argument} & PLACES
    ]
    return shlex.join(["python", "-m", module, *kept])


def dumps(value: Any, indent: int = 0) -> str:
    """JSON in which short lists and objects take one line, and short elements share lines."""
    line = json.dumps(value)
    if not isinstance(value, (dict, list, tuple)) or len(line) + indent <= WIDTH:
        return line
    inner = indent + 1
    if isinstance(value, dict):
        first, last = "{}"
        parts = [f"{json.dumps(str(key))}: {dumps(of, inner)}" for key, of in value.items()]
    else:
        first, last = "[]"
        parts = [dumps(of, inner) for of in value]
    lines = _filled(parts, WIDTH - inner)
    body = (",\n" + " " * inner).join(lines)
    if len(lines) < len(parts) and "\n" not in "".join(parts):
        return first + body + last  # a table row, or a list of numbers
    return f"{first}\n{' ' * inner}{body}\n{' ' * indent}{last}"


def _filled(parts: list[str], width: int) -> list[str]:
    """Join neighbours that are short, as long as they fit."""
    lines: list[str] = []
    joinable = False
    for part in parts:
        short = len(part) <= SHORT and "\n" not in part
        if short and joinable and len(lines[-1]) + len(part) + 3 <= width:
            lines[-1] += f", {part}"
        else:
            lines.append(part)
        joinable = short
    return lines


def write(
    module: str, result: dict[str, Any], out: Path | None = None, name: str | None = None
) -> Path:
    """Write ``result`` with the date, the command and the machine (unless it has a machine).

    ``module`` is what ``python -m`` runs. The file is ``out``, or NAME-DATE.json in ``FOLDER``; the
    name is by default the last part of ``module``.
    """
    today = datetime.date.today().isoformat()
    name = name or module.rpartition(".")[2].replace("_", "-")
    path = out or FOLDER / f"{name}-{today}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    record = {
        "date": today,
        "command": command(module, sys.argv[1:]),
        **({} if "machine" in result else {"machine": machine()}),
        **result,
    }
    path.write_text(dumps(record) + "\n")
    return path
