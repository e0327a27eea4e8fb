"""The page in a real browser: it is drawn, searched, clicked, and quiet; slow, for `make check`."""

from __future__ import annotations

import os
import struct
import time
import zlib

import numpy as np
import pytest
import scipy.sparse as sp
from pages import content_of, small_model

from benchmarks.common import chromium
from benchmarks.studies import map_frames
from cml_fast.data import Features

pytestmark = pytest.mark.slow

HOSTILE = '</script><img src=x onerror="window.harmed=1">'
# What is asked of the page is there within so many seconds, or a test fails.
PATIENCE = 20


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """A map with all that there can be."""
    model, likes = small_model()
    tags = [f"tag {row // 15}" for row in range(180)]
    names = [HOSTILE, *(f"Song {row}" for row in range(1, 180))]
    matrix = np.eye(12, dtype=np.float32)[np.arange(180) // 15]
    path = tmp_path_factory.mktemp("map") / "map.html"
    model.map(
        path,
        method="pca",
        names=names,
        tags=tags,
        dates=np.arange(1800, 1980),
        likes=likes,
        features=matrix,
        title="Songs & <b>more</b>",
    )
    return path


@pytest.fixture(scope="module")
def programs():
    reason = chromium.missing()
    if reason:
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)


@pytest.fixture(scope="module")
def desktop(programs):
    with chromium.browser() as driver:
        yield driver


@pytest.fixture
def opened(desktop, page):
    """The page, just opened; at the end it has written nothing to the console."""
    chromium.open_map(desktop, page)
    yield desktop
    assert chromium.messages(desktop) == []
    assert desktop.execute_script("return window.harmed") is None


def text_of(driver, selector):
    return driver.find_element("css selector", selector).text


