"""Saving models: nothing that is there is replaced without ``--overwrite``."""

from __future__ import annotations

from pathlib import Path

from .._persistence.folder import check_writable


def check_out(folder: Path, *, overwrite: bool) -> None:
    """Refuse a folder in which a model could not be saved, before the work and not after it."""
    check_writable(folder, "model")
    if (folder / "model.json").exists() and not overwrite:
        raise FileExistsError(
            f"{folder} has a model: give another folder, or replace it with --overwrite"
        )
