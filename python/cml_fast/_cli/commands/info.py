"""``cml-fast info``: show what this build can do, and what a model holds."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ..._compute.build_info import build_info
from ...model import Model
from ..output import Outcome, outline
from ..parsing import Command, Parser


def _add_options(parser: Parser) -> None:
    parser.add_argument("model", metavar="MODEL", type=Path, nargs="?", help="the model's folder")


def _run(args: argparse.Namespace) -> Outcome:
    result: dict[str, Any] = {"build": build_info()}
    if args.model:
        model = Model.load(args.model)
        result["model"] = {
            "made_by_version": model.version,
            "n_users": len(model.user_ids),
            "n_items": len(model.item_ids),
            "n_dims": model.item_vectors.shape[1],
            "first_user_id": model.user_ids[[0]].tolist()[0],
            "first_item_id": model.item_ids[[0]].tolist()[0],
            "hyperparameters": model.hyperparameters,
        }
    return result, "\n".join(outline(result))


COMMAND = Command(
    "info",
    help="show what this build can do, and what a model holds",
    example="demo-output/model",
    add_options=_add_options,
    run=_run,
)
