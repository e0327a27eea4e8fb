"""What a result file says of the rows: the metrics of each seed, and a test of significance."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
from scipy.stats import wilcoxon

from ..recommenders import ALL

METRICS = ("recall@20", "recall@50", "recall@100", "ndcg@20")


def summary(row: dict[str, Any]) -> dict[str, Any]:
    """Of one row: what was chosen, and each metric of the test part, seed by seed."""
    chosen, tested = row["chosen"], row["test"]
    return {
        "settings": chosen["settings"],
        "trials": chosen["trials"],
        "validation_recall": chosen["recall"],
        "most_epochs": row["most_epochs"],
        "seconds": chosen["seconds"] + sum(run["seconds"] for run in tested),
        "users": tested[0]["users"],
        "seeds": [run["seed"] for run in tested],
        "epochs": [run["epochs"] for run in tested],
        **{metric: [run[metric] for run in tested] for metric in METRICS},
    }


def best_peers(
    rows: dict[str, dict[str, Any]], metric: str, measured: Collection[str]
) -> list[str]:
    """The rows of an earlier result, of peers, that rows which are measured are compared with."""
    found = set()
    for with_features in {ALL[name].with_features for name in measured}:
        peers = [
            row
            for row in rows.keys() - set(measured)
            if not ALL[row].ours and ALL[row].with_features <= with_features
        ]
        if peers:
            found.add(max(sorted(peers), key=lambda row: np.mean(rows[row][metric])))
    return sorted(found)


def with_earlier_rows(result: dict[str, Any], earlier: dict[str, Any], date: str) -> dict[str, Any]:
    """Add to the result of a data set what an earlier one has of rows that were not measured."""
    kept = {row: found for row, found in earlier["rows"].items() if row not in result["rows"]}
    rows = kept | result["rows"]
    left_out = earlier["left_out"] | result["left_out"]
    compared = {row: found for row, found in earlier["compared"].items() if row in kept}
    return {
        "k": result["k"],
        "rows": {row: rows[row] for row in reversed(ALL) if row in rows},
        "kept": {"from": date, "rows": [row for row in reversed(ALL) if row in kept]},
        "left_out": {row: reason for row, reason in left_out.items() if row not in rows},
        "compared": compared | result["compared"],
    }


def compare_with_best_peer(rows: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Compare each row of ours, user by user, with the best peer.

    Rows with features are compared with all peers, rows without with those without features.
    """
    found = {}
    for name, row in rows.items():
        peers = [
            other
            for other in rows
            if not ALL[other].ours and (ALL[name].with_features or not ALL[other].with_features)
        ]
        if not ALL[name].ours or not peers:
            continue
        best = max(peers, key=lambda other: np.nanmean(_recall_per_user(rows[other])))
        difference = _recall_per_user(row) - _recall_per_user(rows[best])
        difference = difference[~np.isnan(difference)].round(5)  # no user differs by rounding alone
        found[name] = {
            "against": best,
            "users": len(difference),
            "difference": float(difference.mean()),
            "better": int((difference > 0).sum()),
            "worse": int((difference < 0).sum()),
            "p": float(wilcoxon(difference).pvalue) if difference.any() else 1.0,
        }
    return found


def _recall_per_user(row: dict[str, Any]) -> np.ndarray:
    """The mean over the seeds for each user, NaN for a user who never had a test item."""
    values = np.array([run["per_user"] for run in row["test"]], dtype=np.float64)
    count = (~np.isnan(values)).sum(axis=0)
    return np.where(count, np.nansum(values, axis=0) / np.maximum(count, 1), np.nan)
