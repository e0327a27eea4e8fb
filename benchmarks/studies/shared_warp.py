"""The paper's loss, with negatives of each pair and with shared ones, beside LightFM's WARP.

    LIGHTFM_PYTHON=lightfm-env/bin/python python -m benchmarks.studies.shared_warp

For each data set, on one thread:

- pairs per CPU-second of whole ``fit`` calls, in turn for several rounds; ratios within rounds
- CPU-seconds until recall@50 on the validation part is 99% of LightFM's best, with the settings of
  LightFM that ``benchmarks.accuracy`` chose, and ours at its defaults, but for ``--n-negatives``
- the best validation recall@50 of each

``benchmarks/recommenders/lightfm_requirements.txt`` says how to make an environment with LightFM.
Without one, its rows are left out. Finished trainings are kept in ``--work``.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
from pathlib import Path
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before NumPy starts its threads
os.environ.setdefault("OMP_NUM_THREADS", "1")

import scipy.sparse as sp

from ..common import datasets, results_file
from ..common.clock import pairs_per_second, ratio
from ..common.measurement_store import MeasurementStore
from ..common.ranking import evaluate, sample_of_users
from ..recommenders import ALL, why_absent
from ..report.__main__ import newest_path
from ..throughput.contestants import lightfm, ours
from ..throughput.plan import FULL
from ..throughput.time_to_recall import SHARE, Curve, seconds_to, train_ours, train_peer, tuned

MODULE = "benchmarks.studies.shared_warp"
LIGHTFM = "WARP (LightFM)"
OURS: dict[str, dict[str, Any]] = {
    f"{loss}, {update}": {"loss": loss, "update": update}
    for loss in ("warp", "shared_warp")
    for update in ("sync", "async")
}
WORK = Path("build/shared-warp")
K, EPOCHS, DIGITS = 50, 2, 5
Row = dict[str, Any]


def speeds(likes: sp.csr_array, negatives: dict[str, int], rounds: int, with_lightfm: bool) -> Row:
    """Medians of pairs per CPU-second, and of ratios to LightFM within rounds."""
    found: list[dict[str, float]] = []
    for _ in range(rounds):
        samples = {
            name: ours(likes, "cpu", EPOCHS, **arguments, **negatives)
            for name, arguments in OURS.items()
        }
        if with_lightfm:
            samples[LIGHTFM] = lightfm(likes, EPOCHS, "warp")
        found.append({name: pairs_per_second(sample, "cpu") for name, sample in samples.items()})
    rows: Row = {name: {"pairs/s": round(_median(found, name), 1)} for name in found[0]}
    if with_lightfm:
        for name in OURS:
            rows[name]["/ LightFM"] = round(
                statistics.median(ratio(one[name], one[LIGHTFM]) for one in found), 2
            )
    return rows


def _median(found: list[dict[str, float]], name: str) -> float:
    return statistics.median(one[name] for one in found)


def curves(
    store: MeasurementStore,
    name: str,
    negatives: dict[str, int],
    args: argparse.Namespace,
    parts: datasets.Parts,
) -> Row:
    """Recall of each by CPU-seconds, seed by seed."""
    likes = parts[0].matrix
    wanted = sample_of_users(parts[1].matrix, FULL.validation_users)

    def new() -> Curve:
        return Curve(
            lambda scores: evaluate(scores, wanted, likes, (K,)).recall[K],
            FULL.patience,
            args.evaluations,
        )

    chosen = tuned(newest_path("accuracy", results_file.FOLDER), name).get(
        LIGHTFM, ALL[LIGHTFM].first
    )
    rows: dict[str, list[Row]] = {}
    for seed in args.seeds:
        for what in [*OURS, *([] if why_absent(ALL[LIGHTFM]) else [LIGHTFM])]:
            own = f", {args.n_negatives} negatives" if negatives and what in OURS else ""
            found = store.once(
                f"{name}, {what}{own}, at most {args.evaluations} evaluations, seed {seed}",
                lambda what=what, seed=seed: (
                    train_ours(likes, {**OURS[what], **negatives}, seed, new)
                    if what in OURS
                    else train_peer(LIGHTFM, likes, chosen, seed, new)
                ),
            )
            rows.setdefault(what, []).append(found)
    return rows


def summary(rows: dict[str, list[Row]]) -> Row:
    """The best recall of each, and the CPU-seconds to 99% of LightFM's best."""
    levels = [SHARE * max(curve["recall"]) for curve in rows.get(LIGHTFM, [])]
    table: Row = {}
    for name, of_seeds in rows.items():
        best = [max(curve["recall"]) for curve in of_seeds]
        table[name] = {
            "recall@50": round(statistics.fmean(best), DIGITS),
            "deviation": round(statistics.stdev(best), DIGITS) if len(best) > 1 else None,
            "evaluations": statistics.median(len(curve["recall"]) for curve in of_seeds),
        }
        seconds = [seconds_to(curve, level) for curve, level in zip(of_seeds, levels, strict=False)]
        reached = [one for one in seconds if one is not None]
        if levels and len(reached) == len(seconds):
            table[name]["seconds"] = round(statistics.median(reached), 3)
    return table


def show(name: str, speed: Row, recall: Row) -> None:
    print(
        f"\n{name:20}{'pairs/CPU-s':>14}{'/ LightFM':>11}{'recall@50':>11}{'sd':>8}{'seconds':>9}"
    )
    for what, row in recall.items():
        print(
            f"{what:20}{speed[what]['pairs/s']:14,.0f}{speed[what].get('/ LightFM', ''):>11}"
            f"{row['recall@50']:11.4f}{row['deviation'] or 0:8.4f}{row.get('seconds', ''):>9}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--folder", type=Path, default=datasets.DEFAULT_FOLDER)
    parser.add_argument("--names", nargs="+", default=["citeulike-t", "ml-latest-small"])
    parser.add_argument("--n-negatives", type=int, help="of ours (default: Trainer's)")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--evaluations", type=int, default=60, help="of a training, at most")
    parser.add_argument("--work", type=Path, default=WORK)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    if reason := why_absent(ALL[LIGHTFM]):
        print(f"{LIGHTFM} is left out: {reason}", file=sys.stderr)
    files = {name: content for name in args.names if (content := datasets.fingerprint(name))}
    store = MeasurementStore(args.work, {"files": files, "machine": results_file.machine()})
    negatives = {"n_negatives": args.n_negatives} if args.n_negatives else {}
    results: Row = {}
    for name in args.names:
        parts = datasets.load(name, args.folder)
        with_lightfm = not why_absent(ALL[LIGHTFM])
        speed = speeds(parts[0].matrix, negatives, args.rounds, with_lightfm)
        recall = summary(curves(store, name, negatives, args, parts))
        show(name, speed, recall)
        results[Path(name).name] = {what: {**speed[what], **recall[what]} for what in recall}
    record = {"seeds": args.seeds, "rounds": args.rounds, **negatives, **results}
    path = results_file.write(MODULE, record, args.out, "shared-warp")
    print(f"written: {path}", file=sys.stderr)


if __name__ == "__main__":
    main()
