"""``cml-fast info``: show what this build can do, and what a model holds."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from ..output import Outcome, outline

EXAMPLE = "cml-fast info demo-output/model"


def run(
    model: Annotated[
        Path | None,
        typer.Argument(metavar="MODEL", help="The model's folder.", show_default=False),
    ] = None,
) -> Outcome:
    """Describe the build and a model."""
    from ..._compute.build_info import build_info
    from ...model import Model

    result: dict[str, Any] = {"build": build_info()}
    if model:
        held = Model.load(model)
        result["model"] = {
            "made_by_version": held.version,
            "n_users": len(held.user_ids),
            "n_items": len(held.item_ids),
            "n_dims": held.item_vectors.shape[1],
            "first_user_id": held.user_ids[[0]].tolist()[0],
            "first_item_id": held.item_ids[[0]].tolist()[0],
            "index": held.index_info,
            "hyperparameters": held.hyperparameters,
        }
    return Outcome(result, outline(result))
