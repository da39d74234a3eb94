"""The one exception that a user is meant to read."""


class InputError(Exception):
    """Something the user gave cannot be used.

    The message is one line that names the thing and the mend. The command line prints
    it on standard error and leaves with exit code 2; nothing has been written by then.
    """
