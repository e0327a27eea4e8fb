"""The demonstration: learn from likes, compare with baselines, recommend, draw the space."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp

from ..baselines import MostPopular, RandomItems
from ..data import Interactions, Synthetic, split, synthetic
from ..evaluation import Recommender, evaluate
from ..model import Model
from ..trainer import Trainer
from .saving import write_interactions

# Lengths of the rankings that are measured.
_KS = (10, 50)
# Shares of training, validation and test, and the dimensions of the model.
_SHARES = (0.6, 0.2, 0.2)
_N_DIMS = 50
# Users that are shown, and items for each; the users are chosen among so many candidates.
_N_EXAMPLES, _N_LISTED = 3, 8
_N_CANDIDATES = 10 * _N_EXAMPLES


def planted_likes() -> Synthetic:
    """Make up the likes of 2,000 users for items of six tastes."""
    return synthetic(n_users=2_000, n_items=1_200, n_interactions=100_000, n_tastes=6, noise=0.05)


def run(
    data: Interactions | Synthetic,
    out: Path,
    *,
    note: Callable[[str], None] = lambda message: None,
    verbose: bool = False,
) -> tuple[dict[str, Any], str]:
    """Train on 60 % of the likes, test on 20 %, and write a model and a map to ``out``.

    Made-up likes are written as well, one file for each part.

    Parameters
    ----------
    data : Interactions or Synthetic
    out : pathlib.Path
        Created if absent.
    note : function of str
        Called with a line on each step before it begins.
    verbose : bool
        Show the progress of training on stderr.

    Returns
    -------
    tuple of dict and str
        The outcome as JSON values, and as a text to read.
    """
    planted = data if isinstance(data, Synthetic) else None
    likes = data.interactions if isinstance(data, Synthetic) else data
    parts = dict(zip(("train", "validation", "test"), split(likes, _SHARES), strict=True))
    train, validation, test = parts.values()
    n_users, n_items = likes.matrix.shape
    note(f"training on 60 % of {likes.matrix.nnz:,} likes")
    trainer = Trainer(n_dims=_N_DIMS, verbose=verbose)
    trainer.fit(train, validation=validation)
    model: Model = trainer.model_

    note("comparing with baselines")
    known = train.matrix + validation.matrix
    recommenders: dict[str, Recommender] = {
        "collaborative metric learning": model,
        "most popular items": MostPopular(train),
        "random items": RandomItems(train),
    }
    recall = {
        name: evaluate(one, test, known, _KS, metrics="recall").recall
        for name, one in recommenders.items()
    }
    examples = [
        _example(model, likes, known, test, user) for user in _example_users(known, test.matrix)
    ]

    note("drawing the map")
    files = _write_files(out, model, parts, planted)
    result = {
        "n_users": n_users,
        "n_items": n_items,
        "n_interactions": likes.matrix.nnz,
        "tastes": list(planted.taste_names) if planted else None,
        "device": trainer.device_,
        "best_epoch": trainer.best_epoch_,
        "seconds": sum(report.seconds for report in trainer.history_),
        "recall": {
            name: {f"recall@{k}": value for k, value in values.items()}
            for name, values in recall.items()
        },
        "recommendations": examples,
        "files": {name: str(path) for name, path in files.items()},
    }
    return result, _text(result)


def _write_files(
    out: Path, model: Model, parts: dict[str, Interactions], planted: Synthetic | None
) -> dict[str, Path]:
    """Write the model, the map and, where the likes are made up, a file for each part."""
    files = {"model": out / "model", "map": out / "map.html"}
    model.save(files["model"])
    model.map(
        files["map"],
        tags=planted and [planted.taste_names[taste] for taste in planted.item_tastes],
        likes=parts["train"],
        title="The space that the demo learned",
        overwrite=True,
    )
    if planted:
        for name, part in parts.items():
            files[name] = out / f"{name}.csv"
            write_interactions(part, files[name])
    return files


def _example_users(known: sp.csr_array, test: sp.csr_array) -> np.ndarray:
    """Choose a few of the users whose activity is nearest to the median."""
    activity = np.diff(known.indptr)
    tested = np.flatnonzero(np.diff(test.indptr))
    typical = np.abs(activity[tested] - np.median(activity[tested]))
    closest = tested[np.argsort(typical, kind="stable")[:_N_CANDIDATES]]
    return np.sort(closest)[:: max(1, len(closest) // _N_EXAMPLES)][:_N_EXAMPLES]


def _example(
    model: Model, likes: Interactions, known: sp.csr_array, test: Interactions, user: int
) -> dict[str, Any]:
    """Return some of what a user is known to like, and what is recommended."""
    liked = known.indices[known.indptr[user] : known.indptr[user + 1]]
    some = liked[np.linspace(0, len(liked) - 1, min(len(liked), _N_LISTED)).astype(int)]
    nearest, distances = model.recommend(user, _N_LISTED, known)
    nearest, distances = nearest[nearest >= 0], distances[nearest >= 0]
    held_out = test.matrix.indices[test.matrix.indptr[user] : test.matrix.indptr[user + 1]]
    return {
        "user": likes.user_ids[[user]].tolist()[0],
        "n_liked": len(liked),
        "liked": likes.item_ids[some].tolist(),
        "recommended": [
            {"item": item, "distance": distance, "in_test": hit}
            for item, distance, hit in zip(
                likes.item_ids[nearest].tolist(),
                distances.tolist(),
                np.isin(nearest, held_out).tolist(),
                strict=True,
            )
        ],
    }


def _text(result: dict[str, Any]) -> str:
    made_up = "made-up likes; items are named after their tastes" if result["tastes"] else "likes"
    lines = [
        f"{result['n_users']:,} users, {result['n_items']:,} items, "
        f"{result['n_interactions']:,} {made_up}.",
        f"Trained for {result['seconds']:.1f} s on {result['device']}; epoch "
        f"{result['best_epoch']} was best in validation.",
        "",
        f"{'On the test part':<32}" + "".join(f"{f'recall@{k}':>12}" for k in _KS),
    ]
    for name, recall in result["recall"].items():
        lines.append(f"  {name:<30}" + "".join(f"{recall[f'recall@{k}']:12.3f}" for k in _KS))
    lines += ["", "Recommendations (* is one of the user's likes in the test part):"]
    for example in result["recommendations"]:
        recommended = (
            f"{entry['item']}{'*' * entry['in_test']}" for entry in example["recommended"]
        )
        lines += [
            f"  {example['user']}, {example['n_liked']} likes known",
            f"    likes, for example  {', '.join(map(str, example['liked']))}",
            f"    recommended         {', '.join(recommended)}",
        ]
    lines += ["", "Written:"]
    lines += [f"  {name:<11} {path}" for name, path in result["files"].items()]
    model, example = shlex.quote(result["files"]["model"]), result["recommendations"][0]
    user, item = (shlex.quote(str(word)) for word in (example["user"], example["liked"][0]))
    lines += [
        *("", "Try next:"),
        f"  cml-fast recommend {model} --user {user}",
        f"  cml-fast similar {model} --item {item}",
    ]
    return "\n".join(lines)
