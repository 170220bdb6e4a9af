import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections import namedtuple
from pathlib import Path

import filelock
import numpy as np
import pytest
from PIL import Image

from srgan_tf.data import folders, packed, packing
from srgan_tf.imaging import files
from srgan_tf.system.errors import UserError


@pytest.fixture
def source(tmp_path, monkeypatch):
    """A folder of six pictures, of which a shard holds two."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(6):
        pixels = np.random.default_rng(number).integers(0, 256, (20, 30, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    monkeypatch.setattr(packing, "_SHARD_BYTES", 2 * 20 * 30 * 3)
    return folder


def _pack(source):
    return packing.pack(folders.scan(source).pictures, source, source.parent / "packed")


def _written(folder):
    return {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.glob("*.tfrecord")}


def test_the_manifest_says_what_lies_where(source):
    manifest = _pack(source)
    folder = source.parent / "packed"
    assert sorted(path.name for path in folder.iterdir()) == [".lock", "manifest.json"] + [
        f"photographs-0000{number}.tfrecord" for number in range(3)
    ]
    assert packed.read_manifest(folder) == manifest and manifest.complete
    for number, shard in enumerate(manifest.shards):
        content = (folder / shard.file).read_bytes()
        for (name, height, width, offset), index in zip(shard.pictures, (2 * number, 2 * number + 1), strict=True):
            assert (name, height, width) == (f"{index}.png", 20, 30)
            with Image.open(source / name) as picture:
                assert content[offset : offset + 20 * 30 * 3] == picture.tobytes()
        assert len(content) == shard.size and hashlib.sha256(content).hexdigest() == shard.sha256


@pytest.mark.parametrize("content", [b"", b"{", b'{"format": "photographs packed by srgan_tf", "version": 2}', None])
def test_packing_again_mends_a_damaged_manifest(source, content):
    manifest = _pack(source)
    folder = source.parent / "packed"
    if content is None:
        (folder / packed.MANIFEST).unlink()
    else:
        (folder / packed.MANIFEST).write_bytes(content)
    with pytest.raises(UserError, match="manifest.json: .*; pack the photographs again, which repairs it$"):
        packed.scan(folder)
    assert _pack(source) == manifest == packed.read_manifest(folder)


def test_a_picture_larger_than_a_shard_has_one_of_its_own(source):
    Image.new("RGB", (100, 100)).save(source / "2.png")
    counts = [len(shard.pictures) for shard in _pack(source).shards]
    assert counts == [2, 1, 2, 1]


def test_packing_resumes_where_it_stopped(source, monkeypatch):
    folder = source.parent / "packed"
    read = files.read_rgb

    def stop(path):
        if path.name == "5.png":
            raise KeyboardInterrupt
        return read(path)

    monkeypatch.setattr(files, "read_rgb", stop)
    with pytest.raises(KeyboardInterrupt):
        _pack(source)
    first = _written(folder)
    assert len(first) == 2
    with pytest.raises(UserError, match="packed: only 2 of 3 files are packed"):
        packed.scan(folder)
    monkeypatch.setattr(files, "read_rgb", read)
    _pack(source)
    assert first.items() < _written(folder).items() and len(packed.scan(folder).pictures) == 6


def test_packing_again_checks_and_mends(source):
    _pack(source)
    folder = source.parent / "packed"
    whole = _written(folder)
    _pack(source)
    assert _written(folder) == whole
    damaged = bytearray(whole["photographs-00001.tfrecord"][0])
    damaged[1000] ^= 1  # which no length shows
    (folder / "photographs-00001.tfrecord").write_bytes(damaged)
    (folder / "photographs-00002.tfrecord").write_bytes(b"")
    manifest = _pack(source)
    mended = _written(folder)
    assert {name: content for name, (content, _) in mended.items()} == {
        name: content for name, (content, _) in whole.items()
    }
    assert mended["photographs-00000.tfrecord"] == whole["photographs-00000.tfrecord"], "it was not written again"
    assert manifest == packed.read_manifest(folder) and manifest.complete


def test_a_picture_that_cannot_be_decoded_is_left_out(source):
    path = source / "3.png"
    content = path.read_bytes()
    path.write_bytes(content[:300] + bytes(100) + content[400:])
    manifest = _pack(source)
    ((name, reason),) = manifest.shards[1].skipped
    assert name == "3.png" and reason
    assert [picture.path.name for picture in packed.scan(source.parent / "packed").pictures] == [
        "0.png",
        "1.png",
        "2.png",
        "4.png",
        "5.png",
    ]
    assert _pack(source) == manifest


def test_other_photographs_are_refused(source):
    _pack(source)
    Image.new("RGB", (30, 20)).save(source / "new.png")
    with pytest.raises(UserError, match="packed: other photographs are packed there; remove it or name another folder"):
        _pack(source)


def test_a_folder_with_nothing_but_hidden_files_counts_as_empty(source):
    (source.parent / "packed").mkdir()
    (source.parent / "packed" / ".DS_Store").touch()
    assert _pack(source).complete


@pytest.mark.parametrize("make", [Path.touch, lambda path: (path / "thesis").mkdir(parents=True)])
def test_nothing_else_is_overwritten(source, make):
    make(source.parent / "packed")
    with pytest.raises(UserError, match="packed: is there already and not packed photographs"):
        _pack(source)


def test_too_little_room_is_told_before(source, monkeypatch):
    usage = namedtuple("usage", "free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10_000))
    with pytest.raises(UserError, match=r"packed: 1 MB are needed and 0 MB are free"):
        _pack(source)
    assert not list((source.parent / "packed").glob("*.tfrecord"))


def test_a_killed_process_leaves_nothing_half_written(source):
    code = (
        "import os, signal, sys\n"
        "from srgan_tf.data import folders, packing\n"
        "from srgan_tf.imaging import files\n"
        "source, target = sys.argv[1:]\n"
        "packing._SHARD_BYTES = 2 * 20 * 30 * 3\n"
        "read = files.read_rgb\n"
        "def kill(path):\n"
        "    if path.name == '3.png':\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "    return read(path)\n"
        "files.read_rgb = kill\n"
        "packing.pack(folders.scan(source).pictures, source, target, workers=1)\n"
    )
    folder = source.parent / "packed"
    root = Path(packing.__file__).parents[2]
    arguments = [sys.executable, "-c", code, str(source), str(folder)]
    assert subprocess.run(arguments, cwd=root, env=os.environ).returncode == -signal.SIGKILL
    done = [shard["sha256"] for shard in json.loads((folder / "manifest.json").read_text())["shards"]]
    assert done[0] and done[1:] == ["", ""]
    assert len(list(folder.iterdir())) == 4, "the unfinished file is there"
    assert len(_pack(source).shards) == 3 and len(packed.scan(folder).pictures) == 6
    assert len(list(folder.iterdir())) == 5, "and is gone now"


def test_two_processes_do_not_pack_into_one_folder(source):
    _pack(source)
    folder = source.parent / "packed"
    with filelock.FileLock(folder / ".lock"), pytest.raises(UserError, match="packed: another process is packing into"):
        _pack(source)
