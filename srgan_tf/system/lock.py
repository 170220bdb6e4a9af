"""One run at a time in a folder."""

import contextlib
import json
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import filelock

from srgan_tf.system.atomic import atomic_file, remove_unfinished
from srgan_tf.system.errors import UserError, user_errors


@contextlib.contextmanager
def run_lock(folder: Path | str) -> Iterator[None]:
    """Locks a folder for this process, and removes what one that was killed left half-written.

    The system frees the lock when a process ends, however it ends.

    Args:
        folder: Of the phase; made if need be. Gets `run.lock`, and `process.json` while it is locked.

    Raises:
        UserError: Another process has locked it, which is named; or the folder is not writable.
    """
    folder = Path(folder)
    owner = folder / "process.json"
    lock = filelock.FileLock(folder / "run.lock")
    with user_errors(folder, "cannot be written", advice="give another --run_dir"):
        folder.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(blocking=False)
        except filelock.Timeout:
            raise UserError(f"{folder}: {_name(owner)} is training here; stop it, or give another --run_dir") from None
    try:
        remove_unfinished(folder)
        with atomic_file(owner) as partial:
            itself = {"process": os.getpid(), "host": socket.gethostname(), "since": time.strftime("%Y-%m-%d %H:%M:%S")}
            partial.write_text(json.dumps(itself), encoding="utf-8")
        yield
    finally:
        with contextlib.suppress(OSError):
            owner.unlink(missing_ok=True)
        lock.release()


def _name(owner):
    try:
        return "process {process} on {host}, since {since},".format(**json.loads(owner.read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"  # it has only just come, or is going
