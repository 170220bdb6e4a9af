"""The browser in which pages are tested."""

import shutil

import pytest

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
