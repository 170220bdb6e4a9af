"""Keeps what libraries print from the terminal."""

import contextlib
import os
import sys
import tempfile
import warnings


@contextlib.contextmanager
def quiet():
    """Lets nothing through to standard output and error, be it printed, logged or warned of, by Python or by C++.

    It holds for the whole process.

    Yields:
        A list to which, when the body has ended or raised, everything is added as one text.
    """
    held = []
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="backslashreplace") as unseen:
        try:
            with _descriptors(unseen), contextlib.redirect_stdout(unseen), contextlib.redirect_stderr(unseen):
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    yield held
        finally:
            unseen.seek(0)
            held.append(unseen.read())


@contextlib.contextmanager
def _descriptors(file):
    """What C++ writes comes into `file`."""
    sys.stdout.flush()
    sys.stderr.flush()
    kept = [os.dup(1), os.dup(2)]
    try:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
        yield
    finally:
        file.flush()
        for number, descriptor in enumerate(kept, 1):
            os.dup2(descriptor, number)
            os.close(descriptor)
