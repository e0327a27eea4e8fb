"""Training by several workers: what it costs in quality, and how fast it is.

    python -m benchmarks.studies.distributed
    python -m benchmarks.studies.distributed --parts speed --speed-workers 1 2 4

- *quality*: recall@50 on validation likes after equal epochs, beside that of one worker with the
  same seed. The workers are simulated in one process; they come to the same bits as on Ray.
- *speed*: pairs per second of workers with one thread each, on Ray on this machine. Where workers
  have no core each, the wall time says little; so there is also the CPU time of the worker that
  took most, all of its exchange included. The wall time is compared with what the machine can do:
  as many trainings by one worker at the same time, which share nothing but its caches. All are
  measured in turn, several times: least, median and largest of the ratios are told. A model of
  a round, by its pairs, bytes, bandwidth and calls, is compared with what was measured, and
  predicts more workers on networks.
- *model*: the same model of the results of an earlier *speed* part (``--measured FILE``).

Finished measurements are kept in ``--work``: the same command goes on where it was interrupted.
"""

from __future__ import annotations

import argparse
import copy
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from cml_fast import Model, Trainer, distributed
from cml_fast._training.fit_inputs import check_fit_inputs
from cml_fast._training.hyperparameters import check_settings
from cml_fast.distributed import _fit
from cml_fast.distributed._cluster import connected
from cml_fast.distributed._driver import Driver
from cml_fast.distributed._exchange import Items, Parcel, combine
from cml_fast.distributed._shard import Plan
from cml_fast.distributed._sharding import (
    Rounds,
    default_epochs,
    default_rounds,
    default_shares,
    user_bounds,
)
from cml_fast.evaluation import evaluate

from ..common import datasets, results_file
from ..common.clock import rate, ratio
from ..common.measurement_store import MeasurementStore
from ..common.simulated_workers import simulated
from .beyond_memory import matrix

MODULE = "benchmarks.studies.distributed"
WORK = Path("build/distributed")
PARTS = ("quality", "speed", "model")
N_DIMS: int = Trainer().n_dims  # the default
# Settings that are chosen by short trials otherwise: the same for every number of workers.
CHOSEN = {"gowalla": {"temperature": 0.16, "user_retention": 1.0}}
MADE_UP = "made up"
MADE_UP_ITEMS = 30_000
GBIT = 1e9 / 8
# Of a message between machines, in a data centre.
LATENCY = 1e-4
PREDICTED = (8, 64, 512)
# Objects of a call whose cost is measured and their bytes, and how often.
COUNTED, REPEATED = ((4, 8), (260, 8), (4, 4_000_000)), 8
NETWORKS = (10, 100)
LARGE = 1_000_000_000

# CPU-seconds of workers.
IN_KERNELS, IN_EXCHANGE = "of these in kernels", "in changes and their sums"
# Of the items, to compare the predictions for the largest number of workers.
SHARES = (4, 8, 16, 32, 64, 128, 512)

Row = dict[str, Any]


def trainer(name: str, n_epochs: int, seed: int = 0) -> Trainer:
    chosen = CHOSEN.get(name, {} if name in datasets.NAMES else CHOSEN["gowalla"])
    return Trainer(n_epochs=n_epochs, n_threads=1, random_state=seed, verbose=False, **chosen)


# --- quality ------------------------------------------------------------------------------------


def quality(
    name: str, folder: Path, n_workers: int, per_epoch: int, n_epochs: int, seed: int
) -> float:
    """Recall@50 on validation likes."""
    train, validation, _ = datasets.load(name, folder)
    model = Model(*simulated(train, trainer(name, n_epochs, seed), n_workers, per_epoch))
    found = evaluate(model, validation.matrix, train.matrix, ks=(50,), metrics=("recall",))
    return round(found.recall[50], 5)


# --- speed --------------------------------------------------------------------------------------


def likes_of(name: str, folder: Path, n_pairs: int) -> Any:
    """The likes to train on; those that are made up are of the kind of `beyond_memory`."""
    if name == MADE_UP:
        return matrix(n_pairs, MADE_UP_ITEMS)
    return datasets.load(name, folder)[0].matrix


