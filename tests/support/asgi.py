"""Asks an ASGI application without a server and without a socket."""

from __future__ import annotations

import asyncio
import json
from typing import Any


def ask(
    app: Any, method: str, path: str, body: Any = None, announced: bool = True, **headers: str
) -> tuple[int, Any]:
    """Send one request, a body that is not bytes as JSON; return the status and the parsed JSON.

    ``announced``: whether a header says how long the body is.
    """
    raw = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
    sent = {"content-type": "application/json", **headers}
    if announced:
        sent["content-length"] = str(len(raw))
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": b"",
        "headers": [(name.encode(), value.encode("latin-1")) for name, value in sent.items()],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
        "state": {},
    }
    status, content = 0, b""

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": raw, "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        nonlocal status, content
        status = message.get("status", status)
        content += message.get("body", b"")

    asyncio.run(app(scope, receive, send))
    return status, json.loads(content)


def post(app: Any, path: str, body: Any, **headers: str) -> tuple[int, Any]:
    """Send a POST request, see `ask`."""
    return ask(app, "POST", path, body, **headers)
