"""Measure exact and approximate search on the vectors of one model; results stay in a folder."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from cml_fast import Model

from ..common.clock import ratio
from ..common.ranking import sample_of_users
from . import trained_vectors
from .indexes import ALL, Library, Setting
from .queries import Answers, Questions, in_turn, overlap, recalls, times

KS = (10, 50)
EXACT_EVERY = 20  # exact search, which takes longest, is asked for every so-many-th user
Point = dict[str, Any]


def measure_exact(items: np.ndarray, questions: Questions, libraries: Sequence[Library]) -> Point:
    """Exact search one by one and in a batch."""
    indexes = {library.name: library.build(items, {}) for library in libraries}
    searches = {name: (index.searcher({}), EXACT_EVERY) for name, index in indexes.items()}
    found: Point = {"bytes": {name: index.n_bytes for name, index in indexes.items()}}
    for k in KS:
        single = {name: times(found) for name, found in in_turn(searches, questions, k).items()}
        found[f"single@{k}"] = single
        found[f"fastest@{k}"] = min(single, key=lambda name: single[name]["us_cpu"])
    users = np.arange(len(questions.queries))
    model = Model(questions.queries, items)
    started, cpu = time.perf_counter(), time.process_time()
    ranked, _ = model.recommend(users, max(KS), questions.had)
    found["batch"] = {
        "us_mean": (time.perf_counter() - started) / len(users) * 1e6,
        "us_cpu": (time.process_time() - cpu) / len(users) * 1e6,
    }
    for k in KS:
        found[f"recall@{k}"] = float(recalls(ranked, questions.wanted, k).mean())
    return {**found, "ranked": ranked.tolist()}


def measure_library(
    items: np.ndarray, questions: Questions, exact: Point, library: Library
) -> Point:
    """All settings of one library, each index in turn with the fastest exact search."""
    opponents = {k: ALL[exact[f"fastest@{k}"]].build(items, {}).searcher({}) for k in KS}
    truth = np.array(exact["ranked"])
    builds, points = [], []
    for build in library.builds:
        started, cpu = time.perf_counter(), time.process_time()
        index = library.build(items, build)
        builds.append(
            {
                "build": build,
                "seconds": time.perf_counter() - started,
                "cpu_seconds": time.process_time() - cpu,
                "bytes": index.n_bytes,
            }
        )
        ways = {at: (index.searcher(search), 1) for at, search in enumerate(library.searches)}
        for k in KS:
            best = recalls(truth, questions.wanted, k)
            found = in_turn({"exact": (opponents[k], EXACT_EVERY), **ways}, questions, k)
            for at, search in enumerate(library.searches):
                point = compared(found[at], found["exact"], best, questions, k)
                overlapping = overlap(found[at].ranked, truth[:, :k])
                points.append(
                    {"build": build, "search": search, "k": k, **point, "overlap": overlapping}
                )
    return {"builds": builds, "points": points}


def compared(
    answers: Answers, exact: Answers, best: np.ndarray, questions: Questions, k: int
) -> Point:
    """Time and loss of one setting; ``best`` is the recall of each user with exact search."""
    recall = recalls(answers.ranked, questions.wanted, k)
    speedups = [ratio(theirs, own) for theirs, own in zip(exact.cpu, answers.cpu, strict=True)]
    return {
        "recall": float(recall.mean()),
        "loss": float(1 - recall.mean() / best.mean()),
        "loss_error": float(np.std(best - recall) / best.mean() / len(recall) ** 0.5),
        **times(answers),
        "speedup": float(np.median(speedups)),
        "speedups": speedups,
    }


def kept(path: Path, asked: Any, measure: Callable[[], Point]) -> Point:
    """What ``path`` holds if the same was asked before; else what is measured now and kept."""
    asked = json.loads(json.dumps(asked))
    if path.exists():
        before = json.loads(path.read_text())
        if before["asked"] == asked:
            return before["found"]
    print(f"measuring {path.stem}", file=sys.stderr, flush=True)
    found = measure()
    path.write_text(json.dumps({"asked": asked, "found": found}))
    return found


def run(data: str, model: str, libraries: Sequence[Library], args: argparse.Namespace) -> Point:
    """All libraries on the vectors of one model."""

    @cache
    def prepared() -> tuple[np.ndarray, Questions, Point]:
        """Load and train only when something has to be measured."""
        train, test = trained_vectors.likes(data, args.scale, args.folder)
        users, items, seconds = trained_vectors.trained(
            data, model, args.scale, args.folder, args.work
        )
        wanted = sample_of_users(test, args.users)
        asked = np.flatnonzero(np.diff(wanted.indptr))
        shape = {"users": train.shape[0], "items": train.shape[1], "likes": train.nnz + test.nnz}
        about = {"data": shape, "users_asked": len(asked), "training_seconds": seconds}
        return items, Questions(users[asked], train[asked], wanted[asked]), about

    settings: Setting = trained_vectors.SETTINGS[data, model]
    asked = [settings, args.scale, args.users]
    exact_ones = [library for library in libraries if library.exact]

    def measured_exactly() -> Point:
        items, questions, about = prepared()
        return {**about, **measure_exact(items, questions, exact_ones)}

    names = [library.name for library in exact_ones]
    exact = kept(args.work / f"{data} {model} exact.json", [*asked, names], measured_exactly)
    opponents = [exact[f"fastest@{k}"] for k in KS]
    found: Point = {}
    for library in libraries:
        if not library.exact:
            found[library.name] = kept(
                args.work / f"{data} {model} {library.name}.json",
                [*asked, library.builds, library.searches, opponents],
                lambda library=library: measure_library(*prepared()[:2], exact, library),
            )
    del exact["ranked"]
    return {"settings": settings, "exact": exact, "libraries": found}
