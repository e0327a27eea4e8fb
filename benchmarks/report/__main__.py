"""Write ``docs/benchmarks.md``, and a short table in the README, from the newest result files.

    make bench-report

A section whose result file is missing is left out: nothing is on the page that was not measured.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

from .. import results_file
from . import accuracy, throughput, topk
from .markdown import table
from .style import Figures

ROOT = Path(__file__).resolve().parents[2]
INTRODUCTION = """# Benchmarks

Written by `make bench-report` from the files in `benchmarks/results/`, which have every number that
is here and those behind them. Each section names the machine, the date, the versions and the
command that repeats it; `python -m benchmarks` runs them all, and `benchmarks/README.md` says what
they measure and how. What was not measured is not here: there is no figure of a GPU yet."""

SECTIONS: dict[str, ModuleType] = {  # by the name of their results
    "accuracy": accuracy,
    "throughput": throughput,
    "topk": topk,
}
BEGIN, END = "<!-- benchmarks -->", "<!-- end of benchmarks -->"


def newest_path(name: str, folder: Path) -> Path | None:
    """The latest of the files NAME-DATE.json, by the date in the name."""
    files = sorted(folder.glob(f"{name}-[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9].json"))
    return files[-1] if files else None


def into_readme(text: str, rows: Sequence[tuple[str, str, str]]) -> str:
    """The README with this table between its two marks."""
    before, rest = text.split(BEGIN)
    _, after = rest.split(END)
    listed = table(["", "cml_fast", "best peers"], rows)
    return f"{before}{BEGIN}\n{listed}\n{END}{after}"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--results", type=Path, default=results_file.FOLDER)
    parser.add_argument("--page", type=Path, default=ROOT / "docs" / "benchmarks.md")
    parser.add_argument("--readme", type=Path, default=ROOT / "README.md")
    args = parser.parse_args(arguments)

    figures = Figures(args.page, args.page.parent / "benchmarks")
    parts, rows = [INTRODUCTION], []
    for name, module in SECTIONS.items():
        path = newest_path(name, args.results)
        if path is None:
            print(
                f"no {name}-DATE.json in {args.results}: its section is left out", file=sys.stderr
            )
        else:
            record = json.loads(path.read_text())
            parts.append(module.section(record, figures))
            rows += module.summary(record)
    args.page.write_text("\n\n".join(parts) + "\n")
    print(f"written: {args.page}")
    args.readme.write_text(into_readme(args.readme.read_text(), rows))


if __name__ == "__main__":
    main()
