"""The defaults of `Trainer` on data of very different kinds, beside peers that were tuned on each.

    python -m benchmarks.studies.many_kinds
    python -m benchmarks.studies.many_kinds --rows defaults "no validation" --reuse RESULT.json

The kinds are those of `made_up`, and the public data sets. The peers, and a model of ours, get
settings that Optuna chooses by recall on the validation part of seed 0, and stop early by it: as in
`benchmarks.accuracy`, whose newest result file has their figures for the public data sets. The rows
of `UNTOUCHED` name no setting but the loss. Every row is then trained once for each seed, which
determines the split and the random numbers, on the train part, and tested once.

Where the catalogue has fewer than 500 items, 10 stands for both 20 and 50.
"""

from __future__ import annotations

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before NumPy starts its threads
os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import scipy.sparse as sp

from cml_fast import Trainer

from ..accuracy.tuning import choose, fit
from ..common import datasets, made_up, results_file
from ..common.ranking import Scores, evaluate, sample_of_users
from ..recommenders import ALL, Data, Recommender, Settings
from ..recommenders.recommender import Trial
from ..report.__main__ import newest_path

MODULE = "benchmarks.studies.many_kinds"
VALIDATION_USERS = 1000  # a sample, always the same
SMALL = 500  # items, below which rankings are cut at 10
DIGITS = 4
Row = dict[str, Any]


# --- rows that are tuned ------------------------------------------------------------------------


def _search_wrmf(trial: Trial) -> Settings:
    return {
        "n_factors": trial.suggest_categorical("n_factors", [4, 8, 16, 32, 64, 128]),
        "alpha": trial.suggest_float("alpha", 1, 200, log=True),
        "regularization": trial.suggest_float("regularization", 0.3, 300, log=True),
    }


def _search_ours(trial: Trial) -> Settings:
    return {
        "temperature": trial.suggest_float("temperature", 0.1, 3.0, log=True),
        "n_dims": trial.suggest_categorical("n_dims", [8, 16, 50, 100]),
        "learning_rate": trial.suggest_float("learning_rate", 0.03, 0.3, log=True),
        "learning_rate_decay": 0.0,
        "popularity_weight": trial.suggest_float("popularity_weight", 0.0, 0.3),
    }


def _search_paper(trial: Trial) -> Settings:
    return {
        "loss": "warp",
        "n_negatives": trial.suggest_int("n_negatives", 2, 64, log=True),
        "margin": trial.suggest_float("margin", 0.75, 2.0),
        "learning_rate": trial.suggest_float("learning_rate", 0.03, 0.3, log=True),
        "learning_rate_decay": 0.0,
        "user_retention": trial.suggest_categorical("user_retention", [1.0, 0.3]),
    }


@dataclass(frozen=True)
class Tuned:
    """A row of `benchmarks.accuracy` with a wider search."""

    of: str  # its name there
    trials: int
    search: Callable[[Trial], Settings] | None = None
    first: Settings | None = None

    @property
    def recommender(self) -> Recommender:
        one = ALL[self.of]
        return replace(one, search=self.search or one.search, first=self.first or one.first)


TUNED = {
    "most popular": Tuned("most popular", 1),
    "EASE": Tuned("EASE", 12),
    "ALS": Tuned(
        "WRMF (implicit)",
        30,
        _search_wrmf,
        {"n_factors": 16, "alpha": 10.0, "regularization": 100.0},
    ),
    "tuned": Tuned(
        "CML, softmax",
        16,
        _search_ours,
        {"temperature": 0.3, "n_dims": 100, "learning_rate": 0.1, "popularity_weight": 0.0}
        | {"learning_rate_decay": 0.0},
    ),
    "tuned warp": Tuned(
        "CML, the paper's loss",
        16,
        _search_paper,
        {"loss": "warp", "n_negatives": 10, "margin": 1.25, "learning_rate": 0.1}
        | {"learning_rate_decay": 0.0, "user_retention": 1.0},
    ),
}
PEERS = ("EASE", "ALS", "tuned")
OWN = {"warp": "tuned warp"}  # rows that are compared with a tuned form of their own

# --- rows that are not --------------------------------------------------------------------------


