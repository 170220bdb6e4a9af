import os
from pathlib import Path

import pytest

from srgan_tf.data import folders, walk
from srgan_tf.system.errors import UserError

LEFTOVERS = (
    "@eaDir/a.jpg/SYNOPHOTO_THUMB_XL.jpg",
    "sub/@eaDir/b.jpg",
    ".thumbnails/a.png",
    "__MACOSX/a.png",
    "__MACOSX/._a.png",
    "._a.png",
    "#recycle/a.png",
    "$RECYCLE.BIN/a.png",
    "Thumbs.db",
)


def put(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)


@pytest.fixture
def locked(monkeypatch):
    """Makes folders of the name "locked" unreadable, also for root."""
    scandir = os.scandir

    def refused(path="."):
        if Path(path).name == "locked":
            raise PermissionError(13, "Permission denied", os.fspath(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refused)


def test_what_other_programs_leave_is_passed_over(tmp_path):
    put(tmp_path, "a.png", "sub/b.jpg", "eaDir/c.png", *LEFTOVERS)
    names = ["a.png", "eaDir/c.png", "sub/b.jpg"]
    assert walk.find_files(tmp_path) == [str(tmp_path / name) for name in names]
    assert walk.find_pictures(tmp_path) == [tmp_path / name for name in names]
    assert walk.folder_names(tmp_path) == ["eaDir", "sub"]
    assert walk.find_pictures(tmp_path / "@eaDir" / "a.jpg") != []  # named by the user


@pytest.mark.parametrize("name", ["a.jfif", "a.JPE", "a.JPG", "a.JFIF", "a.Tiff"])
def test_other_names_of_the_formats_are_found(tmp_path, name):
    put(tmp_path, name)
    assert walk.find_pictures(tmp_path) == [tmp_path / name]


def test_kinds_that_cannot_be_read_are_found_unless_another_is_beside_them(tmp_path):
    put(tmp_path, "a.heic", "b.CR2", "b.jpg", "c.dng", "d.SRW", "notes.txt", "sub/b.nef")
    assert [path.name for path in walk.find_pictures(tmp_path)] == ["a.heic", "b.jpg", "c.dng", "d.SRW", "b.nef"]


def test_a_subfolder_that_may_not_be_read_is_an_error_or_is_reported(tmp_path, locked):
    put(tmp_path, "a.png", "sub/locked/b.png", "z/c.png")
    with pytest.raises(UserError, match=r"sub/locked: cannot be read \(Permission denied\)$"):
        walk.find_pictures(tmp_path)
    problems = []
    assert walk.find_pictures(tmp_path, problems.append) == [tmp_path / "a.png", tmp_path / "z" / "c.png"]
    assert [str(problem) for problem in problems] == [f"{tmp_path}/sub/locked: cannot be read (Permission denied)"]
    assert walk.folder_names(tmp_path / "sub" / "locked") == []


def test_links_that_lead_nowhere_are_found_or_reported(tmp_path):
    put(tmp_path, "a.png")
    for name in ("dead.png", "more"):
        (tmp_path / name).symlink_to(tmp_path / "gone")
    (tmp_path / "loop.jpg").symlink_to("loop.jpg")
    problems = []
    found = walk.find_pictures(tmp_path, problems.append)
    assert [path.name for path in found] == ["a.png", "dead.png", "loop.jpg"]
    assert [str(problem) for problem in problems] == [f"{tmp_path}/more: a link that leads nowhere"]
    with pytest.raises(UserError, match="more: a link that leads nowhere"):
        walk.find_pictures(tmp_path)


def test_pipes_are_passed_over(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    assert walk.find_files(tmp_path) == walk.find_pictures(tmp_path) == []


def test_a_scan_counts_what_it_could_not_read(tmp_path, locked):
    from PIL import Image

    Image.new("RGB", (40, 40)).save(tmp_path / "a.jfif", format="jpeg")
    put(tmp_path, "locked/b.png", *LEFTOVERS)
    (tmp_path / "more").symlink_to(tmp_path / "gone")
    (tmp_path / "dead.jpg").symlink_to(tmp_path / "gone")
    scan = folders.scan(tmp_path)
    assert [picture.path.name for picture in scan.pictures] == ["a.jfif"]
    assert [(path.name, reason) for path, reason in scan.skipped] == [
        ("locked", "cannot be read (Permission denied)"),
        ("dead.jpg", "no such file"),
        ("more", "a link that leads nowhere"),
    ]
    assert scan.summary()[0] == "1 image, 3 skipped:"


def test_why_a_path_is_not_a_folder_is_said(tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "loop").symlink_to("loop")
    for name, why in (
        ("absent", "no such folder"),
        ("file", "not a folder"),
        ("file/a", "no such folder"),
        ("loop", r"cannot be read \(Too many levels of symbolic links\)"),
    ):
        with pytest.raises(UserError, match=f"{name}: {why}$"):
            walk.find_files(tmp_path / name)
