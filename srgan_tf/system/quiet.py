"""Suppresses the output of libraries."""

import contextlib
import gc
import importlib.metadata
import os
import sys
import tempfile
import warnings
from collections.abc import Iterator

from srgan_tf.system.errors import user_errors

# Packages that TensorFlow imports, if they are installed, for functions that are not used here; that takes as long as
# TensorFlow itself. They can still be imported afterwards. Only for versions of TensorFlow that were tested.
_NOT_FOR_TENSORFLOW = ("jax", "keras.src", "scipy")
_WITHOUT_THEM = ("2.21",)


@contextlib.contextmanager
def quiet() -> Iterator[list[str]]:
    """Captures all that the process writes to standard output and error, also logs and warnings, by Python or C++.

    Yields:
        A list to which the output is added as one text at the end, also after an error.
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
    """Imports TensorFlow without the lines that it prints about the machine, unless TF_CPP_MIN_LOG_LEVEL is set, and
    without other large packages, such as Keras.

    TensorFlow writes some of the lines to the file descriptor before it reads that variable.

    Raises:
        UserError: There is no folder for temporary files, without which it cannot be imported.
    """
    os.environ["KERAS_BACKEND"] = "tensorflow"
    if "tensorflow" in sys.modules:
        return
    with user_errors("temporary files", "cannot be written", advice="set TMPDIR to a folder with room"):
        tempfile.gettempdir()
    with contextlib.ExitStack() as during:
        if _version("tensorflow").startswith(_WITHOUT_THEM):
            during.enter_context(_hidden(_NOT_FOR_TENSORFLOW))
        if gc.isenabled():  # it takes a fifth of the time and finds next to nothing
            gc.disable()
            during.callback(gc.enable)
            during.callback(gc.freeze)
        silent = "TF_CPP_MIN_LOG_LEVEL" not in os.environ
        if silent:
            os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
            # Python's streams are not replaced, since new loggers keep them.
            during.enter_context(_redirected(during.enter_context(open(os.devnull, "wb")), 2))
        import tensorflow
    if silent:
        tensorflow.get_logger().setLevel("ERROR")


def _version(package):
    """The installed version; "" if the module comes from a package of another name, such as tensorflow-cpu."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""


@contextlib.contextmanager
def _hidden(names):
    """Makes modules fail to import inside, unless they have been imported already."""
    hidden = [name for name in names if name not in sys.modules]
    sys.modules.update(dict.fromkeys(hidden))
    try:
        yield
    finally:
        for name in hidden:
            del sys.modules[name]


@contextlib.contextmanager
def _redirected(file, *descriptors):
    """Redirects these file descriptors, to which C++ writes, to `file`."""
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
