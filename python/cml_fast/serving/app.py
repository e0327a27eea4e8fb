"""The ASGI application: its endpoints, and what OpenAPI says of them."""

from __future__ import annotations

import contextlib
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from starlette.responses import Response

from .. import __version__
from . import answers, messages
from .loaded import Exclude, Serving, Source, likes_reader
from .messages import AskedFoldIn, AskedNeighbors, AskedRecommendations
from .refusal import INVALID, TOO_LARGE, UNKNOWN, BoundedBody, add_handlers, json_response

DESCRIPTION = """\
Recommendations by Collaborative Metric Learning (Hsieh et al., WWW 2017): users and items are \
points, and what is near to a user is recommended. Ids are those of the model, integers or \
strings; an integer and the string that writes it are the same id. Distances are Euclidean.
"""
REFUSALS: dict[int | str, dict[str, Any]] = {
    UNKNOWN: {"model": messages.Refused, "description": "An id that the model does not have"},
    TOO_LARGE: {"model": messages.Refused, "description": "A body that is too large"},
    INVALID: {"model": messages.Refused, "description": "A field that is wrong, or out of bounds"},
}


def create_app(
    model_folder: str | os.PathLike[str],
    *,
    exclude: Exclude = (),
    **reading: Any,
) -> FastAPI:
    """Make an ASGI application that answers requests from a saved model.

    Any ASGI server runs it. On SIGHUP, where its lifespan runs in the main thread, it loads the
    folder again and replaces the model in one step, without dropping a request; a model that cannot
    be loaded is refused, and the log (``cml_fast.serving``) says why. `serve` runs it with uvicorn.

    Parameters
    ----------
    model_folder : path
        What `Model.save` wrote. If the model has an index, it is searched.
    exclude : sequence of paths, or function of Model -> sequence of Interactions
        What users have already, usually the likes of training, and which is not recommended to them
        again: files, or a function that returns likes between the users and items of the model.
        Pairs in files whose user or item the model does not have are left out. A reload reads the
        files anew, or calls the function again.
    **reading
        Further arguments of `load_interactions`, for the files.

    Returns
    -------
    fastapi.FastAPI
        With the endpoints ``/recommend``, ``/similar``, ``/fold-in``, ``/health`` and
        ``/openapi.json``, which describes the others. ``await app.state.serving.reload()`` does
        what SIGHUP does.

    Raises
    ------
    FileNotFoundError
        If there is no such folder or file.
    ModelError
        If the model is damaged.
    DataError
        If a file of likes cannot be read.
    TypeError
        If there is no such argument of `load_interactions`.

    Examples
    --------
    >>> import tempfile
    >>> from cml_fast import Model
    >>> from cml_fast.serving import create_app
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     Model([[0.0]], [[3.0], [4.0]], item_ids=["a", "b"]).save(folder)
    ...     app = create_app(folder)
    >>> sorted(app.openapi()["paths"])
    ['/fold-in', '/health', '/recommend', '/similar']
    """
    serving = Serving(Source(Path(model_folder), likes_reader(exclude, reading)))

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with serving.listening():
            yield

    app = FastAPI(
        title="cml-fast",
        version=__version__,
        description=DESCRIPTION,
        lifespan=lifespan,
        docs_url=None,  # these pages load scripts from other servers
        redoc_url=None,
    )
    app.state.serving = serving
    app.add_middleware(BoundedBody)
    add_handlers(app)
    _add_endpoints(app, serving)
    return app


def _add_endpoints(app: FastAPI, serving: Serving) -> None:
    # Each is a coroutine that never waits: a search takes less than to give it to a thread.

    async def recommend(asked: AskedRecommendations) -> Response:
        """Recommend to users of the model the items that are nearest to them."""
        return json_response(answers.recommend(serving.now, asked))

    async def similar(asked: AskedNeighbors) -> Response:
        """Find the nearest items of items, or the nearest users of users."""
        return json_response(answers.similar(serving.now, asked))

    async def fold_in(asked: AskedFoldIn) -> Response:
        """Recommend to a person whom the model does not know, by what the person likes.

        The person gets a place among the items as a user does in training. Nothing is kept.
        """
        return json_response(answers.fold_in(serving.now, asked))

    async def health() -> Response:
        """Say which model is served."""
        return json_response(_health(serving))

    for path, endpoint, model in (
        ("/recommend", recommend, messages.Recommendations),
        ("/similar", similar, messages.Neighbors),
        ("/fold-in", fold_in, messages.FoldedIn),
    ):
        app.post(path, response_model=model, responses=REFUSALS)(endpoint)
    app.get("/health", response_model=messages.Health)(health)


def _health(serving: Serving) -> dict[str, Any]:
    now = serving.now
    n_items, n_dims = now.model.item_vectors.shape
    return {
        "status": "ok",
        "model": now.identity,
        "n_users": len(now.model.user_vectors),
        "n_items": n_items,
        "n_dims": n_dims,
        "index": now.model.index_info,
        "version": now.model.version,
        "server_version": __version__,
        "loaded": now.loaded,
    }
