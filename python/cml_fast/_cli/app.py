"""The command ``cml-fast``: its commands and its exit codes."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib import import_module
from textwrap import indent
from typing import Annotated

import typer

from .command import Command, Group, with_options
from .commands import COMMANDS
from .messages import explain, note
from .signals import ending

_HELP = (
    "Recommendations by Collaborative Metric Learning (Hsieh et al., WWW 2017): users and items "
    "become points, and the items near a user are recommended."
)
_EPILOG = """\
Results go to stdout, progress and messages to stderr. Exit codes:
  0    success
  1    training diverged, or an unexpected failure
  2    wrong usage: an option, its value, or an id that the model does not have
  3    a file, a folder or a model that cannot be read, used or written
  4    the device asked for is not available
  130  interrupted
  141  the reader of the output went away
  143  ended by SIGTERM

Example, without any data of your own:
  cml-fast demo
"""
_COMPLETION = "_CML_FAST_COMPLETE"
# Of bash, and of the others.
_SHELLS_WORDS = ("COMP_WORDS", "_TYPER_COMPLETE_ARGS")


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command, print its result, and return the exit code."""
    words = list(sys.argv[1:] if argv is None else argv) or ["--help"]
    try:
        if _COMPLETION in os.environ:  # asked by a shell, which has its words in the environment
            words = " ".join(os.environ.get(name, "") for name in _SHELLS_WORDS).split()
            typer.main.get_command(_app(words))(prog_name="cml-fast")
        command = typer.main.get_command(_app(words))
        with command.make_context("cml-fast", words) as context:
            command.invoke(context)
        sys.stdout.flush()
    except typer.Exit as stop:
        return stop.exit_code
    except SystemExit as stop:
        if not isinstance(stop.__context__, BrokenPipeError):
            raise
        return 141  # rich has dealt with the pipe
    except BrokenPipeError:
        # Python flushes stdout once more at exit, and would complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except KeyboardInterrupt as stop:
        code, word = ending(stop)
        note(word)
        return code
    except Exception as error:
        code, message = explain(error)
        note(f"error: {message}")
        return code
    return 0


def _app(words: Sequence[str]) -> typer.Typer:
    """Return the application; only the commands among ``words`` can be run.

    The others have their line of help alone, because importing them takes time.
    """
    app = typer.Typer(
        cls=Group,
        help=_HELP,
        epilog=_EPILOG,
        rich_markup_mode="rich",
        context_settings={"help_option_names": ["--help"]},
    )
    app.callback()(_general)
    for entry in COMMANDS:
        function, example = _not_imported, None
        if entry.name in words:
            module = import_module(f".commands.{entry.name}", __package__)
            function, example = with_options(module.run), module.EXAMPLE
        app.command(
            entry.name,
            cls=Command,
            help=f"{entry.help[0].upper()}{entry.help[1:]}.",
            rich_help_panel=entry.panel,
            epilog=example and f"Example:\n{indent(example.strip(), '  ')}\n",
        )(function)
    return app


def _version(given: bool) -> None:
    if given:
        from .. import __version__

        typer.echo(f"cml-fast {__version__}")
        raise typer.Exit


def _general(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    pass


def _not_imported() -> None:
    raise AssertionError("only commands that were named are run")
