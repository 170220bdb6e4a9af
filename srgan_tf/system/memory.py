"""The memory that there is, and that this process has taken."""

from pathlib import Path

import psutil

_CGROUP = Path("/sys/fs/cgroup")


def free_host_bytes() -> int:
    """Memory that this process may still take: what the computer has left, or a container's limit if that is less."""
    free = psutil.virtual_memory().available
    try:
        limit = int((_CGROUP / "memory.max").read_text())
        used = int((_CGROUP / "memory.current").read_text())
    except (OSError, ValueError):
        return free  # no container, or one without a limit, which says "max"
    return max(0, min(free, limit - used))


def resident_bytes() -> int:
    """Memory that this process has taken, shared libraries included: what its peak is measured in."""
    return psutil.Process().memory_info().rss
