"""``serve``: the application in uvicorn, on a socket of its own, in one process or several."""

from __future__ import annotations

import contextlib
import copy
import errno
import functools
import ipaddress
import os
import socket
import warnings
from collections.abc import Callable
from typing import Any

import uvicorn
from fastapi import FastAPI
from uvicorn.config import LOGGING_CONFIG

from .._validation.scalars import check_int
from .app import create_app
from .loaded import LOGGER, Exclude
from .protocol import BoundedProtocol
from .workers import run_workers

MAX_PORT = 2**16 - 1
MAX_WORKERS = 256
# Connections of a process at a time: more get 503, so that they cannot fill its memory.
MAX_CONNECTIONS = 1000
# How long a stopping server waits for answers that are under way.
SECONDS_TO_STOP = 10


def serve(
    model_folder: str | os.PathLike[str],
    host: str = "127.0.0.1",
    port: int = 8000,
    *,
    workers: int = 1,
    exclude: Exclude = (),
    access_log: bool = False,
    **reading: Any,
) -> None:
    """Serve a saved model over HTTP, until SIGINT (Ctrl-C) or SIGTERM.

    On SIGHUP the model is loaded again and replaced, see `create_app`. Requests that are under way
    are answered before the server stops.

    Parameters
    ----------
    model_folder, exclude, **reading
        As for `create_app`.
    host : str
        The address to listen at. By default only programs on this machine can connect. There is
        no authentication: for others, put a proxy before it.
    port : int
        In [0, 65535]; 0 takes one that is free. The log, on stderr, shows the address.
    workers : int
        Processes, in [1, 256], which share the port; each has a model of its own and one thread. A
        program that gives more than one must be importable (``if __name__ == "__main__":``), and
        ``exclude``, if it is a function, one that can be pickled.
    access_log : bool
        Whether the log has a line for each request.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of range.
    OSError
        If the address cannot be listened at, for instance because the port is in use.
    FileNotFoundError, ModelError, DataError
        As `create_app`.

    Warns
    -----
    UserWarning
        If others than programs on this machine can connect.

    Examples
    --------
    >>> from cml_fast.serving import serve
    >>> serve("model", port=70000)
    Traceback (most recent call last):
    ValueError: port must be between 0 and 65535, got 70000
    """
    check_int("port", port, 0, MAX_PORT)
    check_int("workers", workers, 1, MAX_WORKERS)
    make_app = functools.partial(create_app, model_folder, exclude=exclude, **reading)
    with _listening_socket(host, port) as listener:
        app = make_app()  # also before workers are started, which could not say what is wrong
        if not _is_loopback(listener):
            warnings.warn(
                f"host={host!r}: everybody who can reach this machine can ask this server, which "
                "has no authentication; by default only programs on this machine can",
                stacklevel=2,
            )
        greeting = (
            f"serving {model_folder} at {_url(listener)} (kill -HUP {os.getpid()} loads it again)"
        )
        if workers == 1:
            _run(lambda: app, listener, access_log, greeting)
        else:
            del app
            run_workers(workers, _run, make_app, listener, access_log, greeting)


def _run(
    make_app: Callable[[], FastAPI], listener: socket.socket, access_log: bool, greeting: str
) -> None:
    """Serve in this process until it is asked to stop."""
    config = uvicorn.Config(
        make_app(),
        http=BoundedProtocol,
        ws="none",
        lifespan="on",
        log_config=_log_config(),
        access_log=access_log,
        proxy_headers=False,
        server_header=False,
        limit_concurrency=MAX_CONNECTIONS,
        timeout_graceful_shutdown=SECONDS_TO_STOP,
    )
    LOGGER.info(greeting)
    with contextlib.suppress(KeyboardInterrupt):  # the usual way to stop it
        uvicorn.Server(config).run([listener])


def _listening_socket(host: str, port: int) -> socket.socket:
    """Return a socket that listens, or raise OSError with a sentence."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
    except (OSError, UnicodeError) as error:
        raise OSError(f"host={host!r} is no address of this machine: {error}") from error
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(address)
        listener.listen()
    except OSError as error:
        listener.close()
        place = f"port {port} of {host}"
        sentence = {
            errno.EADDRINUSE: f"{place} is in use: stop the other program, or choose another port",
            errno.EACCES: f"{place} is for root only: choose a port from 1024",
        }.get(error.errno or 0, f"{place} cannot be listened at: {error.strerror}")
        raise OSError(sentence) from error
    return listener


def _is_loopback(listener: socket.socket) -> bool:
    return ipaddress.ip_address(listener.getsockname()[0]).is_loopback


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _log_config() -> dict[str, Any]:
    """Return uvicorn's logging, with ours in the same place and form."""
    config: dict[str, Any] = copy.deepcopy(LOGGING_CONFIG)
    config["loggers"][LOGGER.name] = {"handlers": ["default"], "level": "INFO", "propagate": False}
    return config
