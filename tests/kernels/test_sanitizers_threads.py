"""The CPU code under ThreadSanitizer: the package's own tests find nothing, and mistakes are
reported."""

from __future__ import annotations

import pytest
from support.sanitizers import BATCHES, BATCHES_CPP, Sanitized

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def threads(tmp_path_factory: pytest.TempPathFactory) -> Sanitized:
    return Sanitized(tmp_path_factory.mktemp("threads"), "thread")


# --- the package's own tests ------------------------------------------------------------------


def test_threads(threads: Sanitized) -> None:
    threads.test(
        "any_number_of_threads or order_of_addition or resumed_on_another"
        " or side_by_side or forked_child"
        " or (beats_popularity and None) or many_threads",
        *("kernels/test_sync.py", "kernels/test_tile.py", "packaging/test_build.py"),
        *("training/test_fold_in.py", "training/test_learning.py"),
    )


# --- mistakes are reported --------------------------------------------------------------------

# Two jobs of two workers each that train the same tables at the same time.
TWO_JOBS = """
import threading
from support.kernels import larger_problem, make_job
problem = larger_problem("cpu", batch_size={batch_size}, n_threads=2, {loss})
start = threading.Barrier(2)
def train(job):
    start.wait()
    job.run(0, 5 * problem[1].nnz)
threads = [threading.Thread(target=train, args=(make_job(*problem),)) for _ in range(2)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
"""


@pytest.mark.parametrize("loss", ["", "loss='softmax', tile_size=8, rowwise=True"])
def test_only_asynchronous_training_may_race(threads: Sanitized, loss: str) -> None:
    """The race of Hogwild is declared, and no other access to tables."""
    assert threads.run("-c", TWO_JOBS.format(batch_size=0, loss=loss))[1] == ""
    reports = threads.run("-c", TWO_JOBS.format(batch_size=50, loss=loss))[1]
    assert "data race" in reports
    assert "Lanes::store" in reports


def test_mini_batches_do_not_race(threads: Sanitized) -> None:
    assert threads.run("-c", BATCHES)[1] == ""


WAIT = "if (!barrier.wait(check) || over) return;"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        # A barrier is missing before rows are gathered, or before they are stored,
        (f"{WAIT}\n            bool finite", "if (over) return; bool finite"),
        (f"{WAIT}\n                for", "if (over) return; for"),
        # or all workers write what the last of them should.
        (
            f"{WAIT}\n            bool finite",
            "over = failed; if (!barrier.wait([] {}) || over) return; bool finite",
        ),
    ],
)
def test_a_mistake_between_threads(threads: Sanitized, old: str, new: str) -> None:
    with threads.changed(BATCHES_CPP, old, new):
        reports = threads.run("-c", BATCHES)[1]
    assert "data race" in reports
