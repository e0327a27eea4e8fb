"""What workers hold and exchange, without Ray."""

from __future__ import annotations

import errno
import hashlib
import itertools
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from support import stand_in_for_cupy
from support.no_ray import NoRay

from benchmarks.common.simulated_workers import simulated
from cml_fast import Model, Trainer, __version__, _core
from cml_fast._compute import devices, kernels
from cml_fast._compute.tables import random_vectors
from cml_fast._training import fit_inputs, hyperparameters, start
from cml_fast._training.fit_inputs import check_fit_inputs
from cml_fast._training.hyperparameters import check_settings
from cml_fast._training.reports import Counters
from cml_fast.data import Dataset, split, synthetic
from cml_fast.distributed import _storage, fit, recommend_all
from cml_fast.distributed._checkpoint import read_arrays, recut, write_arrays, write_record
from cml_fast.distributed._cluster import check_resources, connected, options_of
from cml_fast.distributed._driver import Accepted, Driver
from cml_fast.distributed._exchange import Parcel
from cml_fast.distributed._fit import _begin, _choose_exchange, _for_workers, _why_not_nccl
from cml_fast.distributed._likes import InFiles, likes_of_workers, opened
from cml_fast.distributed._shard import Plan, Shard, WorkerRestarted
from cml_fast.distributed._sharding import (
    Rounds,
    default_epochs,
    default_shares,
    item_bounds,
    rows_of,
    user_bounds,
)
from cml_fast.distributed._worker import worker_class
from cml_fast.errors import DataError, DeviceUnavailable, ModelError
from cml_fast.evaluation import evaluate

LIKES = synthetic(60, 40, 600).interactions


def likes_of_lengths(*lengths: int) -> sp.csr_array:
    rows = np.repeat(np.arange(len(lengths)), lengths)
    columns = np.concatenate([np.arange(n) for n in lengths])
    return sp.csr_array((np.ones(len(rows), dtype=np.float32), (rows, columns)))


@pytest.mark.parametrize("n_workers", [1, 2, 3, 4])
def test_users_are_cut_by_likes_and_every_worker_has_some(n_workers: int) -> None:
    likes = likes_of_lengths(0, 9, 0, 1, 1, 0, 1, 0)
    bounds = user_bounds(likes.indptr, n_workers)
    parts = [rows_of(likes, *bounds[w : w + 2]) for w in range(n_workers)]
    assert min(part.nnz for part in parts) > 0
    assert (sp.vstack(parts) != likes).nnz == 0
    assert parts[0].nnz == (12 if n_workers == 1 else 9)


def test_shares_of_users_are_balanced() -> None:
    likes = LIKES.matrix
    bounds = user_bounds(likes.indptr, 4)
    n_pairs = np.diff(likes.indptr[bounds])
    assert abs(n_pairs - likes.nnz / 4).max() <= np.diff(likes.indptr).max()


def test_items_are_cut_evenly() -> None:
    assert item_bounds(10, 4).tolist() == [0, 2, 5, 7, 10]
    assert item_bounds(1, 3).tolist() == [0, 0, 0, 1]


def test_no_more_workers_combine_than_that_is_worth() -> None:
    assert [default_shares(n, 30_000, 64) for n in (1, 8, 512)] == [1, 8, 22]
    assert default_shares(512, 1_000_000, 64) == 125
    assert default_shares(512, 100, 8) == 16


def test_who_combines_changes_nothing() -> None:
    options = {"n_dims": 8, "n_negatives": 8, "batch_size": 32, "n_threads": 1, "verbose": False}
    of_two, of_five = (
        simulated(LIKES, Trainer(**TRAINED, **options), 5, 2, n_shares=n) for n in (2, 5)
    )
    for vectors, expected in zip(of_two, of_five, strict=True):
        np.testing.assert_array_equal(vectors, expected)