def speed(likes: Any, name: str, n_workers: int, n_epochs: int) -> Row:
    """Train with workers on Ray, and let each tell its CPU time after loading and at the end."""
    found: Row = {"workers": n_workers, "rounds per epoch": default_rounds(n_workers)}

    def clock(worker: Any) -> None:
        """Run in a worker: measure its kernels, and count what it sends to others.

        With one thread the kernels run in that which calls them. Another one combines, so each
        adds to numbers of its own.
        """
        import time

        shard, share = worker.shard, worker.share[1]
        combine, train = share.combine, shard.train
        worker.spent, worker.sent = {}, {"train": 0, "combine": 0}

        def clocked(name: str, call: Any) -> Any:
            worker.spent[name] = 0.0

            def in_it(*arguments: Any) -> Any:
                begun = time.thread_time()
                found = call(*arguments)
                worker.spent[name] += time.thread_time() - begun
                return found

            return in_it

        def trained(number: int) -> Any:
            counters, parcels = train(number)
            others = sum(p.n_bytes for v, p in enumerate(parcels) if v != shard.number)
            worker.sent["train"] += others
            return counters, parcels

        def combined(parcels: Any) -> Any:
            parcel = combine(parcels)
            worker.sent["combine"] += parcel.n_bytes * (len(parcels) - 1)
            return parcel

        shard._job.run = clocked("run", shard._job.run)
        shard.train, share.combine = clocked("train", trained), clocked("combine", combined)
        shard.accept = clocked("accept", shard.accept)

    def read(worker: Any) -> tuple[float, ...]:
        """Run in a worker: CPU-seconds in all, in kernels and exchange, and the bytes sent."""
        import time

        kernels = worker.spent["run"]
        exchange = sum(worker.spent.values()) - 2 * kernels  # `train` is around them
        return time.process_time(), kernels, exchange, sum(worker.sent.values())

    class Clocked(Driver):
        def _of_all(self, function: Any) -> np.ndarray:
            calls = [worker.__ray_call__.remote(function) for worker in self._workers]
            return np.array(self._ray.get(calls))

        def _load(self) -> None:
            super()._load()
            self._of_all(clock)
            self.begun = self._of_all(read), time.perf_counter()

        def vectors(self) -> tuple[np.ndarray, np.ndarray]:
            workers, wall = self.begun
            seconds = (time.perf_counter() - wall) / n_epochs
            whole, kernels, exchange, sent = ((self._of_all(read) - workers) / n_epochs).T
            found["wall seconds"] = round(seconds, 3)
            found["CPU-seconds of workers"] = np.round(whole, 3).tolist()
            found[IN_KERNELS] = np.round(kernels, 3).tolist()
            found[IN_EXCHANGE] = np.round(exchange, 4).tolist()
            found["bytes sent by a worker in a round"] = round(
                float(sent.mean()) / found["rounds per epoch"]
            )
            return super().vectors()

    _fit.Driver = Clocked  # type: ignore[misc]
    try:
        distributed.fit(likes, trainer(name, n_epochs), n_workers=n_workers)
    finally:
        _fit.Driver = Driver  # type: ignore[misc]
    slowest = max(found["CPU-seconds of workers"])
    whole = np.array(found["CPU-seconds of workers"])
    for share, key in (("kernels", IN_KERNELS), ("exchange", IN_EXCHANGE)):
        found[f"share in {share}"] = round(float((found[key] / whole).mean()), 4)
    found["pairs per wall second"] = round(rate(likes.nnz, found["wall seconds"]))
    found["pairs per CPU-second of the slowest"] = round(rate(likes.nnz, slowest))
    return found


