"""Keeps what libraries print from the terminal."""

import contextlib
import gc
import importlib.metadata
import os
import sys
import tempfile
import warnings
from collections.abc import Iterator

# Packages that TensorFlow imports, where they are installed, for functions that nothing here calls; they take as long
# as TensorFlow itself. They can be imported afterwards. Only versions that were tried are imported without them.
_NOT_FOR_TENSORFLOW = ("jax", "keras.src", "scipy")
_WITHOUT_THEM = ("2.21",)


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
    """Imports TensorFlow without the lines that it prints about the machine, unless TF_CPP_MIN_LOG_LEVEL asks for them,
    and without other large packages, Keras among them.

    Some of the lines come before that variable is obeyed, straight to the file descriptor.
    """
    os.environ["KERAS_BACKEND"] = "tensorflow"
    if "tensorflow" in sys.modules:
        return
    with contextlib.ExitStack() as during:
        if _version("tensorflow").startswith(_WITHOUT_THEM):
            during.enter_context(_hidden(_NOT_FOR_TENSORFLOW))
        if gc.isenabled():  # a fifth of the time goes into looking for garbage where there is next to none
            gc.disable()
            during.callback(gc.enable)
            during.callback(gc.freeze)
        silent = "TF_CPP_MIN_LOG_LEVEL" not in os.environ
        if silent:
            os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
            # Python's own streams stay, since loggers that are made meanwhile keep them.
            during.enter_context(_redirected(during.enter_context(tempfile.TemporaryFile()), 2))
        import tensorflow
    if silent:
        tensorflow.get_logger().setLevel("ERROR")


def _version(package):
    """The installed version; "" where the module comes from a package of another name, such as tensorflow-cpu."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""


@contextlib.contextmanager
def _hidden(names):
    """Modules cannot be imported, unless they are already."""
    hidden = [name for name in names if name not in sys.modules]
    sys.modules.update(dict.fromkeys(hidden))
    try:
        yield
    finally:
        for name in hidden:
            del sys.modules[name]


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
