"""Locks between processes, which the system releases however a process ends."""

import contextlib
import json
import os
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import filelock

from srgan_tf.system.atomic import atomic_file, remove_unfinished
from srgan_tf.system.bounded import read_bounded
from srgan_tf.system.errors import UserError, user_errors


@contextlib.contextmanager
def exclusive(path: Path | str, busy: Callable[[], object]) -> Iterator[None]:
    """Holds a lock; waits if another process holds it.

    Args:
        path: Of the lock file, which is not removed.
        busy: Called before waiting, to say so, or to raise an error instead of waiting.
    """
    lock = filelock.FileLock(path)
    try:
        lock.acquire(blocking=False)
    except filelock.Timeout:
        busy()
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


@contextlib.contextmanager
def run_lock(folder: Path | str) -> Iterator[None]:
    """Locks a folder for this process, and removes temporary files of killed processes.

    Args:
        folder: Of the phase; made if need be. Gets `run.lock`, and `process.json` while it is locked.

    Raises:
        UserError: Another process, which is named, has locked it; or the folder is not writable.
    """
    folder = Path(folder)
    owner = folder / "process.json"

    def busy():
        raise UserError(f"{folder}: {_name(owner)} is training here; stop it, or give another --run_dir") from None

    with contextlib.ExitStack() as stack:
        with user_errors(folder, "cannot be written", advice="give another --run_dir"):
            folder.mkdir(parents=True, exist_ok=True)
            stack.enter_context(exclusive(folder / "run.lock", busy))
        try:
            remove_unfinished(folder)
            itself = {"process": os.getpid(), "host": socket.gethostname(), "since": time.strftime("%Y-%m-%d %H:%M:%S")}
            with atomic_file(owner, durable=False) as partial:
                partial.write_text(json.dumps(itself), encoding="utf-8")
            yield
        finally:
            with contextlib.suppress(OSError):
                owner.unlink(missing_ok=True)


def _name(owner):
    try:
        return "process {process} on {host}, since {since},".format(**json.loads(read_bounded(owner)))
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"  # it is just starting or ending
