"""Writes files and folders completely or not at all."""

import contextlib
import functools
import hashlib
import os
import re
import secrets
import shutil
import socket
import sys
import tempfile
import time
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import psutil

from srgan_tf.system.errors import UserError, user_errors

# For text with names of files, which need not be valid text.
LENIENT_UTF8: dict[str, Any] = {"encoding": "utf-8", "errors": "backslashreplace"}
_NAME_BYTES = 255  # that file systems allow
_OF_FILE_MANAGERS = (".DS_Store", "Thumbs.db", "desktop.ini")  # left in folders that were looked at
_OLD = ".old"  # ending of a folder that is being replaced
# A temporary name: the final name, the machine, the process, a random number, a suffix.
_UNFINISHED = re.compile(
    r"\.(?P<name>.+)\.(?P<machine>[0-9a-f]{8})-(?P<process>\d+)-[0-9a-f]{8}(\.[a-z0-9]+)+", re.DOTALL
)
_LONGEST = 7 * 24 * 3600  # seconds after which a temporary file of another machine is stale


def check_name(path: Path | str) -> None:
    """Raises `UserError` if the name of a file or folder is too long, whether or not its folder exists."""
    if len(os.fsencode(Path(path).name)) > _NAME_BYTES:
        raise UserError(f"{path}: its name has more than {_NAME_BYTES} bytes; give a shorter one")


def shortened(name: str) -> str:
    """The start of a file's name, to make a longer name of it, up to `_NAME_BYTES`.

    It is valid text in the system's encoding, even if the name is not, since some libraries take only such names.
    """
    return os.fsencode(name)[:100].decode(sys.getfilesystemencoding(), "ignore")


@contextlib.contextmanager
def atomic_file(path: Path | str, suffix: str = ".part", reserve: int = 0, durable: bool = True) -> Iterator[Path]:
    """Writes a file under a temporary name, and renames it when it is complete.

        with atomic_file("scores.csv") as partial:
            partial.write_text(...)

    Args:
        path: The final path; its folder is made if need be, and an existing file is replaced. A link is kept, and leads
            to the new file.
        suffix: Suffix of the temporary name, for writers that depend on it.
        reserve: Bytes that must be free at the start, for writers that cannot handle a full disk.
        durable: Whether the file must survive a loss of power a moment later, which takes some milliseconds.

    Yields:
        The `Path` to write to, which does not exist afterwards.

    Raises:
        UserError: It cannot be written, or the disk is full; an existing file at `path` is still there.
    """
    target = Path(os.path.realpath(path) if os.path.islink(path) else path)
    partial = _temporary_name(target, suffix)
    with user_errors(path, "cannot be written"):
        target.parent.mkdir(parents=True, exist_ok=True)
        _remove_stale(target.parent.absolute())
        try:
            if reserve:
                partial.write_bytes(bytes(reserve))
                partial.unlink()
            yield partial
            if durable:
                _sync(partial)
            os.replace(partial, target)
            if durable:
                _sync(target.parent)
        finally:
            partial.unlink(missing_ok=True)


@contextlib.contextmanager
def atomic_folder(path: Path | str) -> Iterator[Path]:
    """Writes a folder under a temporary name, and renames it when it is complete.

        with atomic_folder("report") as partial:
            (partial / "report.md").write_text(...)

    Args:
        path: The final path; folders above it are made if need be. An existing folder is replaced with all that is in
            it, so the caller must check that it may be. A link is kept, and leads to the new folder.

    Yields:
        The `Path` of a new empty folder to write into, which does not exist afterwards.

    Raises:
        UserError: It cannot be written, or the disk is full; an existing folder at `path` is still there.
    """
    target = Path(path).resolve()
    partial, old = _temporary_name(target, ".part"), _temporary_name(target, _OLD)
    with user_errors(path, "cannot be written"):
        try:
            partial.mkdir(parents=True)
            _remove_stale(target.parent)
            yield partial
            for each in (*partial.rglob("*"), partial):
                _sync(each)
            if target.exists():
                os.rename(target, old)
            os.rename(partial, target)
            _sync(target.parent)
        except UserError as error:  # about a file in it, to be named by its final path
            if str(partial) not in error.args[0]:
                raise
            raise UserError(error.args[0].replace(str(partial), str(path))) from None
        finally:
            shutil.rmtree(partial, ignore_errors=True)
            if old.exists() and not target.exists():
                with user_errors(path, f"cannot be put back; it is in {old}"):
                    os.rename(old, target)
            shutil.rmtree(old, ignore_errors=True)


