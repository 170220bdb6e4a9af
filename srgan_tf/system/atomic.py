"""Files and folders that are complete or not there."""

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

# For text with names of files, which need not be text themselves.
LENIENT_UTF8: dict[str, Any] = {"encoding": "utf-8", "errors": "backslashreplace"}
_OLD = ".old"  # ending of a folder that is being replaced
# What is written to: the name in the end, the machine, the process, a random number, an ending.
_UNFINISHED = re.compile(
    r"\.(?P<name>.+)\.(?P<machine>[0-9a-f]{8})-(?P<process>\d+)-[0-9a-f]{8}(\.[a-z0-9]+)+", re.DOTALL
)
_LONGEST = 7 * 24 * 3600  # seconds that a file is being written, on whatever machine


def shortened(name: str) -> str:
    """The start of a file's name, for a longer one: systems allow 255 bytes, and a character may have four.

    It is text in the system's encoding, also where the name is not: some libraries take no other.
    """
    return os.fsencode(name)[:100].decode(sys.getfilesystemencoding(), "ignore")


@contextlib.contextmanager
def atomic_file(path: Path | str, suffix: str = ".part", reserve: int = 0, durable: bool = True) -> Iterator[Path]:
    """Lets a file be written under a temporary name, and renames it when it is complete.

        with atomic_file("scores.csv") as partial:
            partial.write_text(...)

    Args:
        path: Where the file shall be; its folder is made if need be. What is there is replaced.
        suffix: Of the name that is written to, for writers that look at it.
        reserve: Bytes that are known to be free when the writing begins, for writers that do not bear a full disk.
        durable: Whether the file survives that the computer loses power a moment later; it takes some milliseconds.

    Yields:
        The `Path` to write to. It is gone afterwards, whatever happens.

    Raises:
        UserError: The system does not let it be written, or the disk is full; what was at `path` is still there.
    """
    path = Path(path)
    partial = _temporary_name(path, suffix)
    with user_errors(path, "cannot be written"):
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_stale(path.parent.absolute())
        try:
            if reserve:
                partial.write_bytes(bytes(reserve))
                partial.unlink()
            yield partial
            if durable:
                _sync(partial)
            os.replace(partial, path)
            if durable:
                _sync(path.parent)
        finally:
            partial.unlink(missing_ok=True)


@contextlib.contextmanager
def atomic_folder(path: Path | str) -> Iterator[Path]:
    """Lets a folder be written under a temporary name, and renames it when it is complete.

        with atomic_folder("report") as partial:
            (partial / "report.md").write_text(...)

    Args:
        path: Where the folder shall be; those above it are made if need be. A folder that is there is replaced, with
            all that is in it: whether it may be is the caller's to check. A link stays, and leads to the new folder.

    Yields:
        The `Path` of a new empty folder to write into. It is gone afterwards, whatever happens.

    Raises:
        UserError: The system does not let it be written, or the disk is full; what was at `path` is there again.
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
        except UserError as error:  # of a file in it, by the name that it would have had
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
    """The computer or container in which the number of a process means it."""
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
    """Refuses to replace a file or folder, unless that is asked for; `what` is the message about it.

    Raises:
        UserError: It is there, and may not be replaced.
    """
    if Path(path).exists() and not overwrite:
        raise UserError(f"{path}: {what}; --overwrite replaces it")


def check_folder_target(folder: Path | str, parts: Collection[str], what: str, overwrite: bool) -> None:
    """Finds out before long work whether a folder of known parts can be written, by `atomic_folder`.

    Args:
        folder: Where to.
        parts: The names that may be in it, if it is there already.
        what: It is, such as "a report".
        overwrite: Whether one that is there may be replaced.

    Raises:
        UserError: There is one already, a file, or a folder with something else in it; or nothing can be written there.
    """
    folder = Path(folder)
    check_writable(folder.resolve())
    if not folder.exists():
        return
    if not folder.is_dir():
        raise UserError(f"{folder}: a file; name a folder for {what}")
    names = sorted(path.name for path in folder.iterdir())
    foreign = [name for name in names if name not in parts]
    if foreign:
        raise UserError(f"{folder}: holds {foreign[0]}, which is no part of {what}; name a new folder")
    if names:
        keep_existing(folder, overwrite, f"holds {what} already")


def check_writable(path: Path | str, folder: bool = False) -> None:
    """Finds out before long work whether its result can be written; nothing is there afterwards.

    Args:
        path: Of a file, or of a folder that `atomic_folder` makes.
        folder: Whether it is a folder that is written into instead.

    Raises:
        UserError: The system does not let anything be written there.
    """
    place = Path(path).absolute()
    place = place if folder else place.parent
    with user_errors(path, "cannot be written"):  # the permissions alone do not say
        tempfile.TemporaryFile(dir=next(each for each in (place, *place.parents) if os.path.lexists(each))).close()


def remove_unfinished(folder: Path | str) -> None:
    """Removes from a folder, in which no process is writing, what one that was killed has left of `atomic_file`."""
    for path in Path(folder).iterdir():
        if _UNFINISHED.fullmatch(path.name):
            with contextlib.suppress(OSError):
                path.unlink()


@functools.cache
def _remove_stale(folder):
    """Removes from a folder, once in a process, what killed processes have left of `atomic_file` and `atomic_folder`.

    A folder that was to be replaced, and has not been, gets its name back.
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
