"""Errors that a client gets: one sentence in JSON, which names the field of the request."""

from __future__ import annotations

import json
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from .loaded import LOGGER
from .messages import MAX_BODY

UNKNOWN, TOO_LARGE, INVALID, FAILED = 404, 413, 422, 500
# Characters of a value or a name that a sentence repeats.
REPEATED = 60
# What pydantic says in other words than a user of HTTP.
SENTENCES = {
    "missing": "is missing",
    "extra_forbidden": "is not a field of this request",
    "json_invalid": "is not valid JSON",
}
NOT_JSON = "the body must be a JSON object in UTF-8, with the header content-type: application/json"


class Refusal(Exception):
    """A request that cannot be answered: the status, the field (None: all of it), the sentence."""

    def __init__(self, status: int, field: str | None, sentence: str) -> None:
        super().__init__(sentence)
        self.status, self.field, self.sentence = status, field, sentence


def json_response(content: Any, status: int = 200) -> Response:
    """Return JSON in ASCII, which can hold every id, also one that is not valid Unicode."""
    text = json.dumps(content, allow_nan=False, separators=(",", ":"))
    return Response(text.encode("ascii"), status, media_type="application/json")


def refused(status: int, field: str | None, sentence: str) -> Response:
    """Return the JSON of `messages.Refused`."""
    detail = sentence if field is None else f"{field}: {sentence}"
    return json_response({"detail": detail, "field": field}, status)


def shortened(value: Any) -> str:
    """Return the representation of what a client sent, of bounded length."""
    text = repr(value[:REPEATED] if isinstance(value, str | bytes | list) else value)
    return text if len(text) <= REPEATED else text[:REPEATED] + "..."


def add_handlers(app: FastAPI) -> None:
    """Make every error of an app an answer of one sentence."""
    app.add_exception_handler(Refusal, _of_refusal)
    app.add_exception_handler(RequestValidationError, _of_validation)
    app.add_exception_handler(HTTPException, _of_http)
    app.add_exception_handler(Exception, _of_bug)


def _of_refusal(request: Request, error: Any) -> Response:
    return refused(error.status, error.field, error.sentence)


def _of_validation(request: Request, error: Any) -> Response:
    first = error.errors()[0]
    names = first["loc"][1:]  # without "body"
    if first["type"] == "json_invalid" or not names:
        return refused(INVALID, None, NOT_JSON)
    field = "".join(f"[{name}]" if isinstance(name, int) else f".{name}" for name in names)[1:]
    sentence = SENTENCES.get(first["type"])
    if sentence is None:
        said = first["msg"].removeprefix("Value error, ")
        sentence = f"{said[0].lower()}{said[1:]}, got {shortened(first['input'])}"
    return refused(INVALID, field[: 2 * REPEATED], sentence)


def _of_http(request: Request, error: Any) -> Response:
    if error.status_code == 400:  # FastAPI's, of a body that is not even broken JSON
        return refused(INVALID, None, NOT_JSON)
    headers = error.headers or {}
    sentence = error.detail
    if error.status_code == UNKNOWN:
        sentence = "there is no such path: /openapi.json describes those that there are"
    elif "Allow" in headers:
        sentence = f"this path takes {headers['Allow']}, not {request.method}"
    response = refused(error.status_code, None, sentence)
    response.headers.update(headers)
    return response


def _of_bug(request: Request, error: Exception) -> Response:
    LOGGER.error("a request failed", exc_info=error)
    return refused(FAILED, None, "the server failed, its log says why")


class BoundedBody:
    """Refuses bodies of more than MAX_BODY bytes; ASGI middleware."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        announced = next((v for name, v in scope["headers"] if name == b"content-length"), None)
        if announced is None:
            await self._app(scope, _counted(receive), send)
        elif announced.isdigit() and int(announced[:REPEATED]) <= MAX_BODY:
            await self._app(scope, receive, send)
        else:
            await refused(TOO_LARGE, None, _TOO_LARGE)(scope, receive, send)


_TOO_LARGE = f"the body must have at most {MAX_BODY} bytes"


def _counted(receive: Any) -> Any:
    """Return a ``receive`` that raises once too many bytes of a body have come."""
    received = 0

    async def counted() -> Any:
        nonlocal received
        message = await receive()
        received += len(message.get("body", b""))
        if received > MAX_BODY:
            raise HTTPException(TOO_LARGE, _TOO_LARGE)
        return message

    return counted
