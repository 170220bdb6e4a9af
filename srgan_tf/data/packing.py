"""Writes a packed folder; `data.packed` reads it."""

import collections
import concurrent.futures
import contextlib
import dataclasses
import functools
import hashlib
import os
from pathlib import Path

import tensorflow as tf
from tqdm import tqdm

from srgan_tf.data import packed
from srgan_tf.data.packed import MANIFEST, Manifest, Shard
from srgan_tf.data.walk import is_leftover
from srgan_tf.imaging import files
from srgan_tf.imaging.errors import PictureError, picture_errors
from srgan_tf.system.atomic import atomic_file, remove_unfinished
from srgan_tf.system.disk import require_free_bytes, sha256
from srgan_tf.system.errors import UserError, user_errors
from srgan_tf.system.lock import exclusive
from srgan_tf.system.terminal import say

_LOCK = ".lock"
_SHARD_BYTES = 1 << 30  # of a file, about
_MAX_SHARDS = 500
_LENGTH, _CHECKSUM = 12, 4  # bytes of a TFRecord before its content (length and checksum), and after it
_OVERHEAD = 400  # upper bound of the bytes of a record besides the values and the name


def pack(pictures, source: Path | str, folder: Path | str, workers: int = 2) -> Manifest:
    """Decodes photographs once and writes them into `folder`, see `data.packed`.

    Training reads it faster than a folder of JPEGs and, with the same seed, sees the same batches. It takes three bytes
    per pixel, some five times as much as JPEGs.

    Files are written atomically, so that the next call resumes an interrupted one. A call for a complete folder checks
    the SHA-256 of every file, and repairs damaged ones. Images that cannot be decoded are left out.

    Args:
        pictures: All usable images of the `data.folders.scan` of the photographs.
        source: The folder of the photographs.
        folder: The folder to write to; made if need be.
        workers: Threads that decode.

    Raises:
        UserError: The folder holds something else or other photographs, another process is packing into it, or there is
            no room.
    """
    source, folder = Path(source), Path(folder)
    plan = _plan(pictures, source)
    size = sum(shard.values for shard in plan.shards)
    with _locked(folder), tqdm(total=size, desc=folder.name, unit="B", unit_scale=True, disable=None) as bar:
        if (manifest := _existing(plan, folder)) is None:
            _write_manifest(folder, plan)
            manifest = plan
        checked = manifest.complete
        shards, missing = list(manifest.shards), []
        for number, shard in enumerate(shards):
            if _is_intact(folder, shard, checked):
                bar.update(plan.shards[number].values)
            else:
                missing.append(number)
                shards[number] = plan.shards[number]
        needed = sum(_max_bytes(shards[number]) for number in missing)
        require_free_bytes(folder, needed, "name a folder elsewhere")
        for number in missing:
            shards[number] = _write_shard(shards[number], source, folder, workers, bar)
            manifest = dataclasses.replace(manifest, shards=tuple(shards))
            _write_manifest(folder, manifest)
    return manifest


