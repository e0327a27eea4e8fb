"""What commands print on stdout: JSON, or text and tables to read."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from .._validation.showing import shown


@dataclass(frozen=True)
class Table:
    """A table, with colours where a person looks, else plain.

    Attributes
    ----------
    columns : tuple of str
        A name that begins with ``>`` has its values on the right.
    rows : list of tuples of str
        Whatever they hold, each is shown on one line and shortened, see `shown`.
    """

    columns: tuple[str, ...]
    rows: list[tuple[str, ...]]

    def plain(self) -> str:
        """Return lines with columns as wide as their widest value."""
        titles = tuple(column.lstrip(">") for column in self.columns)
        rows = self._shown_rows()
        widths = [max(map(len, cells)) for cells in zip(titles, *rows, strict=True)]
        lines = [
            "  ".join(
                f"{cell:>{width}}" if column.startswith(">") else f"{cell:<{width}}"
                for cell, width, column in zip(row, widths, self.columns, strict=True)
            ).rstrip()
            for row in (titles, *rows)
        ]
        return "\n".join(lines)

    def rich(self) -> Any:
        """Return the table for rich."""
        from rich import box
        from rich.table import Table as RichTable
        from rich.text import Text

        made = RichTable(
            box=box.SIMPLE_HEAD,
            header_style="bold cyan",
            padding=(0, 1, 0, 0),
            pad_edge=False,
            show_edge=False,
        )
        for column in self.columns:
            right = column.startswith(">")
            # Names of several words go on several lines where there is no room; ids are never cut.
            made.add_column(
                column.lstrip(">").replace("_", " "),
                justify="right" if right else "left",
                overflow="fold",
            )
        for row in self._shown_rows():
            made.add_row(*map(Text, row))
        return made

    def _shown_rows(self) -> list[tuple[str, ...]]:
        return [tuple(map(shown, row)) for row in self.rows]


class Outcome(NamedTuple):
    """What a command returns: the result for ``--json``, and the same to read."""

    result: dict[str, Any]
    blocks: Sequence[str | Table]


def show(outcome: Outcome, *, as_json: bool) -> None:
    """Print an outcome on stdout."""
    if as_json:
        print(json.dumps(outcome.result, indent=2), flush=True)
    elif sys.stdout.isatty():
        from rich.console import Console

        console = Console()
        for block in outcome.blocks:
            if isinstance(block, Table):
                console.print(block.rich())
            else:
                console.print(block, markup=False, highlight=False, soft_wrap=True)
    else:
        plain = (block.plain() if isinstance(block, Table) else block for block in outcome.blocks)
        print("\n".join(plain), flush=True)


def outline(values: dict[str, Any], indent: str = "") -> list[str]:
    """Return lines of ``name: value``, with nested values indented."""
    lines = []
    for name, value in values.items():
        if isinstance(value, list) and value and isinstance(value[0], dict):
            value = {str(place): entry for place, entry in enumerate(value)}
        if isinstance(value, dict):
            lines += [f"{indent}{name}:", *outline(value, indent + "  ")]
        else:
            text = ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
            lines.append(f"{indent}{name}: {text or '-'}")
    return lines
