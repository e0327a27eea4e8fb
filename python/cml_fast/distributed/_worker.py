"""The Ray actor around a shard.

Its class is made in a function, because Ray then sends its code along: a worker that lacks the
package, or has another version, can still say so.
"""

from __future__ import annotations

from typing import Any


def worker_class(ray: Any) -> Any:
    """The actor class of workers."""
    import contextlib

    class Worker:
        """Holds a `Shard`. After a restart it is empty until `load`.

        One thread combines, another one does everything else, both in the order of the calls.
        """

        def __init__(self) -> None:
            self.shard: Any = None
            self.share: Any = None, None
            self.group: Any = None  # if it gathers
            self.gathered: dict[int, Any] = {}  # combined rows that have not arrived, by rounds

        def problem(self, version: str) -> str | None:
            """Why this worker cannot train with others of a version, or None."""
            import platform

            node = platform.node()
            try:
                from cml_fast import __version__
                from cml_fast import distributed as _  # noqa: F401
            except ImportError as error:
                return f"cml_fast cannot be imported on the worker's node {node}: {error}"
            if __version__ != version:
                return f"the worker's node {node} has cml_fast {__version__}, not {version}"
            return None

        def gathering_problem(self, backend: str) -> str | None:
            """Why this worker cannot gather what others changed by a backend, or None."""
            from cml_fast.distributed._gathering import problem

            return problem(backend)

        def node(self) -> str:
            return str(ray.get_runtime_context().get_node_id())

        def pid(self) -> int:
            import os

            return os.getpid()

        def load(
            self,
            plan: Any,
            number: int,
            likes: Any,
            users: Any,
            items: Any,
            attempt: int,
            next_round: int,
        ) -> None:
            """Become worker ``number`` before ``next_round``, with these tables.

            Before round 0: with a generator and items, as of `First`. What is still asked for of
            an earlier attempt is refused.
            """
            from cml_fast._compute.array_api import namespace_on
            from cml_fast.distributed._gathering import Group
            from cml_fast.distributed._likes import opened
            from cml_fast.distributed._shard import Shard

            self.share = None, None
            self.gathered.clear()
            if self.shard is None:
                self.shard = Shard(plan, number, opened(likes))
            if next_round == 0:
                self.shard.begin(users, **items)
            else:
                self.shard.restore({**users, **items}, next_round)
            self.share = attempt, self.shard.share
            if plan.gathering:
                name = f"{plan.name}-{attempt}"
                xp = namespace_on(plan.device)
                self.group = Group(plan.gathering, name, plan.n_workers, number, xp)

        def train(self, number: int, *arriving: Any) -> tuple[Any, ...]:
            """Return the counters of a round, and a parcel for each share of the items.

            Before that, combined rows may arrive, those of the round before the last one.
            """
            if arriving:
                self.accept(number - 2, *arriving)
            shard = self._loaded(number)
            with self._beside_the_gathering():
                counters, parcels = shard.train(number)
            # The own one stays here, and so need not be copied to Ray's object store.
            if shard.share is not None:
                own = 0 if self.group is not None else shard.number
                shard.share.kept[number], parcels[own] = parcels[own], None
            return (counters, *parcels)

        @ray.method(concurrency_group="combining")  # type: ignore[untyped-decorator]
        def combine(self, attempt: int, number: int, *parcels: Any) -> Any:
            """Return the combined rows of the own share of the items.

            A worker that gathers gets the parcels of the others now, and keeps the rows.
            """
            from cml_fast.distributed._shard import WorkerRestarted

            loaded, share = self.share
            if loaded != attempt:
                raise WorkerRestarted(f"the worker does not combine round {number}")
            own = share.kept.pop(number)
            if self.group is None:
                return share.combine([own if parcel is None else parcel for parcel in parcels])
            try:
                rows = share.combine_gathered(number, own, self.group.gather, self.group.n)
                self.group.wait()
            except Exception as error:
                self.shard = None  # so that all else that was asked for is refused
                raise WorkerRestarted(f"gathering failed: {error}") from error
            self.gathered[number] = rows
            return None

        def leave(self) -> None:
            """Leave the group, at the end of a training."""
            self.group.leave()

        def accept(self, number: int, *parcels: Any) -> None:
            """Take over the combined rows of all shares, or those that were gathered."""
            shard = self._loaded(number)
            rows = parcels if self.group is None else [self.gathered.pop(number)]
            with self._beside_the_gathering():
                shard.accept(number, rows)

        def snapshot(self, next_round: int, entity: str) -> Any:
            """True, and the tables of "users" or "items", which Ray copies before the next call."""
            return True, self._at(next_round).snapshot(entity)

        def store(self, next_round: int, path: str, with_items: bool) -> dict[str, str]:
            """Write the same to a checkpoint; return the SHA-256 of each file."""
            from cml_fast.distributed._checkpoint import write_arrays

            shard = self._at(next_round)
            entities = ["users", "items"] if with_items else ["users"]
            return write_arrays(path, shard.number, {e: shard.snapshot(e) for e in entities})

        def vectors(self, next_round: int, entity: str, rows: Any = slice(None)) -> Any:
            """Users or items, or some of them, as a model has them."""
            return self._at(next_round).vectors()[entity == "items"][rows]

        def write_users(self, next_round: int, folder: str, ids: Any, n_columns: int) -> Any:
            """Write the users, with these ids, as parts of a model; return their entries.

            A column that they do not have, that of a popularity bias, is 0.
            """
            import numpy as np

            from cml_fast.distributed._parts import write_users

            shard = self._at(next_round)
            counts = np.diff(shard.likes.indptr).astype(np.int64)
            users = shard.vectors()[0]
            users = np.pad(users, [(0, 0), (0, n_columns - users.shape[1])])
            return write_users(folder, shard.number, users, ids, counts)

        def _beside_the_gathering(self) -> Any:
            return contextlib.nullcontext() if self.group is None else self.group.beside()

        def _at(self, number: int) -> Any:
            """The shard, if nothing is on its way to it and round ``number`` is next."""
            from cml_fast.distributed._shard import WorkerRestarted

            shard = self._loaded(number)
            if not shard.next_round == shard.arrived == number:
                raise WorkerRestarted(f"the worker is not at round {number}")
            return shard

        def _loaded(self, number: int) -> Any:
            from cml_fast.distributed._shard import WorkerRestarted

            if self.shard is None:
                raise WorkerRestarted(f"the worker is not at round {number}")
            return self.shard

    return ray.remote(concurrency_groups={"combining": 1})(Worker)
