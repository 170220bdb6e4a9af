import hashlib
import shutil
from pathlib import Path

import pytest

from srgan_tf.system import disk
from srgan_tf.system.errors import UserError


def test_the_room_for_a_file_is_that_of_the_nearest_folder(tmp_path, monkeypatch):
    asked = []
    usage = shutil.disk_usage(tmp_path)._replace(free=2 * 10**9)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: asked.append(path) or usage)
    path = tmp_path / "new" / "deep" / "a.png"
    disk.require_free_bytes(path, 2 * 10**9, "name another folder")
    with pytest.raises(UserError) as raised:
        disk.require_free_bytes(path, 3 * 10**9, "name another folder")
    assert str(raised.value) == f"{path}: 3,000 MB are needed and 2,000 MB are free; name another folder"
    assert asked == [tmp_path, tmp_path]


def test_the_cache_is_where_the_environment_says(monkeypatch):
    monkeypatch.setenv("SRGAN_CACHE", "~/mine")
    assert disk.cache_folder() == Path.home() / "mine"
    monkeypatch.setenv("SRGAN_CACHE", "~no_such_user/mine")
    assert disk.cache_folder() == Path("~no_such_user/mine")
    monkeypatch.delenv("SRGAN_CACHE")
    assert disk.cache_folder().name == "srgan_tf"


def test_sha256_is_of_the_content(tmp_path):
    (tmp_path / "a").write_bytes(b"content")
    assert disk.sha256(tmp_path / "a") == hashlib.sha256(b"content").hexdigest()