@pytest.mark.parametrize(("n_pairs", "granularity"), [(1000, 32), (7, 32), (65, 1)])
def test_rounds_visit_every_sample_once(n_pairs: int, granularity: int) -> None:
    rounds = Rounds(per_epoch=3, n_epochs=2, epochs_between=1)
    ranges = [rounds.samples(at, n_pairs, granularity) for at in range(rounds.total)]
    assert np.concatenate([np.arange(*some) for some in ranges]).tolist() == [*range(2 * n_pairs)]
    assert all((begin % n_pairs) % granularity == 0 for begin, end in ranges if begin < end)
    assert [rounds.ends_epoch(at) for at in range(6)] == [False, False, True] * 2


def test_states_are_accepted_after_some_epochs_and_at_the_end() -> None:
    rounds = Rounds(per_epoch=2, n_epochs=5, epochs_between=2)
    assert [rounds.accepted_after(at) for at in range(10)] == [4, 4, 4, 4, 8, 8, 8, 8, 10, 10]
    # Little is lost of large data, and few states are made of small ones.
    assert [default_epochs(n, 8) for n in (600, 20_000_000, 40_000_000, 10**9)] == [4, 4, 2, 1]


@pytest.mark.parametrize(
    ("hyperparameters", "arguments", "message"),
    [
        ({}, {"n_workers": 0}, "n_workers must be at least 1, got 0"),
        ({}, {"n_workers": 61}, "at most the number of users with likes, 60, got 61"),
        ({}, {"rounds_per_epoch": 0}, "rounds_per_epoch must be at least 1"),
        ({}, {"resources": {"GPU": 2}}, "at most one GPU, got 2"),
        ({"device": "cpu"}, {"resources": {"GPU": 1}}, "resources reserve GPUs: leave GPU out"),
        ({"update": "async"}, {"resources": {"GPU": 1}}, "no result of GPUs can be repeated"),
        ({}, {"resources": {"CPU": 0.5}}, "at least one CPU, got 0.5"),
        ({}, {"resume": True}, "resume=True needs checkpoint"),
        ({}, {"address": "ray://10.0.0.1:10001"}, "Ray Client is not supported"),
        ({}, {"address": "nowhere"}, "address must be 'HOST:PORT'"),
        ({"device": "cuda"}, {}, "resources reserve no GPU for the workers"),
        ({"device": "tpu"}, {}, "device must be one of .*, got 'tpu'"),
        ({}, {"exchange": "mpi"}, "exchange must be one of .*, got 'mpi'"),
        ({}, {"exchange": "nccl"}, "a whole GPU for each worker"),
        ({}, {"exchange": "nccl", "resources": {"GPU": 0.5}}, "a whole GPU for each worker"),
        ({"warm_start": True}, {}, "trainer has warm_start=True"),
        ({"cov_weight": 1.0}, {}, "trainer has cov_weight=1.0"),
        ({"update": "async", "n_threads": 2}, {}, "update='async' and n_threads=2"),
    ],
)
def test_what_workers_cannot_do_is_refused(
    hyperparameters: dict[str, object], arguments: dict[str, object], message: str
) -> None:
    if "address" in arguments:
        pytest.importorskip("ray", reason="Ray is not installed: pip install cml-fast[ray]")
    trainer = Trainer(temperature=0.3, user_retention=1.0, verbose=False, **hyperparameters)
    with pytest.raises(ValueError, match=message):
        fit(LIKES, trainer, **{"n_workers": 2, **arguments})


@pytest.mark.parametrize(
    ("exchange", "n_workers", "device", "gpus", "problem"),
    [
        (None, 2, "cuda", 1, None),
        ("nccl", 1, "cuda", 1, None),
        (None, 1, "cuda", 1, "there is one worker"),
        (None, 2, "cuda", 0.5, "workers share GPUs"),
        (None, 2, "cpu", 0, "workers train on CPUs"),
        ("object_store", 2, "cuda", 1, "exchange='object_store'"),
    ],
)
def test_which_workers_can_exchange_by_nccl(
    exchange: str | None, n_workers: int, device: str, gpus: float, problem: str | None
) -> None:
    assert _why_not_nccl(exchange, device, n_workers, {"CPU": 1.0, "GPU": gpus}) == problem


