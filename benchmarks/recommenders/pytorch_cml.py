"""CML in PyTorch, written for speed: whole batches as tensor operations.

The same mathematics as ``cml_fast.Trainer(loss="warp")`` (Hsieh et al., sections 3.1, 3.2 and
3.5). Only the negative that violates the margin most has a gradient, so all negatives are
scored without autograd, and only three vectors of a pair take part in it. Options:

mode: "eager"; "compiled", torch.compile for all but the tables' lookup and the optimizer; "graph",
    on a GPU, one CUDA graph for a step. Each mode uses the faster of two formulas for distances.
sparse: AdaGrad on the rows that have gradients, instead of all rows.
"""

from __future__ import annotations

from collections.abc import Generator
from functools import cache
from typing import Any

import numpy as np

from ..common.ranking import Scores
from .recommender import Data, Recommender, Settings, Trial

N_DIMS, N_NEGATIVES, BATCH_SIZE = 100, 20, 4096


def by_products(user: Any, negatives: Any, items: Any) -> Any:
    """Squared distances, with one matrix product a pair."""
    import torch

    products = torch.bmm(items[negatives], user[:, :, None])[:, :, 0]
    squares = torch.linalg.vector_norm(items, dim=1).square()
    return user.square().sum(1)[:, None] + squares[negatives] - 2 * products


def by_differences(user: Any, negatives: Any, items: Any) -> Any:
    """Squared distances; compiled, neither the vectors nor the differences are ever stored."""
    return (user[:, None] - items[negatives]).square().sum(-1)


def hardest(
    distances: Any, users: Any, items: Any, pairs: Any, negatives: Any, liked: Any, margin: float
) -> tuple[Any, Any]:
    """The negative of each pair that violates most, and the weight of the pair: by an estimate of
    its positive's rank, from the share of impostors among the negatives."""
    import torch

    user, positive = pairs
    vectors, n_items = users[user], len(items)
    keys = user[:, None] * n_items + negatives
    is_liked = liked[torch.searchsorted(liked, keys).clamp(max=len(liked) - 1)] == keys
    near = (vectors - items[positive]).square().sum(-1)
    far = distances(vectors, negatives, items).masked_fill(is_liked, torch.inf)
    impostors = (far < margin + near[:, None]).sum(-1)
    rank = n_items * impostors // (~is_liked).sum(-1).clamp(min=1)
    return negatives.gather(1, far.argmin(1, keepdim=True))[:, 0], torch.log1p(rank)


def hinge(user: Any, positive: Any, negative: Any, weight: Any, margin: float) -> Any:
    near, far = (user - positive).square().sum(-1), (user - negative).square().sum(-1)
    return (weight * (margin + near - far).clamp(min=0)).sum()


def project(vectors: Any) -> Any:
    """Project vectors onto the ball of radius 1."""
    import torch

    return vectors / torch.linalg.vector_norm(vectors, dim=1, keepdim=True).clamp(min=1)


@cache
def functions(mode: str) -> tuple[Any, Any, Any]:
    """The functions of one mode; models share them, so that each is compiled once a batch size."""
    import torch

    if mode != "compiled":
        return hardest, hinge, project
    torch._dynamo.config.recompile_limit = 64  # of the batch sizes; beyond it nothing is compiled
    return tuple(torch.compile(f, dynamic=False) for f in (hardest, hinge, project))  # type: ignore


