"""Requests as they should not be, made up from a seed, and a client that sends them."""

from __future__ import annotations

import contextlib
import json
import socket
from collections import Counter
from collections.abc import Iterator
from random import Random
from typing import Any

PATHS = ("/recommend", "/similar", "/fold-in")
METHODS = (b"GET", b"POST", b"PUT", b"DELETE", b"HEAD", b"OPTIONS", b"PATCH", b"TRACE", b"M-SEARCH")
VALID: dict[str, dict[str, Any]] = {
    "/recommend": {
        "users": ["user 0", "user 10"],
        "n": 3,
        "items": ['item "0" ß', 'item "10" ß'],
        "filter_items": ['item "10" ß'],
        "exclude": [[], ['item "20" ß']],
        "exclude_known": True,
        "cold_users": "vector",
        "unknown": "drop",
    },
    "/similar": {"items": ['item "0" ß'], "n": 3},
    "/fold-in": {"likes": ['item "0" ß', "nothing"], "n": 3, "unknown": "drop"},
}
STRANGE: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 1.5, 2**31, 2**63, -(2**63), 2**64, 10**400, -(10**30)),
    *(1e308, float("nan"), float("inf"), -float("inf")),
    *("", "user 0", "0", "\x00", "\ud800", "ß" * 300, "x" * 513, "x" * 5000, "../../etc/passwd"),
    *([], {}, [[]], [{}], {"": []}, ["user 0", 1], ["user 0"] * 200, [["user 0"]], [None]),
    *(list(range(3000)), {"users": ["user 0"]}, [1e400], "2026-01-01", "'; drop table users; --"),
)
DEEP = 50_000
BATCH = 20  # requests sent before their answers are read
LONGEST_ANSWER = 1 << 20


def body(rng: Random, path: str) -> bytes:
    """Return a body: an object with strange values, or JSON that is broken in some way."""
    made = dict(VALID[path])
    for _ in range(rng.randint(1, 3)):
        name = rng.choice([*made, *made, "", "model", "path", "users", "items", "n", "x" * 200])
        if rng.random() < 0.2:
            made.pop(name, None)
        else:
            value = rng.choice(STRANGE)
            made[name] = rng.choice((value, [value], ["user 0", value]))
    text = json.dumps(made, ensure_ascii=rng.random() < 0.5).encode("utf-8", "surrogatepass")
    how = rng.randrange(12)
    if how == 0:
        return text[: rng.randrange(len(text))]
    if how == 1:
        return rng.randbytes(rng.randrange(400))
    if how == 2:
        changed = bytearray(text)
        for _ in range(rng.randint(1, 5)):
            changed[rng.randrange(len(changed))] = rng.randrange(256)
        return bytes(changed)
    if how == 3 and rng.random() < 0.02:
        return rng.choice((b"[", b'{"users":', b'{"users":[', b"[{}, ")) * DEEP
    if how == 4:
        return text.replace(b"3", rng.choice((b"9" * 5000, b"1e999", b"-0", b"0x1", b"03", b"3.")))
    if how == 5:
        return rng.choice(
            (text.decode("utf-8", "replace").encode("utf-16"), b"\xef\xbb\xbf" + text)
        )
    return text


def request(rng: Random) -> bytes:
    """Return a request whose lines and lengths are right: the next may follow it."""
    path = rng.choice(PATHS)
    content = body(rng, path)
    target = path.encode()
    method = b"POST" if rng.random() < 0.9 else rng.choice(METHODS)
    kind = b"application/json" if rng.random() < 0.9 else rng.choice((b"", b"text/html", b"a/\xe9"))
    if rng.random() < 0.05:
        target = rng.choice((b"/", b"/health", b"/%00", b"/%ff", b"//", b"/recommend/..", b"/docs"))
    if rng.random() < 0.05:
        target += b"?" + rng.choice((b"users=1", b"%", b"a[]=1&" * 100, b"model=/etc"))
    head = b"%b %b HTTP/1.1\r\nhost: x\r\ncontent-type: %b\r\n" % (method, target, kind)
    if rng.random() < 0.1:
        middle = len(content) // 2
        parts = [part for part in (content[:middle], content[middle:]) if part]
        chunks = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts)
        return head + b"transfer-encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n"
    return head + b"content-length: %d\r\n\r\n" % len(content) + content


def broken(rng: Random) -> bytes:
    """Return bytes that are no HTTP, or HTTP that ends too early: a connection's last."""
    how = rng.randrange(5)
    if how == 0:
        return rng.randbytes(rng.randint(1, 300)) + b"\r\n\r\n"
    if how == 1:
        whole = request(rng)
        return whole[: rng.randrange(1, len(whole))]
    if how == 2:
        lengths = (b"-1", b"x", b"1e9", b"9" * 40, b"1\r\ncontent-length: 2", b"300000")
        return b"POST /recommend HTTP/1.1\r\ncontent-length: %b\r\n\r\n" % rng.choice(lengths)
    if how == 3:
        changed = bytearray(request(rng))
        changed[rng.randrange(min(60, len(changed)))] = rng.randrange(256)
        return bytes(changed)
    return b"POST /recommend HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n"


def send_all(port: int, n: int, seed: int, broken_share: float = 0.05) -> Counter[int]:
    """Send ``n`` such requests; count the statuses of the answers, -1 where there is none."""
    rng = Random(seed)
    statuses: Counter[int] = Counter()
    left = n
    while left:
        with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
            batches = rng.randint(1, 20)
            for _ in range(batches):
                requests = [request(rng) for _ in range(min(BATCH, left))]
                left -= len(requests)
                # No answer to HEAD has a body, so that its length has no meaning.
                heads = [one.startswith(b"HEAD ") for one in requests]
                connection.sendall(b"".join(requests))
                statuses.update(_answers(connection, heads))
            if left and rng.random() < broken_share * BATCH * batches:
                left -= 1
                statuses.update(_last_answer(connection, broken(rng)))
    return statuses


def _answers(connection: socket.socket, heads: list[bool]) -> Iterator[int]:
    """Read one answer for each request."""
    pending = b""
    for is_head in heads:
        while b"\r\n\r\n" not in pending:
            pending += _received(connection)
        head, _, pending = pending.partition(b"\r\n\r\n")
        lines = head.lower().split(b"\r\n")
        length = next(
            int(line.partition(b":")[2]) for line in lines if line[:15] == b"content-length:"
        )
        if not is_head:
            while len(pending) < length:
                pending += _received(connection)
            json.loads(pending[:length])  # an error too is JSON
            pending = pending[length:]
        yield int(head.split(b" ", 2)[1])


def _last_answer(connection: socket.socket, sent: bytes) -> Iterator[int]:
    """Send what is broken, close our half, and read the status if there is any."""
    with contextlib.suppress(OSError):
        connection.sendall(sent)
        connection.shutdown(socket.SHUT_WR)
        received = connection.recv(LONGEST_ANSWER)
        if received:
            yield int(received.split(b" ", 2)[1])
            return
    yield -1


def _received(connection: socket.socket) -> bytes:
    received = connection.recv(LONGEST_ANSWER)
    if not received:
        raise ConnectionError("the server closed the connection instead of answering")
    return received
