"""Pieces of Markdown that all sections share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table whose first column is text and whose others are numbers."""
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def origin(record: dict[str, Any]) -> str:
    """Machine, date, versions and command of one result file, as a paragraph."""
    machine = record["machine"]
    versions = {
        "Python": machine["python"],
        "numpy": machine["numpy"],
        **record.get("packages", {}),
    }
    listed = ", ".join(f"{name} {version}" for name, version in versions.items())
    return (
        f"{record['date']}, {machine['processor']}, {machine['cores']} cores; {listed}.\n\n"
        f"    {record['command']}"
    )