class TorchCML:
    """Tables of user and item vectors, and the steps that train them."""

    def __init__(
        self,
        data: Data,
        seed: int,
        *,
        n_dims: int = N_DIMS,
        n_negatives: int = N_NEGATIVES,
        margin: float = 1.25,
        learning_rate: float = 0.1,
        batch_size: int = BATCH_SIZE,
        mode: str = "eager",
        sparse: bool = False,
        device: str = "cpu",
    ) -> None:
        import torch

        if mode == "graph" and (sparse or device == "cpu"):
            raise ValueError("a CUDA graph needs a GPU, and rows whose number is known before")
        self.torch, self.mode, self.device = torch, mode, device
        self.batch_size, self.n_negatives, self.margin = batch_size, n_negatives, margin
        self.distances = by_differences if mode == "compiled" else by_products
        self.hardest, self.hinge, self.project = functions(mode)
        first = torch.Generator().manual_seed(seed)
        self.generator = first if device == "cpu" else torch.Generator(device).manual_seed(seed)
        n_users, self.n_items = data.likes.shape
        users = torch.from_numpy(np.repeat(np.arange(n_users), np.diff(data.likes.indptr)))
        items = torch.from_numpy(data.likes.indices.astype(np.int64))
        self.pairs = torch.stack([users, items]).to(device)
        self.liked = self.pairs[0] * self.n_items + self.pairs[1]  # ascending: one number a pair
        weights = []
        for rows in data.likes.shape:
            table = torch.empty(rows, n_dims).normal_(std=n_dims**-0.5, generator=first)
            weights.append(torch.nn.Parameter(project(table).to(device)))
        self.weights, self.sparse = weights, sparse
        if sparse:
            torch.sparse.check_sparse_tensor_invariants.disable()  # else torch warns that it is
        # The fused one takes no sparse gradients; that for CUDA is too young to rely on.
        fused = True if device == "cpu" and not sparse else None
        self.optimizer = torch.optim.Adagrad(weights, lr=learning_rate, fused=fused)
        self.graph: Any = None

    def step(self, pairs: Any) -> None:
        """Train users pairs[0] with their items pairs[1]."""
        shape = (pairs.shape[1], self.n_negatives)
        negatives = self.torch.randint(
            self.n_items, shape, generator=self.generator, device=self.device
        )
        if self.mode == "graph" and len(negatives) == self.batch_size:
            self._replay(pairs, negatives)
        else:
            self.train(pairs, negatives)

    def train(self, pairs: Any, negatives: Any) -> None:
        torch, (users, items) = self.torch, self.weights
        with torch.no_grad():
            negative, weight = self.hardest(
                self.distances, users, items, pairs, negatives, self.liked, self.margin
            )
        self.optimizer.zero_grad(set_to_none=True)
        of_items = torch.cat([pairs[1], negative])
        user = torch.nn.functional.embedding(pairs[0], users, sparse=self.sparse)
        item = torch.nn.functional.embedding(of_items, items, sparse=self.sparse)
        self.hinge(user, *item.chunk(2), weight, self.margin).backward()
        self.optimizer.step()
        with torch.no_grad():  # those rows that moved
            users[pairs[0]] = self.project(users[pairs[0]])
            items[of_items] = self.project(items[of_items])

    def _replay(self, pairs: Any, negatives: Any) -> None:
        """A step as one CUDA graph, recorded at the second call: the first one fills the
        accumulators, off the main stream as recording demands."""
        torch = self.torch
        if self.graph is None:
            self.given = pairs.clone(), negatives.clone()
            side = torch.cuda.Stream()
            side.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(side):
                self.train(*self.given)
            torch.cuda.current_stream().wait_stream(side)
            self.graph = torch.cuda.CUDAGraph()
            self.optimizer.zero_grad(set_to_none=True)
            with torch.cuda.graph(self.graph):  # records, does not train
                self.train(*self.given)
            return
        for kept, given in zip(self.given, (pairs, negatives), strict=True):
            kept.copy_(given)
        self.graph.replay()

    def epoch(self) -> None:
        n_pairs = self.pairs.shape[1]
        order = self.torch.randperm(n_pairs, generator=self.generator, device=self.device)
        for batch in order.split(self.batch_size):
            self.step(self.pairs[:, batch])

    def vectors(self) -> tuple[np.ndarray, np.ndarray]:
        users, items = (weight.detach().cpu().numpy() for weight in self.weights)
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


RECOMMENDERS = [
    Recommender(
        "CML (PyTorch)",
        "torch",
        train,
        _search,
        {"margin": 1.25, "learning_rate": 0.1},
        n_epochs=60,
    )
]
