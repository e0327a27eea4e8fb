"""An index as bytes, for the pickle of a model: the file that the index writes."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from .._search.index import ItemIndex, describe_index
from .model_folder import open_index


class PackedIndex(NamedTuple):
    """What `describe_index` says of an index, and the content of its file."""

    description: dict[str, Any]
    content: bytes


def pack_index(index: ItemIndex, item_vectors: np.ndarray) -> PackedIndex:
    """Return an index of these vectors as bytes."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, index.kind)
        index.save(path)
        return PackedIndex(describe_index(index, item_vectors), path.read_bytes())


def unpack_index(packed: PackedIndex, item_vectors: np.ndarray) -> ItemIndex | None:
    """Return the index again; a warning and None where it cannot be used, see `open_index`.

    The warning points at the caller of the caller.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, packed.description["kind"])
        path.write_bytes(packed.content)
        # An index that maps the file into memory keeps it after its name is gone.
        return open_index(path, item_vectors, packed.description, stacklevel=4)
