"""A worker's part of a training: its users, all items, and the kernels that train them.

What workers changed in a round is combined while they train the next one. So in a round a worker
trains on the items as they were combined after the round before the last one, and on its own
changes since; the changes that others made in the last round arrive after it. When no round follows
before a state is accepted (see `Rounds`), all changes arrive, and all workers have the same items.

Nothing here knows of Ray, so several shards can also train in one process.
"""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from .._compute.array_api import namespace_of, namespace_on, to_numpy
from .._compute.devices import choose_device
from .._compute.kernels import launch_granularity, make_job
from .._compute.settings import Settings
from .._compute.tables import Tables, random_vectors
from .._threads import blas_threads
from .._training.ema import MovingAverages
from .._training.likes import Likes
from .._training.reports import Counters
from .._training.retention import draw_back
from .._training.scheduled import ScheduledJob
from .._training.start import place_users
from ..errors import DeviceUnavailable, TrainingDiverged
from . import _exchange, _exchange_on_gpus
from ._exchange import Items
from ._sharding import Rounds, item_bounds


@dataclass(frozen=True)
class Plan:
    """What all workers of a training know.

    Attributes
    ----------
    settings : Settings
        With the temperature and what users keep; the seed is that of the training.
    rounds : Rounds
    n_workers : int
    n_shares : int
        Of the items; worker w combines what all changed in share w, if there is one. 1 if all
        workers gather.
    device : str
        Where each worker trains, "cpu" or "cuda".
    gathering : str or None
        The backend by which each worker gathers what all changed, and combines all items itself, on
        its device. None: parcels for shares go through the memory of the CPU.
    name : str
        Of this training, unlike those of all others on the cluster.
    """

    settings: Settings
    rounds: Rounds
    n_workers: int
    n_shares: int
    device: str = "cpu"
    gathering: str | None = None
    name: str = ""


class WorkerRestarted(RuntimeError):
    """A worker has begun anew, and is not where the driver thinks it is."""


# What a worker gathers at a time, of all workers: 256 MB.
GATHERED_FLOATS = 1 << 26
# Get what all workers have, in their order.
Gather = Callable[[Any], Sequence[Any]]


