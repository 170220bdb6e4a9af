"""Lets the workers of a run wait for each other, without a time limit, until a signal comes.

TensorFlow would wait as well, for up to an hour, but meanwhile it holds Python's interpreter lock and handles SIGTERM
itself, so that only SIGKILL ends the process.
"""

import contextlib
import selectors
import socket
import time

from srgan_tf.system.errors import UserError, user_errors

_ALL_HERE = b"all here"
_REPLACED = b"replaced"
_OTHER_COUNT = b"other count"
_REFUSALS = {
    _REPLACED: "another process has the same number; give each worker its own index",
    _OTHER_COUNT: "worker 1 has another number of workers; give all the same cluster",
}
_LONGEST = 64  # bytes of a message
_PAUSE = 0.5  # seconds between two tries


def meet(peers: list[str], worker: int) -> None:
    """Returns when all workers have started. They report to the first one, at the port that TensorFlow will use later.

    Args:
        peers: The addresses of all workers, "host:port".
        worker: The index of this worker, from 0.

    Raises:
        UserError: The port is taken, two workers have one index, or their numbers of workers differ.
    """
    host, _, port = peers[0].rpartition(":")
    reports = [b"srgan_tf worker %d of %d" % (number + 1, len(peers)) for number in range(len(peers))]
    if worker:
        _report((host.strip("[]"), int(port)), reports[worker])
    else:
        with user_errors(f"TF_CONFIG: {peers[0]}", "worker 1 cannot be reached there"):
            _receive(int(port), set(reports[1:]))


def _report(address, report):
    while True:
        answer = b""
        with contextlib.suppress(OSError), socket.create_connection(address, timeout=_PAUSE) as connection:
            connection.settimeout(None)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            connection.sendall(report)
            answer = connection.recv(_LONGEST)
        if answer == _ALL_HERE:
            return
        if answer in _REFUSALS:
            raise UserError(f"TF_CONFIG: {_REFUSALS[answer]}")
        time.sleep(_PAUSE)  # worker 1 has not started yet, or the port still belongs to an earlier run


def _receive(port, wanted):
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(_listen(port, len(wanted)))
        selector = stack.enter_context(selectors.DefaultSelector())
        selector.register(server, selectors.EVENT_READ)
        here: dict[bytes, socket.socket] = {}
        while len(here) < len(wanted):
            for key, _ in selector.select():
                if key.fileobj is server:
                    connection = stack.enter_context(server.accept()[0])
                    selector.register(connection, selectors.EVENT_READ, connection)
                    continue
                report = _read(key.data)
                if report in wanted and key.data not in here.values():
                    if report in here:
                        _answer(selector, here[report], _REPLACED)
                    here[report] = key.data
                else:  # the worker has ended, or belongs to another run
                    here = {name: connection for name, connection in here.items() if connection is not key.data}
                    _answer(selector, key.data, _OTHER_COUNT)
        for connection in here.values():
            _answer(selector, connection, _ALL_HERE)


def _listen(port, backlog):
    if socket.has_dualstack_ipv6():
        return socket.create_server(("", port), family=socket.AF_INET6, backlog=backlog, dualstack_ipv6=True)
    return socket.create_server(("", port), backlog=backlog)


def _read(connection):
    with contextlib.suppress(OSError):
        return connection.recv(_LONGEST)
    return b""


def _answer(selector, connection, message):
    """Ends a connection with a message."""
    with contextlib.suppress(OSError):
        connection.sendall(message)
    selector.unregister(connection)
    connection.close()
