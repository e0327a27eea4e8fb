"""A little of everything that the kernels do, small enough for compute-sanitizer.

    python -m benchmarks.gpu_check.small_cases

Prints one JSON object a case.
"""

from __future__ import annotations

import argparse
import json

import numpy as np
import scipy.sparse as sp

from cml_fast._backend import Settings, Tables, make_job

SHAPE = (40, 60)  # five warps in flight
DIMS = (1, 31, 100, 300)  # 300: the kernel for any number of chunks
NEGATIVES = (7, 40)
BATCH_SIZES = (0, 50)  # 0: asynchronous


def train(device: str, n_dims: int, n_negatives: int, batch_size: int) -> dict[str, int]:
    rng = np.random.default_rng(1)
    likes = sp.csr_array((rng.random(SHAPE) < 0.2).astype(np.float32))
    likes.data[:] = rng.uniform(0.5, 3, likes.nnz)
    settings = Settings(
        n_dims=n_dims,
        n_negatives=n_negatives,
        margin=0.5,
        learning_rate=0.1,
        max_norm=1.0,
        n_threads=1,
        seed=7,
        batch_size=batch_size,
    )
    tables = Tables.random(device, SHAPE, n_dims, settings.max_norm, rng)
    counters = make_job(tables, likes, settings).run(0, 2 * likes.nnz)
    return {
        "n_dims": n_dims,
        "n_negatives": n_negatives,
        "batch_size": batch_size,
        "pairs": counters.pairs,
        "active": counters.active,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--device", default="cuda")
    args = parser.parse_args()
    if args.device == "cuda":
        import cupy

        # In CuPy's pool arrays lie side by side in one allocation, whose ends memcheck would
        # watch, and which initcheck would take for written once.
        cupy.cuda.set_allocator(None)
    for n_dims in DIMS:
        for n_negatives in NEGATIVES:
            for batch_size in BATCH_SIZES:
                case = train(args.device, n_dims, n_negatives, batch_size)
                print(json.dumps(case), flush=True)


if __name__ == "__main__":
    main()
