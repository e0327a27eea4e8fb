"""A callback that logs epochs for TensorBoard."""

from __future__ import annotations

from typing import Protocol

from .._training.reports import EpochReport
from ..trainer import Trainer
from ._epochs import metrics_of


class Writer(Protocol):
    """The part of a ``SummaryWriter`` that is used."""

    def add_scalar(self, tag: str, value: float, step: int, /) -> object:
        """Log one number."""


class TensorBoardLogger:
    """Log the loss, shares, seconds and recall of each epoch to TensorBoard.

    Parameters
    ----------
    writer : SummaryWriter
        That of ``tensorboardX`` (``pip install tensorboardX``) or of ``torch.utils.tensorboard``;
        closing it is up to the caller.
    prefix : str
        What the names of the metrics begin with.

    Examples
    --------
    >>> from cml_fast import Trainer
    >>> from cml_fast.data import synthetic
    >>> from cml_fast.integrations.tensorboard import TensorBoardLogger
    >>> class Printer:  # in the place of a SummaryWriter
    ...     def add_scalar(self, tag, value, step):
    ...         if tag == "cml/loss":
    ...             print("the loss of epoch", step)
    >>> trainer = Trainer(n_dims=8, n_epochs=2, temperature=0.3, verbose=False)
    >>> callbacks = [TensorBoardLogger(Printer())]
    >>> _ = trainer.fit(synthetic(50, 30, 300).interactions, callbacks=callbacks)
    the loss of epoch 0
    the loss of epoch 1
    """

    def __init__(self, writer: Writer, prefix: str = "cml/") -> None:
        if not callable(getattr(writer, "add_scalar", None)):
            raise TypeError(
                f"writer must be a SummaryWriter, got {writer!r}; "
                "make one with tensorboardX.SummaryWriter(folder)"
            )
        self._writer = writer
        self._prefix = prefix

    def __call__(self, trainer: Trainer, report: EpochReport) -> None:
        """Log an epoch."""
        for name, value in metrics_of(report).items():
            self._writer.add_scalar(self._prefix + name, value, report.epoch)
