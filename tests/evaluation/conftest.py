"""The browser in which pages are tested, and pictures that are scored."""

import shutil

import numpy as np
import pytest

from srgan_tf.data.folders import Pair
from srgan_tf.imaging import files

FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--force-device-scale-factor=1",
)


@pytest.fixture(scope="module")
def driver(tmp_path_factory):
    """A headless Chromium; what it downloads is in its folder `downloads`."""
    webdriver = pytest.importorskip("selenium.webdriver")
    browser, tool = shutil.which("chromium"), shutil.which("chromedriver")
    if not browser or not tool:
        pytest.skip("needs Chromium and its driver")
    downloads = tmp_path_factory.mktemp("downloads")
    options = webdriver.ChromeOptions()
    options.binary_location = browser
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    options.add_experimental_option("prefs", {"download.default_directory": str(downloads)})
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options, webdriver.ChromeService(tool))
    driver.downloads = downloads
    yield driver
    driver.quit()


@pytest.fixture
def picture_pairs(tmp_path):
    """Two photograph-like pictures, 42x35 and 24x24, without LR files."""
    rng = np.random.default_rng(0)
    pairs = []
    for name, size in (("a", (42, 35)), ("b", (24, 24))):
        path = tmp_path / "HR" / f"{name}.png"
        files.write(path, rng.integers(0, 256, (*size, 3), np.uint8))
        pairs.append(Pair(name, path, None))
    return pairs
