import errno
import os
import subprocess
import sys
import time

import pytest

from srgan_tf.system import atomic
from srgan_tf.system.atomic import atomic_file, atomic_folder, check_folder_target, check_writable, remove_unfinished
from srgan_tf.system.errors import UserError, user_errors


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


def test_a_name_need_not_be_text_in_the_language_of_the_system(tmp_path, run_python):
    code = "import sys; from srgan_tf.system import atomic\nwith atomic.atomic_file(sys.argv[1]) as file: file.touch()"
    ascii_alone = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    run_python("-c", code, tmp_path / "\u9577\u00fc", env=ascii_alone)
    assert [path.name for path in tmp_path.iterdir()] == ["\u9577\u00fc"]


def test_the_name_beside_is_text(tmp_path):
    with atomic_file(tmp_path / os.fsdecode(b"caf\xe9")) as beside:
        beside.touch()
        assert beside.name.encode().startswith(b".caf.")


@pytest.mark.parametrize("exists", [True, False])
def test_a_link_stays_and_its_file_is_replaced(tmp_path, exists):
    disk, folder = tmp_path / "disk", tmp_path / "folder"
    folder.mkdir()
    (folder / "link").symlink_to(disk / "a.txt")
    if exists:
        disk.mkdir()
        (disk / "a.txt").write_text("old")
    check_writable(folder / "link")
    with atomic_file(folder / "link") as beside:
        beside.write_text("new")
        assert beside.parent == disk
    assert (folder / "link").is_symlink() and (disk / "a.txt").read_text() == "new"
    assert [*folder.iterdir(), *disk.iterdir()] == [folder / "link", disk / "a.txt"]


def test_a_link_to_where_nothing_can_be_written_is_refused(tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to(tmp_path / "file" / "a.txt")
    with pytest.raises(UserError, match="link: cannot be written"):
        check_writable(tmp_path / "link")


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


def test_a_file_of_a_folder_is_named_as_it_would_have_been(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"^set/LR/a\.png: cannot be written \(File name too long\)$"):
        with atomic_folder("set") as partial:
            with user_errors(partial / "LR" / "a.png", "cannot be written"):
                raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG))
    assert list(tmp_path.iterdir()) == []


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


def test_what_file_managers_leave_in_a_folder_does_not_count(tmp_path):
    (tmp_path / ".DS_Store").touch()
    check_folder_target(tmp_path, {"report.md"}, "a report", overwrite=False, mark="report.md")
    (tmp_path / "report.md").touch()
    check_folder_target(tmp_path, {"report.md"}, "a report", overwrite=True, mark="report.md")
    with pytest.raises(UserError, match="holds a report already; --overwrite replaces it"):
        check_folder_target(tmp_path, {"report.md"}, "a report", overwrite=False, mark="report.md")


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
    with pytest.raises(UserError, match="more than 255 bytes"):
        check_writable(folder / "new" / ("é" * 128))
    assert sorted(tmp_path.rglob("*")) == [file, folder, link]


def test_a_mount_point_is_refused_before_long_work(tmp_path, monkeypatch):
    (tmp_path / "link").symlink_to(tmp_path)
    monkeypatch.setattr(os.path, "ismount", lambda path: path == tmp_path)
    for path in (tmp_path, tmp_path / "link"):
        with pytest.raises(UserError, match=r": a mount point, which cannot be replaced; name a folder in it$"):
            check_folder_target(path, {"link"}, "a report", overwrite=True)
    check_folder_target(tmp_path / "new", {"link"}, "a report", overwrite=True)


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


@pytest.fixture
def dead():
    """The number of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def _leave(folder, monkeypatch, process, machine=None):
    """The name that a process writes to."""
    with monkeypatch.context() as patch:
        patch.setattr(os, "getpid", lambda: process)
        if machine:
            patch.setattr(atomic, "_machine", lambda: machine)
        partial = atomic._temporary_name(folder / "b.png", ".png")
    partial.touch()
    atomic._remove_stale.cache_clear()
    return partial


def test_what_dead_processes_left_is_removed_at_the_next_start(tmp_path, monkeypatch, dead):
    def write():
        with atomic_file(tmp_path / "other.csv") as partial:
            partial.touch()
        return {path.name for path in tmp_path.iterdir()} - {"other.csv"}

    kept = {".a.png.12345678.png", ".hidden", "a.png"}
    for name in kept:
        (tmp_path / name).touch()
    running = _leave(tmp_path, monkeypatch, os.getppid())
    elsewhere = _leave(tmp_path, monkeypatch, dead, machine="0123abcd")
    gone = _leave(tmp_path, monkeypatch, dead)
    assert gone.exists() and write() == kept | {running.name, elsewhere.name}
    long_ago = time.time() - 30 * 24 * 3600
    os.utime(elsewhere, (long_ago, long_ago))
    assert elsewhere.exists() and write() == kept | {running.name, elsewhere.name}  # once in a process
    atomic._remove_stale.cache_clear()
    assert write() == kept | {running.name}


def test_a_folder_that_a_dead_process_was_replacing_gets_its_name_back(old, monkeypatch, dead):
    def left(suffix):
        with monkeypatch.context() as patch:
            patch.setattr(os, "getpid", lambda: dead)
            return atomic._temporary_name(old, suffix)

    half, aside = left(".part"), left(".old")
    half.mkdir()
    (half / "new").touch()
    os.rename(old, aside)
    atomic._remove_stale.cache_clear()
    with atomic_file(old.parent / "other.csv") as partial:
        partial.touch()
    assert sorted(path.name for path in old.parent.iterdir()) == ["other.csv", "report"]
    assert [path.name for path in old.iterdir()] == ["old"]
    aside.mkdir()
    atomic._remove_stale.cache_clear()
    with atomic_folder(old) as partial:
        (partial / "new").touch()
    assert sorted(path.name for path in old.parent.iterdir()) == ["other.csv", "report"]
    assert [path.name for path in old.iterdir()] == ["new"]


def test_what_counts_is_on_the_disk_before_it_has_its_name(tmp_path, monkeypatch):
    events, sync, rename, replace = [], os.fsync, os.rename, os.replace

    def record(kind, call):
        def recorded(first, *others):
            place = os.readlink(f"/proc/self/fd/{first}") if kind == "sync" else str(others[0])
            events.append((kind, os.path.relpath(place, tmp_path)))
            return call(first, *others)

        return recorded

    monkeypatch.setattr(os, "fsync", record("sync", sync))
    monkeypatch.setattr(os, "rename", record("name", rename))
    monkeypatch.setattr(os, "replace", record("name", replace))
    with atomic_file(tmp_path / "scores.csv") as partial:
        partial.touch()
    assert events == [("sync", partial.name), ("name", "scores.csv"), ("sync", ".")]
    events.clear()
    with atomic_folder(tmp_path / "model") as partial:
        (partial / "variables").mkdir()
        (partial / "variables" / "data").touch()
    inside = [("sync", f"{partial.name}{each}") for each in ("/variables", "/variables/data", "")]
    assert events == [*inside, ("name", "model"), ("sync", ".")]
    events.clear()
    with atomic_file(tmp_path / "picture.png", durable=False) as partial:
        partial.touch()
    assert events == [("name", "picture.png")]
