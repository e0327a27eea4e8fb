"""Train LightFM as asked, in an environment that has it; see lightfm_models.py.

    python lightfm_worker.py FOLDER OPTIONS

FOLDER holds likes.npz and perhaps features.npz, OPTIONS is the JSON of LightFM's arguments. For
each line of standard input, a number of epochs, it trains for so long, writes FOLDER/vectors.npz
(users, items, biases) and prints a line: JSON of the CPU and wall seconds of the training alone.
It ends with its input.
"""

import json
import sys
import time
from pathlib import Path

import lightfm
import numpy as np
import scipy.sparse as sp


def main() -> None:
    folder = Path(sys.argv[1])
    model = lightfm.LightFM(**json.loads(sys.argv[2]))
    # What LightFM works on: converting here keeps that out of the time.
    likes = sp.load_npz(folder / "likes.npz").tocoo()
    likes.data = np.ones(likes.nnz, dtype=np.float32)
    features = None
    if (folder / "features.npz").exists():
        # An item is the mean of its features and of a feature of its own.
        own = sp.identity(likes.shape[1], dtype=np.float32, format="csr")
        features = sp.hstack([own, sp.load_npz(folder / "features.npz")], format="csr")
        features = sp.diags(1 / np.asarray(features.sum(axis=1)).ravel()) @ features
        features = features.astype(np.float32).tocsr()
    for line in sys.stdin:
        cpu, wall = time.process_time(), time.perf_counter()
        model.fit_partial(likes, item_features=features, epochs=int(line), num_threads=1)
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
        biases, items = model.get_item_representations(features)
        _, users = model.get_user_representations()
        np.savez(folder / "vectors.npz", users=users, items=items, biases=biases)
        print(json.dumps({"cpu_seconds": cpu, "wall_seconds": wall}), flush=True)


if __name__ == "__main__":
    main()