@pytest.mark.parametrize(
    ("exchange", "why_not", "on_one_node", "problem", "said"),
    [
        (None, None, True, None, "from GPU to GPU, by NCCL"),
        (None, None, True, "there is no NCCL", "through the memory of the CPUs: there is no NCCL"),
        (None, None, False, None, "through the memory of the CPUs: they are on several machines"),
        ("nccl", None, False, None, "from GPU to GPU, by NCCL"),
        (
            None,
            "workers share GPUs",
            True,
            None,
            "through the memory of the CPUs: workers share GPUs",
        ),
    ],
)
def test_workers_exchange_by_nccl_where_it_is_there(
    exchange: str | None, why_not: str | None, on_one_node: bool, problem: str | None, said: str
) -> None:
    asked: list[str] = []
    driver: Any = SimpleNamespace(
        on_one_node=lambda: on_one_node,
        gather_by=lambda backend: asked.append(backend) or problem,
    )
    assert _choose_exchange(driver, exchange, why_not) == f"workers exchange {said}"
    by_nccl = why_not is None and (on_one_node or exchange == "nccl")
    assert asked == (["NCCL"] if by_nccl else [])


def test_what_is_reserved_by_the_names_of_ray() -> None:
    assert options_of(check_resources({"GPU": 0.5, "memory": 9, "disk": 2})) == {
        "num_cpus": 1,
        "num_gpus": 0.5,
        "memory": 9,
        "resources": {"disk": 2},
        "scheduling_strategy": "SPREAD",
    }
    assert options_of(check_resources({}))["num_gpus"] is None  # nothing is hidden from workers


def test_rankings_are_made_on_cpus() -> None:
    with pytest.raises(ValueError, match="workers search on CPUs"):
        recommend_all(Model([[0.0]], [[1.0]]), "recs.csv", n_workers=1, resources={"GPU": 1})


def test_a_worker_without_the_package_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    worker = worker_class(NoRay)()
    assert worker.problem(__version__) is None
    assert re.fullmatch(r"the worker's node \S+ has cml_fast \S+, not 9", worker.problem("9"))
    monkeypatch.setitem(sys.modules, "cml_fast", None)
    found = worker.problem(__version__)
    assert re.match(r"cml_fast cannot be imported on the worker's node \S+: import of", found)


def test_without_ray_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with (
        pytest.raises(ImportError, match=r"pip install 'cml-fast\[ray\]'"),
        connected(None, 1, {"CPU": 1.0}),
    ):
        pass


def weighted() -> sp.csr_array:
    likes = LIKES.matrix.copy()
    likes.data = np.random.default_rng(0).integers(1, 4, likes.nnz).astype(np.float32)
    return likes


@pytest.mark.parametrize("weighting", ["linear", "saturating", "binary"])
def test_likes_in_files_give_the_bits_of_a_matrix(tmp_path: Path, weighting: str) -> None:
    likes = weighted()
    dataset = Dataset._write(likes, tmp_path / "likes", part_pairs=100)
    options = {"n_epochs": 2, "temperature": 0.3, "user_retention": 1.0, "verbose": False}
    trainer = Trainer(**options, weighting=weighting, pairs_per_part=64, batch_size=32)
    for of_files, of_matrix in zip(
        simulated(dataset, trainer, 3), simulated(likes, trainer, 3), strict=True
    ):
        np.testing.assert_array_equal(of_files, of_matrix)


def in_files(folder: Path, users: tuple[int, int]) -> InFiles:
    dataset = Dataset._write(LIKES.matrix, folder, part_pairs=100)
    return InFiles(dataset.path, dataset.token, *users, "linear", None)


def test_a_worker_checks_the_parts_of_its_users(tmp_path: Path) -> None:
    likes = in_files(tmp_path / "likes", (20, 40))
    rows = rows_of(LIKES.matrix, 20, 40)
    found = likes.opened()
    assert (found.indptr.tolist(), found.shape) == (rows.indptr.tolist(), rows.shape)
    np.testing.assert_array_equal(found.indices, rows.indices)
    file = tmp_path / "likes" / "indices.npy"
    content = bytearray(file.read_bytes())
    content[-4] ^= 1  # the last item of the last user
    file.write_bytes(content)
    likes.opened()
    content[-4 * (LIKES.matrix.nnz - LIKES.matrix.indptr[30])] ^= 1
    file.write_bytes(content)
    with pytest.raises(DataError, match=r"on node \S+ cannot train: .*indices\.npy is damaged"):
        likes.opened()
    file.write_bytes(content[:-1])
    with pytest.raises(DataError, match=r"on node \S+ .*indices\.npy has .* it is truncated"):
        likes.opened()


