"""Training by several workers on a Ray cluster, as options."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .._validation.scalars import check_int
from .training import TrainingData

if TYPE_CHECKING:
    from .._training.reports import EpochReport
    from ..model import Model
    from ..trainer import Trainer

_PANEL = "Several workers (needs cml-fast[ray])"


class Learned:
    """What workers came to, by the names of a fitted `Trainer`.

    Parameters
    ----------
    model : Model
    reports : list of EpochReport
        Of the epochs that were trained now, and not before a checkpoint.
    """

    def __init__(self, model: Model, reports: list[EpochReport]) -> None:
        from .._training.reports import EpochReport

        known = {report.epoch: report for report in reports}
        self.model_ = model
        self.history_ = [
            known.get(epoch["epoch"]) or EpochReport(**{"seconds": 0.0, **epoch})
            for epoch in model.history
        ]
        self.device_ = model.hyperparameters["device"]
        self.temperature_ = model.hyperparameters.get("temperature")
        self.best_epoch_ = model.history[-1]["epoch"]


@dataclass(frozen=True)
class Workers:
    """How many workers there are, and where; the arguments of `distributed.fit`."""

    n_workers: Annotated[
        int | None,
        typer.Option(
            "--workers",
            metavar="N",
            help="Train with so many workers on a Ray cluster; --n-threads is that of each, and "
            "with --device cuda each has a GPU, else none.",
            rich_help_panel=_PANEL,
        ),
    ] = None
    address: Annotated[
        str | None,
        typer.Option(
            "--ray-address",
            metavar="ADDRESS",
            help="The cluster: HOST:PORT of its head, or auto for that of this machine; unless "
            "given, the workers are on this machine.",
            rich_help_panel=_PANEL,
        ),
    ] = None

    def check(self, data: TrainingData, checkpoint: Path | None, checkpoint_every: float) -> None:
        """Refuse, before anything is read, what workers cannot do."""
        if self.n_workers is None:
            if self.address is not None:
                raise ValueError("--ray-address needs --workers N, the number of workers")
            return
        from ..distributed._cluster import import_ray

        import_ray()
        check_int("n_workers", self.n_workers, 1)
        for option, value in {
            "--validation": data.validation,
            "--validation-share": data.validation_share,
            "--item-features": data.item_features,
            "--user-features": data.user_features,
        }.items():
            if value is not None:
                raise ValueError(
                    f"{option} cannot be used with --workers: they train on interactions only. "
                    f"Leave out {option}, or --workers"
                )
        if checkpoint_every != 1:
            raise ValueError(
                f"--checkpoint-every must be 1 with --workers, got {checkpoint_every}: they write "
                "a checkpoint after every few epochs, when they all agree"
            )
        if checkpoint is not None and checkpoint.parts and checkpoint.parts[0].endswith(":"):
            raise ValueError(
                f"--checkpoint must be a path with --workers, got {checkpoint}: a URI can be given "
                "to cml_fast.distributed.fit"
            )

    def fit(
        self,
        train: Any,
        values: dict[str, Any],
        callback: Callable[..., Any],
        checkpoint: Path | None,
        *,
        resume: bool,
    ) -> Learned:
        """Train; ``values`` are the hyper-parameters."""
        from ..distributed import fit
        from ..trainer import Trainer

        assert self.n_workers is not None
        reports: list[EpochReport] = []
        resources = {"CPU": values["n_threads"] or 1}
        if values["device"] == "cuda":
            resources["GPU"] = 1

        def watch(trainer: Trainer, report: EpochReport) -> None:
            reports.append(report)
            callback(trainer, report)

        model = fit(
            train,
            Trainer(**values, verbose=False),
            n_workers=self.n_workers,
            resources=resources,
            address=self.address,
            checkpoint=None if checkpoint is None else str(checkpoint.absolute()),
            resume=resume,
            callbacks=[watch],
        )
        return Learned(model, reports)

    def has_stored(self, checkpoint: Path) -> bool:
        """Whether workers have written a checkpoint there."""
        from ..distributed._checkpoint import RECORD

        return self.n_workers is not None and (checkpoint / RECORD).is_file()
