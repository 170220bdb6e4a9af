"""The page in a headless Chromium, served by a local server that notes every request."""

import base64
import functools
import http.server
import io
import re
import threading

import numpy as np
import pytest
from PIL import Image

from srgan_tf.evaluation.records import Pictures, Score
from srgan_tf.evaluation.report.figures import region
from srgan_tf.evaluation.report.page import write_page

EVIL = "</script><script>document.title='evil'</script><img src=x onerror=\"document.title='evil'\">&amp;{{facts}}"
RED, BLUE = (255, 0, 0), (0, 0, 255)


def plain(color, height=200, width=300):
    return np.full((height, width, 3), color, np.uint8)


def spotted():
    picture = plain(BLUE)
    picture[20:84, 200:264] = 255
    return picture


def pictures():
    error = np.float32([0, 2, 9, 11, 20, 40]).repeat(50)[None].repeat(200, 0)
    return [
        Pictures("Set5", "first", None, {"red": plain(RED), "blue": spotted(), EVIL: plain(0)}, {EVIL: error}),
        Pictures("Set5", EVIL, None, {"blue": plain(BLUE, 50, 20), "red": plain(RED, 50, 20)}),
        Pictures(EVIL, "last", None, {"red": plain(RED)}),
    ]


ROWS = [
    Score("Set5", None, "a10", {"psnr": 9.5, "lpips": 0.5}),
    Score("Set5", None, "a9", {"psnr": 10.25, "lpips": 0.25}),
    Score("Set5", None, "unknown", {"psnr": None, "lpips": 0.75}, published=True),
    Score("Set5", None, EVIL, {"psnr": float("inf"), "lpips": None}),
]
SCORES = [Score("Set5", "first", "red", {"psnr": 12.345}), Score("Set5", EVIL, EVIL, {"psnr": 1.0})]
FACTS = {"protocol": EVIL, "versions": {"keras": "3.15", "systems": ["one", EVIL]}}


def written(shown, **options):
    file = io.StringIO()
    loaded = [(item, layers, region(layers)) for item, layers in ((item, item.load()) for item in shown)]
    left_out = write_page(file, f"Title {EVIL}", ROWS, SCORES, loaded, FACTS, **options)
    return file.getvalue(), left_out


def test_pictures_are_embedded_without_loss():
    noise = np.random.default_rng(0).integers(0, 256, (30, 40, 3), np.uint8)
    long = np.random.default_rng(1).integers(0, 256, (1, 16384, 3), np.uint8)  # more than WebP can hold
    html, _ = written([Pictures("", "p", None, {"noise": noise}), Pictures("", "q", None, {"long": long})])
    found = re.findall(r'<script type="text/plain" id="image-\d-0">data:image/(\w+);base64,(.*?)</script>', html)
    assert [kind for kind, _ in found] == ["webp", "png"]
    for (_, text), image in zip(found, (noise, long)):
        with Image.open(io.BytesIO(base64.b64decode(text))) as embedded:
            np.testing.assert_array_equal(np.asarray(embedded.convert("RGB")), image)


def test_pictures_beyond_the_limit_are_left_out_and_named(monkeypatch):
    monkeypatch.setattr("srgan_tf.evaluation.report.page.MAX_BYTES", 3000)
    noise = np.random.default_rng(0).integers(0, 256, (30, 40, 3), np.uint8)
    large, small = Pictures("s", "large", None, {"a": noise}), Pictures("s", "small", None, {"a": noise[:2]})
    html, left_out = written([large, small])
    assert left_out == ["s / large"]
    assert html.count('id="image-') == 1 and '"leftOut": ["s / large"]' in html


# --- in the browser


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """Yields the page's address and the list of requests made."""
    folder = tmp_path_factory.mktemp("page")
    html, _ = written(pictures(), notes=["A note."])
    (folder / "index.html").write_text(html, encoding="utf-8")
    requests = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def end_headers(self):
            self.send_header("Cache-Control", "no-store")  # so that each opening is a request
            super().end_headers()

        def log_message(self, form, *values):
            requests.append(values[0])

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=folder)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/index.html", requests
        server.shutdown()


