"""What a model's folder keeps of how it was trained: ``train.toml``, a file for ``--config``.

Other commands read files as training did, and know which interactions it saw. The file names the
vectors that it belongs to, so that it does not count for another model that is saved in the folder.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, NamedTuple, get_type_hints

from .._persistence.one_file import write_file
from ..errors import DataError
from .config import config_text, fault_of, kind_of, read_config
from .messages import note
from .reading import STDIN, Reading

NAME = "train.toml"


class Kept(NamedTuple):
    """How a model was trained.

    Attributes
    ----------
    files : tuple of pathlib.Path
        The interactions of training and validation that were read.
    reading : Reading
        How they were read.
    """

    files: tuple[Path, ...]
    reading: Reading


def keep(folder: Path, train: Any, values: Mapping[str, Any]) -> None:
    """Write how the model in a folder was trained: options of the command ``train``, by key."""
    absolute = {
        key: value.absolute() if isinstance(value, Path) and str(value) != STDIN else value
        for key, value in values.items()
    }
    text = f"# {_mark(folder)}\n{config_text(train, absolute)}"
    write_file(folder / NAME, text.encode())


def kept_with(folder: Path) -> Kept | None:
    """Return how the model in a folder was trained, or None where that is not known."""
    file = folder / NAME
    if not file.is_file() or not file.read_bytes().startswith(f"# {_mark(folder)}\n".encode()):
        return None
    values = read_config(file)
    options = _options_of_reading()
    hints = get_type_hints(Reading)
    kinds = {key: kind_of(hints[field]) for key, field in options.items()}
    for key, kind in {"file": Path, "validation": Path, **kinds}.items():
        fault = fault_of(kind, values[key]) if key in values else ""
        if fault:
            raise DataError(f"{file}: {key} {fault}")
    files = (values[key] for key in ("file", "validation") if values.get(key, STDIN) != STDIN)
    reading = {options[key]: value for key, value in values.items() if key in options}
    return Kept(tuple(map(Path, files)), Reading(**reading))


def reading_of(folder: Path, reading: Reading) -> Reading:
    """Return how further files are read: as in training, if no option says how."""
    kept = kept_with(folder)
    if kept is None or reading != Reading() or kept.reading == Reading():
        return reading
    note(f"files are read as in training, see {folder / NAME}")
    return kept.reading


def _mark(folder: Path) -> str:
    """Return a line that is of this model and no other."""
    from .._persistence.model_folder import VECTORS  # slow to import, and --help does not need it

    manifest = json.loads((folder / "model.json").read_bytes())
    return f"How the vectors {manifest['files'][VECTORS]['sha256'][:16]} were trained."


def _options_of_reading() -> dict[str, str]:
    """Return the field of `Reading` for each key of a file of options."""
    hints = get_type_hints(Reading, include_extras=True)
    names = {field.name: hints[field.name].__metadata__[0].default for field in fields(Reading)}
    return {name.split("/")[0].lstrip("-"): field for field, name in names.items()}
