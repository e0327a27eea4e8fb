"""CPU-seconds of ``Trainer().fit(train)`` in two versions of the package, side by side.

    git worktree add build/before 0d34ddf    # and build its compiled module into python/cml_fast
    python -m benchmarks.studies.fit_time --before build/before

Both versions fit the same likes with their untouched defaults, choice of the temperature included,
on one thread, one after the other in turns, each in a process of its own. What they learned is
evaluated by the version that runs this script, on the validation part or with ``--test`` on the
test part (the model has seen the training part only; both other parts are left out of rankings or
wanted). The table shows medians of the CPU-seconds, and means and standard deviations of recall@50
and NDCG@20 over the seeds.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp

from cml_fast import Model
from cml_fast.evaluation import evaluate

from ..common import datasets, results_file
from ..common.clock import ratio
from ..common.measurement_store import MeasurementStore

MODULE = "benchmarks.studies.fit_time"
HERE = Path(__file__).resolve().parents[2]
METRICS = ("recall@50", "ndcg@20")
KS = (20, 50)
DIGITS = 4

# Run by the Python of this process with the package of a version: the file of likes, where to write
# the vectors, and arguments of Trainer. Prints a JSON object.
FIT = """
import json, sys, time
import numpy as np, scipy.sparse as sp
from cml_fast import Trainer
likes, out, arguments = sp.csr_array(sp.load_npz(sys.argv[1])), sys.argv[2], json.loads(sys.argv[3])
trainer = Trainer(**arguments, n_threads=1, device="cpu", verbose=False)
begun = time.process_time()
model = trainer.fit(likes).model_
seconds = time.process_time() - begun
np.savez(out, users=model.user_vectors, items=model.item_vectors)
print(json.dumps({
    "cpu_seconds": seconds,
    "temperature": trainer.temperature_,
    "cpu_seconds_of_epochs": sum(report.seconds for report in trainer.history_),
    "epochs": len(trainer.history_),
}))
"""

Row = dict[str, Any]


def fit(checkout: Path, likes: Path, arguments: dict[str, Any], folder: Path) -> tuple[Row, Model]:
    """Time a fit by the package of ``checkout``, and return what it learned."""
    vectors = folder / "vectors.npz"
    one_thread = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    done = subprocess.run(
        [sys.executable, "-c", FIT, str(likes), str(vectors), json.dumps(arguments)],
        env={**os.environ, **one_thread, "PYTHONPATH": str(checkout / "python")},
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    learned = np.load(vectors)
    return json.loads(done.stdout), Model(learned["users"], learned["items"])


def measure(
    checkouts: dict[str, Path],
    parts: datasets.Parts,
    arguments: dict[str, Any],
    *,
    test: bool,
) -> dict[str, Row]:
    """Fit with each version once; time and quality by version."""
    train, validation, tested = parts
    wanted, known = (tested, [train, validation]) if test else (validation, [train])
    rows = {}
    with tempfile.TemporaryDirectory() as name:
        likes = Path(name) / "likes.npz"
        sp.save_npz(likes, train.matrix)
        for version, checkout in checkouts.items():
            row, model = fit(checkout, likes, arguments, Path(name))
            with_ids = Model(
                model.user_vectors,
                model.item_vectors,
                user_ids=train.user_ids,
                item_ids=train.item_ids,
            )
            found = evaluate(with_ids, wanted, exclude=known, ks=KS).to_dict()
            rows[version] = {**row, **{metric: found[metric] for metric in METRICS}}
    return rows


def summary(rows: list[Row]) -> Row:
    """Of the fits of one version on one data set, with several seeds."""
    summed: Row = {
        "cpu_seconds": round(statistics.median(row["cpu_seconds"] for row in rows), 3),
        "temperatures": sorted({row["temperature"] for row in rows}),
        "epochs": rows[0]["epochs"],
    }
    for metric in METRICS:
        values = [row[metric] for row in rows]
        summed[metric] = round(statistics.fmean(values), DIGITS)
        summed[f"{metric} deviation"] = (
            round(statistics.stdev(values), DIGITS) if len(values) > 1 else None
        )
    return summed


def show(name: str, table: dict[str, Row]) -> None:
    print(f"\n{name:18}{'CPU-s':>8}{'R@50':>9}{'sd':>8}{'NDCG@20':>9}{'sd':>8}  temperature")
    for version, row in table.items():
        values = "".join(
            f"{row[metric]:9.4f}{row[f'{metric} deviation'] or float('nan'):8.4f}"
            for metric in METRICS
        )
        temperatures = ", ".join(map(str, row["temperatures"]))
        print(f"{version:18}{row['cpu_seconds']:8.2f}{values}  {temperatures}")
    before, now = (table[version] for version in ("before", "now"))
    shares = [ratio(now[key], before[key]) for key in ("cpu_seconds", *METRICS)]
    print(f"{'now / before':18}{shares[0]:8.3f}{shares[1]:9.4f}{'':8}{shares[2]:9.4f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--before", type=Path, required=True, help="checkout of the other version")
    parser.add_argument("--folder", type=Path, default=datasets.DEFAULT_FOLDER)
    parser.add_argument("--names", nargs="+", default=list(datasets.NAMES), help="data sets")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--arguments", type=json.loads, default={}, help="of Trainer, as JSON")
    parser.add_argument("--test", action="store_true", help="measure on the test part")
    parser.add_argument("--work", type=Path, default=Path("build/fit-time"))
    parser.add_argument("--out", type=Path, help="result file (default: in benchmarks/results)")
    args = parser.parse_args()
    settings = {"test": args.test, "arguments": args.arguments, "machine": results_file.machine()}
    store = MeasurementStore(args.work, settings)
    checkouts = {"before": args.before.resolve(), "now": HERE}
    tables = {}
    for name in args.names:
        parts = datasets.load(name, args.folder)
        found = [
            store.once(
                f"{name}, seed {seed}",
                lambda parts=parts, seed=seed: measure(
                    checkouts, parts, {**args.arguments, "random_state": seed}, test=args.test
                ),
            )
            for seed in args.seeds
        ]
        tables[name] = {version: summary([row[version] for row in found]) for version in checkouts}
        show(name, tables[name])
    record = {"seeds": args.seeds, "part": "test" if args.test else "validation", "tables": tables}
    print(f"written: {results_file.write(MODULE, record, args.out)}", file=sys.stderr)


if __name__ == "__main__":
    main()
