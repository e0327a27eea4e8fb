"""Training speed: against other packages, against the machine's limits, and as data grow.

    LIGHTFM_PYTHON=lightfm-env/bin/python python -m benchmarks.throughput
    python -m benchmarks.throughput --device cuda --data synthetic --parts sweeps compare

Three parts. "compare": trained pairs per CPU-second (speed_comparison.py). "recall": CPU-seconds
until a recall is reached (time_to_recall.py). "sweeps": our own speed as dimensions, negatives,
threads, items and pairs grow, beside what memory and arithmetic allow (sweeps.py, limits.py).

Measurements are kept in ``--work``: the same command continues where it was interrupted. With
``--seconds`` no measurement begins later than that, and those left out are reported. ``--update``
takes the parts that are not measured from an earlier result.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from cml_fast import build_info

from ..common import datasets, results_file
from ..common.measurement_store import MeasurementStore
from ..recommenders import versions
from . import speed_comparison, sweeps, time_to_recall
from .plan import FULL, QUICK, Plan, on_cuda
from .training_data import SYNTHETIC, load

PARTS = ("compare", "recall", "sweeps")
ORIGIN = ("date", "machine", "packages", "command")  # of a result
PACKAGES = ("torch", "implicit", "cupy", "lightfm")  # whose versions are recorded


def arguments(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--parts", nargs="+", choices=PARTS, help="in this order (default: all)")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument(
        "--data", nargs="+", help=f"of compare: data sets, files of likes, or {SYNTHETIC!r}"
    )
    parser.add_argument("--recall-data", nargs="+", help="of recall, likewise")
    parser.add_argument("--folder", type=Path, default=datasets.DEFAULT_FOLDER)
    parser.add_argument(
        "--settings", type=Path, help="a result of benchmarks.accuracy: the peers' settings"
    )
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--seeds", nargs="+", type=int)
    parser.add_argument("--update", type=Path, help="a result, for the parts not measured now")
    parser.add_argument("--quick", action="store_true", help="a little of everything")
    parser.add_argument("--scale", type=float, default=1.0, help="of data that are made up")
    parser.add_argument("--seconds", type=float, default=math.inf, help="begin nothing after them")
    parser.add_argument("--work", type=Path, default=Path("build/throughput"))
    parser.add_argument("--out", type=Path, help="result file (default: in benchmarks/results)")
    args = parser.parse_args(argv)
    args.parts = args.parts or (PARTS if args.device == "cpu" else ("sweeps", "compare"))
    if args.device == "cuda" and "recall" in args.parts:
        parser.error("recall is measured against CPU-seconds: only with --device cpu")
    return args


def plan_of(args: argparse.Namespace) -> Plan:
    plan = QUICK if args.quick else FULL
    if args.device == "cuda":
        plan = on_cuda(plan)
    asked = {
        "data": args.data,
        "recall_data": args.recall_data,
        "rounds": args.rounds,
        "seeds": args.seeds,
    }
    return replace(plan, **{k: v for k, v in asked.items() if v})


def store_of(args: argparse.Namespace, plan: Plan) -> MeasurementStore:
    """What was measured before with the same options, on the same machine."""
    # More rounds, seeds or data add measurements; all other options would change them.
    free = ("data", "recall_data", "rounds", "seeds")
    names = (*plan.data, *plan.recall_data)
    settings = {
        "plan": {key: value for key, value in asdict(plan).items() if key not in free},
        "files": {name: content for name in names if (content := datasets.fingerprint(name))},
        "device": args.device,
        "scale": args.scale,
        "settings": args.settings and args.settings.read_text(),
        "machine": results_file.machine(),
        "packages": versions(PACKAGES),
    }
    return MeasurementStore(args.work, settings, args.seconds)


def run_part(
    part: str, plan: Plan, args: argparse.Namespace, store: MeasurementStore
) -> dict[str, Any]:
    if part == "sweeps":
        found = sweeps.run(store, plan, args.device, args.scale)
        sweeps.show(found, args.device)
        return found
    results = {}
    for path in plan.data if part == "compare" else plan.recall_data:
        likes = load(path, args.folder, args.scale)
        name = Path(path).name
        if part == "compare":
            found = speed_comparison.run(store, name, likes[0], plan, args.device)
            speed_comparison.show(name, found, args.device)
        else:
            found = time_to_recall.run(store, name, likes, plan, args.settings)
            time_to_recall.show(name, found)
        results[name] = found
    return results


def earlier_parts(earlier: dict[str, Any], measured: Sequence[str]) -> dict[str, Any]:
    """What a result has of parts that were not measured, where each of them was measured, and what
    was left out there."""
    kept = [part for part in PARTS if part in earlier and part not in measured]
    own = {key: earlier[key] for key in ORIGIN if key in earlier}
    origins = {part: earlier.get("earlier", {}).get(part, own) for part in kept}
    left_out = earlier["left_out"] if kept else {}
    return {**{part: earlier[part] for part in kept}, "earlier": origins, "left_out": left_out}


def main() -> None:
    args = arguments()
    if args.device == "cuda" and (problem := build_info()["cuda"]["problem"]):
        sys.exit(f"--device cuda cannot be used: {problem}")
    plan = plan_of(args)
    store = store_of(args, plan)
    record: dict[str, Any] = {"device": args.device, "quick": args.quick, "scale": args.scale}
    if args.device == "cuda":
        from ..gpu_check.device import describe

        record["gpu"] = describe()
    for part in args.parts:
        record[part] = run_part(part, plan, args, store)
    if args.update:
        record |= earlier_parts(json.loads(args.update.read_text()), args.parts)
    left_out = {**record.get("left_out", {}), **store.left_out}
    record |= {"packages": store.settings["packages"], "left_out": left_out}
    path = results_file.write("benchmarks.throughput", record, args.out)
    print(f"written: {path}", file=sys.stderr)


if __name__ == "__main__":
    main()
