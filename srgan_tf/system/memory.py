"""Free memory, and the memory of this process."""

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil

_INTERVAL = 0.002  # seconds between two looks
_CGROUP = Path("/sys/fs/cgroup")


def free_host_bytes() -> int:
    """Memory that this process may still take: free memory of the computer, or of the container if that is less."""
    free = psutil.virtual_memory().available
    try:
        limit = int((_CGROUP / "memory.max").read_text())
        used = int((_CGROUP / "memory.current").read_text())
        parts = dict(map(str.split, (_CGROUP / "memory.stat").read_text().splitlines()))
        used -= int(parts["active_file"]) + int(parts["inactive_file"])  # cached files, given up when memory is needed
    except (OSError, ValueError, KeyError):
        return free  # no container, or one without a limit, which says "max"
    return max(0, min(free, limit - used))


def resident_bytes() -> int:
    """Memory that this process has, including shared libraries."""
    return psutil.Process().memory_info().rss


@contextlib.contextmanager
def watched_peak() -> Iterator[list[int]]:
    """Watches the memory of this process.

    Yields:
        A list with one number, the largest `resident_bytes` so far.
    """
    peak, ended = [resident_bytes()], threading.Event()

    def watch():
        while not ended.wait(_INTERVAL):
            peak[0] = max(peak[0], resident_bytes())

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield peak
    finally:
        ended.set()
        watcher.join()
        peak[0] = max(peak[0], resident_bytes())
