"""Registers of the training kernels, from ptxas: no GPU is needed, only nvcc."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ..gpu_check.environment import find_tool
from ..gpu_check.process import ROOT
from ..gpu_check.stages import ptxas_report

# The worker ("Pair", "Tile" or "Tile, bfloat16") and the kernel ("async" or "sync").
Registers = Mapping[tuple[str, str], int]


def of_report(kernels: Iterable[Mapping[str, Any]], chunks: int) -> dict[tuple[str, str], int]:
    """From a report of ptxas, see gpu_check, for rows of so many chunks of 32 elements."""
    return {
        (each["worker"], each["kernel"]): each["registers"]
        for each in kernels
        if each["chunks"] == chunks and each["kernel"] in ("async", "sync")
    }


def compiled(compute_capability: str, chunks: int) -> dict[tuple[str, str], int]:
    """Compile the kernels (a minute) as cmake/CudaKernels.cmake does."""
    nvcc = find_tool("nvcc")
    if nvcc is None:
        raise SystemExit("the registers of the kernels are those that nvcc gives them: install it")
    with tempfile.TemporaryDirectory() as folder:
        command = [nvcc, "-std=c++17", "-O3", "--fmad=false", "--expt-relaxed-constexpr"]
        command += ["-DCML_TARGET=cuda", f"-DCML_CHUNKS={chunks}", "-Xptxas=-v"]
        command += [f"-arch=sm_{compute_capability}", "-cubin", "-o", str(Path(folder, "cubin"))]
        command += [str(ROOT / "csrc" / "cuda" / "kernel.cu")]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    return of_report(ptxas_report(done.stdout + done.stderr), chunks)
