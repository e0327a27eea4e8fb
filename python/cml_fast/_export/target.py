"""What a target of an export is, and what all of them need."""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import ExportError
from .tables import Table

# Messages of other libraries are cut here.
_LONGEST = 300

# function(destination, tables, replace, connection): writes all of the tables or none, and raises
# ExportError if it cannot. ``connection`` are arguments of the client's function that connects.
Write = Callable[[str, Sequence[Table], bool, dict[str, Any]], None]


@dataclass(frozen=True)
class Target:
    """A kind of file or database.

    Attributes
    ----------
    name : str
        As in ``Model.export(to=...)``; also the extra of the package that has the client.
    write : Write
    suffixes : tuple of str
        Of destinations that are of this kind, in lower case.
    schemes : tuple of str
        What the URL of such a destination begins with.
    is_file : bool
        Whether it is a file that holds one table.
    """

    name: str
    write: Write
    suffixes: tuple[str, ...] = ()
    schemes: tuple[str, ...] = ()
    is_file: bool = False

    def knows(self, destination: str) -> bool:
        """Whether a destination is of this kind by its extension or its scheme."""
        if "://" in destination:
            return destination.startswith(tuple(f"{scheme}://" for scheme in self.schemes))
        return destination.lower().rstrip("/").endswith(self.suffixes or (" ",))


def import_client(module: str, extra: str) -> Any:
    """Return the module of a client, or raise ImportError that says what to install."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ImportError(
            f"export to {extra} needs the package {module}: pip install cml-fast[{extra}]"
        ) from error


@contextlib.contextmanager
def reported(place: str, *errors: type[BaseException]) -> Iterator[None]:
    """Raise ExportError, a sentence about ``place``, for these errors of a client."""
    try:
        yield
    except ExportError:
        raise
    except errors as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        if len(reason) > _LONGEST:
            reason = f"{reason[:_LONGEST]} ..."
        raise ExportError(f"{place} cannot be written: {reason}") from error


def table_exists(place: str, name: str) -> ExportError:
    """Return the error for a table that is there already."""
    return ExportError(
        f"{place} has a table {name!r} already: replace it with if_exists='replace', or choose "
        "another prefix"
    )
