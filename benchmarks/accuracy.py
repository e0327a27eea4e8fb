"""Recommenders compared by recall and NDCG: the paper's Table 2, with today's peers.

    python -m benchmarks.accuracy --data citeulike-t
    python -m benchmarks.accuracy --data likes.csv --rows "WRMF (implicit)" "CML, softmax"

Each row has the same number of trials (``--trials``): settings that Optuna proposes, after one that
stands for the package's defaults or what is known to be good, trained on the train part and judged
by recall on the validation part of seed 0. Every training stops when that recall has not risen for
``--patience`` epochs. The best settings are then trained for each seed, which draws the split and
the training, and the test part is looked at once; items of train and validation are left out of
the rankings. gowalla comes with its parts, and its protocol (LightGCN) trains on train and
validation together in the end, for as many epochs as were best without.

The Wilcoxon signed-rank test compares, user by user, the recall of each of our rows with that of
the best peer that uses as much (features or not), over all seeds.

Finished trials and tests are kept in ``--work``: the same command goes on where it ended.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp
from scipy.stats import wilcoxon

from cml_fast._arguments import sample_of_users
from cml_fast.data import load_interactions, split

from . import datasets, results_file
from .peers import ALL, Data, Peer, Settings, why_absent
from .ranking import Scores, evaluate

KS = (20, 50, 100)
SHOWN = ("recall@20", "recall@50", "recall@100", "ndcg@20")
CHOSEN_BY = {"gowalla": 20}  # the k of the recall that decides; others: 50
VALIDATION_USERS = 4000  # a sample, always the same
MERGED = ("gowalla",)  # trained on train and validation in the end


def load(name: str, args: argparse.Namespace, seed: int) -> datasets.Parts:
    if Path(name).exists():
        train, validation, test = split(load_interactions(name), (0.6, 0.2, 0.2), random_state=seed)
        return train, validation, test
    return datasets.load(name, args.folder, seed)


def features_of(name: str, parts: datasets.Parts, args: argparse.Namespace) -> sp.csr_array | None:
    if name == "gowalla" or Path(name).exists():
        return None
    return sp.csr_array(datasets.features(name, parts[0].item_ids, args.folder).matrix)


class Fitted(NamedTuple):
    scores: Scores
    epochs: int
    recall: float
    curve: list[float]


def fit(peer: Peer, data: Data, settings: Settings, seed: int, watch: Any, patience: int) -> Fitted:
    """Train until ``watch(scores)``, a recall, has not risen for so many epochs."""
    curve: list[float] = []
    best = Fitted(Scores(np.empty(0), np.empty(0)), 0, -1.0, curve)
    epochs: Iterator[Scores] = peer.train(data, settings, seed)
    for epoch in range(peer.every, peer.n_epochs + peer.every, peer.every):
        scores = next(epochs, None)
        if scores is None:
            break
        recall = watch(scores)
        curve.append(round(recall, 5))
        if recall > best.recall:
            best = Fitted(scores.copy(), epoch, recall, curve)
        elif epoch - best.epochs >= patience:
            break
    epochs.close()  # type: ignore[attr-defined]
    return best


def fit_for(peer: Peer, data: Data, settings: Settings, seed: int, n_epochs: int) -> Scores:
    epochs = peer.train(data, settings, seed)
    for _ in range(0, n_epochs, peer.every):
        scores = next(epochs)
    return scores.copy()


# --- choosing settings --------------------------------------------------------------------------


def choose(name: str, peer: Peer, args: argparse.Namespace) -> dict[str, Any]:
    """The best of the trials, with those before it that are in ``--work``."""
    import optuna
    from optuna.storages.journal import JournalFileBackend

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    parts = load(name, args, 0)
    train, validation, _ = (part.matrix for part in parts)
    features = features_of(name, parts, args) if peer.with_features else None
    data = Data(train, features)
    wanted = sample_of_users(validation, VALIDATION_USERS)
    k = CHOSEN_BY.get(name, 50)

    def watch(scores: Scores) -> float:
        return evaluate(scores, wanted, train, (k,)).recall[k]

    study = optuna.create_study(
        storage=optuna.storages.JournalStorage(JournalFileBackend(str(args.work / "trials.log"))),
        study_name=f"{Path(name).name}: {peer.name}",
        direction="maximize",
        sampler=optuna.samplers.TPESampler(seed=0),
        load_if_exists=True,
    )
    if not study.trials:
        study.enqueue_trial(peer.first)

    def objective(trial: Any) -> float:
        settings = peer.search(trial)
        fitted = fit(peer, data, settings, 0, watch, args.patience)
        for key, value in {
            "settings": settings,
            "epochs": fitted.epochs,
            "curve": fitted.curve,
        }.items():
            trial.set_user_attr(key, value)
        print(f"{peer.name}: {settings}: {fitted.recall:.4f}", file=sys.stderr, flush=True)
        return fitted.recall

    finished = optuna.trial.TrialState.COMPLETE
    n_trials = args.trials if peer.first else 1
    while (left := n_trials - len(study.get_trials(states=(finished,)))) > 0:
        study.optimize(objective, n_trials=left)
    trials = [t for t in study.get_trials(states=(finished,))][:n_trials]
    best = max(trials, key=lambda t: t.value)
    return {
        "trials": n_trials,
        f"validation_recall@{k}": best.value,
        "first_trial": trials[0].value,
        **best.user_attrs,
    }


# --- the test part ------------------------------------------------------------------------------


def test(
    name: str, peer: Peer, chosen: dict[str, Any], seed: int, args: argparse.Namespace
) -> dict[str, Any]:
    """Means, and the recall of each user, of one seed; kept in ``--work``."""
    label = "".join(c if c.isalnum() else "-" for c in f"{Path(name).name} {peer.name} {seed}")
    kept = args.work / f"{label}.json"
    if kept.exists():
        found: dict[str, Any] = json.loads(kept.read_text())
        if found["settings"] == chosen["settings"]:
            return found
    parts = load(name, args, seed)
    train, validation, wanted = (part.matrix for part in parts)
    features = features_of(name, parts, args) if peer.with_features else None
    settings, k = chosen["settings"], CHOSEN_BY.get(name, 50)
    if name in MERGED:
        data = Data(train + validation, features)
        epochs = chosen["epochs"]
        scores = fit_for(peer, data, settings, seed, epochs)
    else:
        sample = sample_of_users(validation, VALIDATION_USERS)
        fitted = fit(
            peer,
            Data(train, features),
            settings,
            seed,
            lambda scores: evaluate(scores, sample, train, (k,)).recall[k],
            args.patience,
        )
        scores, epochs = fitted.scores, fitted.epochs
    measured = evaluate(scores, wanted, train + validation, KS)
    found = {
        "settings": settings,
        "seed": seed,
        "epochs": epochs,
        **measured.to_dict(),
        "per_user": np.round(measured.recall_per_user[k], 6).tolist(),
    }
    kept.write_text(json.dumps(found))
    return found


def compare(rows: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Each of ours with the best peer that has features where it has, or none where it has none."""
    found = {}
    for name, row in rows.items():
        if not ALL[name].ours:
            continue
        peers = [
            other
            for other in rows
            if not ALL[other].ours and (ALL[name].with_features or not ALL[other].with_features)
        ]
        if not peers:
            continue
        best = max(peers, key=lambda other: statistics.fmean(_recalls(rows[other])))
        a, b = _recalls(row), _recalls(rows[best])
        found[name] = {
            "against": best,
            "difference": float(np.mean(a - b)),
            "p": float(wilcoxon(a, b).pvalue) if np.any(a != b) else 1.0,
        }
    return found


