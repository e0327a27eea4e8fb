"""The interactions that are left out of rankings: those of training, and of further files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .reading import Known, Reading

if TYPE_CHECKING:
    from ..data import Interactions
    from ..model import Model


@dataclass(frozen=True)
class Excluding(Known):
    """What users have already, as options."""

    exclude: Annotated[
        list[Path],
        typer.Option(
            "--exclude",
            metavar="FILE",
            help="Interactions to leave out, such as those of training; may be repeated.",
        ),
    ] = ()  # type: ignore[assignment]

    def load_all(self, folder: Path, model: Model, reading: Reading) -> list[Interactions]:
        """Read what is to be left out."""
        return [self.load(reading, file, model.user_ids, model.item_ids) for file in self.exclude]
