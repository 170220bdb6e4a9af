"""The page of `srgan demo` in a headless Chromium, from upload to download."""

import json
import logging.config
import operator
import os
import signal
import struct
import tempfile
import threading
import time
import types
import zlib

import numpy as np
import pytest
from PIL import Image

from srgan_tf.cli.main import main
from srgan_tf.inference import demo
from srgan_tf.inference.demo import Pictures

LIMIT = 10_000  # pixels


# --- the visitors' pictures


def folder_with_a_picture(parent, name):
    folder = parent / name
    folder.mkdir()
    (folder / "photo.png").touch()
    return folder


def test_a_visitors_last_answer_is_gone_with_the_next(tmp_path):
    pictures, upload = Pictures(tmp_path), folder_with_a_picture(tmp_path, "a")
    first = pictures.start_answer("one", upload / "photo.png")
    second = pictures.start_answer("one", upload / "photo.png")
    assert not first.exists() and second.is_dir() and upload.is_dir()
    other = folder_with_a_picture(tmp_path, "b")
    third = pictures.start_answer("one", other / "photo.png")
    assert set(tmp_path.iterdir()) == {other, third}
    pictures.forget("one")
    assert not list(tmp_path.iterdir())
    pictures.forget("one")


def test_what_a_visitor_gives_while_he_waits_is_kept_for_its_answer(tmp_path):
    pictures, first, second = Pictures(tmp_path), *(folder_with_a_picture(tmp_path, name) for name in "ab")
    pictures.take("one", first / "photo.png")
    pictures.take("one", second / "photo.png")
    answer = pictures.start_answer("one", first / "photo.png")
    assert set(tmp_path.iterdir()) == {first, second, answer}
    last = pictures.start_answer("one", second / "photo.png")
    assert set(tmp_path.iterdir()) == {second, last}
    pictures.forget("one")
    assert not list(tmp_path.iterdir())


def test_a_file_that_two_visitors_gave_is_kept_for_the_second(tmp_path):
    pictures, upload = Pictures(tmp_path), folder_with_a_picture(tmp_path, "a")
    pictures.start_answer("one", upload / "photo.png")
    answer = pictures.start_answer("two", upload / "photo.png")
    pictures.forget("one")
    assert set(tmp_path.iterdir()) == {upload, answer}
    pictures.forget("two")
    assert not list(tmp_path.iterdir())


# --- in the browser


def keep_environment(patch):
    """What building a page sets is put back afterwards."""
    for name in ("GRADIO_TEMP_DIR", "GRADIO_ANALYTICS_ENABLED", "HF_HUB_OFFLINE", "HF_HUB_DISABLE_TELEMETRY"):
        patch.setenv(name, "")


@pytest.fixture(scope="module")
def gate():
    """The network "slow" is loaded when this is set."""
    return threading.Event()


@pytest.fixture(scope="module")
def served(weights, gate, tmp_path_factory):
    """The page's address and the folder of the visitors' pictures."""
    pytest.importorskip("gradio")
    from srgan_tf import Upscaler
    from srgan_tf.inference.demo import build_page, launch

    def load(name, strength):
        if name == "slow":
            assert gate.wait(60)
        assert strength == (0.35 if name == "dialed" else 1)
        return Upscaler(weights, tile=32)

    folder = tmp_path_factory.mktemp("others") / "visitors"  # what is beside it must stay
    folder.mkdir()
    (folder.parent / "precious.txt").touch()
    with pytest.MonkeyPatch.context() as patch:
        keep_environment(patch)
        page = build_page(load, ("tiny", "slow", "dialed"), LIMIT, folder, dialed="dialed")
        yield launch(page, "127.0.0.1", None, LIMIT), folder
        page.close(verbose=False)


