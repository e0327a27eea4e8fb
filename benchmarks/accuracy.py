"""Recommenders compared by recall and NDCG: the paper's Table 2, with today's peers.

    python -m benchmarks.accuracy --data citeulike-t
    python -m benchmarks.accuracy --data likes.csv --rows "WRMF (implicit)" "CML, softmax"

Each row has the same number of trials (``--trials``): settings that Optuna proposes, after one that
stands for the package's defaults or what is known to be good, trained on the train part and judged
by recall on the validation part of seed 0. Training stops when that recall has not risen for a few
epochs; see ``tuning.py``. The best settings are then trained for each seed, which draws the split
and the training, and the test part is looked at once; items of train and validation are left out
of the rankings. gowalla comes with its parts, and its protocol (LightGCN) trains on train and
validation together in the end, for as many epochs as were best without.

The Wilcoxon signed-rank test compares, user by user, the recall of each of our rows (the mean over
the seeds) with that of the best peer that uses as much, features or not (section 4.2): the recall
that chooses, which is recall@20 on gowalla and recall@50 elsewhere, as they were published.

Every row has a process with one thread; ``--jobs`` of them run at a time. Finished trials and tests
are kept in ``--work``: the same command goes on where it ended.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from functools import cached_property
from multiprocessing import get_context
from pathlib import Path
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before NumPy starts its threads
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import scipy.sparse as sp
from scipy.stats import wilcoxon

from cml_fast._arguments import sample_of_users

from . import datasets, results_file
from .peers import ALL, Data, Peer, versions, why_absent
from .published import PUBLISHED
from .ranking import Scores, evaluate
from .tuning import choose, fit, fit_for

KS = (20, 50, 100)
SHOWN = ("recall@20", "recall@50", "recall@100", "ndcg@20")
VALIDATION_USERS = 4000  # a sample, always the same
DATA = tuple(datasets.FOLDERS)


class Split:
    """One data set in its parts, drawn with a seed, and its protocol."""

    def __init__(self, name: str, folder: Path, seed: int) -> None:
        self.name, self.folder = name, folder
        self.is_gowalla = name == "gowalla"  # trained on train and validation in the end
        self.k = 20 if self.is_gowalla else 50  # of the recall that chooses and compares
        parts = datasets.load(name, folder, seed)
        self.item_ids = parts[0].item_ids
        self.train, self.validation, self.test = (part.matrix for part in parts)

    @property
    def has_features(self) -> bool:
        return not self.is_gowalla and not Path(self.name).is_file()

    @cached_property
    def features(self) -> sp.csr_array:
        return sp.csr_array(datasets.features(self.name, self.item_ids, self.folder).matrix)

    @cached_property
    def sample(self) -> sp.csr_array:
        return sample_of_users(self.validation, VALIDATION_USERS)

    def data(self, peer: Peer, likes: sp.csr_array) -> Data:
        return Data(likes, self.features if peer.with_features else None)

    def validate(self, scores: Scores) -> float:
        return evaluate(scores, self.sample, self.train, (self.k,)).recall[self.k]


# --- one row ------------------------------------------------------------------------------------


def alone(name: str, row: str, args: argparse.Namespace) -> dict[str, Any]:
    """`measure` in a process of its own: TensorFlow and PyTorch do not bear each other in one."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        return process.submit(measure, name, row, args).result()


def label(name: str, args: argparse.Namespace) -> str:
    """Of data in ``--work``: neither another file of that name nor other epochs count as done."""
    words = Path(name).name
    if content := datasets.fingerprint(name):
        words += f" {content}"
    if args.max_epochs < sys.maxsize:
        words += f" {args.max_epochs} epochs"
    return words


def measure(name: str, row: str, args: argparse.Namespace) -> dict[str, Any]:
    """Choose settings for a peer, then test it with each seed."""
    peer, parts = ALL[row], Split(name, args.folder, 0)
    n_epochs = min(peer.n_epochs, args.max_epochs)
    chosen = choose(
        f"{label(name, args)}: {row}",
        args.work / "trials.log",
        peer,
        parts.data(peer, parts.train),
        parts.validate,
        args.trials,
        n_epochs,
    )
    # gowalla comes split: what draws nothing either would be tested on the same, with the same end.
    seeds = args.seeds[:1] if parts.is_gowalla and not peer.draws else args.seeds
    tested = [test(name, peer, chosen, seed, args) for seed in seeds]
    return {"chosen": chosen, "most_epochs": n_epochs, "test": tested}


def test(
    name: str, peer: Peer, chosen: dict[str, Any], seed: int, args: argparse.Namespace
) -> dict[str, Any]:
    """Means, and the recall of each user, of one seed; kept in ``--work``."""
    words = f"{label(name, args)} {peer.name} {seed}"
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
        scores = fit_for(peer, parts.data(peer, likes), settings, seed, epochs)
    else:
        data = parts.data(peer, parts.train)
        n_epochs = min(peer.n_epochs, args.max_epochs)
        fitted = fit(peer, data, settings, seed, parts.validate, n_epochs)
        scores, epochs = fitted.scores, fitted.epochs
    measured = evaluate(scores, parts.test, parts.train + parts.validation, KS)
    per_user = np.full(parts.test.shape[0], np.nan)
    per_user[measured.users] = measured.recall_per_user[parts.k].round(6)
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


# --- all of them --------------------------------------------------------------------------------


