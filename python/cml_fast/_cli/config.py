"""Files of options in TOML: ``--config`` and ``--write-config``."""

from __future__ import annotations

import inspect
import json
import sys
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from textwrap import fill
from types import NoneType
from typing import Annotated, Any, get_args, get_origin

import typer

from ..errors import DataError
from .messages import UsageError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

# What belongs to one call, and not to a file of options.
_OF_A_CALL = ("config", "write_config", "json", "help_all", "overwrite", "resume")
_KINDS: dict[type, tuple[str, tuple[type, ...]]] = {
    bool: ("true or false", (bool,)),
    int: ("a whole number", (int,)),
    float: ("a number", (int, float)),
    str: ("a text in quotes", (str,)),
    Path: ("a path in quotes", (str,)),
}
_WIDTH = 96


def key_of(param: Any) -> str:
    """Return the key of an option, its name without dashes, or of an argument."""
    return str(param.opts[0]).lstrip("-").replace("_", "-")


def settings_of(command: Any) -> dict[str, Any]:
    """Return the parameters of a command that a file may have, by their keys."""
    return {key_of(param): param for param in command.params if param.name not in _OF_A_CALL}


def given(context: typer.Context) -> dict[str, Any]:
    """Return what the caller gave, on the command line or in a file, by key."""
    values = {}
    for key, param in settings_of(context.command).items():
        source = context.get_parameter_source(param.name)
        if source is not None and source.name != "DEFAULT":
            value = context.params[param.name]
            # Older releases of typer make a Path of it only for the function.
            values[key] = Path(value) if _kind_of(context, param.name) is Path else value
    return values


def config_text(command: Any, values: Mapping[str, Any]) -> str:
    """Return a file of all options of a command, with their help.

    ``values`` are some of them by key; the others are comments with their defaults.
    """
    panels: dict[str, list[str]] = {}
    for key, param in settings_of(command).items():
        panel = getattr(param, "rich_help_panel", None) or "Options"
        lines = panels.setdefault(panel, [])
        lines += ["", fill(param.help, _WIDTH, initial_indent="# ", subsequent_indent="# ")]
        if key in values:
            lines.append(f"{key} = {_toml(values[key])}")
        elif param.default is None or callable(param.default):
            lines.append(f"# {key} = {param.metavar or 'true or false'}")
        else:
            lines.append(f"# {key} = {_toml(param.default)}")
    text = f"# Options of cml-fast {command.name}. Those after # have their defaults.\n"
    for panel, lines in panels.items():
        text += "\n".join(["", f"# --- {panel} ---", *lines, ""])
    return text


def read_config(file: Path) -> dict[str, Any]:
    """Return what a file of TOML has."""
    try:
        with file.open("rb") as opened:
            values: dict[str, Any] = tomllib.load(opened)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise DataError(f"{file} is not valid TOML: {error}") from None
    return values


def _toml(value: Any) -> str:
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_toml, value))}]"
    if isinstance(value, Path):
        value = str(value)
    if isinstance(value, str):
        # JSON's strings are TOML's, but for the escapes of what is beyond 16 bits.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return repr(value).lower() if isinstance(value, bool) else repr(value)


def _load(context: typer.Context, file: Path | None) -> Path | None:
    """Make the values of a file the defaults, once all of them have been checked."""
    if file is None or context.resilient_parsing:
        return file
    settings, values = settings_of(context.command), {}
    for key, value in read_config(file).items():
        if key not in settings:
            near = get_close_matches(key.replace("_", "-"), settings, 1, 0)
            raise UsageError(f"{file} has an unknown key {key!r}; did you mean {near[0]!r}?")
        param = settings[key]
        fault = fault_of(_kind_of(context, param.name), value)
        if fault:
            raise UsageError(f"{file}: {key} {fault}")
        try:
            param.process_value(context, value)
        except UsageError as error:
            message = getattr(error, "message", str(error))
            raise UsageError(f"{file}: {key} {message}") from None
        values[param.name] = value
    context.default_map = values
    return file


def _kind_of(context: typer.Context, name: str) -> Any:
    """Return the type of a parameter, for one that may be None that of its values."""
    function: Any = context.command.callback
    return kind_of(inspect.signature(function).parameters[name].annotation)


def kind_of(annotation: Any) -> Any:
    """Return the type that is annotated, for one that may be None that of its values."""
    kind = annotation
    while get_origin(kind) is not None and get_origin(kind) is not list:
        kind = next(one for one in get_args(kind) if one is not NoneType)
    return kind


def fault_of(kind: Any, value: Any) -> str:
    """Say what is wrong with a value that is not of the type of its option; "" if it is."""
    each, what = [value], ""
    if get_origin(kind) is list:
        (kind,), what = get_args(kind), "a list, each "
        each = value if isinstance(value, list) else [None]
    wanted, types = _KINDS[kind]
    for one in each:
        if not isinstance(one, types) or (isinstance(one, bool) and kind is not bool):
            return f"must be {what}{wanted}, got {value!r}"
    return ""


def _write(context: typer.Context, file: Path | None) -> None:
    if file is None or context.resilient_parsing:
        return
    text = config_text(context.command, {})
    if str(file) == "-":
        typer.echo(text, nl=False)
    else:
        if file.exists():
            raise UsageError(f"--write-config {file}: the file exists, give another name")
        try:
            file.write_text(text, encoding="utf-8")
        except OSError as error:
            raise UsageError(f"--write-config {file}: {error.strerror}") from None
        typer.echo(f"all options and their defaults are in {file}")
    raise typer.Exit


Config = Annotated[
    Path | None,
    typer.Option(
        "--config",
        metavar="FILE",
        help="Take options from a file of TOML; those on the command line win.",
        is_eager=True,
        callback=_load,
    ),
]
WriteConfig = Annotated[
    Path | None,
    typer.Option(
        "--write-config",
        metavar="FILE",
        help="Write such a file with all options, their defaults and help, and exit; - for stdout.",
        is_eager=True,
        callback=_write,
    ),
]
