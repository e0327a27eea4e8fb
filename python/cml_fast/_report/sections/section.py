"""What a section of a report is."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple
from xml.etree.ElementTree import Element

from ..facts import Facts


class Section(NamedTuple):
    """A part of the page with its heading.

    Attributes
    ----------
    name : str
        The anchor of the section.
    title : str
    content : callable
        Makes the elements below the heading.
    """

    name: str
    title: str
    content: Callable[[Facts], list[Element]]
