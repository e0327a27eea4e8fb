"""Cold start: does CML+F recommend items that nobody has liked yet, by their tags alone?

    python -m benchmarks.studies.cold_start

A tenth of the items of citeulike-t, drawn with the seed, loses all its likes before training, so
that CML+F, at its defaults, places these items by their tags alone. The recall of these likes (all
items are ranked for each user) is compared with random vectors, with the mean vector of the other
items in their place, and with ranking items by the cosine between their tags and those of a user's
items.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from pathlib import Path

import numpy as np
import scipy.sparse as sp

from cml_fast import Model, Trainer
from cml_fast.data import Interactions, split
from cml_fast.evaluation import evaluate

from ..common import datasets, results_file

MODULE = "benchmarks.studies.cold_start"
DATA = "citeulike-t"
K = 50
COLD_SHARE = 10  # one of so many items loses its likes


def only(likes: Interactions, items: np.ndarray) -> Interactions:
    """The likes of these items (a mask)."""
    kept = sp.csr_array(likes.matrix @ sp.diags_array(items.astype(np.float32)))
    kept.eliminate_zeros()
    return Interactions(kept, likes.user_ids, likes.item_ids)


def nearest_tags(likes: sp.csr_array, features: sp.csr_array, held_out: sp.csr_array) -> float:
    """Recall of ranking items by the cosine between their tags and those of a user's items."""
    norms = np.sqrt(features.multiply(features).sum(axis=1))
    unit = sp.csr_array(sp.diags_array(1 / np.maximum(norms, 1e-12)) @ features)
    recalls = []
    for user in np.flatnonzero(np.diff(held_out.indptr)):
        liked = likes[[user]]
        scores = ((liked @ unit) @ unit.T).toarray()[0]
        scores[liked.indices] = -np.inf
        nearest = np.argsort(-scores, kind="stable")[:K]
        recalls.append(np.isin(held_out[[user]].indices, nearest).mean())
    return float(np.mean(recalls))


def cold_start(folder: Path, seed: int) -> dict[str, float]:
    """Recall of the likes of items without likes in training, by method."""
    parts = datasets.load(DATA, folder)
    likes = Interactions(
        sp.csr_array(sum(part.matrix for part in parts)), parts[0].user_ids, parts[0].item_ids
    )
    features = datasets.features(DATA, likes.item_ids, folder).matrix
    n_items = len(likes.item_ids)
    rng = np.random.default_rng(seed)
    cold = np.zeros(n_items, dtype=bool)
    cold[rng.choice(n_items, n_items // COLD_SHARE, replace=False)] = True
    warm, held_out = only(likes, ~cold), only(likes, cold)
    train, validation = split(warm, (0.8, 0.2), random_state=seed)
    trainer = Trainer(n_threads=1, random_state=seed, device="cpu", verbose=False)
    model = trainer.fit(train, validation=validation, item_features=features).model_

    def recall(users: np.ndarray, items: np.ndarray) -> float:
        ranked = evaluate(Model(users, items), held_out.matrix, exclude=warm.matrix, ks=(K,))
        return float(ranked.recall[K])

    users, items = model.user_vectors, model.item_vectors
    mean = np.where(cold[:, None], items[~cold].mean(axis=0), items)
    return {
        "CML+F": recall(users, items),
        "nearest tags": nearest_tags(warm.matrix, features, held_out.matrix),
        "mean vector": recall(users, mean),
        "by chance": recall(*(rng.standard_normal(x.shape) for x in (users, items))),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--folder", type=Path, default=datasets.DEFAULT_FOLDER)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--out", type=Path, help="result file (default: in benchmarks/results)")
    args = parser.parse_args()

    runs = []
    for seed in args.seeds:
        runs.append(cold_start(args.folder, seed))
        print(f"seed {seed}: {runs[-1]}", file=sys.stderr, flush=True)
    print(f"recall@{K} of items that were never liked")
    for what in runs[0]:
        values = [run[what] for run in runs]
        spread = f" ± {statistics.stdev(values):.4f}" if len(values) > 1 else ""
        print(f"  {what:13} {statistics.fmean(values):.4f}{spread}")
    path = results_file.write(MODULE, {"defaults": Trainer().get_params(), "runs": runs}, args.out)
    print(f"written: {path}", file=sys.stderr)


if __name__ == "__main__":
    main()
