"""Build for the GPU of this machine, test, compare bits, sanitize and time; write one JSON file.

    make gpu-check

The stages share eight minutes. Each has a time limit; time that one does not use goes to the next.
Where it does not suffice, the cases and measurements that tell least are left out, and the summary
says how many. Estimated for 16 cores: 30 s for the build (the longest of nine object files), 20 s
of the CPU and, by benchmarks.gpu_model, as many of the GPU for all hashes.
"""

from __future__ import annotations

import argparse
import datetime
import json
import re
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..common import results_file
from . import stages
from .environment import FOLDER, environment
from .process import ROOT, no_core_files, run

SECONDS_FOR_DEVICE, SECONDS_FOR_MODEL = 30, 25
# With a limit in seconds; together with these two less than eight minutes.
STAGES: dict[str, tuple[Callable[[stages.Context], dict[str, Any]], int]] = {
    "build": (stages.build, 85),
    "test": (stages.test, 125),
    "hash": (stages.hash_, 55),
    "search": (stages.search, 25),
    "sanitize": (stages.sanitize, 70),
    "time": (stages.time_, 50),
}


def find_device() -> dict[str, Any]:
    """A description of the GPU; with "problem" if none works."""
    command = [sys.executable, "-m", "benchmarks.gpu_check.device"]
    done = run(command, SECONDS_FOR_DEVICE, environment())
    for record in done.records():
        return record
    return {"problem": f"looking for a GPU: {done.problem or 'no answer'}\n{done.tail()}"}


def run_stages(
    names: list[str], device: str, architecture: str, began: float
) -> dict[str, dict[str, Any]]:
    """Run the stages in order. If one fails, the next still run, except after a failed build."""
    results: dict[str, dict[str, Any]] = {}
    deadline = began + SECONDS_FOR_DEVICE
    for name in names:
        function, limit = STAGES[name]
        deadline += limit
        started = time.monotonic()
        cores = results_file.host()["cores"] or 1
        try:
            if results.get("build", {}).get("status") == "failed":
                found = stages.skipped("the build failed")
            else:
                found = function(stages.Context(device, architecture, deadline, cores))
        except Exception as error:  # a fault of this program: record it, go on
            found = stages.failed(f"{type(error).__name__}: {error}", output=traceback.format_exc())
        seconds = time.monotonic() - started
        results[name] = {"status": found["status"], "seconds": round(seconds, 2), **found}
        print(f"{name:9}{found['status']:8}{seconds:6.1f} s  {found['summary']}", flush=True)
        if "output" in found:  # of what failed
            print(found["output"], file=sys.stderr, flush=True)
    return results


def compare_with_model(
    device: dict[str, Any], results: dict[str, dict[str, Any]]
) -> list[dict[str, Any]]:
    """Print what was measured beside what benchmarks.gpu_model predicts; no stage fails by it."""
    kernels = results.get("build", {}).get("kernels")
    sweeps = results.get("time", {}).get("sweeps")
    if not kernels or not sweeps:
        return []  # nothing was compiled, or nothing was timed
    given = FOLDER / "measured.json"
    given.write_text(json.dumps({"device": device, "kernels": kernels, "sweeps": sweeps}))
    command = [sys.executable, "-m", "benchmarks.gpu_check.predictions", given]
    done = run(command, SECONDS_FOR_MODEL, environment())
    if done.problem:
        print(f"the model: {done.problem}\n{done.tail()}", file=sys.stderr)
    else:
        print("\nin millions of pairs per second, and where the model is off by more than 2:")
        print("\n".join(record["line"] for record in done.records()))
    return done.records()


def commit() -> str | None:
    """The commit that is checked out, with "+" if files differ from it."""
    command = ["git", "describe", "--always", "--abbrev=40", "--dirty=+"]
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None


def slug(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--stages", nargs="+", choices=STAGES, default=list(STAGES))
    parser.add_argument(
        "--device", choices=("cuda", "cpu"), default="cuda", help="cpu: rehearse without a GPU"
    )
    parser.add_argument("--out", type=Path, help="result file (default: in benchmarks/results)")
    args = parser.parse_args()

    began = time.monotonic()
    no_core_files()
    device = find_device() if args.device == "cuda" else {"name": "cpu", "compute_capability": ""}
    if "problem" in device:
        print(f"gpu-check needs a GPU that works. {device['problem']}", file=sys.stderr)
        return 2
    print(f"{device['name']}, compute capability {device['compute_capability']}")
    results = run_stages(args.stages, args.device, device["compute_capability"], began)
    compared = compare_with_model(device, results)
    today = datetime.date.today().isoformat()
    record = {
        "device": device,
        "commit": commit(),
        "machine": {
            **results_file.host(),
            "cml_fast": results.get("build", {}).get("build_info"),
        },
        "seconds": round(time.monotonic() - began, 1),
        "stages": results,
        "model": compared,
    }
    out = args.out or results_file.FOLDER / f"gpu-{slug(device['name'])}-{today}.json"
    print(f"written: {results_file.write('benchmarks.gpu_check', record, out)}")
    return 1 if any(result["status"] == "failed" for result in results.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
