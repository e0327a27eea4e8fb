"""How long a top-K query takes, and what an approximate one loses of recall: the paper's Figure 4.

    python -m benchmarks.topk

Users with test items, drawn at random, are asked for one by one, on one thread: the k items nearest
to the user's vector that the user has not had yet. Every way of searching fetches k items and as
many more as the user has had, and these are then taken out, in the same code and within the time.
Exact search is a product in NumPy or faiss's flat index; the faster of them is what the
approximate ones, libraries with a sweep of settings (``indexes.py``), are compared with.

The vectors are those of CML, and of matrix factorisation (MF) with maximum inner product search as
a search for the nearest, by the augmentation of Bachrach et al. (``vectors.py``).

All settings that share an index are measured in turn with exact search on parts of the users, and a
speed-up is the median over the parts of the ratio of CPU times (``queries.py``); exact search has
every ``EXACT_EVERY``-th user of a part. Its recall and its items come from one batch of all users
(`Model.recommend`, all cores), whose time is shown, too. The loss is the share of that recall which
is lost; its error is the standard error over the users.

Vectors and finished measurements are kept in ``--work``: the same command goes on where it ended.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from cml_fast import Model
from cml_fast._arguments import sample_of_users

from . import datasets, results_file, vectors
from .indexes import ALL, BUILD_THREADS, Library
from .peers import ALL as PEERS
from .peers import why_absent
from .queries import Questions, in_turn, overlap, recalls, times

KS = (10, 50)
ALLOWED_LOSS = 0.02
EXACT_EVERY = 20
PACKAGES = ("faiss-cpu", "hnswlib", "usearch", "annoy", "implicit", "scipy")
Point = dict[str, Any]


def frontier(points: Sequence[Point]) -> list[Point]:
    """The points that no other beats in loss and in speed-up, by increasing loss."""
    best: list[Point] = []
    for point in sorted(points, key=lambda point: (point["loss"], -point["speedup"])):
        if not best or point["speedup"] > best[-1]["speedup"]:
            best.append(point)
    return best


def fastest(points: Sequence[Point]) -> Point | None:
    """The fastest of those that lose little enough; None: there is none.

    The error counts as loss: of many settings, one that few users have judged is lucky.
    """
    good = [point for point in points if point["loss"] + point["loss_error"] <= ALLOWED_LOSS]
    return max(good, key=lambda point: point["speedup"], default=None)


# --- measurements -------------------------------------------------------------------------------


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
                recall = recalls(found[at].ranked, questions.wanted, k)
                speedups = np.divide(found["exact"].cpu, found[at].cpu)
                points.append(
                    {
                        "build": build,
                        "search": search,
                        "k": k,
                        "recall": float(recall.mean()),
                        "loss": float(1 - recall.mean() / best.mean()),
                        "loss_error": float(
                            np.std(best - recall) / best.mean() / len(recall) ** 0.5
                        ),
                        "overlap": overlap(found[at].ranked, truth[:, :k]),
                        **times(found[at]),
                        "speedup": float(np.median(speedups)),
                        "speedups": speedups.tolist(),
                    }
                )
    return {"builds": builds, "points": points}


def kept(path: Path, asked: Any, measure: Callable[[], Point]) -> Point:
    """What is in ``path`` if that was asked alike, else what is measured now, and kept there."""
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
        """Nothing is loaded or trained until something is to be measured."""
        train, test = vectors.likes(data, args.scale, args.folder)
        users, items, seconds = vectors.trained(data, model, args.scale, args.folder, args.work)
        wanted = sample_of_users(test, args.users)
        asked = np.flatnonzero(np.diff(wanted.indptr))
        shape = {"users": train.shape[0], "items": train.shape[1], "likes": train.nnz + test.nnz}
        about = {"data": shape, "users_asked": len(asked), "training_seconds": seconds}
        return items, Questions(users[asked], train[asked], wanted[asked]), about

    settings = vectors.SETTINGS[data, model]
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


# --- all of it ----------------------------------------------------------------------------------


def summary(libraries: dict[str, Point]) -> dict[str, dict[str, Point | None]]:
    """By k and library: the fastest point within the allowed loss."""
    return {
        f"@{k}": {
            name: fastest([point for point in found["points"] if point["k"] == k])
            for name, found in libraries.items()
        }
        for k in KS
    }


def show(data: str, model: str, result: Point) -> None:
    exact = result["exact"]
    shape = "{users} users x {items} items, {likes} likes".format(**exact["data"])
    print(f"\n{data}, {model}: {shape}; {exact['users_asked']} users asked for")
    for name, taken in exact[f"single@{KS[0]}"].items():
        print(f"exact, {name}: {taken['us_mean']:.0f} us a query, {taken['us_cpu']:.0f} us of CPU")
    print(
        "exact, a batch on all cores: {us_mean:.0f} us, {us_cpu:.0f} us of CPU".format(
            **exact["batch"]
        )
    )
    for k, row in result["fastest"].items():
        recall = exact[f"recall{k}"]
        print(f"recall{k} {recall:.4f}; at most {ALLOWED_LOSS:.0%} of it lost, error included:")
        for name, point in row.items():
            if point is None:
                print(f"  {name:12} no setting")
            else:
                loss = f"{point['loss']:.1%} ± {point['loss_error']:.1%}"
                print(
                    f"  {name:12} {point['speedup']:6.1f} times as fast, "
                    f"{point['us_mean']:6.0f} us, loss {loss}, {point['build']} {point['search']}"
                )


def missing() -> dict[str, str]:
    """The libraries and models that cannot be measured here, and why; says so, too."""
    reasons = {name: library.why_absent() for name, library in ALL.items()}
    reasons["MF"] = why_absent(PEERS["WRMF (implicit)"])
    left_out = {name: reason for name, reason in reasons.items() if reason}
    for name, reason in left_out.items():
        print(f"{name} is left out: {reason}", file=sys.stderr)
    return left_out


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", nargs="+", choices=vectors.NAMES, help="(default: both)")
    parser.add_argument("--folder", type=Path, default=datasets.DEFAULT_FOLDER)
    parser.add_argument("--scale", type=float, help="size of the synthetic data (default: 1)")
    parser.add_argument("--users", type=int, help="to ask for, at most (default: 10000)")
    parser.add_argument(
        "--quick",
        action="store_true",
        help="synthetic data of scale 0.02, 500 users, fewer settings",
    )
    parser.add_argument("--work", type=Path, help="(default: build/topk, or build/topk-quick)")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    args.data = args.data or (["synthetic"] if args.quick else vectors.NAMES)
    args.scale = args.scale or (0.02 if args.quick else 1.0)
    args.users = args.users or (500 if args.quick else 10_000)

    args.work = args.work or Path("build/topk-quick" if args.quick else "build/topk")
    args.work.mkdir(parents=True, exist_ok=True)
    left_out = missing()
    libraries = [library for library in ALL.values() if library.name not in left_out]
    if args.quick:
        libraries = [
            replace(library, builds=library.builds[:1], searches=library.searches[::2])
            for library in libraries
        ]
    results: dict[str, Any] = {}
    for data in args.data:
        for model in [model for model in vectors.MODELS if model not in left_out]:
            result = run(data, model, libraries, args)
            result["fastest"] = summary(result["libraries"])
            show(data, model, result)
            results.setdefault(data, {})[model] = result
    record = {
        "packages": results_file.versions(PACKAGES),
        "scale": args.scale,
        "build_threads": BUILD_THREADS,
        "allowed_loss": ALLOWED_LOSS,
        "left_out": left_out,
        "results": results,
    }
    path = results_file.write("topk", record, args.out)
    print(f"written: {path}", file=sys.stderr)


if __name__ == "__main__":
    main()
