"""The callbacks, and what MLflow and TensorBoard have then."""

from __future__ import annotations

import mlflow
import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboardX import SummaryWriter

from cml_fast import Trainer
from cml_fast.data import split, synthetic
from cml_fast.evaluation import evaluate
from cml_fast.integrations.mlflow import MLflowLogger, log_evaluation
from cml_fast.integrations.tensorboard import TensorBoardLogger

LIKES = synthetic(200, 100, 3000).interactions
TRAIN, TEST = split(LIKES, (0.8, 0.2))
NAMES = {"loss", "active_share", "impostor_share", "seconds", "recall_at_50"}


def trained(callback, n_epochs: int = 3, **arguments) -> Trainer:
    trainer = Trainer(n_dims=8, n_epochs=n_epochs, temperature=0.3, verbose=False)
    return trainer.fit(TRAIN, validation=TEST, callbacks=[callback], **arguments)


@pytest.fixture
def client(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")  # the store that needs no database
    mlflow.set_tracking_uri((tmp_path / "runs").as_uri())
    return mlflow.MlflowClient()


def test_mlflow_has_the_hyperparameters_and_every_epoch(client):
    with mlflow.start_run() as run:
        trainer = trained(MLflowLogger())
    data = client.get_run(run.info.run_id).data
    assert set(data.metrics) == NAMES
    assert data.params["n_dims"] == "8"
    assert not {"verbose", "device", "n_threads"} & set(data.params)
    logged = client.get_metric_history(run.info.run_id, "recall_at_50")
    assert [(m.step, m.value) for m in logged] == [
        (report.epoch, report.recall) for report in trainer.history_
    ]


def test_mlflow_goes_on_with_a_run_when_a_training_is_resumed(client, tmp_path):
    folder = tmp_path / "training"

    def interrupt(trainer, report):
        if report.epoch == 1:
            raise KeyboardInterrupt

    with mlflow.start_run() as run:
        trainer = Trainer(n_dims=8, n_epochs=4, temperature=0.3, n_threads=2, verbose=False)
        with pytest.raises(KeyboardInterrupt):
            trainer.fit(TRAIN, callbacks=[MLflowLogger(), interrupt], checkpoint=folder)
        Trainer.resume(folder, TRAIN, callbacks=[MLflowLogger()], n_threads=1)
    logged = client.get_metric_history(run.info.run_id, "loss")
    assert sorted({m.step for m in logged}) == [0, 1, 2, 3]


def test_mlflow_takes_an_evaluation(client):
    model = trained(lambda *epoch: None).model_
    result = evaluate(model, TEST, TRAIN, [5, 10])
    with mlflow.start_run() as run:
        log_evaluation(result)
    metrics = client.get_run(run.info.run_id).data.metrics
    assert metrics["recall_at_10"] == pytest.approx(result.recall[10])
    assert metrics["ndcg_at_5"] == pytest.approx(result.ndcg[5])


def test_tensorboard_reads_every_epoch(tmp_path):
    with SummaryWriter(str(tmp_path)) as writer:
        trainer = trained(TensorBoardLogger(writer))
    events = EventAccumulator(str(tmp_path))
    events.Reload()
    assert set(events.Tags()["scalars"]) == {f"cml/{name}" for name in NAMES}
    losses = events.Scalars("cml/loss")
    assert [event.step for event in losses] == [0, 1, 2]
    assert np.allclose([event.value for event in losses], [r.loss for r in trainer.history_])
