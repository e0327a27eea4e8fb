"""The interactions that are left out of rankings: those of training, and of further files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .kept import kept_with, reading_of
from .messages import note
from .reading import Known, Reading

if TYPE_CHECKING:
    from ..data import Interactions
    from ..model import Model


@dataclass(frozen=True)
class Excluding:
    """What users have already, as options."""

    exclude: Annotated[
        list[Path],
        typer.Option(
            "--exclude",
            metavar="FILE",
            help="Interactions to leave out besides those of training; may be repeated.",
        ),
    ] = ()  # type: ignore[assignment]
    include_training: Annotated[
        bool,
        typer.Option(
            "--include-training",
            help="Do not leave out what training and validation had, which the model's folder "
            "says.",
        ),
    ] = False

    def load_all(
        self, folder: Path, model: Model, reading: Reading, known: Known
    ) -> list[Interactions]:
        """Read what is to be left out."""
        if self.exclude:
            reading = reading_of(folder, reading)
        files = dict.fromkeys(self.exclude, reading)
        kept = None if self.include_training else kept_with(folder)
        named = {file.absolute() for file in self.exclude}
        for file in kept.files if kept else ():
            if file in named:
                continue
            if file.exists():
                files[file] = kept.reading  # type: ignore[union-attr]
            else:
                note(
                    f"warning: {file}, which the model was trained on, is not there: name it with "
                    "--exclude to leave out what users have already"
                )
        return [
            known.load(how, file, model.user_ids, model.item_ids) for file, how in files.items()
        ]
