"""The page of a map, as it is embedded in a report."""

from __future__ import annotations

import os
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from ..errors import DataError

# What a map must be allowed to do within a report, too: a page that is embedded is under the
# policies of both.
_DIRECTIVES = ("script-src", "img-src")


@dataclass(frozen=True)
class MapPage:
    """A page that `Model.map` wrote.

    Attributes
    ----------
    text : str
        The whole page.
    allowed : dict of str to str
        The sources of its policy for scripts and pictures.
    """

    text: str
    allowed: dict[str, str]


def read_map(path: str | os.PathLike[str]) -> MapPage:
    """Read a page of `Model.map`; DataError if it is something else."""
    try:
        text = Path(path).read_text("utf-8")
    except UnicodeDecodeError as error:
        raise _is_no_map(path) from error
    finder = _PolicyFinder()
    finder.feed(text[: text.find("</head>") + 1])
    directives = dict(
        directive.strip().partition(" ")[::2] for directive in (finder.policy or "").split(";")
    )
    if not all(name in directives for name in _DIRECTIVES):
        raise _is_no_map(path)
    return MapPage(text, {name: directives[name] for name in _DIRECTIVES})


def _is_no_map(path: Any) -> DataError:
    return DataError(f"map_page={str(path)!r} is not a page that Model.map wrote: write it first")


class _PolicyFinder(HTMLParser):
    policy: str | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        if tag == "meta" and found.get("http-equiv") == "Content-Security-Policy":
            self.policy = found.get("content")
