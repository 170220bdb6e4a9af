"""A wheel of the package, installed outside of the checkout, with the dependencies of the environment that tests it."""

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest
from PIL import Image

import srgan_tf

REPOSITORY = Path(__file__).resolve().parent.parent
SOURCES = ("srgan_tf", "setup.cfg", "setup.py", "README.md", "LICENSE")
DATA = (
    "py.typed",
    "evaluation/mos.html",
    "evaluation/report/page.html",
    "weights/MODEL_CARD.md",
    "weights/manifest.json",
    *(
        f"weights/{name}.weights.h5"
        for name in ("srresnet", "srgan", "espcn", "srcnn", "srresnet-faces", "srgan-photo")
    ),
)


def _run(*command, cwd, **environment):
    shell = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "TF_CPP_MIN_LOG_LEVEL")}
    done = subprocess.run(list(map(str, command)), cwd=cwd, env=shell | environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout, done.stderr


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel, built from a copy, since building leaves folders behind."""
    folder = tmp_path_factory.mktemp("build")
    for name in SOURCES:
        if (REPOSITORY / name).is_dir():
            shutil.copytree(REPOSITORY / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(REPOSITORY / name, folder / name)
    options = ("--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", folder / "dist")
    _run(sys.executable, "-m", "pip", "wheel", *options, folder, cwd=folder)
    (path,) = (folder / "dist").iterdir()
    return path


@pytest.fixture(scope="module")
def programs(wheel, tmp_path_factory):
    """The folder of `python` and `srgan` of a fresh environment with the wheel in it."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, symlinks=os.name != "nt")
    scripts = folder / ("Scripts" if os.name == "nt" else "bin")
    pip = (sys.executable, "-m", "pip", "--python", scripts / "python")
    _run(*pip, "install", "--no-deps", "--no-index", wheel, cwd=folder)
    (site,) = (path.parent.parent for path in folder.rglob("srgan_tf/__init__.py"))
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
    return scripts


def test_the_wheel_holds_what_the_package_reads(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    assert {f"srgan_tf/{name}" for name in DATA} <= names
    modules = {path.relative_to(REPOSITORY).as_posix() for path in (REPOSITORY / "srgan_tf").rglob("*.py")}
    assert modules <= names


def test_the_installed_command_upscales_a_picture(programs, tmp_path):
    Image.new("RGB", (12, 10), "teal").save(tmp_path / "photo.jpg")
    out, _ = _run(programs / "python", "-c", "import srgan_tf; print(srgan_tf.__file__)", cwd=tmp_path)
    assert Path(out.strip()).is_relative_to(programs.parent)
    assert "usage: srgan MODE" in _run(programs / "srgan", "--help", cwd=tmp_path)[0]
    version = _run(programs / "python", "-m", "srgan_tf", "--version", cwd=tmp_path)[0]
    assert version == f"srgan_tf {srgan_tf.__version__}\n"
    out, err = _run(programs / "srgan", "upscale", "photo.jpg", "--weights=espcn", cwd=tmp_path)
    assert (out, err) == ("1 upscaled to photo_x4.jpg\n", "")
    with Image.open(tmp_path / "photo_x4.jpg") as image:
        assert image.size == (48, 40)
