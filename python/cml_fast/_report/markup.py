"""HTML as a tree of elements, so that no text of a user can become markup.

The standard library's ElementTree escapes every text and every attribute when the page is written.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

Child: TypeAlias = "Element | str"


def tag(name: str, /, *children: Child, **attributes: str | float) -> Element:
    """Return an element.

    In the names of attributes ``_`` stands for ``-``, and one at the end for nothing, as in
    ``class_``.
    """
    element = Element(
        name, {key.rstrip("_").replace("_", "-"): str(value) for key, value in attributes.items()}
    )
    last: Element | None = None
    for child in children:
        if isinstance(child, Element):
            element.append(child)
            last = child
        elif last is None:
            element.text = (element.text or "") + child
        else:
            last.tail = (last.tail or "") + child
    return element


def to_html(root: Element) -> bytes:
    """Return the page, UTF-8; half characters (lone surrogates) are written as references."""
    text = ElementTree.tostring(root, encoding="unicode", method="html")
    return f"<!DOCTYPE html>\n{text}\n".encode("utf-8", "xmlcharrefreplace")


def paragraph(*children: Child) -> Element:
    return tag("p", *children)


def table(
    headers: Sequence[str], rows: Sequence[Sequence[Child]], texts: Sequence[int] = ()
) -> Element:
    """Return a table that scrolls where it is wider than the page.

    The first column names the rows. Those at the places ``texts`` have texts, all others figures,
    which are set flush right.
    """
    is_text = {0, *texts}

    def cells(row: Sequence[Child], kind: str) -> list[Element]:
        return [
            tag(
                "th" if kind == "head" or place == 0 else "td",
                content,
                class_="text" if place in is_text else "figure",
                **(
                    {"scope": "col" if kind == "head" else "row"}
                    if kind == "head" or not place
                    else {}
                ),
            )
            for place, content in enumerate(row)
        ]

    head = tag("thead", tag("tr", *cells(headers, "head")))
    body = tag("tbody", *(tag("tr", *cells(row, "body")) for row in rows))
    return tag("div", tag("table", head, body), class_="scroll", tabindex="0", role="region")


def figure(title: str, how_to_read: str, chart: Sequence[Element], figures: Element) -> Element:
    """Return a chart with a sentence on how to read it, and a table of its figures to open."""
    caption = tag("figcaption", tag("strong", title), tag("span", how_to_read))
    opened = tag("details", tag("summary", "Figures"), figures)
    return tag("figure", caption, *chart, opened)
