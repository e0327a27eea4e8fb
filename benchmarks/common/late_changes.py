"""Simulated workers that train the next round while the changes of the last one are combined.

So the exchange takes no time, but what others changed arrives a round late: in a round a worker has
all changes but those that the others made in the round before.
"""

from __future__ import annotations

from collections.abc import Sequence

from cml_fast._training.reports import Counters
from cml_fast.distributed._exchange import Items, Parcel, combine
from cml_fast.distributed._shard import Shard, Snapshot


class LateShard(Shard):
    """A worker that trains on the combined items and its own changes since.

    It is called like a `Shard`. What it accepts after a round, it keeps until it has trained the
    next one. Vectors are averaged over epochs as if nothing was late.
    """

    def restore(self, snapshot: Snapshot, next_round: int) -> None:
        super().restore(snapshot, next_round)
        self._combined = Items(*(array.copy() for array in self._now))
        self._late: Sequence[Parcel] | None = None

    def train(self, number: int) -> tuple[Counters, list[Parcel]]:
        trained = super().train(number)
        if self._late is not None:  # the changes of the round before arrive
            bounds = zip(self._bounds[:-1], self._bounds[1:], strict=True)
            for (first, last), parcel in zip(bounds, self._late, strict=True):
                _arrive(self._now.part(first, last), self._start.part(first, last), parcel)
        return trained

    def combine(self, parcels: Sequence[Parcel]) -> Parcel:
        first, last = self._bounds[self.number : self.number + 2]
        return combine(parcels, self._combined.part(first, last), self.plan.settings.max_norm)

    def accept(self, number: int, parcels: Sequence[Parcel]) -> None:
        own = Items(*(array.copy() for array in self._now))
        _fill(self._now, self._combined)
        super().accept(number, parcels)
        _fill(self._combined, self._now)
        if number + 1 < self.plan.rounds.total:
            _fill(self._now, own)
            _fill(self._start, own)
            self._late = parcels


def _arrive(now: Items, start: Items, parcel: Parcel) -> None:
    """Put combined rows under what the worker has changed since the start of the round."""
    n_dims, width = parcel.vectors.shape[1], parcel.accumulators.shape[1]
    for after, before, combined, columns in (
        (now.vectors, start.vectors, parcel.vectors, n_dims),
        (now.accumulators, start.accumulators, parcel.accumulators, width),
    ):
        changed = after[parcel.rows, :columns] - before[parcel.rows, :columns]
        after[parcel.rows, :columns] = combined + changed


def _fill(items: Items, others: Items) -> None:
    for array, other in zip(items, others, strict=True):
        array[:] = other
