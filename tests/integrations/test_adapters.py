"""What needs no other tool: CSV files, TensorBoard's writer, messages, and the search."""

from __future__ import annotations

import csv
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from cml_fast import Trainer
from cml_fast.data import split, synthetic
from cml_fast.integrations.csv_log import CSVLogger
from cml_fast.integrations.tensorboard import TensorBoardLogger

TRAIN, TEST = split(synthetic(100, 60, 1200).interactions, (0.8, 0.2))


def trained(callback, validation=TEST) -> Trainer:
    trainer = Trainer(n_dims=4, n_epochs=3, temperature=0.3, device="cpu", verbose=False)
    return trainer.fit(TRAIN, validation=validation, callbacks=[callback])


def test_a_csv_file_has_a_line_for_each_epoch(tmp_path):
    trainer = trained(CSVLogger(tmp_path / "epochs.csv"))
    with (tmp_path / "epochs.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert [int(line["epoch"]) for line in lines] == [0, 1, 2]
    for line, report in zip(lines, trainer.history_, strict=True):
        for name in ("loss", "active_share", "impostor_share", "seconds"):
            assert float(line[name]) == getattr(report, name)
        assert float(line["recall_at_50"]) == report.recall


def test_without_validation_the_recall_is_empty(tmp_path):
    trained(CSVLogger(tmp_path / "epochs.csv"), validation=None)
    with (tmp_path / "epochs.csv").open(newline="") as file:
        assert [line["recall_at_50"] for line in csv.DictReader(file)] == ["", "", ""]


def test_a_csv_file_of_its_own_is_continued(tmp_path):
    for _ in range(2):
        trained(CSVLogger(tmp_path / "epochs.csv"))
    lines = (tmp_path / "epochs.csv").read_text().splitlines()
    assert [line.split(",")[0] for line in lines] == ["epoch", "0", "1", "2", "0", "1", "2"]


def test_another_file_is_not_continued(tmp_path):
    path = tmp_path / "likes.csv"
    path.write_text("user,item\n")
    with pytest.raises(ValueError, match=r"likes.csv' is a file with the columns \['user', 'item'"):
        CSVLogger(path)
    assert path.read_text() == "user,item\n"


class Writer:
    def __init__(self) -> None:
        self.logged: list[tuple[str, float, int]] = []

    def add_scalar(self, tag: str, value: float, step: int) -> None:
        self.logged.append((tag, value, step))


def test_tensorboard_gets_every_epoch():
    writer = Writer()
    trainer = trained(TensorBoardLogger(writer, prefix="mine/"))
    losses = [(value, step) for tag, value, step in writer.logged if tag == "mine/loss"]
    assert losses == [(report.loss, report.epoch) for report in trainer.history_]
    assert ("mine/recall_at_50", trainer.history_[2].recall, 2) in writer.logged


def test_a_folder_is_no_writer():
    with pytest.raises(TypeError, match="writer must be a SummaryWriter, got 'runs'"):
        TensorBoardLogger("runs")


@pytest.mark.parametrize(
    ("adapter", "module", "message"),
    [
        ("lenskit", "lenskit", "needs LensKit: pip install lenskit"),
        ("rectools", "rectools", "needs RecTools: pip install rectools"),
        ("cornac", "cornac", "needs Cornac: pip install cornac"),
        ("mlflow", "mlflow", "needs MLflow: pip install mlflow"),
    ],
)
def test_without_the_tool_the_import_says_what_to_install(adapter, module, message, monkeypatch):
    name = f"cml_fast.integrations.{adapter}"
    monkeypatch.setitem(sys.modules, module, None)  # as if it were not installed
    for known in [known for known in sys.modules if known.startswith(f"{module}.")]:
        monkeypatch.setitem(sys.modules, known, None)
    monkeypatch.delitem(sys.modules, name, raising=False)
    with pytest.raises(ImportError, match=message):
        import_module(name)


def test_the_package_does_not_load_its_adapters():
    code = "import sys, cml_fast; assert not [m for m in sys.modules if 'integrations' in m]"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_adapters_are_short():
    folder = Path(import_module("cml_fast.integrations").__file__).parent
    for name in ("lenskit", "rectools", "cornac", "mlflow", "tensorboard", "csv_log"):
        assert len((folder / f"{name}.py").read_text().splitlines()) <= 80, name