def compare(rows: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Each of ours with the best peer that has features where it has, or none where it has none."""
    found = {}
    for name, row in rows.items():
        peers = [
            other
            for other in rows
            if not ALL[other].ours and (ALL[name].with_features or not ALL[other].with_features)
        ]
        if not ALL[name].ours or not peers:
            continue
        best = max(peers, key=lambda other: np.nanmean(_recalls(rows[other])))
        difference = _recalls(row) - _recalls(rows[best])
        difference = difference[~np.isnan(difference)].round(5)  # no user differs by rounding alone
        found[name] = {
            "against": best,
            "users": len(difference),
            "difference": float(difference.mean()),
            "better": int((difference > 0).sum()),
            "worse": int((difference < 0).sum()),
            "p": float(wilcoxon(difference).pvalue) if difference.any() else 1.0,
        }
    return found


def _recalls(row: dict[str, Any]) -> np.ndarray:
    """The mean over the seeds for each user, NaN for one who never had a test item."""
    values = np.array([run["per_user"] for run in row["test"]], dtype=np.float64)
    count = (~np.isnan(values)).sum(axis=0)
    return np.where(count, np.nansum(values, axis=0) / np.maximum(count, 1), np.nan)


def show(name: str, k: int, rows: dict[str, dict[str, Any]], compared: dict[str, Any]) -> None:
    runs = next(iter(rows.values()))["test"]
    print(f"\n{name}: {runs[0]['users']} users with test items, {len(runs)} seed(s)")
    print(f"{'':24}" + "".join(f"{metric:>18}" for metric in SHOWN))
    for what, row in rows.items():
        cells = []
        for metric in SHOWN:
            values = [run[metric] for run in row["test"]]
            spread = f" ± {statistics.stdev(values):.4f}" if len(values) > 1 else ""
            cells.append(f"{statistics.fmean(values):.4f}{spread}".rjust(18))
        print(f"{what:24}{''.join(cells)}")
    for what, result in compared.items():
        print(
            f"{what} - {result['against']}: recall@{k} {result['difference']:+.4f} a user, "
            f"p = {result['p']:.2g} (Wilcoxon, {result['users']} users, better for "
            f"{result['better']}, worse for {result['worse']})"
        )
    for published in PUBLISHED.get(name, ()):
        print(f"published ({published.source}; {published.protocol}):")
        for what, values in published.rows.items():
            pairs = zip(published.metrics, values, strict=True)
            print(f"  {what:22}" + "".join(f"  {metric} {value:.4f}" for metric, value in pairs))


def rows_of(asked: Sequence[str] | None, parts: Split) -> tuple[list[str], dict[str, str]]:
    """The rows to measure, and those that are left out, with the reason."""
    rows, left_out = [], {}
    for name, peer in ALL.items():
        if asked and name not in asked:
            continue
        if peer.with_features and not parts.has_features:
            reason: str | None = f"{parts.name} has no features"
        elif peer.max_users is not None and parts.train.shape[0] > peer.max_users:
            reason = f"{parts.name} has more than {peer.max_users:,} users"
        else:
            reason = why_absent(peer)
        if reason is None:
            rows.append(name)
        else:
            left_out[name] = reason
            print(f"{parts.name}: {name} is left out: {reason}", file=sys.stderr)
    return rows, left_out


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--data", nargs="+", default=list(DATA), help=f"files, or names out of {', '.join(DATA)}"
    )
    parser.add_argument("--folder", type=Path, default=datasets.DEFAULT_FOLDER)
    parser.add_argument("--rows", nargs="+", choices=ALL, metavar="ROW", help=", ".join(ALL))
    parser.add_argument("--trials", type=int, default=8, help="settings that each row may try")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--max-epochs", type=int, default=sys.maxsize, help="of a training")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="rows at a time")
    parser.add_argument("--work", type=Path, default=Path("build/accuracy"))
    parser.add_argument("--quick", action="store_true", help="a rehearsal of a few minutes")
    parser.add_argument("--out", type=Path, help="result file (default: in benchmarks/results)")
    args = parser.parse_args()
    if args.quick:
        args.data, args.trials, args.seeds, args.max_epochs = ["ml-latest-small"], 2, [0], 10
    for name in args.data:
        if reason := datasets.why_absent(name, args.folder):
            parser.error(reason)

    args.work.mkdir(parents=True, exist_ok=True)
    results: dict[str, Any] = {}
    with ThreadPoolExecutor(args.jobs) as pool:
        for name in args.data:
            parts = Split(name, args.folder, 0)
            names, left_out = rows_of(args.rows, parts)
            # What takes longest stands last, and begins first: so no process ends up alone.
            futures = {row: pool.submit(alone, name, row, args) for row in reversed(names)}
            results[name] = {"k": parts.k, "rows": futures, "left_out": left_out}
        for name, result in results.items():
            rows = {row: future.result() for row, future in result["rows"].items()}
            compared = compare(rows)
            show(name, result["k"], rows, compared)
            for row in rows.values():
                for run in row["test"]:
                    del run["per_user"]
            result |= {"rows": rows, "compared": compared}
    packages = sorted({peer.package for peer in ALL.values() if peer.package} | {"optuna"})
    record = {
        "trials": args.trials,
        "seeds": args.seeds,
        "packages": versions(packages),
        "results": {Path(name).name: result for name, result in results.items()},
    }
    path = results_file.write("accuracy", record, args.out)
    print(f"written: {path}", file=sys.stderr)


if __name__ == "__main__":
    main()
