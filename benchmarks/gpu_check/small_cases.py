"""Run each kind of kernel on small data, for compute-sanitizer.

    python -m benchmarks.gpu_check.small_cases

Prints one JSON object a case.
"""

from __future__ import annotations

import argparse
import json

import numpy as np
import scipy.sparse as sp

from cml_fast._search.on_device import nearest_on_cuda

from ..common.training_job import TrainingJob

BATCH_SIZES = (0, 50)  # 0: asynchronous
DIMS = (1, 31, 100, 300)  # 300: the kernel for any number of chunks
# Losses with dimensions and negatives. Those whose pairs share negatives have kernels of their own.
CASES = [
    *(("warp", n_dims, n_negatives) for n_dims in DIMS for n_negatives in (7, 40)),
    *(("softmax", n_dims, 40) for n_dims in DIMS),
    ("contrastive", 31, 40),
    ("shared_warp", 31, 40),
]
# With 150 users, 18 pairs may be in flight: 18 warps, or 2 tiles.
SHAPE, DENSITY, TILE_SIZE = (150, 160), 0.05, 8
# Points and n of searches: all scores in shared memory, a sample of them, and all digits.
SEARCHES = ((500, 10), (6000, 10), (6000, 1500))


def train(
    device: str, loss: str, n_dims: int, n_negatives: int, batch_size: int
) -> dict[str, object]:
    rng = np.random.default_rng(1)
    likes = sp.csr_array((rng.random(SHAPE) < DENSITY).astype(np.float32))
    likes.data[:] = rng.uniform(0.5, 3, likes.nnz)
    update = {"update": "sync", "batch_size": batch_size} if batch_size else {"update": "async"}
    job = TrainingJob(
        likes,
        device,
        loss=loss,
        n_dims=n_dims,
        n_negatives=n_negatives,
        n_threads=1,
        tile_size=TILE_SIZE,
        **({} if loss == "softmax" else {"margin": 0.5}),
        **update,
    )
    counters = job.run(0, 2 * likes.nnz)
    return {
        "loss": loss,
        "n_dims": n_dims,
        "n_negatives": n_negatives,
        "batch_size": batch_size,
        "pairs": counters.pairs,
        "active": counters.active,
    }


def search(n_points: int, n: int) -> dict[str, int]:
    rng = np.random.default_rng(2)
    queries, points = (rng.standard_normal((k, 5)).astype(np.float32) for k in (9, n_points))
    exclude = sp.csr_array((rng.random((9, n_points)) < 0.05).astype(np.float32))
    rows, _ = nearest_on_cuda(queries, points, n, exclude)
    return {"points": n_points, "n": n, "found": int((rows >= 0).sum())}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--device", default="cuda")
    args = parser.parse_args()
    if args.device == "cuda":
        import cupy

        # CuPy's pool puts arrays into one allocation: memcheck would see only its ends, and
        # initcheck would take all of it for initialised.
        cupy.cuda.set_allocator(None)
    for case in CASES:
        for batch_size in BATCH_SIZES:
            print(json.dumps(train(args.device, *case, batch_size)), flush=True)
    if args.device == "cuda":
        for n_points, n in SEARCHES:
            print(json.dumps(search(n_points, n)), flush=True)


if __name__ == "__main__":
    main()
