"""Several workers on a real Ray cluster on this machine: run by `test_ray`."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import ray

from benchmarks.common.simulated_workers import simulated
from benchmarks.studies import distributed as study
from cml_fast import Model, Trainer, distributed
from cml_fast._cli.app import main
from cml_fast._compute.devices import cuda_problem
from cml_fast.data import Dataset, split, synthetic
from cml_fast.distributed import _driver, _fit
from cml_fast.errors import DataError, DeviceUnavailable, TrainingDiverged
from cml_fast.evaluation import evaluate

pytestmark = [
    # Ray leaves files and processes to the end of the process.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

TRAIN, TEST = split(synthetic(200, 120, 4000).interactions, (0.8, 0.2))
FEW = {
    "n_dims": 16,
    "n_epochs": 6,  # states are accepted after four of them, and at the end
    "n_negatives": 32,
    "batch_size": 256,
    "temperature": 0.3,
    "user_retention": 0.5,
    "n_threads": 1,
    "verbose": False,
}
ROUNDS = 2
N_WORKERS = 3


def sha256(model: Model) -> str:
    content = model.user_vectors.tobytes() + model.item_vectors.tobytes()
    return hashlib.sha256(content).hexdigest()


def trained(n_workers: int = N_WORKERS, n_epochs: int = 6, **options: Any) -> Model:
    arguments = {"rounds_per_epoch": ROUNDS, **options}
    trainer = Trainer(**{**FEW, "n_epochs": n_epochs})
    return distributed.fit(TRAIN, trainer, n_workers=n_workers, **arguments)


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    """The address of a local cluster."""
    context = ray.init(
        address="local",
        num_cpus=N_WORKERS,
        num_gpus=1,  # Ray takes our word for it
        object_store_memory=100 << 20,
        include_dashboard=False,
        _node_ip_address="127.0.0.1",
        log_to_driver=False,
    )
    with pytest.MonkeyPatch.context() as patch:
        # One of three workers combines nothing; those in one process have a share each.
        patch.setattr(_fit, "default_shares", lambda n_workers, *sizes: min(n_workers, 2))
        try:
            yield context.address_info["address"]
        finally:
            ray.shutdown()


@pytest.fixture(scope="module")
def undisturbed(cluster: str) -> Model:
    return trained()


# A call of the driver, the round that it is for, and which worker is killed before it.
Kill = tuple[str, int, int]


def killing(monkeypatch: pytest.MonkeyPatch, kills: list[Kill]) -> list[Kill]:
    """Kill workers with SIGKILL, each once. Returns a list that gets these kills."""
    call: Any = _driver.Driver.call
    killed: list[Kill] = []

    def watched(self: Any, number: int, method: str, *arguments: Any, **options: Any) -> Any:
        at = arguments[{"load": -1, "combine": 1}.get(method, 0)]
        for kill in kills:
            if kill[:2] == (method, at) and kill not in killed:
                # The answer comes after all that the worker was called for before.
                pid = ray.get(call(self, kill[2], "pid"))
                os.kill(pid, signal.SIGKILL)
                killed.append(kill)
        return call(self, number, method, *arguments, **options)

    monkeypatch.setattr(_driver.Driver, "call", watched)
    return killed


def test_workers_come_to_what_they_come_to_in_one_process(undisturbed: Model) -> None:
    users, items = simulated(TRAIN, Trainer(**FEW), N_WORKERS, ROUNDS)
    learned = undisturbed.with_popularity_bias(weight=0)
    assert sha256(learned) == hashlib.sha256(users.tobytes() + items.tobytes()).hexdigest()
    assert sha256(learned.with_popularity_bias()) == sha256(undisturbed)
    assert [epoch["pairs"] for epoch in undisturbed.history] == [TRAIN.matrix.nnz] * 6


def test_killed_workers_change_nothing(undisturbed: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    kills = [("load", 0, 0), ("train", 5, 1), ("snapshot", 8, 2), ("vectors", 12, 1)]
    killed = killing(monkeypatch, kills)
    epochs: list[int] = []
    model = trained(callbacks=[lambda trainer, report: epochs.append(report.epoch)])
    assert sha256(model) == sha256(undisturbed)
    assert model.history == undisturbed.history
    assert killed == kills
    assert epochs == [*range(6)]  # each is told of once, whatever is trained again


@pytest.fixture
def gathering(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers gather what all changed, as they do on GPUs, by another backend."""

    def gather_in_ray(worker: Any) -> None:
        """Run in a worker: let Ray's collectives know a backend that needs no GPU.

        Workers get the code of what is defined here; they cannot import this file.
        """
        import asyncio

        import ray
        from ray.util import collective
        from ray.util.collective.collective_group.base_collective_group import BaseGroup

        class Post:
            """Hands out the arrays of all members, as soon as all have sent theirs."""

            def __init__(self, n: int) -> None:
                self.n, self.complete = n, asyncio.Condition()
                self.sent: dict[int, dict[int, Any]] = {}

            async def gather(self, turn: int, member: int, array: Any) -> list[Any]:
                async with self.complete:
                    arrays = self.sent.setdefault(turn, {})
                    arrays[member] = array
                    self.complete.notify_all()
                    await self.complete.wait_for(lambda: len(arrays) == self.n)
                return [arrays[each] for each in range(self.n)]

        class InRay(BaseGroup):
            def __init__(self, world_size: int, rank: int, group_name: str) -> None:
                super().__init__(world_size, rank, group_name)
                options = {"name": group_name, "get_if_exists": True, "num_cpus": 0}
                self.post = ray.remote(Post).options(**options).remote(world_size)
                self.turn = 0

            @classmethod
            def check_backend_availability(cls) -> bool:
                return True

            def allgather(
                self, tensor_list: Any, tensor: Any, allgather_options: Any = None
            ) -> None:
                sent = self.post.gather.remote(self.turn, self.rank, tensor[0])
                for array, found in zip(tensor_list[0], ray.get(sent), strict=True):
                    array[...] = found
                self.turn += 1

            def nothing_else(self, *_: Any) -> None:
                raise NotImplementedError

            allreduce = barrier = reduce = broadcast = reducescatter = send = recv = nothing_else

        if not collective.is_backend_available("in_ray"):
            collective.register_collective_backend("in_ray", InRay)

    call = _driver.Driver.call

    def knowing(self: Any, number: int, method: str, *arguments: Any, **options: Any) -> Any:
        if method in ("gathering_problem", "load"):
            self._workers[number].__ray_call__.remote(gather_in_ray)
        return call(self, number, method, *arguments, **options)

    monkeypatch.setattr(_driver.Driver, "call", knowing)
    monkeypatch.setattr(_fit, "_why_not_nccl", lambda *_: None)
    monkeypatch.setattr(_fit, "BACKEND", "in_ray")


