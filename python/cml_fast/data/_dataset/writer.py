"""Writes the arrays of a data set, part after part."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from .folder import DTYPES, HEADER_BYTES, Manifest, Part, header, sync

# A part has about so many pairs.
PART_PAIRS = 1 << 24


class Writer:
    """Appends users and their pairs to the arrays in a folder.

    Pairs are written as they come, and the numbers of pairs of their users before the part ends.
    The files have no valid header before `finish`.

    Parameters
    ----------
    folder : path
        Is there already.
    is_weighted : bool
    parts : sequence of Part
        Those that the folder has already; what is behind them in the files is removed.
    """

    def __init__(self, folder: Path, is_weighted: bool, parts: Sequence[Part] = ()) -> None:
        self._folder, self._is_weighted = folder, is_weighted
        self.parts = list(parts)
        self._names = tuple(DTYPES) if is_weighted else ("indptr", "indices")
        self.n_users = self._first_user = self.parts[-1].users[1] if parts else 0
        self.n_pairs = self._first_pair = self.parts[-1].pairs[1] if parts else 0
        self._counted = self.n_pairs  # the pairs of the users so far
        self._stack = contextlib.ExitStack()
        self._files = {}
        for name in self._names:
            path = folder / f"{name}.npy"
            path.touch()
            file = self._files[name] = self._stack.enter_context(path.open("r+b"))
            end = self.parts[-1].entries(name)[1] if parts else int(name == "indptr")
            # The first entry of indptr is 0, and so is what a file is extended by.
            file.truncate(HEADER_BYTES + end * DTYPES[name].itemsize)
            file.seek(0, 2)
        self._begin_part()

    def _begin_part(self) -> None:
        self._hashes = {name: hashlib.sha256() for name in self._names}
        self._first_user, self._first_pair = self.n_users, self.n_pairs

    def add_pairs(self, items: np.ndarray, weights: np.ndarray | None) -> None:
        """Append the items of users, sorted and distinct for each user, and perhaps weights."""
        self._write("indices", items)
        if self._is_weighted:
            assert weights is not None
            self._write("weights", weights)
        self.n_pairs += len(items)

    def add_users(self, counts: np.ndarray) -> None:
        """Append users, by the numbers of their pairs."""
        ends = self._counted + np.cumsum(counts, dtype=np.int64)
        self._write("indptr", ends)
        self.n_users += len(counts)
        self._counted = int(ends[-1]) if len(ends) else self._counted

    def end_part(self) -> None:
        """End the part, if it has users; all of it is on the disk then."""
        assert self._counted == self.n_pairs
        if self.n_users == self._first_user:
            return
        for file in self._files.values():
            sync(file)
        sums = {name: digest.hexdigest() for name, digest in self._hashes.items()}
        users, pairs = (self._first_user, self.n_users), (self._first_pair, self.n_pairs)
        self.parts.append(Part(users, pairs, sums))
        self._begin_part()

    @property
    def pairs_in_part(self) -> int:
        """How many pairs the part has so far."""
        return self.n_pairs - self._first_pair

    def finish(self, n_items: int, ids_sha256: dict[str, str]) -> Manifest:
        """Write the headers and the manifest: then the data set is whole."""
        manifest = Manifest(
            self.n_users, n_items, self.n_pairs, self._is_weighted, self.parts, ids_sha256
        )
        for name, file in self._files.items():
            file.seek(0)
            file.write(header(name, manifest.length(name)))
            sync(file)
        manifest.write(self._folder)
        return manifest

    def close(self) -> None:
        """Close the files."""
        self._stack.close()

    def _write(self, name: str, values: np.ndarray) -> None:
        data = np.ascontiguousarray(values, DTYPES[name]).data
        self._files[name].write(data)
        self._hashes[name].update(data)
