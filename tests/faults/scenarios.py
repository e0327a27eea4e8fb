"""What the children of the nursery do; `nursery` calls these functions by name."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable

import numpy as np
import scipy.sparse as sp

from cml_fast import Model, Trainer
from cml_fast.data import split, synthetic

LIKES = synthetic(2000, 1500, 40000).interactions
TRAIN, VALIDATION = split(LIKES, (0.9, 0.1))
MODEL = Model(
    np.random.default_rng(0).random((2000, 32), dtype=np.float32),
    np.random.default_rng(1).random((1500, 32), dtype=np.float32),
)
NUMBERS = np.arange(300_000) % 1000
N_THREADS = 4
PATIENCE = 60  # seconds, after which a child that has not ended hangs
# The status of a child that ended as it should, which no abort or traceback has.
GOOD = 7


def _trainer(update: str, n_epochs: int, n_dims: int = 32) -> Trainer:
    return Trainer(
        n_epochs=n_epochs,
        n_dims=n_dims,
        temperature=0.2,
        update=update,
        device="cpu",
        n_threads=N_THREADS,
        verbose=False,
    )


# What a thread does when the process ends.
WORK: dict[str, Callable[[], object]] = {
    "async": lambda: _trainer("async", 2).fit(TRAIN),
    "sync": lambda: _trainer("sync", 2).fit(TRAIN),
    "validated": lambda: _trainer("sync", 1).fit(TRAIN, validation=VALIDATION),
    "fold_in": lambda: MODEL.fold_in_users(TRAIN.matrix[:200], n_threads=N_THREADS),
    # NumPy's own code, of which this function cannot be unwound.
    "unique": lambda: np.unique(NUMBERS),
    "recommend": lambda: MODEL.recommend(np.arange(1000), n_threads=N_THREADS),
}


def _repeat(work: str, begun: threading.Event) -> None:
    while True:
        begun.set()
        WORK[work]()


def ready() -> None:
    """Nothing: this module has been imported."""


def exits(work: str, how: str, seconds: float) -> None:
    """End the process so long after a daemon thread has begun to work."""
    begun = threading.Event()
    threading.Thread(target=_repeat, args=(work, begun), daemon=True).start()
    begun.wait()
    time.sleep(seconds)
    if how == "exit":
        sys.exit(GOOD)
    if how == "exception":
        raise RuntimeError("of the main thread")
    if how == "interrupt":
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(PATIENCE)


def little_address_space() -> None:
    """Train what would fit into the machine, but not into what the process may have."""
    import resource

    limit = 4 << 30
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    try:
        likes = sp.csr_array((np.ones(1, np.float32), ([0], [0])), shape=(300_000, 3))
        Trainer(n_dims=2048, verbose=False).fit(likes)
    except MemoryError as error:
        print(error, flush=True)
