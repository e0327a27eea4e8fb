"""Which CUDA device and stream a training uses, on a stand-in for CuPy with several devices."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest
import scipy.sparse as sp
from support import stand_in_for_cupy
from support.kernels import random_tables, settings

from cml_fast import Trainer, _core
from cml_fast._compute import devices, kernels
from cml_fast._training import loop

LIKES = sp.csr_array(np.eye(6, 8, dtype=np.float32))


@pytest.fixture
def cuda(monkeypatch):
    stand_in_for_cupy.install(monkeypatch)
    import cupy

    return cupy.cuda


@pytest.fixture
def job(cuda, monkeypatch):
    """Made on device 1; its launches say on which device and in which stream they are."""

    class Job:
        def __init__(self, device, **arguments):
            assert device == "cuda"

        def run(self, begin, end, stream):
            return cuda.Device.current, stream

        def step(self, table, rows, gradients, stream):
            return cuda.Device.current, stream

    monkeypatch.setattr(_core, "Job", Job)
    monkeypatch.setattr(_core, "CUDA_COUNTERS", 8, raising=False)
    monkeypatch.setattr(_core, "cuda_batch_bytes", lambda *sizes: 64, raising=False)
    chosen = settings(n_dims=4)
    tables = random_tables("cpu", LIKES.shape, chosen)
    tables.device = "cuda"
    with cuda.Device(1):
        return kernels.make_job(tables, LIKES, chosen)


def test_launches_are_on_the_device_of_the_job_in_its_current_stream(cuda, job):
    assert cuda.Device.current == 0
    assert job.run(0, 6) == job.step("users", None, None) == (1, 0)
    cuda.streams.update({0: SimpleNamespace(ptr=70), 1: SimpleNamespace(ptr=71)})
    assert job.run(0, 6) == job.step("users", None, None) == (1, 71)
    cuda.Device(1).use()
    assert job.run(0, 6) == (1, 71)
    assert cuda.Device.current == 1


def test_a_launch_that_fails_leaves_the_current_device(cuda, job, monkeypatch):
    def fail(*arguments, stream):
        raise RuntimeError("a launch failed")

    monkeypatch.setattr(job._job, "run", fail)
    with pytest.raises(RuntimeError, match="a launch failed"):
        job.run(0, 6)
    assert cuda.Device.current == 0


def test_a_callback_may_use_another_device(cuda, monkeypatch):
    seen = []

    def callback(trainer, report):
        seen.append(cuda.Device.current)
        cuda.Device(2).use()

    # The training is on the CPU: the stand-in has no kernels for it.
    monkeypatch.setattr(loop, "device_kept", lambda device: devices.device_kept("cuda"))
    trainer = Trainer(n_dims=4, n_epochs=3, temperature=0.3, device="cpu", verbose=False)
    cuda.Device(1).use()
    trainer.fit(LIKES, callbacks=[callback])
    assert seen == [1, 1, 1]
    assert cuda.Device.current == 1


def test_on_the_cpu_nobody_asks_for_a_device(monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", None)  # importing it raises
    with devices.device_kept("cpu"):
        pass
