"""What commands print: messages on stderr, and results as JSON or text."""

from __future__ import annotations

import sys
from math import isnan
from typing import Any

import numpy as np

# The result for --json, and the same as a text to read.
Outcome = tuple[dict[str, Any], str]


def note(message: str) -> None:
    """Print a message of one line on stderr."""
    print("cml-fast:", " ".join(message.split()), file=sys.stderr, flush=True)


def ranking(
    asked: dict[str, Any], what: str, ids: np.ndarray, found: tuple[np.ndarray, np.ndarray]
) -> Outcome:
    """Return the users or items that were found, nearest first.

    ``asked`` is the beginning of the result, ``what`` is "user" or "item", and ``found`` are the
    row numbers, -1 where there are no more, and the distances.
    """
    rows, distances = (array[found[0] >= 0] for array in found)
    pairs = list(zip(ids[rows].tolist(), distances.tolist(), strict=True))
    # Popular items, which users without likes in training get, have no distance.
    found_json = [{what: name, "distance": None if isnan(far) else far} for name, far in pairs]
    result = {**asked, f"{what}s": found_json}
    width = max([len(what), *(len(str(name)) for name, _ in pairs)])
    lines = [
        f"{rank:>4}  {name!s:<{width}}  {'-' if isnan(far) else f'{far:.4f}':>8}"
        for rank, (name, far) in enumerate(pairs, 1)
    ]
    return result, "\n".join([f"{'rank':>4}  {what:<{width}}  distance", *lines])


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
