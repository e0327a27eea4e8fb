"""Launch each training kernel once at the defaults, for a profiler.

python -m benchmarks.gpu_profile.launches
"""

from __future__ import annotations

from typing import Any

from ..common.training_job import TrainingJob
from ..gpu_check.kinds import BFLOAT16, arguments_of, is_there
from ..throughput.training_data import GOWALLA, random_likes

# Kinds of kernels, and arguments of Trainer. A launch has as many pairs as a profiler can run some
# dozens of times.
CASES: tuple[tuple[str, dict[str, Any]], ...] = (
    ("softmax", {"update": "sync"}),
    ("softmax", {"update": "sync", "batch_size": 16384}),
    ("softmax", {"update": "async"}),
    ("warp", {"update": "sync"}),
    ("warp", {"update": "async"}),
    (BFLOAT16, {"update": "sync"}),
    (BFLOAT16, {"update": "async"}),
)
PAIRS = 65_536


def main(device: str = "cuda", scale: float = 1.0) -> None:
    likes = random_likes(GOWALLA.times(scale))
    for kind, arguments in CASES:
        if not is_there(kind, device):
            continue
        job = TrainingJob(likes, device, n_threads=1, **arguments_of(kind), **arguments)
        unit = job.launch_granularity
        job.run(0, min(-(-PAIRS // unit) * unit, likes.nnz))


if __name__ == "__main__":
    main()
