"""Several processes that do the same, until they are asked to stop."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Callable
from multiprocessing.connection import wait
from typing import Any

from .loaded import LOGGER

SECONDS_BEFORE_ANOTHER = 1


def run_workers(n: int, work: Callable[..., None], *args: Any) -> None:
    """Call ``work`` in ``n`` new processes until SIGINT or SIGTERM.

    They get SIGHUP from this one. A process that ends by itself is replaced.
    """
    context = multiprocessing.get_context("spawn")  # threads of BLAS do not survive a fork

    def start() -> Any:
        process = context.Process(target=work, args=args)
        process.start()
        return process

    signals, writer = context.Pipe(duplex=False)
    handled = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {each: signal.signal(each, lambda got, _: writer.send(got)) for each in handled}
    processes = [start() for _ in range(n)]
    try:
        while True:
            wait([signals, *(process.sentinel for process in processes)])
            if signals.poll():
                if signals.recv() != signal.SIGHUP:
                    return
                _send(processes, signal.SIGHUP)
            for at, process in enumerate(processes):
                if process.exitcode is not None:
                    LOGGER.error("a worker ended with code %s, another begins", process.exitcode)
                    time.sleep(SECONDS_BEFORE_ANOTHER)  # or a lasting fault would keep a core busy
                    processes[at] = start()
    finally:
        _send(processes, signal.SIGTERM)
        for process in processes:
            process.join()
        for each, handler in before.items():
            signal.signal(each, handler)


def _send(processes: list[Any], number: signal.Signals) -> None:
    for process in processes:
        if process.is_alive():
            os.kill(process.pid, number)
