"""Public docstrings: all have the sections that they need, and their examples run."""

from __future__ import annotations

import doctest
import inspect
from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import pytest

import cml_fast
from cml_fast import (
    baselines,
    comparison,
    data,
    distributed,
    errors,
    evaluation,
    metrics,
    model_selection,
    report,
)
from cml_fast.integrations.csv_log import CSVLogger
from cml_fast.integrations.implicit import CollaborativeMetricLearning
from cml_fast.integrations.tensorboard import TensorBoardLogger

PUBLIC: dict[str, Any] = {
    **{f"cml_fast.{name}": getattr(cml_fast, name) for name in cml_fast.__all__},
    **{f"cml_fast.data.{name}": getattr(data, name) for name in data.__all__},
    "cml_fast.evaluation.evaluate": evaluation.evaluate,
    "cml_fast.evaluation.Recommender": evaluation.Recommender,
    "cml_fast.comparison.compare": comparison.compare,
    "cml_fast.comparison.Comparison": comparison.Comparison,
    **{f"cml_fast.distributed.{name}": getattr(distributed, name) for name in distributed.__all__},
    "cml_fast.report.write_report": report.write_report,
    **{
        f"cml_fast.baselines.{kind.__name__}": kind
        for kind in (baselines.MostPopular, baselines.RandomItems, baselines.ItemKNN)
    },
    **{
        f"cml_fast.metrics.{name}": getattr(metrics, name)
        for name in metrics.__all__
        if callable(getattr(metrics, name)) and not name.startswith("Of")
    },
    **{
        f"cml_fast.model_selection.{name}": getattr(model_selection, name)
        for name in model_selection.__all__
    },
    **{f"cml_fast.errors.{name}": value for name, value in vars(errors).items() if name[0] != "_"},
}
del PUBLIC["cml_fast.__version__"]
if find_spec("fastapi"):  # cml-fast[server], which the extra for the tests has
    serving = import_module("cml_fast.serving")
    PUBLIC |= {f"cml_fast.serving.{name}": getattr(serving, name) for name in serving.__all__}
# Their methods are those of the tools. The examples of the other adapters, which need their tool,
# are on the page user-guide/other-tools.md.
ADAPTERS: dict[str, Any] = {
    f"{adapter.__module__}.{adapter.__name__}": adapter
    for adapter in (CollaborativeMetricLearning, CSVLogger, TensorBoardLogger)
}


def functions() -> Iterator[tuple[str, Any]]:
    """The public functions, and the public methods of the public classes."""
    for name, value in PUBLIC.items():
        if not inspect.isclass(value):
            yield name, value
        elif not issubclass(value, Exception):
            for attribute, member in inspect.getmembers(value):
                if attribute[0] != "_" and (inspect.isfunction(member) or inspect.ismethod(member)):
                    yield f"{name}.{attribute}", member


FUNCTIONS = dict(functions())
EVERYTHING = {**PUBLIC, **FUNCTIONS, **ADAPTERS}


@pytest.mark.parametrize("name", EVERYTHING)
def test_examples_run(name: str) -> None:
    document = EVERYTHING[name].__doc__ or ""
    for package in ("annoy", "sklearn"):
        if package in document:
            pytest.importorskip(package)
    test = doctest.DocTestParser().get_doctest(document, {}, name, None, None)
    assert test.examples, "there is no example"
    output: list[str] = []
    failed, _ = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(test, out=output.append)
    assert not failed, "".join(output)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_have_their_sections(name: str) -> None:
    """Parameters and results, or the name of the function whose they are."""
    function = FUNCTIONS[name]
    document = inspect.cleandoc(function.__doc__ or "")
    signature = inspect.signature(function)
    refers = "`" in document.split("Examples\n")[0]  # to a function with the same parameters
    parameters = [p for p in signature.parameters if p not in ("self", "cls")]
    if parameters and not refers:
        assert "Parameters\n----------" in document
    if signature.return_annotation not in ("None", None) and not refers:
        assert "Returns\n-------" in document
