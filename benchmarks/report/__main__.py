"""Write ``docs/benchmarks.md``, and a table of at most 8 rows in the README, from result files.

    make bench-report

The newest file of each kind counts. A section without a result file is left out.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

from ..common import results_file
from . import accuracy_section, throughput_section, topk_section
from .figures import Figures
from .markdown import table

ROOT = Path(__file__).resolve().parents[2]
INTRODUCTION = """# Benchmarks

`make bench-report` writes this page from the files in `benchmarks/results/`. Each section names the
machine, the date, the versions and the command that repeats the measurements. `python -m
benchmarks` runs all of them, and `benchmarks/README.md` describes them. Nothing has been measured
on a GPU yet."""

SECTIONS: dict[str, ModuleType] = {  # by the name of their results
    "accuracy": accuracy_section,
    "throughput": throughput_section,
    "topk": topk_section,
}
BEGIN, END = "<!-- benchmarks -->", "<!-- end of benchmarks -->"


def newest_path(name: str, folder: Path) -> Path | None:
    """The latest of the files NAME-DATE.json, by the date in the name."""
    files = sorted(folder.glob(f"{name}-[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9].json"))
    return files[-1] if files else None


def into_readme(text: str, rows: Sequence[tuple[str, str, str]]) -> str:
    """The README with this table between its two markers."""
    if BEGIN not in text or END not in text:
        raise SystemExit(f"the README has no {BEGIN} and {END}: the table stands between them")
    before, rest = text.split(BEGIN)
    _, after = rest.split(END)
    listed = table(["", "cml_fast", "best peer"], rows)
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