def until(driver, script, *arguments):
    """Wait until a script returns something true; return it."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        found = driver.execute_script(f"return {script}", *arguments)
        if found:
            return found
        time.sleep(0.05)
    pytest.fail(f"in vain: {script}")


def pixels(driver, pane="learned"):
    """The colours of the pixels of a map that are not the ground: how many there are of each."""
    return inked(driver, "Array.from(data.slice(at, at + 3), (value) => value >> 5).join()", pane)


def squares(driver):
    """The squares of the learned map, of 16 pixels, in which there is something."""
    number = (
        "Math.floor(at / 4 / canvas.width / 16) * 1000 + Math.floor((at / 4) % canvas.width / 16)"
    )
    return set(inked(driver, number, "learned"))


def inked(driver, key, pane):
    """Count the pixels of a map that are not the ground, by a key."""
    return driver.execute_script(
        f"""
        const shown = document.querySelector(`#${{arguments[0]}} .points`);
        const canvas = new OffscreenCanvas(shown.width, shown.height);
        const context = canvas.getContext("2d", {{ willReadFrequently: true }});
        context.drawImage(shown, 0, 0);
        const {{ data }} = context.getImageData(0, 0, canvas.width, canvas.height);
        const ground = app.plots[arguments[0]].ground.map((share) => Math.round(255 * share));
        const counts = {{}};
        for (let at = 0; at < data.length; at += 4) {{
          if (ground.some((value, channel) => Math.abs(value - data[at + channel]) > 60)) {{
            const key = {key};
            counts[key] = (counts[key] ?? 0) + 1;
          }}
        }}
        return counts;
        """,
        pane,
    )


def point_at(driver, item, pane="learned"):
    """Where an item is, from the middle of its map."""
    return driver.execute_script(
        """
        const { camera } = app.plots[arguments[1]];
        const place = app.plots[arguments[1]].placeOf({ kind: "item", row: arguments[0] });
        const [x, y] = camera.toScreen(place.x, place.y);
        return [Math.round(x - camera.width / 2), Math.round(y - camera.height / 2)];
        """,
        item,
        pane,
    )


def pointer(driver, item, pane="learned", *, click):
    from selenium.webdriver import ActionChains

    element = driver.find_element("id", pane)
    x, y = point_at(driver, item, pane)
    actions = ActionChains(driver).move_to_element_with_offset(element, x + 3, y + 3)
    actions = actions.pause(0.2).move_to_element_with_offset(element, x, y).pause(0.2)
    (actions.click() if click else actions).perform()


def alone(page):
    """An item that no other point is near to on the map."""
    _, arrays = content_of(page)
    points = arrays["points"].reshape(-1, 2).astype(float)
    others = np.vstack([points, arrays["user points"].reshape(-1, 2)])
    apart = np.linalg.norm(points[:, None] - others[None], axis=2)
    np.fill_diagonal(apart, np.inf)
    return int(apart.min(axis=1).argmax())


def test_it_opens_and_draws_both_maps(opened):
    assert opened.title == "Songs & <b>more</b>"
    assert text_of(opened, "h1") == "Songs & <b>more</b>"
    assert text_of(opened, "#summary") == "180 items · 30 of 30 users · PCA"
    for pane in ("learned", "raw"):
        assert sum(pixels(opened, pane).values()) > 500
    assert len(pixels(opened)) > 8  # the colours of several tags
    assert "tag 0" in text_of(opened, "#legend")


def test_hovering_shows_an_item_on_both_maps(opened, page):
    item = alone(page)
    pointer(opened, item, click=False)
    until(opened, "app.hovered?.row === arguments[0]", item)
    tip = text_of(opened, "#learned .tip")
    likes = content_of(page)[1]["likes"][item]
    assert tip.startswith(f"Song {item}\n") and f"{likes} like" in tip
    assert f"{1800 + item}" in tip and f"tag {item // 15}" in tip
    marks = "document.querySelector('#raw .marks')"
    inked = f"""(() => {{ const c = {marks}; const [x, y] = app.plots.raw.camera.toScreen(
        ...Object.values(app.plots.raw.placeOf({{kind: 'item', row: {item}}})));
        return Array.from(c.getContext('2d').getImageData(x - 9, y - 9, 18, 18).data)
        .filter((value, at) => at % 4 === 3 && value > 0).length; }})()"""
    assert until(opened, inked) > 20


def test_a_click_lists_the_nearest_with_their_distances(opened, page):
    item = alone(page)
    model, _ = small_model()
    pointer(opened, item, click=True)
    until(opened, "app.selection?.thing.row === arguments[0]", item)
    assert text_of(opened, "#panel h2") == f"Song {item}"
    lists = opened.find_elements("css selector", "#panel ol")
    for shown, places, own in zip(
        lists, (model.item_vectors, model.user_vectors), (True, False), strict=True
    ):
        wanted = np.linalg.norm(places - model.item_vectors[item], axis=1)
        if own:
            wanted[item] = np.inf
        rows = shown.text.split("\n")
        names, distances = rows[::2], [float(text) for text in rows[1::2]]
        order = np.argsort(wanted, kind="stable")[: len(names)]
        ids = [f"Song {row}" if row else HOSTILE for row in order] if own else None
        assert names == (ids or [f"user-{row:02}" for row in order])
        np.testing.assert_allclose(distances, wanted[order], atol=0.001)
    lists[0].find_element("css selector", "button").click()  # on to the nearest
    until(opened, "app.selection.thing.row !== arguments[0]", item)


def test_names_are_texts(opened):
    opened.execute_script("app.select({ kind: 'item', row: 0 })")
    assert text_of(opened, "#panel h2") == HOSTILE
    opened.execute_script("app.hover({ kind: 'item', row: 0 }, app.plots.learned)")
    assert text_of(opened, "#learned .tip strong") == HOSTILE
    opened.find_element("id", "search").send_keys("onerror")
    assert text_of(opened, "#results li span") == HOSTILE
    assert opened.find_elements("css selector", "body img") == []


def test_search_by_keyboard(opened):
    from selenium.webdriver.common.keys import Keys

    body = opened.find_element("tag name", "body")
    body.send_keys("/")
    box = opened.find_element("id", "search")
    assert opened.switch_to.active_element == box
    box.send_keys("song 17")
    found = [row.text for row in opened.find_elements("css selector", "#results li")]
    assert len(found) == 9 and found[0].startswith("Song 17\n")
    box.send_keys(Keys.ARROW_DOWN, Keys.ARROW_UP, Keys.ENTER)
    assert text_of(opened, "#panel h2") == "Song 17"
    box.send_keys(Keys.ESCAPE)
    assert box.get_attribute("value") == ""
    box.send_keys("tag 3", Keys.ENTER)
    pressed = opened.find_elements("css selector", "#legend [aria-pressed=true]")
    assert [button.text.split("\n")[0] for button in pressed] == ["tag 3"]
    box.clear()
    box.send_keys("nothing like it")
    assert text_of(opened, "#results") == "Nothing found"
    box.clear()
    box.send_keys("user-07", Keys.ENTER)
    assert text_of(opened, "#panel h2") == "user-07" and "Likes in training" in text_of(
        opened, "#panel"
    )
    opened.execute_script("document.activeElement.blur()")
    body.send_keys(Keys.ESCAPE)
    assert opened.execute_script("return app.selection") is None


def test_the_map_moves_by_keyboard_wheel_and_drag(opened):
    from selenium.webdriver import ActionChains
    from selenium.webdriver.common.keys import Keys

    def camera():
        return opened.execute_script(
            "const { scale, x, y } = app.plots.learned.camera; return { scale, x, y }"
        )

    pane = opened.find_element("id", "learned")
    pane.send_keys("+")
    assert camera()["scale"] == 1.5
    pane.send_keys(Keys.ARROW_LEFT)
    assert camera()["x"] < 0
    pane.send_keys("0")
    assert camera() == {"scale": 1, "x": 0, "y": 0}
    ActionChains(opened).drag_and_drop_by_offset(pane, 80, 40).perform()
    moved = camera()
    assert moved["x"] < 0 < moved["y"]
    assert opened.execute_script("return app.selection") is None  # a drag is no click
    opened.execute_script(
        "document.querySelector('#learned').dispatchEvent(new WheelEvent('wheel', "
        "{ deltaY: -120, clientX: 200, clientY: 300, bubbles: true, cancelable: true }))"
    )
    assert camera()["scale"] > 1.2
    opened.find_element("css selector", "[data-zoom=all]").click()
    assert camera()["scale"] == 1


DRAWN = "!app.plots.learned.isDrawing && !app.plots.raw.isDrawing"


def test_colours_follow_what_is_chosen(opened):
    def choose(name):
        opened.find_element("css selector", f"#colour [value={name}]").click()
        until(opened, f"app.schemeName === arguments[0] && {DRAWN}", name)
        return text_of(opened, "#legend")

    names = [each.get_attribute("value") for each in opened.find_elements("css selector", "option")]
    assert names == ["tag", "cluster", "popularity", "date"]
    assert choose("date").split("\n")[:3] == ["Date", "≤ 1802", "≥ 1977"]
    assert choose("popularity").startswith("Popularity (likes)\n≤ 0\n≥ ")
    before = pixels(opened)
    assert len(choose("cluster").split("\n")) == 2 * 8 + 1
    assert pixels(opened) != before


def test_the_last_of_several_colours_is_drawn(opened):
    """Although the library ignores a drawing that is asked for during another one."""

    def colour(*names):
        one_by_one = "for (const name of arguments) { app.schemeName = name; app.recolour(); }"
        opened.execute_script(one_by_one, *names)
        until(opened, DRAWN)
        return pixels(opened)

    before = pixels(opened)
    assert colour("date", "cluster", "tag") == before
    assert colour("tag", "date") != before


def test_light_and_dark(opened):
    def ground():
        return opened.execute_script("return getComputedStyle(document.body).backgroundColor")

    def prefer(theme):
        features = [{"name": "prefers-color-scheme", "value": theme}]
        opened.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})

    light = ground()
    prefer("dark")
    until(opened, "app.theme === 'dark'")
    dark = ground()
    assert dark == "rgb(17, 19, 21)" and dark != light
    opened.find_element("id", "theme").click()
    assert ground() == light
    prefer("light")


def test_users_can_be_hidden(opened):
    until(opened, "document.querySelector('#legend').textContent.includes('users')")
    opened.find_element("id", "show-users").click()
    assert "users" not in text_of(opened, "#legend")
    assert opened.execute_script("return app.plots.learned.isHidden(0)") is True


def test_on_a_phone(programs, page):
    with chromium.browser(390, 844, phone=True) as driver:
        chromium.open_map(driver, page)
        width = "return [document.documentElement.scrollWidth, innerWidth]"
        assert driver.execute_script(width) == [390, 390]
        assert not driver.find_element("id", "raw").is_displayed()
        driver.find_element("css selector", "[data-pane=raw]").click()
        assert driver.find_element("id", "raw").is_displayed()
        until(driver, "document.querySelector('#raw .points').width >= 780")
        until(driver, "app.plots.raw.surface.last.view")
        assert sum(pixels(driver, "raw").values()) > 500
        driver.find_element("css selector", "[data-pane=learned]").click()
        item = alone(page)
        x, y = point_at(driver, item)
        box = driver.find_element("id", "learned").rect
        place = {"x": box["x"] + box["width"] / 2 + x, "y": box["y"] + box["height"] / 2 + y}
        for kind, points in (("touchStart", [place]), ("touchEnd", [])):
            driver.execute_cdp_cmd(
                "Input.dispatchTouchEvent", {"type": kind, "touchPoints": points}
            )
        until(driver, "app.selection?.thing.row === arguments[0]", item)
        panel = driver.find_element("id", "panel").rect
        assert panel["width"] == 390 and panel["y"] > 844 / 2
        assert chromium.messages(driver) == []


def test_two_fingers_zoom(programs, page):
    with chromium.browser(390, 844, phone=True) as driver:
        chromium.open_map(driver, page)
        for kind, apart in (("touchStart", 20), ("touchMove", 60), ("touchMove", 100)):
            points = [{"x": 195 - apart, "y": 450, "id": 0}, {"x": 195 + apart, "y": 450, "id": 1}]
            driver.execute_cdp_cmd(
                "Input.dispatchTouchEvent", {"type": kind, "touchPoints": points}
            )
        driver.execute_cdp_cmd("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
        assert until(driver, "app.plots.learned.camera.scale > 2")


# Counts what WebGL draws: points, and pictures, which are strips.
COUNT = """
const { gl } = app.plots.learned.surface;
const { drawArrays } = gl;
globalThis.drawn = {};
app.plots.learned.scatter.subscribe("drawing", () => (drawn.frames += 1));
gl.drawArrays = (kind, first, count) => {
  if (kind === gl.POINTS) drawn.points += count; else drawn.pictures += 1;
  drawArrays.call(gl, kind, first, count);
};
"""
# Pictures are for where drawing takes longer than so many milliseconds, and there are more points.
SETTLE = """
app.each((plot) => { plot.surface.slow = arguments[0]; plot.few = arguments[1]; plot.repaint(); });
"""


def settled(driver, slow, few):
    driver.execute_script(SETTLE, slow, few)
    until(driver, "!app.plots.learned.surface.isStale")


def moving(driver, script):
    """Move the map, without an end of the gesture; return what was drawn, and where."""
    begin = "Object.assign(drawn, { frames: 0, points: 0, pictures: 0 });"
    driver.execute_script(f"{begin} const {{ camera }} = app.plots.learned; {script}")
    until(driver, "drawn.frames > 0")
    return driver.execute_script("return drawn"), squares(driver)


def resting(driver):
    driver.execute_script("app.plots.learned.camera.tell(true)")
    until(driver, "!app.plots.learned.surface.isStale")
    return squares(driver)


def alike(some, others):
    """The share of the squares in which there is something that are so in both."""
    return len(some & others) / len(some | others)


def test_pictures_move_where_points_are_slow(opened):
    opened.execute_script(COUNT)
    settled(opened, -1, 10)
    drawn, seen = moving(opened, "camera.pan(90, -40, false)")
    assert (
        drawn["points"] == 0 and drawn["pictures"] == drawn["frames"]
    )  # it was the whole map, in one picture
    assert alike(seen, resting(opened)) > 0.9
    assert opened.execute_script("return drawn.points") >= 210  # at rest all are drawn
    opened.execute_script("app.plots.learned.camera.zoom(1.5)")
    resting(opened)
    settled(opened, -1, 10)
    drawn, seen = moving(opened, "camera.zoom(0.6, undefined, false)")
    assert (
        drawn["points"] == 0 and drawn["pictures"] == 2 * drawn["frames"]
    )  # the whole map is around the last view
    assert alike(seen, resting(opened)) > 0.8


def test_points_are_drawn_in_each_frame_where_that_is_fast(opened):
    opened.execute_script(COUNT)
    settled(opened, 1e9, 10)
    drawn, seen = moving(opened, "camera.pan(90, -40, false)")
    assert drawn["points"] == 210 * drawn["frames"] and drawn["pictures"] == 0
    assert alike(seen, resting(opened)) > 0.99


def test_from_near_the_points_around_are_drawn_alone(opened):
    opened.execute_script(COUNT)
    item = "app.plots.learned.placeOf({ kind: 'item', row: 40 })"
    opened.execute_script(f"Object.assign(app.plots.learned.camera, {item}, {{ scale: 30 }})")
    resting(opened)
    settled(opened, -1, 100)
    until(opened, "app.plots.learned.isNear && !app.plots.learned.surface.isStale")
    drawn, seen = moving(opened, "camera.pan(9, -4, false)")
    assert 0 < drawn["points"] / drawn["frames"] <= 100 and drawn["pictures"] == 0
    assert alike(seen, resting(opened)) > 0.99
    # Where more are seen, there are pictures again; then all points.
    drawn, _ = moving(opened, "camera.zoom(0.03, undefined, false)")
    assert drawn["points"] == 0 and drawn["pictures"] == 2 * drawn["frames"]
    resting(opened)
    assert opened.execute_script("return app.plots.learned.part") is None


def test_the_canvas_costs_little(opened):
    """No blending with the page, and no second antialiasing: each took as long as a frame may."""
    asked = opened.execute_script("return app.plots.learned.surface.gl.getContextAttributes()")
    assert asked["alpha"] is False and asked["antialias"] is False


def test_the_study_of_frames_moves_the_map(programs, page, monkeypatch):
    monkeypatch.setattr(map_frames, "SECONDS", 0.5)
    found = map_frames.moved(page, {"near": 3})
    assert set(found) == {"drag, near", "wheel, near"}
    assert all(value > 0 for figures in found.values() for value in figures.values())


def png(width, height):
    """A white picture."""
    rows = zlib.compress(b"".join(b"\0" + b"\xff" * width for _ in range(height)))
    parts = [(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)), (b"IDAT", rows)]
    chunks = [
        struct.pack(">I", len(content)) + named + struct.pack(">I", zlib.crc32(named))
        for kind, content in [*parts, (b"IEND", b"")]
        for named in [kind + content]
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def test_pictures_are_part_of_the_page(desktop, tmp_path):
    model, _ = small_model()
    (tmp_path / "a.png").write_bytes(png(6, 4))
    path = tmp_path / "map.html"
    model.map(path, images={"item-007": tmp_path / "a.png"}, method="pca")
    (tmp_path / "a.png").unlink()
    chromium.open_map(desktop, path)
    desktop.execute_script("app.select({ kind: 'item', row: 7 })")
    size = "(({ naturalWidth, naturalHeight }) => naturalWidth && [naturalWidth, naturalHeight])"
    assert until(desktop, f"{size}(document.querySelector('#panel img.picture'))") == [6, 4]
    assert chromium.messages(desktop) == []


def test_nothing_can_be_sent(desktop, page):
    chromium.open_map(desktop, page)
    tried = "return fetch('http://127.0.0.1:9/').then(() => 'sent', (error) => String(error))"
    assert "Failed to fetch" in desktop.execute_script(tried)
    messages = chromium.messages(desktop)
    assert messages and all("Content Security Policy" in message for message in messages)


def test_tags_of_features_and_no_users(programs, desktop, tmp_path):
    model, _ = small_model()
    matrix = np.eye(12, dtype=np.float32)[np.arange(180) // 15]
    names = np.array([f"kind {at}" for at in range(12)])
    features = Features(sp.csr_array(matrix), model.item_ids, names)
    model.map(tmp_path / "map.html", tags=features, n_users=0, method="pca")
    chromium.open_map(desktop, tmp_path / "map.html")
    assert text_of(desktop, "#summary") == "180 items · PCA"
    assert not desktop.find_element("id", "users-choice").is_displayed()
    assert "other tags" in text_of(desktop, "#legend")
    desktop.execute_script("app.focusTag(11)")
    assert text_of(desktop, "#legend").startswith("kind ")
    assert chromium.messages(desktop) == []
