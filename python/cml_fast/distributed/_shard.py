"""A worker's part of a training: its users, all items, and the kernels that train them.

Nothing here knows of Ray, so several shards can also train in one process.
"""

from __future__ import annotations

import platform
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple

import numpy as np

from .._compute.array_api import namespace_on
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
from ._exchange import Items, Parcel, adopt, combine, pack
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
        Of the items; worker w combines what all changed in share w, if there is one.
    device : str
        Where each worker trains, "cpu" or "cuda".
    """

    settings: Settings
    rounds: Rounds
    n_workers: int
    n_shares: int
    device: str = "cpu"


class WorkerRestarted(RuntimeError):
    """A worker has begun anew, and is not where the driver thinks it is."""


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
        # No two workers draw the same negatives in the same order.
        sequence = np.random.SeedSequence([plan.settings.seed, number])
        self._seed = int(sequence.generate_state(1, np.uint64)[0] >> np.uint64(1))

    # --- the state, as of an accepted round ----------------------------------------------------

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
        for name in ("tables", "_averages", "_job", "_trained", "_now", "_start"):
            self.__dict__.pop(name, None)  # there may be no room for two states
        settings, device = self.plan.settings, self.plan.device
        tables = {name: array for name, array in snapshot.items() if not name.startswith("mean_")}
        self.tables = Tables(device, settings.n_dims, **tables, rowwise=settings.rowwise)
        self._averages = None
        if "mean_users" in snapshot:
            means = {
                entity: self.tables.padded(snapshot[f"mean_{entity}"])[:, : settings.n_dims]
                for entity in ("users", "items")
            }
            last = self.plan.rounds.epoch_of(next_round - 1)
            self._averages = MovingAverages(means, 0, last)
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
        # In the CPU's memory. Where the kernels train there, these are the same arrays.
        self._now = Items(*map(self.tables.on_host, self._trained))
        self._start = Items(*(array.copy() for array in self._now))
        self.next_round = next_round

    def snapshot(self, entity: str) -> Snapshot:
        """All that `restore` needs of "users" or "items"; the next round changes these arrays."""
        names = (entity, f"{entity[:-1]}_accumulators")
        n_dims = self.plan.settings.n_dims
        arrays = {name: self.tables.arrays[name][:, :n_dims] for name in names}
        if self._averages is not None:
            arrays[f"mean_{entity}"] = self._averages.arrays[entity]
        # Ray and NumPy write what is contiguous without a copy of their own.
        return {
            name: np.ascontiguousarray(self.tables.on_host(array)) for name, array in arrays.items()
        }

    def vectors(self) -> tuple[np.ndarray, np.ndarray]:
        """Own users and all items as a model has them: averages, if there are any."""
        if self._averages is None:
            return self.tables.vectors()
        arrays = self._averages.to_arrays()
        return arrays["users"], arrays["items"]

    # --- a round -------------------------------------------------------------------------------

    def train(self, number: int) -> tuple[Counters, list[Parcel]]:
        """Train the own samples of a round; return a parcel for each share of the items."""
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
        self._now = Items(*map(self.tables.on_host, self._trained))
        counters = Counters().plus(counters, time.perf_counter() - launched)
        parcels = [
            pack(self._now.part(first, last), self._start.part(first, last), settings.n_dims)
            for first, last in zip(self._bounds[:-1], self._bounds[1:], strict=True)
        ]
        return counters, parcels

    def combine(self, parcels: Sequence[Parcel]) -> Parcel:
        """Combine what all workers sent for the own share of the items."""
        first, last = self._bounds[self.number : self.number + 2]
        return combine(parcels, self._start.part(first, last), self.plan.settings.max_norm)

    def accept(self, number: int, parcels: Sequence[Parcel]) -> None:
        """End a round with the combined rows of each share of the items."""
        for first, last, parcel in zip(self._bounds[:-1], self._bounds[1:], parcels, strict=True):
            adopt(self._now.part(first, last), self._start.part(first, last), parcel)
        if self.plan.device == "cuda":
            for array, combined in zip(self._trained, self._now, strict=True):
                array[...] = namespace_on("cuda").asarray(combined)
        rounds, decay = self.plan.rounds, self.plan.settings.ema_decay
        if rounds.ends_epoch(number) and decay > 0:
            epoch = rounds.epoch_of(number)
            if self._averages is None:
                self._averages = MovingAverages.of(self.tables, epoch)
            else:
                self._averages.include(self.tables, epoch, decay)
        self.next_round = number + 1
