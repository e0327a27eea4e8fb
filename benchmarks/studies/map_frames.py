"""How smoothly the page of a map moves: frames a second, the longest frame, and what a frame costs.

    python -m benchmarks.studies.map_frames build/maps/*-tsne.html

Headless Chromium without a GPU opens each page, and is given a drag of the mouse, then turns of the
wheel, as a person's come to it: when all of the map is seen, from nearer, and from near. Frames are
those that are drawn while the map moves; one that is drawn at rest may take longer. On a machine
that does other work, the CPU-milliseconds of a frame, of all processes of the browser, say more
than frames a second. Pages are opened in turn, in as many rounds as wanted; the best of each figure
counts, which other work disturbed least.
"""

from __future__ import annotations

import argparse
import itertools
import os
import re
import sys
import time
from pathlib import Path
from typing import Any

from ..common import chromium, results_file

MODULE = "benchmarks.studies.map_frames"
VIEWS = {"all": 1, "nearer": 6, "near": 40}
SECONDS = 3
STEP, TURN = 6, 25  # pixels of a move of the mouse; moves before it turns back
TURNS_OF_WHEEL, WHEEL_SPEED = 500, 500  # pixels, and pixels a second: three times as near, and back
TICK = os.sysconf("SC_CLK_TCK")

_LOOK = """
const [scale] = arguments;
const { camera } = app.plots.learned;
const place = app.plots.learned.placeOf({ kind: "item", row: 7 });
camera.all();
if (scale > 1) { Object.assign(camera, place, { scale }); camera.tell(true); }
const box = document.getElementById("learned").getBoundingClientRect();
return [Math.round(box.left + box.width / 2), Math.round(box.top + box.height / 2)];
"""
_HEAR = """
globalThis.heard = [];
globalThis.hearing ??= app.plots.learned.scatter.subscribe(
  "drawing", () => heard.push([performance.now(), app.plots.learned.pane.matches(".moving")]));
"""


def drag(driver: Any, x: int, y: int) -> None:
    """Drag to and fro, one move of the mouse a frame: each waits until the page has seen it."""

    def mouse(kind: str, pressed: int) -> None:
        event = {"type": kind, "x": x, "y": y, "button": "left", "buttons": pressed}
        driver.execute_cdp_cmd("Input.dispatchMouseEvent", {**event, "clickCount": 1})

    mouse("mousePressed", 1)
    end = time.monotonic() + SECONDS
    moves = 0
    while time.monotonic() < end:
        x += STEP if moves // TURN % 2 else -STEP
        mouse("mouseMoved", 1)
        moves += 1
    mouse("mouseReleased", 0)


def wheel(driver: Any, x: int, y: int) -> None:
    """Zoom in and out again."""
    for way in (1, -1):
        gesture = {"x": x, "y": y, "yDistance": way * TURNS_OF_WHEEL, "speed": WHEEL_SPEED}
        source = {"gestureSourceType": "mouse", "preventFling": True}
        driver.execute_cdp_cmd("Input.synthesizeScrollGesture", {**gesture, **source})


GESTURES = {"drag": drag, "wheel": wheel}


def cpu_seconds(pid: int) -> float:
    """Of all that chromedriver has started: the processes of the browser."""
    tasks = Path(f"/proc/{pid}/task").glob("*/children")
    children = [int(child) for task in tasks for child in task.read_text().split()]
    total = 0.0
    for child in children:
        fields = Path(f"/proc/{child}/stat").read_text().rsplit(")", 1)[1].split()
        total += (int(fields[11]) + int(fields[12])) / TICK + cpu_seconds(child)
    return total


def measured(driver: Any, gesture: str, scale: float) -> dict[str, float]:
    """Of one gesture, from one view."""
    x, y = driver.execute_script(_LOOK, scale)
    time.sleep(1)  # until it rests
    pid = driver.service.process.pid
    driver.execute_script(_HEAR)
    before = cpu_seconds(pid)
    GESTURES[gesture](driver, x, y)
    heard = driver.execute_script("return heard")
    spent = cpu_seconds(pid) - before
    gaps = [
        after - earlier
        for (earlier, moving), (after, still) in itertools.pairwise(heard)
        if moving and still
    ]
    return {
        "frames a second": round(1000 * len(gaps) / sum(gaps), 1),
        "longest frame in ms": round(max(gaps)),
        "CPU-ms of a frame": round(1000 * spent / len(heard), 1),
    }


def moved(page: Path, views: dict[str, float]) -> dict[str, dict[str, float]]:
    """Open a page and move it in all ways."""
    with chromium.browser() as driver:
        chromium.open_map(driver, page)
        time.sleep(1)
        found = {
            f"{gesture}, {view}": measured(driver, gesture, scale)
            for view, scale in views.items()
            for gesture in GESTURES
        }
        if chromium.messages(driver):
            raise SystemExit(f"{page}: the page wrote to the console")
    return found


def best(rounds: list[dict[str, dict[str, float]]]) -> dict[str, dict[str, float]]:
    """Of each figure of some rounds."""
    return {
        way: {
            name: (max if re.match("frames", name) else min)(one[way][name] for one in rounds)
            for name in figures
        }
        for way, figures in rounds[0].items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("pages", nargs="+", type=Path, help="pages that Model.map has written")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    reason = chromium.missing()
    if reason:
        raise SystemExit(reason)
    rounds: dict[str, list[dict[str, dict[str, float]]]] = {page.stem: [] for page in args.pages}
    for at in range(args.rounds):
        for page in args.pages:
            rounds[page.stem].append(moved(page, VIEWS))
            print(at, page.stem, rounds[page.stem][-1], file=sys.stderr, flush=True)
    details = {
        "versions": results_file.versions(("selenium",)),
        "rounds": args.rounds,
        "load of the machine": [round(value, 1) for value in os.getloadavg()],
        "results": {page: best(found) for page, found in rounds.items()},
    }
    print(f"written: {results_file.write(MODULE, details, args.out)}", file=sys.stderr)


if __name__ == "__main__":
    main()
