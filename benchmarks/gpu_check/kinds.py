"""The kinds of kernels that are checked: one for each loss, and one for products of bfloat16."""

from __future__ import annotations

from cml_fast import _core

BFLOAT16 = "softmax, bfloat16"


def arguments_of(kind: str) -> dict[str, str]:
    """Of Trainer."""
    if kind == BFLOAT16:
        return {"loss": "softmax", "precision": "bfloat16"}
    return {"loss": kind}


def is_there(kind: str, device: str) -> bool:
    """Whether the current GPU can, or the CPU."""
    return kind != BFLOAT16 or device == "cpu" or not _core.cuda_bfloat16_problem()
