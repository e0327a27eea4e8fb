"""What the commands of ``cml-fast`` do, given their parsed options."""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp

from .. import build_info
from .._persistence.folder import check_writable
from .._training import checkpoint
from .._training.hyperparameters import HYPERPARAMETERS
from ..data import Features, Interactions, load_features, load_interactions, split
from ..errors import DataError
from ..evaluation import evaluate as evaluate_model
from ..model import Model
from ..trainer import Trainer
from .demo import planted_likes
from .demo import run as run_demo

# The result for --json, and the same as a text to read.
Outcome = tuple[dict[str, Any], str]


def note(message: str) -> None:
    """Print a message of one line on stderr."""
    print("cml-fast:", " ".join(message.split()), file=sys.stderr, flush=True)


def train(args: argparse.Namespace) -> Outcome:
    check_writable(args.out, "model")  # before training, not after it
    hyperparameters = {
        name: getattr(args, name) for name, row in HYPERPARAMETERS.items() if row.kind
    }
    resumes = _check_checkpoint(args, hyperparameters)
    trainer = Trainer(**hyperparameters, verbose=sys.stderr.isatty())
    train = _load(args, args.file)
    validation = None
    if args.validation:
        validation = _select(args, args.validation, train.user_ids, train.item_ids)
    elif args.validation_share:
        shares = (1 - args.validation_share, args.validation_share)
        train, validation = split(train, shares, args.random_state)
    n_users, n_items = train.matrix.shape
    features: dict[str, Any] = {
        "user_features": _load_features(args, args.user_features, train.user_ids),
        "item_features": _load_features(args, args.item_features, train.item_ids),
    }
    note(f"training on {train.matrix.nnz:,} pairs of {n_users:,} users and {n_items:,} items")
    try:
        if resumes:
            note(f"going on from {args.checkpoint}")
            trainer = Trainer.resume(
                args.checkpoint,
                train,
                validation=validation,
                **features,
                device=args.device,
                n_threads=args.n_threads,
                verbose=trainer.verbose,
            )
        else:
            trainer.fit(
                train,
                validation=validation,
                **features,
                checkpoint=args.checkpoint,
                checkpoint_every=args.checkpoint_every,
            )
    except KeyboardInterrupt:
        if args.checkpoint and checkpoint.read_settings(args.checkpoint) is not None:
            note(f"{args.checkpoint} has what was learned: add --resume to go on")
        raise
    trainer.model_.save(args.out)

    history = [dataclasses.asdict(report) for report in trainer.history_]
    result = {
        "model": str(args.out),
        "n_users": n_users,
        "n_items": n_items,
        "n_interactions": train.matrix.nnz,
        "device": trainer.device_,
        "temperature": trainer.temperature_,
        "best_epoch": trainer.best_epoch_,
        "seconds": sum(report["seconds"] for report in history),
        "history": history,
    }
    kept = next(report for report in history if report["epoch"] == trainer.best_epoch_)
    recall = "" if kept["recall"] is None else f", validation recall@50 {kept['recall']:.4f}"
    at = "" if trainer.temperature_ is None else f" at temperature {trainer.temperature_:g}"
    return result, (
        f"{len(history)} epochs in {result['seconds']:.1f} s on {trainer.device_}{at}\n"
        f"kept epoch {kept['epoch']} (from 0): loss {kept['loss']:.4f}{recall}\n"
        f"saved in {args.out}"
    )


def evaluate(args: argparse.Namespace) -> Outcome:
    model = Model.load(args.model)
    test = _select(args, args.file, model.user_ids, model.item_ids)
    exclude = [_select(args, file, model.user_ids, model.item_ids) for file in args.exclude]
    evaluation = evaluate_model(model, test, exclude, args.k)
    return evaluation.to_dict(), str(evaluation)


