"""CML in PyTorch, as an expert would write it: whole batches as tensor operations.

The same mathematics as ``cml_fast.Trainer(loss="warp")`` (Hsieh et al., sections 3.1, 3.2 and
3.5), with AdaGrad on all rows at each step.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import numpy as np

from ..ranking import Scores
from .peer import Data, Peer, Settings, Trial

N_DIMS, N_NEGATIVES = 100, 20


class TorchCML:
    """Tables of users and items, and what changes them."""

    def __init__(
        self,
        data: Data,
        seed: int,
        *,
        n_dims: int = N_DIMS,
        n_negatives: int = N_NEGATIVES,
        margin: float = 1.25,
        learning_rate: float = 0.1,
        batch_size: int = 4096,
    ) -> None:
        import torch

        self.torch = torch
        self.batch_size, self.n_negatives, self.margin = batch_size, n_negatives, margin
        self.generator = torch.Generator().manual_seed(seed)
        n_users, self.n_items = data.likes.shape
        counts = np.diff(data.likes.indptr)
        self.users = torch.from_numpy(np.repeat(np.arange(n_users), counts))
        self.items = torch.from_numpy(data.likes.indices.astype(np.int64))
        self.liked = self.users * self.n_items + self.items  # ascending: one number a pair
        self.tables = [torch.nn.Embedding(rows, n_dims) for rows in (n_users, self.n_items)]
        for table in self.tables:
            torch.nn.init.normal_(table.weight, std=n_dims**-0.5, generator=self.generator)
            with torch.no_grad():
                table.weight.copy_(torch.renorm(table.weight, 2, 0, 1.0))
        weights = [table.weight for table in self.tables]
        self.optimizer = torch.optim.Adagrad(weights, lr=learning_rate)

    def _loss(self, user: Any, positive: Any, negatives: Any, is_liked: Any) -> Any:
        torch = self.torch
        u, v, n = self.tables[0](user), self.tables[1](positive), self.tables[1](negatives)
        near = ((u - v) ** 2).sum(-1)
        far = ((u[:, None] - n) ** 2).sum(-1).masked_fill(is_liked, torch.inf)
        hinges = (self.margin + near[:, None] - far).clamp(min=0)
        # The rank of the positive, from the share of impostors among the negatives.
        share = (hinges > 0).sum(-1) / (~is_liked).sum(-1).clamp(min=1)
        weight = torch.log1p(torch.floor(share * self.n_items))
        return (weight.detach() * hinges.amax(-1)).sum()

    def step(self, pairs: Any) -> None:
        torch = self.torch
        user, positive = self.users[pairs], self.items[pairs]
        negatives = torch.randint(
            self.n_items, (len(pairs), self.n_negatives), generator=self.generator
        )
        keys = user[:, None] * self.n_items + negatives
        at = torch.searchsorted(self.liked, keys).clamp(max=len(self.liked) - 1)
        self.optimizer.zero_grad(set_to_none=True)
        self._loss(user, positive, negatives, self.liked[at] == keys).backward()
        self.optimizer.step()
        with torch.no_grad():  # back into the ball, those rows that moved
            for table, rows in zip(
                self.tables, (user, torch.cat([positive, negatives.flatten()])), strict=True
            ):
                rows = rows.unique()
                table.weight[rows] = torch.renorm(table.weight[rows], 2, 0, 1.0)

    def epoch(self) -> None:
        order = self.torch.randperm(len(self.users), generator=self.generator)
        for pairs in order.split(self.batch_size):
            self.step(pairs)

    def vectors(self) -> tuple[np.ndarray, np.ndarray]:
        users, items = (table.weight.detach().numpy() for table in self.tables)
        return users, items


def train(data: Data, settings: Settings, seed: int) -> Generator[Scores, None, None]:
    model = TorchCML(data, seed, **settings)
    while True:
        model.epoch()
        yield Scores.of_distances(*model.vectors())


def _search(trial: Trial) -> Settings:
    return {
        "margin": trial.suggest_float("margin", 0.5, 2.0),
        "learning_rate": trial.suggest_float("learning_rate", 0.03, 0.3, log=True),
    }


PEERS = [
    Peer(
        "CML (PyTorch)",
        "torch",
        train,
        _search,
        {"margin": 1.25, "learning_rate": 0.1},
        n_epochs=60,
        every=1,
    )
]
