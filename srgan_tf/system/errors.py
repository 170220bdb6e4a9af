"""The errors that a user sees as a line instead of a traceback, and how other errors become one."""

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

# What the standard library, NumPy, h5py and Pillow raise over the contents of a damaged file. RuntimeError is zipfile's
# and h5py's.
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
# What no file can bring about, and what it can only where a library takes it apart: in this package it is a mistake.
_MISTAKES = (AssertionError, ImportError, NameError)
_MISTAKES_HERE = (AttributeError, TypeError)


class UserError(Exception):
    """A mistake in the input or in the settings that the user can fix.

    Its message is one line that names the file or flag and says what to do, see `terminal.printable`. The command
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
    """What went wrong, in one line: the system's words, else the first line of the message, else the error's name."""
    text = str(getattr(error, "strerror", None) or error).strip()
    return text.splitlines()[0] if text else type(error).__name__


@contextlib.contextmanager
def user_errors(
    path: Path | str, what: str, *, of: type[Exception] | tuple[type[Exception], ...] = OSError, advice: str = ""
) -> Iterator[None]:
    """Makes errors inside a `UserError`: "PATH: WHAT (REASON); ADVICE".

    A closed pipe is left alone: whoever reads has had enough, which is no fault of the file.

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
    """Makes whatever reading a file of the user's raises a `UserError`, as `user_errors` does.

    Libraries raise anything over a damaged file, so there is no list of errors: all become one, but for what only a
    mistake of the program raises, which is let through.
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
