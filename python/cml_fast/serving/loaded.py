"""The model that is served: how it is loaded, and replaced by a newer one without a pause."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import functools
import logging
import operator
import os
import signal
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import scipy.sparse as sp

from .._search.bulk import fingerprint
from ..data import Interactions, load_interactions
from ..model import Model

LOGGER = logging.getLogger("cml_fast.serving")


@dataclass(frozen=True)
class Loaded:
    """A model with all that requests need besides it."""

    model: Model
    has_index: bool
    likes: sp.csr_array | None  # (n_users, n_items), what users have already
    identity: str  # a hash of the vectors, ids and counts of likes
    loaded: str  # when: ISO 8601, UTC


# Reads what users have already, for a model: files, or whatever a function makes of it.
ReadLikes: TypeAlias = Callable[[Model], Sequence[Interactions]]
Exclude: TypeAlias = Sequence[str | os.PathLike[str]] | ReadLikes


@dataclass(frozen=True)
class Source:
    """Where the model and the likes are, for the first loading and every later one."""

    folder: Path
    read_likes: ReadLikes

    def load(self) -> Loaded:
        """Read and verify all files, and ask for a first recommendation.

        Raises
        ------
        FileNotFoundError, ModelError, DataError, OSError
            As `Model.load` and `load_interactions`.
        """
        model = Model.load(self.folder)._ready_to_fold_in()
        identity = fingerprint(
            *(model.user_vectors, model.item_vectors, model.user_ids, model.item_ids),
            *(model.user_counts, model.item_counts, model.placed_users),
        )
        # Whatever is made when it is first needed, such as the look-up of ids, is made now. An
        # index that its library cannot search fails here, not when somebody asks.
        has_index = model.index_info is not None
        vector = model.user_vectors[model.user_rows(model.user_ids[:1])]
        model.recommend_from_vectors(vector, 1, approximate=has_index, n_threads=1)
        model.item_rows(model.item_ids[:1])
        now = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
        likes = [each.matrix for each in self.read_likes(model)]
        together = functools.reduce(operator.add, likes) if likes else None
        return Loaded(model, has_index, together, identity, now)


def likes_reader(exclude: Exclude, reading: dict[str, Any]) -> ReadLikes:
    """Return a function that reads files with further arguments of `load_interactions`."""
    if callable(exclude):
        for name, value in reading.items():
            raise TypeError(f"{name}={value!r} needs files: exclude is a function")
        return exclude
    return functools.partial(_read_files, tuple(exclude), reading)


def _read_files(
    files: Sequence[str | os.PathLike[str]], reading: dict[str, Any], model: Model
) -> list[Interactions]:
    """Read the likes between the users and items of a model; others are left out."""
    ids = {"user_ids": model.user_ids, "item_ids": model.item_ids}
    return [load_interactions(file, **{"unknown": "drop", **ids, **reading}) for file in files]


class Serving:
    """The model in service.

    Attributes
    ----------
    now : Loaded
        A request takes it once, and so is answered by one model, whatever happens meanwhile.
    """

    def __init__(self, source: Source) -> None:
        self._source = source
        self._asked = asyncio.Event()
        self.now = source.load()

    async def reload(self) -> bool:
        """Load the model anew, while the present one goes on; return whether it is in service.

        One that cannot be loaded is refused: the log says why.
        """
        try:
            loaded = await asyncio.to_thread(self._source.load)
        except Exception as error:  # whatever is wrong with it, the present one serves on
            LOGGER.error("the model was not replaced: %s", error)
            return False
        self.now = loaded
        LOGGER.info("now serving %r, %s", loaded.model, loaded.identity)
        return True

    @contextlib.asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        """Reload on SIGHUP in this context; signals that come during a reload make one more."""
        loop = asyncio.get_running_loop()
        # Only the main thread gets signals; elsewhere the program itself calls `reload`.
        with contextlib.suppress(ValueError, RuntimeError):
            loop.add_signal_handler(signal.SIGHUP, self._asked.set)
        reloading = loop.create_task(self._reload_when_asked())
        try:
            yield
        finally:
            reloading.cancel()
            with contextlib.suppress(ValueError, RuntimeError):
                loop.remove_signal_handler(signal.SIGHUP)

    async def _reload_when_asked(self) -> None:
        while await self._asked.wait():
            self._asked.clear()
            await self.reload()