def _recalls(row: dict[str, Any]) -> np.ndarray:
    return np.concatenate([run["per_user"] for run in row["test"]])


# --- all of it ----------------------------------------------------------------------------------


def show(name: str, rows: dict[str, dict[str, Any]], compared: dict[str, Any]) -> None:
    runs = next(iter(rows.values()))["test"]
    print(f"\n{name}: {runs[0]['users']} users with test items, {len(runs)} seed(s)")
    print(f"{'':24}" + "".join(f"{metric:>18}" for metric in SHOWN))
    for what, row in rows.items():
        cells = []
        for metric in SHOWN:
            values = [run[metric] for run in row["test"]]
            spread = f" ± {statistics.stdev(values):.4f}" if len(values) > 1 else ""
            cells.append(f"{statistics.fmean(values):.4f}{spread}".rjust(18))
        print(f"{what:24}{''.join(cells)}")
    for what, result in compared.items():
        print(
            f"{what} - {result['against']}: {result['difference']:+.4f} a user, "
            f"p = {result['p']:.2g} (Wilcoxon)"
        )


def rows_of(asked: Sequence[str] | None, name: str, has_features: bool) -> list[Peer]:
    """The peers to measure; says which are left out, and why."""
    unknown = set(asked or ()) - set(ALL)
    if unknown:
        raise SystemExit(f"unknown rows {sorted(unknown)}; choose from {list(ALL)}")
    peers = []
    for peer in ALL.values():
        if asked and peer.name not in asked:
            continue
        if peer.with_features and not has_features:
            reason: str | None = f"{name} has no features"
        else:
            reason = why_absent(peer)
        if reason is None:
            peers.append(peer)
        else:
            print(f"{peer.name} is left out: {reason}", file=sys.stderr)
    return peers


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--data", nargs="+", default=list(datasets.NAMES), help="names of data sets, or files"
    )
    parser.add_argument("--folder", type=Path, default=datasets.DEFAULT_FOLDER)
    parser.add_argument("--rows", nargs="+", help="only these")
    parser.add_argument("--trials", type=int, default=20, help="settings that each row may try")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--patience", type=int, default=6, help="epochs")
    parser.add_argument("--work", type=Path, default=Path("build/accuracy"))
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()

    args.work.mkdir(parents=True, exist_ok=True)
    results: dict[str, Any] = {}
    for name in args.data:
        has_features = features_of(name, load(name, args, 0), args) is not None
        rows: dict[str, dict[str, Any]] = {}
        for peer in rows_of(args.rows, name, has_features):
            chosen = choose(name, peer, args)
            rows[peer.name] = {
                "chosen": chosen,
                "test": [test(name, peer, chosen, seed, args) for seed in args.seeds],
            }
        compared = compare(rows)
        show(name, rows, compared)
        for row in rows.values():
            for run in row["test"]:
                del run["per_user"]
        results[Path(name).name] = {"rows": rows, "compared": compared}
    record = {"trials": args.trials, "seeds": args.seeds, "results": results}
    path = results_file.write("accuracy", record, args.out)
    print(f"written: {path}", file=sys.stderr)


if __name__ == "__main__":
    main()
