"""What was built, which device is chosen, and what the compiled module does to its process."""

import os
import re
import shutil
import subprocess
import sys
import threading
import time
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import scipy.sparse as sp
from support.kernels import INSTRUCTION_SETS, larger_problem, random_tables, settings, snapshot

import cml_fast
from cml_fast import Trainer, _core
from cml_fast._compute import devices
from cml_fast._compute.devices import choose_device, cuda_problem, default_threads
from cml_fast._compute.kernels import make_job
from cml_fast.errors import DeviceUnavailable

LIKES = sp.csr_array(np.eye(6, 8, dtype=np.float32))


def run_python(code, **environment):
    """Run a program in a new interpreter; it must exit with 0 and write no warning."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


# --- build_info -------------------------------------------------------------------------------


def test_build_info():
    info = cml_fast.build_info()
    types = {
        "version": str,
        "compiler": str,
        "instruction_sets": list,
        "instruction_set": str,
        "instruction_set_forced": bool,
        "cuda": dict,
    }
    assert {name: type(value) for name, value in info.items()} == types
    assert info["version"] == cml_fast.__version__
    assert re.fullmatch(r"\d+\.\d+.*", info["version"])
    assert info["compiler"].strip()
    assert set(info["instruction_sets"]) <= {"x86-64-v4", "x86-64-v3", "x86-64-v2", "portable"}
    assert info["instruction_set"] in info["instruction_sets"]


def test_build_info_of_cuda():
    cuda = cml_fast.build_info()["cuda"]
    types = {
        "built": bool,
        "compiler": str,
        "architectures": str,
        "runtime": int,
        "driver": int,
        "devices": list,
        "usable": bool,
    }
    problem = cuda.pop("problem")
    assert {name: type(value) for name, value in cuda.items()} == types
    assert (problem is None) == cuda["usable"]
    assert cuda["built"] == bool(cuda["compiler"]) == bool(cuda["architectures"])
    if cuda["usable"]:
        assert cuda["devices"] and cuda["runtime"] > 0 and cuda["driver"] > 0
    else:
        assert isinstance(problem, str) and problem.strip()


def test_instruction_sets_come_best_first():
    ranks = {"x86-64-v4": 0, "x86-64-v3": 1, "x86-64-v2": 2, "portable": 3}
    assert sorted(set(INSTRUCTION_SETS), key=ranks.__getitem__) == INSTRUCTION_SETS
    assert INSTRUCTION_SETS


# --- choosing a device ------------------------------------------------------------------------


@pytest.fixture
def no_cuda(monkeypatch):
    """The reason why there is no CUDA: the real one, or a made-up one where there is."""
    reason = cuda_problem()
    if reason is None:
        reason = "the driver is on holiday"
        monkeypatch.setattr(devices, "cuda_problem", lambda: reason)
    return reason


def test_cuda_that_is_not_there_is_refused(no_cuda):
    with pytest.raises(DeviceUnavailable, match=re.escape(f"cannot be used: {no_cuda}")):
        choose_device("cuda")
    trainer = Trainer(device="cuda", n_dims=4, n_epochs=1, verbose=False)
    with pytest.raises(DeviceUnavailable, match=re.escape(no_cuda)):
        trainer.fit(LIKES)


def test_auto_falls_back_to_the_cpu_and_says_why(no_cuda):
    trainer = Trainer(device="auto", n_dims=4, n_epochs=1, verbose=False).fit(LIKES)
    assert trainer.device_ == "cpu"
    assert no_cuda in trainer.device_reason_


def test_auto_uses_cuda_where_it_can(monkeypatch):
    monkeypatch.setattr(devices, "cuda_problem", lambda: None)
    assert choose_device("auto") == ("cuda", "a CUDA device is available")
    assert choose_device("cpu")[0] == "cpu"


ALL = "75-real 80-real 86-real 89-real 90-real 100-real 120-real 120-virtual"


@pytest.fixture
def gpus(monkeypatch):
    """Makes devices of these compute capabilities, of which the last is the current one."""

    def make(*capabilities, architectures=ALL, driver=13000, is_available=lambda: True):
        named = [{"name": f"GPU {i}", "compute_capability": c} for i, c in enumerate(capabilities)]
        cuda = {"built": True, "problem": "", "architectures": architectures, "devices": named}
        info = {**_core.build_info(), "cuda": {**cuda, "driver": driver, "runtime": 13000}}
        monkeypatch.setattr(_core, "build_info", lambda: info)
        cupy = ModuleType("cupy")
        runtime = SimpleNamespace(getDevice=lambda: len(capabilities) - 1)
        cupy.cuda = SimpleNamespace(is_available=is_available, runtime=runtime)
        monkeypatch.setitem(sys.modules, "cupy", cupy)

    return make


@pytest.mark.parametrize(
    ("architectures", "runs", "does_not"),
    [
        (ALL, [(7, 5), (8, 0), (8, 7), (9, 0), (10, 3), (12, 1), (13, 0)], [(7, 0), (11, 0)]),
        ("80-real", [(8, 0), (8, 9)], [(7, 5), (9, 0)]),
        ("86", [(8, 6), (8, 9), (9, 0), (12, 0)], [(8, 0), (7, 5)]),
        ("75-virtual", [(7, 5), (12, 0)], [(7, 0)]),
        ("90a-real 90a-virtual", [(9, 0)], [(9, 1), (10, 0)]),
        ("100f", [(10, 0), (10, 3)], [(11, 0), (9, 0)]),
        ("native", [(5, 0), (12, 0)], []),
    ],
)
def test_cuda_needs_kernels_for_the_device(gpus, architectures, runs, does_not):
    for capability in runs:
        gpus(capability, architectures=architectures)
        assert cuda_problem() is None, capability
    for capability in does_not:
        gpus(capability, architectures=architectures)
        number = "{}.{}".format(*capability)
        assert f"{architectures}, and the GPU 0 has compute capability {number};" in cuda_problem()


def test_auto_trains_on_the_cpu_where_there_are_no_kernels_for_the_gpu(gpus):
    gpus((9, 0), (7, 0))
    trainer = Trainer(device="auto", n_dims=4, n_epochs=1, verbose=False).fit(LIKES)
    assert trainer.device_ == "cpu"
    assert "GPU 1 has compute capability 7.0" in trainer.device_reason_
    with pytest.raises(DeviceUnavailable, match="CMAKE_CUDA_ARCHITECTURES=70"):
        choose_device("cuda")
    gpus((7, 0), (9, 0))
    assert choose_device("auto") == ("cuda", "a CUDA device is available")


def test_kernels_in_ptx_need_a_driver_as_new_as_the_compiler(gpus):
    gpus((9, 0), architectures="75-virtual", driver=12080)
    assert cuda_problem().startswith("the driver is for CUDA 12.8, but the kernels are PTX of CUDA")
    gpus((9, 0), driver=12080)
    assert cuda_problem() is None


def test_a_driver_that_cupy_does_not_take_is_a_reason(gpus):
    def is_available():
        raise RuntimeError("cudaErrorInsufficientDriver: CUDA driver version is insufficient")

    gpus((9, 0), is_available=is_available)
    assert choose_device("auto") == (
        "cpu",
        "CUDA is off: CuPy finds no CUDA device (cudaErrorInsufficientDriver: CUDA driver version "
        "is insufficient)",
    )


def test_an_unknown_device_is_refused():
    for other in ("gpu", None, 0):
        with pytest.raises(ValueError, match="device must be 'auto', 'cpu' or 'cuda', got"):
            choose_device(other)


def test_default_threads(monkeypatch):
    monkeypatch.setattr(devices, "usable_cores", lambda: 6)
    assert default_threads(10_000, 10_000) == 6
    assert default_threads(10_000, 24) == default_threads(24, 10_000) == 3
    assert default_threads(1, 1) == 1


# --- the process ------------------------------------------------------------------------------


def test_import_without_a_visible_device():
    code = "import cml_fast; print(cml_fast.build_info()['cuda']['usable'])"
    assert run_python(code, CUDA_VISIBLE_DEVICES="") == "False\n"


def test_import_does_not_load_cupy():
    code = "import sys, cml_fast; cml_fast.Trainer(); print('cupy' in sys.modules)"
    assert run_python(code) == "False\n"


def test_no_cuda_library_is_linked():
    """A wheel must import on machines without CUDA; its runtime is linked statically."""
    if shutil.which("ldd") is None:
        pytest.skip("ldd is not available")
    listing = subprocess.run(
        ["ldd", _core.__file__], capture_output=True, text=True, check=True
    ).stdout
    assert "libc.so" in listing
    assert not re.search(r"cuda|cudart|nvrtc|cublas", listing.replace(_core.__file__, ""))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="os.fork is not available")
def test_training_goes_on_in_a_forked_child():
    """After threads have run in the parent, whose threads a child does not inherit."""
    code = """