class Page:
    """The page in the browser: what a user does and sees."""

    def __init__(self, driver):
        self.driver = driver

    def find(self, selector):
        return self.driver.find_element("css selector", selector)

    def run(self, script, *values):
        return self.driver.execute_script(script, *values)

    def do(self):
        from selenium.webdriver import ActionChains

        return ActionChains(self.driver, duration=20)

    def keys(self, *names):
        from selenium.webdriver import Keys

        self.do().send_keys(*(getattr(Keys, name, name) for name in names)).perform()

    def focus(self, selector):
        self.run("document.querySelector(arguments[0]).focus()", selector)

    def send(self, command, **values):
        return self.driver.execute_cdp_cmd(command, values)

    def choose(self, identity, text):
        from selenium.webdriver.support.select import Select

        Select(self.find(f"#{identity}")).select_by_visible_text(text)

    def boxes(self):
        """Both pictures on the screen: left, top, width, height in CSS pixels."""
        return self.run(
            "return ['left', 'right'].map((id) => { const box = document.getElementById(id).getBoundingClientRect();"
            " const stage = document.getElementById('viewer').getBoundingClientRect();"
            " return [box.left - stage.left, box.top - stage.top, box.width, box.height]; })"
        )

    def box(self):
        """The place of the pictures, which must be in step."""
        left, right = self.boxes()
        assert left == right
        return np.array(left)

    def stage(self):
        return np.array(self.run("const v = document.getElementById('viewer'); return [v.clientWidth, v.clientHeight]"))

    def color(self, x, y):
        """What is seen at a part of the viewer's width and height."""
        with Image.open(io.BytesIO(self.find("#viewer").screenshot_as_png)) as image:
            return image.convert("RGB").getpixel((int(x * image.width), int(y * image.height)))

    def split(self):
        return int(self.find("#divider").get_attribute("aria-valuenow"))

    def column(self, table, number):
        return self.run(
            "return [...document.querySelectorAll('table')[arguments[0]].tBodies[0].rows]"
            ".map((row) => row.cells[arguments[1]].firstChild.textContent.trim())",
            table,
            number,
        )


@pytest.fixture
def page(driver, server):
    """The page as it opens at 1000 x 800; it must stay without a message on the console."""
    address, requests = server
    requests.clear()
    page = Page(driver)
    page.send("Emulation.setDeviceMetricsOverride", width=1000, height=800, deviceScaleFactor=1, mobile=False)
    driver.get(address)
    page.choose("left-system", "red")
    page.choose("right-system", "blue")
    yield page
    assert driver.get_log("browser") == []
    assert requests == ["GET /index.html HTTP/1.1"]
    assert page.run("return performance.getEntriesByType('resource').map((entry) => entry.name)") == []
    assert page.run("return document.title").startswith("Title </script>")


def test_the_line_follows_the_mouse(page):
    assert page.split() == 50
    assert (page.color(0.3, 0.9), page.color(0.7, 0.9)) == (RED, BLUE)
    page.do().drag_and_drop_by_offset(page.find("#divider"), round(0.3 * page.stage()[0]), 0).perform()
    assert page.split() == 80
    assert (page.color(0.7, 0.9), page.color(0.85, 0.9)) == (RED, BLUE)


def test_the_line_follows_the_keyboard(page):
    page.focus("#divider")
    for keys, split in (
        (["ARROW_LEFT", "ARROW_DOWN"], 48),
        (["ARROW_RIGHT", "ARROW_UP", "ARROW_UP"], 51),
        (["PAGE_UP"], 61),
        (["PAGE_DOWN", "PAGE_DOWN"], 41),
        (["END", "ARROW_RIGHT"], 100),
        (["HOME", "ARROW_LEFT"], 0),
    ):
        page.keys(*keys)
        assert page.split() == split
    assert page.color(0.02, 0.9) == BLUE
    assert page.find("#divider").get_attribute("aria-valuetext") == "0 % red, the rest blue"


