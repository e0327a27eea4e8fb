"""What a report costs: CPU seconds, and the size of the page.

    OPENBLAS_NUM_THREADS=1 python -m benchmarks.studies.reports

Trains a model on each data set with the defaults, and writes its report with the validation part
left out of the rankings. The time is that of `write_report` alone, in one thread.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from cml_fast import Trainer
from cml_fast.report import write_report

from ..common import datasets, results_file

MODULE = "benchmarks.studies.reports"
NAMES = ("ml-latest-small", "gowalla")
TRAINING: dict[str, Any] = {"device": "cpu", "verbose": False}


def run(name: str, folder: Path) -> dict[str, float]:
    """Train on a data set, and write the report on the model."""
    train, validation, test = datasets.load(name, folder)
    model = Trainer(**TRAINING).fit(train, validation=validation).model_
    with tempfile.TemporaryDirectory() as place:
        out = Path(place, "report.html")
        begin = time.process_time()
        write_report(model, train, test, out=out, exclude=validation, n_threads=1)
        seconds = time.process_time() - begin
        n_users, n_items = train.matrix.shape
        size = {"users": n_users, "items": n_items, "bytes": out.stat().st_size}
    return {**size, "CPU seconds": round(seconds, 3)}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--folder", type=Path, default=datasets.DEFAULT_FOLDER)
    parser.add_argument("--names", nargs="+", default=NAMES)
    parser.add_argument("--out", type=Path, help="result file (default: in benchmarks/results)")
    args = parser.parse_args()
    results = {}
    for name in args.names:
        results[Path(name).name] = found = run(name, args.folder)
        print(name, *(f"{value:,} {what}" for what, value in found.items()), sep="  ")
    print(f"written: {results_file.write(MODULE, {'results': results}, args.out)}", file=sys.stderr)


if __name__ == "__main__":
    main()
