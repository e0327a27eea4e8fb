"""Programs of many cases that have to end by themselves: what is not begun in time is left out."""

from __future__ import annotations

import json
import math
import time
from argparse import ArgumentParser
from collections.abc import Iterator, Sequence
from typing import TypeVar

Case = TypeVar("Case")


def add_option(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--seconds", type=float, default=math.inf, help="begin no case later than that"
    )


def in_time(cases: Sequence[Case], seconds: float) -> Iterator[Case]:
    """The cases that begin in time, the first one in any case. Prints how many are left out."""
    started = time.monotonic()
    for number, case in enumerate(cases):
        if number and time.monotonic() - started > seconds:
            print(json.dumps({"left_out": len(cases) - number}), flush=True)
            return
        yield case
