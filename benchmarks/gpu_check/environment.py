"""Where the build is and what the programs of the check find in their environment."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from .process import ROOT

FOLDER = ROOT / "build" / "gpu-check"
SITE = FOLDER / "site"  # the package, as this check built it


def find_tool(name: str) -> str | None:
    """A program of the CUDA toolkit, also where the toolkit is not on PATH."""
    homes = [os.environ.get(variable) for variable in ("CUDA_HOME", "CUDA_PATH")]
    folders = [str(Path(home, "bin")) for home in (*homes, "/usr/local/cuda") if home]
    return shutil.which(name) or shutil.which(name, path=os.pathsep.join(folders))


def environment(*python_path: Path) -> dict[str, str]:
    """The package that was built comes first; all that is written stays in the build folder."""
    temporary = FOLDER / "tmp"
    temporary.mkdir(parents=True, exist_ok=True)
    paths = [str(SITE), *map(str, python_path)]
    if inherited := os.environ.get("PYTHONPATH"):
        paths.append(inherited)
    variables = {
        **os.environ,
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]),
        "PYTHONPATH": os.pathsep.join(paths),
        "PYTHONFAULTHANDLER": "1",
        "TMPDIR": str(temporary),
        "CUPY_CACHE_DIR": str(FOLDER / "cupy"),
        "CUDA_CACHE_PATH": str(FOLDER / "cuda"),
        "MPLCONFIGDIR": str(FOLDER / "matplotlib"),
    }
    if nvcc := find_tool("nvcc"):
        variables["CUDACXX"] = nvcc
    return variables
