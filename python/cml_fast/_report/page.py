"""The page of a report: one HTML file that needs no network."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from importlib.resources import files
from xml.etree.ElementTree import Element

from .facts import Facts
from .markup import tag, to_html
from .numbers import count

# Loads the map when it is opened; the only script of a report, and of one with a map only.
OPENER = """\
document.querySelector("details.map").addEventListener("toggle", (event) => {
  const frame = event.target.querySelector("iframe");
  if (!frame.srcdoc) frame.srcdoc = frame.dataset.page;
});
"""


def build(title: str, facts: Facts, contents: Mapping[tuple[str, str], list[Element]]) -> bytes:
    """Return the page, UTF-8.

    Parameters
    ----------
    title : str
        Any text.
    facts : Facts
    contents : dict of tuple of str to list of Element
        The elements of each section, by its anchor and title.
    """
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=_policy(facts)),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", title),
        tag("link", rel="icon", href="data:,"),  # else a browser asks the server for one
        tag("style", files(__package__).joinpath("style.css").read_text("utf-8")),
    )
    links = (tag("li", tag("a", heading, href=f"#{name}")) for name, heading in contents)
    sections = (
        tag("section", tag("h2", heading), *elements, id=name)
        for (name, heading), elements in contents.items()
    )
    body = tag(
        "body",
        tag("header", tag("h1", title), tag("p", _about(facts))),
        tag("nav", tag("ol", *links), aria_label="Contents"),
        tag("main", *sections),
        *([] if facts.map_page is None else [tag("script", OPENER)]),
    )
    return to_html(tag("html", head, body, lang="en"))


def _policy(facts: Facts) -> str:
    """Return what the page may do: load nothing, and run nothing but the map."""
    allowed = {"default-src": "'none'", "style-src": "'unsafe-inline'", "img-src": "data:"}
    if facts.map_page is not None:
        digest = base64.b64encode(hashlib.sha256(OPENER.encode()).digest()).decode("ascii")
        allowed |= facts.map_page.allowed
        allowed["script-src"] += f" 'sha256-{digest}'"
    allowed |= {"base-uri": "'none'", "form-action": "'none'"}
    return "; ".join(f"{name} {sources}" for name, sources in allowed.items())


def _about(facts: Facts) -> str:
    model = facts.model
    n_users, n_dims = model.user_vectors.shape
    return (
        f"A model of Collaborative Metric Learning: {count(n_users)} users and "
        f"{count(len(model.item_vectors))} items as points in {n_dims} dimensions, where the items "
        f"nearest to a user are recommended. Made by cml_fast {model.version}."
    )