def test_a_worker_refuses_another_data_set(tmp_path: Path) -> None:
    likes = in_files(tmp_path / "likes", (0, 60))
    shutil.rmtree(tmp_path / "likes")
    with pytest.raises(DataError, match=r"on node \S+ cannot train: there is no data set at"):
        likes.opened()
    Dataset._write(weighted(), tmp_path / "likes")
    with pytest.raises(DataError, match="likes is another data set than the one that fit was"):
        likes.opened()


TRAINED = {"n_epochs": 2, "temperature": 0.3, "user_retention": 0.5}


def sha256_of_workers(update: str) -> str:
    trainer = Trainer(**TRAINED, update=update, n_threads=1, verbose=False)
    vectors = simulated(LIKES, trainer, 3, 2)
    return hashlib.sha256(b"".join(array.tobytes() for array in vectors)).hexdigest()


@pytest.mark.parametrize("update", ["sync", "async"])
def test_workers_may_have_different_instruction_sets(
    monkeypatch: pytest.MonkeyPatch, update: str
) -> None:
    there = _core.build_info()["instruction_sets"]
    if len(there) == 1:
        pytest.skip("this machine has one instruction set only")
    alike = sha256_of_workers(update)
    turns, used = itertools.cycle(there), []

    def next_one() -> str:
        used.append(next(turns))
        return used[-1]

    monkeypatch.setattr(kernels, "instruction_set", next_one)
    assert sha256_of_workers(update) == alike
    assert len(used) >= 3
    assert set(used) == set(there)


def test_workers_on_an_older_cpu_come_to_the_same() -> None:
    """The kernels and NumPy, which both choose what to run when they are loaded."""
    features = numpy_features()
    if not features:
        pytest.skip("NumPy has no code for newer CPUs here")
    environment = {
        **os.environ,
        "CML_FAST_ISA": _core.build_info()["instruction_sets"][-1],
        "NPY_DISABLE_CPU_FEATURES": " ".join(features),
    }
    code = (
        f"import sys; sys.path[:] = {sys.path!r}\n"
        "from distributed.test_shards import numpy_features, sha256_of_workers\n"
        "print(numpy_features(), sha256_of_workers('sync'))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["[]", sha256_of_workers("sync")]


def numpy_features() -> list[str]:
    """The features of this CPU that NumPy uses and could do without."""
    try:
        from numpy._core import _multiarray_umath as umath
    except ImportError:  # NumPy 1
        from numpy.core import _multiarray_umath as umath
    return [name for name in umath.__cpu_dispatch__ if umath.__cpu_features__[name]]


def test_workers_learn_about_as_much_as_one_machine() -> None:
    train, test = split(synthetic(200, 120, 4000).interactions, (0.8, 0.2))
    trainer = Trainer(
        n_epochs=8, temperature=0.3, user_retention=0.5, random_state=0, n_threads=1, verbose=False
    )
    alone = trainer.fit(train).model_
    together = Model(*simulated(train, trainer, n_workers=3, rounds_per_epoch=4))
    recalls = [
        evaluate(model, test.matrix, train.matrix, ks=(20,)).recall[20]
        for model in (alone, together)
    ]
    assert recalls[1] > 0.9 * recalls[0]


@pytest.mark.parametrize("in_files", [False, True])
def test_workers_make_the_first_vectors_of_their_users(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, in_files: bool
) -> None:
    matrix = LIKES.matrix.copy()
    matrix.data[matrix.indptr[30] : matrix.indptr[33]] = 0  # they stay at random vectors
    matrix.eliminate_zeros()
    train = Dataset._write(matrix, tmp_path / "likes", part_pairs=100) if in_files else matrix
    own = _for_workers(Trainer(n_dims=7, temperature=0.3, user_retention=1.0), {"CPU": 1.0})
    inputs = check_fit_inputs(own, train, None, (), None, None)
    whole = own._begin(inputs, np.random.default_rng(own.random_state)).tables.vectors()
    bounds = user_bounds(inputs.likes.indptr, 4)
    monkeypatch.setattr(start, "DRAWN", 5)
    drawn: list[int] = []

    def watched(shape: tuple[int, int], *arguments: Any) -> np.ndarray:
        drawn.append(shape[0])
        return random_vectors(shape, *arguments)

    monkeypatch.setattr(start, "random_vectors", watched)
    settings, first = _begin(own, inputs, None, bounds)
    assert drawn == [40]  # the items: the users are for the workers
    parts = []
    for w, likes in enumerate(likes_of_workers(train, inputs, bounds)):
        shard = Shard(Plan(settings, Rounds(1, 1, 1), 4, 4), w, opened(likes))
        shard.begin(first.generators[w], **first.items)
        parts.append(shard.vectors()[0])
        np.testing.assert_array_equal(shard.vectors()[1], whole[1])
    np.testing.assert_array_equal(np.concatenate(parts), whole[0])


def test_users_of_workers_need_not_fit_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: Any, **options: Any) -> None:
        raise MemoryError("too large")

    monkeypatch.setattr(fit_inputs, "check_fits", refuse)
    monkeypatch.setitem(sys.modules, "ray", None)
    likes = Dataset._write(LIKES.matrix, tmp_path / "likes")
    with pytest.raises(MemoryError):
        fit(likes, Trainer(), n_workers=2)
    with pytest.raises(ImportError, match="several workers need Ray"):  # which comes after that
        fit(likes, Trainer(), n_workers=2, out=tmp_path / "model")


