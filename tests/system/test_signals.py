"""Signals that come while the main thread waits within a library."""

import signal
import time

import pytest

from srgan_tf.system import signals

SCRIPT = """
import hashlib, os, signal, threading
from srgan_tf.system import signals
signals._GRACE = 0.2
signal.signal(signal.SIGTERM, lambda *_: print("handled", flush=True))
with signals.ends_in_time({count}):
    threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGTERM)).start()
    threading.Timer(0.6, os.kill, (os.getpid(), signal.SIGTERM)).start()
    hashlib.pbkdf2_hmac("sha256", b"", b"", {rounds})
"""


def test_a_hangup_counts_once(run_python):
    script = SCRIPT.format(count=2, rounds=10**6).replace("SIGTERM", "SIGHUP") + "    import time; time.sleep(1.2)"
    ended = run_python("-c", script, check=False)
    assert (ended.returncode, ended.stderr) == (0, "") and ended.stdout.startswith("handled\n")


@pytest.mark.parametrize("count", [1, 2])
def test_a_signal_ends_a_process_whose_main_thread_waits(run_python, count):
    start = time.monotonic()
    ended = run_python("-c", SCRIPT.format(count=count, rounds=10**9), check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (128 + signal.SIGTERM, "", "srgan: SIGTERM: ended\n")
    assert time.monotonic() - start < 5


def test_one_signal_less_is_left_to_its_handler(monkeypatch):
    monkeypatch.setattr(signals, "_GRACE", 0.01)
    received = []
    before = signal.signal(signal.SIGTERM, lambda *_: received.append(1))
    try:
        with signals.ends_in_time(2):
            signal.raise_signal(signal.SIGTERM)
            time.sleep(0.1)
        signal.raise_signal(signal.SIGTERM)
        assert received == [1, 1] and signal.set_wakeup_fd(-1) == -1
    finally:
        signal.signal(signal.SIGTERM, before)
