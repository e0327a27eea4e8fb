"""HTTP/1.1 as uvicorn reads it with httptools, with a bound of what comes before a body."""

from __future__ import annotations

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

# Bytes of a request's first line and headers. A packet in which they begin is not counted.
MAX_HEAD = 1 << 16


class BoundedProtocol(HttpToolsProtocol):
    """Closes connections whose headers do not end, which would fill the memory."""

    _in_head = _began = False
    _head = 0

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_head = self._began = True
        self._head = 0

    def on_headers_complete(self) -> None:
        self._in_head = False
        super().on_headers_complete()

    def data_received(self, data: bytes) -> None:
        self._began = False
        super().data_received(data)
        if self._in_head and not self._began:
            self._head += len(data)
            if self._head > MAX_HEAD and not self.transport.is_closing():
                self.send_400_response(f"headers must have at most {MAX_HEAD} bytes")