def recommend(args: argparse.Namespace) -> Outcome:
    if args.likes is not None:
        return _recommend_for_likes(args)
    model = Model.load(args.model)
    user = _row("user", model.user_rows, model.user_ids, args.user)
    exclude = None
    if args.exclude:
        exclude = _select(args, args.exclude, model.user_ids, model.item_ids)
    found = model.recommend(user, args.n, exclude)
    return _ranking({"user": model.user_ids[user].item()}, "item", model.item_ids, found)


def _recommend_for_likes(args: argparse.Namespace) -> Outcome:
    if args.exclude:
        raise ValueError("--exclude needs --user: of --likes nothing is recommended anyway")
    model = Model.load(args.model)
    hint = "; leave out what training had not, and put double quotes around an id with commas"
    found = _rows("item", model.item_rows, model.item_ids, args.likes, hint)
    rows = np.unique(found)  # a like given twice is one
    likes = sp.csr_array(
        (np.ones(len(rows), np.float32), rows, [0, len(rows)]), shape=(1, len(model.item_ids))
    )
    vector = model.fold_in_users(likes)[0]
    asked = {"likes": model.item_ids[rows].tolist()}
    return _ranking(
        asked, "item", model.item_ids, model.recommend_from_vectors(vector, args.n, likes)
    )


def similar(args: argparse.Namespace) -> Outcome:
    model = Model.load(args.model)
    if args.item is not None:
        what, ids = "item", model.item_ids
        row = _row(what, model.item_rows, ids, args.item)
        found = model.similar_items(row, args.n)
    else:
        what, ids = "user", model.user_ids
        row = _row(what, model.user_rows, ids, args.user)
        found = model.similar_users(row, args.n)
    return _ranking({what: ids[row].item()}, what, ids, found)


def info(args: argparse.Namespace) -> Outcome:
    result: dict[str, Any] = {"build": build_info()}
    if args.model:
        model = Model.load(args.model)
        result["model"] = {
            "made_by_version": model.version,
            "n_users": len(model.user_ids),
            "n_items": len(model.item_ids),
            "n_dims": model.item_vectors.shape[1],
            "first_user_id": model.user_ids[0].item(),
            "first_item_id": model.item_ids[0].item(),
            "hyperparameters": model.hyperparameters,
        }
    return result, "\n".join(_outline(result))


def demo(args: argparse.Namespace) -> Outcome:
    check_writable(args.out / "model", "model")
    data = _load(args, args.data) if args.data else planted_likes()
    return run_demo(data, args.out, note=note, verbose=sys.stderr.isatty())


def _check_checkpoint(args: argparse.Namespace, hyperparameters: dict[str, Any]) -> bool:
    """Return whether training goes on from a checkpoint; refuse early what does not fit it."""
    if args.checkpoint is None:
        if args.resume:
            raise ValueError("--resume needs --checkpoint DIR, the folder to go on from")
        return False
    out, folder = args.out.resolve(), args.checkpoint.resolve()
    if out in (folder, *folder.parents):
        raise ValueError("--checkpoint must be another folder than --out, and not inside it")
    stored = checkpoint.read_settings(folder) if args.resume else None
    if stored is None:
        checkpoint.check_new(folder)
        return False
    given = {**hyperparameters, "checkpoint_every": args.checkpoint_every}
    for name in given:
        if name not in ("device", "n_threads") and given[name] != stored.get(name):
            option = f"--{name.replace('_', '-')}"
            raise ValueError(
                f"{args.checkpoint} was made with {option} {stored.get(name)}, not {given[name]}: "
                "give the same options to go on from it"
            )
    return True


# --- what they share --------------------------------------------------------------------------


def _load(args: argparse.Namespace, file: Path) -> Interactions:
    note(f"reading {file}")
    return load_interactions(
        file,
        format=args.format,
        user=args.user_column,
        item=args.item_column,
        rating=args.rating_column,
        min_rating=args.min_rating,
        weight=args.weight_column,
        delimiter=args.delimiter,
        header=not args.no_header,
        count_as_item=args.count_as_item,
    )


