"""Photographs decoded once into a few large files, from which crops are read without decoding.

A packed folder holds `photographs-00000.tfrecord` and so on, and `manifest.json`, which says where each picture is. A
shard has a `tf.train.Example` for each picture, and any reader of TFRecords reads it:

- `name`, bytes: the path in the folder of the photographs.
- `height` and `width`, int64.
- `rgb`, bytes: height x width x 3 values of uint8, row by row.
"""

import contextlib
import dataclasses
import json
from pathlib import Path

import numpy as np

from srgan_tf.data.folders import Scan, select, without_gc
from srgan_tf.data.store import Store, cut
from srgan_tf.system.errors import DAMAGE, UserError, reason, user_errors

MANIFEST = "manifest.json"
FORMAT, VERSION = "photographs packed by srgan_tf", 2


@dataclasses.dataclass(frozen=True)
class Shard:
    """One of the large files.

    Attributes:
        file: Its name in the folder.
        pictures: `(name, height, width, offset)` of each. `name` is the path in the source folder, POSIX; the values
            begin at the byte `offset` of the file, 0 while it is still to be written.
        size: Of the file, in bytes; 0 while it is still to be written.
        skipped: `(name, reason)` of those that could not be decoded.
        sha256: Of the file, hexadecimal; empty while it is still to be written.
    """

    file: str
    pictures: tuple[tuple[str, int, int, int], ...]
    size: int = 0
    skipped: tuple[tuple[str, str], ...] = ()
    sha256: str = ""

    @property
    def values(self) -> int:
        """How many bytes of values the pictures have; some more are in the file."""
        return sum(3 * height * width for _, height, width, _ in self.pictures)


@dataclasses.dataclass(frozen=True)
class Manifest:
    """What `manifest.json` says.

    Attributes:
        source: A hash of what was packed: names, file sizes and times.
        shards: The `Shard`s.
    """

    source: str
    shards: tuple[Shard, ...]

    @property
    def complete(self) -> bool:
        return all(shard.sha256 for shard in self.shards)

    def text(self) -> str:
        """As JSON."""
        return json.dumps({"format": FORMAT, "version": VERSION} | dataclasses.asdict(self)) + "\n"


def is_packed(folder: Path | str) -> bool:
    """Whether a folder holds packed photographs; no folder, `""`, holds none."""
    path = Path(folder, MANIFEST)
    if folder and path.is_file():
        with contextlib.suppress(OSError), open(path, encoding="utf-8", errors="replace") as file:
            return FORMAT in file.read(100)
    return False


def read_manifest(folder: Path | str) -> Manifest:
    """The `Manifest` of a packed folder.

    Raises:
        UserError: It cannot be read, or is of another version.
    """
    path = Path(folder, MANIFEST)
    with user_errors(path, "cannot be read", of=(OSError, *DAMAGE), advice="pack the photographs again"):
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["version"] != VERSION:
            raise UserError(f"{path}: of version {content['version']}, not {VERSION}; pack into a new folder")
        shards = []
        for shard in content["shards"]:
            pictures, skipped = (tuple(map(tuple, shard.pop(name))) for name in ("pictures", "skipped"))
            shards.append(Shard(pictures=pictures, skipped=skipped, **shard))
        return Manifest(content["source"], tuple(shards))


@without_gc()
def scan(folder: Path | str, min_side: int = 1) -> Scan:
    """`data.folders.scan` of a packed folder: what it would give of the folder that was packed, and in that order.

    Args:
        folder: See `is_packed`.
        min_side: Pictures with a shorter side, in pixels, are skipped.

    Returns:
        A `data.folders.Scan`, its paths those that the pictures would have in `folder`.

    Raises:
        UserError: The folder is not completely packed, damaged, or has nothing usable.
    """
    folder = Path(folder)
    manifest = read_manifest(folder)
    if not manifest.complete:
        done = sum(1 for shard in manifest.shards if shard.sha256)
        raise UserError(
            f"{folder}: only {done} of {len(manifest.shards)} files are packed; run `srgan pack` again to resume"
        )
    for shard in manifest.shards:
        check_size(folder / shard.file, shard.size)
    found = ((folder / name, size) for shard in manifest.shards for name, *size, _ in shard.pictures)
    return select(found, min_side, folder)


def check_size(path: Path, size: int) -> None:
    """Refuses a shard that is not whole.

    Raises:
        UserError: It is missing, or not of `size` bytes.
    """
    try:
        found = path.stat().st_size
    except OSError as error:
        raise _damaged(path, reason(error)) from None
    if found != size:
        raise _damaged(path, f"{found:,} bytes instead of {size:,}")


def _damaged(path, what):
    return UserError(f"{path}: damaged ({what}); pack the photographs again, which repairs it")


class PackedStore(Store):
    """Crops of packed photographs. Only the rows of a crop are read; the system caches what is in demand.

    The file is opened for each crop: a memory map would save that, but kill the process where a file is truncated
    or a disk fails, and hold up all threads while it waits for the disk.

    Args:
        folder: See `is_packed`.
        pictures: Of its `scan`.
        scale: See `Store`.
    """

    @without_gc()
    def __init__(self, folder, pictures, scale):
        super().__init__(pictures, scale)
        places = {}
        for shard in read_manifest(folder).shards:
            path = Path(folder, shard.file)
            places |= {name: (path, offset) for name, _, _, offset in shard.pictures}
        self._places = [places[picture.path.relative_to(folder).as_posix()] for picture in pictures]

    def _crops(self, index, picture, rows, columns):
        path, offset = self._places[index]
        top, bottom, width = int(rows.min()), int(rows.max()) + 1, picture.width
        count = 3 * width * (bottom - top)
        try:
            values = np.fromfile(path, np.uint8, count, offset=offset + 3 * width * top)
        except OSError as error:
            raise _damaged(path, reason(error)) from None
        if values.size != count:
            raise _damaged(path, "it ends too early")
        return cut(values.reshape(-1, width, 3), rows, columns, top)
