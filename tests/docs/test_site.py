"""The site builds without a warning and asks no other server for anything."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from markdown_pages import ROOT

pytest.importorskip("material", reason="the site needs the extra cml-fast[docs]")
pytest.importorskip("mkdocstrings", reason="the site needs the extra cml-fast[docs]")

# What a page loads; links that a reader may follow are not among these.
_LOADED = re.compile(
    r'<(?:script|img|iframe)[^>]* src="(?P<src>[^"]+)"|<link[^>]* href="(?P<href>[^"]+)"'
)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder


def test_pages_load_nothing_from_other_servers(site: Path) -> None:
    pages = sorted(site.rglob("*.html"))
    assert len(pages) > 20
    for page in pages:
        for match in _LOADED.finditer(page.read_text()):
            assert "//" not in (match["src"] or match["href"]), page


@pytest.mark.parametrize(
    ("page", "names"),
    [
        ("api/trainer.html", ["Trainer.fit", "Trainer.resume", "ema_decay"]),
        ("api/model.html", ["Model.recommend_from_vectors", "Model.fold_in_users"]),
        (
            "api/data.html",
            ["load_interactions", "Interactions.from_arrays", "split_by_time", "synthetic"],
        ),
    ],
)
def test_the_reference_comes_from_the_docstrings(site: Path, page: str, names: list[str]) -> None:
    text = (site / page).read_text()
    assert [name for name in names if name not in text] == []


def test_docstrings_have_no_markup_that_markdown_shows_as_text(site: Path) -> None:
    """reStructuredText's roles and tables, which the reference would print as they are."""
    for page in sorted((site / "api").glob("*.html")):
        assert re.findall(r":(?:meth|func|class|attr):|={5,}", page.read_text()) == [], page