def test_workers_that_gather_come_to_the_same(undisturbed: Model, gathering: None) -> None:
    model = trained()
    assert sha256(model) == sha256(undisturbed)
    assert model.history == undisturbed.history


@pytest.mark.parametrize("gathers", [False, True])
def test_workers_combine_a_round_while_they_train_the_next(
    cluster: str,
    gathers: bool,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> None:
    if gathers:
        request.getfixturevalue("gathering")

    class Watched(_driver.Driver):
        def _load(self) -> None:
            super()._load()
            ray.get([worker.__ray_call__.remote(wait_in_kernels) for worker in self._workers])

    def wait_in_kernels(worker: Any) -> None:
        """A round is not combined before the kernels of the next begin, nor do these end before."""
        import threading

        share, shard, told = worker.share[1], worker.shard, threading.Condition()
        combine, run, rounds = share.combine, shard._job.run, worker.shard.plan.rounds
        n_begun = n_combined = 0

        def combine_and_tell(parcels: Any) -> Any:
            nonlocal n_combined
            is_last = rounds.accepted_after(n_combined) == n_combined + 1
            with told:
                assert told.wait_for(lambda: is_last or n_begun > n_combined + 1, timeout=30)
            rows = combine(parcels)
            with told:
                n_combined += 1
                told.notify_all()
            return rows

        def run_then(begin: int, end: int) -> Any:
            nonlocal n_begun
            with told:
                n_begun = shard.next_round + 1
                told.notify_all()
                assert told.wait_for(lambda: n_combined == shard.next_round, timeout=30)
            return run(begin, end)

        share.combine, shard._job.run = combine_and_tell, run_then

    monkeypatch.setattr(_fit, "Driver", Watched)
    learned = trained(2).with_popularity_bias(weight=0)
    users, items = simulated(TRAIN, Trainer(**FEW), 2, ROUNDS)
    assert sha256(learned) == hashlib.sha256(users.tobytes() + items.tobytes()).hexdigest()


def test_an_error_of_a_worker_ends_the_training_of_those_that_wait(
    cluster: str, gathering: None
) -> None:
    with pytest.raises(TrainingDiverged, match=r"an update of worker \d was not finite"):
        distributed.fit(TRAIN, Trainer(**{**FEW, "learning_rate": 1e38}), n_workers=N_WORKERS)


def test_workers_that_cannot_gather_say_why(cluster: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_fit, "_why_not_nccl", lambda *_: None)
    with pytest.raises(DeviceUnavailable, match="exchange='nccl' cannot be used: NCCL is not"):
        trained(exchange="nccl")


# A worker that starts again takes a second or two of CPU time. CML_FAST_KILLS=40 kills so many.
KILLS = int(os.environ.get("CML_FAST_KILLS", "2"))


@pytest.mark.parametrize("gathers", [False, True])
def test_workers_killed_at_random_change_nothing(
    undisturbed: Model,
    gathers: bool,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> None:
    if gathers:  # others then wait for the lost one in a call that does not end
        request.getfixturevalue("gathering")
    rng = np.random.default_rng(0)
    killed: list[tuple[str, int]] = []

    class Killing(_driver.Driver):
        """Kills a worker at a random call, whatever it does then, and then another one."""

        n_loads = 0

        def _load(self) -> None:
            super()._load()
            self.pids = ray.get([self.call(w, "pid") for w in range(N_WORKERS)])
            self.n_loads += 1
            # Every fifth time no worker is lost, lest ten are on the way to one state.
            self.until = int(rng.integers(70)) if self.n_loads % 5 else -1

        def call(self, number: int, method: str, *arguments: Any, **options: Any) -> Any:
            if method in ("train", "combine", "accept", "snapshot"):
                if self.until == 0 and len(killed) < KILLS:
                    time.sleep(0.3 * rng.random())  # they do some of what they were called for
                    os.kill(self.pids[rng.integers(N_WORKERS)], signal.SIGKILL)
                    killed.append((method, arguments[0]))
                self.until -= 1
            return super().call(number, method, *arguments, **options)

    monkeypatch.setattr(_fit, "Driver", Killing)
    while len(killed) < KILLS:
        assert sha256(trained()) == sha256(undisturbed)
    assert len(set(killed)) > 1  # at different calls


DRIVER = """
import os, signal, sys
import ray
from distributed.on_a_cluster import trained
address, folder = sys.argv[1:]
ray.init(address=address, _node_ip_address="127.0.0.1", log_to_driver=False)
def die(trainer, report):
    if report.epoch == 4:  # while the workers go on
        os.kill(os.getpid(), signal.SIGKILL)
trained(checkpoint=folder, callbacks=[die])
"""


def test_a_killed_driver_goes_on_from_the_checkpoint(
    cluster: str, undisturbed: Model, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "going"
    tests = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    code = f"import sys; sys.path.insert(0, {tests!r})\n{DRIVER}"
    done = subprocess.run([sys.executable, "-c", code, cluster, str(folder)], timeout=120)
    assert done.returncode == -signal.SIGKILL
    names = {path.name for path in folder.iterdir()}
    assert {"epoch-000004", "training.json"} <= names
    assert names <= {"epoch-000004", "epoch-000006", "training.json"}  # workers may be ahead
    assert json.loads((folder / "training.json").read_text())["next_epoch"] == 4
    with pytest.raises(ValueError, match="holds a training: go on from it with resume=True"):
        trained(checkpoint=str(folder))
    with pytest.raises(DataError, match="has a training with n_epochs=6"):
        trained(checkpoint=str(folder), resume=True, n_epochs=7)
    copy = shutil.copytree(folder, tmp_path / "copy")
    # A worker is lost right after: the copies to return to are those of the checkpoint.
    killed = killing(monkeypatch, [("train", 9, 1)])
    model = trained(checkpoint=f"file://{folder}", resume=True)
    assert sha256(model) == sha256(undisturbed)
    assert len(killed) == 1
    assert model.history == undisturbed.history
    # With fewer workers it goes on from the same state, and comes to something else.
    with pytest.warns(UserWarning, match="written with n_workers=3, .* goes on with n_workers=2"):
        model = trained(2, checkpoint=str(copy), resume=True, rounds_per_epoch=ROUNDS)
    assert model.history[:4] == undisturbed.history[:4]
    losses = [epochs[5]["loss"] for epochs in (model.history, undisturbed.history)]
    assert losses[0] != losses[1]
    assert losses[0] == pytest.approx(losses[1], rel=0.03)


def test_workers_are_ahead_of_the_epochs_that_are_told(undisturbed: Model, tmp_path: Any) -> None:
    """They train to the end, and write the last state, before the first epoch is told of."""
    last = tmp_path / "epoch-000006"

    def wait(trainer: Any, report: Any) -> None:
        deadline = time.monotonic() + 60
        while report.epoch == 0 and len(list(last.glob("*.npz"))) < N_WORKERS + 1:
            assert time.monotonic() < deadline
            time.sleep(0.05)

    assert sha256(trained(checkpoint=str(tmp_path), callbacks=[wait])) == sha256(undisturbed)
    # It was not removed when the state after four epochs was complete.
    again = trained(checkpoint=str(tmp_path), resume=True)
    assert sha256(again) == sha256(undisturbed)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["epoch-000006", "training.json"]


def test_a_checkpoint_that_cannot_be_written_does_not_end_the_training(
    undisturbed: Model, tmp_path: Any
) -> None:
    (tmp_path / "epoch-000004").write_text("where the folder should be")
    with pytest.warns(UserWarning, match="training goes on without: .*epoch-000004/.* could not"):
        model = trained(checkpoint=str(tmp_path))
    assert sha256(model) == sha256(undisturbed)
    assert json.loads((tmp_path / "training.json").read_text())["next_epoch"] == 6


def test_the_command_trains_on_a_data_set_with_workers(cluster: str, tmp_path: Any) -> None:
    likes = Dataset._write(TRAIN.matrix, tmp_path / "likes", part_pairs=1000)
    values = [(f"--{name.replace('_', '-')}", str(value)) for name, value in FEW.items() if value]
    options = [text for pair in values for text in pair]
    out, going = str(tmp_path / "model"), str(tmp_path / "going")
    command = ["train", str(likes.path), "--out", out, "--workers", "2", "--checkpoint", going]
    assert main([*command, *options]) == 0
    users, items = simulated(likes, Trainer(**FEW), 2)
    model = Model.load(out)
    np.testing.assert_array_equal(model.user_vectors[:, :-1], users)
    np.testing.assert_array_equal(model.item_vectors[:, :-1], items)
    assert main([*command, *options, "--resume", "--overwrite"]) == 0  # nothing is left to do
    assert sha256(Model.load(out)) == sha256(model)


def test_rankings_of_workers_are_those_of_one(undisturbed: Model, tmp_path: Any) -> None:
    metrics = ("recall", "ndcg", "auc", "coverage")
    alone = evaluate(undisturbed, TEST, TRAIN, metrics=metrics)
    together = distributed.evaluate(undisturbed, TEST, TRAIN, metrics=metrics, n_workers=2)
    assert together.to_dict() == alone.to_dict()
    np.testing.assert_array_equal(together.per_user["recall"][10], alone.per_user["recall"][10])
    files = tmp_path / "alone.parquet", tmp_path / "together.parquet"
    undisturbed.recommend_all(files[0], 5, TRAIN)
    distributed.recommend_all(undisturbed, files[1], 5, TRAIN, n_workers=2)
    assert files[1].read_bytes() == files[0].read_bytes()


def test_workers_write_the_model_in_parts(
    undisturbed: Model, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A worker is lost before it has written: all parts are written again.
    killed = killing(monkeypatch, [("write_users", ROUNDS * 6, 1)])
    partitioned = trained(out=tmp_path / "model")
    assert len(killed) == 1
    assert partitioned.n_parts == N_WORKERS
    parts = list(partitioned.parts())
    users = np.concatenate([part.user_vectors for part in parts])
    np.testing.assert_array_equal(users, undisturbed.user_vectors)
    np.testing.assert_array_equal(parts[0].item_vectors, undisturbed.item_vectors)
    for name in ("user_ids", "user_counts"):
        whole = np.concatenate([getattr(part, name) for part in parts])
        np.testing.assert_array_equal(whole, getattr(undisturbed, name))
    for name in ("item_ids", "item_counts", "hyperparameters", "history", "version"):
        np.testing.assert_equal(getattr(parts[0], name), getattr(undisturbed, name))
    files = [tmp_path / name for name in ("alone.csv", "parts.csv")]
    undisturbed.recommend_all(files[0], 5, TRAIN)
    partitioned.recommend_all(files[1], 5, TRAIN)
    assert files[1].read_bytes() == files[0].read_bytes()


def test_errors_name_what_is_wrong(cluster: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="9 workers with 1 CPU each need 9, and the cluster has"):
        trained(9)
    with pytest.raises(TrainingDiverged, match=r"an update of worker \d was not finite"):
        distributed.fit(TRAIN, Trainer(**{**FEW, "learning_rate": 1e38}), n_workers=1)
    monkeypatch.setattr(_driver, "__version__", "0.0.7")
    with pytest.raises(RuntimeError, match=r"the worker's node \S+ has cml_fast \S+, not 0\.0\.7"):
        trained(1)


def test_a_worker_gets_a_gpu_or_says_why_it_cannot_train(cluster: str) -> None:
    with pytest.raises(ValueError, match="2 workers with 1 GPU each need 2, and the cluster has 1"):
        trained(2, resources={"GPU": 1})
    if cuda_problem() is None:
        pytest.skip("the worker would train on the GPU")
    message = r"a worker on node \S+ cannot train: device='cuda' cannot be used: "
    with pytest.raises(DeviceUnavailable, match=message):
        trained(1, resources={"GPU": 1})


def test_an_address_that_does_not_answer(cluster: str) -> None:
    from cml_fast.distributed._cluster import _check_answers

    _check_answers(cluster)
    with pytest.raises(ConnectionError, match=r"no Ray cluster answers at '127\.0\.0\.1:9'"):
        _check_answers("127.0.0.1:9")


def test_the_study_of_speed_counts_what_workers_do(cluster: str) -> None:
    found = study.speed(TRAIN.matrix, "likes", 2, n_epochs=2)
    sent: list[int] = []
    simulated(
        TRAIN.matrix,
        study.trainer("likes", 2),
        2,
        on_round=lambda parcels, shares: sent.append(
            parcels[0][1].n_bytes + parcels[1][0].n_bytes + sum(p.n_bytes for p in shares)
        ),
    )
    assert found["bytes sent by a worker in a round"] == round(sum(sent) / 2 / len(sent))
    whole = np.array(found["CPU-seconds of workers"])
    alike = study.independent(TRAIN.matrix, "likes", 2, n_epochs=2)
    assert len(alike["CPU-seconds"]) == 2
    assert min(alike["CPU-seconds"]) > 0
    pairs = 2 * TRAIN.matrix.nnz / max(alike["wall seconds"])
    assert alike["pairs per wall second"] == pytest.approx(pairs, rel=0.1)  # of rounded seconds
    assert (whole >= np.add(found[study.IN_KERNELS], found[study.IN_EXCHANGE]) - 0.01).all()
