"""The rounds of a training on Ray's workers, and what is done when some of these are lost.

A round takes two calls of each worker. It takes over what was combined of the round before the
last one, trains, and packs what it changed. Then another thread of it combines the parcels for its
share of the items, if it has one, while it trains the next round. Parcels go from worker to worker
through Ray's object store. The driver only says what depends on what, for all rounds of some epochs
at once, and does so while the epochs before these are trained.

Workers that gather (see `_gathering`) take one call a round: exchanging and combining what they
changed is a part of their training.

After some epochs nothing is on its way, and the workers hand out copies of their tables. If a
worker is lost, Ray starts it again, and all workers go back to these copies, or where they are lost
as well to the checkpoint, or to the beginning. What follows is the same to the bit, because what
happens in a round depends on its number only.
"""

from __future__ import annotations

import itertools
import time
import uuid
import warnings
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, TypeVar

import numpy as np

from .. import __version__
from .._training.popularity import PopularityBias
from .._training.reports import Counters, EpochReport
from ._checkpoint import Arrays, file_of, folder_of, read_arrays, recut, remove, write_record
from ._cluster import options_of
from ._parts import Entry
from ._shard import First, Plan, WorkerRestarted
from ._worker import worker_class

# How long lost workers may take to come back.
SECONDS_TO_RESTART = 300.0
SECONDS_BETWEEN_TRIES = 0.2
SECONDS_TO_LEAVE = 10.0
# How often the epochs up to a state are begun. A worker that is lost every time may need more
# memory than it has.
TRIES = 10
ENTITIES = ("users", "items")

T = TypeVar("T")


@dataclass
class Accepted:
    """A state before a round, when nothing is on its way: where copies of it are.

    Attributes
    ----------
    next_round : int
    snapshots : list of (users, items)
        For each worker, in Ray's object store; before round 0 what `First` has for it.
    """

    next_round: int
    snapshots: list[tuple[Any, Any]]


@dataclass
class Asked:
    """What workers were asked for, up to a state: references to results.

    Attributes
    ----------
    end : int
        The round before which the state is.
    calls : dict of int to list
        The trainings of each epoch, which return counters.
    made : list
        All else that must be over.
    snapshots : list of (users, items)
        As of `Accepted`.
    written : list
        The SHA-256 of the files of a checkpoint, if there is one.
    """

    end: int
    calls: dict[int, list[Any]]
    made: list[Any]
    snapshots: list[tuple[Any, Any]]
    written: list[Any]


