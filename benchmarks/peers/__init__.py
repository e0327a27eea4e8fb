"""All that is compared, by name. A package is imported when its peer trains, not before."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.util import find_spec

from .. import results_file
from . import cornac_models, implicit_models, lightfm_models, ours, simple, torch_cml
from .peer import Data, Peer, Settings

ALL: dict[str, Peer] = {
    peer.name: peer
    for module in (simple, implicit_models, lightfm_models, cornac_models, torch_cml, ours)
    for peer in module.PEERS
}


def why_absent(peer: Peer) -> str | None:
    """Why a peer cannot run here, and what to do about it; None: it can."""
    if peer.package == "lightfm":
        return lightfm_models.why_absent()
    if peer.package is None or find_spec(peer.package) is not None:
        return None
    return f"{peer.package} is not installed: pip install cml-fast[bench]"


def versions(packages: Iterable[str]) -> dict[str, str]:
    """Of those that are installed here; LightFM's is that of its own Python."""
    found = results_file.versions(packages)
    lightfm = lightfm_models.version() if "lightfm" in packages else None
    return found if lightfm is None else {**found, "lightfm": lightfm}


__all__ = ["ALL", "Data", "Peer", "Settings", "versions", "why_absent"]
