"""Write reference_values.json: what other packages compute for a few made-up rankings.

    pip install rectools==0.19.0 ranx==0.3.21 lenskit==2025.8.1 statsmodels==0.15.0 "pyarrow==20.*"
    python tests/metrics/make_reference.py

They are too heavy for the tests' environment (numba, pandas, torch), so the values are committed.
"""

from __future__ import annotations

import json
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd

N_USERS, N_ITEMS, LONGEST, KS = 12, 40, 12, (1, 3, 5, 10)
FILE = Path(__file__).parent / "reference_values.json"


def made_up() -> dict:
    """Rankings, some of them short, relevant items, likes of training, and item vectors."""
    rng = np.random.default_rng(18)
    weights = 1 / np.arange(1, N_ITEMS + 1)
    orders = [rng.permutation(N_ITEMS).tolist() for _ in range(N_USERS)]
    train, relevant, ranked = [], [], []
    for user, order in enumerate(orders):
        liked = rng.choice(N_ITEMS, 6, replace=False, p=weights / weights.sum()).tolist()
        rest = [item for item in order if item not in liked]
        n_relevant = (1, 2, 4, 11)[user % 4]
        train.append(liked)
        ranked.append(rest[: 2 if user == 5 else LONGEST])
        relevant.append(sorted(rng.choice(rest[:20], n_relevant, replace=False).tolist()))
    vectors = rng.standard_normal((N_ITEMS, 3)).round(3).tolist()
    return {"ranked": ranked, "relevant": relevant, "train": train, "vectors": vectors}


def pairs(lists: list[list[int]]) -> pd.DataFrame:
    rows = [(user, item) for user, items in enumerate(lists) for item in items]
    return pd.DataFrame(rows, columns=["user_id", "item_id"])


def of_rectools(data: dict) -> dict:
    from rectools import metrics

    class Euclidean:
        def __getitem__(self, both: tuple) -> np.ndarray:
            vectors = np.array(data["vectors"])
            one, other = (vectors[np.asarray(items, dtype=int)] for items in both)
            return np.linalg.norm(one - other, axis=1)

    reco = pairs(data["ranked"])
    reco["rank"] = reco.groupby("user_id").cumcount() + 1
    test, train = pairs(data["relevant"]), pairs(data["train"])
    found: dict = {}
    for k in KS:
        for name, metric, known in (
            ("recall", metrics.Recall(k), test),
            ("precision", metrics.Precision(k), test),
            ("hit_rate", metrics.HitRate(k), test),
            ("ndcg", metrics.NDCG(k, divide_by_achievable=True), test),
            ("map", metrics.MAP(k), test),
            ("mrr", metrics.MRR(k), test),
            ("novelty", metrics.MeanInvUserFreq(k), train),
            ("popularity", metrics.AvgRecPopularity(k), train),
        ):
            values = metric.calc_per_user(reco, known).reindex(range(N_USERS)).fillna(0)
            found.setdefault(name, {})[k] = values.tolist()
        diversity = metrics.IntraListDiversity(k, Euclidean())
        values = diversity.calc_per_user_from_fitted(diversity.fit(reco, k))
        found.setdefault("diversity", {})[k] = values.reindex(range(N_USERS)).tolist()
        coverage = metrics.CatalogCoverage(k, normalize=True)
        found.setdefault("coverage", {})[k] = coverage.calc(reco, list(range(N_ITEMS)))
    return found


def of_ranx(data: dict) -> dict:
    from ranx import Qrels, Run, evaluate

    qrels = {f"u{u}": {str(i): 1 for i in items} for u, items in enumerate(data["relevant"])}
    run = {
        f"u{u}": {str(i): float(-place) for place, i in enumerate(items)}
        for u, items in enumerate(data["ranked"])
    }
    names = {
        "recall": "recall",
        "precision": "precision",
        "hit_rate": "hit_rate",
        "ndcg": "ndcg",
        "map": "map",
        "mrr": "mrr",
    }
    qrels, run = Qrels(qrels), Run(run)
    found: dict = {}
    for ours, theirs in names.items():
        for k in KS:
            evaluate(qrels, run, f"{theirs}@{k}")
            scores = run.scores[f"{theirs}@{k}"]
            found.setdefault(ours, {})[k] = [float(scores[f"u{u}"]) for u in range(N_USERS)]
    return found


def of_lenskit(data: dict) -> dict:
    from lenskit.data import ItemList
    from lenskit.metrics import Recall

    lists = list(zip(data["ranked"], data["relevant"], strict=True))
    return {
        "recall_capped": {
            k: [
                float(Recall(k).measure_list(ItemList(ranked, ordered=True), ItemList(relevant)))
                for ranked, relevant in lists
            ]
            for k in KS
        }
    }


def of_statsmodels() -> dict:
    from statsmodels.stats.multitest import multipletests

    p = [0.04, 0.001, 0.5, 0.012, 0.012, 0.9]
    return {"p": p, "corrected": multipletests(p, method="holm")[1].tolist()}


def main() -> None:
    data = made_up()
    packages = ("rectools", "ranx", "lenskit", "statsmodels")
    result = {
        "versions": {name: version(name) for name in packages},
        "data": data,
        "values": {
            "rectools": of_rectools(data),
            "ranx": of_ranx(data),
            "lenskit": of_lenskit(data),
        },
        "holm": of_statsmodels(),
    }
    FILE.write_text(json.dumps(result) + "\n")


if __name__ == "__main__":
    main()
