"""Ends the process by signals even if its main thread waits inside a library."""

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator

_ENDING = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)
_GRACE = 3  # seconds


@contextlib.contextmanager
def ends_in_time(count: int = 1) -> Iterator[None]:
    """Ends the process 3 s after the signal number `count` that asks it to end, if the body has not ended by then.

    Python runs signal handlers in the main thread, between two Python instructions: not while a library waits there,
    for another worker, for example. So another thread watches. To be used in the main thread.

    Args:
        count: Number of signals; those before only call their handlers. SIGHUP counts once, since a closed terminal
            sends it twice.
    """
    read, write = os.pipe()
    os.set_blocking(write, False)
    ended = threading.Event()

    def watch():
        received: list[int] = []
        while number := os.read(read, 1):
            if number[0] in _ENDING and (number[0] != signal.SIGHUP or signal.SIGHUP not in received):
                received.append(number[0])
            if len(received) >= count and not ended.wait(_GRACE):
                print(f"srgan: {signal.Signals(number[0]).name}: ended", file=sys.stderr, flush=True)
                os._exit(128 + number[0])

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    before = signal.set_wakeup_fd(write, warn_on_full_buffer=False)
    try:
        yield
    finally:
        signal.set_wakeup_fd(before)
        ended.set()
        os.close(write)
        watcher.join()
        os.close(read)
