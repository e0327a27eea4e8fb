"""What the tests of the report share: a small model, and what a page says."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass, field
from functools import cache
from html.parser import HTMLParser

from support.trainers import trainer

from cml_fast import Model
from cml_fast.data import Interactions, split, synthetic


@cache
def fitted() -> tuple[Model, Interactions, Interactions, Interactions]:
    """A model with a history, and its likes of training, validation and test."""
    likes = synthetic(150, 90, 3000, n_tastes=4).interactions
    train, validation, test = split(likes, (0.6, 0.2, 0.2))
    model = trainer(n_epochs=4).fit(train, validation=validation).model_
    return model, train, validation, test


def map_like(sources: str = "data:") -> str:
    """A page with a policy and one script, as a map has them; the script says that it ran."""
    script = 'document.body.append("the \\"map\\" & its <b>script</b> ran")'
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = f"default-src 'none'; script-src 'sha256-{digest}'; img-src {sources}"
    return (
        f'<!DOCTYPE html><html><head><meta charset="utf-8"><meta content="{policy}" '
        'http-equiv="Content-Security-Policy"></head>'
        f"<body><script>{script}</script></body></html>"
    )


@dataclass
class Page(HTMLParser):
    """The headings and tables of a page.

    Attributes
    ----------
    tags : list of tuple
        Each element with its attributes.
    tables : dict of str to list of list of str
        The rows of each table, the head first, by the title before it.
    text : str
        All texts, but style.
    """

    tags: list[tuple[str, dict[str, str | None]]] = field(default_factory=list)
    tables: dict[str, list[list[str]]] = field(default_factory=dict)
    text: str = ""
    title: str = ""
    open: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag in ("meta", "link"):  # these have no end
            return
        self.open.append(tag)
        if tag in ("h2", "h3", "strong") and "table" not in self.open:
            self.title = ""
        elif tag == "table":
            while self.title in self.tables:
                self.title += ", next"
            self.tables[self.title] = []
        elif tag == "tr":
            self.tables[self.title].append([])
        elif tag in ("td", "th"):
            self.tables[self.title][-1].append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" in self.open:
            return
        self.text += data
        if "table" in self.open:
            self.tables[self.title][-1][-1] += data
        elif self.open and self.open[-1] in ("h2", "h3", "strong"):
            self.title += data


def read(page: bytes) -> Page:
    found = Page()
    found.feed(page.decode("utf-8"))
    found.close()
    return found
