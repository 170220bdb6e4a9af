"""The errors that a user sees as a line instead of a traceback."""


class UserError(Exception):
    """A mistake in the input or in the settings that the user can mend.

    Its message is one line that names the file or flag and says what to do. The command prints it to standard error
    and exits with status 1.
    """


class UsageError(UserError):
    """A mistake of the command line itself, found before any work; the command exits with status 2."""
