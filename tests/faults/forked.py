"""What children of the nursery do: they fork when threads have run."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Callable

import numpy as np

from cml_fast import Model, Trainer, _threads
from cml_fast.data import load_interactions, split, synthetic

TRAIN, VALIDATION = split(synthetic(400, 300, 6000).interactions, (0.9, 0.1))
RANDOM = np.random.default_rng(0)
MODEL = Model(RANDOM.random((400, 16)), RANDOM.random((300, 16)))
LINES = b"user,item\n" + b"".join(b"%d,%d\n" % (at, at % 9) for at in range(1000))
N_THREADS = 3
# The status of a child that ended as it should.
GOOD = 7


def _fit() -> np.ndarray:
    trainer = Trainer(
        n_epochs=1,
        n_dims=8,
        temperature=0.2,
        user_retention=1.0,
        update="sync",
        device="cpu",
        n_threads=N_THREADS,
        random_state=0,
        verbose=False,
    )
    vectors: np.ndarray = trainer.fit(TRAIN, validation=VALIDATION).model_.item_vectors
    return vectors


WORK: dict[str, Callable[[], np.ndarray]] = {
    "fit": _fit,
    "recommend": lambda: MODEL.recommend(np.arange(400), n_threads=N_THREADS)[0],
    "fold_in": lambda: MODEL.fold_in_users(TRAIN.matrix[:100], n_threads=N_THREADS),
    "read": lambda: load_interactions(LINES, format="csv").matrix.indices,
}


def _compare(expected: dict[str, np.ndarray]) -> None:
    """Do all of the work, and end the process well if the results have the same bits."""
    for name, result in expected.items():
        assert np.array_equal(WORK[name](), result), name
    os._exit(GOOD)


def _forked(how: str, expected: dict[str, np.ndarray]) -> None:
    if how == "fork":
        child = os.fork()
        if child == 0:
            try:
                _compare(expected)
            finally:
                os._exit(1)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    else:
        process = multiprocessing.get_context("fork").Process(target=_compare, args=(expected,))
        process.start()
        process.join()
        code = process.exitcode
    assert code == GOOD, code


def after_threads(how: str) -> None:
    """Fork when the threads of all kinds of work are over."""
    _forked(how, {name: work() for name, work in WORK.items()})
    os._exit(GOOD)


def beside_a_limit() -> None:
    """Fork while another thread limits the threads of BLAS."""
    before = [library.get_num_threads() for library in _threads.blas_libraries()]
    entered, over = threading.Event(), threading.Event()

    def limit() -> None:
        with _threads.blas_threads(1):
            entered.set()
            over.wait()

    thread = threading.Thread(target=limit)
    thread.start()
    entered.wait()
    child = os.fork()
    if child == 0:
        found = [library.get_num_threads() for library in _threads.blas_libraries()]
        with _threads.blas_threads(1):
            pass
        os._exit(GOOD if found == before else 1)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    over.set()
    thread.join()
    os._exit(code)