def test_zoom_and_pan_keep_the_pictures_in_step(page):
    width, height = page.stage()
    fitted = page.box()
    assert fitted[2] / fitted[3] == pytest.approx(1.5) and fitted[3] == pytest.approx(height, abs=1)
    page.focus("#viewer")
    page.keys("+")
    zoomed = page.box()
    np.testing.assert_allclose(zoomed[2:], fitted[2:] * 1.5, rtol=1e-3)
    np.testing.assert_allclose(zoomed[:2] + zoomed[2:] / 2, [width / 2, height / 2], atol=1)
    page.keys("ARROW_LEFT", "ARROW_UP")
    np.testing.assert_allclose(page.box() - zoomed, [48, 48, 0, 0], atol=0.1)
    page.do().move_to_element_with_offset(page.find("#viewer"), 100, 100).click_and_hold().move_by_offset(
        -30, -20
    ).release().perform()
    np.testing.assert_allclose(page.box() - zoomed, [18, 28, 0, 0], atol=0.1)
    page.keys(*["ARROW_RIGHT"] * 40)
    assert page.box()[0] + page.box()[2] == pytest.approx(width, abs=0.5)  # its edge, and no further
    page.keys("1")
    np.testing.assert_allclose(page.box()[2:], [300, 200])
    page.keys("0")
    np.testing.assert_allclose(page.box(), fitted, atol=0.1)


def test_wheel_and_double_click_zoom_at_the_pointer(page):
    from selenium.webdriver.common.actions.wheel_input import ScrollOrigin

    viewer, (width, height) = page.find("#viewer"), page.stage()
    fitted = page.box()
    page.run("window.scrollTo(0, 0)")
    origin = ScrollOrigin.from_element(viewer, 90, 60)
    page.do().scroll_from_origin(origin, 0, -100).perform()
    np.testing.assert_array_equal(page.box(), fitted)  # the page scrolls until the picture has the focus
    page.focus("#viewer")
    page.do().scroll_from_origin(origin, 0, -400).perform()
    page.do().move_to_element_with_offset(viewer, 90, 60).double_click().perform()
    pointer = np.array([width / 2 + 90, height / 2 + 60])
    zoomed = page.box()
    np.testing.assert_allclose(zoomed[2:], fitted[2:] * 4, rtol=1e-3)
    np.testing.assert_allclose((pointer - zoomed[:2]) / zoomed[2:], (pointer - fitted[:2]) / fitted[2:], atol=0.005)


def test_touch_pinches_pans_and_moves_the_line(page):
    page.send("Emulation.setTouchEmulationEnabled", enabled=True, maxTouchPoints=2)
    page.run("document.getElementById('viewer').scrollIntoView()")
    left, top = page.run("const b = document.getElementById('viewer').getBoundingClientRect(); return [b.left, b.top]")

    def touch(kind, *points):
        points = [{"x": left + x, "y": top + y, "id": number} for number, (x, y) in enumerate(points)]
        page.send("Input.dispatchTouchEvent", type=kind, touchPoints=points)

    page.focus("#viewer")
    page.keys("+")  # a picture that fits stays in the middle
    start, (width, height) = page.box(), page.stage()
    touch("touchStart", (200, 200))
    touch("touchStart", (200, 200), (300, 200))
    for spread in range(10, 51, 10):
        touch("touchMove", (200 - spread, 200), (300 + spread, 200))
    touch("touchEnd")
    zoomed = page.box()
    np.testing.assert_allclose(zoomed[2:], start[2:] * 2, rtol=1e-3)
    np.testing.assert_allclose((np.array([250, 200]) - zoomed[:2]) / 2, np.array([250, 200]) - start[:2], atol=1)
    touch("touchStart", (200, 200))
    touch("touchMove", (230, 240))
    touch("touchEnd")
    np.testing.assert_allclose(page.box() - zoomed, [30, 40, 0, 0], atol=0.5)
    touch("touchStart", (width / 2, height / 2))
    touch("touchMove", (width / 4, height / 2))
    touch("touchEnd")
    assert page.split() == 25
    page.send("Emulation.setTouchEmulationEnabled", enabled=False)