import os, warnings
import numpy as np, scipy.sparse as sp
from cml_fast import Trainer
likes = sp.random_array((300, 200), density=0.2, rng=np.random.default_rng(0), dtype=np.float32)
def train():  # without the short trainings that choose these two
    chosen = dict(temperature=0.2, user_retention=1.0)
    trainer = Trainer(device="cpu", n_dims=8, n_epochs=2, n_threads=2, verbose=False, **chosen)
    return trainer.fit(likes > 0).history_[-1].pairs
pairs = train()
warnings.simplefilter("ignore", DeprecationWarning)  # newer Pythons warn where threads exist
child = os.fork()
if child == 0:
    os._exit(0 if train() == pairs else 1)
_, status = os.waitpid(child, 0)
print(os.waitstatus_to_exitcode(status), train() == pairs)
"""
    assert run_python(code) == "0 True\n"


def test_jobs_run_side_by_side_in_threads():
    def train(seed, out):
        tables, likes, chosen = larger_problem("cpu", seed=seed)
        make_job(tables, likes, chosen).run(0, 40 * likes.nnz)
        out[seed] = snapshot(tables)

    alone, together = {}, {}
    for seed in range(3):
        train(seed, alone)
    threads = [threading.Thread(target=train, args=(seed, together)) for seed in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not np.array_equal(alone[0]["users"], alone[1]["users"])
    for seed in range(3):
        for name, array in alone[seed].items():
            np.testing.assert_array_equal(together[seed][name], array)


def test_a_launch_releases_the_gil():
    likes = sp.csr_array(np.ones((1, 64), dtype=np.float32))
    chosen = settings(n_dims=1, n_negatives=1)
    job = make_job(random_tables("cpu", likes.shape, chosen), likes, chosen)
    spans = []

    def train():
        begun = time.perf_counter()
        job.run(0, 2**25)  # some tenths of a second
        spans.append((begun, time.perf_counter()))

    thread = threading.Thread(target=train)
    ticks = []
    thread.start()
    while thread.is_alive():
        ticks.append(time.perf_counter())
        time.sleep(0.001)
    thread.join()
    (begun, ended) = spans[0]
    middle = [t for t in ticks if begun + 0.02 < t < ended - 0.02]
    assert ended - begun > 0.05
    assert len(middle) >= 5  # none, if the launch held the GIL
