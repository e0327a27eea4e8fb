"""Launch each training kernel once at the defaults, for a profiler.

python -m benchmarks.gpu_profile.launches
"""

from __future__ import annotations

from ..common.training_job import TrainingJob
from ..throughput.training_data import GOWALLA, random_likes

# Of Trainer. A launch has as many pairs as a profiler can run some dozens of times.
CASES = (
    {"loss": "softmax", "update": "sync"},
    {"loss": "softmax", "update": "sync", "batch_size": 16384},
    {"loss": "softmax", "update": "async"},
    {"loss": "warp", "update": "sync"},
    {"loss": "warp", "update": "async"},
)
PAIRS = 65_536


def main(device: str = "cuda", scale: float = 1.0) -> None:
    likes = random_likes(GOWALLA.times(scale))
    for case in CASES:
        job = TrainingJob(likes, device, n_threads=1, **case)
        unit = job.launch_granularity
        job.run(0, min(-(-PAIRS // unit) * unit, likes.nnz))


if __name__ == "__main__":
    main()
