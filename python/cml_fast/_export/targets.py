"""The targets of an export: a new one is a module here and a line in `TARGETS`."""

from __future__ import annotations

from .._validation.scalars import check_choice
from .duckdb import DUCKDB
from .files import ARROW, PARQUET
from .lancedb import LANCEDB
from .postgresql import POSTGRESQL
from .qdrant import QDRANT
from .target import Target

TARGETS = {target.name: target for target in (PARQUET, ARROW, DUCKDB, LANCEDB, QDRANT, POSTGRESQL)}


def target_of(destination: str, to: str | None) -> Target:
    """Return the target that ``to`` names, or that the destination shows by itself."""
    if to is not None:
        target = TARGETS[check_choice("to", to, tuple(TARGETS))]
    else:
        known = [target for target in TARGETS.values() if target.knows(destination)]
        if not known:
            signs = [
                sign
                for target in TARGETS.values()
                for sign in (*target.suffixes, *(f"{scheme}://" for scheme in target.schemes))
            ]
            scheme, is_url, _ = destination.partition("://")
            shown = f"{scheme}://..." if is_url else destination  # without a password
            raise ValueError(
                f"what {shown!r} is cannot be told by its name, which has none of {signs}: say it "
                f"with to=, one of {list(TARGETS)}"
            )
        (target,) = known
    if target.is_file and "://" in destination:
        raise ValueError(
            f"destination must be a file of this machine, got {destination!r}: copy it afterwards"
        )
    return target
