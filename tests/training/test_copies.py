"""What a training on CUDA copies and allocates, on a stand-in for CuPy and the emulated device."""

import itertools

import numpy as np
import pytest
import scipy.sparse as sp
from support import emulated, stand_in_for_cupy
from support.kernels import random_likes

from cml_fast import Trainer
from cml_fast import trainer as trainer_module
from cml_fast._compute import devices, kernels

LIKES = random_likes(np.random.default_rng(3), 40, 60, weighted=True)
HELD_OUT = sp.csr_array((LIKES.toarray() == 0) & (np.arange(60) % 4 == 0), dtype=np.float32)
N_DIMS, N_EPOCHS = 10, 3
VECTOR_BYTES = 4 * N_DIMS * sum(LIKES.shape)
COUNTER_BYTES = 88  # sizeof(DeviceCounters)
OPTIONS = {
    "n_dims": N_DIMS,
    "n_epochs": N_EPOCHS,
    "n_negatives": 8,
    "n_threads": 1,
    "verbose": False,
}
LOSSES = {"softmax": {"temperature": 0.3, "user_retention": 1.0}, "warp": {}}


@pytest.fixture
def cuda(emulator, monkeypatch):
    stand_in_for_cupy.install(monkeypatch)
    monkeypatch.setattr(devices, "cuda_problem", lambda: None)
    monkeypatch.setattr(trainer_module, "current_device", lambda: {"name": "emulated"})


@pytest.fixture
def launches(cuda, monkeypatch):
    """Of each launch: the samples, and what CuPy and csrc/cuda copied and allocated during it and
    since the one before."""
    noted = []
    real = kernels.CudaJob.run

    def run(job, begin, end):
        between = stand_in_for_cupy.traffic
        emulated.copies_to_host()
        counters = real(job, begin, end)
        during = stand_in_for_cupy.traffic - between
        noted.append((begin, end, between, during, emulated.copies_to_host()))
        return counters

    monkeypatch.setattr(kernels.CudaJob, "run", run)
    return noted


def trainer(loss, update, device="cuda", **changes):
    batch = {"batch_size": 64} if update == "sync" else {}
    options = {**OPTIONS, **LOSSES[loss], **batch, **changes}
    return Trainer(loss=loss, update=update, device=device, random_state=1, **options)


@pytest.mark.parametrize("update", ["sync", "async"])
@pytest.mark.parametrize("loss", LOSSES)
def test_a_launch_copies_counters_alone(launches, loss, update):
    before = stand_in_for_cupy.traffic
    trainer(loss, update).fit(LIKES)
    assert sum(end - begin for begin, end, *_ in launches) == N_EPOCHS * LIKES.nnz
    for _, _, _, during, copies in launches:
        assert during == (0, 0, 0)
        assert copies == (1, COUNTER_BYTES)
    within_epochs = [pair for pair in itertools.pairwise(launches) if pair[1][0] % LIKES.nnz]
    assert len(within_epochs) == N_EPOCHS
    for (_, _, before_one, *_), (_, _, before_next, *_) in within_epochs:
        assert before_next == before_one
    # All vectors come back once, at the end: those of the last epoch or their averages.
    assert (stand_in_for_cupy.traffic - before).to_host == VECTOR_BYTES


@pytest.mark.parametrize("loss", LOSSES)
def test_an_epoch_with_validation_copies_the_vectors_once(launches, loss):
    trainer(loss, "sync").fit(LIKES, validation=HELD_OUT)
    firsts = [between for begin, _, between, *_ in launches if begin % LIKES.nnz == 0]
    copied = [later - earlier for earlier, later in itertools.pairwise(firsts)]
    assert [each.to_host for each in copied] == [VECTOR_BYTES] * (N_EPOCHS - 1)
    assert [each.to_device for each in copied] == [0] * (N_EPOCHS - 1)


@pytest.mark.parametrize("loss", LOSSES)
def test_a_whole_training_has_the_bits_of_the_cpu(cuda, loss):
    on_cuda, on_cpu = (
        trainer(loss, "sync", device).fit(LIKES, validation=HELD_OUT).model_
        for device in ("cuda", "cpu")
    )
    np.testing.assert_array_equal(on_cuda.user_vectors, on_cpu.user_vectors)
    np.testing.assert_array_equal(on_cuda.item_vectors, on_cpu.item_vectors)


@pytest.mark.parametrize("loss", LOSSES)
def test_an_update_has_the_bits_of_the_cpu(cuda, loss):
    """Its averages have a weight for each row, which the device needs."""
    new = sp.csr_array(([1.0, 1.0], ([3, 40], [60, 5])), shape=(41, 61))
    one, two = (
        trainer(loss, "sync", device).fit(LIKES).partial_fit(new, n_epochs=2).partial_fit(new)
        for device in ("cuda", "cpu")
    )
    biased = loss == "softmax"
    assert one.device_ == "cuda" and one.model_.user_vectors.shape == (41, N_DIMS + biased)
    np.testing.assert_array_equal(one.model_.user_vectors, two.model_.user_vectors)
    np.testing.assert_array_equal(one.model_.item_vectors, two.model_.item_vectors)
