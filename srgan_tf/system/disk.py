"""The package's cache folder, free disk space, and hashes of files."""

import hashlib
import os
import shutil
from pathlib import Path

import platformdirs

from srgan_tf.system.errors import UserError


def cache_folder() -> Path:
    """The folder for downloads and listings: the environment variable SRGAN_CACHE, else `srgan_tf` in the user's cache
    folder. It need not exist."""
    return Path(os.path.expanduser(os.environ.get("SRGAN_CACHE") or platformdirs.user_cache_dir("srgan_tf")))


def free_bytes(path: Path | str) -> int:
    """Free space on the disk of a path, which need not exist."""
    path = Path(path).absolute()
    return shutil.disk_usage(next(each for each in (path, *path.parents) if each.exists())).free


def require_free_bytes(path: Path | str, needed: float, advice: str) -> None:
    """Checks the free space on the disk of a path, see `free_bytes`; `advice` says what to do if it is too little.

    Raises:
        UserError: There is less than `needed`.
    """
    free = free_bytes(path)
    if free < needed:
        raise UserError(f"{path}: {lack_of_room(needed, free)}; {advice}")


def lack_of_room(needed: float, free: float) -> str:
    """Says that `free` bytes of a disk are less than `needed`, rounded so that the two numbers differ."""
    return f"{-(-needed // 1e6):,.0f} MB are needed and {free // 1e6:,.0f} MB are free"


def sha256(path: Path | str) -> str:
    """The SHA-256 of a file, hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
