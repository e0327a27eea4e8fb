"""Where results go: one JSON a run, with what a reader needs to repeat it."""

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

PLACES = {"--out", "--folder", "--work"}  # options
FOLDER = Path(__file__).resolve().parent / "results"


def host() -> dict[str, Any]:
    """Processor, cores and versions, without the package: it need not be installed."""
    model = platform.processor()
    if sys.platform == "linux":
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                model = line.split(":", 1)[1].strip()
                break
    return {
        "processor": model,
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None,
        "python": platform.python_version(),
        "numpy": np.__version__,
    }


def machine() -> dict[str, Any]:
    """The host, and how the package was built."""
    import cml_fast

    return {**host(), "cml_fast": cml_fast.build_info()}


def versions(packages: Iterable[str]) -> dict[str, str]:
    """Of those packages that are installed here."""
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


def write(name: str, result: dict[str, Any], out: Path | None = None) -> Path:
    """Write ``result`` with date, command and machine (unless it has one); the name carries the
    date."""
    today = datetime.date.today().isoformat()
    path = out or FOLDER / f"{name}-{today}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    module = f"{__package__}.{name.replace('-', '_')}"
    record = {
        "date": today,
        "command": command(module, sys.argv[1:]),
        **({} if "machine" in result else {"machine": machine()}),
        **result,
    }
    path.write_text(json.dumps(record, indent=1) + "\n")
    return path
