"""Finds the sizes of all images in a folder; those of a large folder are cached for the next run."""

import concurrent.futures
import contextlib
import hashlib
import itertools
import json
import multiprocessing
import os
import signal
import stat
from pathlib import Path

from tqdm import tqdm

from srgan_tf.imaging import files
from srgan_tf.imaging.errors import PictureError, picture_errors
from srgan_tf.system.atomic import atomic_file
from srgan_tf.system.bounded import LISTING_BYTES, read_bounded
from srgan_tf.system.disk import cache_folder
from srgan_tf.system.errors import DAMAGE, UserError

LARGE = 10_000  # sizes of so many files and more are cached; fewer are probed in a second or two
MANY = 10_000  # so many files and more are probed by processes
_CHUNK = 500  # files that a process probes at a time
_VERSION = 2
_COLUMNS = ("names", "bytes", "times", "heights", "widths")


def probe_files(folder: Path | str | None, paths: list) -> list[tuple[int, int] | str | None]:
    """Probes files, see `imaging.files.probe`.

    Files of a large folder are probed by several processes, and their sizes are written to a file in
    `system.disk.cache_folder`, so that the next call only probes files that are new, or whose length or time of
    modification has changed. An interrupted call caches what it has probed. A script that calls this must be importable
    without calling it (`if __name__ == "__main__":`), since the processes import it.

    Args:
        folder: The folder to cache for; None: no cache.
        paths: Files below it, as `str`.

    Returns:
        A list with the `(height, width)` of each, or the reason why it is not a usable image, or None if it is not a
        regular file, such as a pipe.
    """
    found: list[tuple[int, int] | str | None] = [None] * len(paths)
    stats, wanted = {}, []
    cache = _SizeCache(folder) if folder is not None and len(paths) >= LARGE else None
    for number, path in enumerate(paths):
        try:
            with picture_errors(path):
                status = os.stat(path)
        except PictureError as error:  # a dead link, say
            found[number] = error.reason
            continue
        if stat.S_ISREG(status.st_mode):
            stats[number] = status
            found[number] = cache.size(path, status) if cache is not None else None
            if found[number] is None:
                wanted.append(number)
    probe = _probe_by_processes if len(wanted) >= MANY else _probe_by_threads
    try:
        for number, result in zip(wanted, probe([paths[number] for number in wanted])):
            found[number] = result
    finally:
        if cache is not None and (wanted or len(cache) != len(stats)):
            cache.write((paths[number], status, found[number]) for number, status in stats.items())
    return found


def _probe(path):
    try:
        return files.probe(path)
    except PictureError as error:
        return error.reason


def _probe_by_threads(paths):
    with concurrent.futures.ThreadPoolExecutor(min(32, 4 * (os.cpu_count() or 1))) as pool:
        yield from pool.map(_probe, paths)


def _probe_many(paths):
    return [_probe(path) for path in paths]


def _probe_by_processes(paths):
    """As `_probe_by_threads`; with a fast disk, Python's lock makes several threads slower than one."""
    chunks = [paths[start : start + _CHUNK] for start in range(0, len(paths), _CHUNK)]
    done = 0
    with tqdm(total=len(paths), desc="listing", unit="image", disable=None) as bar:
        try:
            with concurrent.futures.ProcessPoolExecutor(
                min(32, 2 * (os.cpu_count() or 1)),
                multiprocessing.get_context("spawn"),  # a fork of TensorFlow's threads could hang
                signal.signal,
                (signal.SIGINT, signal.SIG_IGN),  # Ctrl+C is for the parent
            ) as pool:
                try:
                    for results in pool.map(_probe_many, chunks):
                        done += len(results)
                        bar.update(len(results))
                        yield from results
                finally:
                    pool.shutdown(wait=False, cancel_futures=True)
        except concurrent.futures.process.BrokenProcessPool:  # too little memory, or a script that cannot be imported
            yield from _probe_by_threads(paths[done:])


class _SizeCache:
    """The cached sizes of a folder's images."""

    def __init__(self, folder):
        self._folder = os.path.realpath(folder)
        self._start = len(os.path.join(Path(folder), ""))
        name = hashlib.sha256(os.fsencode(self._folder)).hexdigest()[:32]
        self._path = cache_folder() / "listings" / f"{name}.json"
        self._cached = {}
        with contextlib.suppress(OSError, *DAMAGE):  # absent or damaged: it is written again
            content = json.loads(read_bounded(self._path, LISTING_BYTES))
            if content["version"] == _VERSION:
                columns = [content[column] for column in _COLUMNS]
                if {int} != {type(number) for column in columns[1:] for number in column}:
                    raise TypeError("columns of other types")
                self._cached = {row[0]: row[1:] for row in zip(*columns, strict=True)}

    def __len__(self):
        return len(self._cached)

    def size(self, path, status):
        """`(height, width)` of a file that has not changed; else None."""
        cached = self._cached.get(path[self._start :])
        return cached[2:] if cached and cached[:2] == (status.st_size, status.st_mtime_ns) else None

    def write(self, found):
        """Caches the sizes among `(path, status, size or reason)`; errors are ignored."""
        sized = [
            (path[self._start :], status.st_size, status.st_mtime_ns, *result)
            for path, status, result in found
            if isinstance(result, tuple)
        ]
        columns = zip(*sized) if sized else itertools.repeat((), len(_COLUMNS))
        content = {"version": _VERSION, "folder": self._folder} | dict(zip(_COLUMNS, columns))
        with contextlib.suppress(UserError), atomic_file(self._path, durable=False) as partial:
            partial.write_text(json.dumps(content), encoding="utf-8")
