"""The bound of what comes before a body, in whatever pieces it comes."""

from __future__ import annotations

import asyncio
from typing import Any
from unittest.mock import Mock

import pytest
from support.serving import need_the_extra

need_the_extra()

import uvicorn  # noqa: E402
from uvicorn.server import ServerState  # noqa: E402

from cml_fast.serving.protocol import MAX_HEAD, BoundedProtocol  # noqa: E402

BEGIN, END = b"POST / HTTP/1.1\r\nx: ", b"\r\n\r\n"
LONG = b"x" * (MAX_HEAD - len(END))  # with END as long as may be


async def nothing(scope: Any, receive: Any, send: Any) -> None:
    """An application that never answers."""
    await asyncio.Event().wait()


async def written(pieces: list[bytes]) -> bytes:
    """What a connection sends back when these pieces came."""
    config = uvicorn.Config(nothing, http=BoundedProtocol, lifespan="off", log_config=None)
    config.load()
    transport = Mock()
    transport.get_extra_info.return_value = None
    transport.is_closing.side_effect = lambda: transport.close.called
    protocol = BoundedProtocol(config, ServerState(), {}, asyncio.get_running_loop())
    protocol.connection_made(transport)
    for piece in pieces:
        if not transport.is_closing():
            protocol.data_received(piece)
    return b"".join(call.args[0] for call in transport.write.call_args_list)


@pytest.mark.parametrize(
    ("pieces", "refused"),
    [
        ([BEGIN, LONG, END], False),
        ([BEGIN, LONG, b"xxxxx", END], True),
        ([BEGIN, *[b"x"] * (MAX_HEAD + 1)], True),
        ([BEGIN, LONG, END] * 3, False),
        ([BEGIN, LONG, END + BEGIN, LONG, END], False),
        ([BEGIN, LONG, END + BEGIN, LONG, b"xxxxx", END], True),
        # A body does not count, also one that comes with the end of the headers or a beginning.
        ([BEGIN, LONG[50:], b"\r\ncontent-length: 90000" + END + b"x" * 90000], False),
        (
            [BEGIN + b"\r\ncontent-length: 90000" + END, b"x" * 90000 + BEGIN, LONG, END],
            False,
        ),
    ],
)
def test_headers_are_bounded(pieces: list[bytes], refused: bool) -> None:
    answer = asyncio.run(written(pieces))
    assert (b"headers must have at most 65536 bytes" in answer) == refused
