"""Collaborative Metric Learning (Hsieh et al., WWW 2017) with fused CPU and CUDA kernels."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ._compute.build_info import VERSION as __version__
    from ._compute.build_info import build_info
    from ._training.reports import EpochReport
    from ._training.update import Forgotten
    from .model import Model
    from .trainer import Trainer

__all__ = ["EpochReport", "Forgotten", "Model", "Trainer", "__version__", "build_info"]

# Imported when they are asked for, so that the command line starts without NumPy and SciPy.
_HOMES = {
    "EpochReport": ("._training.reports", "EpochReport"),
    "Forgotten": ("._training.update", "Forgotten"),
    "Model": (".model", "Model"),
    "Trainer": (".trainer", "Trainer"),
    "__version__": ("._compute.build_info", "VERSION"),
    "build_info": ("._compute.build_info", "build_info"),
}
_MODULES = (
    *("baselines", "comparison", "data", "errors", "evaluation", "metrics"),
    *("model", "model_selection", "trainer"),
)


def __getattr__(name: str) -> Any:
    """Import a public name at its first use."""
    if name in _HOMES:
        module, attribute = _HOMES[name]
        value = getattr(import_module(module, __name__), attribute)
    elif name in _MODULES:
        value = import_module(f".{name}", __name__)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES, *_MODULES})
