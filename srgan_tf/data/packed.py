"""Photographs decoded once into a few large files, from which crops are read without decoding.

A packed folder holds the shards `photographs-00000.tfrecord` and so on, and `manifest.json` with the place of each
image. A shard has a `tf.train.Example` for each image, and can be read by any reader of TFRecords:

- `name`, bytes: the path in the folder of the photographs.
- `height` and `width`, int64.
- `rgb`, bytes: height x width x 3 values of uint8, row by row.
"""

import contextlib
import dataclasses
import itertools
import json
import os
import posixpath
from pathlib import Path
from typing import Literal, TypedDict

import numpy as np

from srgan_tf.data.folders import Scan, select, without_gc
from srgan_tf.data.store import Store, cut
from srgan_tf.system.bounded import LISTING_BYTES
from srgan_tf.system.errors import UserError, file_errors, reason
from srgan_tf.system.json_files import check_shape, read_json

MANIFEST = "manifest.json"
FORMAT, VERSION = "photographs packed by srgan_tf", 2
_REPAIR = "pack the photographs again, which repairs it"


class OtherVersion(UserError):
    """A packed folder of another version of this program."""


class _Header(TypedDict):
    """The part of the manifest that all versions have."""

    format: Literal["photographs packed by srgan_tf"]
    version: int


class _Shard(TypedDict):
    file: str
    pictures: list
    size: int
    skipped: list
    sha256: str


class _Content(_Header):
    source: str
    shards: list[_Shard]


@dataclasses.dataclass(frozen=True)
class Shard:
    """One of the large files; until it is written, offsets and size are 0, and `sha256` is empty.

    Attributes:
        file: Its name in the folder, see `shard_name`.
        pictures: `(name, height, width, offset)` of each image. `name` is the POSIX path in the source folder; the
            values start at byte `offset` of the file.
        size: Size of the file, bytes.
        skipped: `(name, reason)` of images that could not be decoded.
        sha256: Of the file, hexadecimal.
    """

    file: str
    pictures: tuple[tuple[str, int, int, int], ...]
    size: int = 0
    skipped: tuple[tuple[str, str], ...] = ()
    sha256: str = ""

    @property
    def values(self) -> int:
        """Bytes of all images' values; the file has some more."""
        return sum(3 * height * width for _, height, width, _ in self.pictures)


@dataclasses.dataclass(frozen=True)
class Manifest:
    """The content of `manifest.json`; `source` is a hash of the names, sizes and times of the packed files."""

    source: str
    shards: tuple[Shard, ...]

    @property
    def complete(self) -> bool:
        return all(shard.sha256 for shard in self.shards)

    def text(self) -> str:
        """As JSON."""
        return json.dumps({"format": FORMAT, "version": VERSION} | dataclasses.asdict(self)) + "\n"


def is_packed(folder: Path | str) -> bool:
    """Whether a folder holds packed photographs, even damaged ones; False for `""`, no folder."""
    if not folder:
        return False
    path = Path(folder, MANIFEST)
    with contextlib.suppress(OSError), open(path, encoding="utf-8", errors="replace") as file:
        if FORMAT in file.read(100):
            return True
    return os.path.isfile(Path(folder, shard_name(0)))


def shard_name(number: int) -> str:
    """The name of a shard in its folder."""
    return f"photographs-{number:05}.tfrecord"


def read_manifest(folder: Path | str) -> Manifest:
    """The `Manifest` of a packed folder.

    Raises:
        OtherVersion: It is of another version.
        UserError: It cannot be read.
    """
    path = Path(folder, MANIFEST)
    content = read_json(path, _Header, "damaged", _REPAIR, LISTING_BYTES)
    if content["version"] != VERSION:
        raise OtherVersion(f"{path}: of version {content['version']}, not {VERSION}; pack into a new folder")
    with file_errors(path, "damaged", advice=_REPAIR):
        check_shape(content, _Content)
        return Manifest(content["source"], tuple(map(_shard, content["shards"], itertools.count())))


def _shard(content, number):
    """The `Shard` of a manifest. Its lists are long, so they are checked by columns."""
    if content["file"] != shard_name(number):
        raise ValueError(f"a file {content['file']!r}")
    for name, kinds in (("pictures", (str, int, int, int)), ("skipped", (str, str))):
        content[name] = tuple(map(tuple, _checked_rows(content[name], kinds, name)))
    shard = Shard(**{field.name: content[field.name] for field in dataclasses.fields(Shard)})
    for name, *_ in shard.pictures:
        if posixpath.normpath(name) != name or name.startswith(("/", "../")):
            raise ValueError(f"{name!r:.80} is no path in a folder")
    for name, height, width, offset in shard.pictures if shard.sha256 else ():
        if min(height, width) < 1 or offset < 0 or offset + 3 * height * width > shard.size:
            raise ValueError(f"{name} lies beyond {shard.file}")
    return shard


def _checked_rows(rows, kinds, name):
    if not {*map(type, rows)} <= {list} or not {*map(len, rows)} <= {len(kinds)}:
        raise ValueError(f"{name} are not lists of {len(kinds)}")
    for column, kind in zip(zip(*rows), kinds):
        if {*map(type, column)} != {kind}:
            raise ValueError(f"{name} have other values than {kind.__name__}")
    return rows


def scan(folder: Path | str, min_side: int = 1) -> Scan:
    """As `data.folders.scan` of the folder that was packed, with the paths that the images would have in `folder`.

    Raises:
        UserError: The folder is not completely packed, damaged, or has nothing usable.
    """
    return select(sizes(folder).items(), min_side, folder)


@without_gc()
def sizes(folder: Path | str) -> dict[str, tuple[int, int]]:
    """`data.folders.sizes` of a packed folder; see `scan`.

    Raises:
        UserError: The folder is not completely packed, or damaged.
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
    return {
        os.path.join(folder, name): (height, width)
        for shard in manifest.shards
        for name, height, width, _ in shard.pictures
    }


def check_size(path: Path, size: int) -> None:
    """Refuses a shard of the wrong size.

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
    return UserError(f"{path}: damaged ({what}); {_REPAIR}")


class PackedStore(Store):
    """Crops of packed photographs, of which only the rows of a crop are read; the system caches them.

    The file is opened for each crop. A memory map would avoid that, but would kill the process if a file is truncated
    or a disk fails, and block all threads while it waits for the disk.
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
