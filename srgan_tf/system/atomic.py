"""Files that are complete or not there."""

import contextlib
import os
import re
import secrets
import tempfile
from pathlib import Path

from srgan_tf.system.errors import UserError

# For text with names of files, which need not be text themselves.
ENCODED = {"encoding": "utf-8", "errors": "backslashreplace"}
_UNFINISHED = re.compile(r"\..+\.[0-9a-f]{8}(\.[a-z0-9]+)+", re.DOTALL)  # what `whole_file` writes to


def shortened(name):
    """The start of a file's name, for a longer one: systems allow 255 bytes, and a character may have four."""
    return os.fsencode(name)[:100].decode(errors="ignore")


@contextlib.contextmanager
def whole_file(path, ending=".part", room=0):
    """Lets a file be written beside its place, and puts it there when it is complete.

        with whole_file("scores.csv") as beside:
            beside.write_text(...)

    Args:
        path: Where the file shall be; its folder is made if need be. What is there is replaced.
        ending: Of the name that is written to, for writers that look at it.
        room: Bytes that are known to be free when the writing begins, for writers that do not bear a full disk.

    Yields:
        The `Path` to write to. It is gone afterwards, whatever happens.

    Raises:
        UserError: The system does not let it be written, or the disk is full; what was at `path` is still there.
    """
    path = Path(path)
    beside = path.with_name(f".{shortened(path.name)}.{secrets.token_hex(4)}{ending}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            if room:
                beside.write_bytes(bytes(room))
                beside.unlink()
            yield beside
            os.replace(beside, path)
        finally:
            beside.unlink(missing_ok=True)
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror or error})") from None


def check_writable(path, folder=False):
    """Finds out before long work whether its result can be written; nothing is there afterwards.

    Args:
        path: Of a file, or of a folder that is made beside its place as `whole_file` makes a file.
        folder: Whether it is a folder that is written into instead.

    Raises:
        UserError: The system does not let anything be written there.
    """
    place = Path(path).absolute()
    _, reason = nearest_folder(place if folder else place.parent)
    if reason:
        raise UserError(f"{path}: cannot be written ({reason})")


def nearest_folder(folder):
    """What is there of a folder that may have to be made, and why it cannot be written into.

    Args:
        folder: A `Path`.

    Returns:
        `(nearest, reason)`: it, or the first above it that there is; and the system's words, or "" if it can be.
    """
    nearest = next(each for each in (folder, *folder.absolute().parents) if os.path.lexists(each))
    try:
        tempfile.TemporaryFile(dir=nearest).close()  # permissions alone do not tell
    except OSError as error:
        return nearest, error.strerror or str(error)
    return nearest, ""


def remove_unfinished(folder):
    """Removes what a process that was killed has left of `whole_file`.

    Args:
        folder: In which no process is writing.
    """
    for path in Path(folder).iterdir():
        if _UNFINISHED.fullmatch(path.name):
            with contextlib.suppress(OSError):
                path.unlink()