class Visitor:
    """What a visitor does and sees, in the window that the driver has."""

    def __init__(self, driver):
        self.driver = driver

    def find(self, selector):
        return self.driver.find_element("css selector", selector)

    def run(self, script, *values):
        return self.driver.execute_script(script, *values)

    def wait(self, script, *values, seconds=60):
        end = time.monotonic() + seconds
        while not (value := self.run(script, *values)):
            assert time.monotonic() < end, (script, self.find("body").text)
            time.sleep(0.1)
        return value

    def arrive(self, address):
        self.driver.get(address)
        self.wait("return document.querySelector('#picture input[type=file]') && document.querySelector('#start')")

    def give(self, path):
        self.find("#picture input[type=file]").send_keys(str(path))
        self.has(path.name)

    def has(self, name):
        stem = name.partition(".")[0]
        self.wait("return document.querySelector('#picture').innerText.includes(arguments[0])", stem)

    def choose(self, weights):
        self.find(f"#weights input[value={weights}]").click()

    def start(self):
        self.find("#start").click()

    def message(self, part):
        """Waits for a sentence on the page that has a part."""
        script = "const p = document.querySelector('#message p'); return p.innerText.includes(arguments[0]) && p"
        element = self.wait(script, part)
        return element.text, "refused" in element.get_attribute("class")

    def sizes(self):
        """Of the pictures that are compared."""
        script = (
            "const all = [...document.querySelectorAll('#slider img')];"
            " return all.length > 1 && all.every((i) => i.naturalWidth) &&"
            " all.map((i) => [i.naturalWidth, i.naturalHeight])"
        )
        return self.wait(script)

    def can_download(self):
        return self.find("#download").is_enabled()


@pytest.fixture
def visitor(driver, served):
    """One who has opened the page at 1000 x 800; nothing must be asked of other servers, nor an error be logged."""
    address, _ = served
    driver.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride", dict(width=1000, height=800, deviceScaleFactor=1, mobile=False)
    )
    visitor = Visitor(driver)
    visitor.arrive(address)
    yield visitor
    assert [entry for entry in driver.get_log("browser") if entry["level"] == "SEVERE"] == []
    asked = visitor.run("return performance.getEntriesByType('resource').map((entry) => entry.name)")
    assert asked and all(name.startswith((address, "blob:", "data:")) for name in asked)


def photo(path, width=60, height=40, **options):
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 256, (height, width, 3), np.uint8)).save(path, **options)
    return path


def downloaded(driver):
    """What was downloaded: its name and its bytes."""

    def whole():
        return [path for path in driver.downloads.iterdir() if path.suffix != ".crdownload"]

    (path,) = eventually(whole)
    try:
        return path.name, path.read_bytes()
    finally:
        path.unlink()


def eventually(find, seconds=30):
    end = time.monotonic() + seconds
    while not (found := find()):
        assert time.monotonic() < end
        time.sleep(0.1)
    return found


@pytest.mark.parametrize("name", ["photo.jpg", "scan.tiff"])
def test_what_is_downloaded_is_what_srgan_upscale_writes(visitor, weights, tmp_path, name):
    exif = Image.Exif()
    exif[0x013B], exif[0x0112] = "An artist", 6
    path = photo(tmp_path / name, exif=exif)
    visitor.give(path)
    visitor.start()
    text, refused = visitor.message("160x240")
    assert not refused and "with tiny" in text
    assert visitor.sizes() == [[40, 60], [160, 240]]  # upright
    visitor.find("#download").click()
    assert main(["srgan", "upscale", str(path), f"--weights={weights}", "--tile=32"]) == 0
    expected = path.with_stem(f"{path.stem}_x4")
    assert downloaded(visitor.driver) == (expected.name, expected.read_bytes())


def test_the_strength_is_that_of_the_slider(visitor, tmp_path):
    shown = "const s = document.querySelector('#strength'); return Boolean(s && s.checkVisibility())"
    visitor.give(photo(tmp_path / "photo.png"))
    assert not visitor.run(shown)
    visitor.choose("dialed")
    visitor.wait(shown)
    field = visitor.find("#strength input[type=number]")
    visitor.run("arguments[0].select()", field)
    field.send_keys("0.35\t")
    visitor.start()
    visitor.message("with dialed at strength 0.35")


def test_the_comparison_zooms(visitor, tmp_path):
    from selenium.webdriver import ActionChains
    from selenium.webdriver.common.actions.wheel_input import ScrollOrigin

    visitor.give(photo(tmp_path / "photo.png"))
    visitor.start()
    visitor.sizes()
    origin = ScrollOrigin.from_element(visitor.find("#slider img"), 50, 50)  # beside the handle
    script = "return [...document.querySelectorAll('#slider img')].map((i) => i.getBoundingClientRect().width)"
    before = visitor.run(script)
    for _ in range(5):
        ActionChains(visitor.driver).scroll_from_origin(origin, 0, -100).perform()
    eventually(lambda: np.allclose(visitor.run(script), np.multiply(before, 1.05**5), rtol=0.01))


