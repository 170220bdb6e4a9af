"""The one error that a user sees as a line instead of a traceback."""


class UserError(Exception):
    """A mistake in the input or in the settings that the user can mend.

    Its message is one line that names the file or flag and says what to do. The scripts print it to standard error
    and exit with status 1.
    """
