"""Say what bounds each training kernel on this machine's GPU, by Nsight Compute (ncu).

    make gpu-profile PYTHON=...

Profiles the package that `make gpu-check` built, or else the one that PYTHON finds, and writes all
that ncu measured to build/gpu-check/profile.csv. MEASURES has the numbers of ncu's that are read.
It has not been run on a GPU yet.
"""

from __future__ import annotations

import argparse
import csv
import io
import re
import sys
from collections.abc import Iterable, Mapping
from typing import Any

from ..gpu_check.device import describe
from ..gpu_check.environment import FOLDER, environment, find_tool
from ..gpu_check.process import run

SECONDS = 300
SECTIONS = ("SpeedOfLight", "WarpStateStats", "Occupancy", "MemoryWorkloadAnalysis")
# ncu's names, in percent of what the GPU can do, and what they are called here.
MEASURES = {
    "Compute (SM) Throughput": "arithmetic",
    "L1/TEX Cache Throughput": "L1 and the load unit",
    "L2 Cache Throughput": "the L2 cache",
    "DRAM Throughput": "memory",
}
OCCUPANCY, HIT_RATE, DURATION = "Achieved Occupancy", "L1/TEX Hit Rate", "Duration"
STALL = re.compile(r"[Ss]tall(?:ed)?[ _](\w[\w ]*?)(?:_per_issue_active\.ratio)?$")
HIGH = 60.0  # percent: what is used as much bounds a kernel
NO_PERMISSION = "ERR_NVGPUCTRPERM"


def kernels_of(table: str) -> list[dict[str, Any]]:
    """What ncu measured, from its details page as CSV: the name of each kernel launched, and its
    numbers by ncu's names. Lines before the header are messages."""
    begin = table.find('"ID"')
    if begin < 0:
        return []
    kernels: dict[str, dict[str, Any]] = {}
    for row in csv.DictReader(io.StringIO(table[begin:])):
        if not row.get("Metric Name"):
            continue  # advice
        found = kernels.setdefault(row["ID"], {"kernel": row["Kernel Name"]})
        try:
            found[row["Metric Name"]] = float(row["Metric Value"].replace(",", ""))
        except ValueError:
            continue  # a name, such as that of a cache configuration
        found[f"{row['Metric Name']} unit"] = row["Metric Unit"]
    return list(kernels.values())


def bound_of(kernel: Mapping[str, Any]) -> str:
    """What bounds a kernel, in a few words."""
    used = {ours: kernel[name] for name, ours in MEASURES.items() if name in kernel}
    if not used:
        return "unknown: ncu gave none of the numbers that are read here"
    most = max(used, key=lambda name: used[name])
    text = f"{most}, used by {used[most]:.0f}%"
    if used[most] < HIGH:
        stalls = {
            match[1].replace("_", " ").lower(): value
            for name, value in kernel.items()
            if (match := STALL.search(name)) and isinstance(value, float)
        }
        text = f"waiting: of all units {most} is used most, by {used[most]:.0f}%"
        if stalls:
            longest = max(stalls, key=lambda name: stalls[name])
            text += f"; warps wait longest for: {longest}"
    for name in (OCCUPANCY, HIT_RATE):
        if name in kernel:
            text += f"; {name} {kernel[name]:.0f}%"
    return text


def lines(kernels: Iterable[Mapping[str, Any]]) -> list[str]:
    """For the terminal."""
    return [
        "{kernel:.70}  {time} {unit}: bound by {bound}".format(
            kernel=each["kernel"],
            time=each.get(DURATION, "?"),
            unit=each.get(f"{DURATION} unit", ""),
            bound=bound_of(each),
        )
        for each in kernels
    ]


def main() -> int:
    argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0]).parse_args()
    program = find_tool("ncu")
    if program is None:
        problem = "ncu (Nsight Compute) is neither on PATH nor in the CUDA toolkit"
    else:
        problem = describe().get("problem", "")
    if problem:
        print(f"gpu-profile needs a GPU and its profiler. {problem}", file=sys.stderr)
        return 2
    command: list[object] = [program, "--csv", "--page", "details", "--print-details", "all"]
    command += [word for section in SECTIONS for word in ("--section", section)]
    command += ["--kernel-name", "regex:(async|sync|accumulate|apply|project)_kernel"]
    command += [sys.executable, "-m", "benchmarks.gpu_profile.launches"]
    done = run(command, SECONDS, environment())
    (FOLDER / "profile.csv").write_text(done.stdout)
    kernels = kernels_of(done.stdout)
    print("\n".join(lines(kernels)))
    if NO_PERMISSION in done.stdout + done.stderr:
        where = f"https://developer.nvidia.com/{NO_PERMISSION}"
        print(f"the GPU's counters are reserved to administrators: see {where}", file=sys.stderr)
    elif done.problem or not kernels:
        print(f"ncu: {done.problem or 'no kernel was profiled'}\n{done.tail()}", file=sys.stderr)
    return 0 if kernels and not done.problem else 1


if __name__ == "__main__":
    sys.exit(main())
