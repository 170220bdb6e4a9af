"""Where the workers of a run wait for each other."""

import concurrent.futures
import contextlib
import socket
import time

import pytest

from srgan_tf.system.errors import UserError
from srgan_tf.training import rendezvous
from srgan_tf.training.rendezvous import meet


@pytest.fixture
def peers(monkeypatch):
    """Three workers, of which the first alone is reached."""
    monkeypatch.setattr(rendezvous, "_PAUSE", 0.02)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    return [f"127.0.0.1:{port}", "second:1", "third:1"]


@pytest.fixture
def start():
    """Runs functions at the same time."""
    with concurrent.futures.ThreadPoolExecutor() as pool:
        yield pool.submit


def _connect(peers, message):
    host, port = peers[0].split(":")
    while True:
        with contextlib.suppress(ConnectionRefusedError):
            connection = socket.create_connection((host, int(port)), timeout=20)
            connection.sendall(message)
            return connection
        time.sleep(0.01)


def test_workers_leave_together_whoever_else_connects(peers, start):
    killed = start(_connect, peers, b"srgan_tf worker 3 of 3")  # before the first is there
    time.sleep(0.1)
    first = start(meet, peers, 0)
    with _connect(peers, b"GET / HTTP/1.1\r\n\r\n"), _connect(peers, b""):
        killed.result(20).close()
        time.sleep(0.1)
        second = start(meet, peers, 1)
        time.sleep(0.1)
        assert not first.done() and not second.done()
        third = start(meet, peers, 2)
        assert [each.result(20) for each in (first, second, third)] == [None] * 3


def test_workers_that_do_not_fit_together_are_one_line(peers, start):
    first, second = start(meet, peers, 0), start(meet, peers, 1)
    with pytest.raises(UserError, match="TF_CONFIG: worker 1 has another number of workers"):
        meet([*peers, "fourth:1"], 3)
    time.sleep(0.1)  # the second worker is there
    again = start(meet, peers, 1)
    with pytest.raises(UserError, match="TF_CONFIG: another process has the same number"):
        second.result(20)
    with pytest.raises(UserError, match=rf"^TF_CONFIG: {peers[0]}: worker 1 cannot be reached there \(.*in use"):
        meet(peers, 0)
    meet(peers, 2)
    assert first.result(20) is again.result(20) is None