def test_the_region_where_they_differ_comes_to_the_middle(page):
    page.find("#differ").click()
    left, top, width, height = page.box()
    place = [left + (200 + 32) / 300 * width, top + (20 + 32) / 200 * height]
    stage = page.stage()
    assert place[0] == pytest.approx(stage[0] / 2, abs=1)
    assert 0 < place[1] < stage[1] and width / 300 > 4


def test_choosing_systems_and_pictures(page):
    page.find("#swap").click()
    assert (page.color(0.3, 0.9), page.color(0.7, 0.9)) == (BLUE, RED)
    assert page.find("#right-scores").text == "red: PSNR dB 12.35"  # Python rounds 12.345 as its double: up
    page.find("#next").click()
    assert page.find("#left-chip").text == "blue" and page.find("#right-chip").text == "red"
    assert page.box()[2] / page.box()[3] == pytest.approx(0.4)
    assert page.find("#left").get_attribute("alt") == f"Set5 / {EVIL} by blue"
    page.find("#next").click()
    assert page.find("#left-chip").text == "red" and page.find("#right-chip").text == "red"
    page.find("#next").click()
    assert page.find("#picture").get_attribute("value") == "0"
    groups = page.run("return [...document.querySelectorAll('optgroup')].map((group) => group.label)")
    assert groups == ["Set5", EVIL]


def test_tables_sort_by_mouse_and_keyboard(page):
    heads = page.run("return [...document.querySelectorAll('table')[0].tHead.querySelectorAll('button')]")
    assert [head.text for head in heads] == ["system", "PSNR dB", "LPIPS"]
    ascending = ["a10", "a9", "unknown", EVIL]
    assert page.column(0, 0) == ascending
    heads[1].click()  # the best first, and what is not known last
    assert page.column(0, 0) == [EVIL, "a9", "a10", "unknown"]
    heads[1].click()
    assert page.column(0, 0) == ["a10", "a9", EVIL, "unknown"]
    assert page.run("return arguments[0].parentNode.getAttribute('aria-sort')", heads[1]) == "ascending"
    page.run("arguments[0].focus()", heads[2])
    page.keys("ENTER")
    assert page.column(0, 0) == ["a9", "a10", "unknown", EVIL]
    page.keys("SPACE")
    assert page.column(0, 0) == ["unknown", "a10", "a9", EVIL]
    assert page.run("return document.querySelectorAll('[aria-sort]').length") == 1
    heads[0].click()
    assert page.column(0, 0)[1:] == ["a9", "a10", "unknown"]  # by number within words


def test_names_are_shown_as_they_are(page):
    assert page.find("h1").text == f"Title {EVIL}"
    assert page.column(0, 0)[3] == EVIL
    assert EVIL in page.find("#facts").text and "A note." in page.find("#scores").text
    assert page.run("return document.querySelectorAll('[onerror], img[src=x]').length") == 0
    assert page.run("return [...document.querySelectorAll('#right-system option')][2].text") == EVIL


def test_the_map_of_what_is_invented_is_an_image_with_a_legend(page):
    assert not page.find("#legend").is_displayed()
    page.choose("right-system", f"{EVIL}, invented")
    page.focus("#divider")
    page.keys("HOME")
    viridis = {0.08: (68, 1, 84), 0.75: (253, 231, 37), 0.92: (253, 231, 37)}  # of 0, 20 and 40, as published
    assert {x: page.color(x, 0.9) for x in viridis} == viridis
    assert page.find("#right-scores").text == f"{EVIL}, invented: 50 % high (above 10), 33 % low (below 3)"
    legend = page.find("#legend")
    assert "expected error in levels of 255, low below 3, high above 10" in legend.text
    bar, *labels = page.run(
        "return [...document.querySelectorAll('.bar img, .bar span')].map((each) => {"
        " const box = each.getBoundingClientRect(); return [box.left, box.right, each.textContent]; })"
    )
    assert [label[2] for label in labels] == ["0", "3", "10", "20 or more"]
    left, width = bar[0], bar[1] - bar[0]
    assert labels[0][0] == left and labels[3][1] == pytest.approx(bar[1], abs=1)
    for (start, end, _), level in zip(labels[1:3], (3, 10)):
        assert (start + end) / 2 == pytest.approx(left + width * level / 20, abs=1)
    page.find("#next").click()
    assert not legend.is_displayed()  # this image has no map


