"""The page in a real browser: nothing is loaded, nothing fails, and it fits a phone."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from reports import fitted, map_like

from benchmarks.common.chromium import browser, missing
from cml_fast.data import Interactions
from cml_fast.report import write_report

pytestmark = pytest.mark.slow
PHONE, SCREEN = 390, 1400


def in_years(part: Interactions) -> Interactions:
    """The same likes, spread over 22 years."""
    years = np.arange("1995", "2017", dtype="datetime64[Y]").astype("datetime64[us]")
    times = np.resize(years, part.matrix.nnz)
    return Interactions(part.matrix, part.user_ids, part.item_ids, times)


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    model, train, validation, test = fitted()
    out = tmp_path_factory.mktemp("report") / "report.html"
    # As hard as a page may get: 22 years, and a name without a space.
    train, test = (in_years(part) for part in (train, test))
    names = {model.item_ids[0]: "x" * 200}
    drawn = out.with_name("map.html")
    drawn.write_text(map_like())
    given = {"exclude": validation, "names": names, "map_page": drawn}
    write_report(model, train, test, out=out, **given)
    return out.as_uri()


@pytest.fixture(params=[PHONE, SCREEN])
def driver(request: pytest.FixtureRequest, address: str) -> Iterator[Any]:
    reason = missing()
    if reason is not None:
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    with browser(request.param, 900, phone=request.param == PHONE) as started:
        started.get(address)
        opened = "document.querySelectorAll('figure details').forEach(one => one.open = true)"
        started.execute_script(opened)
        yield started


def test_nothing_fails_and_nothing_is_loaded(driver: Any) -> None:
    assert driver.get_log("browser") == []
    assert driver.execute_script("return performance.getEntriesByType('resource').length") == 0


def test_the_map_is_loaded_when_it_is_opened(driver: Any) -> None:
    frame = driver.find_element("css selector", "iframe")
    assert driver.execute_script("return arguments[0].srcdoc", frame) == ""
    driver.find_element("css selector", "details.map summary").click()
    driver.switch_to.frame(frame)
    driver.implicitly_wait(20)
    body = driver.find_element("xpath", "//body[contains(., 'ran')]")
    assert body.text == 'the "map" & its <b>script</b> ran'
    assert driver.get_log("browser") == []


def test_it_fits_the_screen(driver: Any) -> None:
    width, content = driver.execute_script(
        "const page = document.documentElement; return [page.clientWidth, page.scrollWidth]"
    )
    assert width <= SCREEN and content <= width
    # Charts fill the page, and their texts keep the size at which they can be read.
    sizes = driver.execute_script(
        """
        return [...document.querySelectorAll('svg')].map(svg => [
          svg.clientWidth, svg.parentElement.clientWidth,
          parseFloat(getComputedStyle(svg.querySelector('text')).fontSize)
        ])
        """
    )
    assert len(sizes) >= 8
    assert all(chart == page and font >= 12 for chart, page, font in sizes)


def test_labels_do_not_cover_each_other(driver: Any) -> None:
    covered = driver.execute_script(
        """
        const clashes = [];
        for (const svg of document.querySelectorAll('svg')) {
          const labels = [...svg.querySelectorAll('text.middle')];
          const boxes = labels.map(label => label.getBoundingClientRect());
          boxes.sort((a, b) => a.left - b.left);
          for (let i = 1; i < boxes.length; i++)
            if (boxes[i].left < boxes[i - 1].right) clashes.push(svg.getAttribute('aria-label'));
        }
        return clashes;
        """
    )
    assert covered == []


def test_light_and_dark(driver: Any) -> None:
    def colours(scheme: str) -> tuple[str, ...]:
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
        return tuple(
            driver.execute_script(
                "return [getComputedStyle(document.body).backgroundColor,"
                "getComputedStyle(document.querySelector('svg text')).fill]"
            )
        )

    light, dark = colours("light"), colours("dark")
    assert light[0] == "rgb(255, 255, 255)" and dark[0] == "rgb(20, 22, 27)"
    assert light[1] != dark[1]


def test_it_can_be_printed(driver: Any, tmp_path: Path) -> None:
    printed = driver.execute_cdp_cmd("Page.printToPDF", {})
    assert len(printed["data"]) > 10_000