def test_rates_and_mini_batches_of_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    """The rate falls from epoch to epoch; a worker's mini-batches follow its share of the likes."""
    monkeypatch.setattr(hyperparameters, "LEAST_BATCH", 1)
    seen = []

    class Watched(Shard):
        def train(self, number: int) -> tuple[Counters, list[Parcel]]:
            trained = super().train(number)
            seen.append((number, self._job.job.learning_rate, self.plan.settings.batch_size))
            return trained

    likes = LIKES.matrix
    options = {"temperature": 0.3, "user_retention": 1.0, "verbose": False, "n_threads": 1}
    for batch_size, expected in ((None, 4), (50, 50)):
        trainer = Trainer(n_epochs=2, batch_size=batch_size, **options)
        simulated(likes, trainer, 4, rounds_per_epoch=2, shard_class=Watched)
        assert {size for _, _, size in seen} == {expected}
        first, second = trainer.learning_rate, trainer.learning_rate / 1.05
        for number, rate, _ in seen:
            assert rate == pytest.approx(first if number < 2 else second)
        seen.clear()


def test_changes_of_others_arrive_a_round_late_or_before_a_state_is_accepted() -> None:
    begun: dict[tuple[int, int], np.ndarray] = {}  # what a worker trains on, by worker and round
    moved: dict[tuple[int, int], np.ndarray] = {}  # and how far it moves the items

    class Watched(Shard):
        def train(self, number: int) -> tuple[Counters, list[Parcel]]:
            n_dims, at = self.plan.settings.n_dims, (self.number, number)
            begun[at] = self._now.vectors[:, :n_dims].copy()
            counters, parcels = super().train(number)
            moved[at] = np.zeros_like(begun[at])
            for parcel, first in zip(parcels, self._bounds[:-1], strict=True):
                moved[at][first + parcel.rows] = parcel.vectors
            return counters, parcels

    combined: list[np.ndarray] = []

    def add(sent: Any, shares: Any) -> None:
        after = (combined or [begun[0, 0]])[-1].copy()
        for parcel, first in zip(shares, item_bounds(40, 2)[:-1], strict=True):
            after[first + parcel.rows] = parcel.vectors
        combined.append(after)

    options = {"n_dims": 8, "batch_size": 32, "ema_decay": 0.0, "verbose": False}
    trainer = Trainer(**{**TRAINED, "n_epochs": 3}, **options)
    _, items = simulated(LIKES, trainer, 2, 2, add, Watched, epochs_between=2)
    assert len(combined) == 6
    assert abs(np.diff(combined, axis=0)).max(axis=(1, 2)).min() > 1e-3
    for w in range(2):
        others = [abs(moved[1 - w, number]).max() for number in range(6)]
        assert min(others) > 1e-3
        for number, known in {
            1: begun[0, 0],  # as all have begun
            2: combined[0],  # after round 0
            3: combined[1],
            5: combined[3],
        }.items():
            expected = known + moved[w, number - 1]
            expected /= np.maximum(np.linalg.norm(expected, axis=1, keepdims=True), 1)
            np.testing.assert_allclose(begun[w, number], expected, atol=1e-6)
        np.testing.assert_array_equal(begun[w, 4], combined[3])
    np.testing.assert_array_equal(items, combined[5])


