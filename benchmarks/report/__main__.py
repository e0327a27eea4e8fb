"""Write ``docs/benchmarks.md``, and a short table in the README, from the newest result files.

    make bench-report

A section whose result file is missing is left out: nothing is on the page that was not measured.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from .. import results_file
from . import accuracy
from .style import Figures

ROOT = Path(__file__).resolve().parents[2]
INTRODUCTION = """# Benchmarks

Written by `make bench-report` from the files in `benchmarks/results/`, which have every number that
is here and those behind them. Each section names the machine, the date, the versions and the
command that repeats it; `python -m benchmarks` runs them all, and `benchmarks/README.md` says what
they measure and how. What was not measured is not here: there is no figure of a GPU yet."""

SECTIONS: dict[str, Callable[[dict[str, Any], Figures], str]] = {
    "accuracy": accuracy.section,
}


def newest(name: str, folder: Path) -> dict[str, Any] | None:
    """The latest of the files NAME-DATE.json, by the date in the name."""
    files = sorted(folder.glob(f"{name}-[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9].json"))
    return json.loads(files[-1].read_text()) if files else None


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--results", type=Path, default=results_file.FOLDER)
    parser.add_argument("--page", type=Path, default=ROOT / "docs" / "benchmarks.md")
    args = parser.parse_args(arguments)

    figures = Figures(args.page, args.page.parent / "benchmarks")
    parts = [INTRODUCTION]
    for name, section in SECTIONS.items():
        record = newest(name, args.results)
        if record is None:
            print(
                f"no {name}-DATE.json in {args.results}: its section is left out", file=sys.stderr
            )
        else:
            parts.append(section(record, figures))
    args.page.write_text("\n\n".join(parts) + "\n")
    print(f"written: {args.page}")


if __name__ == "__main__":
    main()
