"""How both scripts start and fail: TensorFlow without its chatter, mistakes as one line."""

import os
import sys
import tempfile

from srgan_tf.system.errors import UsageError, UserError


def import_tensorflow():
    """Imports TensorFlow without the lines that it prints about the machine, unless TF_CPP_MIN_LOG_LEVEL asks for them.

    Some of them come before that variable is obeyed, straight to the file descriptor.
    """
    os.environ["KERAS_BACKEND"] = "tensorflow"
    if "TF_CPP_MIN_LOG_LEVEL" in os.environ or "tensorflow" in sys.modules:
        return
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as unseen:
        os.dup2(unseen.fileno(), 2)
        try:
            import tensorflow
        finally:
            os.dup2(kept, 2)
            os.close(kept)
    tensorflow.get_logger().setLevel("ERROR")


def print_error(script, error):
    """The one line that a user sees of a mistake."""
    print(f"{script}: error: {error}", file=sys.stderr)


def run(script, function, argv):
    """Calls `function(argv)`, which returns an exit status.

    A `UserError` becomes one line and status 1, a `UsageError` status 2.
    """
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # a file's name need not be text
    try:
        status = function(argv)
        sys.stdout.flush()
        return status
    except UserError as error:
        print_error(script, error)
        return 2 if isinstance(error, UsageError) else 1
    except KeyboardInterrupt:
        print(f"{script}: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # `| head` has seen enough. Python would complain once more when it closes the pipe.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141  # as if SIGPIPE had ended it
