"""For mkdocstrings: what the package writes into docstrings and signatures when it is imported.

`Trainer` takes its parameters from the table of hyper-parameters. Griffe reads sources only, and so
would not see them.
"""

from __future__ import annotations

import inspect
from typing import Any

import griffe

MADE_AT_IMPORT = ("cml_fast.trainer.Trainer",)


class MadeAtImport(griffe.Extension):
    """Replace the docstring and the parameters of some classes by those of the imported class."""

    def on_class(self, *, cls: griffe.Class, **kwargs: Any) -> None:
        if cls.path not in MADE_AT_IMPORT:
            return
        imported = griffe.dynamic_import(cls.path)
        cls.docstring = griffe.Docstring(inspect.getdoc(imported) or "", parent=cls)
        parameters = inspect.signature(imported).parameters.values()
        cls.members["__init__"].parameters = griffe.Parameters(
            griffe.Parameter("self"),
            *(
                griffe.Parameter(
                    parameter.name,
                    kind=griffe.ParameterKind.keyword_only,
                    default=repr(parameter.default),
                )
                for parameter in parameters
            ),
        )
