"""Kernels with one fault each, for every tool of compute-sanitizer to find.

    compute-sanitizer --tool memcheck python -m benchmarks.gpu_check.planted memcheck

A tool that misses its fault would miss one in our kernels, too.
"""

from __future__ import annotations

import argparse

FAULTS = {
    # One element beyond the memory.
    "memcheck": "x[threadIdx.x + 1] = 1;",
    # The other warp may write before or after this one reads.
    "racecheck": (
        "__shared__ int s[64]; s[threadIdx.x] = threadIdx.x; x[threadIdx.x] = s[63 - threadIdx.x];"
    ),
    # Nobody has written to y.
    "initcheck": "x[threadIdx.x] = y[threadIdx.x];",
    # A lane that is not in the mask waits.
    "synccheck": "if (threadIdx.x < 32) __syncwarp(0x7FFFFFFFu); x[threadIdx.x] = 1;",
}
THREADS = 64


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("tool", choices=FAULTS)
    args = parser.parse_args()
    import cupy

    cupy.cuda.set_allocator(None)  # see small_cases.py
    code = f'extern "C" __global__ void fault(int* x, const int* y) {{ {FAULTS[args.tool]} }}'
    x, y = (cupy.empty(THREADS, dtype=cupy.int32) for _ in range(2))
    cupy.RawKernel(code, "fault")((1,), (THREADS,), (x, y))
    cupy.cuda.get_current_stream().synchronize()


if __name__ == "__main__":
    main()
