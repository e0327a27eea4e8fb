"""Copies of the package that may be changed, and are imported instead of the installed one."""

from __future__ import annotations

import shutil
from pathlib import Path

import cml_fast

# An editable installation puts a finder before all others, which PYTHONPATH cannot overrule.
SITECUSTOMIZE = """\
import sys

sys.meta_path = [f for f in sys.meta_path if type(f).__name__ != "ScikitBuildRedirectingFinder"]
"""


def copy_package(folder: Path) -> Path:
    """Copy the package without its compiled module; ``PYTHONPATH=folder`` makes Python import it.

    Returns
    -------
    pathlib.Path
        The copy, ``folder / "cml_fast"``.
    """
    copy = folder / "cml_fast"
    ignored = shutil.ignore_patterns("_core*.so", "__pycache__")
    shutil.copytree(Path(cml_fast.__file__).parent, copy, ignore=ignored)
    (folder / "sitecustomize.py").write_text(SITECUSTOMIZE)
    return copy
