"""Errors that a user sees as one line instead of a traceback, and conversion of other errors to them."""

import contextlib
import pickle
import struct
import sys
import tarfile
import traceback
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

from srgan_tf.system.terminal import printable

# Errors of the standard library, NumPy, h5py and Pillow for the contents of a damaged file. RuntimeError is raised by
# zipfile and h5py.
DAMAGE: tuple[type[Exception], ...] = (
    ArithmeticError,
    EOFError,
    LookupError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
    pickle.UnpicklingError,
    struct.error,
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
)
# Errors that no file can cause, and errors that are mistakes if this package's code raises them, not a library.
_MISTAKES = (AssertionError, ImportError, NameError)
_MISTAKES_HERE = (AttributeError, TypeError)


class UserError(Exception):
    """A mistake in the input or in the settings that the user can fix.

    The message is one line, see `terminal.printable`, that names the file or flag and says what to do. The command
    prints it to standard error and exits with status 1.
    """

    def __str__(self):
        return printable(super().__str__())


class UsageError(UserError):
    """A mistake of the command line itself, found before any work; the command exits with status 2."""


def exit_status(program: str, command: Callable[[], object]) -> int:
    """Runs a command; a `UserError` becomes one line on standard error and status 1."""
    try:
        command()
    except UserError as error:
        print(f"{program}: error: {error}", file=sys.stderr)
        return 1
    return 0


def reason(error: BaseException) -> str:
    """An error in one line: the system's message, else the first line of its own, else the name of its class."""
    text = str(getattr(error, "strerror", None) or error).strip()
    return text.splitlines()[0] if text else type(error).__name__


@contextlib.contextmanager
def user_errors(
    path: Path | str, what: str, *, of: type[Exception] | tuple[type[Exception], ...] = OSError, advice: str = ""
) -> Iterator[None]:
    """Makes errors inside a `UserError`: "PATH: WHAT (REASON); ADVICE".

    A closed pipe is not converted, since it is not an error of the file.

    Args:
        path: The file or folder, or the name of a stream.
        what: Such as "cannot be written".
        of: The errors.
        advice: What to do about it.
    """
    try:
        yield
    except (BrokenPipeError, UserError):
        raise
    except of as error:
        raise UserError(f"{path}: {what} ({reason(error)}){advice and f'; {advice}'}") from None


@contextlib.contextmanager
def file_errors(path: Path | str, what: str, *, advice: str = "") -> Iterator[None]:
    """As `user_errors`, for all errors of reading a user's file.

    Libraries raise errors of any kind for a damaged file. Only those that must be mistakes of the program are not
    converted.
    """
    try:
        yield
    except (BrokenPipeError, UserError):
        raise
    except Exception as error:
        if _is_mistake_of_program(error):
            raise
        if isinstance(error, OSError) and error.errno is not None:
            what = "cannot be read"
        raise UserError(f"{path}: {what} ({reason(error)}){advice and f'; {advice}'}") from None


def _is_mistake_of_program(error):
    if isinstance(error, _MISTAKES_HERE):
        *_, (frame, _) = traceback.walk_tb(error.__traceback__)
        return frame.f_globals.get("__name__", "").split(".")[0] == __package__.split(".")[0]
    return isinstance(error, _MISTAKES)
