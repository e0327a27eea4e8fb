"""Headless Chromium, driven by selenium: for the tests and measurements of pages.

It draws WebGL without a GPU, by SwiftShader, and is told to connect to nothing.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

PROGRAMS = ("chromium", "chromedriver")
_FLAGS = (
    *("--headless=new", "--no-sandbox", "--no-first-run", "--disable-quic", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update"),
    *("--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--ignore-gpu-blocklist"),
    "--disable-dev-shm-usage",  # which is small in containers
)
_WAIT = 120  # seconds


def missing() -> str | None:
    """What a browser would need that is not there, and how to get it."""
    if find_spec("selenium") is None:
        return "selenium is not installed: pip install cml-fast[browser]"
    for program in PROGRAMS:
        if shutil.which(program) is None:
            return f"{program} is not installed: apt-get install chromium chromium-driver"
    return None


@contextlib.contextmanager
def browser(width: int = 1360, height: int = 860, *, phone: bool = False) -> Iterator[Any]:
    """Yield a driver of selenium; a phone has a touch screen, with two pixels for each."""
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        for flag in (*_FLAGS, f"--window-size={width},{height}", f"--user-data-dir={profile}"):
            options.add_argument(flag)
        if phone:
            metrics = {"width": width, "height": height, "pixelRatio": 2.0, "touch": True}
            options.add_experimental_option("mobileEmulation", {"deviceMetrics": metrics})
        service = webdriver.ChromeService(shutil.which("chromedriver"))
        driver = webdriver.Chrome(options=options, service=service)
        try:
            driver.set_script_timeout(_WAIT)
            yield driver
        finally:
            driver.quit()


def messages(driver: Any) -> list[str]:
    """Take what was written to the console; but that drawing is slow without a GPU is known."""
    found = [entry["message"] for entry in driver.get_log("browser")]
    return [message for message in found if "GL Driver Message (OpenGL, Performance" not in message]


def open_map(driver: Any, path: Path) -> None:
    """Open a map of `Model.map`, and wait until it is drawn."""
    from selenium.webdriver.support.ui import WebDriverWait

    driver.get(path.resolve().as_uri())
    ready = "return Boolean(globalThis.app) || !document.getElementById('failure').hidden"
    WebDriverWait(driver, _WAIT).until(lambda each: each.execute_script(ready))