def _plan(pictures, source):
    """The `Manifest` of what is to be written, a function of the photographs alone."""
    digest = hashlib.sha256()
    total = sum(3 * picture.height * picture.width for picture in pictures)
    limit = max(_SHARD_BYTES, total // _MAX_SHARDS)
    shards, shard, size = [], [], 0
    for picture in pictures:
        name = picture.path.relative_to(source).as_posix()
        with picture_errors(picture.path):
            found = picture.path.stat()
        digest.update(os.fsencode(name) + f"\0{found.st_size} {found.st_mtime_ns}\n".encode())
        needed = 3 * picture.height * picture.width
        if shard and size + needed > limit:
            shards.append(shard)
            shard, size = [], 0
        shard.append((name, picture.height, picture.width, 0))
        size += needed
    shards.append(shard)
    named = (Shard(packed.shard_name(number), tuple(shard)) for number, shard in enumerate(shards))
    return Manifest(digest.hexdigest(), tuple(named))


@contextlib.contextmanager
def _locked(folder):
    """Locks a folder; refuses one that holds something else, or into which another process packs."""
    if folder.exists() and not packed.is_packed(folder):
        if not folder.is_dir() or any(not is_leftover(path.name) for path in folder.iterdir()):
            raise UserError(f"{folder}: is there already and not packed photographs; name a new folder")

    def busy():
        raise UserError(f"{folder}: another process is packing into it") from None

    with user_errors(folder, "cannot be written"):
        folder.mkdir(parents=True, exist_ok=True)
        with exclusive(folder / _LOCK, busy):
            remove_unfinished(folder)
            yield


def _existing(plan, folder):
    """The manifest in the folder; None if there is none or it is damaged."""
    if not packed.is_packed(folder):
        return None
    try:
        manifest = packed.read_manifest(folder)
    except packed.OtherVersion:
        raise
    except UserError as error:
        say(f"{error}: it is written anew")
        return None
    if manifest.source != plan.source:
        raise UserError(f"{folder}: other photographs are packed there; remove it or name another folder")
    return manifest if len(manifest.shards) == len(plan.shards) else None


def _write_manifest(folder, manifest):
    with atomic_file(folder / MANIFEST) as partial:
        partial.write_text(manifest.text(), encoding="utf-8")


def _is_intact(folder, shard, check_content):
    """Whether a shard has been written and is undamaged, by its size or also by its SHA-256."""
    path = folder / shard.file
    try:
        packed.check_size(path, shard.size)
    except UserError:
        return False
    return bool(shard.sha256) and (not check_content or sha256(path) == shard.sha256)


def _max_bytes(shard):
    """Upper bound of the size of a planned shard."""
    return shard.values + sum(_OVERHEAD + len(os.fsencode(name)) for name, *_ in shard.pictures)


def _write_shard(shard, source, folder, workers, bar):
    """Writes a planned shard; returns it complete."""
    pictures, skipped, size = [], [], 0
    with atomic_file(folder / shard.file) as partial:
        with (
            _os_errors(),
            tf.io.TFRecordWriter(os.fsencode(partial.resolve())) as file,
            concurrent.futures.ThreadPoolExecutor(workers) as pool,
        ):
            decode = functools.partial(_decode, source)
            for picture, pixels in _prefetched(pool, decode, shard.pictures, 4 * workers):
                name, height, width, _ = picture
                if isinstance(pixels, str):
                    skipped.append((name, pixels))
                else:
                    content, begin = _record(name, pixels)
                    file.write(content)
                    pictures.append((name, height, width, size + _LENGTH + begin))
                    size += _LENGTH + len(content) + _CHECKSUM
                bar.update(3 * height * width)
        if (written := partial.stat().st_size) != size:
            raise OSError(f"{written:,} bytes were written instead of {size:,}")
        digest = sha256(partial)
    return dataclasses.replace(shard, pictures=tuple(pictures), size=size, skipped=tuple(skipped), sha256=digest)


@contextlib.contextmanager
def _os_errors():
    """Makes TensorFlow's errors in writing, "FILE; REASON", `OSError`s."""
    try:
        yield
    except tf.errors.OpError as error:
        raise OSError(error.message.rpartition("; ")[2]) from None
    except UnicodeDecodeError as error:  # of the message, if the file's name is not UTF-8
        raise OSError(error.object.decode(errors="replace").rpartition("; ")[2]) from None


def _record(name, pixels):
    """The serialized `tf.train.Example` of an image, and the byte at which its values start."""
    values = pixels.tobytes()
    height, width, _ = pixels.shape
    example = tf.train.Example()
    features = example.features.feature  # filled in place, since passing messages would copy them
    features["name"].bytes_list.value.append(os.fsencode(name))
    features["height"].int64_list.value.append(height)
    features["width"].int64_list.value.append(width)
    features["rgb"].bytes_list.value.append(values)
    content = example.SerializeToString(deterministic=True)
    return content, content.index(values)


def _decode(source, picture):
    """The values `(H, W, 3)` of an image, or the reason why it cannot be decoded."""
    name, height, width, _ = picture
    try:
        pixels = files.read_rgb(source / name)
    except PictureError as error:
        return error.reason
    if pixels.shape[:2] != (height, width):
        raise UserError(f"{source / name}: was changed meanwhile; pack the photographs again")
    return pixels


def _prefetched(pool, function, items, count):
    """`(item, function(item))` for all items in order, at most `count` of them computed ahead."""
    pending = collections.deque()
    for item in items:
        if len(pending) == count:
            first, future = pending.popleft()
            yield first, future.result()
        pending.append((item, pool.submit(function, item)))
    for item, future in pending:
        yield item, future.result()
