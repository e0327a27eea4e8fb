"""The blocks of other-tools.md that need the tools of this environment run as they stand there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from markdown_pages import blocks

# What the page says of a block, and the tool it belongs to.
NEEDS = {
    "needs LensKit": "lenskit",
    "needs RecTools": "rectools",
    "needs Cornac": "cornac",
    "needs implicit": "implicit",
    "needs MLflow": "logging",
    "needs tensorboardX": "logging",
}
HERE = Path(__file__).resolve().parent
FOUND = blocks((HERE / "other-tools.md").read_text())
TOOLS = os.environ["CML_FAST_TOOLS"].split()


@pytest.mark.parametrize("need", [need for need, tool in NEEDS.items() if tool in TOOLS])
def test_the_blocks_run(need: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [block.text for block in FOUND if block.not_run == need]
    assert texts, f"the page has no block that {need}"
    (tmp_path / "ml-latest-small").symlink_to(HERE / "data" / "ml-latest-small")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")  # the store that needs no database
    monkeypatch.setenv("MLFLOW_TRACKING_URI", (tmp_path / "mlruns").as_uri())
    namespace = {"__name__": "__main__"}
    for text in texts:
        exec(compile(text, "other-tools.md", "exec"), namespace)
