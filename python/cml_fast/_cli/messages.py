"""Messages on stderr, and errors of the library in the words of the command line."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING

import typer

from ..errors import DataError, DeviceUnavailable, ModelError, TrainingDiverged

if TYPE_CHECKING:
    from rich.console import Console

    UsageError = typer.BadParameter
else:
    # Of click, a copy of which newer releases of typer have within.
    UsageError = typer.BadParameter.__bases__[0]

_COLOURS = {
    "error": "bold red",
    "warning": "yellow",
    "interrupted": "yellow",
    "terminated": "yellow",
}


def note(message: str) -> None:
    """Print a message of one line on stderr, its first word in colour where a person looks."""
    line = "".join(
        character if character.isprintable() else ascii(character)[1:-1]  # codes for terminals
        for character in " ".join(message.split())
    )
    if sys.stderr.isatty():
        from rich.text import Text

        text = Text(f"cml-fast: {line}")
        for word, colour in _COLOURS.items():
            text.highlight_regex(f"(?<=^cml-fast: ){word}", colour)
        terminal().print(text, soft_wrap=True)
    else:
        print("cml-fast:", line, file=sys.stderr, flush=True)


@cache
def terminal() -> Console:
    """Return the terminal at stderr; one for all, so that messages are above a progress bar."""
    from rich.console import Console

    return Console(stderr=True)


def explain(error: Exception) -> tuple[int, str]:
    """Return the exit code and the message for an error."""
    match error:
        case UsageError():
            path = error.ctx.command_path if error.ctx else "cml-fast"
            return 2, f"{error.format_message().rstrip('.')} (see {path} --help)"
        case OSError(filename=str(file), strerror=str(reason)):
            return 3, f"{file}: {reason}"
        case DeviceUnavailable():
            return 4, str(error)
        case DataError() | ModelError() | OSError():
            return 3, str(error)
        case ValueError() | TypeError():
            return 2, str(error)
        case TrainingDiverged() | ImportError():
            return 1, str(error)
        case MemoryError():
            return 1, str(error) or "there is not enough memory"
    return 1, f"unexpected {type(error).__name__}: {error}"


def in_options(message: str, options: Mapping[str, str]) -> str:
    """Return a message of the library with options in the place of the arguments that it names.

    ``options`` has the option for each argument of the command that runs; commands name their
    arguments as the library does. A name counts as one before "=" or a verb, and wherever it has an
    underscore: no other word of a sentence has.

    Examples
    --------
    >>> from cml_fast._cli.messages import in_options
    >>> in_options("n must be at least 1, got 0", {"n": "--n"})
    '--n must be at least 1, got 0'
    >>> in_options("name the right one with user=", {"user": "--user-column"})
    'name the right one with --user-column'
    >>> in_options("pass quoting='none'", {"quoting": "--quoting"})
    'pass --quoting none'
    """
    names = "|".join(map(re.escape, sorted(options, key=len, reverse=True)))
    if not names:
        return message

    def with_value(found: re.Match[str]) -> str:
        value = found["word"] if found["text"] is None else found["text"]
        if value == "False":
            return f"--no-{options[found['name']].removeprefix('--')}"
        value = "" if value in (None, "True") else value
        return f"{options[found['name']]} {value}".rstrip()

    message = re.sub(
        rf"(?<![\w-])(?P<name>{names})=(?:'(?P<text>[^']*)'|(?P<word>[\w.+-]*\w)?)",
        with_value,
        message,
    )
    message = re.sub(
        rf"^({names})(?= (?:must|needs?|leaves?|has|have|cannot|is|are)\b)",
        lambda found: options[found[1]],
        message,
    )
    underscored = "|".join(name for name in names.split("|") if "_" in name)
    if underscored:
        message = re.sub(
            rf"(?<![\w-])({underscored})(?!\w)", lambda found: options[found[1]], message
        )
    return message
