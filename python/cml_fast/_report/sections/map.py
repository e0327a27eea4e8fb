"""The map of the learned space, if one was given."""

from __future__ import annotations

from xml.etree.ElementTree import Element

from ..facts import Facts
from ..markup import paragraph, tag


def content(facts: Facts) -> list[Element]:
    if facts.map_page is None:
        return [paragraph("No map was given: Model.map or cml-fast map draws one.")]
    # Loaded when it is opened (see page.OPENER), so that the report itself opens at once.
    frame = tag(
        "iframe", data_page=facts.map_page.text, sandbox="allow-scripts", title="Map of the items"
    )
    return [
        paragraph(
            "Items are near to each other where the same users like them. Point at an item for its "
            "name; click it for the nearest items and their distances."
        ),
        tag("details", tag("summary", "Open the map"), frame, class_="map"),
    ]