@dataclass
class Share:
    """The items that one worker combines.

    A thread may combine a round while another one trains the next: neither reads what the other
    one writes.

    Attributes
    ----------
    combined : Items
        After the round that was combined last.
    max_norm : float
    exchange : module
        The arithmetic: see `Shard`.
    kept : dict of int to Parcel
        What this worker itself changed, by the rounds that have not been combined.
    """

    combined: Items
    max_norm: float
    exchange: ModuleType
    kept: dict[int, Any] = field(default_factory=dict)

    def combine(self, parcels: Sequence[Any]) -> Any:
        """Combine what all workers changed of this share in the next round."""
        return self.exchange.combine(parcels, self.combined, self.max_norm)

    def combine_gathered(self, number: int, own: Any, gather: Gather, n_workers: int) -> Any:
        """The same, of all items, where workers gather: of so many items at a time.

        What is gathered at once has one shape. So how many rows each worker has changed of these
        items is gathered first, and then as many rows as the most of these, of each.
        """
        xp, n_items = namespace_of(own), len(self.combined.vectors)
        step = max(1, GATHERED_FLOATS // (n_workers * own.shape[1]))
        bounds = np.append(np.arange(0, n_items, step), n_items)
        cuts = xp.searchsorted(self.exchange.rows_of(own), xp.asarray(bounds))
        of_all = gather(xp.concatenate([xp.asarray(np.array([number])), cuts]))
        numbers, cuts_of_all = np.split(np.stack([to_numpy(each) for each in of_all]), [1], axis=1)
        if (numbers != number).any():
            raise RuntimeError(f"in round {number}, others gather {numbers.ravel().tolist()}")
        combined = [own[:0]]
        own_cuts = to_numpy(cuts)
        for block, counts in enumerate(np.diff(cuts_of_all).T):
            if counts.any():
                begin, end = own_cuts[block : block + 2]
                room = xp.zeros((counts.max(), own.shape[1]), dtype=np.float32)
                room[: end - begin] = own[begin:end]
                parcels = [each[:n] for each, n in zip(gather(room), counts, strict=True)]
                combined.append(self.combine(parcels))
        return xp.concatenate(combined)


def _check_cuda(precision: str) -> None:
    """Raise if no GPU can be used here; the message says on which node that is, and why."""
    try:
        choose_device("cuda", precision)
    except DeviceUnavailable as error:
        raise DeviceUnavailable(
            f"a worker on node {platform.node()} cannot train: {error}"
        ) from None


# Arrays by name: the tables of a worker, and averages of its vectors.
Snapshot = dict[str, np.ndarray]


class First(NamedTuple):
    """What a training begins with: the arguments of `Shard.begin`.

    Attributes
    ----------
    generators : list of numpy.random.Generator
        For each worker one that draws its users next.
    items : dict of str to numpy.ndarray
        "items" and "smooth".
    """

    generators: list[np.random.Generator]
    items: Snapshot


class Shard:
    """The part of worker ``number``.

    Parameters
    ----------
    plan : Plan
    number : int
    likes : scipy.sparse.csr_array or MappedLikes, (own users, all items)
        With the weights for training.

    Attributes
    ----------
    next_round : int or None
        The round that is trained next; None until `begin` or `restore`.
    arrived : int
        Of how many rounds the changes of all workers have arrived: up to two fewer.
    share : Share or None
        What this worker combines: all items if it gathers; None if there are fewer shares.

    Raises
    ------
    DeviceUnavailable
        If the plan is to train on a GPU that cannot be used here.
    """

    def __init__(self, plan: Plan, number: int, likes: Likes) -> None:
        if plan.device == "cuda":
            _check_cuda(plan.settings.precision)
        self.plan, self.number, self.likes = plan, number, likes
        self.next_round: int | None = None
        self._bounds = item_bounds(likes.shape[1], plan.n_shares)
        # Parcels of one kind are arrays of the CPU, those of the other one of any device.
        self._exchange: ModuleType = _exchange_on_gpus if plan.gathering else _exchange
        # No two workers draw the same negatives in the same order.
        sequence = np.random.SeedSequence([plan.settings.seed, number])
        self._seed = int(sequence.generate_state(1, np.uint64)[0] >> np.uint64(1))

    # --- the state that is accepted ------------------------------------------------------------

    def begin(self, generator: np.random.Generator, items: np.ndarray, smooth: np.ndarray) -> None:
        """Begin with the vectors of `first_vectors`, of which the own users are made here.

        Parameters
        ----------
        generator : numpy.random.Generator
            Draws them next.
        items, smooth : numpy.ndarray, (all items, n_dims), float32
            As of `first_items`.
        """
        n_users, max_norm = self.likes.shape[0], self.plan.settings.max_norm
        users = random_vectors((n_users, self.plan.settings.n_dims), max_norm, generator)
        place_users(users, self.likes, smooth, max_norm)
        self.restore({"users": users, "items": items}, 0)

    def restore(self, snapshot: Snapshot, next_round: int) -> None:
        """Go on before ``next_round``, with copies of these arrays of users and items.

        Accumulators are zero where there are none.
        """
        for name in ("tables", "_averages", "_job", "_trained", "_now", "_start", "_own", "share"):
            self.__dict__.pop(name, None)  # there may be no room for two states
        settings, device = self.plan.settings, self.plan.device
        tables = {name: array for name, array in snapshot.items() if not name.startswith("mean_")}
        self.tables = Tables(device, settings.n_dims, **tables, rowwise=settings.rowwise)
        self._averages: dict[str, MovingAverages] = {}
        if "mean_users" in snapshot:
            last = self.plan.rounds.epoch_of(next_round - 1)
            users = self.tables.padded(snapshot["mean_users"])[:, : settings.n_dims]
            items = self._exchanged(self.tables.padded(snapshot["mean_items"]))
            for entity, means in (("users", users), ("items", items[:, : settings.n_dims])):
                self._averages[entity] = MovingAverages({entity: means}, 0, last)
        job = make_job(self.tables, self.likes, replace(settings, seed=self._seed))
        self._job = ScheduledJob(
            job,
            self.likes.nnz,
            launch_granularity(settings),
            [],
            settings.learning_rate_of,
            partial(draw_back, self.tables, settings.user_retention),
        )
        arrays = self.tables.arrays
        self._trained = Items(arrays["items"], arrays["item_accumulators"])
        # Where the kernels train in the memory in which items are exchanged, the same arrays.
        self._now = Items(*map(self._exchanged, self._trained))
        # At the start of the round; when changes arrive, as all workers have them.
        self._start = self._now.copy()
        self._own: list[Any] = []
        self.share = None
        share = 0 if self.plan.gathering else self.number
        if share < self.plan.n_shares:
            own = self._now.part(*self._bounds[share : share + 2]).copy()
            self.share = Share(own, settings.max_norm, self._exchange)
        self.next_round = self.arrived = next_round

    def snapshot(self, entity: str) -> Snapshot:
        """All that `restore` needs of "users" or "items"; the next round changes these arrays."""
        names = (entity, f"{entity[:-1]}_accumulators")
        n_dims = self.plan.settings.n_dims
        arrays = {name: self.tables.on_host(self.tables.arrays[name][:, :n_dims]) for name in names}
        if entity in self._averages:
            arrays[f"mean_{entity}"] = self._means(entity)
        # Ray and NumPy write what is contiguous without a copy of their own.
        return {name: np.ascontiguousarray(array) for name, array in arrays.items()}

    def vectors(self) -> tuple[np.ndarray, np.ndarray]:
        """Own users and all items as a model has them: averages, if there are any."""
        if not self._averages:
            return self.tables.vectors()
        return self._means("users").copy(), self._means("items").copy()

    # --- a round -------------------------------------------------------------------------------

    def train(self, number: int) -> tuple[Counters, list[Any]]:
        """Train the own samples of a round; return a parcel for each share of the items."""
        # What was trained before may still be on its way, but not what was trained before that.
        self._expect(number, self.next_round == number <= self.arrived + 1)
        self._own = []
        self._start.become(self._now)
        plan, settings = self.plan, self.plan.settings
        granularity = launch_granularity(settings)
        begin, end = plan.rounds.samples(number, self.likes.nnz, granularity)
        launched = time.perf_counter()
        counters = Counters()
        with blas_threads(settings.n_threads):
            if begin < end:
                counters = self._job.run(begin, end)
        if counters.first_non_finite is not None:
            raise TrainingDiverged(
                f"epoch {plan.rounds.epoch_of(number)}: an update of worker {self.number} was not "
                "finite and was refused; training stopped. Lower learning_rate"
            )
        self._now = Items(*map(self._exchanged, self._trained))
        self._average("users", number, self.tables.arrays["users"])
        self.next_round = number + 1
        counters = Counters().plus(counters, time.perf_counter() - launched)
        self._own = [
            self._exchange.pack(
                self._now.part(first, last), self._start.part(first, last), settings.n_dims
            )
            for first, last in zip(self._bounds[:-1], self._bounds[1:], strict=True)
        ]
        return counters, list(self._own)

    def accept(self, number: int, parcels: Sequence[Any]) -> None:
        """Take over the combined rows of a round, of each share of the items.

        What was changed here in the next round, if that has been trained, is added to them.
        """
        assert self.next_round is not None
        self._expect(number, self.arrived == number < self.next_round)
        if self.next_round == number + 1:  # it has not, and the own changes are in these rows
            self._own = []
        for share, parcel in enumerate(parcels):
            start, now = (
                items.part(*self._bounds[share : share + 2]) for items in (self._start, self._now)
            )
            own = self._own[share] if self._own else None
            self._exchange.arrive(start, now, parcel, own, self.plan.settings.max_norm)
        for array, items in zip(self._trained, self._now, strict=True):
            if array is not items:
                array[...] = namespace_on("cuda").asarray(items)
        # Without what is on its way, these are the same for all workers.
        self._average("items", number, self._start.vectors)
        self.arrived = number + 1

    def _expect(self, number: int, is_there: bool) -> None:
        if not is_there:
            raise WorkerRestarted(f"the worker is not at round {number}")

    # --- averages over epochs ------------------------------------------------------------------

    def _average(self, entity: str, number: int, array: Any) -> None:
        """Take the vectors of users or items after a round into the averages if it ends an epoch.

        Items are told of a round when its changes have arrived, users when it has been trained.
        """
        rounds, decay = self.plan.rounds, self.plan.settings.ema_decay
        if decay == 0 or not rounds.ends_epoch(number):
            return
        vectors = {entity: array[:, : self.plan.settings.n_dims]}
        epoch = rounds.epoch_of(number)
        if entity in self._averages:
            self._averages[entity].include(vectors, epoch, decay)
        else:
            self._averages[entity] = MovingAverages.of(vectors, epoch)

    def _means(self, entity: str) -> np.ndarray:
        """In the CPU's memory."""
        means = self._averages[entity].arrays[entity]
        return self.tables.on_host(means) if hasattr(means, "get") else means

    def _exchanged(self, array: Any) -> Any:
        """An array of the tables' device, in the memory in which items are exchanged."""
        return array if self.plan.gathering else self.tables.on_host(array)