def independent(likes: Any, name: str, n_trainings: int, n_epochs: int) -> Row:
    """Trainings by one worker each that run at the same time and share nothing.

    They begin together, and each tells its wall time and CPU time of an epoch.
    """
    own = _fit._for_workers(trainer(name, n_epochs), {"CPU": 1.0})
    inputs = check_fit_inputs(own, likes, None, (), None, None)
    settings, first = _fit._begin(own, inputs, None, user_bounds(inputs.likes.indptr, 1))
    plan = Plan(settings, Rounds(default_rounds(1), n_epochs, 1), 1, 1)

    class Training:
        def __init__(self, likes: Any, first: Any) -> None:
            from cml_fast.distributed._shard import Shard

            self.shard = Shard(plan, 0, likes)
            self.shard.begin(*first.generators, **first.items)

        def ready(self) -> None:
            """Answer, which is after all that was asked for before."""

        def run(self) -> tuple[float, float]:
            import time

            begun = time.perf_counter(), time.process_time()
            for number in range(plan.rounds.total):
                _, parcels = self.shard.train(number)
                self.shard.accept(number, [self.shard.share.combine(parcels)])
            return time.perf_counter() - begun[0], time.process_time() - begun[1]

    with connected("local", n_trainings, {"CPU": 1.0}) as ray:
        shared = ray.put(inputs.likes), ray.put(first)
        make = ray.remote(Training).options(num_cpus=1)
        trainings = [make.remote(*shared) for _ in range(n_trainings)]
        ray.get([training.ready.remote() for training in trainings])
        seconds = np.array(ray.get([training.run.remote() for training in trainings])) / n_epochs
    wall, cpu = seconds.T
    return {
        "trainings": n_trainings,
        "wall seconds": np.round(wall, 3).tolist(),
        "CPU-seconds": np.round(cpu, 3).tolist(),
        "pairs per wall second": round(rate(n_trainings * likes.nnz, wall.max())),
    }


def objects() -> Row:
    """CPU-seconds that Ray takes for an object which one call returns and another one takes.

    For the process that calls both, and for the worker; and for each byte of an array in it.
    """

    class Worker:
        def make(self, n: int, n_bytes: int) -> Any:
            return tuple(np.zeros(n_bytes, dtype=np.uint8) for _ in range(n))

        def take(self, *arrays: Any) -> float:
            import time

            return time.process_time()

    with connected("local", 1, {"CPU": 1.0}) as ray:
        worker = ray.remote(Worker).remote()
        spent = []
        for n, n_bytes in (COUNTED[0], *COUNTED):  # the first is to warm up
            begun = time.process_time(), ray.get(worker.take.remote())
            for _ in range(REPEATED):
                made = worker.make.options(num_returns=n).remote(n, n_bytes)
                ended = ray.get(worker.take.remote(*made))
            spent.append((time.process_time() - begun[0], ended - begun[1]))
    few, many, large = np.array(spent[1:]) / REPEATED
    (n_few, n_bytes), (n_many, _), (_, n_large) = COUNTED
    driver, of_worker = (many - few) / (n_many - n_few)
    per_byte = (large - few)[1] / (n_few * (n_large - n_bytes))
    return {"driver": float(driver), "worker": float(of_worker), "byte": float(per_byte)}


def sums(n_items: int) -> float:
    """CPU-seconds in which one of two workers adds up what both changed of its half of all items.

    With as many shares as workers these are as many rows for any number of workers.
    """
    rng, n = np.random.default_rng(0), n_items // 2
    start = Items(rng.random((n, N_DIMS), dtype=np.float32), np.ones((n, 1), dtype=np.float32))
    parcel = Parcel(np.arange(n, dtype=np.int32), *start)
    spent = []
    for _ in range(REPEATED):
        begun = time.process_time()
        combine([parcel, parcel], start, max_norm=1.0)
        spent.append(time.process_time() - begun)
    return float(np.median(spent))


# --- model --------------------------------------------------------------------------------------


