"""Runs a command, and turns errors into one line and an exit status."""

import contextlib
import os
import signal
import sys
import threading

from srgan_tf.system.errors import UsageError, UserError, reason

NAME = "srgan"


class _Ended(BaseException):
    """A signal, by its number, asks the process to end."""


@contextlib.contextmanager
def _ends_in_order():
    """Makes SIGTERM and SIGHUP raise an exception, so that every `finally` runs and no temporary file stays; a second
    signal ends the process at once."""

    def end(number, _):
        signal.signal(number, signal.SIG_DFL)
        raise _Ended(number)

    numbers = (signal.SIGTERM, signal.SIGHUP) if threading.current_thread() is threading.main_thread() else ()
    changed = [number for number in numbers if signal.getsignal(number) == signal.SIG_DFL]  # nohup ignores SIGHUP
    for number in changed:
        signal.signal(number, end)
    try:
        yield
    finally:
        for number in changed:
            signal.signal(number, signal.SIG_DFL)


def print_error(error):
    """Prints an error in one line."""
    print(f"{NAME}: error: {error}", file=sys.stderr)


def report_failures(failures):
    """Prints all errors; returns the exit status."""
    for error in failures:
        print_error(error)
    return 1 if failures else 0


def run(function, argv):
    """Calls `function(argv)`, which returns an exit status.

    A `UserError`, an error of the system about a file, or a lack of memory becomes one line and status 1, a
    `UsageError` status 2. SIGTERM ends it in order, with status 143.
    """
    _open_missing_streams()
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # a file's name need not be text
    try:
        with _ends_in_order():
            status = function(argv)
        sys.stdout.flush()
        return status
    except UserError as error:
        print_error(error)
        return 2 if isinstance(error, UsageError) else 1
    except KeyboardInterrupt:
        print(f"{NAME}: interrupted", file=sys.stderr)
        return 130
    except _Ended as ended:
        (number,) = ended.args
        print(f"{NAME}: {signal.Signals(number).name}: ended", file=sys.stderr)
        return 128 + number
    except MemoryError as error:
        print_error(str(error) or "out of memory")
        return 1
    except BrokenPipeError:
        _discard_output()  # `| head` has seen enough
        return 141  # as if SIGPIPE had ended it
    except OSError as error:
        if error.filename is None and not _is_output_full():
            raise
        print_error(UserError(f"{os.fsdecode(error.filename or 'standard output')}: {reason(error)}"))
        return 1


def _open_missing_streams():
    """Opens standard output and error on /dev/null if they are closed, as by `>&-`: else a file of the user's could get
    their number, and libraries would print into it."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))


def _is_output_full():
    """Whether not even an empty line can be written to standard output, as on a full disk."""
    try:
        print(flush=True)
    except OSError:
        _discard_output()
        return True
    return False


def _discard_output():
    """Discards what could not be written to standard output; Python would report it again at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
