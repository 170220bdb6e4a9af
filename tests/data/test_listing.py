import json
import os

import numpy as np
import pytest
from PIL import Image

from srgan_tf.data import folders, listing


@pytest.fixture
def large(tmp_path, monkeypatch):
    """A folder of six pictures, which counts as large, and the list of the files that are probed."""
    folder = tmp_path / "photos"
    for number in range(6):
        path = folder / f"n{number % 2}" / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (20 + number, 16)).save(path)
    probed = []
    probe = listing.files.probe
    monkeypatch.setattr(listing, "LARGE", 5)
    monkeypatch.setattr(listing.files, "probe", lambda path: probed.append(os.path.basename(path)) or probe(path))
    monkeypatch.setenv("SRGAN_CACHE", str(tmp_path / "cache"))
    return folder, probed


def _cached(folder):
    return next((folder.parent / "cache" / "listings").iterdir())


def test_a_large_folder_is_probed_once(large, monkeypatch):
    folder, probed = large
    first = folders.scan(folder)
    assert [picture.width for picture in first.pictures] == [20, 22, 24, 21, 23, 25] and len(probed) == 6
    probed.clear()
    assert folders.scan(str(folder) + "/") == first and not probed
    monkeypatch.chdir(folder.parent)
    assert [picture.width for picture in folders.scan("photos").pictures] == [20, 22, 24, 21, 23, 25] and not probed


def test_what_changes_is_noticed(large):
    folder, probed = large
    folders.scan(folder)
    probed.clear()
    Image.new("RGB", (99, 16)).save(folder / "n0" / "0.png")  # another length
    Image.fromarray(np.ones((23, 16, 3), np.uint8)).save(folder / "n0" / "new.png")
    same = folder / "n1" / "1.png"  # another time alone
    os.utime(same, ns=(0, same.stat().st_mtime_ns + 1))
    (folder / "n1" / "3.png").unlink()
    found = {picture.path.name: (picture.height, picture.width) for picture in folders.scan(folder).pictures}
    assert found["0.png"] == (16, 99) and found["new.png"] == (23, 16) and "3.png" not in found
    assert sorted(probed) == ["0.png", "1.png", "new.png"]
    assert "n1/3.png" not in json.loads(_cached(folder).read_text())["names"]
    probed.clear()
    assert len(folders.scan(folder).pictures) == 6 and not probed


def test_what_cannot_be_used_is_probed_again_each_time(large):
    folder, probed = large
    (folder / "cut.png").write_bytes((folder / "n0" / "0.png").read_bytes()[:40])
    (folder / "dead.png").symlink_to(folder / "gone.png")
    os.mkfifo(folder / "pipe.png")
    for _ in range(2):
        skipped = {path.name: reason for path, reason in folders.scan(folder).skipped}
        assert skipped.keys() == {"cut.png", "dead.png"} and skipped["dead.png"] == "no such file"
    assert probed.count("cut.png") == 2 and probed.count("0.png") == 1


@pytest.mark.parametrize("content", ["", "{}", "[1]", '{"version": 1, "names": ["a"]}', '{"version": 99}'])
def test_a_damaged_listing_is_replaced(large, content):
    folder, probed = large
    first = folders.scan(folder)
    whole = _cached(folder).read_text()
    _cached(folder).write_text(content)
    assert folders.scan(folder) == first and len(probed) == 12
    assert _cached(folder).read_text() == whole


def test_an_interrupted_scan_has_cached_what_it_had_probed(large, monkeypatch):
    folder, probed = large
    probe = listing.files.probe

    def interrupted(path):
        if path.endswith("3.png"):  # the fifth
            raise KeyboardInterrupt
        return probe(path)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(listing.files, "probe", interrupted)
        folders.scan(folder)
    probed.clear()
    assert len(folders.scan(folder).pictures) == 6 and sorted(probed) == ["3.png", "5.png"]


def test_a_cache_that_cannot_be_written_does_not_matter(large, monkeypatch):
    folder, _ = large
    (folder.parent / "file").touch()
    monkeypatch.setenv("SRGAN_CACHE", str(folder.parent / "file"))
    assert len(folders.scan(folder).pictures) == 6


def test_a_small_folder_leaves_nothing_behind(large, monkeypatch):
    folder, _ = large
    monkeypatch.setattr(listing, "LARGE", 10)
    folders.scan(folder)
    assert not (folder.parent / "cache").exists()


def test_processes_find_what_threads_find(tmp_path, monkeypatch):
    Image.new("RGB", (20, 16)).save(tmp_path / "a.png")
    (tmp_path / "b.jpg").write_text("text")
    paths = [str(tmp_path / name) for name in ("a.png", "b.jpg")] * 300
    by_threads = listing.probe_files(None, paths)
    monkeypatch.setattr(listing, "MANY", 600)
    by_processes = listing.probe_files(None, paths)
    assert by_processes[0] == (16, 20) and "not an image" in by_processes[1]
    assert by_processes == by_processes[:2] * 300 == by_threads