def test_the_map_of_what_is_invented_is_shown_where_it_is_asked_for(visitor, tmp_path):
    visitor.give(photo(tmp_path / "photo.png"))
    visitor.start()
    assert "nvented" not in visitor.message("240x160")[0]
    script = "const i = document.querySelector('#map img'); return i && i.naturalWidth && [i.naturalWidth, i.src]"
    assert not visitor.run(script)
    visitor.find("#mapped input").click()
    visitor.start()
    visitor.message("of the pixels are high")
    width, address = visitor.wait(script)
    assert width == 240 and address.endswith(".png")


@pytest.mark.parametrize(
    "work, said", [("jobs.run", "Upscaling 4 times - 50.0%"), ("write_map", "Mapping what is invented - 50.0%")]
)
def test_the_page_says_how_far_it_is(visitor, tmp_path, monkeypatch, work, said):
    seen, do = threading.Event(), operator.attrgetter(work)(demo)

    def stopped_halfway(*given, progress, **options):
        progress(60 * 40 // 2)
        assert seen.wait(60)
        return do(*given, **options)

    monkeypatch.setattr(f"srgan_tf.inference.demo.{work}", stopped_halfway)
    visitor.give(photo(tmp_path / "photo.png"))
    visitor.find("#mapped input").click()
    visitor.start()
    try:
        visitor.wait("return document.querySelector('#slider').innerText.includes(arguments[0])", said)
    finally:
        seen.set()
    visitor.message("of the pixels are high")


@pytest.mark.parametrize("started", [True, False])
def test_no_picture_is_kept_of_one_who_leaves(visitor, served, tmp_path, started):
    address, folder = served

    def kept():
        return [path for path in folder.rglob("*") if path.is_file() and path.stat().st_size]

    visitor.give(photo(tmp_path / "photo.png"))
    visitor.wait("return performance.getEntriesByType('resource').some((e) => e.name.includes('/run/predict'))")
    if started:
        visitor.start()
        visitor.message("240x160")
    expected = {"photo.png", "photo_x4.png"} if started else {"photo.png"}
    assert expected <= {path.name for path in kept()}
    visitor.driver.get("about:blank")
    eventually(lambda: not kept())
    visitor.arrive(address)


def bomb(path):
    """A PNG of 48 bytes that says to be 60,000 x 60,000."""

    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    head = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", b"") + chunk(b"IEND", b""))


REFUSED = {
    "bomb.png": (bomb, "bomb.png: "),
    "notes.txt": (lambda path: path.write_text("<b>no image</b>"), "notes.txt: not a"),
    "large.png": (
        lambda path: Image.new("L", (4000, 3000)).save(path),
        "large.png: 4000x3000 are 12.0 megapixels, and this page takes 0.01 at most; srgan upscale takes more",
    ),
    "half.jpg": (lambda path: path.write_bytes(photo(path).read_bytes()[:800]), "half.jpg: "),
    "<i>a&amp;b.png": (lambda path: path.touch(), "file is empty"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_upscale_refuses_is_refused_in_a_sentence(visitor, tmp_path, name):
    make, said = REFUSED[name]
    make(tmp_path / name)
    visitor.find("#picture input[type=file]").send_keys(str(tmp_path / name))
    visitor.has(name[-6:-4])
    visitor.start()
    text, refused = visitor.message(said)
    assert refused and "\n" not in text and "/" not in text.replace("</", "")
    assert not visitor.can_download()


def test_the_button_without_a_picture_asks_for_one(visitor):
    visitor.start()
    assert visitor.message("Choose an image first; it is kept for ten minutes.")[1]


def test_a_pasted_picture_is_taken(visitor):
    visitor.run(
        "const canvas = Object.assign(document.createElement('canvas'), {width: 30, height: 20});"
        "canvas.toBlob((blob) => { const data = new DataTransfer();"
        " data.items.add(new File([blob], 'pasted.png', {type: 'image/png'}));"
        " document.body.dispatchEvent(new ClipboardEvent('paste', {clipboardData: data, bubbles: true})); });"
    )
    visitor.has("pasted.png")
    visitor.start()
    visitor.message("pasted_x4.png: 120x80 pixels")


def test_of_two_visitors_one_waits_and_sees_it(visitor, served, gate, tmp_path):
    driver, path = visitor.driver, photo(tmp_path / "photo.png")
    visitor.give(path)
    visitor.choose("slow")
    visitor.start()
    visitor.wait("return document.querySelector('#slider').innerText.includes('Loading slow')")
    first = driver.current_window_handle
    driver.switch_to.new_window("tab")
    second = Visitor(driver)
    second.arrive(served[0])
    second.give(path)
    second.start()
    second.wait("return /queue: 1\\/1/.test(document.querySelector('#slider').innerText)")
    gate.set()
    second.message("240x160 pixels, with tiny")
    driver.close()
    driver.switch_to.window(first)
    visitor.message("240x160 pixels, with slow")


class Client:
    """One who sends what the page's own script would not."""

    def __init__(self, address):
        self.http = pytest.importorskip("httpx").Client(base_url=f"{address}gradio_api/", timeout=60)
        found = self.http.get(f"{address}config").json()["dependencies"]
        self.functions = {each["targets"][0][1]: each["id"] for each in found}

    def upload(self, path):
        return self.http.post("upload", files={"files": path.open("rb")}).json()[0]

    def start(self, path, strength=1):
        """What the page answers for a file that is said to be at `path`."""
        file = {"path": path, "meta": {"_type": "gradio.FileData"}}
        function, session = self.functions["click"], "client"
        asked = {"data": [file, "tiny", strength, False], "fn_index": function, "session_hash": session}
        self.http.post("queue/join", json=asked).raise_for_status()
        with self.http.stream("GET", "queue/data", params={"session_hash": session}) as lines:
            messages = (json.loads(line.removeprefix("data:")) for line in lines.iter_lines() if line)
            return next(each["output"] for each in messages if each["msg"] == "process_completed")


@pytest.mark.parametrize("inside", [".", "x", "x/y.png", "..", "../precious.txt"])
def test_nothing_but_an_upload_is_read_or_removed(served, tmp_path, inside):
    address, folder = served
    client = Client(address)
    upload = client.upload(photo(tmp_path / "photo.png"))
    refused = client.start(str(folder / inside))
    assert "error" in refused or "Choose an image first" in refused["data"][3]
    assert "240x160" in client.start(upload)["data"][3]  # after which what was given before is removed
    assert folder.is_dir() and (folder.parent / "precious.txt").exists()


def test_no_address_is_downloaded(served, monkeypatch):
    client, asked = Client(served[0]), []
    monkeypatch.setattr("gradio.processing_utils.async_ssrf_protected_download", asked.append)
    for place in ("http://example.org/a.png", "HTTPS://example.org/a.png"):
        assert "downloads none" in client.start(place)["error"]
        assert "downloads none" in client.start("x", {"path": place, "meta": {"_type": "gradio.FileData"}})["error"]
    assert not asked


@pytest.mark.parametrize("width", [390, 1400])
def test_the_page_fits(visitor, tmp_path, width):
    visitor.driver.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride", dict(width=width, height=844, deviceScaleFactor=1, mobile=width < 400)
    )
    visitor.give(photo(tmp_path / "photo.png"))
    visitor.start()
    visitor.sizes()
    assert visitor.run("return [document.documentElement.scrollWidth, innerWidth]") == [width, width]


# --- the command


def test_without_gradio_the_command_says_what_to_install(monkeypatch, capsys):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert main(["srgan", "demo"]) == 1
    assert capsys.readouterr().err == "srgan: error: srgan demo needs gradio: pip install 'srgan_tf[demo]'\n"


def test_a_port_that_is_taken_is_one_line(served, weights, capsys):
    port = served[0].rstrip("/").rpartition(":")[2]
    assert main(["srgan", "demo", f"--weights={weights}", f"--port={port}"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"srgan: error: 127.0.0.1:{port}: cannot be listened on")


@pytest.fixture(scope="module")
def cleared_handlers():
    """A server clears logging's handlers, and absl's closes its stream if that is standard error no longer: pytest's
    own, once `capsys` has taken its place."""
    logging.config.dictConfig({"version": 1, "disable_existing_loggers": False})


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGINT, 0)])
def test_a_signal_ends_it_and_leaves_no_pictures(
    cleared_handlers, weights, tmp_path, monkeypatch, capsys, number, status
):
    pytest.importorskip("gradio")
    keep_environment(monkeypatch)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    def visited():
        (folder,) = tmp_path.glob("srgan-demo-*")
        folder_with_a_picture(folder, "visitor")
        os.kill(os.getpid(), number)
        raise AssertionError("it goes on")

    waits = types.SimpleNamespace(Event=lambda: types.SimpleNamespace(wait=visited))
    monkeypatch.setattr("srgan_tf.cli.demo.threading", waits)
    assert main(["srgan", "demo", f"--weights={weights}"]) == status
    assert "until you press Ctrl-C" in capsys.readouterr().out
    assert not list(tmp_path.glob("srgan-demo-*"))
