"""Models to serve."""

from __future__ import annotations

import pytest
from support.serving import made_up

from cml_fast import Model


@pytest.fixture(params=["int", "str"])
def kind(request: pytest.FixtureRequest) -> str:
    """The kind of ids."""
    return str(request.param)


@pytest.fixture(params=[None, "exact", "annoy"])
def model(kind: str, request: pytest.FixtureRequest) -> Model:
    """A model with each kind of ids, without and with an index."""
    if request.param is None:
        return made_up(kind)
    if request.param == "annoy":
        pytest.importorskip("annoy")
    return made_up(kind).build_index(request.param)
