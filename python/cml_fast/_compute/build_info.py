"""What this installation is made of and can use."""

from __future__ import annotations

import os
from typing import Any

from .. import _core
from .devices import ISA_VARIABLE, cuda_problem, instruction_set

VERSION: str = _core.build_info()["version"]


def build_info() -> dict[str, Any]:
    """Describe the installation.

    Returns
    -------
    dict
        ``version``; ``compiler`` of the CPU code; ``instruction_sets`` that have a kernel and
        run here, best first; ``instruction_set`` in use and whether ``instruction_set_forced``
        by the environment (``CML_FAST_ISA``); ``cuda`` with ``built``, ``compiler``,
        ``architectures``, ``runtime`` and ``driver`` version (13020 is 13.2; 0: none),
        ``devices``, ``usable``, and ``problem``, the reason if it is not usable, else None.

    Examples
    --------
    >>> from cml_fast import build_info
    >>> info = build_info()
    >>> info["instruction_set"] in info["instruction_sets"]
    True
    >>> info["cuda"]["usable"] == (info["cuda"]["problem"] is None)
    True
    """
    info: dict[str, Any] = _core.build_info()
    info["instruction_set"] = instruction_set()
    info["instruction_set_forced"] = bool(os.environ.get(ISA_VARIABLE))
    problem = cuda_problem()
    info["cuda"]["usable"] = problem is None
    info["cuda"]["problem"] = problem
    return info
