"""``cml-fast train``: learn a model from a file of interactions."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..config import Config, WriteConfig, given
from ..kept import keep
from ..messages import note
from ..options import Overwrite
from ..output import Outcome
from ..reading import Known, Reading
from ..saving import check_out
from ..training import Hyperparameters, TrainingData, logged, values_of, watched
from ..workers import Learned, Workers

if TYPE_CHECKING:
    from ...trainer import Trainer

EXAMPLE = r"""
cml-fast train ratings.csv --rating-column rating --min-rating 4 \
    --validation-share 0.1 --patience 3 --out model
cml-fast train --write-config train.toml
cml-fast train ratings.csv --config train.toml --out model
"""
# What may change when training is resumed.
_NOT_IN_CHECKPOINT = ("device", "n_threads")
_CHECKPOINTS = "Going on after an interruption"


def run(
    context: typer.Context,
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            help="Who liked what: a file, or a data set in a folder.",
            show_default=False,
        ),
    ],
    *,
    out: Annotated[
        Path,
        typer.Option("--out", metavar="DIR", help="Where to save the model.", show_default=False),
    ],
    overwrite: Overwrite = False,
    config: Config = None,
    write_config: WriteConfig = None,
    reading: Reading,
    known: Known,
    data: TrainingData,
    hyperparameters: Hyperparameters,
    checkpoint: Annotated[
        Path | None,
        typer.Option(
            "--checkpoint",
            metavar="DIR",
            help="A folder to keep all in that is needed to go on.",
            rich_help_panel=_CHECKPOINTS,
        ),
    ] = None,
    checkpoint_every: Annotated[
        float,
        typer.Option(
            "--checkpoint-every",
            metavar="X",
            help="Write it so often: in epochs, such as 0.1.",
            rich_help_panel=_CHECKPOINTS,
            hidden=True,
        ),
    ] = 1.0,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Go on from the checkpoint if there is one, else begin; with the same files and "
            "options; only --device and --n-threads may differ.",
            rich_help_panel=_CHECKPOINTS,
        ),
    ] = False,
    workers: Workers,
) -> Outcome:
    """Train."""
    from ...trainer import Trainer

    learned: Trainer | Learned
    values = values_of(hyperparameters)
    data.check(values, here=workers.n_workers is None)
    workers.check(data, checkpoint, checkpoint_every)
    check_out(out, overwrite=overwrite)
    _check_checkpoint(checkpoint, out, resume=resume)
    if workers.n_workers is None:
        resumes = _resumes(
            checkpoint, {**values, "checkpoint_every": checkpoint_every}, resume=resume
        )
    train, further = data.load_all(reading, known, file, values["random_state"])
    likes = getattr(train, "matrix", train)
    (n_users, n_items), n_pairs = likes.shape, likes.nnz
    note(f"training on {n_pairs:,} pairs of {n_users:,} users and {n_items:,} items")
    try:
        with logged(), watched(values["n_epochs"]) as callback:
            further["callbacks"] = [callback]
            if workers.n_workers is not None:
                learned = workers.fit(train, values, callback, checkpoint, resume=resume)
            elif checkpoint and resumes:
                note(f"going on from {checkpoint}")
                learned = Trainer.resume(
                    checkpoint,
                    train,
                    **further,
                    **{name: values[name] for name in _NOT_IN_CHECKPOINT},
                    verbose=False,
                )
            else:
                learned = Trainer(**values, verbose=False).fit(
                    train, **further, checkpoint=checkpoint, checkpoint_every=checkpoint_every
                )
    except KeyboardInterrupt:
        if checkpoint and (workers.has_stored(checkpoint) or _stored(checkpoint) is not None):
            note(f"{checkpoint} has what was learned: add --resume to go on")
        raise
    learned.model_.save(out)
    keep(out, context.command, given(context))
    return _outcome(out, learned, n_pairs)


def _stored(folder: Path) -> dict[str, Any] | None:
    """Return the settings of a checkpoint, if there is one."""
    from ..._training import checkpoint

    return checkpoint.read_settings(folder)


def _check_checkpoint(checkpoint: Path | None, out: Path, *, resume: bool) -> None:
    if checkpoint is None:
        if resume:
            raise ValueError("--resume needs --checkpoint DIR, the folder to go on from")
        return
    folder, place = checkpoint.resolve(), out.resolve()
    if place in (folder, *folder.parents):
        raise ValueError("--checkpoint must be another folder than --out, and not inside it")


def _resumes(checkpoint: Path | None, settings: dict[str, Any], *, resume: bool) -> bool:
    """Return whether training goes on from a checkpoint; refuse early what does not fit it."""
    from ..._training.checkpoint import check_new

    if checkpoint is None:
        return False
    folder = checkpoint.resolve()
    stored = _stored(folder) if resume else None
    if stored is None:
        check_new(folder)
        return False
    for name in settings:
        if name not in _NOT_IN_CHECKPOINT and settings[name] != stored.get(name):
            raise ValueError(
                f"{checkpoint} was made with {name} {stored.get(name)}, not {settings[name]}: "
                "give the same options to go on from it"
            )
    return True


def _outcome(out: Path, trainer: Trainer | Learned, n_pairs: int) -> Outcome:
    n_users, n_items = len(trainer.model_.user_vectors), len(trainer.model_.item_vectors)
    history = [dataclasses.asdict(report) for report in trainer.history_]
    result = {
        "model": str(out),
        "n_users": n_users,
        "n_items": n_items,
        "n_interactions": n_pairs,
        "device": trainer.device_,
        "temperature": trainer.temperature_,
        "best_epoch": trainer.best_epoch_,
        "seconds": sum(report["seconds"] for report in history),
        "history": history,
    }
    kept = next(report for report in history if report["epoch"] == trainer.best_epoch_)
    recall = "" if kept["recall"] is None else f", validation recall@50 {kept['recall']:.4f}"
    at = "" if trainer.temperature_ is None else f" at temperature {trainer.temperature_:g}"
    lines = [
        f"{len(history)} epochs in {result['seconds']:.1f} s on {trainer.device_}{at}",
        f"kept epoch {kept['epoch']} (from 0): loss {kept['loss']:.4f}{recall}",
        f"saved in {out}",
    ]
    return Outcome(result, lines)