class RoundModel:
    """How long rounds take.

    Workers train a round while the changes of the one before are exchanged, so a round takes as
    long as what takes longer. The last exchange before a state that is accepted is not hidden.

    Calibrated on one machine, where there is no network: the kernels on the CPU time of one worker,
    what a worker computes in an exchange on that of two. Each compares all items with those before
    the round, and takes over all sums, however many workers there are. Who combines a share of the
    items adds up the changes of all workers to it. What Ray does by itself, such as looking
    after its workers, is left out: it depends on how long a round lasts. So are the copies of a
    state that is accepted.

    Parameters
    ----------
    n_pairs, n_items : int
    name : str
        Of the data set.
    measured : dict of int to Row
        By the number of workers, as of `speed`.
    per_object : Row
        As of `objects`.
    sums : float
        As of `sums`.
    """

    def __init__(
        self,
        n_pairs: int,
        n_items: int,
        name: str,
        measured: dict[int, Row],
        per_object: Row,
        sums: float,
    ) -> None:
        settings = check_settings(trainer(name, 1).get_params(), (n_pairs, n_items), n_pairs)
        self.n_pairs, self.n_items = n_pairs, n_items
        self.negatives_per_pair = settings.n_negatives / settings.tile_size
        self.row_bytes = 4 * (1 + N_DIMS + (1 if settings.rowwise else N_DIMS))
        self.per_object = per_object
        self.pairs_per_second = n_pairs / measured[1][IN_KERNELS][0]
        two = measured[2]
        self.sums = sums
        self.beside_sums = float(np.mean(two[IN_EXCHANGE])) / two["rounds per epoch"] - sums

    def with_pairs(self, n_pairs: int) -> RoundModel:
        """The same for more likes of the same items."""
        other = copy.copy(self)
        other.n_pairs = n_pairs
        return other

    def shares(self, n_workers: int) -> int:
        return default_shares(n_workers, self.n_items, N_DIMS)

    def changed(self, n_workers: int) -> tuple[float, float]:
        """Bytes of the items that one worker changes in a round, and of those that any changes.

        All items are drawn equally often.
        """
        pairs = self.n_pairs / n_workers / default_rounds(n_workers)
        draws = pairs * (1 + self.negatives_per_pair) / self.n_items
        by_one, by_any = -np.expm1(-draws), -np.expm1(-draws * n_workers)
        n_bytes = self.n_items * self.row_bytes
        return float(by_one * n_bytes), float(by_any * n_bytes)

    def epoch(self, n_workers: int, gbit: float | None = None, n_shares: int | None = None) -> Row:
        """Seconds of an epoch by what takes them; without a network if ``gbit`` is None.

        A worker has one core, which also makes the sums and the objects of Ray: these take their
        time from the kernels. Parcels wait for them, for the driver's calls and for the network.
        """
        n_shares = n_shares or self.shares(n_workers)
        rounds, others = default_rounds(n_workers), n_workers - 1
        by_one, by_any = self.changed(n_workers)
        # Who combines a share gets the changes of it from all others, and sends them the sums. With
        # a share for each worker that is also what each sends.
        n_bytes = (by_one + by_any) * others / n_shares
        network = driver = 0.0
        if gbit is not None:
            network = n_bytes / (gbit * GBIT) + 2 * LATENCY
            # Parcels are returned once and taken once, combined shares are taken by all.
            driver = 1.5 * n_workers * n_shares * self.per_object["driver"]
        # Who combines returns a parcel for each share, takes one from each worker, and all sums.
        in_ray = (n_shares - 1 + others / 2) * self.per_object["worker"]
        returned = by_one * (n_shares - 1) / n_shares + by_any / n_shares
        taken = by_one * others / n_shares + by_any * (n_shares - 1) / n_shares
        in_ray += (returned + taken) / 2 * self.per_object["byte"]
        exchange = self.beside_sums + self.sums * n_workers / n_shares
        computed = {
            "kernels": self.n_pairs / n_workers / self.pairs_per_second,
            "exchange": rounds * exchange,
            "objects": rounds * in_ray,
        }
        computing = sum(computed.values())
        under_way = network + driver + in_ray + self.sums * n_workers / n_shares
        waiting = max(rounds * under_way - computing, 0.0)
        waiting += (network + driver) / default_epochs(self.n_pairs, n_workers)
        parts = {**computed, "network": rounds * network, "driver": rounds * driver}
        total = computing + waiting
        return {
            "workers": n_workers,
            "rounds per epoch": rounds,
            "shares": n_shares,
            "bytes sent by a worker in a round": round(n_bytes),
            **{name: round(seconds, 4) for name, seconds in parts.items()},
            "waiting": round(waiting, 4),
            "seconds": round(total, 4),
            "speed-up": round(self.epoch_of_one() / total, 2),
        }

    def epoch_of_one(self) -> float:
        return self.n_pairs / self.pairs_per_second + self.beside_sums + self.sums


