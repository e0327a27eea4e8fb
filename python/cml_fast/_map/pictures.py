"""Pictures of items: addresses, or files that go into the page."""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..errors import DataError

# What goes into the page, at most.
PICTURE_BYTES = 256 << 10
ALL_BYTES = 32 << 20
_KINDS = {
    b"\x89PNG\r\n\x1a\n": "image/png",
    b"\xff\xd8\xff": "image/jpeg",
    b"GIF8": "image/gif",
    b"RIFF": "image/webp",
}
# A host goes into the page's policy, so only what no policy takes for a word of its own.
_ADDRESS = re.compile(r"(?P<origin>https?://[A-Za-z0-9.-]+(:[0-9]{1,5})?)(/[^\s]*)?")


def collect(values: Sequence[Any]) -> tuple[dict[int, str], list[str]]:
    """Return the address of the picture of each item that has one, and the origins it may be from.

    Files become addresses that hold them. Only an http or https address needs an origin.

    Raises
    ------
    DataError
        If a file cannot be read, is no picture, or is too large, or all of them are.
    """
    addresses: dict[int, str] = {}
    origins = set()
    total = 0
    for row, value in enumerate(values):
        if value is None or value == "" or isinstance(value, float):
            continue
        if not isinstance(value, (str, os.PathLike)):
            raise DataError(f"images must be paths of files or URLs, got {value!r}")
        text = os.fspath(value)
        if "://" in text:
            match = _ADDRESS.fullmatch(text)
            if match is None:
                raise DataError(f"images must be files or addresses of http(s), got {text!r}")
            origins.add(match["origin"].lower())
            addresses[row] = text
            continue
        content = _read(Path(text))
        total += len(content)
        if total > ALL_BYTES:
            raise DataError(
                f"images are files of more than {ALL_BYTES >> 20} MiB in all: give URLs, or "
                "pictures of fewer items"
            )
        kind = _kind(content, text)
        addresses[row] = f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"
    return addresses, sorted(origins)


def _read(path: Path) -> bytes:
    try:
        if path.stat().st_size > PICTURE_BYTES:
            raise DataError(
                f"the image {path} is larger than {PICTURE_BYTES >> 10} KiB: make it smaller, or "
                "give a URL"
            )
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"the image {path} cannot be read: {error.strerror}") from error


def _kind(content: bytes, name: str) -> str:
    for beginning, kind in _KINDS.items():
        if content.startswith(beginning):
            return kind
    raise DataError(f"the image {name} is no PNG, JPEG, GIF or WebP file")
