"""Pieces of Markdown that all sections share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table whose first column is text and whose others are numbers."""
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def better_in_bold(cells: Sequence[str], values: Sequence[float], *, higher: bool) -> list[str]:
    """The cells of ours and of a peer; the better value is printed in bold."""
    best = max(values) if higher else min(values)
    return [
        f"**{cell}**" if value == best else cell for cell, value in zip(cells, values, strict=True)
    ]


def origin(record: dict[str, Any]) -> str:
    """Machine, date, versions and command of one result file, as a paragraph."""
    machine = record["machine"]
    versions = {
        "Python": machine["python"],
        "numpy": machine["numpy"],
        **record.get("packages", {}),
    }
    listed = ", ".join(f"{name} {version}" for name, version in versions.items())
    note = f" Note: {record['note']}." if "note" in record else ""
    return (
        f"{record['date']}, {machine['processor']}, {machine['cores']} cores; {listed}.{note}\n\n"
        f"    {record['command']}"
    )
