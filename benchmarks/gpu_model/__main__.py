"""Predict how fast the CUDA kernels train, at the defaults, on GPUs that we do not have.

    python -m benchmarks.gpu_model

Needs nvcc and a C++ compiler, no GPU; model.py says what is counted and what is assumed. Writes
results/gpu-model-DATE.json and prints the table of docs/user-guide/gpu.md.
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import math
import tempfile
from pathlib import Path
from typing import Any

from ..common import results_file
from ..common.training_job import Settings, settings_of
from .machines import LANES, MACHINES
from .model import Prediction, predict
from .registers import compiled

# Users, items and pairs: those of training, after the split of benchmarks/accuracy where there is
# one.
DATA = {
    "ml-latest-small": (610, 9_724, 100_836),
    "citeulike-t": (7_947, 25_975, 134_860),
    "gowalla": (29_858, 40_981, 810_128),
    "1M x 200k": (1_000_000, 200_000, 20_000_000),
}
# Losses, and the precision of their products.
LOSSES = (("softmax", "float32"), ("softmax", "bfloat16"), ("warp", "float32"))
UPDATES = ("sync", "async")


def cases() -> list[tuple[str, Settings]]:
    return [
        (
            data,
            settings_of(
                DATA[data][:2], DATA[data][2], loss=loss, update=update, precision=precision
            ),
        )
        for loss, precision in LOSSES
        for update in UPDATES
        for data in DATA
    ]


def row_of(data: str, settings: Settings, machine: str, found: Prediction) -> dict[str, Any]:
    return {
        "machine": machine,
        "data": data,
        "loss": settings.loss,
        "precision": settings.precision,
        "batch_size": settings.batch_size,
        **dataclasses.asdict(found),
    }


def millions(x: float) -> str:
    return f"{x / 1e6:.2g}" if x < 1e7 else f"{float(f'{x / 1e6:.2g}'):.0f}"


def table(rows: list[dict[str, Any]]) -> str:
    """Millions of pairs per second, in Markdown: a column for each GPU."""
    lines = [f"| loss | updates | data | {' | '.join(m.name for m in MACHINES)} |"]
    lines.append("| --- " * (3 + len(MACHINES)) + "|")
    cells: dict[tuple[str, str, str], dict[str, str]] = {}
    for row in rows:
        update = "sync" if row["batch_size"] else "async"
        bfloat16 = ", bfloat16" if row["precision"] == "bfloat16" else ""
        key = row["loss"] + bfloat16, update, row["data"]
        share = f" ({row['busy']:.0%})" if row["busy"] < 0.995 else ""
        cells.setdefault(key, {})[row["machine"]] = millions(row["pairs_per_second"]) + share
    for key, of in cells.items():
        lines.append(f"| {' | '.join(key)} | {' | '.join(of.get(m.name, '') for m in MACHINES)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, help="result file (default: in benchmarks/results)")
    args = parser.parse_args()
    from . import host

    chosen = cases()
    chunks = math.ceil(chosen[0][1].n_dims / LANES)
    registers = {machine.name: compiled(machine.compute_capability, chunks) for machine in MACHINES}
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        host.build(Path(folder))
        for data, settings in chosen:
            *shape, n_pairs = DATA[data]
            for machine in MACHINES:
                if settings.precision == "bfloat16" and not machine.bfloat16_per_cycle:
                    continue
                found = predict(
                    machine,
                    settings,
                    (shape[0], shape[1]),
                    n_pairs,
                    registers[machine.name],
                    host.launches,
                )
                rows.append(row_of(data, settings, machine.name, found))
    for row in rows:
        print(
            "{machine:9}{loss:8} {precision} batches of {batch_size:5}  {data:16}{blocks:5} blocks "
            "of {warps_in_block} warps, {busy:4.0%} of the multiprocessors, "
            "{grid_syncs} grid syncs, {bytes_of_pair:8,.0f} bytes and {atomics_of_pair:5,.0f} "
            "atomics a pair, {pairs_per_second:14,.0f} pairs/s, most of the time: "
            "{bound}".format(**row)
        )
    print("\npredicted, in millions of pairs per second:\n\n" + table(rows))
    record = {
        "predicted": rows,
        "registers": {
            name: {f"{worker} {kernel}": n for (worker, kernel), n in of.items()}
            for name, of in registers.items()
        },
        "machines": [dataclasses.asdict(machine) for machine in MACHINES],
    }
    out = args.out or results_file.FOLDER / f"gpu-model-{datetime.date.today().isoformat()}.json"
    print(f"written: {results_file.write('benchmarks.gpu_model', record, out)}")


if __name__ == "__main__":
    main()
