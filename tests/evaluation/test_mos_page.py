"""The page of a study in a headless Chromium, from the first key to the saved file."""

import json
import re
import time

import numpy as np
import pytest

from srgan_tf.evaluation import mos_page
from srgan_tf.evaluation.mos import opinions, read_raters
from srgan_tf.evaluation.mos_page import write_study
from srgan_tf.evaluation.mos_pairs import preferences
from srgan_tf.system.errors import UserError

EVIL = "</script><script>document.title='evil'</script>{{study}}"
COLORS = {"nearest": (255, 0, 0), "bicubic": (0, 255, 0), EVIL: (0, 0, 255), "HR": (255, 255, 255)}
OWN = {"nearest": 1, "bicubic": 2, EVIL: 4, "HR": 5}  # what the rater thinks of each


def shown(count=2, width=30):
    for number in range(count):
        yield (
            "Set5",
            f"p{number}",
            {name: np.full((40 + number, width, 3), color, np.uint8) for name, color in COLORS.items()},
        )


def test_too_many_pictures_are_refused_and_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.setattr(mos_page, "MAX_BYTES", 300)
    with pytest.raises(UserError, match="per_set"):
        write_study(tmp_path / "page.html", "t", shown())
    with pytest.raises(UserError, match="no images"):
        write_study(tmp_path / "page.html", "t", ())
    assert list(tmp_path.iterdir()) == []


def test_a_picture_whose_name_is_no_text(tmp_path):
    ((_, _, layers),) = shown(1)
    write_study(tmp_path / "page.html", "t", [("Set5", "c\udcff", layers)])
    (study,) = re.findall('id="study">(.*?)</script>', (tmp_path / "page.html").read_text(encoding="utf-8"))
    assert {item["picture"] for item in json.loads(study)["items"]} == {"c\udcff"}


class Rating:
    """What a rater does and sees."""

    def __init__(self, driver):
        self.driver = driver

    def find(self, name):
        return self.driver.find_element("id", name)

    def wait(self, script):
        from selenium.webdriver.support.ui import WebDriverWait

        WebDriverWait(self.driver, 20).until(lambda driver: driver.execute_script(script))

    def all_seen(self):
        """The systems on the screen, by their colours, and the pictures' heights there; waits for other pictures."""
        self.wait("return shown > 0")
        found = self.driver.execute_script(
            "return pictures.map((i) => { const c = document.createElement('canvas');"
            "c.width = c.height = 1; const x = c.getContext('2d'); x.drawImage(i, 0, 0);"
            "return [Array.from(x.getImageData(0, 0, 1, 1).data.slice(0, 3)), i.getBoundingClientRect().height]; })"
        )
        names = {color: name for name, color in COLORS.items()}
        return [(names[tuple(color)], height) for color, height in found]

    def seen(self):
        """The same of the only picture."""
        (found,) = self.all_seen()
        return found

    def key(self, text):
        from selenium.webdriver import ActionChains

        ActionChains(self.driver).send_keys(text).perform()

    def rate(self):
        system, height = self.seen()
        self.key(str(OWN[system]))
        return system, height

    def choose(self):
        """Chooses the better of two; of the second picture the worse, but for that of nearest and HR."""
        (first, height), (second, same) = self.all_seen()
        assert height == same and first != second
        better = OWN[first] > OWN[second]
        if height == 41 and {first, second} != {"nearest", "HR"}:
            better = not better
        from selenium.webdriver import Keys

        self.key(Keys.ARROW_LEFT if better else Keys.ARROW_RIGHT)
        return {first, second}, height

    def open_again(self, address, at):
        """Close the page and open it again until it recalls that place: Chromium stores it in another process, and a
        page that is opened within milliseconds may be ahead of it."""
        from selenium.webdriver.support.ui import WebDriverWait

        def place(driver):
            driver.get("about:blank")
            driver.get(address)
            return driver.execute_script("return state.at")

        WebDriverWait(self.driver, 20).until(lambda driver: place(driver) == at)

    def save(self, button):
        before = set(self.driver.downloads.glob("*.json"))
        self.find(button).click()
        for _ in range(100):
            new = set(self.driver.downloads.glob("*.json")) - before
            if new:
                return new.pop()
            time.sleep(0.1)
        raise AssertionError("nothing was saved")


def test_from_the_first_key_to_the_table(driver, tmp_path):
    from selenium.webdriver import Keys

    assert write_study(tmp_path / "page.html", f"Title {EVIL}", shown()) == 10
    address = (tmp_path / "page.html").as_uri()
    driver.get(address)
    rating = Rating(driver)
    assert driver.title == f"Title {EVIL}" and "10 images" in rating.find("welcome").text
    rating.find("name").send_keys("Ann")
    rating.find("start").click()

    # The calibration first, in its order, with the score that it shall have; each picture at its own size.
    assert rating.seen()[0] == "nearest" and "Rate it 1" in rating.find("hint").text
    rating.key("x9")
    assert rating.find("where").text == "1 of 10"
    first = [rating.rate() for _ in range(2)]
    assert [system for system, _ in first] == ["nearest", "HR"] and first[0][1] == 40
    assert not any(name in driver.find_element("tag name", "main").text for name in COLORS)  # blind

    # Back, to think again; then on in the same order.
    third = rating.rate()
    rating.seen()
    rating.key(Keys.BACKSPACE)
    assert rating.seen() == third and rating.find("scores").find_element("css selector", ".chosen")
    order = [rating.rate(), rating.rate()]
    half = json.loads(rating.save("early").read_text())
    assert len(half["ratings"]) == 4 and half["items"] == 10

    # Closed and opened again, it continues where it was, with the same order and name.
    rating.open_again(address, at=4)
    assert rating.find("start").text == "Continue at 5" and rating.find("name").get_attribute("value") == "Ann"
    rating.find("start").click()
    assert rating.find("where").text == "5 of 10" or rating.seen()
    order += [rating.rate() for _ in range(6)]
    path = rating.save("save")
    assert sorted(order) == sorted((name, 40 + number) for name in COLORS for number in range(2))

    (rater,) = read_raters([path])
    assert (rater.name, rater.calibration) == ("Ann", {"nearest": 1, "HR": 5})
    assert rater.fault() is None and len(rater.ratings) == 8
    assert {opinion.system: opinion.mean for opinion in opinions([rater])} == OWN
    assert [entry for entry in driver.get_log("browser") if entry["level"] == "SEVERE"] == []


