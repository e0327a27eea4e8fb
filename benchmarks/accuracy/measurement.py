"""Choose the settings of one recommender on one data set, and test it with each seed."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import cached_property
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp

from ..common import datasets
from ..common.ranking import Scores, evaluate, sample_of_users
from ..recommenders import ALL, Data, Recommender
from .tuning import choose, fit, fit_for

KS = (20, 50, 100)
VALIDATION_USERS = 4000  # a sample, always the same
DIGITS = 6  # of a user's recall that are kept


class Split:
    """One data set in its three parts, drawn with a seed, and its protocol."""

    def __init__(self, name: str, folder: Path, seed: int) -> None:
        self.name, self.folder = name, folder
        self.is_gowalla = name == "gowalla"  # trained on train and validation in the end
        self.k = 20 if self.is_gowalla else 50  # of the recall that chooses and compares
        parts = datasets.load(name, folder, seed)
        self.item_ids = parts[0].item_ids
        self.train, self.validation, self.test = (part.matrix for part in parts)

    @property
    def has_features(self) -> bool:
        return self.name in datasets.FOLDERS and not self.is_gowalla

    @cached_property
    def features(self) -> sp.csr_array:
        return sp.csr_array(datasets.features(self.name, self.item_ids, self.folder).matrix)

    @cached_property
    def sample(self) -> sp.csr_array:
        return sample_of_users(self.validation, VALIDATION_USERS)

    def data(self, recommender: Recommender, likes: sp.csr_array) -> Data:
        return Data(likes, self.features if recommender.with_features else None)

    def validate(self, scores: Scores) -> float:
        return evaluate(scores, self.sample, self.train, (self.k,)).recall[self.k]


def in_new_process(function: Callable[..., dict[str, Any]], *args: Any) -> dict[str, Any]:
    """Call it in a process of its own: TensorFlow and PyTorch do not work in the same one."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        return process.submit(function, *args).result()


def work_label(name: str, args: argparse.Namespace) -> str:
    """The name of a data set in ``--work``: other file contents and epochs have other names."""
    words = Path(name).name
    if content := datasets.fingerprint(name):
        words += f" {content}"
    if args.max_epochs < sys.maxsize:
        words += f" {args.max_epochs} epochs"
    return words


def measure(name: str, row: str, args: argparse.Namespace) -> dict[str, Any]:
    """Choose settings on the validation part, then test with each seed."""
    recommender, parts = ALL[row], Split(name, args.folder, 0)
    n_epochs = min(recommender.n_epochs, args.max_epochs)
    chosen = choose(
        f"{work_label(name, args)}: {row}",
        args.work / "trials.log",
        recommender,
        parts.data(recommender, parts.train),
        parts.validate,
        args.trials,
        n_epochs,
    )
    # gowalla has a fixed split: without random numbers, each seed would give the same result.
    seeds = args.seeds[:1] if parts.is_gowalla and not recommender.draws else args.seeds
    tested = [test(name, recommender, chosen, seed, args) for seed in seeds]
    return {"chosen": chosen, "most_epochs": n_epochs, "test": tested}


def test_again(
    name: str, row: str, earlier: dict[str, Any], args: argparse.Namespace
) -> dict[str, Any]:
    """Test with each seed, with the settings that an earlier run chose."""
    chosen = {"settings": earlier["settings"], "epochs": earlier["epochs"][0]}
    return {"test": [test(name, ALL[row], chosen, seed, args) for seed in earlier["seeds"]]}


def test(
    name: str,
    recommender: Recommender,
    chosen: dict[str, Any],
    seed: int,
    args: argparse.Namespace,
) -> dict[str, Any]:
    """Means, and the recall of each user, for one seed; kept in ``--work``."""
    words = f"{work_label(name, args)} {recommender.name} {seed}"
    kept = args.work / ("".join(c if c.isalnum() else "-" for c in words) + ".json")
    if kept.exists():
        found: dict[str, Any] = json.loads(kept.read_text())
        if found["settings"] == chosen["settings"]:
            return found
    began = time.monotonic()
    parts, settings = Split(name, args.folder, seed), chosen["settings"]
    if parts.is_gowalla:
        epochs = chosen["epochs"]
        likes = parts.train + parts.validation
        scores = fit_for(recommender, parts.data(recommender, likes), settings, seed, epochs)
    else:
        data = parts.data(recommender, parts.train)
        n_epochs = min(recommender.n_epochs, args.max_epochs)
        fitted = fit(recommender, data, settings, seed, parts.validate, n_epochs)
        scores, epochs = fitted.scores, fitted.epochs
    measured = evaluate(scores, parts.test, parts.train + parts.validation, KS)
    per_user = np.full(parts.test.shape[0], np.nan)
    per_user[measured.users] = measured.per_user["recall"][parts.k].round(DIGITS)
    found = {
        "settings": settings,
        "seed": seed,
        "epochs": epochs,
        "seconds": round(time.monotonic() - began),
        **measured.to_dict(),
        "per_user": per_user.tolist(),
    }
    kept.write_text(json.dumps(found))
    return found
