"""Run each kind of kernel on small data, for compute-sanitizer.

    python -m benchmarks.gpu_check.small_cases

Prints one JSON object a case.
"""

from __future__ import annotations

import argparse
import json
from functools import partial

import numpy as np
import scipy.sparse as sp

from cml_fast._search.on_device import nearest_on_cuda

from ..common.training_job import TrainingJob
from .in_time import add_option, in_time
from .kinds import BFLOAT16, arguments_of, is_there

BATCH_SIZES = (0, 50)  # 0: asynchronous
DIMS = (1, 31, 100, 300)  # 300: the kernel for any number of chunks
# Kinds with dimensions and negatives. Losses whose pairs share negatives have kernels of their own.
# As in hashes.py, what tells most comes first.
CASES = [
    *((kind, 31, 40) for kind in ("softmax", "warp", BFLOAT16, "contrastive", "shared_warp")),
    *((kind, n_dims, 40) for n_dims in (100, 300, 1) for kind in ("softmax", "warp", BFLOAT16)),
    *(("warp", n_dims, 7) for n_dims in DIMS),
]
# More than 1,023 likes, so that asynchronous training has more than one warp, too.
SHAPE, DENSITY, TILE_SIZE = (150, 160), 0.05, 8
# Points and n of searches: all scores in shared memory, a sample of them, and all digits.
SEARCHES = ((500, 10), (6000, 10), (6000, 1500))


def train(
    device: str, kind: str, n_dims: int, n_negatives: int, batch_size: int
) -> dict[str, object]:
    rng = np.random.default_rng(1)
    likes = sp.csr_array((rng.random(SHAPE) < DENSITY).astype(np.float32))
    likes.data[:] = rng.uniform(0.5, 3, likes.nnz)
    update = {"update": "sync", "batch_size": batch_size} if batch_size else {"update": "async"}
    job = TrainingJob(
        likes,
        device,
        n_dims=n_dims,
        n_negatives=n_negatives,
        n_threads=1,
        tile_size=TILE_SIZE,
        **({} if kind in ("softmax", BFLOAT16) else {"margin": 0.5}),
        **arguments_of(kind),
        **update,
    )
    counters = job.run(0, 2 * likes.nnz)
    return {
        "kind": kind,
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
    add_option(parser)
    args = parser.parse_args()
    if args.device == "cuda":
        import cupy

        # CuPy's pool puts arrays into one allocation: memcheck would see only its ends, and
        # initcheck would take all of it for initialised.
        cupy.cuda.set_allocator(None)
    cases = [case for case in CASES if is_there(case[0], args.device)]
    trainings = [partial(train, args.device, *case, n) for case in cases for n in BATCH_SIZES]
    searches = [partial(search, *sizes) for sizes in SEARCHES] if args.device == "cuda" else []
    for run in in_time([*trainings[:4], *searches, *trainings[4:]], args.seconds):
        print(json.dumps(run()), flush=True)


if __name__ == "__main__":
    main()