def checked(model: RoundModel, measured: dict[int, Row]) -> list[Row]:
    """What the model says of a worker's CPU time and bytes, beside what was measured."""
    rows = []
    for n_workers, row in measured.items():
        said, sent = model.epoch(n_workers), "bytes sent by a worker in a round"
        seconds = np.add(row[IN_KERNELS], row[IN_EXCHANGE]).mean()
        rows.append(
            {
                "workers": n_workers,
                "CPU-seconds in kernels and exchange": round(float(seconds), 3),
                "by the model": round(said["kernels"] + said["exchange"], 3),
                sent: row[sent],
                "bytes by the model": said[sent],
            }
        )
    return rows


# --- all together -------------------------------------------------------------------------------


def parsed(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS[:2])
    parser.add_argument("--folder", type=Path, default=datasets.DEFAULT_FOLDER)
    parser.add_argument("--names", nargs="*", default=["gowalla", "citeulike-t"], help="quality")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 4, 8], help="quality")
    parser.add_argument("--rounds", type=int, help="of an epoch, quality; as `fit` by default")
    parser.add_argument("--epochs", type=int, default=24, help="quality")
    parser.add_argument("--seeds", type=int, default=4, help="quality")
    parser.add_argument("--speed-names", nargs="*", default=["gowalla", MADE_UP])
    parser.add_argument("--speed-workers", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--turns", type=int, default=3, help="of all measurements of speed")
    parser.add_argument("--speed-pairs", type=int, default=4_000_000, help="train so many, about")
    parser.add_argument("--pairs", type=int, default=10_000_000, help="of the made-up likes")
    parser.add_argument("--measured", type=Path, help="the results of a speed part, for the model")
    parser.add_argument("--work", type=Path, default=WORK)
    parser.add_argument("--out", type=Path)
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    args = parsed(argv)
    settings = {"epochs": args.epochs, "pairs": args.pairs}
    store = MeasurementStore(args.work, settings)
    record: Row = {"machine": results_file.machine(), "n_dims": N_DIMS}
    if "quality" in args.parts:
        record["quality"] = {name: table_of_quality(name, args, store) for name in args.names}
    if "speed" in args.parts:
        for name in args.speed_names:
            record[name] = table_of_speed(name, args, store)
    if "model" in args.parts:
        record["measured"] = args.measured.name
        known = json.loads(args.measured.read_text())
        for name in args.speed_names:
            row = known[name]
            measured = {each["workers"]: each for each in row["measured"]}
            per_object = row["model"]["CPU-seconds of Ray per object"]
            record[name] = by_model(name, row["pairs"], row["items"], measured, per_object)
    print(f"written: {results_file.write(MODULE, record, args.out)}", file=sys.stderr)


def table_of_quality(name: str, args: argparse.Namespace, store: MeasurementStore) -> list[Row]:
    rows: list[Row] = []
    first: list[float] = []
    for n_workers in args.workers:
        n_rounds = args.rounds or default_rounds(n_workers)
        recalls = [
            store.once(
                f"{name}, seed {seed}, {n_workers} workers, {n_rounds} rounds",
                lambda n=n_workers, r=n_rounds, seed=seed: quality(
                    name, args.folder, n, r, args.epochs, seed
                ),
            )
            for seed in range(args.seeds)
        ]
        first = first or recalls
        changes = [ratio(*both) - 1 for both in zip(recalls, first, strict=True)]
        mean, change = float(np.mean(recalls)), float(np.mean(changes))
        rows.append(
            {
                "workers": n_workers,
                "rounds per epoch": n_rounds,
                "recall@50": round(mean, 5),
                "compared with the first: mean, least, largest": [
                    round(value, 4) for value in (change, min(changes), max(changes))
                ],
            }
        )
        print(f"{name:12}{n_workers:4} workers  recall@50 {mean:.4f}{change:+8.2%}")
    return rows


class Turn(NamedTuple):
    """Measurements one after another, by the number of workers and of independent trainings."""

    workers: dict[int, Row]
    independent: dict[int, Row]


def in_turns(
    likes: Any, name: str, args: argparse.Namespace, store: MeasurementStore
) -> list[Turn]:
    """All measurements of speed, several times: a machine's speed changes within minutes."""
    n_epochs = max(1, round(args.speed_pairs / likes.nnz))
    return [
        Turn(
            {
                n: store.once(
                    f"{name}, speed of {n}, {turn}", lambda n=n: speed(likes, name, n, n_epochs)
                )
                for n in args.speed_workers
            },
            {
                n: store.once(
                    f"{name}, {n} independent, {turn}",
                    lambda n=n: independent(likes, name, n, n_epochs),
                )
                for n in sorted({1, *args.speed_workers})
            },
        )
        for turn in range(args.turns)
    ]


def spread(values: Sequence[float]) -> list[float]:
    """The least, the median and the largest."""
    return [round(float(value), 3) for value in np.percentile(values, (0, 50, 100))]


def table_of_speed(name: str, args: argparse.Namespace, store: MeasurementStore) -> Row:
    likes = likes_of(name, args.folder, args.pairs)
    turns = in_turns(likes, name, args, store)
    per_object = store.once("objects", objects)
    by_wall, by_cpu = "pairs per wall second", "pairs per CPU-second of the slowest"
    first = args.speed_workers[0]
    measured, rows = {}, []
    for n in args.speed_workers:
        by_speed = sorted((turn.workers[n] for turn in turns), key=lambda row: row[by_wall])
        measured[n] = by_speed[(len(turns) - 1) // 2]  # the median; of two, the slower one
        gains, by_cpu_time = (
            [ratio(turn.workers[n][key], turn.workers[first][key]) for turn in turns]
            for key in (by_wall, by_cpu)
        )
        # How many times as fast as one worker so many can be on this machine.
        ceilings = [
            ratio(turn.independent[n][by_wall], turn.independent[1][by_wall]) for turn in turns
        ]
        shares = [ratio(*both) for both in zip(gains, ceilings, strict=True)]
        rows.append(
            {
                **measured[n],
                "speed-up": spread(gains),
                "speed-up of trainings that share nothing": spread(ceilings),
                "share of that": spread(shares),
                "speed-up by CPU time": spread(by_cpu_time),
            }
        )
        row = rows[-1]
        print(
            f"{name:10}{n:4} workers{row[by_wall]:10,.0f} pairs/s"
            f"{row['speed-up'][1]:6.2f} of {np.median(ceilings):.2f}"
            f"{row[by_cpu]:10,.0f} pairs/CPU-s"
            f"{row['speed-up by CPU time'][1]:6.2f}{row['share in kernels']:8.1%} kernels"
            f"{row['share in exchange']:7.1%} exchange"
        )
    return {
        "pairs": likes.nnz,
        "items": likes.shape[1],
        "measured": rows,
        "independent": [list(turn.independent.values()) for turn in turns],
        **by_model(name, likes.nnz, likes.shape[1], measured, per_object),
    }


def by_model(
    name: str, n_pairs: int, n_items: int, measured: dict[int, Row], per_object: Row
) -> Row:
    """What the model says of what was measured, and of more workers."""
    model = RoundModel(n_pairs, n_items, name, measured, per_object, sums(n_items))
    predicted = {
        f"{n_pairs:.0e} pairs, {gbit} Gbit/s": [
            model.with_pairs(n_pairs).epoch(n_workers, gbit) for n_workers in PREDICTED
        ]
        for n_pairs in (n_pairs, LARGE)
        for gbit in NETWORKS
    }
    by_shares = [
        model.with_pairs(LARGE).epoch(PREDICTED[-1], NETWORKS[0], n_shares)
        for n_shares in sorted((*SHARES, model.shares(PREDICTED[-1])))
    ]
    for what, epochs in predicted.items():
        for epoch in epochs:
            print(
                f"{name:10}{epoch['workers']:4} workers, {what}, predicted: "
                f"{epoch['seconds']:.2f} s an epoch, {epoch['speed-up']:.1f} times"
            )
    return {
        "model": {
            "pairs per CPU-second in kernels": round(model.pairs_per_second),
            "CPU-seconds of a round for changes": model.beside_sums,
            "and for sums, with a share for each worker": model.sums,
            "CPU-seconds of Ray per object": per_object,
            "latency of a message": LATENCY,
        },
        "checked": checked(model, measured),
        "predicted": predicted,
        "predicted by the number of shares": by_shares,
    }


if __name__ == "__main__":
    main()
