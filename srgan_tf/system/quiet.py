"""Keeps what libraries print from the terminal."""

import contextlib
import os
import sys
import tempfile
import warnings
from collections.abc import Iterator


@contextlib.contextmanager
def quiet() -> Iterator[list[str]]:
    """Lets nothing through to standard output and error, be it printed, logged or warned of, by Python or by C++.

    It holds for the whole process.

    Yields:
        A list to which, when the body has ended or raised, everything is added as one text.
    """
    held: list[str] = []
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="backslashreplace") as unseen:
        try:
            with _redirected(unseen, 1, 2), contextlib.redirect_stdout(unseen), contextlib.redirect_stderr(unseen):
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    yield held
        finally:
            unseen.seek(0)
            held.append(unseen.read())


def import_tensorflow() -> None:
    """Imports TensorFlow without the lines that it prints about the machine, unless TF_CPP_MIN_LOG_LEVEL asks for them.

    Some of them come before that variable is obeyed, straight to the file descriptor.
    """
    os.environ["KERAS_BACKEND"] = "tensorflow"
    if "TF_CPP_MIN_LOG_LEVEL" in os.environ or "tensorflow" in sys.modules:
        return
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    # Python's own streams stay, since loggers that are made meanwhile keep them.
    with tempfile.TemporaryFile() as unseen, _redirected(unseen, 2):
        import tensorflow
    tensorflow.get_logger().setLevel("ERROR")


@contextlib.contextmanager
def _redirected(file, *descriptors):
    """What C++ writes to these file descriptors comes into `file`."""
    sys.stdout.flush()
    sys.stderr.flush()
    kept = {number: os.dup(number) for number in descriptors}
    try:
        for number in kept:
            os.dup2(file.fileno(), number)
        yield
    finally:
        file.flush()
        for number, descriptor in kept.items():
            os.dup2(descriptor, number)
            os.close(descriptor)