class Driver:
    """Trains with workers on Ray.

    Parameters
    ----------
    ray : module
    plan : Plan
    bounds : numpy.ndarray, (n_workers + 1,)
        Worker w has the users from ``bounds[w]`` to ``bounds[w + 1]``.
    likes : list
        Of each worker, as of `likes_of_workers`.
    resources : dict of str to float
        Of each worker.
    first : First or None
        What training begins with; None to go on from a checkpoint.
    checkpoint : str or None
    record : dict
        What a checkpoint says besides the state.
    on_epoch : function of EpochReport

    Attributes
    ----------
    history : list of EpochReport
        Of the epochs that were trained, each once, whatever was trained again.
    """

    def __init__(
        self,
        ray: Any,
        plan: Plan,
        bounds: np.ndarray,
        likes: Sequence[Any],
        resources: dict[str, float],
        first: First | None,
        checkpoint: str | None,
        record: dict[str, Any],
        on_epoch: Callable[[EpochReport], Any],
    ) -> None:
        self._ray, self._plan, self._first = ray, plan, first
        self._checkpoint, self._record, self._on_epoch = checkpoint, record, on_epoch
        self._bounds = bounds
        self._has_warned = False  # that a checkpoint could not be written
        self._attempt = 0
        self.history: list[EpochReport] = []
        make = worker_class(ray).options(max_restarts=-1, **options_of(resources))
        self._workers = [make.remote() for _ in range(plan.n_workers)]
        problem = self._problem("problem", __version__)
        if problem is not None:
            raise RuntimeError(f"{problem}; install the same version on all nodes")
        self._likes = [ray.put(some) for some in likes]

    def gather_by(self, backend: str) -> str | None:
        """Let workers gather what all changed by a backend; return why they cannot, or None.

        To be called before `run`.
        """
        problem = self._problem("gathering_problem", backend)
        if problem is None:
            self._plan = replace(
                self._plan, gathering=backend, n_shares=1, name=f"cml_fast-{uuid.uuid4()}"
            )
        return problem

    def on_one_node(self) -> bool:
        """Whether all workers are on the same machine."""
        nodes = [self.call(w, "node") for w in range(self._plan.n_workers)]
        return len(set(self._ray.get(nodes))) == 1

    def run(self, stored: dict[str, Any] | None, at_end: Callable[[], T]) -> T:
        """Train to the end, from a checkpoint's record if there is one.

        Returns what ``at_end`` does, which is `vectors` or calls `write_users`; it is called again
        if a worker is lost meanwhile. ``history`` has the epochs.
        """
        self._stored = stored
        if stored is not None:
            self.history = [EpochReport(**report) for report in stored["history"]]
        self._accepted = self._last_resort()
        self._load()
        n_lost, lost_at = 0, -1
        while True:
            try:
                if self._accepted.next_round < self._plan.rounds.total:
                    self._train()
                result = at_end()
            except Exception as error:
                self._check_lost(error)
                if self._accepted.next_round != lost_at:
                    n_lost, lost_at = 0, self._accepted.next_round
                n_lost += 1
                if n_lost == TRIES:
                    epoch = self._plan.rounds.epoch_of(self._accepted.next_round)
                    raise RuntimeError(
                        f"a worker was lost {TRIES} times since the training was at epoch {epoch}; "
                        f"the last time: {error}"
                    ) from error
                self._load()
            else:
                if self._plan.gathering:
                    calls = [self.call(w, "leave") for w in range(self._plan.n_workers)]
                    self._ray.wait(calls, num_returns=len(calls), timeout=SECONDS_TO_LEAVE)
                return result

    def _problem(self, method: str, *arguments: Any) -> str | None:
        """What a method of the workers says of the first one that has a problem; or None."""
        calls = [self.call(w, method, *arguments) for w in range(self._plan.n_workers)]
        return next((problem for problem in self._ray.get(calls) if problem is not None), None)

    def stop(self) -> None:
        """Let go of the workers."""
        for worker in self._workers:
            self._ray.kill(worker)

    def call(self, number: int, method: str, *arguments: Any, n_returns: int = 1) -> Any:
        """Call a worker; returns what Ray calls a reference, to its result."""
        bound = getattr(self._workers[number], method)
        return bound.options(num_returns=n_returns).remote(*arguments)

    # --- epochs --------------------------------------------------------------------------------

    def _train(self) -> None:
        """Train from the accepted state to the end.

        The rounds up to one state are asked for while those up to the state before are trained.
        """
        self._begun = time.perf_counter()
        end = self._plan.rounds.total
        asked = deque([self._ask(self._accepted.next_round)])
        while asked:
            if asked[-1].end < end:
                asked.append(self._ask(asked[-1].end))
            self._wait_for(asked.popleft())

    def _ask(self, first: int) -> Asked:
        """Ask for the rounds from ``first`` up to the state that is accepted next."""
        rounds, n_shares = self._plan.rounds, self._plan.n_shares
        everyone = range(self._plan.n_workers)
        end = rounds.accepted_after(first)
        calls: dict[int, list[Any]] = {}
        combined: dict[int, list[Any]] = {}  # of each round that has not arrived
        sent: list[Any] = []
        for number in range(first, end):
            arriving = combined.pop(number - 2, [[]] * self._plan.n_workers)
            before = sent
            sent = [
                self.call(w, "train", number, *arriving[w], n_returns=n_shares + 1)
                for w in everyone
            ]
            calls.setdefault(rounds.epoch_of(number), []).extend(parcels[0] for parcels in sent)
            if number > first:
                combined[number - 1] = self._combine(number - 1, before)
        combined[end - 1] = self._combine(end - 1, sent)
        made = [
            self.call(w, "accept", number, *arriving[w])
            for number, arriving in combined.items()
            for w in everyone
        ]
        copies = [self.call(w, "snapshot", end, "users", n_returns=2) for w in everyone]
        copies.append(self.call(0, "snapshot", end, "items", n_returns=2))
        # The copies stay where they are, but that they were made is certain with these.
        made += [is_made for is_made, _ in copies]
        *users, items = (copy for _, copy in copies)
        written = []
        if self._checkpoint is not None:
            folder = folder_of(self._checkpoint, rounds.epoch_of(end))
            written = [self.call(w, "store", end, folder, w == 0) for w in everyone]
        return Asked(end, calls, made, [(own, items) for own in users], written)

    def _combine(self, number: int, sent: Sequence[Any]) -> list[Any]:
        """Combine what workers sent in a round; returns what then arrives at each worker.

        That is a call for each share of the items, or the worker's own call if workers gather.
        """
        plan = self._plan
        if plan.gathering is not None:
            parcels_for = [own[1:] for own in sent]
        else:
            parcels_for = [[own[share + 1] for own in sent] for share in range(plan.n_shares)]
        calls = [
            self.call(w, "combine", self._attempt, number, *parcels)
            for w, parcels in enumerate(parcels_for)
        ]
        return [[call] for call in calls] if plan.gathering else [calls] * plan.n_workers

    def _wait_for(self, asked: Asked) -> None:
        """Tell of each epoch when it is over, and accept the state after them."""
        last = max(asked.calls)
        for epoch, called in asked.calls.items():
            total = Counters()
            for counters in self._ray.get(called):
                total = total.plus(counters)
            if epoch == last:
                self._ray.get(asked.made)
            now = time.perf_counter()
            total, self._begun = replace(total, seconds=now - self._begun), now
            report = total.report(epoch, self._plan.settings.n_negatives)
            if epoch == last:
                if self._checkpoint is not None:
                    self._store(asked, [*self.history[:epoch], report])
                self._accepted = Accepted(asked.end, asked.snapshots)
            if epoch == len(self.history):
                self.history.append(report)
                self._on_epoch(report)

    # --- the end -------------------------------------------------------------------------------

    def vectors(self) -> tuple[np.ndarray, np.ndarray]:
        """The vectors of users and items, (rows, n_dims) float32."""
        end = self._plan.rounds.total
        users = [self.call(w, "vectors", end, "users") for w in range(self._plan.n_workers)]
        *parts, items = self._ray.get([*users, self.call(0, "vectors", end, "items")])
        return np.concatenate(parts), items

    def write_users(
        self, folder: str, user_ids: np.ndarray | None, bias: PopularityBias | None
    ) -> tuple[list[Entry], np.ndarray]:
        """Let workers write their users; return the entries of the files, and the items' vectors.

        Without ``user_ids`` these are the row numbers. A popularity bias adds a coordinate, by
        users whose vectors workers send.
        """
        end = self._plan.rounds.total
        items = self._ray.get(self.call(0, "vectors", end, "items"))
        if bias is not None:
            rows, calls = bias.sample[0], []
            for w, (first, last) in enumerate(itertools.pairwise(self._bounds.tolist())):
                own = rows[(rows >= first) & (rows < last)] - first
                calls.append(self.call(w, "vectors", end, "users", own))
            heights = bias.heights(np.concatenate(self._ray.get(calls)), items)
            items = np.column_stack([items, heights.astype(np.float32)])
        calls = []
        for w, (first, last) in enumerate(itertools.pairwise(self._bounds.tolist())):
            ids = np.arange(first, last) if user_ids is None else user_ids[first:last]
            calls.append(self.call(w, "write_users", end, folder, ids, items.shape[1]))
        return [entry for entries in self._ray.get(calls) for entry in entries], items

    # --- states --------------------------------------------------------------------------------

    def _last_resort(self) -> Accepted:
        """The state of the checkpoint, or the beginning."""
        return self._beginning() if self._stored is None else self._from_checkpoint(self._stored)

    def _beginning(self) -> Accepted:
        first, put = self._first, self._ray.put
        assert first is not None  # there is no checkpoint
        items = put(first.items)
        return Accepted(0, [(put(generator), items) for generator in first.generators])

    def _from_checkpoint(self, record: dict[str, Any]) -> Accepted:
        """The arrays go through the driver. They may be those of another number of workers."""
        folder = folder_of(str(self._checkpoint), record["next_epoch"])

        def read(entity: str, number: int) -> Arrays:
            name = file_of(entity, number)
            return read_arrays(folder, name, record["files"][name])

        put, n_written = self._ray.put, record["n_workers"]
        items = put(read("items", 0))
        parts: Iterator[Arrays] = (read("users", w) for w in range(n_written))
        if n_written != self._plan.n_workers:
            parts = recut(list(parts), self._bounds)
        snapshots = [(put(part), items) for part in parts]
        return Accepted(self._plan.rounds.first_of(record["next_epoch"]), snapshots)

    def _store(self, asked: Asked, history: Sequence[EpochReport]) -> None:
        """Complete a checkpoint; where that fails, the one that is there stays."""
        path, rounds = str(self._checkpoint), self._plan.rounds
        next_epoch = rounds.epoch_of(asked.end)
        # Workers may write the next one already.
        after = rounds.epoch_of(rounds.accepted_after(asked.end))
        try:
            try:
                written = self._ray.get(asked.written)
            except OSError:
                remove(folder_of(path, next_epoch))  # makes room for the next try
                raise
            state = {
                **self._record,
                "next_epoch": next_epoch,
                "history": [asdict(report) for report in history],
                "files": {name: sha256 for hashes in written for name, sha256 in hashes.items()},
            }
            write_record(path, state, {next_epoch, after})
        except OSError as error:
            if not self._has_warned:  # once for a disk that stays full
                self._has_warned = True
                warnings.warn(
                    "a checkpoint could not be written, training goes on without: "
                    f"{getattr(error, 'cause', error)}",
                    stacklevel=5,
                )
        else:
            self._stored, self._has_warned = state, False

    # --- what is lost ----------------------------------------------------------------------------

    def _load(self) -> None:
        """Bring all workers to the accepted state, as soon as they are there."""
        exceptions = self._ray.exceptions
        deadline = time.monotonic() + SECONDS_TO_RESTART
        if self._plan.gathering and self._attempt > 0:
            # Some may wait for the lost one in a call that does not end.
            for worker in self._workers:
                self._ray.kill(worker, no_restart=False)
        while True:
            accepted = self._accepted
            self._attempt += 1
            at = self._attempt, accepted.next_round
            calls = [
                self.call(w, "load", self._plan, w, self._likes[w], *snapshots, *at)
                for w, snapshots in enumerate(accepted.snapshots)
            ]
            try:
                self._ray.get(calls, timeout=SECONDS_TO_RESTART)
                return
            except exceptions.ObjectLostError:
                self._accepted = self._last_resort()
            except exceptions.GetTimeoutError:
                break
            except Exception as error:
                self._check_lost(error)
                if time.monotonic() > deadline:
                    break
                time.sleep(SECONDS_BETWEEN_TRIES)
        raise RuntimeError(
            f"a worker was lost and did not come back within {SECONDS_TO_RESTART:g} s: the cluster "
            f"has {self._ray.available_resources()} left"
        )

    def _check_lost(self, error: Exception) -> None:
        """Raise an error again unless it says that a worker, or what it held, was lost."""
        exceptions = self._ray.exceptions
        lost = (
            exceptions.RayActorError,
            exceptions.ObjectLostError,
            exceptions.WorkerCrashedError,
            exceptions.NodeDiedError,
            WorkerRestarted,
        )
        cause = getattr(error, "cause", None)
        if isinstance(error, lost) or isinstance(cause, lost):
            return
        raise (cause if isinstance(cause, Exception) else error) from None
