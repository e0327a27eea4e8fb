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
from .indexes import Index, Library, Setting
from .queries import Answers, Questions, in_turn, overlap, recalls, times

KS = (10, 50)
EXACT = "exact"  # the search that speed-ups compare with
EXACT_EVERY = 20  # exact search, which takes longest, is asked for every so-many-th user
Point = dict[str, Any]


def measure_exact(questions: Questions, libraries: Sequence[Library]) -> Point:
    """Exact search one by one and in a batch."""
    indexes = built(questions, libraries)
    searches = {name: (index.searcher({}), EXACT_EVERY) for name, index in indexes.items()}
    found: Point = {"bytes": {name: index.n_bytes for name, index in indexes.items()}}
    for k in KS:
        found[f"single@{k}"] = {
            name: times(found) for name, found in in_turn(searches, questions, k).items()
        }
    started, cpu = time.perf_counter(), time.process_time()
    ranked, _ = questions.model.recommend(
        questions.users, max(KS), questions.had, cold_users="vector"
    )
    found["batch"] = {
        "us_mean": (time.perf_counter() - started) / len(ranked) * 1e6,
        "us_cpu": (time.process_time() - cpu) / len(ranked) * 1e6,
    }
    for k in KS:
        found[f"recall@{k}"] = float(recalls(ranked, questions.wanted, k).mean())
    return {**found, "ranked": ranked.tolist()}


def built(questions: Questions, libraries: Sequence[Library]) -> dict[str, Index]:
    """The indexes of exact search, which has one setting each."""
    return {
        library.name: library.build(questions.model, questions.had, library.builds[0])
        for library in libraries
    }


def measure_library(
    questions: Questions, exact: Point, library: Library, opponents: Sequence[Library]
) -> Point:
    """All settings of one library, each index in turn with exact search."""
    truth = np.array(exact["ranked"])
    theirs = {
        name: (index.searcher({}), EXACT_EVERY)
        for name, index in built(questions, opponents).items()
    }
    builds, points = [], []
    for build in library.builds:
        started, cpu = time.perf_counter(), time.process_time()
        index = library.build(questions.model, questions.had, build)
        builds.append(
            {
                "build": build,
                "info": index.info,
                "seconds": time.perf_counter() - started,
                "cpu_seconds": time.process_time() - cpu,
                "bytes": index.n_bytes,
            }
        )
        ways = {at: (index.searcher(search), 1) for at, search in enumerate(library.searches)}
        for k in KS:
            best = recalls(truth, questions.wanted, k)
            found = in_turn({**theirs, **ways}, questions, k)
            exact_answers = {name: found[name] for name in theirs}
            for at, search in enumerate(library.searches):
                point = compared(found[at], exact_answers, best, questions, k)
                overlapping = overlap(found[at].ranked, truth[:, :k])
                points.append(
                    {"build": build, "search": search, "k": k, **point, "overlap": overlapping}
                )
    return {"builds": builds, "points": points}


def compared(
    answers: Answers, exact: dict[str, Answers], best: np.ndarray, questions: Questions, k: int
) -> Point:
    """Time and loss of one setting; ``best`` is the recall of each user with exact search."""
    recall = recalls(answers.ranked, questions.wanted, k)
    over = {
        name: float(np.median([ratio(a, b) for a, b in zip(theirs.cpu, answers.cpu, strict=True)]))
        for name, theirs in exact.items()
    }
    return {
        "recall": float(recall.mean()),
        "loss": float(1 - recall.mean() / best.mean()),
        "loss_error": float(np.std(best - recall) / best.mean() / len(recall) ** 0.5),
        **times(answers),
        "speedup": over[EXACT],
        "speedup_over": over,
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


def prepared(data: str, model: str, args: argparse.Namespace) -> tuple[Questions, Point]:
    """The vectors as a model that knows how many likes its users have, and whom to ask for."""
    train, test = trained_vectors.likes(data, args.scale, args.folder)
    users, items, seconds = trained_vectors.trained(data, model, args.scale, args.folder, args.work)
    counts = {
        "user_counts": train.count_nonzero(axis=1),
        "item_counts": train.count_nonzero(axis=0),
    }
    wanted = sample_of_users(test, args.users)
    asked = np.flatnonzero(np.diff(wanted.indptr))
    shape = {"users": train.shape[0], "items": train.shape[1], "likes": train.nnz + test.nnz}
    about = {"data": shape, "users_asked": len(asked), "training_seconds": seconds}
    return Questions(Model(users, items, **counts), asked, train, wanted[asked]), about


def run(data: str, model: str, libraries: Sequence[Library], args: argparse.Namespace) -> Point:
    """All libraries on the vectors of one model."""
    questions = cache(lambda: prepared(data, model, args))  # only when something is measured
    settings: Setting = trained_vectors.SETTINGS[data, model]
    asked = [settings, args.scale, args.users]
    exact_ones = [library for library in libraries if library.exact]
    names = [library.name for library in exact_ones]

    def measured_exactly() -> Point:
        return {**questions()[1], **measure_exact(questions()[0], exact_ones)}

    exact = kept(args.work / f"{data} {model} exact.json", [*asked, names], measured_exactly)
    found: Point = {}
    for library in libraries:
        if not library.exact:
            found[library.name] = kept(
                args.work / f"{data} {model} {library.name}.json",
                [*asked, names, library.kind, library.builds, library.searches],
                lambda library=library: measure_library(questions()[0], exact, library, exact_ones),
            )
    del exact["ranked"]
    return {"settings": settings, "exact": exact, "libraries": found}