def test_averages_are_of_what_all_workers_had_after_each_epoch() -> None:
    options = {"n_dims": 8, "batch_size": 32, "ema_decay": 0.5, "verbose": False}
    trainer = Trainer(**{**TRAINED, "n_epochs": 4}, **options)
    users: list[np.ndarray] = []
    combined: list[np.ndarray] = []

    class Watched(Shard):
        def train(self, number: int) -> tuple[Counters, list[Parcel]]:
            if not combined:
                combined.append(self._now.vectors[:, :8].copy())
            trained = super().train(number)
            users.append(self.tables.arrays["users"][:, :8].copy())
            return trained

    def add(sent: Any, shares: Any) -> None:
        after = combined[-1].copy()
        for parcel, first in zip(shares, item_bounds(40, 2)[:-1], strict=True):
            after[first + parcel.rows] = parcel.vectors
        combined.append(after)

    averages = simulated(LIKES, trainer, 2, 1, add, Watched, epochs_between=3)
    weights = np.array([1, 2, 4, 8]) / 15
    both = [np.concatenate(pair) for pair in zip(users[::2], users[1::2], strict=True)]
    for found, epochs in zip(averages, (both, combined[1:]), strict=True):
        np.testing.assert_allclose(found, np.tensordot(weights, epochs, 1), atol=1e-5)


@pytest.fixture
def emulated_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in_for_cupy.install(monkeypatch)
    monkeypatch.setattr(devices, "cuda_problem", lambda: None)


@pytest.mark.parametrize("gathering", [None, "NCCL"])
@pytest.mark.parametrize("optimizer", ["adagrad", "rowwise_adagrad"])
def test_workers_on_gpus_come_to_what_those_on_cpus_come_to(
    cuda_device: str, gathering: str | None, optimizer: str, request: pytest.FixtureRequest
) -> None:
    if cuda_device == "emulated":
        request.getfixturevalue("emulated_gpu")
    options = {"n_dims": 10, "n_negatives": 8, "batch_size": 64, "ema_decay": 0.5, "n_threads": 1}
    trainer = Trainer(**{**TRAINED, **options, "optimizer": optimizer}, verbose=False)
    before = stand_in_for_cupy.traffic.to_host
    on_gpus = simulated(LIKES, trainer, 3, 2, device="cuda", gathering=gathering)
    n_bytes = stand_in_for_cupy.traffic.to_host - before
    on_cpus = simulated(LIKES, trainer, 3, 2)
    for vectors, expected in zip(on_gpus, on_cpus, strict=True):
        np.testing.assert_array_equal(vectors, expected)
    # Workers that gather copy nothing but the vectors at the end: own users, and all items each.
    of_model = sum(array.nbytes for array in on_cpus) + 2 * on_cpus[1].nbytes
    if cuda_device == "emulated":
        assert n_bytes == of_model if gathering else n_bytes > 3 * of_model


def plan_for_gpus(precision: str) -> Plan:
    settings = check_settings(Trainer(precision=precision).get_params(), LIKES.matrix.shape)
    return Plan(settings, Rounds(1, 1, 1), 1, 1, "cuda")


