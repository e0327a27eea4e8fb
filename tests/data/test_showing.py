"""Texts of files as they are shown: on one line, without codes for the terminal, not too long."""

from __future__ import annotations

from typing import Any

import pytest

from cml_fast._validation.showing import END, LONGEST, quoted, shown


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("plain", "plain"),
        ("Amélie \N{SNOWMAN} 北京", "Amélie \N{SNOWMAN} 北京"),
        ("", ""),
        ("it's", "it's"),
        (-7, "-7"),
        ("a\nb\r\tc", r"a\nb\r\tc"),
        (r"a\nb", r"a\\nb"),
        ("\x1b[2J\x1b]0;title\x07", r"\x1b[2J\x1b]0;title\x07"),
        ("\x9b31m\x7f\0", r"\x9b31m\x7f\x00"),
        ("\u202egnp.exe\u2028", r"\u202egnp.exe\u2028"),
        ("\ud800\U000e0001", r"\ud800\U000e0001"),
    ],
)
def test_shown(value: Any, text: str) -> None:
    assert shown(value) == text


def test_every_character_is_printed_or_escaped() -> None:
    seen = set()
    for code in range(0x110000):
        text = shown(chr(code))
        assert text.isprintable() and (text == chr(code) or text.isascii())
        seen.add(text)
    assert len(seen) == 0x110000


@pytest.mark.parametrize("show", [shown, quoted])
def test_long_texts_are_shortened(show: Any) -> None:
    for text in ("x" * LONGEST, "\n" * (LONGEST // 2), "\U000e0001" * 10**6, "x" * 10**6, 10**5000):
        assert len(show(text)) <= LONGEST + 2
    ended = "begin" + "x" * 1000 + "end"
    assert show(ended).strip("'").startswith("begin") and show(ended).strip("'").endswith("end")
    assert show(ended).strip("'")[-END - 3 : -END] == "..." or show is quoted
    assert "..." not in show("x" * LONGEST) and "..." in show("x" * (LONGEST + 1))


def test_quoted() -> None:
    assert quoted("a\n'b") == repr("a\n'b") and quoted(7) == "7"