@dataclass(frozen=True)
class Untouched:
    """``Trainer(**arguments)``, with or without validation data for `fit`."""

    arguments: Settings
    validates: bool = True


UNTOUCHED = {
    "defaults": Untouched({}),
    "no validation": Untouched({}, validates=False),
    "warp": Untouched({"loss": "warp"}),
}
ROWS = (*TUNED, *UNTOUCHED)


class Part:
    """The parts of a data set with one seed, and where its rankings are cut."""

    def __init__(self, name: str, folder: Path, seed: int) -> None:
        parts = datasets.load(name, folder, seed)
        self.train, self.validation, self.test = (part.matrix for part in parts)
        small = self.train.shape[1] < SMALL
        self.k_of_recall, self.k_of_ndcg = (10, 10) if small else (50, 20)
        self.sample = sample_of_users(self.validation, VALIDATION_USERS)

    def validate(self, scores: Scores) -> float:
        k = self.k_of_recall
        return evaluate(scores, self.sample, self.train, (k,)).recall[k]

    def tested(self, scores: Scores) -> dict[str, float]:
        known = self.train + self.validation
        found = evaluate(scores, self.test, known, (self.k_of_ndcg, self.k_of_recall))
        return {
            "recall": round(found.recall[self.k_of_recall], DIGITS),
            "ndcg": round(found.ndcg[self.k_of_ndcg], DIGITS),
        }


def measure_tuned(name: str, row: str, parts: dict[int, Part], work: Path) -> Row:
    """Choose settings on the first part, and test with each seed."""
    tuned, first = TUNED[row], next(iter(parts.values()))
    recommender = tuned.recommender
    study, log = f"{name}: {row}", work / "trials.log"
    data, n_epochs = Data(sp.csr_array(first.train)), recommender.n_epochs
    chosen = choose(study, log, recommender, data, first.validate, tuned.trials, n_epochs)
    seeds = []
    for seed, part in parts.items():
        data = Data(sp.csr_array(part.train))
        fitted = fit(recommender, data, chosen["settings"], seed, part.validate, n_epochs)
        seeds.append({"epochs": fitted.epochs, **part.tested(fitted.scores)})
    return {"settings": chosen["settings"], "seeds": seeds}


def measure_untouched(row: str, parts: dict[int, Part]) -> Row:
    """Train and test with each seed."""
    untouched, seeds = UNTOUCHED[row], []
    for seed, part in parts.items():
        trainer = Trainer(
            **untouched.arguments, random_state=seed, n_threads=1, device="cpu", verbose=False
        )
        began = time.process_time()
        trainer.fit(part.train, validation=part.validation if untouched.validates else None)
        seconds = round(time.process_time() - began, 2)
        model = trainer.model_
        vectors = model.user_vectors, model.item_vectors
        seeds.append(
            {
                "epochs": trainer.n_epochs_,
                "temperature": trainer.temperature_,
                "user_retention": trainer.user_retention_,
                "popularity_weight": trainer.popularity_weight_,
                "seconds": seconds,
                **part.tested(Scores.of_distances(*vectors)),
            }
        )
    return {"settings": untouched.arguments, "seeds": seeds}


def measured_elsewhere(name: str) -> dict[str, Row]:
    """The tuned rows of a public data set, from the newest results of `benchmarks.accuracy`."""
    path = newest_path("accuracy", results_file.FOLDER)
    if path is None or name in made_up.KINDS:
        return {}
    rows = json.loads(path.read_text())["results"].get(name, {"rows": {}})["rows"]
    return {
        row: {
            "settings": rows[tuned.of]["settings"],
            "seeds": [
                {"epochs": epochs, "recall": round(recall, DIGITS), "ndcg": round(ndcg, DIGITS)}
                for epochs, recall, ndcg in zip(
                    *(rows[tuned.of][column] for column in ("epochs", "recall@50", "ndcg@20")),
                    strict=True,
                )
            ],
        }
        for row, tuned in TUNED.items()
        if tuned.of in rows
    }


