"""CPU-seconds of training until a recall is reached, on one thread.

After each epoch (or every few epochs, where a peer reports only then) recall@50 on the validation
part of seed 0 is measured; that is not timed. The time begins with the likes as a CSR matrix, so
that converting data and making vectors counts for all. Training ends when that recall has not
risen for some evaluations. A peer's time is that to 99% of its best recall; ours, that to the same
recall.

Between two evaluations recall is interpolated linearly, so that rare evaluations are no
disadvantage. Not counted: for LightFM, starting a process; for PyTorch, compiling; for ours with
the softmax, choosing a temperature, which takes fifteen epochs if none is given.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import scipy.sparse as sp

from cml_fast import Trainer

from ..common.clock import ratio
from ..common.measurement_store import MeasurementStore
from ..common.ranking import Scores, evaluate, sample_of_users
from ..common.training_job import FIXED
from ..recommenders import ALL, Data, Settings, why_absent
from ..recommenders.pytorch_cml import BATCH_SIZE
from .plan import Plan
from .speed_comparison import PYTORCH, sweep_torch

K, SHARE = 50, 0.99
PEERS = ("WARP (LightFM)", "BPR (LightFM)", "BPR (implicit)", "WRMF (implicit)", PYTORCH)
# The last one is the fastest to the recall of WRMF of seven settings (temperature, learning rate,
# negatives, averaging) tried on the validation part of citeulike-t.
OURS: dict[str, Settings] = {
    "paper's loss, shared": {"loss": "shared_warp"},
    "paper's loss, shared, async": {"loss": "shared_warp", "update": "async"},
    "paper's loss": {"loss": "warp"},
    "paper's loss, async": {"loss": "warp", "update": "async"},
    "softmax": FIXED,
    "softmax, async": {**FIXED, "update": "async"},
    "softmax, for speed": {
        "temperature": 0.3,
        "user_retention": 1.0,
        "learning_rate": 0.2,
        "learning_rate_decay": 0.0,
        "n_negatives": 64,
        "update": "async",
    },
}


class Curve:
    """Recall against CPU-seconds; ``add`` says when it is over."""

    def __init__(self, recall: Callable[[Scores], float], patience: int, most: int) -> None:
        self.recall, self.patience, self.most = recall, patience, most
        self.cpu_seconds: list[float] = []
        self.recalls: list[float] = []
        self._taken, self._since = 0.0, time.process_time()

    def add(self, scores: Scores) -> bool:
        self._taken += time.process_time() - self._since
        elsewhere = scores.cpu_seconds
        self.cpu_seconds.append(self._taken if elsewhere is None else elsewhere)
        self.recalls.append(self.recall(scores))
        self._since = time.process_time()
        best = self.recalls.index(max(self.recalls))
        return len(self.recalls) - 1 - best >= self.patience or len(self.recalls) >= self.most

    def to_dict(self) -> dict[str, Any]:
        best = self.recalls.index(max(self.recalls))
        return {
            "cpu_seconds": self.cpu_seconds,
            "recall": self.recalls,
            # It may have been rising still when it had to stop.
            "cut_short": len(self.recalls) - 1 - best < self.patience,
        }


def seconds_to(curve: dict[str, Any], recall: float) -> float | None:
    """When a curve reaches a recall first; None: never."""
    before = None
    for seconds, reached in zip(curve["cpu_seconds"], curve["recall"], strict=True):
        if reached >= recall:
            if before is None:
                return float(seconds)
            share = (recall - before[1]) / (reached - before[1])
            return float(before[0] + share * (seconds - before[0]))
        before = seconds, reached
    return None


# --- training -----------------------------------------------------------------------------------


def train_peer(name: str, likes: sp.csr_array, settings: Settings, seed: int, new: Any) -> Any:
    peer = ALL[name]
    if name == PYTORCH:  # compiles what it shares with the one that is timed
        next(peer.train(Data(likes), settings, seed))
    curve = new()
    epochs = peer.train(Data(likes), settings, seed)
    for scores in epochs:
        if curve.add(scores):
            break
    epochs.close()
    return curve.to_dict()


def train_ours(likes: sp.csr_array, settings: Settings, seed: int, new: Any) -> Any:
    curve = new()

    def after_epoch(trainer: Trainer, report: Any) -> bool:
        model = trainer.model_
        return bool(curve.add(Scores.of_distances(model.user_vectors, model.item_vectors)))

    Trainer(
        **settings,
        n_epochs=curve.most,
        device="cpu",
        n_threads=1,
        random_state=seed,
        verbose=False,
    ).fit(likes, callbacks=[after_epoch])
    return curve.to_dict()


def tuned(file: Path | None, data: str) -> dict[str, Settings]:
    """The settings that ``benchmarks.accuracy`` chose for each row on this data set."""
    rows = json.loads(file.read_text())["results"].get(data, {}).get("rows", {}) if file else {}
    return {name: row["settings"] for name, row in rows.items()}


# --- all of it ----------------------------------------------------------------------------------


def run(
    store: MeasurementStore,
    name: str,
    parts: tuple[sp.csr_array, sp.csr_array],
    plan: Plan,
    settings_file: Path | None,
) -> dict[str, Any]:
    likes, validation = parts
    wanted = sample_of_users(validation, plan.validation_users)

    def new() -> Curve:
        return Curve(
            lambda scores: evaluate(scores, wanted, likes, (K,)).recall[K],
            plan.patience,
            plan.evaluations,
        )

    chosen = tuned(settings_file, name)
    settings: dict[str, Settings] = dict(OURS)
    for peer in PEERS:
        if reason := why_absent(ALL[peer]):
            store.leave_out(peer, reason)
        else:
            settings[peer] = dict(chosen.get(peer, ALL[peer].first))
    if PYTORCH in settings:
        settings[PYTORCH] |= best_torch(store, name, likes, plan)
    curves: dict[str, list[dict[str, Any]]] = {}
    for seed in plan.seeds:
        for what, own in settings.items():
            found = store.once(
                f"{name}: recall, {what}, seed {seed}",
                lambda what=what, own=own, seed=seed: (
                    train_ours(likes, own, seed, new)
                    if what in OURS
                    else train_peer(what, likes, own, seed, new)
                ),
            )
            if found is not None:
                curves.setdefault(what, []).append(found)
    return {
        "shape": likes.shape,
        "pairs": likes.nnz,
        "users": wanted.shape[0],
        "k": K,
        "share": SHARE,
        "seeds": plan.seeds,
        "settings": settings,
        "tuned": sorted(set(chosen) & set(PEERS)),
        "curves": {what: of_seeds[0] for what, of_seeds in curves.items()},  # of the first seed
        "cut_short": [
            what for what, of_seeds in curves.items() if any(one["cut_short"] for one in of_seeds)
        ],
        "times": {peer: times(curves[peer], curves) for peer in PEERS if peer in curves},
    }


def best_torch(store: MeasurementStore, name: str, likes: sp.csr_array, plan: Plan) -> Settings:
    """The fastest variant of PyTorch with batches of the size that its settings were chosen for."""
    samples = sweep_torch(store, name, likes, "cpu", plan.torch_pairs, (BATCH_SIZE,))
    if not samples:
        return {}
    best = max(samples.values(), key=lambda sample: sample["pairs_per_second"])
    return {key: best[key] for key in ("mode", "sparse", "batch_size")}


def times(peers: list[dict[str, Any]], curves: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """A peer's best recalls and times to 99% of them, seed by seed, and ours to the same recall."""
    levels = [SHARE * max(curve["recall"]) for curve in peers]
    own = [seconds_to(curve, level) for curve, level in zip(peers, levels, strict=True)]
    ours = {}
    for name in OURS:
        seconds = [
            seconds_to(curve, level)
            for curve, level in zip(curves.get(name, []), levels, strict=False)
        ]
        if seconds:
            reached = None not in seconds and len(seconds) == len(own)
            ratios = [ratio(a, b) for a, b in zip(seconds, own, strict=True)] if reached else None
            ours[name] = {"seconds": seconds, "ratios": ratios}
    return {"best": [max(curve["recall"]) for curve in peers], "seconds": own, "ours": ours}


def show(name: str, found: dict[str, Any]) -> None:
    print(f"\n{name}: CPU-seconds to 99% of a peer's best recall@{K}; ours to the same recall")
    print(f"{'':18}{'best recall':>12}{'seconds':>10}" + "".join(f"{o:>26}" for o in OURS))
    for peer, row in found["times"].items():
        cells = f"{statistics.fmean(row['best']):12.4f}{statistics.median(row['seconds']):10.2f}"
        for one in OURS:
            mine = row["ours"].get(one, {"ratios": None})
            if mine["ratios"] is None:
                cells += f"{'not reached':>26}"
            else:
                seconds, ratio = (statistics.median(mine[key]) for key in ("seconds", "ratios"))
                cells += f"{seconds:17.2f} ({ratio:5.3f})"
        print(f"{peer:18}{cells}")
