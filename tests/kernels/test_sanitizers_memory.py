"""The CPU code under AddressSanitizer and UndefinedBehaviorSanitizer: the package's own tests find
nothing, and mistakes are reported."""

from __future__ import annotations

import pytest
from support.sanitizers import BATCHES, BATCHES_CPP, INSTRUCTION_SETS_OF, Sanitized

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def memory(tmp_path_factory: pytest.TempPathFactory) -> Sanitized:
    return Sanitized(tmp_path_factory.mktemp("memory"), "address,undefined")


# --- the package's own tests ------------------------------------------------------------------


def test_memory_and_arithmetic(memory: Sanitized) -> None:
    memory.test(
        "test_job_arguments or test_non_finite or random_problems or equal_hinges"
        " or oracle_for_any_batch_size or stays_in_the_ball or far_from_the_first"
        " or any_number_of_threads or several_workers or end_of_int32 or bijection"
        " or split_into_launches or resumed_on_another or divergence or interrupted"
        " or first_user_with or any_split_of_the_users or tiles_equal or launches_end"
        " or long_rows or any_number_of_negatives or compiled_functions or do_not_fit",
        "distributed/test_exchange.py",
        *("kernels/test_job_arguments.py", "kernels/test_kernel.py"),
        *("kernels/test_large_counts.py", "kernels/test_non_finite.py"),
        *("kernels/test_random.py", "kernels/test_sync.py", "kernels/test_tile.py"),
        *("training/test_fold_in.py", "training/test_trainer.py"),
    )


# --- mistakes are reported --------------------------------------------------------------------

# One job that broke a promise of its caller, which the kernel has to take on trust.
JOB = """
import numpy as np
from cml_fast import _core
from cml_fast._compute.devices import instruction_set
from support.kernels import job_arguments
_core.Job("cpu", **job_arguments(instruction_set=instruction_set(), {changes})).run(0, 4)
"""


@pytest.mark.parametrize("instruction_set", INSTRUCTION_SETS_OF["address,undefined"])
@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ("indices=np.array([2, 0, 1, 5], dtype=np.int32)", "heap-buffer-overflow"),
        ("indptr=np.array([0, -(2**31), 4])", "signed integer overflow: 4 - -2147483644"),
    ],
)
def test_a_kernel_that_goes_wrong(
    memory: Sanitized, instruction_set: str, changes: str, expected: str
) -> None:
    """Every kernel is built with both sanitizers."""
    _, reports = memory.run("-c", JOB.format(changes=changes), CML_FAST_ISA=instruction_set)
    assert expected in reports
    assert f"cml::{instruction_set.replace('-', '_')}::" in reports


def test_a_write_beyond_the_end(memory: Sanitized) -> None:
    assert memory.run("-c", BATCHES)[1] == ""
    with memory.changed(BATCHES_CPP, "earlier_(static_cast<size_t>(n_slots_))", "earlier_(1)"):
        reports = memory.run("-c", BATCHES)[1]
    assert "heap-buffer-overflow" in reports
    assert "WRITE of size 4" in reports
    assert "csrc/cpu/pair_minibatch.h" in reports