def _temporary_name(path, suffix):
    """A new hidden name in the same folder."""
    return path.with_name(f".{shortened(path.name)}.{_machine()}-{os.getpid()}-{secrets.token_hex(4)}{suffix}")


@functools.cache
def _machine():
    """An identifier of the computer or container, in which process numbers are unique."""
    namespace = Path("/proc/self/ns/pid")
    inside = os.readlink(namespace) if namespace.is_symlink() else ""
    return hashlib.sha256(f"{socket.gethostname()} {inside}".encode()).hexdigest()[:8]


def _sync(path):
    """Waits until a file or folder is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def keep_existing(path: Path | str, overwrite: bool, what: str = "exists already") -> None:
    """Refuses to replace an existing file or folder without `overwrite`; `what` is the message.

    Raises:
        UserError: It exists, and may not be replaced.
    """
    if Path(path).exists() and not overwrite:
        raise UserError(f"{path}: {what}; --overwrite replaces it")


def file_id(path: Path | str) -> tuple[int, int] | None:
    """Device and inode, which are the same for all names of a file; None if there is no file."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def check_folder_target(folder: Path | str, parts: Collection[str], what: str, overwrite: bool, mark: str = "") -> None:
    """Checks, before long work, whether a folder can be written by `atomic_folder`.

    Args:
        folder: The folder.
        parts: The names that may be in it, if it exists.
        what: A description of the folder, such as "a report".
        overwrite: Whether an existing folder may be replaced.
        mark: The name in `parts` by which such a folder differs from one of the user's, if there is one.

    Raises:
        UserError: It exists already, is a file or a mount point, or has something else in it; or it cannot be written.
    """
    folder = Path(folder)
    check_writable(folder.resolve())
    if not folder.exists():
        return
    if not folder.is_dir():
        raise UserError(f"{folder}: a file; name a folder for {what}")
    if os.path.ismount(folder.resolve()):
        raise UserError(f"{folder}: a mount point, which cannot be replaced; name a folder in it")
    names = sorted(path.name for path in folder.iterdir() if path.name not in _OF_FILE_MANAGERS)
    foreign = [name for name in names if name not in parts]
    if foreign:
        raise UserError(f"{folder}: holds {foreign[0]}, which is no part of {what}; name a new folder")
    if names and mark and mark not in names:
        raise UserError(f"{folder}: holds {names[0]} but no {mark}, so it is not {what}; name a new folder")
    if names:
        keep_existing(folder, overwrite, f"holds {what} already")


def check_writable(path: Path | str, folder: bool = False) -> None:
    """Checks, before long work, whether a result can be written, by a temporary file.

    Args:
        path: Of a file, or of a folder for `atomic_folder`.
        folder: Whether `path` is a folder to write files into.

    Raises:
        UserError: Nothing can be written there.
    """
    check_name(path)
    place = Path(path).absolute() if folder else Path(os.path.realpath(path)).parent
    with user_errors(path, "cannot be written"):  # the permissions alone do not say
        tempfile.TemporaryFile(dir=next(each for each in (place, *place.parents) if os.path.lexists(each))).close()


def remove_unfinished(folder: Path | str) -> None:
    """Removes temporary files of killed processes from a folder in which no process is writing."""
    for path in Path(folder).iterdir():
        if _UNFINISHED.fullmatch(path.name):
            with contextlib.suppress(OSError):
                path.unlink()


@functools.cache
def _remove_stale(folder):
    """Removes temporary files and folders of killed processes from a folder, once in a process.

    A folder that was about to be replaced gets its name back.
    """
    with contextlib.suppress(OSError):
        for path in folder.iterdir():
            match = _UNFINISHED.fullmatch(path.name)
            if not match or not _is_stale(path, match):
                continue
            target = folder / match["name"]
            if not path.is_dir():
                path.unlink()
            elif path.suffix != _OLD or target.exists():
                shutil.rmtree(path, ignore_errors=True)
            elif shortened(match["name"] + "x") != match["name"]:
                os.rename(path, target)


def _is_stale(path, match):
    if match["machine"] == _machine():
        return not psutil.pid_exists(int(match["process"]))
    return time.time() - path.lstat().st_mtime > _LONGEST
