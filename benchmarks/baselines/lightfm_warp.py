"""Time LightFM's WARP training on one matrix; prints one JSON line.

Run it with the Python of the environment that lightfm_requirements.txt describes:

    python lightfm_warp.py pairs.npz --epochs 10

The cost of a WARP epoch changes as the model learns: more negatives are drawn before one violates
the margin, but fewer pairs end in an update. Compare rates over the same epochs only. --warmup is
the number of untimed epochs that come first: `--warmup 5 --epochs 10` times epochs 6 to 15.
"""

import argparse
import json
import time

import lightfm
import numpy as np
import scipy.sparse as sp


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("matrix", help="scipy sparse .npz, users x items; a stored entry is a pair")
    parser.add_argument("--epochs", type=int, default=10, help="timed epochs")
    parser.add_argument("--warmup", type=int, default=1, help="untimed epochs before them")
    parser.add_argument("--components", type=int, default=100)
    parser.add_argument("--max-sampled", type=int, default=20)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()

    # COO float32 is what LightFM works on: converting here keeps that out of the timed part.
    # It skips entries that are not positive, so every stored entry is made a one.
    pairs = sp.load_npz(args.matrix).tocoo()
    pairs.data = np.ones(pairs.nnz, dtype=np.float32)
    model = lightfm.LightFM(
        loss="warp",
        no_components=args.components,
        max_sampled=args.max_sampled,
        random_state=args.seed,
    )
    model.fit_partial(pairs, epochs=args.warmup, num_threads=args.threads)

    # CPU time (all threads together) rather than wall time: other work on the machine disturbs it
    # less. With several threads it also counts the time a thread spends waiting for the others.
    cpu, wall = time.process_time(), time.perf_counter()
    model.fit_partial(pairs, epochs=args.epochs, num_threads=args.threads)
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall

    result = {"library": "lightfm", "version": lightfm.__version__}
    result |= {"pairs": pairs.nnz * args.epochs, "cpu_seconds": cpu, "wall_seconds": wall}
    print(json.dumps(result | {"pairs_per_cpu_second": result["pairs"] / cpu}))


if __name__ == "__main__":
    main()
