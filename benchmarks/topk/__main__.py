"""How long a top-K query takes, and what approximate search loses of recall: the paper's Figure 4.

    python -m benchmarks.topk

Users with test items, drawn at random, are asked for one by one, on one thread: the k items nearest
to the user's vector that the user has not had yet. Every method is a call of `Model.recommend`:
exact search, every kind of index of the package with several settings each (``indexes.py``), and
"auto", which chooses the kind and the setting for a recall of 0.98 itself.

The vectors are those of CML, and on gowalla of matrix factorisation (MF), whose maximum inner
product search becomes a nearest neighbour search by the augmentation of Bachrach et al.
(``trained_vectors.py``).

All settings that share an index are measured in turn with exact search, `Model.recommend` without
an index and faiss's flat index, on parts of the users. A speed-up over the former is the median
over the parts of the ratio of CPU times (``queries.py``); exact search is asked for every
``EXACT_EVERY``-th user of a part. Its recall and its items come from one batch of all users
(`Model.recommend`, all cores), whose time is shown, too. The loss is the share of that recall
which is lost; its error is the standard error over the users.

Vectors and finished measurements are kept in ``--work``: the same command continues where it was
interrupted.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..common import datasets, results_file
from ..recommenders import ALL as RECOMMENDERS
from ..recommenders import why_absent
from . import trained_vectors
from .indexes import ALL, BUILD_THREADS, WISH
from .measurement import KS, Point, run
from .summary import ALLOWED_LOSS, summary

PACKAGES = ("faiss-cpu", "hnswlib", "usearch", "annoy", "implicit", "scipy")


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
    for k in KS:
        recall = exact[f"recall@{k}"]
        print(f"recall@{k} {recall:.4f}; at most {ALLOWED_LOSS:.0%} of it lost, error included:")
        for name, found in result[f"libraries@{k}"].items():
            point = found["fastest"]
            if point is None:
                print(f"  {name:12} no setting")
            else:
                loss = f"{point['loss']:.1%} ± {point['loss_error']:.1%}"
                print(
                    f"  {name:12} {point['speedup']:6.1f} times as fast, "
                    f"{point['us_mean']:6.0f} us, loss {loss}, finds {point['overlap']:.1%}, "
                    f"{point['build']} {point['search']}"
                )


def missing() -> dict[str, str]:
    """The libraries and models that cannot be measured here, with the reasons."""
    reasons = {name: library.why_absent() for name, library in ALL.items()}
    reasons["MF"] = why_absent(RECOMMENDERS["WRMF (implicit)"])
    left_out = {name: reason for name, reason in reasons.items() if reason}
    for name, reason in left_out.items():
        print(f"{name} is left out: {reason}", file=sys.stderr)
    return left_out


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", nargs="+", choices=trained_vectors.NAMES, help="(default: both)")
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
    args.data = args.data or (["synthetic"] if args.quick else trained_vectors.NAMES)
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
        for model in trained_vectors.MODELS:
            if model in left_out or (data, model) not in trained_vectors.SETTINGS:
                continue
            result = summary(run(data, model, libraries, args))
            show(data, model, result)
            results.setdefault(data, {})[model] = result
    record = {
        "packages": results_file.versions(PACKAGES),
        "scale": args.scale,
        "build_threads": BUILD_THREADS,
        "allowed_loss": ALLOWED_LOSS,
        "wish": WISH,
        "left_out": left_out,
        "results": results,
    }
    path = results_file.write("benchmarks.topk", record, args.out)
    print(f"written: {path}", file=sys.stderr)


if __name__ == "__main__":
    main()
