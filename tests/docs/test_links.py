"""Links between the pages, to files of the project and to headings lead somewhere."""

from __future__ import annotations

from pathlib import Path

import pytest
from markdown_pages import GENERATED, ROOT, anchors, links, name_of, pages

OTHERS = [ROOT / "CHANGELOG.md", ROOT / "benchmarks" / "README.md", GENERATED]


def broken_links(page: Path) -> list[str]:
    broken = []
    for target in links(page.read_text()):
        if target.startswith(("https://", "http://", "mailto:")):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        exists = file.exists() and file.is_relative_to(ROOT)
        if not exists or (
            anchor and file.suffix == ".md" and anchor not in anchors(file.read_text())
        ):
            broken.append(target)
    return broken


@pytest.mark.parametrize("page", [*pages(), *OTHERS], ids=name_of)
def test_links_lead_to_files_and_headings(page: Path) -> None:
    assert broken_links(page) == []


def test_a_wrong_link_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(broken_links.__globals__, "ROOT", tmp_path)
    page = tmp_path / "page.md"
    page.write_text("# A heading\n[a](page.md#a-heading) [b](page.md#other) [c](none.md) `[d](e)`")
    assert broken_links(page) == ["page.md#other", "none.md"]


def test_the_readme_fits_on_few_screens() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 120
