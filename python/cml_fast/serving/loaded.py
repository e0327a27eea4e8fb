"""The model that is served: how it is loaded, and replaced by a newer one without a pause."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import logging
import os
import signal
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import scipy.sparse as sp

from .._search.bulk import fingerprint
from ..data import load_interactions
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


@dataclass(frozen=True)
class Source:
    """Where the model and the likes are, for the first loading and every later one.

    ``reading`` are further arguments of `load_interactions`.
    """

    folder: Path
    exclude: tuple[str | os.PathLike[str], ...] = ()
    reading: dict[str, Any] = field(default_factory=dict)

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
        return Loaded(model, has_index, self._likes(model), identity, now)

    def _likes(self, model: Model) -> sp.csr_array | None:
        """Return the likes of all files together, None without files."""
        total: sp.csr_array | None = None
        for file in self.exclude:
            options = {"unknown": "drop", **self.reading}
            read = load_interactions(
                file, user_ids=model.user_ids, item_ids=model.item_ids, **options
            )
            total = read.matrix if total is None else total + read.matrix
        return total


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
