r"""Compare recommenders by recall and NDCG: the paper's Table 2, with the recommenders of today.

    python -m benchmarks.accuracy --data citeulike-t
    python -m benchmarks.accuracy --data likes.csv --rows "WRMF (implicit)" "CML, softmax"

Each row has the same number of trials (``--trials``): first the package's defaults or settings
known to be good, then settings that Optuna proposes. They are trained on the train part and
compared by recall on the validation part of seed 0; training stops early when that recall stops
rising (``tuning.py``). The best settings are then trained once for each seed, which determines the
split and the random numbers of training, and evaluated on the test part. Items of the train and
validation parts are excluded from the rankings. gowalla comes with its parts; as in LightGCN's
protocol, the tested models are trained on train and validation together, for the number of epochs
that was best on the validation part.

The Wilcoxon signed-rank test compares, user by user, the recall of each of our rows (the mean over
the seeds) with that of the best peer (section 4.2 of the paper): recall@20 on gowalla and recall@50
elsewhere, as published.

After a change of ours only ``--rows`` need to be measured anew: ``--update RESULT`` keeps the other
rows of an earlier result. The best peer among them is tested once more, with the settings that were
chosen then, because the Wilcoxon test needs the recall of each user.

    python -m benchmarks.accuracy --rows "CML, defaults" \
        --update benchmarks/results/accuracy-2026-11-26.json

Every row is trained in a process of its own with one thread; ``--jobs`` of them run at a time.
Finished trials and tests are kept in ``--work``: the same command continues where it was
interrupted.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from ..common import datasets, results_file
from ..recommenders import ALL, versions, why_absent
from .measurement import Split, in_new_process, measure, test_again
from .published import PUBLISHED
from .summary import METRICS, best_peers, compare_with_best_peer, summary, with_earlier_rows

DATA = tuple(datasets.FOLDERS)


def show(name: str, k: int, rows: dict[str, dict[str, Any]], compared: dict[str, Any]) -> None:
    first = next(iter(rows.values()))
    print(f"\n{name}: {first['users']} users with test items, {len(first['seeds'])} seed(s)")
    print(f"{'':24}" + "".join(f"{metric:>18}" for metric in METRICS))
    for what, row in rows.items():
        cells = []
        for metric in METRICS:
            values = row[metric]
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
    for name, recommender in ALL.items():
        if asked and name not in asked:
            continue
        if recommender.with_features and not parts.has_features:
            reason: str | None = f"{parts.name} has no features"
        elif recommender.max_users is not None and parts.train.shape[0] > recommender.max_users:
            reason = f"{parts.name} has more than {recommender.max_users:,} users"
        else:
            reason = why_absent(recommender)
        if reason is None:
            rows.append(name)
        else:
            left_out[name] = reason
            print(f"{parts.name}: {name} is left out: {reason}", file=sys.stderr)
    return rows, left_out


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Measure all rows on all data sets, several at a time; a summary for each data set."""
    earlier = json.loads(args.update.read_text()) if args.update else {"results": {}}
    results: dict[str, Any] = {}
    with ThreadPoolExecutor(args.jobs) as pool:
        started = {}
        for name in args.data:
            parts = Split(name, args.folder, 0)
            names, left_out = rows_of(args.rows, parts)
            known = earlier["results"].get(Path(name).name)
            if known:  # without rows that there are no more
                known["rows"] = {row: known["rows"][row] for row in known["rows"] if row in ALL}
            # The rows that take longest are last in ALL and begin first.
            futures = {
                row: pool.submit(in_new_process, measure, name, row, args)
                for row in reversed(names)
            }
            peers = best_peers(known["rows"], f"recall@{parts.k}", names) if known else []
            again = {
                peer: pool.submit(in_new_process, test_again, name, peer, known["rows"][peer], args)
                for peer in peers
            }
            started[name] = (parts.k, futures, again, left_out, known)
        for name, (k, futures, again, left_out, known) in started.items():
            measured = {row: future.result() for row, future in futures.items()}
            tested_again = {row: future.result() for row, future in again.items()}
            result = {
                "k": k,
                "rows": {row: summary(found) for row, found in measured.items()},
                "left_out": left_out,
                "compared": compare_with_best_peer(measured | tested_again),
            }
            if known:
                result = with_earlier_rows(result, known, earlier["date"])
            show(name, k, result["rows"], result["compared"])
            results[Path(name).name] = result
    return results


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
    parser.add_argument("--update", type=Path, metavar="RESULT", help="keep its other rows")
    parser.add_argument("--out", type=Path, help="result file (default: in benchmarks/results)")
    args = parser.parse_args()
    if args.quick:
        args.data, args.trials, args.seeds, args.max_epochs = ["ml-latest-small"], 2, [0], 10
    if args.update and not args.update.is_file():
        parser.error(f"--update: there is no file {args.update}")
    for name in args.data:
        if reason := datasets.why_absent(name, args.folder):
            parser.error(reason)

    args.work.mkdir(parents=True, exist_ok=True)
    results = run(args)
    packages = sorted({of.package for of in ALL.values() if of.package} | {"optuna"})
    record = {
        "trials": args.trials,
        "seeds": args.seeds,
        "packages": versions(packages),
        "results": results,
    }
    path = results_file.write("benchmarks.accuracy", record, args.out)
    print(f"written: {path}", file=sys.stderr)


if __name__ == "__main__":
    main()
