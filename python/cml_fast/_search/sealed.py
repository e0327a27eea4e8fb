"""Files with a checksum, so that no library is given bytes that were damaged.

The libraries of indexes trust their files: a changed byte can make them read memory that is not
theirs. Against a forger, who makes the checksum fit, each kind checks what is in the file, or
builds the index again. A sealed file is 8 bytes that say what it is, the SHA-256 of the rest, and
the rest.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from ..errors import ModelError

MAGIC = b"cmlindex"
DIGEST_BYTES = hashlib.sha256().digest_size


def write_sealed(path: Path, payload: bytes | bytearray | memoryview) -> None:
    """Write ``payload`` and its checksum."""
    with path.open("wb") as file:
        file.write(MAGIC)
        file.write(hashlib.sha256(payload).digest())
        file.write(payload)


def read_sealed(path: Path) -> np.ndarray:
    """Return the payload as a read-only uint8 array, or raise ModelError if any byte differs."""
    start = len(MAGIC) + DIGEST_BYTES
    content = path.read_bytes()
    payload = memoryview(content)[start:]
    if not content.startswith(MAGIC) or len(content) < start:
        raise ModelError(f"{path} is not an index, or is damaged: build it again")
    if hashlib.sha256(payload).digest() != content[len(MAGIC) : start]:
        raise ModelError(f"{path} is damaged (its SHA-256 is another one): build it again")
    return np.frombuffer(payload, dtype=np.uint8)