def test_a_worker_without_a_gpu_does_not_train_on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "cuda_problem", lambda: "there is none")
    message = r"on node \S+ cannot train: device='cuda' cannot be used: there is none"
    with pytest.raises(DeviceUnavailable, match=message):
        Shard(plan_for_gpus("float32"), 0, LIKES.matrix)


def test_a_worker_whose_gpu_lacks_the_precision_does_not_train(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(devices, "cuda_problem", lambda: None)
    monkeypatch.setattr(_core, "cuda_bfloat16_problem", lambda: "it is too old", raising=False)
    message = r"on node \S+ cannot train: precision='bfloat16' cannot be used .*: it is too old"
    with pytest.raises(DeviceUnavailable, match=message):
        Shard(plan_for_gpus("bfloat16"), 0, LIKES.matrix)


def test_workers_round_as_their_trainer_says() -> None:
    """And, being more than one, come near to what they come to in float32."""
    options = {"n_dims": 10, "n_negatives": 8, "batch_size": 64, "n_threads": 1}
    trainers = [Trainer(**TRAINED, **options, precision=p) for p in ("float32", "bfloat16")]
    for exact, rounded in zip(*(simulated(LIKES, each, 2, 2) for each in trainers), strict=True):
        assert 1e-5 < abs(exact - rounded).max() < 0.05


def test_a_worker_that_goes_back_comes_to_the_same(
    job_device: str, request: pytest.FixtureRequest
) -> None:
    if job_device == "emulated":
        request.getfixturevalue("emulated_gpu")
    likes = LIKES.matrix
    trainer = Trainer(n_dims=10, n_negatives=8, temperature=0.3, ema_decay=0.5)
    settings = check_settings(trainer.get_params(), likes.shape, likes.nnz)
    rng = np.random.default_rng(0)
    first = {
        name: rng.standard_normal((n, settings.n_dims), dtype=np.float32) / 50
        for name, n in zip(("users", "items"), likes.shape, strict=True)
    }
    plan = Plan(settings, Rounds(2, 3, 1), 1, 1, "cpu" if job_device == "cpu" else "cuda")
    shard = Shard(plan, 0, likes)

    def rounds(numbers: range) -> None:
        parcels = shard.train(numbers[0])[1]
        for number in numbers:
            before = parcels
            if number + 1 in numbers:
                parcels = shard.train(number + 1)[1]
            shard.accept(number, [shard.share.combine(before)])

    shard.restore(first, 0)
    rounds(range(2))
    before = stand_in_for_cupy.traffic
    snapshot = {**shard.snapshot("users"), **shard.snapshot("items")}
    n_bytes = sum(array.nbytes for name, array in snapshot.items() if name != "mean_items")
    copied = (stand_in_for_cupy.traffic - before).to_host
    assert copied == (n_bytes if job_device == "emulated" else 0)
    kept = {name: array.copy() for name, array in snapshot.items()}
    rounds(range(2, 6))
    vectors = shard.vectors()
    shard.restore(kept, 2)
    shard.train(2)  # lost before the round ended
    shard.restore(kept, 2)
    rounds(range(2, 6))
    for again, before in zip(shard.vectors(), vectors, strict=True):
        np.testing.assert_array_equal(again, before)


def test_a_worker_that_is_lost_time_and_again_ends_the_training() -> None:
    class Losing(Driver):
        def __init__(self) -> None:
            self._ray = pytest.importorskip("ray")
            self._plan = Plan(None, Rounds(1, 1, 1), 1, 1)
            self.n_begun = 0

        def _last_resort(self) -> Accepted:
            return Accepted(0, [])

        def _load(self) -> None:
            pass

        def _train(self) -> None:
            self.n_begun += 1
            raise WorkerRestarted("gone")

    driver = Losing()
    with pytest.raises(RuntimeError, match="lost 10 times since the training was at epoch 0; the"):
        driver.run(None, lambda: None)
    assert driver.n_begun == 10


def test_damaged_checkpoints_are_refused(tmp_path: Path) -> None:
    folder = str(tmp_path / "round-000002")
    users = {"users": np.ones((2, 3), dtype=np.float32)}
    hashes = write_arrays(folder, 1, {"users": users})
    assert list(hashes) == ["users-00001.npz"]
    read = read_arrays(f"file://{folder}", *hashes.popitem())
    np.testing.assert_array_equal(read["users"], users["users"])
    file = tmp_path / "round-000002" / "users-00001.npz"
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(ModelError, match=r"users-00001\.npz has changed since it was written"):
        read_arrays(folder, file.name, "0" * 64)
    with pytest.raises(ModelError, match=r"items\.npz is missing"):
        read_arrays(folder, "items.npz", "0" * 64)


def test_the_users_of_a_checkpoint_are_cut_anew() -> None:
    parts = [{"users": np.full((n, 2), n), "mean_users": np.full((n, 2), -n)} for n in (1, 4, 2)]
    cut = list(recut(parts, np.array([0, 3, 7])))
    assert [part["users"][:, 0].tolist() for part in cut] == [[1, 4, 4], [4, 4, 2, 2]]
    assert [part["mean_users"][:, 1].tolist() for part in cut] == [[-1, -4, -4], [-4, -4, -2, -2]]


def test_errors_of_a_full_disk_name_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    class Full:
        def create_dir(self, path: str, recursive: bool) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        def open_output_stream(self, path: str) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(_storage, "locate", lambda path: (Full(), path))
    users = {"users": np.ones((2, 3), dtype=np.float32)}
    with pytest.raises(OSError, match=r"a/users-00001\.npz could not be written: .*No space left"):
        write_arrays("a", 1, {"users": users})
    with pytest.raises(OSError, match=r"a/training\.json could not be written: .*No space left"):
        write_record("a", {}, {0})


def test_what_is_left_of_other_epochs_is_removed(tmp_path: Path) -> None:
    for epoch in (2, 4, 8, 20):
        (tmp_path / f"epoch-{epoch:06d}").mkdir()
    (tmp_path / "mine").mkdir()
    write_record(str(tmp_path), {"next_epoch": 4}, {4, 8})  # workers write that of 8 already
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["epoch-000004", "epoch-000008", "mine", "training.json"]


def test_a_checkpoint_of_something_else_is_refused(tmp_path) -> None:
    (tmp_path / "training.json").write_text("{}")
    pytest.importorskip("ray", reason="Ray is not installed: pip install cml-fast[ray]")
    with pytest.raises(ModelError, match=r"training\.json was not written by"):
        fit(LIKES, Trainer(), n_workers=2, checkpoint=str(tmp_path))


def test_workers_copy_neither_their_own_parcel_nor_a_snapshot() -> None:
    likes = LIKES.matrix
    settings = check_settings(
        Trainer(n_dims=64, temperature=0.3).get_params(), likes.shape, likes.nnz
    )
    rng = np.random.default_rng(0)
    items = rng.standard_normal((likes.shape[1], settings.n_dims), dtype=np.float32) / 50
    first = {"items": items, "smooth": items}
    worker = worker_class(NoRay)()
    plan = Plan(settings, Rounds(1, 1, 1), 2, 2)
    worker.load(plan, 1, likes, np.random.default_rng(1), first, 7, 0)
    _, other, own = worker.train(0)
    assert own is None
    assert len(other.rows) > 0
    shard = Shard(plan, 1, likes)
    shard.begin(np.random.default_rng(1), **first)
    parcels = shard.train(0)[1]
    with pytest.raises(WorkerRestarted, match="does not combine round 0"):
        worker.combine(6, 0, own)  # was asked for before the worker was loaded
    combined = worker.combine(7, 0, own)
    for found, wanted in zip(combined, shard.share.combine([parcels[1]]), strict=True):
        np.testing.assert_array_equal(found, wanted)
    with pytest.raises(WorkerRestarted, match="is not at round 1"):
        worker.snapshot(1, "items")  # the changes have not arrived
    worker.accept(0, Parcel(*(array[:0] for array in combined)), combined)
    for entity in ("users", "items"):
        _, snapshot = worker.snapshot(1, entity)
        assert np.shares_memory(snapshot[entity], worker.shard.tables.arrays[entity])
        assert all(array.flags.c_contiguous for array in snapshot.values())