def test_everything_has_a_name_and_its_place_in_the_focus_order(page):
    nodes = page.send("Accessibility.getFullAXTree")["nodes"]
    named = {"button", "combobox", "slider", "image", "table", "region"}
    seen = {}
    for node in nodes:
        role = node.get("role", {}).get("value")
        if role in named and not node.get("ignored"):
            seen.setdefault(role, []).append(node.get("name", {}).get("value", ""))
    assert {"button", "combobox", "slider", "image", "region"} <= seen.keys()
    assert {role: names for role, names in seen.items() if not all(names)} == {}
    assert seen["slider"] == ["Line between red and blue"]
    order = []
    page.run("document.activeElement.blur(); window.scrollTo(0, 0)")
    page.focus("#picture")
    for _ in range(12):
        order.append(page.run("return document.activeElement.id"))
        page.keys("TAB")
    assert order == [
        "picture",
        "previous",
        "next",
        "left-system",
        "right-system",
        "swap",
        "viewer",
        "divider",
        "fit",
        "pixels",
        "out",
        "in",
    ]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_narrow_screens_and_both_color_schemes(page, scheme):
    page.send("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
    page.send("Emulation.setDeviceMetricsOverride", width=360, height=740, deviceScaleFactor=1, mobile=True)
    page.find("summary").click()
    assert page.run("return [document.documentElement.scrollWidth, innerWidth]") == [360, 360]
    colors = page.run("const s = getComputedStyle(document.documentElement); return [s.backgroundColor, s.color]")
    paper, ink = (np.mean([int(part) for part in re.findall(r"\d+", color)[:3]]) for color in colors)
    assert paper - ink > 150 if scheme == "light" else ink - paper > 150
    sizes = page.run("return [...document.querySelectorAll('main > #compare button')].map((b) => b.offsetHeight)")
    assert min(sizes) >= 44  # pixels, for a finger
    page.send("Emulation.setEmulatedMedia", features=[])


def test_paper_shows_the_whole_image_and_whole_tables(page):
    page.run(
        "matchMedia('print').addEventListener('change', (event) => { if (event.matches) window.printed = {"
        " image: document.getElementById('left').getBoundingClientRect().width,"
        " viewer: document.getElementById('viewer').clientWidth,"
        " cut: [...document.querySelectorAll('.scroll')].map((box) => box.scrollWidth - box.clientWidth)}; })"
    )
    page.send("Page.printToPDF", paperWidth=4)  # inches
    printed = page.run("return window.printed")
    assert printed["image"] == pytest.approx(printed["viewer"], abs=1)
    assert max(printed["cut"]) == 0


def test_the_policy_forbids_any_loading(driver, server):
    address, requests = server
    driver.get(address)
    requests.clear()
    refused = driver.execute_async_script(
        "const done = arguments[0], seen = []; document.addEventListener('securitypolicyviolation', (event) => {"
        " seen.push(event.effectiveDirective); if (seen.length === 3) done(seen.sort()); });"
        " new Image().src = '/x.png'; fetch('/x.json').catch(() => {});"
        " document.body.append(Object.assign(document.createElement('script'), {textContent: 'alert(1)'}));"
    )
    assert refused == ["connect-src", "img-src", "script-src-elem"]
    assert requests == []
    driver.get_log("browser")  # the refusals
