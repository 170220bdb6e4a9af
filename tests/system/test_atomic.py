import errno
import os

import pytest

from srgan_tf.system.atomic import atomic_file, atomic_folder, check_writable, remove_unfinished
from srgan_tf.system.errors import UserError


def test_is_there_when_it_is_complete_and_not_before(tmp_path):
    path = tmp_path / "new" / "a.txt"
    with atomic_file(path, suffix=".txt") as beside:
        beside.write_text("whole")
        assert not path.exists() and beside.parent == path.parent and beside.name.endswith(".txt")
    assert path.read_text() == "whole" and list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("name", ["\u9577" * 82 + ".png", "a" + "\U0002a6b2" * 62], ids=["three", "four"])
def test_a_name_may_be_as_long_as_the_system_allows(tmp_path, name):
    with atomic_file(tmp_path / name, suffix=".weights.h5") as beside:
        beside.touch()
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("error, seen", [(OSError(errno.ENOSPC, "No space left"), UserError), (KeyError(1), KeyError)])
def test_a_failure_keeps_what_was_there(tmp_path, error, seen):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(seen) as raised, atomic_file(path) as beside:
        beside.write_text("half")
        raise error
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]
    if seen is UserError:
        assert str(path) in str(raised.value) and "No space left" in str(raised.value)


def test_a_file_in_the_way_of_the_folder_is_one_line(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot be written"), atomic_file(tmp_path / "file" / "a.txt"):
        pass


@pytest.fixture
def old(tmp_path):
    """A folder with one file, alone in `tmp_path`."""
    folder = tmp_path / "report"
    folder.mkdir()
    (folder / "old").write_text("old")
    return folder


def test_a_folder_is_replaced_when_it_is_complete_and_not_before(old):
    with atomic_folder(old) as partial:
        (partial / "new").write_text("new")
        assert [path.name for path in old.iterdir()] == ["old"] and partial.parent == old.parent
    assert [path.name for path in old.iterdir()] == ["new"] and list(old.parent.iterdir()) == [old]


def test_a_folder_is_made_with_those_above_it_and_a_link_stays(tmp_path):
    with atomic_folder(tmp_path / "deep" / "report") as partial:
        (partial / "new").touch()
    (tmp_path / "link").symlink_to(tmp_path / "deep" / "report")
    with atomic_folder(tmp_path / "link"):
        pass
    assert (tmp_path / "link").is_symlink() and list((tmp_path / "deep" / "report").iterdir()) == []
    assert len(list(tmp_path.rglob("*"))) == 3


@pytest.mark.parametrize(
    "error, seen", [(OSError(errno.ENOSPC, "No space left"), UserError), (KeyboardInterrupt(), KeyboardInterrupt)]
)
def test_an_interrupted_folder_keeps_what_was_there(old, error, seen):
    with pytest.raises(seen) as raised, atomic_folder(old) as partial:
        (partial / "half").touch()
        raise error
    assert [path.name for path in old.iterdir()] == ["old"] and list(old.parent.iterdir()) == [old]
    if seen is UserError:
        assert str(raised.value) == f"{old}: cannot be written (No space left)"


@pytest.mark.parametrize("refused, kept", [({".part"}, "report"), ({".part", ".old"}, ".report.*.old")])
def test_what_was_there_is_back_when_the_new_folder_cannot_take_its_place(old, monkeypatch, refused, kept):
    rename = os.rename

    def fail(source, target):
        if source.suffix in refused:
            raise PermissionError(errno.EACCES, "Permission denied")
        rename(source, target)

    monkeypatch.setattr(os, "rename", fail)
    with pytest.raises(UserError) as raised, atomic_folder(old) as partial:
        (partial / "new").touch()
    (folder,) = old.parent.iterdir()
    assert folder.match(kept) and (folder / "old").read_text() == "old"
    what = "cannot be written" if folder == old else f"cannot be put back; it is in {folder}"
    assert str(raised.value) == f"{old}: {what} (Permission denied)"


def test_whether_something_can_be_written_is_known_before(tmp_path):
    file, folder, link = (tmp_path / name for name in ("file", "folder", "link"))
    file.touch()
    folder.mkdir()
    link.symlink_to(tmp_path / "absent")
    for path in (file, folder, folder / "new" / "deep"):
        check_writable(path)
    for path in (folder, folder / "new" / "deep"):
        check_writable(path, folder=True)
    for path, inside in ((file, True), (file / "a", False), (file / "new" / "deep", True), (link, True)):
        with pytest.raises(UserError) as raised:
            check_writable(path, folder=inside)
        assert str(raised.value).startswith(f"{path}: cannot be written (")
    assert sorted(tmp_path.rglob("*")) == [file, folder, link]


def test_what_a_killed_process_left_is_removed_and_nothing_else(tmp_path):
    kept = [".hidden", ".git", ".a.12345678", "scores.csv", "checkpoint-00000001.npz"]
    for name in kept:
        (tmp_path / name).touch()
    for path, ending in (("checkpoint-00000002.npz", ".part"), ("best.weights.h5", ".weights.h5")):
        with atomic_file(tmp_path / path, suffix=ending) as beside:
            beside.touch()
        beside.touch()
    remove_unfinished(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {*kept, "checkpoint-00000002.npz", "best.weights.h5"}