def run(
    names: Iterable[str],
    rows: Iterable[str],
    seeds: list[int],
    known: dict[str, dict[str, Row]],
    folder: Path,
    work: Path,
) -> dict[str, dict[str, Row]]:
    """All rows of all data sets; those in ``known`` and not in ``rows`` are taken from there."""
    results: dict[str, dict[str, Row]] = {}
    for name in names:
        parts = {seed: Part(name, folder, seed) for seed in seeds}
        given = measured_elsewhere(name)
        found = results[name] = {**known.get(name, {}), **given}
        for row in rows:
            if row in UNTOUCHED:
                found[row] = measure_untouched(row, parts)
            elif row not in given:
                found[row] = measure_tuned(name, row, parts, work)
        results[name] = {row: found[row] for row in ROWS if row in found}
        print(table({name: results[name]}), flush=True)
    return results


# --- the table ----------------------------------------------------------------------------------


def mean(row: Row, metric: str) -> float:
    return statistics.fmean(seed[metric] for seed in row["seeds"])


def peers(rows: dict[str, Row], row: str) -> list[Row]:
    """What a row is compared with: the tuned form of its loss, or the peers."""
    return [rows[name] for name in ([OWN[row]] if row in OWN else PEERS) if name in rows]


def share(rows: dict[str, Row], row: str, metric: str) -> float:
    """What a row reaches of the best peer's metric."""
    return mean(rows[row], metric) / max(mean(peer, metric) for peer in peers(rows, row))


def table(results: dict[str, dict[str, Row]]) -> str:
    """Recall and NDCG of each row, and the share of the best peer that the untouched ones reach."""
    lines = []
    for name, rows in results.items():
        lines.append(f"\n{name}")
        for row, found in rows.items():
            cells = []
            for metric in ("recall", "ndcg"):
                values = [seed[metric] for seed in found["seeds"]]
                spread = statistics.stdev(values) if len(values) > 1 else 0.0
                cells.append(f"{statistics.fmean(values):.4f} ± {spread:.4f}")
            if row in UNTOUCHED and peers(rows, row):
                cells += [f"{share(rows, row, metric):6.1%}" for metric in ("recall", "ndcg")]
            chosen = {
                key: round(value, 3) if isinstance(value, float) else value
                for key, value in found["settings"].items()
            }
            extra = [
                f"{seed['temperature']}, {seed['user_retention']}"
                for seed in found["seeds"]
                if seed.get("temperature")
            ]
            epochs = [seed["epochs"] for seed in found["seeds"]]
            cells += [str(chosen or extra), f"epochs {epochs}"]
            lines.append(f"  {row:14}" + "  ".join(cells))
    return "\n".join(lines)


def markdown(results: dict[str, dict[str, Row]], metric: str) -> str:
    """A table of the means, with the share of what a row is compared with in brackets."""
    lines = ["| | " + " | ".join(ROWS) + " |", "| --- " * (len(ROWS) + 1) + "|"]
    for name, rows in results.items():
        cells = [f"{mean(rows[row], metric):.3f}" if row in rows else "" for row in ROWS]
        for at, row in enumerate(ROWS):
            if row in rows and row in UNTOUCHED and peers(rows, row):
                cells[at] += f" ({share(rows, row, metric):.0%})"
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    names = [*made_up.KINDS, "citeulike-t", "ml-latest-small"]
    parser.add_argument("--names", nargs="+", default=names, metavar="NAME", help=", ".join(names))
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=list(ROWS), metavar="ROW")
    parser.add_argument("--reuse", type=Path, help="a result file with the other rows")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--folder", type=Path, default=datasets.DEFAULT_FOLDER)
    parser.add_argument("--work", type=Path, default=Path("build/many-kinds"))
    parser.add_argument("--out", type=Path, help="result file (default: in benchmarks/results)")
    args = parser.parse_args()
    known = json.loads(args.reuse.read_text())["results"] if args.reuse else {}
    args.work.mkdir(parents=True, exist_ok=True)
    began = time.process_time()
    results = run(args.names, args.rows, args.seeds, known, args.folder, args.work)
    print(f"{time.process_time() - began:.0f} CPU-seconds", file=sys.stderr)
    for metric in ("recall", "ndcg"):
        print(f"\n{metric}\n\n{markdown(results, metric)}")
    record = {"seeds": args.seeds, "results": results}
    path = results_file.write(MODULE, record, args.out)
    print(f"written: {path}", file=sys.stderr)


if __name__ == "__main__":
    main()
