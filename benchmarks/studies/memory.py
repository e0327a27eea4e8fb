"""How fast memory can be read, and how much memory a fit takes.

    python -m benchmarks.studies.memory

The second part compares the peak memory of a fit with the least it needs: the vectors, their
AdaGrad accumulators and the pairs in CSR form. A second fit, with twice the pairs, shows what grows
with the pairs. Each fit runs in a process of its own, on synthetic pairs, and needs Linux (/proc).
"""

from __future__ import annotations

import argparse
import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import scipy.sparse as sp

from cml_fast import Trainer

from ..common import results_file
from ..common.machine_speed import bandwidths, padded

MODULE = "benchmarks.studies.memory"
ROWS = (1_000, 25_000, 40_000, 1_000_000)  # of a table: innermost caches to main memory
ROW_FLOATS = 112  # 100 dimensions, padded
MIB = 1 << 20


def random_likes(n_users: int, n_items: int, likes_per_user: int) -> sp.csr_array:
    """``likes_per_user`` distinct random items for every user."""
    generator = np.random.default_rng(0)
    # Sorted numbers that may repeat, spread by 0, 1, 2, ..., are sorted and distinct.
    last = n_items - likes_per_user + 1
    drawn = np.sort(generator.integers(last, size=(n_users, likes_per_user), dtype=np.int32))
    indices = (drawn + np.arange(likes_per_user, dtype=np.int32)).ravel()
    indptr = np.arange(n_users + 1, dtype=np.int32) * likes_per_user
    weights = np.ones(len(indices), dtype=np.float32)
    return sp.csr_array((weights, indices, indptr), shape=(n_users, n_items))


def needed(likes: sp.csr_array, n_dims: int) -> int:
    """Bytes of vectors, accumulators and CSR arrays."""
    tables = 2 * sum(likes.shape) * padded(n_dims) * 4
    return int(tables + likes.indptr.nbytes + likes.indices.nbytes + likes.data.nbytes)


def fit_peak(n_users: int, n_items: int, likes_per_user: int, n_dims: int) -> tuple[int, int]:
    """Bytes that a fit and its pairs need, and by how many this process grew at the peak."""
    before = _status("VmRSS")
    likes = random_likes(n_users, n_items, likes_per_user)
    Path("/proc/self/clear_refs").write_text("5")  # forget the peak of making the pairs
    Trainer(loss="warp", n_dims=n_dims, n_epochs=1, device="cpu", verbose=False).fit(likes)
    return needed(likes, n_dims), _status("VmHWM") - before


def _status(field: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"/proc/self/status has no {field}")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--n-users", type=int, default=50_000)
    parser.add_argument("--n-items", type=int, default=50_000)
    parser.add_argument("--likes-per-user", type=int, default=100)
    parser.add_argument("--n-dims", type=int, default=32)
    parser.add_argument("--out", type=Path, help="result file (default: in benchmarks/results)")
    args = parser.parse_args()

    speeds = {}
    print(f"GB per CPU-second of one core, rows of {ROW_FLOATS} floats")
    for n_rows in ROWS:
        speeds[n_rows] = bandwidths(n_rows, ROW_FLOATS)
        listed = ", ".join(f"{name} {speed / 1e9:.1f}" for name, speed in speeds[n_rows].items())
        print(f"{n_rows * 112 * 4 / MIB:8.1f} MiB  {listed}")

    fits = []
    for likes_per_user in (args.likes_per_user, 2 * args.likes_per_user):
        shape = (args.n_users, args.n_items, likes_per_user, args.n_dims)
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            least, peak = pool.submit(fit_peak, *shape).result()
        pairs = args.n_users * likes_per_user
        fits.append({"shape": shape, "pairs": pairs, "needed": least, "peak": peak})
        print(
            f"a fit of {pairs} pairs needs {least / MIB:.0f} MiB, takes {peak / MIB:.0f} MiB at "
            f"its peak: {peak / least:.2f} times as much"
        )
    one, two = fits
    per_pair = {
        what: (two[what] - one[what]) / (two["pairs"] - one["pairs"]) for what in ("needed", "peak")
    }
    print("a further pair needs {needed:.1f} bytes and takes {peak:.1f}".format(**per_pair))
    result = {"bandwidths": speeds, "fits": fits, "bytes_per_pair": per_pair}
    print(f"written: {results_file.write(MODULE, result, args.out)}", file=sys.stderr)


if __name__ == "__main__":
    main()
