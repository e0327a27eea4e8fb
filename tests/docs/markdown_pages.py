"""Pages of Markdown: their fenced blocks, their links, and the anchors of their headings."""

from __future__ import annotations

import re
import textwrap
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# Written by `make bench-report`; it has figures, but no code.
GENERATED = ROOT / "docs" / "benchmarks.md"

_FENCE = re.compile(r"^(?P<indent> *)```(?P<language>[a-z]*)(?P<options>[^`]*)$")
_NOT_RUN = re.compile(r"^ *<!-- not run: (?P<reason>.+) -->$")
_HEADING = re.compile(r"^#{1,6} +(?P<text>.+?)(?: *\{[^}]*\})?$")
_LINK = re.compile(r"!?\[(?:[^\]\[]|\[[^\]]*\])*\]\((?P<target>[^)\s]+)\)")


@dataclass(frozen=True)
class Block:
    """A fenced block of a page.

    Attributes
    ----------
    line : int
        Number of its first line of content, from 1.
    language : str
    text : str
        The content without its indentation.
    not_run : str or None
        What an HTML comment before the fence, ``<!-- not run: REASON -->``, gives as the reason.
    follows : bool
        Whether only blank lines separate the block from the block before it.
    """

    line: int
    language: str
    text: str
    not_run: str | None
    follows: bool


def pages() -> list[Path]:
    """All pages whose code and links are tested."""
    found = [ROOT / name for name in ("README.md", "CONTRIBUTING.md")]
    return [*found, *sorted(path for path in (ROOT / "docs").rglob("*.md") if path != GENERATED)]


def name_of(page: Path) -> str:
    """The path of a page as the tests and messages show it."""
    return page.relative_to(ROOT).as_posix()


def blocks(text: str) -> list[Block]:
    """The fenced blocks of a page, in order."""
    found: list[Block] = []
    lines = text.splitlines()
    reason, follows, at = None, False, 0
    while at < len(lines):
        line = lines[at]
        fence = _FENCE.match(line)
        if fence:
            end = next(
                (i for i in range(at + 1, len(lines)) if lines[i].strip() == "```"), len(lines)
            )
            content = textwrap.dedent("\n".join(lines[at + 1 : end]))
            found.append(Block(at + 2, fence["language"], content, reason, follows))
            reason, follows, at = None, True, end + 1
            continue
        comment = _NOT_RUN.match(line)
        if comment:
            reason = comment["reason"]
        if line.strip():
            follows = False
            reason = reason if comment else None
        at += 1
    return found


def prose(text: str) -> str:
    """A page without its fenced blocks and its code in backticks."""
    outside, inside = [], False
    for line in text.splitlines():
        if line.lstrip().startswith("```"):
            inside = not inside
        elif not inside:
            outside.append(line)
    return re.sub(r"`[^`\n]*`", "", "\n".join(outside))


def links(text: str) -> list[str]:
    """The targets of the inline links and pictures of a page."""
    return [match["target"] for match in _LINK.finditer(prose(text))]


def anchors(text: str) -> set[str]:
    """The anchors of the headings, as GitHub and MkDocs both make them for plain headings."""
    found, inside = set(), False
    for line in text.splitlines():
        if line.lstrip().startswith("```"):
            inside = not inside
        heading = None if inside else _HEADING.match(line)
        if heading:
            words = re.sub(r"[^\w\s-]", "", heading["text"].lower())
            found.add(re.sub(r"\s+", "-", words.strip()))
    return found