def test_pairs_from_the_first_key_to_the_table(driver, tmp_path):
    from selenium.webdriver import Keys

    assert write_study(tmp_path / "page.html", f"Title {EVIL}", shown(width=200), 2) == 13
    address = (tmp_path / "page.html").as_uri()
    driver.get(address)
    rating = Rating(driver)
    assert "13 pairs of images" in rating.find("welcome").text
    assert driver.execute_script("return localStorage.getItem(key)") is None  # a page that only opens changes nothing
    rating.find("start").click()

    # The calibration first, with the one that is to be chosen; side by side.
    original = ["A", "B"][[system for system, _ in rating.all_seen()].index("HR")]
    assert f"{original} is the original" in rating.find("hint").text
    assert rating.find("stage").get_attribute("class") == ""
    rating.key("x1")
    assert rating.find("where").text == "1 of 13"
    rating.key(original.lower())
    asked = [rating.choose()]
    assert rating.find("where").text == "3 of 13" and rating.find("hint").text == "Which image looks better?"
    assert not any(name in driver.find_element("tag name", "main").text for name in COLORS)  # blind

    # Back, to think again; closed and opened again, it continues where it was.
    again = rating.all_seen()
    rating.choose()
    rating.key(Keys.BACKSPACE)
    assert rating.all_seen() == again and rating.find("scores").find_element("css selector", ".chosen")
    rating.open_again(address, at=2)
    rating.find("start").click()
    assert rating.all_seen() == again

    # What does not fit is scrolled at once; on a narrow screen they are one above the other. A pixel of the images is
    # one of the page, and three of the screen.
    driver.execute_script("for (const each of pictures) each.style.width = '3000px'; panes[1].scrollTo(50, 70)")
    rating.wait("return panes[0].scrollLeft === 50 && panes[0].scrollTop === 70")
    screen = {"width": 300, "height": 900, "deviceScaleFactor": 3, "mobile": False}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
    rating.wait("return document.getElementById('stage').className === 'stacked'")
    assert rating.all_seen() == again
    driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})

    asked += [rating.choose() for _ in range(11)]
    path = rating.save("save")
    assert len({(frozenset(systems), height) for systems, height in asked}) == 12

    (rater,) = read_raters([path])
    assert json.loads(path.read_text())["items"] == 13
    assert rater.calibration == "HR" and rater.fault() is None and len(rater.choices) == 12
    found = {preference.system: preference for preference in preferences([rater])}
    assert {name: preference.chosen for name, preference in found.items()} == {
        "HR": 4,
        "bicubic": 3,
        EVIL: 3,
        "nearest": 2,
    }
    assert found["HR"].score == pytest.approx(-found["nearest"].score) and found["HR"].score > 0
    assert [entry for entry in driver.get_log("browser") if entry["level"] == "SEVERE"] == []


def test_each_version_is_on_either_side_for_half_of_the_raters(driver, tmp_path):
    write_study(tmp_path / "page.html", "sides", shown(4), 4)
    driver.get((tmp_path / "page.html").as_uri())
    sides = np.array(driver.execute_script("return Array.from({length: 200}, (_, seed) => arranged(seed)[1])"))
    assert sides.shape == (200, 25) and (abs(sides.mean(0) - 0.5) < 0.15).all()


def test_a_second_rater_in_the_same_browser_starts_anew(driver, tmp_path):
    write_study(tmp_path / "page.html", "two", shown())
    address = (tmp_path / "page.html").as_uri()
    driver.get(address)
    rating = Rating(driver)
    assert not rating.find("earlier").is_displayed()
    rating.find("name").send_keys("Ann")
    rating.find("start").click()
    for _ in range(3):
        rating.rate()
    rating.open_again(address, at=3)
    assert "answers of Ann. I am someone else saves" in " ".join(rating.find("earlier").text.split())
    (ann,) = read_raters([rating.save("anew")])
    assert (ann.name, len(ann.ratings), len(ann.calibration)) == ("Ann", 1, 2)
    assert not rating.find("earlier").is_displayed() and rating.find("name").get_attribute("value") == ""
    assert rating.find("start").text == "Start"
    rating.find("start").click()
    for _ in range(10):
        rating.rate()
    assert rating.find("saved").text == ""
    second = rating.save("save")
    assert second.stem.removeprefix("mos-") != ann.path.stem.removeprefix("mos-")
    raters = read_raters([ann.path, second])
    assert len(raters[1].ratings) == 8 and raters[1].name != "Ann" and raters[1].fault() is None


def test_each_rater_has_an_order_of_his_own(driver, tmp_path):
    write_study(tmp_path / "page.html", "orders", shown(4))
    orders = set()
    for _ in range(3):
        driver.get((tmp_path / "page.html").as_uri())
        orders.add(tuple(driver.execute_script("return order")))
        driver.execute_script("localStorage.clear()")
    assert len(orders) == 3 and all(order[:2] == (0, 1) and set(order) == set(range(18)) for order in orders)
