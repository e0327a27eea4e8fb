"""Threads: the cores that are counted, and that n_threads holds for everything."""

import contextlib
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.trainers import trainer
from threadpoolctl import threadpool_info, threadpool_limits

from cml_fast import Model, Trainer, _threads
from cml_fast._compute import devices
from cml_fast._compute.feature_network import FeatureNetwork
from cml_fast._search import exact
from cml_fast._threads import blas_threads, cgroup_quota, thread_count, usable_cores
from cml_fast._training import covariance, feature_step
from cml_fast.data import split, synthetic
from cml_fast.evaluation import evaluate

TRAIN, VALIDATION = split(synthetic(60, 40, 500).interactions, (0.8, 0.2))
FEATURES = np.eye(40, 5, dtype=np.float32)


# Counting cores

V1 = "sys/fs/cgroup/cpu,cpuacct"
GROUPS: dict[str, tuple[dict[str, str], float | None]] = {
    "no cgroups": ({}, None),
    "v2 without a limit": (
        {"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "max 100000\n"},
        None,
    ),
    "v2 in a container": (
        {"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "250000 100000\n"},
        2.5,
    ),
    "v2 without a period": (
        {"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "300000\n"},
        3.0,
    ),
    "v2, the least of a group and those around it": (
        {
            "proc/self/cgroup": "0::/pods/one/main\n",
            "sys/fs/cgroup/pods/cpu.max": "400000 100000",
            "sys/fs/cgroup/pods/one/cpu.max": "100000 50000",
            "sys/fs/cgroup/pods/one/main/cpu.max": "max 100000",
        },
        2.0,
    ),
    "v2 under a path that the container does not see": (
        {"proc/self/cgroup": "0::/kubepods/abc\n", "sys/fs/cgroup/cpu.max": "100000 100000"},
        1.0,
    ),
    "v1": (
        {
            "proc/self/cgroup": "5:memory:/a\n4:cpu,cpuacct:/a\n0::/\n",
            f"{V1}/a/cpu.cfs_quota_us": "150000",
            f"{V1}/a/cpu.cfs_period_us": "50000",
        },
        3.0,
    ),
    "v1 without a limit": (
        {
            "proc/self/cgroup": "4:cpu,cpuacct:/\n",
            f"{V1}/cpu.cfs_quota_us": "-1",
            f"{V1}/cpu.cfs_period_us": "100000",
        },
        None,
    ),
    "v1, where the folder has another name": (
        {
            "proc/self/cgroup": "4:cpuacct,cpu:/\n",
            "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "50000",
            "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000",
        },
        0.5,
    ),
    "a file that says something else": (
        {"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "plenty\n"},
        None,
    ),
}


@pytest.mark.parametrize(("files", "quota"), GROUPS.values(), ids=GROUPS)
def test_the_quota_of_a_cgroup(tmp_path: Path, files: dict[str, str], quota: float | None) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert cgroup_quota(tmp_path) == quota


@pytest.mark.parametrize(
    ("allowed", "quota", "cores"),
    [(6, None, 6), (6, 2.5, 3), (6, 0.3, 1), (2, 8.0, 2), (3, 3.0, 3)],
)
def test_cores_by_affinity_and_quota(
    monkeypatch: pytest.MonkeyPatch, allowed: int, quota: float | None, cores: int
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(allowed)))
    monkeypatch.setattr(_threads, "cgroup_quota", lambda _: quota)
    assert usable_cores() == thread_count(None) == cores
    assert devices.default_threads(1000, 1000) == cores


# BLAS


def blas() -> set[int]:
    # A BLAS built with OpenMP, as that in faiss, has a number for each thread of the process.
    return {
        one["num_threads"]
        for one in threadpool_info()
        if one["user_api"] == "blas" and one.get("threading_layer") != "openmp"
    }


@contextlib.contextmanager
def blas_of(n_threads: int) -> Iterator[None]:
    with threadpool_limits(n_threads, user_api="blas"):
        for library in _threads.blas_libraries():
            _threads._release(library)  # other threads may set the number, too
        yield


@pytest.fixture
def two_blas_threads() -> Iterator[None]:
    with blas_of(2):
        yield


@pytest.mark.usefixtures("two_blas_threads")
def test_a_limit_of_blas_ends_with_its_block() -> None:
    with blas_threads(8):
        assert blas() == {2}  # a limit does not raise the number
        with pytest.raises(ZeroDivisionError), blas_threads(1):
            assert blas() == {1}
            _ = 1 / 0
        assert blas() == {2}
    assert blas() == {2}


@pytest.mark.parametrize("limit", [1, 2])
def test_limits_of_several_threads(limit: int) -> None:
    """The lowest holds, also after the thread that began first has left, and for the next one."""
    begun, leave, left, end = (threading.Event() for _ in range(4))

    def first() -> None:
        with blas_threads(2):
            begun.set()
            leave.wait()
        left.set()
        end.wait()  # alive, but without a limit

    def third() -> None:
        with blas_threads(1):
            seen.append(blas())

    seen: list[set[int]] = []
    with blas_of(3):
        threads = [threading.Thread(target=target) for target in (first, third)]
        threads[0].start()
        begun.wait()
        seen.append(blas())
        with blas_threads(limit):
            seen.append(blas())
            leave.set()
            left.wait()
            seen.append(blas())
        seen.append(blas())
        threads[1].start()
        threads[1].join()
        seen.append(blas())
        end.set()
        threads[0].join()
    assert seen == [{2}, {limit}, {limit}, {3}, {1}, {3}]


# What n_threads holds for


def model() -> Model:
    one = trainer(n_threads=1).fit(TRAIN, item_features=FEATURES, user_features=np.eye(60, 5))
    return one.model_


SEARCHES: dict[str, Callable[[Model, int | None], Any]] = {
    "recommend": lambda one, n: one.recommend([0, 1], n_threads=n),
    "recommend_from_vectors": lambda one, n: one.recommend_from_vectors(
        one.user_vectors, n_threads=n
    ),
    "similar_items": lambda one, n: one.similar_items([0], n_threads=n),
    "similar_users": lambda one, n: one.similar_users([0], n_threads=n),
    "evaluate": lambda one, n: evaluate(one, VALIDATION, n_threads=n),
    "embed_items": lambda one, n: one.embed_items(FEATURES, n_threads=n),
    "embed_users": lambda one, n: one.embed_users(FEATURES, n_threads=n),
    "add_items": lambda one, n: one.add_items(["new"], FEATURES[:1], n_threads=n),
    "fold_in_users": lambda one, n: one.fold_in_users(TRAIN, n_threads=n),
}


def watch(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str) -> list[tuple[set[int], int]]:
    """Record at each call of a function how many threads BLAS has, and which thread calls."""
    seen: list[tuple[set[int], int]] = []
    function = getattr(owner, name)

    def watched(*args: Any, **options: Any) -> Any:
        seen.append((blas(), threading.get_ident()))
        return function(*args, **options)

    monkeypatch.setattr(owner, name, watched)
    return seen


@pytest.mark.usefixtures("two_blas_threads")
@pytest.mark.parametrize("name", [name for name in SEARCHES if name != "fold_in_users"])
def test_one_thread_searches_and_embeds(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    one = model()
    owner = FeatureNetwork if "embed" in name or "add" in name else exact
    function = "_hidden_inputs" if owner is FeatureNetwork else "_candidates"
    seen = watch(monkeypatch, owner, function)
    SEARCHES[name](one, 1)
    assert seen
    assert all(entry == ({1}, threading.get_ident()) for entry in seen)
    seen.clear()
    monkeypatch.setattr(_threads, "usable_cores", lambda: 2)
    SEARCHES[name](one, None)
    assert all(threads == {2} for threads, _ in seen)
    assert blas() == {2}


@pytest.mark.parametrize("name", SEARCHES)
@pytest.mark.parametrize(
    ("n_threads", "error", "message"),
    [(0, ValueError, "n_threads must be between 1 and 4096, got 0"), (1.5, TypeError, "n_threads")],
)
def test_wrong_numbers_of_threads(
    name: str, n_threads: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        SEARCHES[name](model(), n_threads)


@pytest.mark.usefixtures("two_blas_threads")
def test_one_thread_trains_and_validates(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_threads, "usable_cores", lambda: 2)
    seen = {
        "covariance": watch(monkeypatch, covariance, "covariance_loss"),
        "features": watch(monkeypatch, FeatureNetwork, "loss_and_gradients"),
        "cold start": watch(monkeypatch, feature_step, "cold_start_vectors"),
        "validation": watch(monkeypatch, exact, "_candidates"),
    }
    likes = TRAIN.matrix.copy()
    likes.data[likes.indices == 3] = 0
    likes.eliminate_zeros()  # item 3 is placed by its features
    outside: list[set[int]] = []
    one = trainer(temperature=None, cov_weight=0.1, cov_interval=200, feature_interval=200)
    one.fit(
        likes,
        validation=VALIDATION.matrix,
        item_features=FEATURES,
        callbacks=[lambda *_: outside.append(blas())],
    )
    for name, calls in seen.items():
        assert calls, name
        assert all(entry == ({1}, threading.get_ident()) for entry in calls), name
    assert all(threads == {2} for threads in outside)  # what the user computes is the user's


WORK = """\
import sys, time
import numpy as np
from cml_fast import Model, Trainer
from cml_fast.data import split, synthetic
from cml_fast.evaluation import evaluate

n_threads = int(sys.argv[1])
train, test = split(synthetic(3000, 2000, 60_000).interactions, (0.8, 0.2))
features = np.random.default_rng(0).normal(size=(2000, 100)).astype(np.float32)
rng = np.random.default_rng(0)
users, items = (rng.normal(size=(2000, 128)).astype(np.float32) for _ in range(2))
time.sleep(0.2)  # what loading has started is at rest
before = time.process_time(), time.thread_time()
trainer = Trainer(n_dims=32, temperature=0.3, n_epochs=1, n_threads=n_threads, verbose=False,
                  device="cpu", cov_weight=0.1, cov_interval=4096)
model = trainer.fit(train, validation=test, item_features=features).model_
evaluate(model, test, exclude=train, n_threads=n_threads)
for _ in range(4):
    Model(users, items).recommend(range(2000), n_threads=n_threads)
after = time.process_time(), time.thread_time()
print(1 - (after[1] - before[1]) / (after[0] - before[0]))
"""


def share_of_other_threads(n_threads: int) -> float:
    """The share of the CPU time that other threads than the first one take."""
    command = [sys.executable, "-c", WORK, str(n_threads)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(done.stdout)


def test_one_thread_takes_all_of_the_cpu_time() -> None:
    assert share_of_other_threads(1) < 0.02
    assert share_of_other_threads(2) > 0.1


def test_the_result_does_not_depend_on_the_threads() -> None:
    one = model()
    found = [one.recommend(range(60), n=5, n_threads=n) for n in (1, 3, None)]
    for rows, distances in found[1:]:
        np.testing.assert_array_equal(rows, found[0][0])
        np.testing.assert_array_equal(distances, found[0][1])


def test_trainer_takes_all_cores_that_are_ours(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(3)))
    monkeypatch.setattr(_threads, "cgroup_quota", lambda _: 1.5)
    Trainer(n_dims=4, n_epochs=1, temperature=0.3, device="cpu").fit(TRAIN)
    assert "2 thread(s)" in capsys.readouterr().err
