"""A callback that writes a line for each epoch to a CSV file."""

from __future__ import annotations

import csv
import os
from collections.abc import Sequence
from pathlib import Path

from .._training.reports import EpochReport
from ..trainer import Trainer
from ._epochs import METRICS, metrics_of


class CSVLogger:
    """Write the epoch, loss, shares, seconds and recall of each epoch to a CSV file.

    Parameters
    ----------
    path : path
        Lines are added to a file that this class has written; it begins a file that is absent.

    Raises
    ------
    ValueError
        If the file there has other columns.
    OSError
        If the file cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from cml_fast import Trainer
    >>> from cml_fast.data import synthetic
    >>> from cml_fast.integrations.csv_log import CSVLogger
    >>> trainer = Trainer(n_dims=8, n_epochs=2, temperature=0.3, verbose=False)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "epochs.csv")
    ...     _ = trainer.fit(synthetic(50, 30, 300).interactions, callbacks=[CSVLogger(path)])
    ...     [line.split(",")[0] for line in path.read_text().splitlines()]
    ['epoch', '0', '1']
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = Path(path)
        columns = ["epoch", *METRICS]
        if not self._path.exists():
            self._write(columns)
            return
        with self._path.open(newline="") as file:
            found = next(csv.reader(file), [])
        if found != columns:
            raise ValueError(
                f"path={str(path)!r} is a file with the columns {found}, not {columns}; give the "
                "name of a new file"
            )

    def __call__(self, trainer: Trainer, report: EpochReport) -> None:
        """Write the line of an epoch."""
        values = metrics_of(report)
        self._write([report.epoch, *(values.get(name, "") for name in METRICS)])

    def _write(self, row: Sequence[object]) -> None:
        with self._path.open("a", newline="") as file:
            csv.writer(file).writerow(row)
