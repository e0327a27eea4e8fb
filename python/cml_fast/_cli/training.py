"""What `train` and `tune` have in common: hyper-parameters, validation and features as options."""

from __future__ import annotations

import dataclasses
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer

from .._training.hyperparameters import (
    HYPERPARAMETERS,
    check_features_used,
    check_no_bias,
    resolve,
)
from ..data._readers.formats import formats_of
from ..data._readers.pairs import FEATURES
from .messages import note, terminal
from .options import at_most_one, choice
from .reading import Known, Reading

if TYPE_CHECKING:
    from ..data import Dataset, Features

_PANEL = "Training"
_FEATURES = "What is known of items and users"
_METAVARS = {int: "N", float: "X", str: "NAME"}


def _option(name: str) -> Any:
    """Return the option of a hyper-parameter."""
    row = HYPERPARAMETERS[name]

    def check(value: Any) -> Any:
        if value is not None:
            try:
                row.check(name, value)
            except (TypeError, ValueError) as error:
                raise typer.BadParameter(str(error).removeprefix(f"{name} ")) from None
        return value

    assert row.kind is not None
    return typer.Option(
        f"--{name.replace('_', '-')}",
        metavar=_METAVARS[row.kind],
        help=row.help,
        callback=check,
        hidden=row.rare,
        rich_help_panel=_PANEL,
    )


if TYPE_CHECKING:

    class Hyperparameters:
        """The hyper-parameters that are options; see the table of them."""
else:
    Hyperparameters = dataclasses.make_dataclass(
        "Hyperparameters",
        [
            (
                name,
                Annotated[
                    row.kind if row.signature_default is not None else row.kind | None,
                    _option(name),
                ],
                row.signature_default,
            )
            for name, row in HYPERPARAMETERS.items()
            if row.kind is not None
        ],
    )


def values_of(hyperparameters: Hyperparameters) -> dict[str, Any]:
    """Return the hyper-parameters by name."""
    return dict(vars(hyperparameters))


def _check_share(share: float | None) -> float | None:
    if share is not None and not 0 < share < 1:
        raise typer.BadParameter(f"must be a number between 0 and 1, got {share}")
    return share


def _features(side: str) -> Any:
    return typer.Option(
        f"--{side}-features",
        metavar="FILE",
        help=f"Tags, genres or other features of {side}s, which help to place them.",
        rich_help_panel=_FEATURES,
    )


def _feature_column(name: str, what: str) -> Any:
    return typer.Option(
        name,
        metavar="COLUMN",
        help=f"The name of the column of these files with {what}.",
        rich_help_panel=_FEATURES,
        hidden=True,
    )


