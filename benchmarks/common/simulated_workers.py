"""Several workers of `cml_fast.distributed` in one process, without Ray."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from cml_fast import Trainer
from cml_fast._training.fit_inputs import check_fit_inputs
from cml_fast.distributed._exchange import Parcel
from cml_fast.distributed._fit import _begin, _for_workers
from cml_fast.distributed._likes import likes_of_workers, opened
from cml_fast.distributed._shard import Plan, Shard
from cml_fast.distributed._sharding import (
    Rounds,
    default_epochs,
    default_rounds,
    default_shares,
    user_bounds,
)

# What each worker sent to each other, and the combined rows of each share.
OnRound = Callable[[Sequence[Sequence[Parcel]], Sequence[Parcel]], Any]


def simulated(
    train: Any,
    trainer: Trainer,
    n_workers: int,
    rounds_per_epoch: int | None = None,
    on_round: OnRound = lambda sent, combined: None,
    shard_class: type[Shard] = Shard,
    device: str = "cpu",
    n_shares: int | None = None,
    epochs_between: int | None = None,
    gathering: str | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """The vectors of users and items that `distributed.fit` must come to, too.

    With ``gathering``, each worker combines the parcels of all.
    """
    own = _for_workers(trainer, {"CPU": 1.0})
    inputs = check_fit_inputs(own, train, None, (), None, None)
    bounds = user_bounds(inputs.likes.indptr, n_workers)
    settings, first = _begin(own, inputs, None, bounds)
    assert first is not None
    rounds = Rounds(
        rounds_per_epoch or default_rounds(n_workers),
        int(own.n_epochs),
        epochs_between or default_epochs(inputs.likes.nnz, n_workers),
    )
    n_shares = n_shares or default_shares(n_workers, inputs.likes.shape[1], settings.n_dims)
    plan = Plan(
        settings, rounds, n_workers, 1 if gathering else n_shares, device, gathering=gathering
    )
    shards = []
    for w, likes in enumerate(likes_of_workers(train, inputs, bounds)):
        shards.append(shard_class(plan, w, opened(likes)))
        shards[w].begin(first.generators[w], **first.items)
    trained: deque[Sequence[Sequence[Parcel]]] = deque()  # what is on its way, of up to two rounds
    for number in range(rounds.total):
        trained.append([shard.train(number)[1] for shard in shards])
        # A round arrives after the next one, but before a state that is accepted all rounds do.
        n_late = 0 if number + 1 == rounds.accepted_after(number) else 1
        while len(trained) > n_late:
            sent = trained.popleft()
            if gathering:
                every = [[shard.share.combine([own for (own,) in sent])] for shard in shards]
            else:
                every = [
                    [
                        shards[share].share.combine([parcels[share] for parcels in sent])
                        for share in range(n_shares)
                    ]
                ] * n_workers
            combined = every[0]
            for shard, arriving in zip(shards, every, strict=True):
                shard.accept(shard.arrived, arriving)
            on_round(sent, combined)
    vectors = [shard.vectors() for shard in shards]
    for _, items in vectors:  # all workers have the same items
        np.testing.assert_array_equal(items, vectors[0][1])
    return np.concatenate([users for users, _ in vectors]), vectors[0][1]
