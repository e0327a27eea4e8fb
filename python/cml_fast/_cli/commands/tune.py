"""``cml-fast tune``: search for hyper-parameters with Optuna, on validation data alone."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..._persistence.one_file import write_file
from ..._training.hyperparameters import FIRST_TEMPERATURE, HYPERPARAMETERS
from ...errors import TrainingDiverged
from ..command import command_of
from ..config import config_text, given
from ..kept import keep
from ..messages import note
from ..output import Outcome, Table
from ..reading import Known, Reading
from ..training import Hyperparameters, TrainingData, logged, values_of, watched
from . import train

if TYPE_CHECKING:
    from ... import EpochReport
    from ...data import Interactions
    from ...trainer import Trainer

EXAMPLE = """
cml-fast tune likes.csv --trials 30 --out tuned
cml-fast recommend tuned/model --user user-00012
cml-fast train likes.csv --config tuned/config.toml --out model
"""
_TRIALS_FILE, CONFIG = "trials.log", "config.toml"
_SHARE = 0.1
# What the result does not depend on.
_MAY_CHANGE = ("device", "n_threads")
# Trials before the first one that is compared with others and may be ended early, and epochs.
_STARTUP_TRIALS, _WARM_UP_EPOCHS = 5, 3


@dataclass(frozen=True)
class _Range:
    """Where a hyper-parameter is searched for, on a logarithmic scale."""

    low: float
    high: float

    def suggest(self, trial: Any, name: str) -> Any:
        """Return the value of a trial."""
        kind = HYPERPARAMETERS[name].kind
        suggest = trial.suggest_int if kind is int else trial.suggest_float
        return suggest(name, self.low, self.high, log=True)


# A further hyper-parameter to search for is a line here.
SPACE = {
    "n_dims": _Range(32, 256),
    "learning_rate": _Range(0.02, 0.5),
    "n_negatives": _Range(3, 512),
    "temperature": _Range(0.08, 0.6),
    "margin": _Range(0.2, 2.5),
    "negative_weight": _Range(1.0, 40.0),
}


def run(
    context: typer.Context,
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="Who liked what.", show_default=False)
    ],
    *,
    trials: Annotated[
        int,
        typer.Option(
            "--trials",
            metavar="N",
            min=1,
            help="How many trainings; those that --out has already count.",
            show_default=False,
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(
            "--out",
            metavar="DIR",
            help="A folder for the trials, the best model and its config.toml. The same command "
            "goes on from the trials there.",
            show_default=False,
        ),
    ],
    reading: Reading,
    known: Known,
    data: TrainingData,
    hyperparameters: Hyperparameters,
) -> Outcome:
    """Tune."""
    from ...data import Dataset

    if Dataset.is_at(file):
        raise ValueError(
            f"tune needs likes in memory, and {file} is a data set: tune on a file with the likes "
            "of some of the users"
        )
    optuna = _optuna()
    values = values_of(hyperparameters)
    data.check(values)
    if data.validation is None and data.validation_share is None:
        data = replace(data, validation_share=_SHARE)
    if out.exists() and not (out / _TRIALS_FILE).exists() and any(out.iterdir()):
        raise FileExistsError(f"{out} is not empty and has no trials: give another folder")
    config = {**given(context), "file": file.absolute()}
    del config["out"]
    if data.validation_share:
        config["validation-share"] = data.validation_share
    space = {
        name: searched
        for name, searched in SPACE.items()
        if _key(name) not in config and values["loss"] in HYPERPARAMETERS[name].losses()
    }
    likes, further = data.load_all(reading, known, file, values["random_state"])
    out.mkdir(parents=True, exist_ok=True)
    study = _study(optuna, out, _settings(likes, further["validation"], values, space))
    search = _Search(study, space, values, likes, further, config, out)
    try:
        with logged():
            while len(search.finished()) < trials:
                search.one(trials)
    except KeyboardInterrupt:
        note(f"the same command goes on from the trials in {out}")
        raise
    return _outcome(search.finished(), out)


def _key(name: str) -> str:
    return name.replace("_", "-")


def _optuna() -> Any:
    try:
        import optuna
    except ImportError:
        raise ImportError("tune needs Optuna: pip install cml-fast[tune]") from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna


def _settings(
    likes: Interactions, validation: Interactions, values: dict[str, Any], space: dict[str, _Range]
) -> dict[str, Any]:
    """Return what the trials of a folder have in common, as JSON values."""
    from ..._search.bulk import fingerprint

    matrices = likes.matrix, validation.matrix
    fixed = {name: value for name, value in values.items() if name not in (*space, *_MAY_CHANGE)}
    return {
        "data": fingerprint(*(a for m in matrices for a in (m.indptr, m.indices, m.data))),
        "ranges": {name: [one.low, one.high] for name, one in space.items()},
        **fixed,
    }


def _study(optuna: Any, out: Path, settings: dict[str, Any]) -> Any:
    """Return the trials of a folder, or begin them."""
    from optuna.storages.journal import JournalFileBackend

    arguments = {
        "study_name": "tune",
        "storage": optuna.storages.JournalStorage(JournalFileBackend(str(out / _TRIALS_FILE))),
        "pruner": optuna.pruners.MedianPruner(_STARTUP_TRIALS, _WARM_UP_EPOCHS),
    }
    try:
        study = optuna.load_study(**arguments)  # which writes nothing: it may be refused
    except KeyError:
        study = optuna.create_study(**arguments, direction="maximize")
    before = study.user_attrs.get("settings")
    if before is None:
        study.set_user_attr("settings", settings)
    for name in before or ():
        if before[name] != settings.get(name):
            raise ValueError(
                f"{out} has trials with other {name}: give the same options to go on from them, "
                "or another folder"
            )
    return study


@dataclass(frozen=True)
class _Search:
    """The trials so far, and what the next one needs.

    Attributes
    ----------
    study : optuna.Study
    space : dict of str to _Range
        The hyper-parameters that are searched for.
    values : dict of str to value
        All hyper-parameters; what is searched for takes the place of its value.
    likes, further
        What `Trainer.fit` gets.
    config : dict of str to value
        The options that were given, for config.toml.
    out : pathlib.Path
    """

    study: Any
    space: dict[str, _Range]
    values: dict[str, Any]
    likes: Interactions
    further: dict[str, Any]
    config: dict[str, Any]
    out: Path

    def finished(self) -> list[Any]:
        """Return the trials that came to their end, or were ended early."""
        from optuna.trial import TrialState

        trials: list[Any] = self.study.get_trials(states=(TrialState.COMPLETE, TrialState.PRUNED))
        return trials

    def one(self, n_trials: int) -> None:
        """Run the next trial; what it draws depends on its place, not on interruptions."""
        from optuna.samplers import TPESampler

        place = len(self.finished())
        self.study.sampler = TPESampler(
            seed=self.values["random_state"] + place, n_startup_trials=_STARTUP_TRIALS
        )
        if place == 0:
            self.study.enqueue_trial(self._defaults(), skip_if_exists=True)
        what = f"trial {place + 1} of {n_trials}"
        note(what)
        self.study.optimize(partial(self._objective, what=what), n_trials=1)

    def _defaults(self) -> dict[str, Any]:
        """Return what would be trained with if nothing were searched for."""
        loss = self.values["loss"]
        defaults = {name: HYPERPARAMETERS[name].default_for(loss) for name in self.space}
        if "temperature" in defaults:
            defaults["temperature"] = FIRST_TEMPERATURE
        return defaults

    def _objective(self, trial: Any, what: str) -> float:
        """Train, and return the best recall; save the model if it is the best one so far."""
        from optuna import TrialPruned

        from ...trainer import Trainer

        chosen = {name: one.suggest(trial, name) for name, one in self.space.items()}

        def watch(trainer: Trainer, report: EpochReport) -> None:
            show(trainer, report)
            trial.report(report.recall, report.epoch)
            if trial.should_prune():
                raise TrialPruned

        try:
            with watched(self.values["n_epochs"], what) as show:
                trainer = Trainer(**{**self.values, **chosen}, verbose=False)
                trainer.fit(self.likes, **self.further, callbacks=[watch])
        except TrainingDiverged:
            raise TrialPruned from None
        recall = max(report.recall or 0.0 for report in trainer.history_)
        if recall > max((one.value for one in self.finished() if one.value), default=-1.0):
            self._save(trainer, chosen)
        return recall

    def _save(self, trainer: Trainer, chosen: dict[str, Any]) -> None:
        values = {**self.config, **{_key(name): value for name, value in chosen.items()}}
        command = command_of("train", train.run)
        trainer.model_.save(self.out / "model")
        keep(self.out / "model", command, values)
        write_file(self.out / CONFIG, config_text(command, values).encode())


def _outcome(trials: list[Any], out: Path) -> Outcome:
    def row(trial: Any) -> dict[str, Any]:
        curve = trial.intermediate_values
        return {
            "trial": trial.number,
            "state": trial.state.name.lower(),
            "recall@50": max(curve.values(), default=None),
            "epochs": len(curve),
            **trial.params,
        }

    rows = [row(trial) for trial in trials]
    complete = [one for one in rows if one["state"] == "complete"]
    if not complete:
        raise TrainingDiverged(f"all trials in {out} diverged: search elsewhere")
    best = max(complete, key=lambda one: one["recall@50"])
    names = list(dict.fromkeys(name for one in rows for name in one))
    table = Table(
        tuple(name if name == "state" else f">{name}" for name in names),
        [tuple(_shown(one.get(name)) for name in names) for one in rows],
    )
    result = {"out": str(out), "best": best, "trials": rows}
    return Outcome(
        result,
        [
            table,
            f"best: trial {best['trial']}, validation recall@50 {best['recall@50']:.4f}",
            f"its model is in {out / 'model'}, its options in {out / CONFIG}",
        ],
    )


def _shown(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.4f}" if isinstance(value, float) else str(value)
