"""Run the benchmarks of docs/benchmarks.md one after another, and write that page.

    python -m benchmarks            less than six hours on two cores
    python -m benchmarks --quick    less than ten minutes: a rehearsal, in build/quick

An interrupted command continues where it stopped when it is given again.
"""

from __future__ import annotations

import argparse
import datetime
import subprocess
import sys
import time
from pathlib import Path

from .common import results_file
from .report.__main__ import BEGIN, END, SECTIONS, newest_path
from .report.__main__ import main as report

QUICK = Path("build/quick")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true")
    args = parser.parse_args()

    QUICK.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    failed = []
    results = QUICK if args.quick else results_file.FOLDER
    for name in SECTIONS:
        command = [sys.executable, "-m", f"benchmarks.{name}"]
        if args.quick:
            out = QUICK / f"{name}-{datetime.date.today().isoformat()}.json"
            command += ["--quick", "--work", str(QUICK / name), "--out", str(out)]
        if name == "throughput" and (accuracy := newest_path("accuracy", results)):
            command += ["--settings", str(accuracy)]  # that were chosen for the peers
        if subprocess.run(command).returncode != 0:
            failed.append(name)
        minutes = (time.monotonic() - began) / 60
        print(
            f"{name}: {'failed' if name in failed else 'done'} after {minutes:.1f} min", flush=True
        )
    if args.quick:
        readme = QUICK / "README.md"
        readme.write_text(f"{BEGIN}{END}")
        page = QUICK / "benchmarks.md"
        report(["--results", str(QUICK), "--page", str(page), "--readme", str(readme)])
    else:
        report([])
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
