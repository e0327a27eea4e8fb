"""The page of a map: one HTML file that holds its style, its program and its data."""

from __future__ import annotations

import base64
import hashlib
import html
from collections.abc import Sequence
from importlib.resources import files

_SCRIPTS = (
    "vendor/regl-scatterplot.min.js",
    *(f"{name}.js" for name in ("data", "colours", "camera", "near", "surface")),
    *(f"{name}.js" for name in ("plot", "overlay", "panel", "search", "legend", "main")),
)


def build(title: str, data: str, picture_origins: Sequence[str] = ()) -> str:
    """Return the page.

    Parameters
    ----------
    title : str
        Any text.
    data : str
        As `payload.encode` returns it.
    picture_origins : sequence of str
        Where pictures may come from, such as ``https://example.org``. Nothing else is loaded, from
        nowhere.
    """
    folder = files(__package__) / "page"
    script = "\n".join(folder.joinpath(name).read_text("utf-8") for name in _SCRIPTS)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")
    # eval is for the library that draws, which makes its drawing functions with it. No other text
    # becomes a script: only the one with this hash may run.
    policy = "; ".join(
        [
            "default-src 'none'",
            f"script-src 'sha256-{digest}' 'unsafe-eval'",
            "style-src 'unsafe-inline'",
            " ".join(["img-src data:", *picture_origins]),
            "base-uri 'none'",
            "form-action 'none'",
        ]
    )
    parts = {
        "policy": html.escape(policy),
        "title": html.escape(title),
        "style": (folder / "style.css").read_text("utf-8"),
        "script": script,
        "data": data,
    }
    template = (folder / "template.html").read_text("utf-8")
    # Cut once, so that nothing in one part is taken for the place of another.
    pieces = template.split("%%")
    return "".join(parts[piece] if at % 2 else piece for at, piece in enumerate(pieces))
