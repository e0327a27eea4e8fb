"""A callback that logs a training to MLflow."""

from __future__ import annotations

from .._training.reports import EpochReport
from ..metrics.result import Evaluation
from ..trainer import Trainer
from ._epochs import metrics_of
from ._tools import imports_of

with imports_of("MLflow", "mlflow"):
    import mlflow

# Of the hyper-parameters, those that do not say what is learned and that a resumed training may
# change. MLflow refuses another value of a parameter in the same run.
NOT_LOGGED = ("verbose", "device", "n_threads")


class MLflowLogger:
    """Log the hyper-parameters, and the metrics of each epoch, to the active run of MLflow.

    Metrics are called "loss", "active_share", "impostor_share", "seconds" and, with validation
    data, "recall_at_50". Without an active run MLflow begins one.
    """

    def __init__(self) -> None:
        self._has_parameters = False

    def __call__(self, trainer: Trainer, report: EpochReport) -> None:
        """Log an epoch, and before the first the hyper-parameters."""
        if not self._has_parameters:
            parameters = trainer.get_params()
            mlflow.log_params({name: parameters[name] for name in parameters.keys() - NOT_LOGGED})
            self._has_parameters = True
        mlflow.log_metrics(metrics_of(report), step=report.epoch)


def log_evaluation(evaluation: Evaluation) -> None:
    """Log the metrics of `evaluate` to the active run, "recall@10" as "recall_at_10".

    Parameters
    ----------
    evaluation : Evaluation
    """
    values = evaluation.to_dict(separator="_at_")
    mlflow.log_metrics({name: value for name, value in values.items() if value is not None})
