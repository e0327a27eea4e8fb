"""The sections of a report, in order. A new one is one file and one line here."""

from __future__ import annotations

from . import data, examples, learning, map, metrics, popularity, segments, summary
from .section import Section

SECTIONS: tuple[Section, ...] = (
    Section("summary", "At a glance", summary.content),
    Section("data", "The data", data.content),
    Section("learning", "Learning", learning.content),
    Section("quality", "How good the recommendations are", metrics.content),
    Section("segments", "For whom, and for which items", segments.content),
    Section("popularity", "Popularity bias", popularity.content),
    Section("examples", "Example users", examples.content),
    Section("map", "The map", map.content),
)
