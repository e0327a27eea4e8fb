"""What is timed: functions that train once and return the time it took.

Ours, LightFM and implicit start from new vectors each time, with an untimed epoch before the timed
ones. Whole ``fit`` calls are timed, checks and conversions included; of PyTorch only the steps, in
its favour: its batches are drawn from a random order made before.

The work for a pair differs. LightFM draws at most ``max_sampled`` negatives until one violates the
margin; PyTorch and the paper's loss score all U = 20, which 32 pairs have in common where it says
"shared"; BPR has one negative.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from itertools import cycle, islice
from typing import Any
from unittest.mock import patch

import numpy as np
import scipy.sparse as sp

import cml_fast
from cml_fast import Trainer

from ..common.clock import timed
from ..common.measurement_store import LeftOut
from ..common.results_file import usable_cores
from ..common.training_job import FIXED
from ..recommenders import ALL, Data, why_absent
from ..recommenders.lightfm_models import Worker
from ..recommenders.pytorch_cml import TorchCML

N_DIMS, N_NEGATIVES, WARM_UP = 100, 20, 1
ISA_VARIABLE = "CML_FAST_ISA"  # forces an instruction set

Sample = dict[str, float]  # pairs, cpu_seconds, wall_seconds; perhaps active_share
Contestant = Callable[[], Sample]


def ours(
    likes: sp.csr_array, device: str, n_epochs: int, isa: str | None = None, **arguments: Any
) -> Sample:
    trainer = Trainer(
        n_dims=N_DIMS,
        n_epochs=WARM_UP,
        device=device,
        warm_start=True,
        verbose=False,
        **{"n_threads": 1, **arguments},
    )
    with patch.dict(os.environ, {} if isa is None else {ISA_VARIABLE: isa}):
        trainer.fit(likes)
        trainer.n_epochs = n_epochs
        taken = timed(device, lambda: trainer.fit(likes))
    shares = [report.active_share for report in trainer.history_]
    return {"pairs": likes.nnz * n_epochs, **taken, "active_share": sum(shares) / len(shares)}


OURS: dict[str, dict[str, Any]] = {
    "paper's loss, shared, async": {
        "loss": "shared_warp",
        "n_negatives": N_NEGATIVES,
        "update": "async",
    },
    "paper's loss, shared": {"loss": "shared_warp", "n_negatives": N_NEGATIVES},
    "paper's loss, async": {"loss": "warp", "n_negatives": N_NEGATIVES, "update": "async"},
    "paper's loss": {"loss": "warp", "n_negatives": N_NEGATIVES},
    "softmax, async": {**FIXED, "update": "async"},
    "softmax": FIXED,
}
FASTEST = "paper's loss, shared, async"


def all_of_ours(likes: sp.csr_array, device: str, n_epochs: int) -> dict[str, Contestant]:
    """Losses and updates; on a CPU also two threads, and each other instruction set."""
    variants = dict(OURS)
    if device == "cpu":
        if usable_cores() > 1:
            variants |= {
                f"{name}, 2 threads": {**arguments, "n_threads": 2}
                for name, arguments in OURS.items()
            }
        for isa in cml_fast.build_info()["instruction_sets"][1:]:
            variants[f"{FASTEST}, {isa}"] = {**OURS[FASTEST], "isa": isa}
    return {
        name: lambda arguments=arguments: ours(likes, device, n_epochs, **arguments)
        for name, arguments in variants.items()
    }


def lightfm(likes: sp.csr_array, n_epochs: int, loss: str) -> Sample:
    settings: dict[str, Any] = {"no_components": N_DIMS}
    if loss == "warp":
        settings["max_sampled"] = N_NEGATIVES
    with Worker(loss, Data(likes), settings, seed=0) as worker:
        worker.fit(WARM_UP)
        return {"pairs": likes.nnz * n_epochs, **worker.fit(n_epochs)}


def implicit_bpr(likes: sp.csr_array, n_epochs: int) -> Sample:
    from implicit.cpu.bpr import BayesianPersonalizedRanking

    matrix = sp.csr_matrix(likes)
    model = BayesianPersonalizedRanking(
        factors=N_DIMS, iterations=WARM_UP, num_threads=1, random_state=np.random.default_rng(0)
    )
    model.fit(matrix, show_progress=False)
    model.iterations = n_epochs
    taken = timed("cpu", lambda: model.fit(matrix, show_progress=False))
    return {"pairs": likes.nnz * n_epochs, **taken}


def other_libraries(likes: sp.csr_array, n_epochs: int) -> dict[str, Contestant]:
    return {
        "WARP (LightFM)": lambda: lightfm(likes, n_epochs, "warp"),
        "BPR (LightFM)": lambda: lightfm(likes, n_epochs, "bpr"),
        "BPR (implicit)": lambda: implicit_bpr(likes, n_epochs),
    }


def why_not(name: str, device: str) -> str | None:
    """Why another library cannot be timed here."""
    if device != "cpu":
        return "measured on CPUs only"
    return why_absent(ALL[name])


class Torch:
    """One variant of PyTorch; each call trains on from the last one."""

    def __init__(self, likes: sp.csr_array, device: str, n_pairs: int, **variant: Any) -> None:
        if variant["batch_size"] > likes.nnz:
            raise LeftOut("a batch would be more than all pairs")
        self.n_pairs, self.device = n_pairs, device
        model = self.model = TorchCML(
            Data(likes),
            0,
            n_dims=N_DIMS,
            n_negatives=N_NEGATIVES,
            device=device,
            **variant,
        )
        order = model.torch.randperm(likes.nnz, generator=model.generator, device=device)
        whole = len(order) // model.batch_size * model.batch_size
        self.batches = cycle(order[:whole].split(model.batch_size))
        self.train(3 * model.batch_size)  # compiles, records CUDA graphs, fills caches

    def train(self, n_pairs: int) -> int:
        n_steps = max(1, n_pairs // self.model.batch_size)
        for batch in islice(self.batches, n_steps):
            self.model.step(self.model.pairs[:, batch])
        return n_steps * self.model.batch_size

    def __call__(self) -> Sample:
        pairs = 0

        def train() -> None:
            nonlocal pairs
            pairs = self.train(self.n_pairs)

        taken = timed(self.device, train)
        return {"pairs": pairs, **taken}


def torch_variants(device: str, batches: tuple[int, ...]) -> dict[str, dict[str, Any]]:
    ways = [("eager", False), ("eager", True), ("compiled", False), ("compiled", True)]
    if device != "cpu":
        ways.append(("graph", False))
    return {
        f"{mode}, {'sparse' if sparse else 'dense'}, {size}": {
            "mode": mode,
            "sparse": sparse,
            "batch_size": size,
        }
        for mode, sparse in ways
        for size in batches
    }
