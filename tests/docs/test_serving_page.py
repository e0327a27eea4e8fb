"""The answers that the page about serving shows are those of the server."""

from __future__ import annotations

import json
import shlex
from itertools import pairwise
from typing import Any

import pytest
from markdown_pages import ROOT, Block, blocks
from support.asgi import post
from support.serving import need_the_extra
from test_code_blocks import run_python, write_likes

need_the_extra()

from cml_fast.serving import create_app  # noqa: E402

PAGE = ROOT / "docs" / "user-guide" / "serving.md"
ADDRESS = "http://127.0.0.1:8000"


def asked_and_shown() -> list[tuple[Block, Block]]:
    """Each call of curl, and the answer after it."""
    found = blocks(PAGE.read_text())
    return [
        (block, answer)
        for block, answer in pairwise(found)
        if block.text.startswith("curl") and answer.language == "json"
    ]


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What the page serves."""
    folder = tmp_path_factory.mktemp("page")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        write_likes(folder)
        training = next(block for block in blocks(PAGE.read_text()) if block.language == "python")
        run_python(training, str(PAGE), {})
    return create_app(folder / "model", exclude=[folder / "likes.csv"])


def test_all_endpoints_are_shown() -> None:
    addresses = {shlex.split(block.text)[-1] for block, _ in asked_and_shown()}
    assert addresses == {f"{ADDRESS}/{path}" for path in ("recommend", "similar", "fold-in")}


@pytest.mark.parametrize("at", range(len(asked_and_shown())))
def test_answers_are_as_shown(app: Any, at: int) -> None:
    block, shown = asked_and_shown()[at]
    program, option, body, address = shlex.split(block.text)
    assert (program, option) == ("curl", "--json")
    answer = post(app, address.removeprefix(ADDRESS), json.loads(body))[1]
    assert answer == json.loads(shown.text)
