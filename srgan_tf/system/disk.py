"""Files on disk: where the package keeps its own, how much room is left, and what identifies a file."""

import hashlib
import os
import shutil
from pathlib import Path

import platformdirs

from srgan_tf.system.errors import UserError


def cache_folder() -> Path:
    """Where downloads and listings are kept: what the environment variable SRGAN_CACHE names, else `srgan_tf` in the
    user's cache folder. It need not exist."""
    return Path(os.environ.get("SRGAN_CACHE") or platformdirs.user_cache_dir("srgan_tf")).expanduser()


def free_bytes(path: Path | str) -> int:
    """Room on the disk of a file or folder, which need not exist, nor those above it."""
    path = Path(path).absolute()
    return shutil.disk_usage(next(each for each in (path, *path.parents) if each.exists())).free


def require_free_bytes(path: Path | str, needed: float, advice: str) -> None:
    """Refuses a disk, by a file or folder on it, see `free_bytes`, that is too full; `advice` says what to do about it.

    Raises:
        UserError: There is less room.
    """
    free = free_bytes(path)
    if free < needed:
        raise UserError(f"{path}: {needed / 1e9:.1f} GB are needed and {free / 1e9:.1f} GB are free; {advice}")


def sha256(path: Path | str) -> str:
    """The SHA-256 of a file, hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
