"""Public docstrings: every one has an example, and every example gives what it says."""

import doctest

import pytest

from cml_fast import errors, evaluation, metrics, model

MODULES = [errors, evaluation, metrics, model]


def documented(module):
    """The docstrings of the public functions, classes and methods that a module defines."""
    for found in doctest.DocTestFinder(exclude_empty=False).find(module):
        parts = found.name.removeprefix(module.__name__).split(".")[1:]
        if parts and not any(part.startswith("_") for part in parts):
            yield pytest.param(found, id=found.name.removeprefix("cml_fast."))


@pytest.mark.parametrize("found", [test for module in MODULES for test in documented(module)])
def test_examples(found):
    if "annoy" in found.docstring:
        pytest.importorskip("annoy")
    assert "Examples\n" in found.docstring and found.examples, f"{found.name} has no example"
    output = []
    failed, _ = doctest.DocTestRunner().run(found, out=output.append)
    assert not failed, "".join(output)