def _load_features(args: argparse.Namespace, file: Path | None, ids: np.ndarray) -> Features | None:
    """Read features of these objects; those of others are left out, with a warning."""
    if file is None:
        return None
    note(f"reading {file}")
    return load_features(
        file,
        format=args.feature_format,
        names_file=args.feature_names,
        min_count=args.feature_min_count,
        ids=ids,
        unknown="drop",
    )


def _select(
    args: argparse.Namespace, file: Path, user_ids: np.ndarray, item_ids: np.ndarray
) -> Interactions:
    """Read the interactions of these users and items; others are counted and left out.

    Files that were split by chance or by time always have a few users and items that training
    had not.
    """
    found = _load(args, file)
    pairs = found.matrix.tocoo()
    users = _places(found.user_ids, user_ids)[pairs.row]
    items = _places(found.item_ids, item_ids)[pairs.col]
    known = (users >= 0) & (items >= 0)
    if not known.any():
        raise DataError(f"{file} has no interaction between users and items of the training")
    if not known.all():
        note(
            f"warning: {file}: {np.count_nonzero(~known):,} of {known.size:,} interactions left "
            "out, their user or item was not in training"
        )
    matrix = sp.csr_array(
        (pairs.data[known], (users[known], items[known])), shape=(len(user_ids), len(item_ids))
    )
    return Interactions(matrix, user_ids, item_ids)


def _places(ids: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Return where each of ``ids`` is in ``known``, -1 where it is not."""
    if ids.dtype.kind != known.dtype.kind:  # a part of a file may look like integers
        ids, known = ids.astype(str), known.astype(str)
    order = np.argsort(known)
    at = order[np.minimum(np.searchsorted(known, ids, sorter=order), len(known) - 1)]
    return np.where(known[at] == ids, at, -1)


def _row(what: str, rows: Callable[[Any], Any], ids: np.ndarray, text: str) -> int:
    return _rows(what, rows, ids, [text])[0]


def _rows(
    what: str, rows: Callable[[Any], Any], ids: np.ndarray, texts: list[str], hint: str = ""
) -> list[int]:
    """Return the rows of ids from the command line, where every id is a text."""
    found, unknown = [], []
    for text in texts:
        try:
            # Not "007", which is another id than 7.
            is_number = ids.dtype.kind == "i" and str(int(text)) == text
            found.append(int(rows(int(text) if is_number else text)))
        except (TypeError, ValueError):
            unknown.append(text)
    if unknown:
        raise ValueError(
            f"the model has no {what} {', '.join(map(repr, unknown))}; its {len(ids):,} {what} "
            f"ids are like {ids[0]}{hint}"
        )
    return found


def _ranking(
    asked: dict[str, Any], what: str, ids: np.ndarray, found: tuple[np.ndarray, np.ndarray]
) -> Outcome:
    rows, distances = (array[found[0] >= 0] for array in found)
    pairs = list(zip(ids[rows].tolist(), distances.tolist(), strict=True))
    result = {**asked, f"{what}s": [{what: name, "distance": far} for name, far in pairs]}
    width = max([len(what), *(len(str(name)) for name, _ in pairs)])
    lines = [
        f"{rank:>4}  {name!s:<{width}}  {far:8.4f}" for rank, (name, far) in enumerate(pairs, 1)
    ]
    return result, "\n".join([f"{'rank':>4}  {what:<{width}}  distance", *lines])


def _outline(values: dict[str, Any], indent: str = "") -> list[str]:
    lines = []
    for name, value in values.items():
        if isinstance(value, list) and value and isinstance(value[0], dict):
            value = {str(place): entry for place, entry in enumerate(value)}
        if isinstance(value, dict):
            lines += [f"{indent}{name}:", *_outline(value, indent + "  ")]
        else:
            text = ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
            lines.append(f"{indent}{name}: {text or '-'}")
    return lines
