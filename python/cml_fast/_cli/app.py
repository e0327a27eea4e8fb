"""The command ``cml-fast``: its options and its exit codes."""

from __future__ import annotations

import json
import os
import sys
import warnings
from collections.abc import Sequence

from .. import __version__
from ..errors import DataError, DeviceUnavailable, ModelError, TrainingDiverged
from .commands import COMMANDS
from .output import note
from .parsing import Parser

_EPILOG = """\
Results go to stdout, progress and messages to stderr. Exit codes:
  0    success
  1    training diverged, or an unexpected failure
  2    wrong usage: an option, its value, or an id that the model does not have
  3    a file, a folder or a model that cannot be read, used or written
  4    the device asked for is not available
  130  interrupted
  141  the reader of the output went away

example, without any data of your own:
  cml-fast demo
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command, print its result, and return the exit code."""
    try:
        args = _parser().parse_args(argv)
        with warnings.catch_warnings():
            warnings.simplefilter("always", UserWarning)
            warnings.showwarning = lambda message, *_: note(f"warning: {message}")
            result, text = args.run(args)
        print(json.dumps(result, indent=2) if args.json else text, flush=True)
    except BrokenPipeError:
        # Python flushes stdout once more at exit, and would complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except KeyboardInterrupt:
        note("interrupted")
        return 130
    except Exception as error:
        code, message = _explain(error)
        note(f"error: {message}")
        return code
    return 0


def _explain(error: Exception) -> tuple[int, str]:
    """Return the exit code and the message for an error."""
    match error:
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
    return 1, f"unexpected {type(error).__name__}: {error}"


def _parser() -> Parser:
    parser = Parser(
        prog="cml-fast",
        description="Recommendations by Collaborative Metric Learning (Hsieh et al., WWW 2017):\n"
        "users and items become points, and the items near a user are recommended.",
        epilog=_EPILOG,
    )
    parser.add_argument("--version", action="version", version=f"cml-fast {__version__}")
    subparsers = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in COMMANDS:
        added = subparsers.add_parser(
            command.name,
            help=command.help,
            description=f"{command.help[0].upper()}{command.help[1:]}.",
            epilog=f"example:\n  cml-fast {command.name} {command.example}",
        )
        added.add_argument("--json", action="store_true", help="print one JSON document")
        added.set_defaults(run=command.run)
        command.add_options(added)
    return parser