@dataclass(frozen=True)
class TrainingData:
    """What is trained on besides the file of interactions, as options."""

    validation: Annotated[
        Path | None,
        typer.Option(
            "--validation", metavar="FILE", help="Interactions to measure every epoch by."
        ),
    ] = None
    validation_share: Annotated[
        float | None,
        typer.Option(
            "--validation-share",
            metavar="X",
            help="Take this share of each user's interactions for that, such as 0.1.",
            callback=_check_share,
        ),
    ] = None
    item_features: Annotated[Path | None, _features("item")] = None
    user_features: Annotated[Path | None, _features("user")] = None
    feature_format: Annotated[
        str,
        choice(
            "--feature-format",
            among=("auto", *formats_of(FEATURES)),
            metavar="NAME",
            help=f"What these files are: {', '.join(formats_of(FEATURES))}; by their extensions "
            "unless given.",
            rich_help_panel=_FEATURES,
            hidden=True,
        ),
    ] = "auto"
    id: Annotated[
        str | None, _feature_column("--feature-id-column", "the ids of items or users")
    ] = None
    tag: Annotated[str | None, _feature_column("--tag-column", "their tags")] = None
    names_file: Annotated[
        Path | None,
        typer.Option(
            "--feature-names",
            metavar="FILE",
            help="With citeulike: the tags' names.",
            rich_help_panel=_FEATURES,
            hidden=True,
        ),
    ] = None
    min_count: Annotated[
        int,
        typer.Option(
            "--feature-min-count",
            metavar="N",
            help="Only features of at least so many.",
            rich_help_panel=_FEATURES,
            hidden=True,
        ),
    ] = 0

    def check(self, hyperparameters: dict[str, Any], *, here: bool = True) -> None:
        """Refuse, before anything is read, what cannot be trained with.

        The device must be on this machine, unless that is not ``here`` where the training is.
        """
        from .._compute.devices import choose_device

        at_most_one({"--validation": self.validation, "--validation-share": self.validation_share})
        resolve({**hyperparameters, "warm_start": False, "verbose": False})
        if self.item_features is None and self.user_features is None:
            check_features_used(hyperparameters)
        else:
            check_no_bias(hyperparameters)
        if here:
            choose_device(hyperparameters["device"], hyperparameters["precision"])

    def load_all(
        self, reading: Reading, known: Known, file: Path, random_state: int
    ) -> tuple[Any, dict[str, Any]]:
        """Read the interactions, or open a data set; and the further arguments of `Trainer.fit`."""
        from ..data import split

        train: Any = self._opened(file) or reading.load(file)
        validation = None
        if self.validation:
            validation = known.load(reading, self.validation, train.user_ids, train.item_ids)
        elif self.validation_share:
            shares = (1 - self.validation_share, self.validation_share)
            train, validation = split(train, shares, random_state)
        return train, {
            "validation": validation,
            "user_features": self._load_features(self.user_features, train.user_ids),
            "item_features": self._load_features(self.item_features, train.item_ids),
        }

    def _opened(self, file: Path) -> Dataset | None:
        """Open a folder that `Dataset.build` made; None if it is none."""
        from ..data import Dataset

        if not Dataset.is_at(file):
            return None
        if self.validation_share:
            raise ValueError(
                f"--validation-share cannot split the data set in {file}; name a file of likes to "
                "validate on: --validation FILE"
            )
        return Dataset.open(file)

    def _load_features(self, file: Path | None, ids: np.ndarray) -> Features | None:
        """Read features of these objects; those of others are left out, with a warning."""
        from ..data import load_features

        if file is None:
            return None
        note(f"reading {file}")
        return load_features(
            file,
            format=self.feature_format,
            id=self.id,
            tag=self.tag,
            names_file=self.names_file,
            min_count=self.min_count,
            ids=ids,
            unknown="drop",
        )


class _Notes(logging.Handler):
    """Makes notes of what the library logs, and no second one of the same."""

    def __init__(self) -> None:
        super().__init__()
        self._said: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        message = record.getMessage()
        if message not in self._said:
            note(message)
        self._said.add(message)


@contextmanager
def logged() -> Iterator[None]:
    """Make notes of what the library logs within the block."""
    logger, handler = logging.getLogger("cml_fast"), _Notes()
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)


@contextmanager
def watched(n_epochs: int, what: str = "training") -> Iterator[Any]:
    """Show the progress of a training; yield a callback for its epochs.

    Where a person looks it is a bar, else a line for each epoch.
    """
    if sys.stderr.isatty():
        with _bar(n_epochs, what) as callback:
            yield callback
    else:
        yield lambda trainer, report: note(str(report))


@contextmanager
def _bar(n_epochs: int, what: str) -> Iterator[Any]:
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        SpinnerColumn,
        TextColumn,
        TimeElapsedColumn,
    )

    columns = (
        SpinnerColumn(),
        TextColumn(what),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.description}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=terminal()) as progress:
        task = progress.add_task("", total=n_epochs)

        def callback(trainer: Any, report: Any) -> None:
            recall = "" if report.recall is None else f", recall@50 {report.recall:.4f}"
            progress.update(
                task, completed=report.epoch + 1, description=f"loss {report.loss:.3f}{recall}"
            )

        yield callback
