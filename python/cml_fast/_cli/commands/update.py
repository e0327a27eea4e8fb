"""``cml-fast update``: go on with new interactions where a training ended."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

import typer

from ..._training.hyperparameters import PARTIAL_EPOCHS, REPLAY
from ..messages import note
from ..options import Overwrite
from ..output import Outcome
from ..reading import Reading
from ..saving import check_out
from ..training import logged, watched

EXAMPLE = """
cml-fast train likes.csv --checkpoint run --out model
cml-fast update run monday.csv --likes likes.csv --out model --overwrite
cml-fast update run tuesday.csv --out model --overwrite
"""
_PANEL = "Training"


def run(
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="CHECKPOINT",
            help="The folder that train --checkpoint, or this command, has written.",
            show_default=False,
        ),
    ],
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            help="The new interactions, also of new users and new items.",
            show_default=False,
        ),
    ],
    *,
    out: Annotated[
        Path,
        typer.Option("--out", metavar="DIR", help="Where to save the model.", show_default=False),
    ],
    overwrite: Overwrite = False,
    likes: Annotated[
        Path | None,
        typer.Option(
            "--likes",
            metavar="FILE",
            help="After train: the interactions that were trained on. After update they are in "
            "the checkpoint.",
        ),
    ] = None,
    n_epochs: Annotated[
        int,
        typer.Option(
            "--n-epochs",
            metavar="N",
            help="Passes over the likes of the users in FILE, and over what is replayed.",
            rich_help_panel=_PANEL,
        ),
    ] = PARTIAL_EPOCHS,
    replay: Annotated[
        float,
        typer.Option(
            "--replay",
            metavar="X",
            help="The share of the likes of all other users that is replayed, from 0 to 1: less "
            "is faster, and forgets more.",
            rich_help_panel=_PANEL,
        ),
    ] = REPLAY,
    reading: Reading,
) -> Outcome:
    """Update."""
    from ..._training.checkpoint import holds_likes
    from ...trainer import Trainer

    check_out(out, overwrite=overwrite)
    if holds_likes(folder) and likes is not None:
        raise ValueError(f"{folder} has the likes of its training: leave out --likes")
    if not holds_likes(folder) and likes is None:
        raise ValueError(f"{folder} was written by train: give the same interactions with --likes")
    known = () if likes is None else (reading.load(likes),)
    new = reading.load(file)
    trainer = Trainer.resume(folder, *known, verbose=False)
    before = trainer.model_
    n_users, n_items = new.matrix.shape
    note(f"training on {new.matrix.nnz:,} new pairs of {n_users:,} users and {n_items:,} items")
    with logged(), watched(n_epochs) as callback:
        trainer.partial_fit(
            new, n_epochs=n_epochs, replay=replay, callbacks=[callback], checkpoint=folder
        )
    model = trainer.model_
    model.save(out)
    result = {
        "model": str(out),
        "n_interactions": new.matrix.nnz,
        "new_users": len(model.user_ids) - len(before.user_ids),
        "new_items": len(model.item_ids) - len(before.item_ids),
        "n_users": len(model.user_ids),
        "n_items": len(model.item_ids),
        "seconds": sum(report.seconds for report in trainer.history_),
        "history": [dataclasses.asdict(report) for report in trainer.history_],
    }
    lines = [
        f"{len(trainer.history_)} epochs in {result['seconds']:.1f} s on {trainer.device_}",
        f"{result['new_users']:,} new users, {result['new_items']:,} new items",
        f"saved in {out}; {folder} has all that the next update needs",
    ]
    return Outcome(result, lines)
