"""Another build of the compiled module in place of the installed one."""

from __future__ import annotations

import importlib.util
import sys


def use_core(path: str) -> None:
    """Make the module at ``path`` that of cml_fast, of which nothing may have been imported."""
    name = "cml_fast._core"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    sys.modules[name] = importlib.util.module_from_spec(spec)  # before the package finds its own
    spec.loader.exec_module(sys.modules[name])
