"""What several tests share."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

# What is bit for bit the same is so on a CPU, where all of this was measured; `benchmarks/` is for GPUs.
os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
REPOSITORY = Path(__file__).resolve().parent.parent
BROWSER_FLAGS = (
    "--headless=new --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
    " --disable-component-update --disable-sync --force-device-scale-factor=1"
).split()


def pytest_collection_modifyitems(items):
    """Puts the trainings first: at the end, one process would be left with the last of them."""
    items.sort(key=lambda item: "train" not in item.location[0])


@pytest.fixture(autouse=True)
def float32(monkeypatch):
    """Pictures are compared with what float32 makes of them: on every CPU, also where bfloat16 would be faster."""
    monkeypatch.setattr("srgan_tf.inference.precision.cpu_flags", set)


@pytest.fixture(scope="session")
def shared_data():
    """The folder with the published test sets, photographs and VGG19; tests that need it skip where it is absent."""
    folder = Path(os.environ.get("SRGAN_DATA", REPOSITORY.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip("needs the folder of data that SRGAN_DATA names")
    return folder


@pytest.fixture(scope="session")
def generator():
    """A small generator with random weights; tests must not change it."""
    import keras

    from srgan_tf.models.generator import build_generator

    keras.utils.set_random_seed(0)
    return build_generator(blocks=1, filters=16)


@pytest.fixture(scope="session")
def weights(generator, tmp_path_factory):
    """The weights file of `generator`, named as a run names it."""
    from srgan_tf.models.generator import save_generator

    path = tmp_path_factory.mktemp("run") / "srresnet" / "best.weights.h5"
    save_generator(generator, path)
    return path


@pytest.fixture
def run_python():
    """Runs Python in another process, which can import the package even if it is not installed."""
    path = os.pathsep.join(filter(None, (str(REPOSITORY), os.environ.get("PYTHONPATH"))))

    def run(*arguments, check=True, env=None, **options):
        env = os.environ | {"PYTHONPATH": path} | (env or {})
        command = [sys.executable, *map(str, arguments)]
        return subprocess.run(command, check=check, env=env, capture_output=True, text=True, **options)

    return run


@pytest.fixture
def run(capfd):
    """Runs the command line of evaluate.py; returns the exit status and the lines on stdout and stderr."""
    import tensorflow as tf

    import evaluate

    # TensorFlow looks for devices once a process, and where a test has imported it says that there is no GPU.
    tf.config.list_logical_devices()
    capfd.readouterr()

    def run(*flags):
        status = evaluate.main(["evaluate.py", *map(str, flags)])
        out, err = capfd.readouterr()
        return status, out.splitlines(), err.splitlines()

    return run


@pytest.fixture
def train_run(tmp_path, capsys):
    """Runs the command line of train.py on one run folder; returns exit status, standard output and standard error."""
    import train

    def run(*flags):
        status = train.main(["train.py", f"--run_dir={tmp_path}/run", *flags])
        shown = capsys.readouterr()
        return status, shown.out, shown.err

    return run


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
    for flag in (*BROWSER_FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    options.add_experimental_option("prefs", {"download.default_directory": str(downloads)})
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options, webdriver.ChromeService(tool))
    driver.downloads = downloads
    yield driver
    driver.quit()
