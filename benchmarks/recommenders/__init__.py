"""All recommenders of the comparisons, by name: those of other packages and those of cml_fast.

A package is imported when its recommender trains, not before.
"""

from __future__ import annotations

from collections.abc import Iterable
from importlib.util import find_spec

from ..common import results_file
from . import (
    cml_fast_models,
    cornac_models,
    implicit_models,
    lightfm_models,
    popularity_and_ease,
    pytorch_cml,
)
from .recommender import Data, Recommender, Settings

ALL: dict[str, Recommender] = {
    recommender.name: recommender
    for module in (
        popularity_and_ease,
        implicit_models,
        lightfm_models,
        cornac_models,
        pytorch_cml,
        cml_fast_models,
    )
    for recommender in module.RECOMMENDERS
}


def why_absent(recommender: Recommender) -> str | None:
    """Why it cannot run here, and what to do about it; None if it can."""
    package = recommender.package
    if package == "lightfm":
        return lightfm_models.why_absent()
    if package is None or find_spec(package) is not None:
        return None
    return f"{package} is not installed: pip install cml-fast[bench]"


def versions(packages: Iterable[str]) -> dict[str, str]:
    """The versions of installed packages; LightFM is looked up in its own Python."""
    found = results_file.versions(packages)
    lightfm = lightfm_models.version() if "lightfm" in packages else None
    return found if lightfm is None else {**found, "lightfm": lightfm}


__all__ = ["ALL", "Data", "Recommender", "Settings", "versions", "why_absent"]
