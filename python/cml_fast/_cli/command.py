"""How a function becomes a command of ``cml-fast``: its options, its output and its errors."""

from __future__ import annotations

import dataclasses
import inspect
import warnings
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from typing import Annotated, Any, get_type_hints

import typer
from typer.core import TyperCommand, TyperGroup

from .messages import UsageError, explain, in_options, note
from .output import Outcome, show

GENERAL = "General"


class WithExamples:
    """Help as typer formats it, and then lines as they are, such as examples to copy."""

    epilog: str | None

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Print the help."""
        for param in self.get_params(ctx):  # type: ignore[attr-defined]
            if getattr(param, "is_flag", False):
                param.metavar = ""  # newer releases of typer show <bool>
        epilog, self.epilog = self.epilog, None
        super().format_help(ctx, formatter)  # type: ignore[misc]
        self.epilog = epilog
        typer.echo((epilog or "").rstrip())


class Group(WithExamples, TyperGroup):
    """All commands together."""


class Command(WithExamples, TyperCommand):
    """A command that refuses ambiguous options, and whose errors are of one line."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse as click does, but let no option be lost without a word."""
        values: dict[str, Any] = {}
        try:
            if not ctx.resilient_parsing:
                values = self._checked(ctx, args)
            return super().parse_args(ctx, args)
        except UsageError as error:
            error.ctx = ctx  # which the parser does not know
            if "unexpected extra argument" in error.message:
                error.message += "; an option takes one value, repeat it for several"
            value = values.get(getattr(getattr(error, "param", None), "name", ""))
            if value is not None and "got " not in error.message:
                error.message += f", got {value!r}"
            raise

    def _checked(self, ctx: Any, args: list[str]) -> dict[str, Any]:
        """Return the values that were given, as texts.

        An option without its value, and the second value of an option that takes one, are refused.
        """
        valued = {
            name
            for param in self.params
            if not getattr(param, "is_flag", True)
            for name in param.opts
        }
        names = {name for param in self.get_params(ctx) for name in param.opts if name[0] == "-"}
        for word, following in pairwise(args):
            if word in valued and following in names:
                raise UsageError(
                    f"{word} needs a value before {following}; {word}={following} if that is the "
                    "value",
                    ctx,
                )
        values, _, order = self.make_parser(ctx).parse_args(list(args))
        for param, times in Counter(param for param in order if param.opts[0][0] == "-").items():
            if times > 1 and not param.multiple:
                raise UsageError(f"{param.opts[0]} is given {times} times: give it once", ctx)
        return dict(values)

    def invoke(self, ctx: Any) -> Any:
        """Run the command; name options in its errors and warnings, and return by exit codes."""
        options = {param.name: param.opts[0] for param in self.params if param.opts[0][0] == "-"}
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("always", UserWarning)
                warnings.showwarning = lambda message, *_: note(
                    f"warning: {in_options(str(message), options)}"
                )
                return super().invoke(ctx)
        except (BrokenPipeError, typer.Exit):
            raise
        except Exception as error:
            code, message = explain(error)
            note(f"error: {in_options(message, options)}")
            raise typer.Exit(code) from error


def _help_all(ctx: typer.Context, given: bool) -> None:
    """Print the help with the options that ``--help`` hides."""
    if given:
        for param in ctx.command.params:
            param.hidden = False  # type: ignore[attr-defined]
        typer.echo(ctx.get_help())
        raise typer.Exit


Json = Annotated[
    bool,
    typer.Option("--json", help="Print one JSON document.", rich_help_panel=GENERAL),
]
HelpAll = Annotated[
    bool,
    typer.Option(
        "--help-all",
        help="Show the rare options as well, and exit.",
        rich_help_panel=GENERAL,
        is_eager=True,
        callback=_help_all,
    ),
]


def with_options(function: Callable[..., Outcome]) -> Callable[..., None]:
    """Return a function for typer whose result is printed.

    A parameter whose type is a dataclass stands for a group of options: its fields become options,
    and the function gets the dataclass. ``--json`` and ``--help-all`` are added.
    """
    groups: dict[str, Any] = {}
    parameters: dict[str, inspect.Parameter] = {}

    def add(name: str, annotation: Any, default: Any) -> None:
        assert name not in parameters, f"two options have the name {name}"
        kind = inspect.Parameter.KEYWORD_ONLY
        parameters[name] = inspect.Parameter(name, kind, default=default, annotation=annotation)

    for parameter in inspect.signature(function, eval_str=True).parameters.values():
        if dataclasses.is_dataclass(parameter.annotation):
            group: Any = parameter.annotation
            groups[parameter.name] = group
            for name, annotation in get_type_hints(group, include_extras=True).items():
                add(name, annotation, group.__dataclass_fields__[name].default)
        else:
            add(parameter.name, parameter.annotation, parameter.default)
    add("json", Json, False)
    add("help_all", HelpAll, False)

    def run(*, json: bool, help_all: bool, **given: Any) -> None:
        for name, group in groups.items():
            given[name] = group(**{key: given.pop(key) for key in group.__dataclass_fields__})
        show(function(**given), as_json=json)

    run.__signature__ = inspect.Signature(list(parameters.values()))  # type: ignore[attr-defined]
    run.__annotations__ = {name: param.annotation for name, param in parameters.items()}
    return run


def command_of(name: str, function: Callable[..., Outcome]) -> Any:
    """Return a function as a command of typer, with its parameters."""
    app = typer.Typer(add_completion=False)
    app.command(name, cls=Command)(with_options(function))
    return typer.main.get_command(app)
