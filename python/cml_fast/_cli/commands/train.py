"""``cml-fast train``: learn a model from a file of interactions."""

from __future__ import annotations

import argparse
import dataclasses
import sys
from pathlib import Path
from typing import Any

import numpy as np

from ..._persistence.folder import check_writable
from ..._training import checkpoint
from ..._training.hyperparameters import HYPERPARAMETERS
from ...data import Features, Interactions, load_features, split
from ...data._readers.formats import formats_of
from ...data._readers.pairs import FEATURES
from ...trainer import Trainer
from ..files import load, load_known
from ..output import Outcome, note
from ..parsing import Command, Parser, add_reader_options

# What may change when training is resumed.
_NOT_IN_CHECKPOINT = ("device", "n_threads")


def _add_options(parser: Parser) -> None:
    parser.add_argument("file", metavar="FILE", type=Path, help="who liked what")
    parser.add_argument("--out", metavar="DIR", type=Path, required=True, help="where to save")
    validation = parser.add_mutually_exclusive_group()
    validation.add_argument(
        "--validation", metavar="FILE", type=Path, help="interactions to measure every epoch by"
    )
    validation.add_argument(
        "--validation-share",
        metavar="X",
        type=_share,
        help="take this share of each user's interactions for that, such as 0.1",
    )
    _add_features(parser)
    _add_checkpoint(parser)
    _add_hyperparameters(parser)
    add_reader_options(parser)


def _add_features(parser: Parser) -> None:
    group = parser.add_argument_group("what is known of items and users")
    for side in ("item", "user"):
        group.add_argument(
            f"--{side}-features",
            metavar="FILE",
            type=Path,
            help=f"tags, genres or other features of {side}s, which help to place them",
        )
    group.add_argument(
        "--feature-format",
        choices=("auto", *formats_of(FEATURES)),
        default="auto",
        help="what these files are (default: by their extensions)",
    )
    group.add_argument(
        "--feature-names", metavar="FILE", type=Path, help="with citeulike: the tags' names"
    )
    group.add_argument(
        "--feature-min-count",
        metavar="N",
        type=int,
        default=0,
        help="only features of at least so many (default: %(default)s)",
    )


def _add_checkpoint(parser: Parser) -> None:
    group = parser.add_argument_group("going on after an interruption")
    group.add_argument(
        "--checkpoint",
        metavar="DIR",
        type=Path,
        help="a folder to keep all in that is needed to go on",
    )
    group.add_argument(
        "--checkpoint-every",
        metavar="X",
        type=float,
        default=1.0,
        help="write it so often: in epochs, such as 0.1 (default: %(default)s)",
    )
    group.add_argument(
        "--resume",
        action="store_true",
        help="go on from the checkpoint if there is one, else begin; with the same files and "
        "options; only --device and --n-threads may differ",
    )


def _add_hyperparameters(parser: Parser) -> None:
    group = parser.add_argument_group("training")
    metavars = {int: "N", float: "X", str: "NAME"}
    for name, row in HYPERPARAMETERS.items():
        if row.kind is None:
            continue
        default = row.signature_default
        group.add_argument(
            f"--{name.replace('_', '-')}",
            metavar=metavars[row.kind],
            type=row.kind,
            default=default,
            help=row.help if default is None else f"{row.help} (default: {default})",
        )


def _share(text: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = 0.0
    if not 0 < share < 1:
        raise argparse.ArgumentTypeError(f"must be a number between 0 and 1, got {text!r}")
    return share


def _run(args: argparse.Namespace) -> Outcome:
    check_writable(args.out, "model")  # before training, not after it
    hyperparameters = {
        name: getattr(args, name) for name, row in HYPERPARAMETERS.items() if row.kind
    }
    resumes = _check_checkpoint(args, hyperparameters)
    trainer = Trainer(**hyperparameters, verbose=sys.stderr.isatty())
    train = load(args, args.file)
    validation = None
    if args.validation:
        validation = load_known(args, args.validation, train.user_ids, train.item_ids)
    elif args.validation_share:
        shares = (1 - args.validation_share, args.validation_share)
        train, validation = split(train, shares, args.random_state)
    given = {
        "validation": validation,
        "user_features": _load_features(args, args.user_features, train.user_ids),
        "item_features": _load_features(args, args.item_features, train.item_ids),
    }
    n_users, n_items = train.matrix.shape
    note(f"training on {train.matrix.nnz:,} pairs of {n_users:,} users and {n_items:,} items")
    try:
        trainer = _fit(args, trainer, train, given, resumes)
    except KeyboardInterrupt:
        if args.checkpoint and checkpoint.read_settings(args.checkpoint) is not None:
            note(f"{args.checkpoint} has what was learned: add --resume to go on")
        raise
    trainer.model_.save(args.out)
    return _outcome(args.out, trainer, train)


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
        if name not in _NOT_IN_CHECKPOINT and given[name] != stored.get(name):
            option = f"--{name.replace('_', '-')}"
            raise ValueError(
                f"{args.checkpoint} was made with {option} {stored.get(name)}, not {given[name]}: "
                "give the same options to go on from it"
            )
    return True


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


def _fit(
    args: argparse.Namespace,
    trainer: Trainer,
    train: Interactions,
    given: dict[str, Any],
    resumes: bool,
) -> Trainer:
    """Train, or go on from a checkpoint with a trainer that is made from it."""
    if resumes:
        note(f"going on from {args.checkpoint}")
        return Trainer.resume(
            args.checkpoint,
            train,
            **given,
            device=args.device,
            n_threads=args.n_threads,
            verbose=trainer.verbose,
        )
    return trainer.fit(
        train, **given, checkpoint=args.checkpoint, checkpoint_every=args.checkpoint_every
    )


def _outcome(out: Path, trainer: Trainer, train: Interactions) -> Outcome:
    n_users, n_items = train.matrix.shape
    history = [dataclasses.asdict(report) for report in trainer.history_]
    result = {
        "model": str(out),
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
        f"saved in {out}"
    )


COMMAND = Command(
    "train",
    help="learn a model from a file of interactions",
    example="ratings.csv --rating-column rating --min-rating 4 \\\n"
    "    --validation-share 0.1 --patience 3 --out model",
    add_options=_add_options,
    run=_run,
)
